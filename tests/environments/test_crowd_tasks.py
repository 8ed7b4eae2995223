"""What holds for every task with a crowd."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdem_ac.environments.batching import reset_batch, reset_where, step_batch
from jaxdem_ac.environments.tasks.collective_transport import CollectiveTransport
from jaxdem_ac.environments.tasks.evacuation import Evacuation
from jaxdem_ac.environments.tasks.swarm_roller import SwarmRoller
from jaxdem_ac.registry import environments

# What the contract test does not prove of this task: most of it is compiling.
pytestmark = pytest.mark.slow


@partial(jax.jit, static_argnums=0)
def reset(env, key):
    return env.reset(key)


@partial(jax.jit, static_argnums=0)
def step(env, state, action):
    return env.step(state, action)


TASKS = {"collective_transport": CollectiveTransport, "evacuation": Evacuation, "swarm_roller": SwarmRoller}


@pytest.fixture(params=TASKS, scope="module")
def env(request):
    return TASKS[request.param]()


def action_of(env, seed=0):
    return jax.random.uniform(jax.random.key(seed), (env.num_particles, env.action_size), minval=-1, maxval=1)


@pytest.mark.parametrize("name", TASKS)
def test_registered_under_its_name_and_again_without_harm(name):
    assert environments.get(name) is TASKS[name]
    cls = TASKS[name]
    environments.add(name, f"{cls.__module__}:{cls.__qualname__}")
    assert environments.name_of(cls) == name


def test_shapes_and_finite_numbers(env):
    num = env.num_particles
    state, timestep = step(env, reset(env, jax.random.key(0)), action_of(env))
    assert state.observation.shape == timestep.observation.shape == (num, env.observation_size)
    assert timestep.reward.shape == (num,)
    assert timestep.terminated.shape == timestep.truncated.shape == timestep.info["success"].shape == ()
    assert 0 <= float(timestep.info["success"]) <= 1
    assert int(timestep.info["overflow"]) == 0
    for leaf in jax.tree.leaves((state, timestep)):
        assert np.isfinite(np.asarray(leaf)).all()
    structure = jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), reset(env, jax.random.key(0)))
    assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), state) == structure


def test_reset_is_deterministic_and_differs_between_keys(env):
    first, again, other = (reset(env, jax.random.key(seed)) for seed in (1, 1, 2))
    jax.tree.map(np.testing.assert_array_equal, first, again)
    assert not np.allclose(first.particles.position, other.particles.position)


def test_compiled_agrees_with_uncompiled(env):
    state, action = reset(env, jax.random.key(0)), action_of(env)
    left, right = step(env, state, action), env.step(state, action)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-4), left, right)


def test_a_batch_agrees_with_one_by_one(env):
    keys = jax.random.split(jax.random.key(0), 3)
    actions = jnp.stack([action_of(env, seed) for seed in range(3)])
    batch, _ = jax.jit(lambda keys, actions: step_batch(env, reset_batch(env, keys), actions))(keys, actions)
    for index in range(3):
        alone, _ = step(env, reset(env, keys[index]), actions[index])
        np.testing.assert_allclose(batch.observation[index], alone.observation, atol=2e-4)
    fresh = jax.jit(partial(reset_where, env))(batch, jnp.array([False, True, False]), keys)
    np.testing.assert_array_equal(fresh.step_count, [env.physics_steps, 0, env.physics_steps])


def test_truncated_at_the_limit_and_not_before(env):
    def body(state, _):
        state, timestep = step(env, state, jnp.zeros((env.num_particles, env.action_size)))
        return state, (timestep.truncated, timestep.terminated)

    state = reset(env, jax.random.key(0))
    _, (truncated, terminated) = jax.jit(lambda s: jax.lax.scan(body, s, length=env.episode_length))(state)
    assert not terminated.any()
    assert np.flatnonzero(truncated).tolist() == [env.episode_length - 1]
    assert env.decision_time == pytest.approx(env.physics_steps * env.dt)


def test_nobody_leaves_the_box(env):
    def body(carry, key):
        action = jax.random.normal(key, (env.num_particles, 2)) * 3
        # Held for ten decisions, so that many reach the walls.
        state = jax.lax.fori_loop(0, 10, lambda _, s: step(env, s, action)[0], carry)
        return state, state.particles.position[: env.num_particles, :2]

    state = reset(env, jax.random.key(0))
    _, position = jax.jit(lambda s: jax.lax.scan(body, s, jax.random.split(jax.random.key(1), 10)))(state)
    assert bool((position > state.box_low).all())
    assert bool((position < state.box_high).all())


def test_shapes_that_do_not_fit_are_refused(env):
    state = reset(env, jax.random.key(0))
    with pytest.raises(ValueError, match="an action is"):
        step(env, state, jnp.zeros((env.num_particles + 1, env.action_size)))
    keywords = {
        CollectiveTransport: {"load": [0, 0], "targets": [[0, 0]], "box_low": [-9, -9], "box_high": [9, 9]},
        SwarmRoller: {"targets": np.zeros((16, 2)), "box_low": [-9, -9], "box_high": [9, 9]},
        Evacuation: {},
    }[type(env)]
    with pytest.raises(ValueError, match="make_state: position is"):
        env.make_state(position=np.zeros((env.num_particles + 1, 2)), **keywords)
