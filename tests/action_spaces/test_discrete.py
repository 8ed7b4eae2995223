"""Discrete: the actions, a categorical policy over them that is exact, and everything that trains or plays it."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.command_line import assert_one_line, call

import jaxdem_ac as ac
from jaxdem_ac import registry
from jaxdem_ac.action_spaces.discrete import Discrete
from jaxdem_ac.action_spaces.testing import check_action_space, parametrize_with_checks
from jaxdem_ac.environments.testing import Tracking
from jaxdem_ac.models.policy import sample_raw

LOGITS = np.array([[0.3, -1.2, 2.0], [0.0, 0.0, -700.0]])


def test_actions_are_directions_and_rest() -> None:
    half = math.sqrt(0.5)
    expected = [[1, 0], [half, half], [0, 1], [-half, half], [-1, 0], [-half, -half], [0, -1], [half, -half], [0, 0]]
    np.testing.assert_allclose(Discrete(8, max_norm=3.0).actions(2), 3 * np.array(expected), atol=1e-15)
    np.testing.assert_array_equal(Discrete(2, rest=False).actions(1), [[1], [-1]])
    np.testing.assert_array_equal(Discrete(6).actions(3), [*np.eye(3), *-np.eye(3), np.zeros(3)])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Discrete(1), "n is a whole number from 2; got n=1"),
        (lambda: Discrete(max_norm=0.0), "max_norm is a finite number above 0"),
        (lambda: Discrete(8).actions(3), "the 6 directions of its axes; got n=8. Set n=6"),
        (lambda: Discrete().forward(jnp.zeros(2)), "a choice, and no map of numbers"),
    ],
)
def test_mistakes_are_told(make: Any, words: str) -> None:
    with pytest.raises((ValueError, TypeError, NotImplementedError), match=words):
        make()


def test_the_policy_is_an_exact_categorical() -> None:
    with jax.enable_x64(True):
        space = Discrete(2, max_norm=2.0)
        policy = space.distribution(jnp.asarray(LOGITS), 1)
        actions = jnp.asarray(space.actions(1))
        log_p = LOGITS - np.log(np.exp(LOGITS).sum(-1, keepdims=True))
        found = jnp.stack([policy.log_prob(jnp.broadcast_to(each, (2, 1))) for each in actions], -1)
        np.testing.assert_allclose(found, log_p, rtol=1e-12)
        np.testing.assert_allclose(policy.entropy(), -(np.exp(log_p) * log_p).sum(-1), rtol=1e-12)
        np.testing.assert_array_equal(policy.mode(), [[0.0], [2.0]])
        other = space.distribution(jnp.asarray(LOGITS[::-1]), 1)
        # Of the first to the second: the second hardly ever rests.
        np.testing.assert_allclose(
            policy.kl_divergence(other), (np.exp(log_p) * (log_p - log_p[::-1])).sum(-1), rtol=1e-12
        )
        assert policy.event_shape == (1,)
        assert policy.batch_shape == (2,)


def test_samples_come_as_often_as_they_are_likely() -> None:
    policy = Discrete(2).distribution(jnp.asarray(LOGITS[0]), 1)
    action, log_prob = policy.sample_and_log_prob(seed=jax.random.key(0), sample_shape=(20_000,))
    assert action.shape == (20_000, 1)
    share = np.exp(LOGITS[0]) / np.exp(LOGITS[0]).sum()
    counted = [float((action == each).mean()) for each in (1.0, -1.0, 0.0)]
    np.testing.assert_allclose(counted, share, atol=4 * 0.5 / math.sqrt(20_000))
    np.testing.assert_allclose(log_prob, policy.log_prob(action), rtol=1e-5)
    raw, raw_log_prob = sample_raw(policy, jax.random.key(1))
    assert raw.shape == raw_log_prob.shape == ()
    np.testing.assert_allclose(raw_log_prob, math.log(share[int(raw)]), rtol=1e-5)


@parametrize_with_checks(Discrete(), Discrete(5, max_norm=10.0, rest=False), size=2)
def test_contract(check: Any) -> None:
    check()


def test_a_broken_one_is_told() -> None:
    class Doubled(Discrete):
        def actions(self, size: int) -> np.ndarray:
            return np.repeat(super().actions(size)[:1], self.num_outputs(size), axis=0)

    class Loud(Discrete):
        def actions(self, size: int) -> np.ndarray:
            return 2 * super().actions(size)

    for space, words in ((Doubled(), "no two alike"), (Loud(), "all actions are within them")):
        with pytest.raises(ValueError, match=words):
            check_action_space(space, 2)


@pytest.mark.parametrize(
    ("name", "keywords"),
    [
        ("SharedActorCritic", {"architecture": [6]}),
        ("ActorCritic", {"actor_architecture": [6], "critic_architecture": [6], "actor_sigma_head": True}),
        ("PerParticle", {"sharing": "independent", "num_particles": 3, "architecture": [6]}),
        ("PerParticle", {"sharing": "shared", "architecture": [6]}),
    ],
)
def test_models_choose(name: str, keywords: dict[str, Any]) -> None:
    space = ac.make_action_space("Discrete", n=4, max_norm=2.0)
    made = {"observation_space_size": 5, "action_space_size": 2, "key": jax.random.key(0), **keywords}
    model = ac.make_model(name, action_space=space, **made)
    x = jax.random.normal(jax.random.key(1), (7, 3, 5))
    policy, value = model(x)
    assert (policy.mode().shape, policy.entropy().shape, value.shape) == ((7, 3, 2), (7, 3), (7, 3, 1))
    # At first everything is about as likely as everything else.
    assert 0.3 < float(policy.entropy().mean()) <= math.log(5) + 1e-6
    again = ac.make_model(name, key=jax.random.key(0), **model.metadata)
    np.testing.assert_array_equal(again(x)[0].choice.logits, policy.choice.logits)


def test_the_equivariant_model_refuses() -> None:
    with pytest.raises(ValueError, match=r"a choice among actions has none; got Discrete. Use SharedActorCritic"):
        ac.make_model(
            "SymmetricActorCritic", observation_space_size=8, action_space_size=2, key=0, action_space=Discrete(),
            observation_layout=["vector", "lidar:6"],
        )  # fmt: skip


class Named(Tracking):
    """A task that is learnt at once: the best action of all that there are is known."""


@pytest.fixture(scope="module", autouse=True)
def _task() -> Iterator[None]:
    with registry.environments.temporarily("probe", Named):
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> ac.TrainResult:
    size = Named().action_size
    ppo = ac.PPOConfig(
        num_envs=16, num_steps=8, num_minibatches=2, num_epochs=2, learning_rate=0.02, entropy_coef=0.001
    )
    config = ac.TrainConfig(
        env="probe", action_space="Discrete", action_space_kw={"n": 2 * size}, model_kw={"architecture": [8]}, ppo=ppo,
        steps=16 * 8 * Named().num_particles * 30, report_every=30, out=str(tmp_path_factory.mktemp("runs") / "probe"),
    )  # fmt: skip
    return ac.train(config, None)


def test_it_is_learnt_kept_and_evaluated(run: ac.TrainResult) -> None:
    policy = ac.load_policy(run.run_dir)
    observation = jax.random.normal(jax.random.key(3), (64, run.environment.observation_size))
    allowed = Discrete(2 * run.environment.action_size).actions(run.environment.action_size)
    for key in (None, jax.random.key(0)):
        action = np.asarray(policy(observation, key))
        assert (np.abs(action[:, None] - allowed).sum(-1).min(-1) < 1e-6).all()
        np.testing.assert_array_equal(action, run.policy(observation, key))
    before, after = (ac.evaluate_run(run.run_dir, num_episodes=8, untrained=which)[""] for which in (True, False))
    assert after.reward.mean.value > before.reward.mean.value
    assert 0 <= run.metrics[-1]["entropy"] <= math.log(len(allowed))


def test_it_is_exported(run: ac.TrainResult, tmp_path: Path) -> None:
    pytest.importorskip("flatbuffers")
    assert call("export", run.run_dir, tmp_path / "policy").exit_code == 0
    called = jax.export.deserialize(bytearray((tmp_path / "policy").read_bytes())).call
    observation = jax.random.normal(jax.random.key(3), (5, run.environment.observation_size))
    np.testing.assert_array_equal(called(observation), run.policy(observation))


def test_the_command_line_knows_it(tmp_path: Path) -> None:
    assert "Discrete" in call("list").stdout
    assert_one_line(
        call(
            "train",
            "--env",
            "probe",
            "--action-space",
            "Discrete",
            "--set",
            "action_space_kw.n=1",
            "--out",
            tmp_path / "a",
        ),
        "n is a whole number from 2",
    )


def test_gymnasium_has_numbers_of_actions() -> None:
    gymnasium = pytest.importorskip("gymnasium")
    kw = {"num_particles": 3, "physics_steps": 1, "n_lidar_rays": 4}
    vector = ac.make_vector_env("swarm_navigator", 2, action_space="Discrete", action_space_kw={"n": 4}, **kw)
    assert vector.single_action_space == gymnasium.spaces.Discrete(5)
    vector.reset(seed=0)
    vector.step(vector.action_space.sample())
    single = ac.make_gym_env("swarm_navigator", action_space="Discrete", **kw)
    assert single.action_space == gymnasium.spaces.MultiDiscrete([9, 9, 9])
    box = ac.make_gym_env("swarm_navigator", **kw)
    seen = []
    for env, action in ((single, np.array([0, 2, 8])), (box, np.array([10.0, 0, 0, 10, 0, 0], np.float32))):
        env.reset(seed=4)
        seen.append(env.step(action)[0])
    # The navigators advise forces of 10: east, north, rest.
    np.testing.assert_allclose(seen[0], seen[1], atol=1e-5)
    for wrong, words in (([9, 0, 0], "from 0 to 8; got 0 to 9"), ([0.5, 0, 0], "whole numbers"), ([1, 1], "got shape")):
        with pytest.raises(ValueError, match=words):
            single.step(np.array(wrong))


def test_pettingzoo_has_them_too() -> None:
    pytest.importorskip("pettingzoo")
    env = ac.make_parallel_env("swarm_navigator", num_particles=2, physics_steps=1, action_space="Discrete")
    env.reset(seed=0)
    env.step({agent: env.action_space(agent).sample() for agent in env.agents})
    with pytest.raises(ValueError, match="particle_1: an action is a whole number from 0 to 8"):
        env.step({"particle_0": 0, "particle_1": 9})
