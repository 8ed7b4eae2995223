"""Lidar against a loop over every pair, with math.atan2."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array

from jaxdem_ac.dem.neighbors import make_spec, no_neighbors, refresh
from jaxdem_ac.environments.lidar import azimuth_bin, lidar, look, spherical_bin, wall_lidar

RANGE = 6.0


def readings(
    sensors: Array, sources: Array, num_bins: int, index: Array | None = None, among_themselves: bool = False
) -> Array:
    return lidar(look(sensors, sources, index, among_themselves), RANGE, num_bins)


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
    found = azimuth_bin(x * length, y * length, num_bins)
    np.testing.assert_array_equal(found, math.floor(turn * num_bins) % num_bins)


@pytest.mark.parametrize("num_bins", [1, 7, 24])
def test_directions_inside_sectors(num_bins: int) -> None:
    angles = -np.pi + (np.arange(num_bins) + np.array([[0.01], [0.5], [0.99]])) * 2 * np.pi / num_bins
    found = azimuth_bin(jnp.asarray(np.cos(angles), jnp.float32), jnp.asarray(np.sin(angles), jnp.float32), num_bins)
    np.testing.assert_array_equal(found, np.tile(np.arange(num_bins), (3, 1)))


@pytest.mark.parametrize("num_bins", [1, 5, 24])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_sources_are_sensed_as_in_a_loop(num_bins: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    sensors, sources = random.uniform(0, 12, (9, 2)), random.uniform(0, 12, (14, 2))
    expected = readings_by_loop(sensors, sources, num_bins)
    found = jax.jit(readings, static_argnums=2)(jnp.asarray(sensors), jnp.asarray(sources), num_bins)
    assert found.shape == (9, num_bins)
    assert (expected > 0).any()
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("num_bins", [1, 24])
def test_a_swarm_senses_its_others_but_no_one_itself(num_bins: int) -> None:
    position = np.random.default_rng(3).uniform(0, 12, (12, 2))
    expected = readings_by_loop(position, position, num_bins, among_themselves=True)
    found = readings(jnp.asarray(position), jnp.asarray(position), num_bins, among_themselves=True)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    alone = readings(jnp.asarray(position[:1]), jnp.asarray(position[:1]), num_bins, among_themselves=True)
    np.testing.assert_array_equal(alone, np.zeros((1, num_bins)))


@pytest.mark.parametrize("num_bins", [4, 24])
def test_walls_are_sensed_at_their_feet(num_bins: int) -> None:
    low, high = np.array([-2.0, -1.0]), np.array([9.0, 6.5])
    position = np.random.default_rng(4).uniform(low + 0.1, high - 0.1, (20, 2))
    found = wall_lidar(jnp.asarray(position), jnp.asarray(low), jnp.asarray(high), RANGE, num_bins)
    np.testing.assert_allclose(found, walls_by_loop(position, low, high, num_bins), atol=1e-5)


def test_the_nearest_of_a_sector_counts_and_what_is_out_of_range_does_not() -> None:
    sources = jnp.asarray([[3.0, 0.1], [2.0, 0.1], [5.0, 0.1], [0.1, 6.5]])
    found = readings(jnp.zeros((1, 2)), sources, 4)
    np.testing.assert_allclose(found, [[0.0, 0.0, RANGE - math.hypot(2.0, 0.1), 0.0]], atol=1e-5)


def test_readings_are_between_0_and_the_range() -> None:
    found = readings(jnp.zeros((1, 2)), jnp.zeros((1, 2)), 8)
    assert float(found.max()) == RANGE
    assert float(found.min()) == 0.0


@pytest.mark.parametrize("among_themselves", [False, True])
def test_candidates_of_a_list_read_as_all_pairs_do(among_themselves: bool) -> None:
    random = np.random.default_rng(5)
    sensors = jnp.asarray(random.uniform(0, 40, (60, 2)), jnp.float32)
    sources = sensors if among_themselves else jnp.asarray(random.uniform(0, 40, (50, 2)), jnp.float32)
    spec = make_spec(len(sources), np.array([40.0, 40.0]), RANGE, 0.5, among_themselves=among_themselves)
    low, high = jnp.zeros(2), jnp.full(2, 40.0)
    listed = refresh(spec, no_neighbors(spec, sensors), sensors, low, high, None if among_themselves else sources)
    assert not listed.overflow(spec)
    found = readings(sensors, sources, 24, listed.index, among_themselves)
    assert (found > 0).any()
    np.testing.assert_array_equal(found, readings(sensors, sources, 24, None, among_themselves))


def test_the_fast_angle_falls_into_the_sectors_of_arctan2() -> None:
    x, y = jax.random.normal(jax.random.key(0), (2, 1_000_000))
    angle = jnp.arctan2(y, x)
    expected = jnp.floor((angle + jnp.pi) * (24 / (2 * jnp.pi))).astype(int) % 24
    # Both round: of 20 million directions 5 differ, each within 3e-7 of an edge.
    assert int(jnp.sum(azimuth_bin(x, y, 24) != expected)) <= 3


def test_diagonals_are_edges_and_fall_as_arctan2_has_them() -> None:
    x, y = jnp.asarray([1.0, -1.0, -1.0, 1.0]) * 3.7, jnp.asarray([1.0, 1.0, -1.0, -1.0]) * 3.7
    np.testing.assert_array_equal(azimuth_bin(x, y, 8), [5, 7, 1, 3])


def test_sectors_and_bands_of_a_sphere() -> None:
    azimuth = -np.pi + (np.arange(6) + 0.5) * 2 * np.pi / 6
    elevation = -np.pi / 2 + (np.arange(4) + 0.5) * np.pi / 4
    a, e = np.meshgrid(azimuth, elevation, indexing="ij")
    x, y, z = (jnp.asarray(c, jnp.float32) for c in (np.cos(a) * np.cos(e), np.sin(a) * np.cos(e), np.sin(e)))
    np.testing.assert_array_equal(spherical_bin(x, y, z, (6, 4)), np.arange(24).reshape(6, 4))
    poles = spherical_bin(jnp.zeros(2), jnp.zeros(2), jnp.asarray([-1.0, 1.0]), (6, 4))
    np.testing.assert_array_equal(poles % 4, [0, 3])


def test_walls_of_a_box_are_sensed_in_three_dimensions() -> None:
    found = wall_lidar(jnp.asarray([[1.0, 5.0, 8.0]]), jnp.zeros(3), jnp.full(3, 10.0), RANGE, (4, 3))
    by_band = np.asarray(found).reshape(4, 3)
    assert by_band[0, 1] == RANGE - 1.0  # towards x = 0
    assert by_band[:, 2].max() == RANGE - 2.0  # the ceiling
    assert by_band[:, 0].max() == 0.0  # the floor is out of range
