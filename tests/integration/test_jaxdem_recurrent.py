"""JaxDEM's recurrent models in our trainer."""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
from click.testing import CliRunner
from flax import nnx

import jaxdem_ac as ac
from jaxdem_ac import registry
from jaxdem_ac.cli import main
from jaxdem_ac.environments.base import Environment
from jaxdem_ac.environments.testing import Recalling
from jaxdem_ac.trainers.ppo import loss, ppo
from jaxdem_ac.trainers.ppo.collect import collect

pytestmark = pytest.mark.jaxdem

SETTINGS: dict[str, Any] = {"num_envs": 16, "num_steps": 8, "num_minibatches": 2}
SMALL = {"LSTMActorCritic": {"lstm_features": 16}, "MinGRUActorCritic": {"gru_features": 16, "num_layers": 2}}


@pytest.fixture(params=sorted(SMALL))
def name(request: pytest.FixtureRequest, rl: ModuleType) -> str:
    """Name of a recurrent model of JaxDEM's."""
    if request.param.lower() not in rl.Model._registry:
        pytest.skip(f"this JaxDEM has no {request.param}")
    return request.param


def make(environment: Environment, name: str, space: str, **space_kw: Any) -> tuple[ppo.Problem, ppo.PPOState]:
    model = ac.make_model(
        f"jaxdem:{name}",
        observation_space_size=environment.observation_size,
        action_space_size=environment.action_size,
        key=0,
        action_space=ac.make_action_space(space, **space_kw),
        **SMALL[name],
    )
    graphdef, state = nnx.split(model)
    learner = ppo.Problem(environment, graphdef, ac.PPOConfig(**SETTINGS, learning_rate=1e-12), 10)
    return learner, ppo.init(learner, state, jax.random.key(0))


@pytest.mark.parametrize("space", ["MaxNorm", "jaxdem:MaxNorm"])
def test_a_replay_is_what_was_played(name: str, space: str) -> None:
    """Episodes end within the rollout, and it begins in the middle of others; with either action space."""
    learner, state = make(Recalling(), name, space, max_norm=0.01)
    play = jax.jit(partial(collect, learner))
    state, _, _ = play(state)
    _, batch, _ = play(state)
    assert batch.done is not None
    assert 0 < batch.done[:-1].sum() < batch.done[:-1].size
    sequences = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), loss.flatten_batch(batch))
    (log_prob, _), value = loss.evaluate_actions(learner, state.params, state.constants, sequences)
    np.testing.assert_allclose(log_prob, sequences.raw_log_prob, atol=1e-5)
    np.testing.assert_allclose(value, sequences.value, atol=1e-5)
    # Almost all actions are saturated: kept before the bijector, they are as exact as others.
    assert np.abs(batch.raw_action).max() > 1
    _, metrics = ppo.update_many(learner, state, 2)
    np.testing.assert_allclose(metrics["kl"], 0.0, atol=1e-6)
    np.testing.assert_array_equal(metrics["clip_fraction"], 0.0)


@pytest.fixture
def recalling() -> Iterator[str]:
    """Register the task that needs a memory, and give its name."""
    with registry.environments.temporarily("probe", Recalling):
        yield "probe"


def test_what_only_memory_solves(name: str, recalling: str, tmp_path: Path) -> None:
    config = ac.TrainConfig(
        env=recalling,
        model=f"jaxdem:{name}",
        model_kw=SMALL[name],
        action_space="Box",
        action_space_kw={"x_min": -1.0, "x_max": 1.0},
        ppo=ac.PPOConfig(**SETTINGS, learning_rate=1e-2),
        steps=150 * 16 * 8 * 2,
        out=str(tmp_path / "run"),
    )
    ac.train(config)
    policy = ac.load_policy(tmp_path / "run")
    cues = jnp.asarray([[1.0], [-1.0]])
    carry = policy.initial_carry((2,))
    for observation in (cues, *[0 * cues] * 4):
        action, carry = policy.step(observation, carry)
    # Without memory the last action is the same for both cues. In JaxDEM's older layout the standard deviation is that
    # of another module, and stays 1: there the mode lies farther out than half the cue.
    assert (action * cues).min() > 0.25


def test_from_the_shell(name: str, tmp_path: Path) -> None:
    """Trained, stopped, gone on with, evaluated and exported."""
    run, file = tmp_path / "run", tmp_path / "policy"
    fields = {
        "env_kw.num_particles": 4,
        "env_kw.max_steps": 150,
        "ppo.num_envs": 4,
        "ppo.num_steps": 8,
        "ppo.num_minibatches": 2,
        **{f"model_kw.{field}": value for field, value in SMALL[name].items()},
    }
    arguments = ["--model", f"jaxdem:{name}", "--steps", "512", "--report-every", "2", "--out", str(run)]
    arguments += [word for field, value in fields.items() for word in ("--set", f"{field}={value}")]
    for command in (
        ["train", *arguments, "--json"],
        ["eval", str(run), "--episodes", "4", "--json"],
        ["export", str(run), str(file), "--json"],
    ):
        done = CliRunner().invoke(main, command)
        assert done.exit_code == 0, done.output
        assert json.loads(done.output.splitlines()[-1])
    policy = ac.load_policy(run)
    observation = jnp.ones((5, policy.observation_size))
    loaded = jax.export.deserialize(bytearray(file.read_bytes()))
    carry = [jnp.ones((5, *leaf.shape[1:]), leaf.dtype) for leaf in loaded.out_avals[1:]]
    mine = policy.initial_carry((5,))
    for start in (True, False):
        action, carry = loaded.call(observation, jnp.full(5, start), carry)
        expected, mine = policy.step(observation, mine)
        np.testing.assert_allclose(action, expected, atol=1e-5)
    refused = CliRunner().invoke(main, ["train", *arguments[:-2], "--set", "ppo.num_minibatches=8", "--overwrite"])
    assert refused.exit_code == 2
    assert "num_minibatches=8 for num_envs=4" in refused.output


@pytest.mark.parametrize("model", ["SharedActorCritic", "ActorCritic"])
def test_its_feed_forward_models_train_and_act(rl: ModuleType, model: str) -> None:
    """They keep lists, which `jax.jit` takes in no structure, and their own distribution has no mode."""
    config = ac.TrainConfig(
        env_kw={"num_particles": 4, "max_steps": 150},
        model=f"jaxdem:{model}",
        ppo=ac.PPOConfig(num_envs=4, num_steps=8, num_minibatches=2),
        steps=2 * 4 * 4 * 8,
    )
    policy = ac.train(config).policy
    assert not policy.is_recurrent
    action = policy(jnp.ones((3, policy.observation_size)))
    assert action.shape == (3, 2)
    assert np.isfinite(action).all()
