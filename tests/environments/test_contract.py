"""What holds for every environment that is registered."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array

import jaxdem_ac as ac
from jaxdem_ac.environments.base import Environment, Timestep, reset_batch, reset_where, step_batch
from jaxdem_ac.registry import environments

NUM_PARTICLES, MAX_STEPS, PHYSICS_STEPS = 6, 9, 2
SMALL = {"num_particles": NUM_PARTICLES, "max_steps": MAX_STEPS, "physics_steps": PHYSICS_STEPS}

OWN = [entry.name for entry in environments.entries() if entry.origin == "jaxdem-ac"]


@pytest.fixture(params=OWN, scope="module")
def environment(request: pytest.FixtureRequest) -> Environment:
    return ac.make_environment(request.param, **SMALL)


@pytest.fixture(scope="module")
def reset(environment: Environment) -> Any:
    return jax.jit(environment.reset)


@pytest.fixture(scope="module")
def step(environment: Environment) -> Any:
    return jax.jit(environment.step)


def random_action(environment: Environment, seed: int) -> Array:
    shape = (environment.num_particles, environment.action_size)
    return jax.random.uniform(jax.random.key(seed), shape, minval=-3.0, maxval=3.0)


def assert_close(one: Any, other: Any, tolerance: float = 1e-5) -> None:
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance), one, other)


def assert_equal(one: Any, other: Any) -> None:
    jax.tree.map(np.testing.assert_array_equal, one, other)


def differs(one: Any, other: Any) -> bool:
    return any(not np.array_equal(a, b) for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True))


def assert_valid(environment: Environment, timestep: Timestep) -> None:
    num = environment.num_particles
    assert timestep.observation.shape == (num, environment.observation_size)
    assert timestep.reward.shape == (num,)
    assert timestep.observation.dtype == timestep.reward.dtype == jnp.result_type(float)
    for flag in (timestep.terminated, timestep.truncated):
        assert flag.shape == ()
        assert flag.dtype == np.bool_
    assert 0 <= float(timestep.info["success"]) <= 1
    for figure in timestep.info.values():
        assert figure.shape == ()
    for leaf in jax.tree.leaves(timestep):
        assert np.isfinite(leaf).all()


def test_sizes(environment: Environment, reset: Any) -> None:
    assert environment.num_particles == NUM_PARTICLES
    state = reset(jax.random.key(0))
    assert state.observation.shape == (NUM_PARTICLES, environment.observation_size)
    assert state.observation.dtype == jnp.result_type(float)
    assert environment.action_size >= 1
    assert environment.decision_time > 0
    for leaf in jax.tree.leaves(state):
        assert np.isfinite(leaf).all()


def test_an_episode_is_valid_and_ends_at_its_time_limit(environment: Environment, reset: Any, step: Any) -> None:
    state = reset(jax.random.key(1))
    assert environment.episode_length == -(-MAX_STEPS // PHYSICS_STEPS)
    for decision in range(1, environment.episode_length + 1):
        state, timestep = step(state, random_action(environment, decision))
        assert_valid(environment, timestep)
        np.testing.assert_array_equal(timestep.observation, state.observation)
        if bool(timestep.terminated):
            break
        assert bool(timestep.truncated) == (decision == environment.episode_length)


def test_actions_matter(environment: Environment, reset: Any, step: Any) -> None:
    state = reset(jax.random.key(2))
    one, _ = step(state, random_action(environment, 0))
    other, _ = step(state, random_action(environment, 1))
    assert differs(one.observation, other.observation)


def test_a_step_changes_nothing_in_place(environment: Environment, reset: Any, step: Any) -> None:
    state = reset(jax.random.key(3))
    before = jax.tree.map(np.array, state)
    step(state, random_action(environment, 0))
    assert_equal(state, before)


def test_reset_is_a_function_of_its_key(environment: Environment, reset: Any) -> None:
    one = reset(jax.random.key(4))
    assert_equal(one, reset(jax.random.key(4)))
    assert differs(one.observation, reset(jax.random.key(5)).observation)


def test_a_step_is_traced_once(environment: Environment, reset: Any) -> None:
    traces = []

    @jax.jit
    def step(state: Any, action: Array) -> Any:
        traces.append(None)
        return environment.step(state, action)

    state = reset(jax.random.key(6))
    for seed in range(3):
        state, _ = step(state, random_action(environment, seed))
    assert len(traces) == 1


def test_compiled_equals_eager(environment: Environment, reset: Any, step: Any) -> None:
    key, action = jax.random.key(7), random_action(environment, 0)
    assert_close(reset(key), environment.reset(key))
    state = reset(key)
    assert_close(step(state, action), environment.step(state, action))


def test_a_batch_is_a_loop(environment: Environment, reset: Any, step: Any) -> None:
    keys = jax.random.split(jax.random.key(8), 3)
    actions = jnp.stack([random_action(environment, seed) for seed in range(3)])
    states = jax.jit(reset_batch, static_argnums=0)(environment, keys)
    stepped = jax.jit(step_batch, static_argnums=0)(environment, states, actions)
    for index in range(3):
        alone = reset(keys[index])
        assert_close(jax.tree.map(lambda leaf, i=index: leaf[i], states), alone)
        assert_close(jax.tree.map(lambda leaf, i=index: leaf[i], stepped), step(alone, actions[index]), 1e-4)


def test_only_ended_episodes_are_reset(environment: Environment) -> None:
    keys, fresh_keys = jax.random.split(jax.random.key(9), 4), jax.random.split(jax.random.key(10), 4)
    states = jax.jit(reset_batch, static_argnums=0)(environment, keys)
    fresh = jax.jit(reset_batch, static_argnums=0)(environment, fresh_keys)
    done = jnp.asarray([False, True, False, True])
    chosen = jax.jit(reset_where, static_argnums=0)
    mixed = chosen(environment, states, done, fresh_keys)
    for index, ended in enumerate(done):
        found, expected = (
            jax.tree.map(lambda leaf, i=index: leaf[i], tree) for tree in (mixed, fresh if ended else states)
        )
        assert_close(found, expected) if ended else assert_equal(found, expected)
    assert_equal(chosen(environment, states, jnp.zeros(4, bool), fresh_keys), states)


def test_an_action_of_another_shape_is_refused(environment: Environment, reset: Any) -> None:
    state = reset(jax.random.key(11))
    good = (environment.num_particles, environment.action_size)
    for shape in (good[1:], (3, *good), (good[0] + 1, good[1]), (good[0], good[1] + 1)):
        with pytest.raises(ValueError, match=r"\(num_particles, action_size\)") as raised:
            environment.step(state, jnp.zeros(shape))
        assert str(good) in str(raised.value)
        assert str(shape) in str(raised.value)


def test_configurations_are_hashable_and_compare(environment: Environment) -> None:
    name = next(name for name in OWN if type(environment) is environments.get(name))
    assert environment == ac.make_environment(name, **SMALL)
    assert hash(environment) == hash(ac.make_environment(name, **SMALL))
    assert environment != ac.make_environment(name, **{**SMALL, "max_steps": MAX_STEPS + 1})


def test_what_it_advises_can_be_built(environment: Environment) -> None:
    name = next(name for name in OWN if type(environment) is environments.get(name))
    advised = ac.make_environment(name, **environment.training_defaults)
    assert advised.num_particles >= 1
    for space, keywords in environment.action_space_defaults.items():
        assert ac.make_action_space(space, **keywords).metadata.items() >= keywords.items()


@pytest.mark.parametrize("field", ["num_particles", "max_steps", "physics_steps"])
@pytest.mark.parametrize("value", [0, -1, 1.5, True, None])
def test_a_bad_count_is_named(environment: Environment, field: str, value: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=rf"{field} .*got {field}={value!r}"):
        type(environment)(**{**SMALL, field: value})


def test_an_unknown_keyword_gets_the_nearest(environment: Environment) -> None:
    name = next(name for name in OWN if type(environment) is environments.get(name))
    with pytest.raises(TypeError, match=r"'num_particle'.*Did you mean 'num_particles'"):
        ac.make_environment(name, num_particle=3)
