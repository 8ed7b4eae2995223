"""The bonus of the nearest particle alone, and the reward of what the whole swarm has covered."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxdem_ac as ac
from jaxdem_ac.environments.sensing.lidar import displacements, nearest_sensors, nearness

PLACE = {"box_low": [-10.0, -10.0], "box_high": [14.0, 14.0]}


def reward_of(environment: Any, **arrays: Any) -> np.ndarray:
    """Return the reward of a decision that changes nothing: the bonus alone, also of particles that overlap."""
    state = environment.make_state(**PLACE, **arrays)
    return np.asarray(environment.score(state, state).reward)


def test_of_two_on_one_target_only_the_nearer_is_paid() -> None:
    crowded = ac.make_environment("swarm_navigator", num_particles=3, near_goal_bonus=1.0)
    alone = replace(crowded, exclusive_goal_bonus=True)
    position = [[0.5, 0.0], [-0.9, 1.5], [8.0, 8.0]]
    targets = [[0.0, 0.0], [9.0, -5.0], [7.0, 8.5]]
    radius = [0.6, 2.0, 0.6]
    arrays = {"position": position, "targets": targets, "radius": radius}
    crowded, alone = (replace(each, radius=2.0) for each in (crowded, alone))
    np.testing.assert_allclose(reward_of(crowded, **arrays), [1, 1, 0], atol=1e-6)
    np.testing.assert_allclose(reward_of(alone, **arrays), [1, 0, 0], atol=1e-6)


def test_one_that_is_nearest_to_another_target_is_paid_for_that() -> None:
    environment = ac.make_environment(
        "swarm_navigator", num_particles=2, near_goal_bonus=1.0, exclusive_goal_bonus=True
    )
    arrays = {"position": [[0.0, 0.0], [2.5, 0.0]], "targets": [[0.9, 0.0], [2.0, 0.0]]}
    np.testing.assert_allclose(reward_of(environment, **arrays), [1, 1], atol=1e-6)


@pytest.mark.parametrize("name", ["swarm_navigator", "multi_navigator", "swarm_roller"])
def test_coverage_is_paid_to_everybody(name: str) -> None:
    """The difference that `coverage_weight` makes is its product with the success, in every decision."""
    plain = ac.make_environment(name, num_particles=6)
    paid = replace(plain, coverage_weight=0.7)
    state = plain.reset(jax.random.key(2))
    # Some stand on targets from the beginning.
    targets = state.particles.position[::2, :2]
    state = replace(state, targets=jnp.concatenate([targets, state.targets[3:]]))
    action = jnp.zeros((6, 2))
    (_, before), (_, after) = plain.step(state, action), paid.step(state, action)
    assert float(before.info["success"]) > 0.1
    np.testing.assert_allclose(after.reward - before.reward, 0.7 * before.info["success"], atol=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_lists_find_the_same_nearest_ones_as_all_pairs(seed: int) -> None:
    """The mask of a large swarm, through its lists, is that of all pairs in NumPy."""
    environment = ac.make_environment("swarm_navigator", num_particles=300, exclusive_goal_bonus=True)
    environment = replace(environment, min_box_size=80.0, max_box_size=80.0)
    state = environment.reset(jax.random.key(seed))
    state, _ = environment.step(state, jnp.zeros((300, 2)))
    position, targets = np.asarray(state.particles.position), np.asarray(state.targets)
    distance = np.linalg.norm(position[:, None] - targets[None], axis=-1)
    expected = ((distance <= 1.0) & (distance == distance.min(0))).any(1)
    assert 0 < expected.sum() < (distance <= 1.0).any(1).sum() + 1
    np.testing.assert_array_equal(state.nearest, expected)
    assert state.vicinity.targets is not None


@pytest.mark.parametrize(("name", "num"), [("swarm_navigator", 16), ("swarm_navigator", 300), ("swarm_roller", 6)])
def test_a_smooth_reward_counts_each_target_once(name: str, num: int) -> None:
    """It is a smooth step of the distance for each target's nearest particle in range; lists or not."""
    side = 5.0 * num**0.5
    weights = {"near_goal_bonus": 0.3, "coverage_weight": 0.5, "ke_weight": 0.2}
    task = ac.make_environment(name, num_particles=num, min_box_size=side, max_box_size=side, **weights)
    before = task.reset(jax.random.key(1))
    after, _ = task.step(before, jnp.ones((num, 2)))
    distance = np.linalg.norm(after.particles.position[:, None, :2] - after.targets[None], axis=-1)
    nearest = (distance == distance.min(0)) & (distance < task.lidar_range)
    reach = np.asarray(after.particles.radius)[:, None]
    near = np.where(nearest, (1 + (distance / reach) ** 4) ** -0.25, 0.0).sum(1)
    gained = np.asarray(after.kinetic_energy) - np.asarray(before.kinetic_energy)
    smooth = task.smooth_reward(before, after)
    np.testing.assert_allclose(smooth, 0.3 * near + 0.5 * near.mean() - 0.2 * gained, atol=1e-5)

    def total(place: jax.Array) -> jax.Array:
        moved = replace(after, particles=replace(after.particles, position=place))
        return jnp.sum(task.smooth_reward(before, moved))

    slope = jax.grad(total)(after.particles.position)
    assert bool(jnp.all(jnp.isfinite(slope)))
    assert float(jnp.abs(slope).max()) > 0


@pytest.mark.parametrize("distance", [0.0, 1.0, 7.0])
def test_a_smooth_reward_of_an_own_target(distance: float) -> None:
    task = ac.make_environment("multi_navigator", num_particles=1, near_goal_bonus=2.0)
    state = task.make_state(**PLACE, position=[[1.0, 2.0]], targets=[[1.0, 2.0 + distance]])
    np.testing.assert_allclose(task.smooth_reward(state, state), [2.0 * 2.5 / (2.5 + distance)], rtol=1e-6)


def test_a_smooth_reward_of_an_own_target_has_progress() -> None:
    """It is the reward, with another bonus: progress, kinetic energy and the swarm's share of it stay."""
    task = ac.make_environment("multi_navigator", num_particles=4, near_goal_bonus=0.3)
    before = task.reset(jax.random.key(3))
    after, _ = task.step(before, jnp.ones((4, 2)))
    plain = replace(task, near_goal_bonus=0.0).score(before, after).reward
    bonus = 0.3 * 2.5 / (2.5 + np.asarray(after.distance))
    np.testing.assert_allclose(task.smooth_reward(before, after), plain + bonus, atol=1e-5)


def test_a_smooth_step_is_flat_well_within_reach_and_falls_off_as_the_distance() -> None:
    near = jax.vmap(jax.value_and_grad(lambda distance: nearness(distance, 2.0)))
    values, slopes = near(jnp.array([0.0, 0.5, 2.0, 200.0]))
    np.testing.assert_allclose(values, [1.0, 0.999, 2**-0.25, 0.01], rtol=1e-3)
    np.testing.assert_allclose(slopes, [0.0, -0.0078, -(2**-2.25), -5e-5], rtol=1e-2, atol=1e-9)


@pytest.mark.parametrize("name", ["swarm_navigator", "multi_navigator", "swarm_roller"])
def test_a_smooth_reward_without_a_bonus_is_the_reward(name: str) -> None:
    """Where no target is paid for, progress is what there is to climb."""
    task = ac.make_environment(name, num_particles=4, near_goal_bonus=0.0)
    before = task.reset(jax.random.key(2))
    after, timestep = task.step(before, jnp.ones((4, 2)))
    np.testing.assert_allclose(task.smooth_reward(before, after), timestep.reward, atol=1e-5)


def test_ties_are_all_nearest() -> None:
    pairs = displacements(jnp.array([[1.0, 0.0], [-1.0, 0.0], [3.0, 0.0]]), jnp.zeros((1, 2)))
    np.testing.assert_array_equal(nearest_sensors(pairs, jnp.full(3, 2.0), 1), [True, True, False])


def test_a_state_without_the_option_has_the_leaves_of_before() -> None:
    """Runs that are kept go on: the mask is no leaf unless it is asked for."""
    environment = ac.make_environment("swarm_navigator", num_particles=3)
    plain, masked = (
        jax.tree.leaves(each.reset(jax.random.key(0)))
        for each in (environment, replace(environment, exclusive_goal_bonus=True))
    )
    assert len(masked) == len(plain) + 1


@pytest.mark.parametrize("name", ["swarm_navigator", "swarm_roller"])
def test_the_option_is_true_or_false(name: str) -> None:
    with pytest.raises(TypeError, match="exclusive_goal_bonus is true or false; got exclusive_goal_bonus=2"):
        ac.make_environment(name, exclusive_goal_bonus=2)
