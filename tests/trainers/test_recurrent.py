"""Models with a memory: carried through rollouts, given up where an episode ends, replayed in the loss."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from support.compared import assert_equal
from support.recurrent_models import FEATURES, Remembering, StepByStep

import jaxdem_ac as ac
from jaxdem_ac import registry
from jaxdem_ac.environments.base import Environment
from jaxdem_ac.environments.testing import Counting, Recalling, Tracking
from jaxdem_ac.models import recurrent
from jaxdem_ac.runs.export import export_policy
from jaxdem_ac.trainers.gae import compute_gae
from jaxdem_ac.trainers.policy import Policy
from jaxdem_ac.trainers.ppo import loss, ppo
from jaxdem_ac.trainers.ppo.collect import collect
from jaxdem_ac.trainers.rollout import play_episode
from jaxdem_ac.view.render import render_run

KINDS = [Remembering, StepByStep]
SETTINGS: dict[str, Any] = {"num_envs": 16, "num_steps": 8, "num_minibatches": 2, "learning_rate": 1e-2}


def make(environment: Environment, kind: Any = Remembering, **config: Any) -> tuple[ppo.Problem, ppo.PPOState]:
    sizes = environment.observation_size, environment.action_size
    graphdef, state = nnx.split(kind(*sizes, nnx.Rngs(0), ac.make_action_space("Box", x_min=-1.0, x_max=1.0)))
    learner = ppo.Problem(environment, graphdef, ac.PPOConfig(**{**SETTINGS, **config}), 10)
    return learner, ppo.init(learner, state, jax.random.key(0))


def test_the_carry_is_what_grows_with_the_observations() -> None:
    _, state = make(Tracking())
    (path, variable), *others = nnx.to_flat_state(state.carry)
    assert (path, variable.shape, others) == (("memory",), (16, 2, FEATURES), [])
    assert ("memory",) not in dict(nnx.to_flat_state(state.constants))
    model = ac.make_model("ActorCritic", observation_space_size=1, action_space_size=1, key=0)
    assert jax.tree.leaves(recurrent.split_carry(*nnx.split(model), 2, 1)[1]) == []


class Elsewhere(Remembering):
    def reset(self, shape: tuple[int, ...], mask: Any = None) -> None:
        self.memory = nnx.Variable(jnp.zeros((FEATURES, *shape[:-1])))

    def __call__(self, x: Any, sequence: bool = False, **how: Any) -> Any:
        return self.answer(jnp.moveaxis(self.memory[...], 0, -1))


def test_a_carry_behind_other_axes_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Elsewhere: .* begin with the axes .* got \{'memory': \[\(16, 2, 2\)\]\}"):
        make(Tracking(), Elsewhere)


class Endless(nnx.Module):
    carry = 0

    def __call__(self, x: Any) -> Any:
        raise NotImplementedError


def test_a_carry_that_cannot_be_reset_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Endless: a recurrent model has reset\(shape\)"):
        recurrent.split_carry(*nnx.split(Endless()), 2, 1)


def test_minibatches_are_whole_environments() -> None:
    with pytest.raises(
        ValueError, match=r"num_minibatches divides ppo\.num_envs; got num_minibatches=4 for num_envs=6"
    ):
        make(Tracking(), num_minibatches=4, num_envs=6)


def test_sets_of_models_that_remember_are_refused(names: dict[str, str]) -> None:
    with pytest.raises(TypeError, match=r"PerParticle: .*got model='memory'"):
        ac.make_model("PerParticle", model=names["model"], observation_space_size=1, action_space_size=1, key=0)


@partial(jax.jit, static_argnames="learner")
def drift(learner: ppo.Problem, state: ppo.PPOState, batch: loss.Batch) -> jax.Array:
    """Return how far replayed log-probabilities and values are from those of the rollout."""
    sequences = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), loss.flatten_batch(batch))
    (log_prob, _), value = loss.evaluate_actions(learner, state.params, state.constants, sequences)
    return jnp.maximum(jnp.abs(log_prob - sequences.raw_log_prob), jnp.abs(value - sequences.value)).max()


@pytest.mark.parametrize("kind", KINDS)
def test_a_replay_is_what_was_played(kind: Any) -> None:
    """From the second rollout on: it begins in the middle of episodes, and others end within it."""
    learner, state = make(Recalling(), kind)
    play = jax.jit(partial(collect, learner))
    state, _, _ = play(state)
    _, batch, _ = play(state)
    assert batch.done is not None
    assert 0 < batch.done[:-1].sum() < batch.done[:-1].size
    assert np.abs(batch.raw_action).max() > 0.5
    assert drift(learner, state, batch) < 1e-6
    assert drift(learner, state, replace(batch, done=jnp.zeros_like(batch.done))) > 1e-3
    assert drift(learner, state, replace(batch, carry=jax.tree.map(jnp.zeros_like, batch.carry))) > 1e-3


def test_first_updates_start_from_ratio_one() -> None:
    learner, state = make(Recalling(), learning_rate=1e-12)
    _, metrics = ppo.update_many(learner, state, 3)
    np.testing.assert_allclose(metrics["kl"], 0.0, atol=1e-6)
    np.testing.assert_array_equal(metrics["clip_fraction"], 0.0)


@pytest.mark.parametrize("ends_by", ["time limit", "termination"])
def test_values_beyond_are_of_the_memory_that_leads_there(ends_by: str) -> None:
    """By hand, step by step: at a time limit before the memory is given up, at the rollout's end without a step."""
    learner, state = make(Counting(ends_by=ends_by), num_steps=5)
    state, _, _ = collect(learner, state)
    after, batch, _ = collect(learner, state)
    model = nnx.merge(learner.graphdef, state.params, state.constants, jax.tree.map(jnp.copy, state.carry))

    def peek(observation: Any) -> Any:
        memory = model.memory[...]
        value = model(observation)[1][..., 0]
        model.memory = nnx.Variable(memory)
        return value

    values, following, dones = [], [], []
    for moment in range(5, 10):
        values.append(model(jnp.full((16, 2, 1), moment % 3, float))[1][..., 0])
        dones.append(moment % 3 == 2)
        following.append(peek(jnp.full((16, 2, 1), moment % 3 + 1, float)))
        if dones[-1]:
            model.reset((16, 2, 1))
    value, done = jnp.stack(values), jnp.broadcast_to(jnp.asarray(dones)[:, None, None], (5, 16, 2))
    np.testing.assert_allclose(batch.value, value, atol=1e-6)
    np.testing.assert_allclose(jax.tree.leaves(after.carry)[0], model.memory[...], atol=1e-6)
    terminated = done & (ends_by == "termination")
    reward, config = jnp.ones((5, 16, 2)), learner.config
    expected = compute_gae(reward, value, jnp.stack(following), terminated, done, config.gamma, config.gae_lambda)
    np.testing.assert_allclose(batch.advantage, expected[0], atol=1e-5)
    np.testing.assert_allclose(batch.target, expected[1], atol=1e-5)


def test_a_gradient_in_pieces_is_the_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    learner, state = make(Recalling(), entropy_coef=0.01, num_envs=3, num_minibatches=1)
    state, batch, _ = jax.jit(partial(collect, learner))(state)
    found = []
    for chunk in (loss.CHUNK, 24):
        monkeypatch.setattr(loss, "CHUNK", chunk)
        # What is compiled once does not look again.
        differentiate = jax.jit(lambda *arguments: loss.differentiate(learner, *arguments))
        found.append(differentiate(state.params, state.constants, loss.flatten_batch(batch)))
    for pieces in found[1:]:
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), pieces, found[0])
    assert max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(found[0][0])) > 1e-3


@pytest.fixture(scope="module")
def names() -> Iterator[dict[str, str]]:
    """Names of the task and of a model that remembers."""
    with registry.environments.temporarily("probe", Recalling), registry.models.temporarily("memory", Remembering):
        yield {"env": "probe", "model": "memory"}


def config(names: dict[str, str], updates: int, **fields: Any) -> ac.TrainConfig:
    steps = updates * SETTINGS["num_envs"] * SETTINGS["num_steps"] * 2
    return ac.TrainConfig(**{**names, "ppo": ac.PPOConfig(**SETTINGS), "steps": steps, **fields})


@pytest.fixture(scope="module")
def trained(names: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> ac.TrainResult:
    return ac.train(config(names, 120, out=str(tmp_path_factory.mktemp("runs") / "run")))


def test_what_only_memory_solves(trained: ac.TrainResult) -> None:
    """Five decisions an episode and eight a rollout: what was seen in one is acted on in the next.

    Without memory the last action is the same for both cues, and 0 is the best of them.
    """
    assert trained.run_dir is not None
    policy = ac.load_policy(trained.run_dir)
    assert ac.evaluate(Recalling(), policy, jax.random.key(1), 200).reward.low * 5 > -0.02
    best = ac.evaluate(Recalling(), lambda observation, _: 0 * observation, jax.random.key(1), 200)
    assert best.reward.mean * 5 == pytest.approx(-0.25)


@pytest.mark.slow
def test_what_no_policy_without_memory_learns(names: dict[str, str]) -> None:
    without = ac.train(config({**names, "model": "SharedActorCritic"}, 120, model_kw={"architecture": [16]}))
    assert ac.evaluate(Recalling(), without.policy, jax.random.key(1), 200).reward.high * 5 < -0.2


def test_a_policy_acts_with_what_it_remembers(trained: ac.TrainResult) -> None:
    policy = trained.policy
    assert policy.is_recurrent
    cues, nothing = jnp.asarray([[1.0], [-1.0]]), jnp.zeros((2, 1))
    carry = policy.initial_carry((2,))
    for observation in (cues, nothing, nothing, nothing, nothing):
        action, carry = policy.step(observation, carry)
    np.testing.assert_allclose(action, cues / 2, atol=0.15)
    restarted = policy.restart(carry, [True, False])
    assert_equal(jax.tree.map(lambda leaf: leaf[0], restarted), policy.initial_carry())
    assert_equal(jax.tree.map(lambda leaf: leaf[1], restarted), jax.tree.map(lambda leaf: leaf[1], carry))
    assert policy.value(cues, policy.initial_carry((2,))).shape == (2,)
    for done in (None, "x", [0, 1], [True], jnp.ones(3, bool), jnp.ones(2)):
        with pytest.raises(ValueError, match=r"policy\.restart: done is an array of flags"):
            policy.restart(carry, done)
    for shape in (3, [2], (2.0,), (True,), ("2",), None):
        with pytest.raises(TypeError, match=r"policy\.initial_carry: leading_shape is a tuple of whole numbers"):
            policy.initial_carry(shape)  # type: ignore[arg-type]
    sampled, _ = policy.step(cues, carry, jax.random.key(0))
    assert (sampled != policy.step(cues, carry)[0]).all()
    with pytest.raises(TypeError, match=r"got an observation alone\. Call policy\.step\(observation, carry\)"):
        policy(cues)
    with pytest.raises(TypeError, match=r"Call policy\.value\(observation, carry\)"):
        policy.value(cues)
    with pytest.raises(ValueError, match=r"got carry shapes \[\(2, 16\)\] for \(3,\)"):
        policy.step(jnp.zeros((3, 1)), carry)


def test_feed_forward_policies_take_the_same_calls() -> None:
    model = ac.make_model("ActorCritic", observation_space_size=1, action_space_size=1, key=0)
    policy = Policy.of(model, Tracking())
    assert not policy.is_recurrent
    observation = jnp.ones((3, 2, 1))
    action, carry = policy.step(observation, policy.initial_carry((3, 2)))
    np.testing.assert_array_equal(action, policy(observation))
    assert jax.tree.leaves(policy.restart(carry, jnp.ones(3, bool))) == []


def test_a_trajectory_forgets_where_an_episode_ends(trained: ac.TrainResult) -> None:
    """Two episodes in one trajectory, each acting on its own cue."""
    trajectory = ac.rollout(Recalling(), trained.policy, jax.random.key(2), 10, 50)
    for last in (4, 9):
        cue = trajectory.observation[last - 4, ..., 0]
        assert np.abs(cue).min() == 1
        error = (trajectory.action[last, ..., 0] - cue / 2) ** 2
        assert error.mean() < 0.1
    states = play_episode(Recalling(), trained.policy, jax.random.key(3), 5).states
    assert states.observation.shape == (6, 2, 1)
    model = trained.policy.model
    assert ac.rollout(Recalling(), model, jax.random.key(2), 10, 50).reward.mean() > -0.02


def test_an_export_takes_and_returns_the_carry(trained: ac.TrainResult, tmp_path: Path) -> None:
    loaded = jax.export.deserialize(bytearray(export_policy(trained.policy, tmp_path / "policy").read_bytes()))
    carry = [jnp.full((4, *leaf.shape[1:]), jnp.nan, leaf.dtype) for leaf in loaded.out_avals[1:]]
    mine = trained.policy.initial_carry((4,))
    cues = jnp.asarray([[1.0], [-1.0], [0.3], [0.0]])
    for number, observation in enumerate((cues, 0 * cues, -cues)):
        start = jnp.asarray([number == 0, number == 0, number in (0, 2), number == 0])
        action, carry = loaded.call(observation, start, carry)
        expected, mine = trained.policy.step(observation, trained.policy.restart(mine, start))
        np.testing.assert_allclose(action, expected, atol=1e-6)


@pytest.mark.slow
def test_a_stopped_run_goes_on_with_what_it_remembers(names: dict[str, str], tmp_path: Path) -> None:
    """Bit-equal; a checkpoint of the policy holds parameters alone."""
    short = config(names, 6, report_every=2)

    def stop(metrics: dict[str, Any]) -> None:
        if metrics["update"] == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ac.train(replace(short, out=str(tmp_path / "run")), stop)
    resumed, whole = ac.resume(tmp_path / "run"), ac.train(short)
    assert_equal(resumed.policy, whole.policy)
    assert resumed.metrics[-1]["reward"] == whole.metrics[-1]["reward"]
    assert_equal(ac.load_policy(tmp_path / "run"), whole.policy)
    assert "memory" not in nnx.to_pure_dict(resumed.policy.model_state)


@pytest.mark.slow
def test_seeds_side_by_side_remember_apart(names: dict[str, str], tmp_path: Path) -> None:
    result = ac.train(config(names, 4, num_seeds=2, seed=3, out=str(tmp_path / "runs")))
    alone = ac.train(config(names, 4, seed=4))
    for ours, theirs in zip(result.members["seed-4"].metrics, alone.metrics, strict=True):
        for name in ("reward", "value_loss", "kl", "entropy", "grad_norm"):
            assert ours[name] == pytest.approx(theirs[name], rel=1e-3, abs=1e-5), name
    assert ac.resume(tmp_path / "runs").metrics == result.metrics


def test_a_run_that_remembers_can_be_drawn(trained: ac.TrainResult, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    assert trained.run_dir is not None
    seen = []
    monkeypatch.setattr("jaxdem_ac.view.episode.Episode.of_states", lambda _, states, *__: seen.append(states))
    render_run(trained.run_dir)
    assert seen[0].observation.shape == (6, 2, 1)
