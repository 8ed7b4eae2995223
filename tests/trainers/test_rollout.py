"""Playing environments: shapes, resets in between, and what a trajectory keeps of the end of an episode."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxdem_ac as ac
from jaxdem_ac.environments.base import Environment
from jaxdem_ac.environments.testing import Counting, Tracking

NUM_STEPS, NUM_ENVS = 7, 3


def model_for(environment: Environment, **keywords: Any) -> Any:
    return ac.make_model(
        "SharedActorCritic",
        observation_space_size=environment.observation_size,
        action_space_size=environment.action_size,
        key=0,
        architecture=(8,),
        **keywords,
    )


@pytest.fixture(scope="module")
def navigator() -> Environment:
    return ac.make_environment("swarm_navigator", num_particles=4, max_steps=6, physics_steps=2, n_lidar_rays=5)


@pytest.mark.parametrize("kind", ["random", "model"])
def test_shapes_and_numbers(navigator: Environment, kind: str) -> None:
    player = "random" if kind == "random" else model_for(navigator, action_space="MaxNorm")
    trajectory = ac.rollout(navigator, player, jax.random.key(0), NUM_STEPS, NUM_ENVS)
    lead = (NUM_STEPS, NUM_ENVS)
    assert trajectory.observation.shape == trajectory.next_observation.shape == (*lead, 4, 12)
    assert trajectory.action.shape == (*lead, 4, 2)
    assert trajectory.reward.shape == (*lead, 4)
    assert trajectory.terminated.shape == trajectory.truncated.shape == trajectory.info["success"].shape == lead
    for leaf in jax.tree.leaves(trajectory):
        assert np.isfinite(leaf).all()
    np.testing.assert_array_equal(trajectory.truncated[:, 0], [(t + 1) % 3 == 0 for t in range(NUM_STEPS)])
    limit = 1.0 if kind == "model" else np.sqrt(2)
    assert np.linalg.norm(trajectory.action, axis=-1).max() <= limit


def test_an_episodes_last_observation_is_its_own() -> None:
    trajectory = ac.rollout(Counting(), "random", jax.random.key(0), NUM_STEPS, 2)
    np.testing.assert_array_equal(trajectory.observation[:, 0, 0, 0], [0, 1, 2, 0, 1, 2, 0])
    np.testing.assert_array_equal(trajectory.next_observation[:, 0, 0, 0], [1, 2, 3, 1, 2, 3, 1])
    np.testing.assert_array_equal(trajectory.truncated[:, 0], [0, 0, 1, 0, 0, 1, 0])
    assert not trajectory.terminated.any()


def test_inside_an_episode_one_observation_follows_another(navigator: Environment) -> None:
    trajectory = ac.rollout(navigator, "random", jax.random.key(1), NUM_STEPS, NUM_ENVS)
    going_on = ~np.asarray(trajectory.truncated)[:-1]
    np.testing.assert_array_equal(trajectory.next_observation[:-1][going_on], trajectory.observation[1:][going_on])
    assert not np.array_equal(trajectory.next_observation[2], trajectory.observation[3])


def test_can_be_traced_and_is_a_function_of_its_key() -> None:
    environment = Tracking()
    model = model_for(environment, action_space="MaxNorm")
    key = jax.random.key(2)
    eager = ac.rollout(environment, model, key, 3, 2)
    compiled = jax.jit(lambda key: ac.rollout(environment, model, key, 3, 2))(key)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4), compiled, eager)
    other = ac.rollout(environment, model, jax.random.key(3), 3, 2)
    assert not np.array_equal(other.action, eager.action)
    assert not np.array_equal(eager.action[0, 0], eager.action[0, 1])
    assert not np.array_equal(eager.action[0, 0], eager.action[1, 0])


def test_one_environment_is_the_default() -> None:
    assert ac.rollout(Counting(), "random", jax.random.key(0), 2).reward.shape == (2, 1, 2)


def test_the_models_policy_is_sampled() -> None:
    environment = Tracking()
    model = model_for(environment, action_space="Free")
    model.actor_sigma.log_std[...] = jnp.log(jnp.full((1, 1), 1e-4))
    trajectory = ac.rollout(environment, model, jax.random.key(0), 5, 3)
    mode = model(trajectory.observation)[0].mode()
    np.testing.assert_allclose(trajectory.action, mode, atol=1e-3)
    assert not np.array_equal(trajectory.action, mode)


@pytest.mark.parametrize("name", ["num_steps", "num_envs"])
@pytest.mark.parametrize("value", [0, -1, 1.5, True])
def test_a_bad_number_is_named(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"rollout: {name} .*got {name}={value!r}"):
        ac.rollout(Counting(), "random", jax.random.key(0), **{"num_steps": 1, "num_envs": 1, name: value})


def test_another_word_than_random_is_refused() -> None:
    with pytest.raises(ValueError, match="a model or 'random'; got 'ranodm'"):
        ac.rollout(Counting(), "ranodm", jax.random.key(0), 1)
