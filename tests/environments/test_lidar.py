"""Lidar against a loop over every pair, with math.atan2."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array

from jaxdem_ac.dem.neighbor_list import Neighbors, allocate, make_spec, refresh
from jaxdem_ac.environments.sensing.lidar import azimuth_bin, lidar, look, reached_sources, spherical_bin, wall_lidar

RANGE = 6.0


def readings(
    sensors: Array, sources: Array | None, num_bins: int | tuple[int, int], neighbors: Neighbors | None = None
) -> Array:
    return lidar(look(sensors, sources, neighbors), RANGE, num_bins)


def sector(x: float, y: float, num_bins: int) -> int:
    """Return the sector of [-pi, pi) that a vector points into."""
    return math.floor((math.atan2(y, x) + math.pi) / (2 * math.pi) * num_bins) % num_bins


def readings_by_loop(sensors: np.ndarray, sources: np.ndarray, num_bins: int, self_pairs: bool = False) -> np.ndarray:
    readings = np.zeros((len(sensors), num_bins))
    for i, (x, y) in enumerate(sensors):
        for j, (source_x, source_y) in enumerate(sources):
            if self_pairs and i == j:
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
    expected = readings_by_loop(position, position, num_bins, self_pairs=True)
    found = readings(jnp.asarray(position), None, num_bins)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    alone = readings(jnp.asarray(position[:1]), None, num_bins)
    np.testing.assert_array_equal(alone, np.zeros((1, num_bins)))


@pytest.mark.parametrize("num_bins", [4, 24])
def test_walls_are_sensed_at_their_feet(num_bins: int) -> None:
    low, high = np.array([-2.0, -1.0]), np.array([9.0, 6.5])
    position = np.random.default_rng(4).uniform(low + 0.1, high - 0.1, (20, 2))
    found = wall_lidar(jnp.asarray(position), jnp.asarray(low), jnp.asarray(high), RANGE, num_bins)
    np.testing.assert_allclose(found, walls_by_loop(position, low, high, num_bins), atol=1e-5)


def test_walls_that_have_been_passed_or_touched_are_sensed_where_their_feet_are() -> None:
    low, high = jnp.array([0.0, 0.0]), jnp.array([30.0, 30.0])
    position = np.array([[-0.5, 15.0], [15.0, 30.25], [0.0, 15.0]])
    found = np.asarray(wall_lidar(jnp.asarray(position), low, high, RANGE, 4))
    # Sectors begin at -pi, -pi/2, 0 and pi/2.
    np.testing.assert_allclose(found[0], [0, 0, RANGE - 0.5, 0])
    np.testing.assert_allclose(found[1], [0, RANGE - 0.25, 0, 0])
    assert found[2, 0] == RANGE


def test_the_nearest_of_a_sector_counts_and_what_is_out_of_range_does_not() -> None:
    sources = jnp.asarray([[3.0, 0.1], [2.0, 0.1], [5.0, 0.1], [0.1, 6.5]])
    found = readings(jnp.zeros((1, 2)), sources, 4)
    np.testing.assert_allclose(found, [[0.0, 0.0, RANGE - math.hypot(2.0, 0.1), 0.0]], atol=1e-5)


def test_readings_are_between_0_and_the_range() -> None:
    found = readings(jnp.zeros((1, 2)), jnp.zeros((1, 2)), 8)
    assert float(found.max()) == RANGE
    assert float(found.min()) == 0.0


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("bins", [24, 7, (8, 3)])
@pytest.mark.parametrize("self_pairs", [False, True])
def test_pairs_of_a_list_read_as_all_pairs_do(self_pairs: bool, bins: int | tuple[int, int], double: bool) -> None:
    """To the last digit; among themselves a pair that stands once is seen from both sides."""
    with jax.enable_x64(double):
        random, dim = np.random.default_rng(5), 2 if isinstance(bins, int) else 3
        size = np.full(dim, 25.0)
        # On a lattice too: many directions are edges of sectors.
        lattice = random.integers(0, 8, (30, dim)) * 3.0
        sensors = jnp.asarray(np.concatenate([random.uniform(0, 25, (30, dim)), lattice]), float)
        sources = None if self_pairs else jnp.asarray(np.concatenate([lattice, random.uniform(0, 25, (20, dim))]))
        spec = make_spec(60, size, RANGE, 0.5, num_sources=None if sources is None else 50, room=100)
        listed = refresh(spec, allocate(spec, sensors), sensors, jnp.zeros(dim), jnp.asarray(size), sources)
        assert not listed.overflow_ratio(spec)
        found = readings(sensors, sources, bins, listed)
        assert (found > 0).any()
        np.testing.assert_array_equal(found, readings(sensors, sources, bins))
        reach = jnp.full(60, 2.5)
        if sources is not None:
            through_list = reached_sources(look(sensors, sources, listed), reach, 50)
            assert 0 < int(through_list.sum()) < 50
            np.testing.assert_array_equal(through_list, reached_sources(look(sensors, sources), reach, 50))


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
