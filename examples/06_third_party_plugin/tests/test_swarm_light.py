"""The plugin's own tests, with what jaxdem-ac has for them."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxdem_ac as ac
from jaxdem_ac.action_spaces import testing as action_spaces_testing
from jaxdem_ac.environments import testing as environments_testing
from jaxdem_ac.registry import action_spaces, environments

NAMES = {"phototaxis": environments, "PolarThrust": action_spaces}


@pytest.mark.parametrize("name", NAMES)
def test_it_is_found_by_name(name: str) -> None:
    entry = NAMES[name].find(name)
    assert (entry.name, entry.origin) == (name, "swarm-light")
    assert NAMES[name].problems == []


@environments_testing.parametrize_with_checks(
    ac.make_environment("phototaxis", num_particles=3, max_steps=9, physics_steps=2)
)
def test_the_environment_keeps_to_the_contract(check: Callable[[], None]) -> None:
    check()


@action_spaces_testing.parametrize_with_checks(
    *(ac.make_action_space("PolarThrust", max_speed=max_speed) for max_speed in (1.0, 0.3, 40.0)), size=2
)
def test_the_action_space_keeps_to_the_contract(check: Callable[[], None]) -> None:
    check()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("max_speed", [1.0, 1e-3, 1e3])
def test_the_log_determinant_is_that_of_the_derivative(max_speed: float, dtype: Any) -> None:
    thrust = ac.make_action_space("PolarThrust", max_speed=max_speed)
    with jax.enable_x64(dtype == np.float64):
        directions = np.random.default_rng(0).normal(size=(40, 2))
        directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
        # On both sides of where a series takes over, too.
        distances = np.concatenate([[0.0, 1e-6, 0.0316, 0.0317], np.linspace(0.05, 4.5, 36)])
        x = jnp.asarray(distances[:, None] * directions, dtype)
        y, log_det = thrust.forward_and_log_det(x)
        exact = np.linalg.slogdet(np.asarray(jax.vmap(jax.jacfwd(thrust.forward))(x), np.float64))[1]
        back, back_log_det = thrust.inverse_and_log_det(y)
        # The map's slope falls as exp(-r**2 / 2), and takes digits with it.
        tolerance = 20 * np.finfo(dtype).eps * np.exp(distances**2 / 2)
        assert (np.abs(log_det - exact) <= tolerance).all()
        assert (np.abs(back_log_det + log_det) <= tolerance).all()
        assert (np.linalg.norm(back - x, axis=-1) <= tolerance).all()
        assert (np.linalg.norm(y, axis=-1) <= max_speed).all()


def test_no_action_is_outside_however_far_out() -> None:
    x = jnp.asarray(np.random.default_rng(1).normal(size=(10_000, 2)) * np.geomspace(1e-3, 1e4, 10_000)[:, None])
    for max_speed in (1e-6, 0.3, 1.0, 1e6):
        y = ac.make_action_space("PolarThrust", max_speed=max_speed).forward(x)
        assert (np.linalg.norm(np.asarray(y, np.float64), axis=-1) <= max_speed).all()


def test_the_normal_becomes_uniform_on_the_disc() -> None:
    thrust = ac.make_action_space("PolarThrust", max_speed=2.0)
    y = np.asarray(thrust.forward(jax.random.normal(jax.random.key(0), (100_000, 2))))
    area = (np.linalg.norm(y, axis=-1) / 2.0) ** 2
    heading = np.arctan2(y[:, 1], y[:, 0]) / (2 * np.pi) + 0.5
    for share in (area, heading):
        # Kolmogorov's distance: above 2.5 / sqrt(n) by chance once in 100,000 times.
        ranks = np.arange(1, len(share) + 1) / len(share)
        assert np.abs(np.sort(share) - ranks).max() < 2.5 / np.sqrt(len(share))


def test_the_entropy_is_that_of_the_disc_less_the_divergence() -> None:
    model = ac.make_model(
        "SharedActorCritic",
        observation_space_size=3,
        action_space_size=2,
        key=jax.random.key(0),
        action_space=ac.make_action_space("PolarThrust", max_speed=2.0),
    )
    policy, _ = model(jnp.zeros((1, 3)))
    mean, std = policy.distribution.loc[0], policy.scale
    divergence = 0.5 * jnp.sum(mean**2 + std**2 - 1 - 2 * jnp.log(std))
    np.testing.assert_allclose(policy.entropy()[0], math.log(math.pi * 4) - divergence, rtol=1e-5)


@pytest.mark.parametrize(("keywords", "words"), [({"max_speed": 0.0}, "max_speed"), ({"max_sped": 1}, "'max_speed'")])
def test_a_mistake_is_named(keywords: dict[str, Any], words: str) -> None:
    with pytest.raises((TypeError, ValueError), match=words):
        ac.make_action_space("PolarThrust", **keywords)


def light(position: list[list[float]], tilt: float = 0.0, **keywords: Any) -> list[float]:
    environment = ac.make_environment("phototaxis", num_particles=len(position), **keywords)
    return environment.make_state(position=position, tilt=tilt).light.tolist()


def test_who_stands_in_whose_light() -> None:
    assert light([[10.0, 10.0]]) == [1.0]
    assert light([[10.0, 10.0], [10.0, 20.0]]) == [0.0, 1.0]
    # Half a radius to the side, three quarters of the width are in the dark: there are eyes in eight places.
    assert light([[10.0, 10.0], [10.5, 20.0]]) == [0.25, 1.0]
    assert light([[10.0, 10.0], [12.1, 20.0]]) == [1.0, 1.0]
    # From the right at 45 degrees, who stands up and to the right shades.
    assert light([[10.0, 10.0], [20.0, 20.0]], tilt=math.pi / 4) == [0.0, 1.0]
    assert light([[10.0, 10.0], [10.0, 20.0]], tilt=math.pi / 4) == [1.0, 1.0]


def test_eyes_are_seen_from_left_to_right() -> None:
    environment = ac.make_environment("phototaxis", num_particles=2, num_eyes=4)
    state = environment.make_state(position=[[10.0, 10.0], [11.0, 20.0]])
    assert state.observation[0, 4:8].tolist() == [1.0, 1.0, 0.0, 0.0]
    assert state.highlight.tolist() == [False, True]


def test_the_harvest_is_light_less_effort_and_shared() -> None:
    environment = ac.make_environment("phototaxis", num_particles=2, effort=0.1, sharing=0.5)
    state = environment.make_state(position=[[10.0, 10.0], [10.0, 20.0]])
    _, timestep = environment.step(state, jnp.asarray([[0.0, -0.5], [0.0, 2.0]]))
    own = environment.decision_time * np.array([0.0 - 0.1 * 0.25, 1.0 - 0.1 * 1.0])
    np.testing.assert_allclose(timestep.reward, 0.5 * own + 0.5 * own.mean(), rtol=1e-5)
    assert float(timestep.info["success"]) == 0.5


def test_a_disc_swims_at_its_speed_and_stays_inside() -> None:
    environment = ac.make_environment("phototaxis", num_particles=1)
    state = environment.make_state(position=[[10.0, 5.0]])
    for _ in range(15):
        state, _ = environment.step(state, jnp.asarray([[0.0, 7.0]]))
    np.testing.assert_allclose(state.particles.velocity[0], [0.0, environment.swim_speed], atol=0.02)
    for _ in range(60):
        state, _ = environment.step(state, jnp.asarray([[0.0, 1.0]]))
    assert 28.9 < float(state.particles.position[0, 1]) < 29.1


@pytest.mark.parametrize("keywords", [{"num_particles": 0}, {"sharing": 1.1}, {"box_size": 5.0}, {"dt": -1.0}])
def test_a_field_out_of_its_range_is_named(keywords: dict[str, Any]) -> None:
    name = next(iter(keywords))
    with pytest.raises(ValueError, match=rf"Phototaxis: .*got .*{name}="):
        ac.make_environment("phototaxis", **keywords)
