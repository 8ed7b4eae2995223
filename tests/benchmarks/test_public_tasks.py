"""The public tasks that training is compared on keep the contract of our environments."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.public_tasks import BraxTask, GymnaxTask
from jaxdem_ac.environments.base import Environment
from jaxdem_ac.environments.batching import reset_batch, step_batch
from jaxdem_ac.trainers.rollout import rollout


@pytest.fixture(params=["gymnax", "brax"], scope="module")
def task(request: pytest.FixtureRequest) -> Environment:
    pytest.importorskip(request.param, exc_type=ImportError)
    return GymnaxTask() if request.param == "gymnax" else BraxTask(max_steps=100)


def kinds(tree: Any) -> list[Any]:
    return [(leaf.shape, leaf.dtype, leaf.weak_type) for leaf in jax.tree.leaves(tree)]


def test_a_step_keeps_shapes_and_types(task: Environment) -> None:
    state = reset_batch(task, jax.random.split(jax.random.key(0), 3))
    low, high = task.action_bounds
    assert low < high
    new, timestep = jax.jit(step_batch, static_argnums=0)(task, state, jnp.zeros((3, 1, task.action_size)))
    assert kinds(new) == kinds(state)
    assert state.observation.shape == timestep.observation.shape == (3, 1, task.observation_size)
    assert timestep.reward.shape == (3, 1)
    assert timestep.terminated.dtype == timestep.truncated.dtype == bool
    assert hash(task) == hash(type(task)(**vars(task)))
    with pytest.raises(ValueError, match="one row for each particle"):
        task.step(task.reset(jax.random.key(0)), jnp.zeros(task.action_size))


def test_episodes_end_as_the_task_has_it(task: Environment) -> None:
    played = rollout(task, "random", jax.random.key(0), num_steps=task.episode_length + 1, num_envs=4)
    assert ((played.info["success"] >= 0) & (played.info["success"] <= 1)).all()
    ended = np.asarray(played.terminated | played.truncated)
    if isinstance(task, GymnaxTask):
        # A time limit is the only end of a pendulum, and one that all meet together.
        assert not played.terminated.any()
        assert (np.flatnonzero(ended[:, 0]) == [task.episode_length - 1]).all()
        assert (played.reward <= 0).all()
    else:
        # A pole that is moved at random falls long before the limit, and the next one stands.
        assert not played.truncated.any()
        assert ended.any(0).all()
        first = ended[:, 0].argmax()
        assert abs(played.next_observation[first, 0, 0, 1]) > 0.2 > abs(played.observation[first + 1, 0, 0, 1])
