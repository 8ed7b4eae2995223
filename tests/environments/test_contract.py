"""What holds for every environment that is registered."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array
from support.compared import assert_equal

import jaxdem_ac as ac
from jaxdem_ac.environments.base import Environment
from jaxdem_ac.environments.batching import reset_batch, reset_where
from jaxdem_ac.environments.testing import parametrize_with_checks
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


def differs(one: Any, other: Any) -> bool:
    return any(not np.array_equal(a, b) for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True))


@parametrize_with_checks(*(ac.make_environment(name, **SMALL) for name in OWN))
def test_ours_keep_to_the_contract(check: Callable[[], None]) -> None:
    check()


def test_sizes_and_types(environment: Environment, reset: Any) -> None:
    assert environment.num_particles == NUM_PARTICLES
    assert environment.episode_length == -(-MAX_STEPS // PHYSICS_STEPS)
    assert reset(jax.random.key(0)).observation.dtype == jnp.result_type(float)


def test_large_actions_matter_and_break_nothing(environment: Environment, reset: Any, step: Any) -> None:
    state = reset(jax.random.key(2))
    one, timestep = step(state, random_action(environment, 0))
    other, _ = step(state, random_action(environment, 1))
    assert differs(one.observation, other.observation)
    for leaf in jax.tree.leaves((one, timestep)):
        assert np.isfinite(leaf).all()
    assert timestep.reward.dtype == jnp.result_type(float)


def test_a_step_changes_nothing_in_place(environment: Environment, reset: Any, step: Any) -> None:
    state = reset(jax.random.key(3))
    before = jax.tree.map(np.array, state)
    step(state, random_action(environment, 0))
    assert_equal(state, before)


def test_another_key_is_another_beginning(reset: Any) -> None:
    assert differs(reset(jax.random.key(4)).observation, reset(jax.random.key(5)).observation)


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


@pytest.mark.parametrize("field", ["num_particles", "max_steps", "physics_steps"])
@pytest.mark.parametrize("value", [0, -1, 1.5, True, None])
def test_a_bad_count_is_named(environment: Environment, field: str, value: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=rf"{field} .*got {field}={value!r}"):
        type(environment)(**{**SMALL, field: value})


def test_an_unknown_keyword_gets_the_nearest(environment: Environment) -> None:
    name = next(name for name in OWN if type(environment) is environments.get(name))
    with pytest.raises(TypeError, match=r"'num_particle'.*Did you mean 'num_particles'"):
        ac.make_environment(name, num_particle=3)
