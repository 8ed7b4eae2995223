"""Active Brownian discs: closed forms of free ones, steering, and the periodic box they see and move in."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.compared import assert_equal

import jaxdem_ac as ac
from jaxdem_ac.environments.sensing.neighbor_lists import NeighborLists

KEY = jax.random.key(0)
STATE: dict[str, Any] = {"position": [[0.6, 3.0], [6.1, 3.0]], "orientation": [0.3, -0.7], "key": KEY}


def test_free_discs_have_their_closed_form_displacement_and_forget_their_heading() -> None:
    """<r^2> = 2 v^2 tau (t - tau (1 - exp(-t / tau))), tau = 1 / rotational_diffusion: a persistent random walk."""
    speed, tau, num = 1.5, 0.5, 8_192
    # Short decisions, since a heading is held for one, and a light disc, since a mass keeps its speed for a while.
    task = ac.make_environment(
        "active_brownian", num_particles=1, speed=speed, rotational_diffusion=1 / tau, physics_steps=4, mass=0.0125
    )
    every, pieces = 50, 4

    @jax.jit
    def play(keys: Any) -> Any:
        def body(carry: Any, _: None) -> Any:
            state, way = carry
            after, _ = task.step(state, jnp.zeros((1, 1)))
            moved = task.world().displacement(state.particles.position, after.particles.position)
            return (after, way + moved), None

        def piece(carry: Any, _: None) -> Any:
            carry, _ = jax.lax.scan(body, carry, length=every)
            return carry, (carry[1][0], carry[0].orientation[0])

        def one(key: Any) -> Any:
            state = task.reset(key)
            (way, heading) = jax.lax.scan(piece, (state, jnp.zeros((1, 2))), length=pieces)[1]
            return way, heading - state.orientation[0]

        return jax.vmap(one)(keys)

    way, turned = map(np.asarray, play(jax.random.split(KEY, num)))
    time = task.decision_time * every * np.arange(1, pieces + 1)
    square = np.sum(way.astype(float) ** 2, -1)
    expected = 2 * speed**2 * tau * (time - tau * (1 - np.exp(-time / tau)))
    # Four standard errors of the mean, and a hundredth for the mass and the held headings.
    error = 4 * square.std(0) / np.sqrt(num) + 0.01 * expected
    assert (np.abs(square.mean(0) - expected) < error).all(), (square.mean(0) / expected, error / expected)
    assert error.max() < 0.07 * expected.max()
    np.testing.assert_allclose(np.cos(turned).mean(0), np.exp(-time / tau), atol=4 * np.sqrt(0.5 / num))


def test_an_action_turns_the_heading_at_its_rate() -> None:
    task = ac.make_environment("active_brownian", num_particles=2, rotational_diffusion=0.0)
    after, _ = task.step(task.make_state(**STATE), jnp.array([[0.5], [-7.0]]))
    np.testing.assert_allclose(after.orientation, [0.3 + 0.5 * 0.3, -0.7 - 0.3], rtol=1e-6)
    for _ in range(10):
        after, _ = task.step(after, jnp.zeros((2, 1)))
    heading = np.stack([np.cos(after.orientation), np.sin(after.orientation)], -1)
    np.testing.assert_allclose(after.particles.velocity, heading, atol=1e-4)


def test_noise_is_of_the_key_and_no_two_are_alike() -> None:
    task = ac.make_environment("active_brownian")
    assert_equal(task.reset(KEY), task.reset(jax.random.key(0)))
    still, states = jnp.zeros((16, 1)), [task.reset(jax.random.key(seed)) for seed in (0, 1)]
    after = [task.step(state, still)[0].orientation - state.orientation for state in states]
    again = task.step(task.reset(KEY), still)[0].orientation - states[0].orientation
    np.testing.assert_array_equal(after[0], again)
    width = np.sqrt(2 * task.rotational_diffusion * task.decision_time)
    turns = np.abs(np.concatenate([*after, after[0] - after[1]]))
    assert 0.01 * width < np.median(turns) < 2 * width
    assert len(np.unique(turns)) == 48
    # A key of another kind begins an episode too.
    assert np.isfinite(task.reset(jax.random.key(0, impl="rbg")).observation).all()


def test_discs_see_and_touch_through_the_side_of_the_box() -> None:
    """Both 1.0 apart through the side at x = 0, their own frames turned by their headings."""
    task = ac.make_environment("active_brownian", num_particles=2, n_lidar_rays=8, rotational_diffusion=0.0)
    state = task.make_state(**STATE)
    for disc, (towards, own, other) in enumerate([(np.pi, 0.3, -0.7), (0.0, -0.7, 0.3)]):
        seen = np.asarray(state.observation[disc])
        np.testing.assert_allclose(seen[:4], [1, 0, 1, 0], atol=1e-6)
        np.testing.assert_allclose(seen[4:6], [np.cos(other - own), np.sin(other - own)], atol=1e-6)
        sector = int(np.mod(towards - own + np.pi, 2 * np.pi) // (np.pi / 4))
        np.testing.assert_allclose(seen[6:], 0.6 * (np.arange(8) == sector), atol=1e-6)
    state = task.make_state(position=[[0.4, 3.0], [6.2, 3.0]], orientation=[np.pi, 0.0], key=KEY)
    for _ in range(30):
        state, _ = task.step(state, jnp.zeros((2, 1)))
    apart = task.world().displacement(state.particles.position[1], state.particles.position[0])
    # They push on each other with a force of 1 each, against a stiffness of 100.
    np.testing.assert_allclose(apart, [0.99, 0.0], atol=1e-4)
    np.testing.assert_allclose(state.particles.velocity, 0.0, atol=1e-3)


def test_a_disc_that_leaves_the_box_enters_on_the_other_side() -> None:
    task = ac.make_environment("active_brownian", num_particles=1, rotational_diffusion=0.0)
    state = task.make_state(position=[[6.4, 1.0]], orientation=[0.0], key=KEY)
    for _ in range(10):
        state, _ = task.step(state, jnp.zeros((1, 1)))
    np.testing.assert_allclose(state.particles.position, [[0.9, 1.0]], atol=1e-4)


def test_lists_of_neighbours_show_what_all_pairs_do() -> None:
    task = ac.make_environment("active_brownian", num_particles=64, box_size=13.0)
    state = task.reset(KEY)
    assert state.vicinity.swarm is not None
    # Past a few wraps; one disc in another sector by rounding would be a difference of 0.1 and more.
    with_lists, alone = state, replace(state, vicinity=NeighborLists(None, None, None))
    step = jax.jit(task.step)
    for _ in range(12):
        with_lists, first = step(with_lists, jnp.zeros((64, 1)))
        alone, second = step(alone, jnp.zeros((64, 1)))
    np.testing.assert_allclose(with_lists.observation, alone.observation, atol=1e-3)
    np.testing.assert_allclose(first.reward, second.reward, atol=1e-5)
    assert float(first.info["overflow"]) == 0


def test_polar_order_of_random_headings_and_of_one_way() -> None:
    task = ac.make_environment("active_brownian", rotational_diffusion=0.0)
    state = jax.vmap(task.reset)(jax.random.split(KEY, 1_000))
    order = np.abs(np.exp(1j * np.asarray(state.orientation)).mean(-1))
    _, timestep = jax.vmap(task.step)(state, jnp.zeros((1_000, 16, 1)))
    np.testing.assert_allclose(timestep.info["success"], order, atol=1e-5)
    assert order.mean() == pytest.approx(np.sqrt(np.pi / 16) / 2, rel=0.05)
    np.testing.assert_allclose(timestep.reward.mean(-1), (16 * order**2 - 1) / 15, atol=1e-5)
    one = jax.tree.map(lambda leaf: leaf[0], state)
    _, timestep = task.step(replace(one, orientation=jnp.full(16, 2.0)), jnp.zeros((16, 1)))
    np.testing.assert_allclose(timestep.reward, 1.0, atol=1e-5)
    assert 1 - 1e-5 < float(timestep.info["success"]) <= 1


def test_discs_that_meet_overlap_as_two_springs_do() -> None:
    """``p + sqrt(p**2 + 2 m v**2 / k)`` without a drag to speak of, p = F / k, from which the check of options goes."""
    task = ac.make_environment(
        "active_brownian", num_particles=2, speed=6.0, drag=1e-3, rotational_diffusion=0, dt=2e-3
    )
    task = replace(task, physics_steps=1)
    state = task.make_state(position=[[2.0, 3.0], [3.0, 3.0]], orientation=[0.0, np.pi], key=KEY)

    def body(state: Any, _: None) -> Any:
        after = task.step(state, jnp.zeros((2, 1)))[0]
        return after, after.particles.position[1, 0] - after.particles.position[0, 0]

    apart = jax.lax.scan(body, state, length=50)[1]
    pushed = 6e-3 / 100
    np.testing.assert_allclose(1 - apart.min(), pushed + np.sqrt(pushed**2 + 2 * 0.05 * 36 / 100), rtol=0.02)


@pytest.mark.parametrize(
    ("keywords", "said"),
    [
        (
            {"num_particles": 48, "box_size": 8.0, "lidar_range": 4.5},
            "lidar_range <= box_size / 2; got lidar_range=4.5",
        ),
        ({"lidar_range": 0.4}, "beyond its particle"),
        ({"box_size": 5.0, "num_particles": 36}, "36 particles of radius 0.5 start in a region of 5 by 5"),
        ({"rotational_diffusion": -1.0}, "rotational_diffusion is at least 0"),
        ({"speed": 0.0}, "speed is above 0"),
        ({"dt": 0.05}, "resolves a contact"),
        ({"speed": 12.0}, "a force of 12 at a speed of 12 and stiffness=100, with which two overlap by 0.518"),
    ],
)
def test_options_that_do_not_fit_are_named(keywords: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        ac.make_environment("active_brownian", **keywords)


@pytest.mark.parametrize(
    ("keywords", "said"),
    [
        ({"position": [[1.0, 1.0]]}, r"position is \(2, 2\); got shape \(1, 2\)"),
        ({"orientation": 0.0}, r"orientation is \(2,\); got shape \(\)"),
        ({"orientation": [0.0, np.nan]}, "orientation: every number is finite"),
        ({"radius": 0.8}, "Build the environment with radius=0.8"),
        ({"key": 3}, "ActiveBrownian.make_state: key is one random key; got key=3"),
    ],
)
def test_states_that_do_not_fit_are_named(keywords: dict[str, Any], said: str) -> None:
    task = ac.make_environment("active_brownian", num_particles=2)
    with pytest.raises((TypeError, ValueError), match=said):
        task.make_state(**{**STATE, **keywords})
