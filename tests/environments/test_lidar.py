"""Lidar against a loop over every pair, with math.atan2."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdem_ac.environments.lidar import bin_azimuth, lidar, wall_lidar

RANGE = 6.0


def sector(x: float, y: float, num_bins: int) -> int:
    """Return the sector of [-pi, pi) that a vector points into."""
    return math.floor((math.atan2(y, x) + math.pi) / (2 * math.pi) * num_bins) % num_bins


def readings_by_loop(
    sensors: np.ndarray, sources: np.ndarray, num_bins: int, among_themselves: bool = False
) -> np.ndarray:
    readings = np.zeros((len(sensors), num_bins))
    for i, (x, y) in enumerate(sensors):
        for j, (source_x, source_y) in enumerate(sources):
            if among_themselves and i == j:
                continue
            bin_ = sector(source_x - x, source_y - y, num_bins)
            proximity = RANGE - math.hypot(source_x - x, source_y - y)
            readings[i, bin_] = max(readings[i, bin_], proximity)
    return readings


def walls_by_loop(position: np.ndarray, low: np.ndarray, high: np.ndarray, num_bins: int) -> np.ndarray:
    feet = [[(low[0], y), (high[0], y), (x, low[1]), (x, high[1])] for x, y in position]
    return np.concatenate(
        [readings_by_loop(position[i : i + 1], np.array(feet[i]), num_bins) for i in range(len(position))]
    )


@pytest.mark.parametrize("num_bins", [1, 2, 3, 4, 8, 16, 24, 36, 100])
@pytest.mark.parametrize(
    ("x", "y", "turn"),
    [(1.0, 0.0, 0.5), (0.0, 1.0, 0.75), (-1.0, 0.0, 0.0), (-1.0, -0.0, 0.0), (0.0, -1.0, 0.25), (1.0, -0.0, 0.5)],
    ids=["0", "pi/2", "pi", "-pi", "-pi/2", "-0"],
)
def test_directions_along_the_axes_fall_where_sectors_begin(x: float, y: float, turn: float, num_bins: int) -> None:
    length = jnp.asarray([1.0, 0.3, 7.0, 1e-3])
    found = bin_azimuth(x * length, y * length, num_bins)
    np.testing.assert_array_equal(found, math.floor(turn * num_bins) % num_bins)


@pytest.mark.parametrize("num_bins", [1, 7, 24])
def test_directions_inside_sectors(num_bins: int) -> None:
    angles = -np.pi + (np.arange(num_bins) + np.array([[0.01], [0.5], [0.99]])) * 2 * np.pi / num_bins
    found = bin_azimuth(jnp.asarray(np.cos(angles), jnp.float32), jnp.asarray(np.sin(angles), jnp.float32), num_bins)
    np.testing.assert_array_equal(found, np.tile(np.arange(num_bins), (3, 1)))


@pytest.mark.parametrize("num_bins", [1, 5, 24])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_sources_are_sensed_as_in_a_loop(num_bins: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    sensors, sources = random.uniform(0, 12, (9, 2)), random.uniform(0, 12, (14, 2))
    expected = readings_by_loop(sensors, sources, num_bins)
    found = jax.jit(lidar, static_argnums=(2, 3))(jnp.asarray(sensors), jnp.asarray(sources), RANGE, num_bins)
    assert found.shape == (9, num_bins)
    assert (expected > 0).any()
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("num_bins", [1, 24])
def test_a_swarm_senses_its_others_but_no_one_itself(num_bins: int) -> None:
    position = np.random.default_rng(3).uniform(0, 12, (12, 2))
    expected = readings_by_loop(position, position, num_bins, among_themselves=True)
    found = lidar(jnp.asarray(position), jnp.asarray(position), RANGE, num_bins, among_themselves=True)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    alone = lidar(jnp.asarray(position[:1]), jnp.asarray(position[:1]), RANGE, num_bins, among_themselves=True)
    np.testing.assert_array_equal(alone, np.zeros((1, num_bins)))


@pytest.mark.parametrize("num_bins", [4, 24])
def test_walls_are_sensed_at_their_feet(num_bins: int) -> None:
    low, high = np.array([-2.0, -1.0]), np.array([9.0, 6.5])
    position = np.random.default_rng(4).uniform(low + 0.1, high - 0.1, (20, 2))
    found = wall_lidar(jnp.asarray(position), jnp.asarray(low), jnp.asarray(high), RANGE, num_bins)
    np.testing.assert_allclose(found, walls_by_loop(position, low, high, num_bins), atol=1e-5)


def test_the_nearest_of_a_sector_counts_and_what_is_out_of_range_does_not() -> None:
    sources = jnp.asarray([[3.0, 0.1], [2.0, 0.1], [5.0, 0.1], [0.1, 6.5]])
    found = lidar(jnp.zeros((1, 2)), sources, RANGE, 4)
    np.testing.assert_allclose(found, [[0.0, 0.0, RANGE - math.hypot(2.0, 0.1), 0.0]], atol=1e-5)


def test_readings_are_between_0_and_the_range() -> None:
    found = lidar(jnp.zeros((1, 2)), jnp.zeros((1, 2)), RANGE, 8)
    assert float(found.max()) == RANGE
    assert float(found.min()) == 0.0
