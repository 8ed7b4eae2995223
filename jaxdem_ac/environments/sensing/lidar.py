"""Proximity lidar: how near the nearest thing is, in each of equal sectors around a particle."""

import math
from dataclasses import dataclass

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jaxdem_ac.dem.neighbor_list import Neighbors
from jaxdem_ac.dem.scatter import gather, scatter
from jaxdem_ac.dem.world import World

Bins = int | tuple[int, int]
"""Sectors of azimuth; or in 3D sectors of azimuth and bands of elevation."""

# arctan(a) / a as a polynomial in a**2 on [0, 1], a minimax fit: 1.4e-8 off, and 1e-7 after rounding in float32.
_ARCTAN = (
    0.9999999863658042,
    -0.33333093945002895,
    0.19993053843257258,
    -0.1420713150078383,
    0.10654668778921787,
    -0.07533657408645215,
    0.0430391446627528,
    -0.01628286916958455,
    0.002903517492857361,
)


@dataclass(frozen=True)
class Channel:
    """The place of one planar lidar's readings in an observation."""

    senses: str
    """The sensed things, in words."""
    start: int
    """Index of its readings on the last axis of an observation, one for each sector, divided by `lidar_range`."""
    num_bins: int
    """Equal sectors of [-pi, pi), the first beginning at -pi."""
    lidar_range: float
    """Length."""
    turns: bool = False
    """Whether sectors are counted from the particle's orientation, and not from the x axis."""


@dataclass(frozen=True)
class PairDisplacements:
    """Pairs of a sensor and a source that it may sense, ``(N, M)`` of all, or ``(P,)`` of a list."""

    vector: tuple[Array, ...]
    """Components of the vector from sensor to source, length."""
    distance: Array
    """Length; infinite for what does not count."""
    sensor: Array
    """Index of the sensor, ``(N, 1)`` or ``(P,)``."""
    source: Array
    """Index of the source, ``(1, M)`` or ``(P,)``."""
    num_sensors: int
    """N."""
    mutual: bool
    """Whether each pair stands once, and its source senses its sensor too."""


def displacements(
    sensors: Array, sources: Array | None = None, neighbors: Neighbors | None = None, world: World | None = None
) -> PairDisplacements:
    """Return the way from each sensor ``(N, dim)`` to all that it may sense, sources ``(M, dim)``, length.

    Without sources they are the sensors themselves, none of which senses itself. `neighbors` say who is near what;
    without them it is all pairs, which costs ``N * M``. The boundary of a `world` may show a nearer image of a source.
    """
    alone = sources is None
    sources = sensors if sources is None else sources
    num, dim = sensors.shape
    if neighbors is None:
        sensor = jnp.arange(num, dtype=jnp.int32)[:, None]
        source = jnp.arange(len(sources), dtype=jnp.int32)[None, :]
        pairs = [sources[None, :, axis] - sensors[:, None, axis] for axis in range(dim)]
        counts = sensor != source if alone else None
    else:
        sensor, source, counts = neighbors.left, neighbors.right, neighbors.valid
        pairs = [gather(sources[:, axis], source) - gather(sensors[:, axis], sensor) for axis in range(dim)]
    if world is not None:
        pairs = world.boundary.displacement(world, pairs)
    square = pairs[0] ** 2
    for component in pairs[1:]:
        square = square + component**2
    # The square root never sees 0, where it has no slope: neither of a sensor itself nor of two points in one place.
    apart = square > 0
    distance = jnp.where(apart, jnp.sqrt(jnp.where(apart, square, 1.0)), 0.0)
    if counts is not None:
        distance = jnp.where(counts, distance, jnp.inf)
    return PairDisplacements(tuple(pairs), distance, sensor, source, num, alone and neighbors is not None)


look = displacements
"""Name of before, for one version."""


def in_own_frames(sight: PairDisplacements, orientation: Array) -> PairDisplacements:
    """Return displacements in the plane in the frames of their sensors, whose x axes are at angles ``(N,)``."""
    (x, y), distance, sensor, source = sight.vector, sight.distance, sight.sensor, sight.source
    if sight.mutual:
        x, y = (jnp.concatenate([each, -each]) for each in (x, y))
        distance = jnp.concatenate([distance, distance])
        sensor, source = jnp.concatenate([sensor, source]), jnp.concatenate([source, sensor])
    cos, sin = (gather(each(orientation), sensor) for each in (jnp.cos, jnp.sin))
    return PairDisplacements((cos * x + sin * y, cos * y - sin * x), distance, sensor, source, sight.num_sensors, False)


def lidar(sight: PairDisplacements, lidar_range: float, bins: Bins) -> Array:
    """Return the proximity of the nearest source in each of B sectors, 0 where none is in range; ``(N, B)``, length.

    ``proximity_b = max(0, lidar_range - min distance)`` over the sources in sector b. `bins` is how many sectors of
    azimuth; or sectors of azimuth and bands of elevation, their product B, a sector's bands together.

    Notes
    -----
    Readings and sectors are those of ``lidar_2d``, ``lidar_3d`` and their ``cross_`` variants of JaxDEM (5d9c13a). In
    float32 the angle is a polynomial, as exact as a library's arctan2 and faster: both round, and a direction within
    3e-7 of a sector's edge may fall on either side in either; directions along axes and diagonals fall as there.
    """
    num_bins = bins if isinstance(bins, int) else math.prod(bins)
    proximity = jnp.maximum(0.0, lidar_range - sight.distance).reshape(-1)
    # A scatter: on two CPU cores it senses 1.2 to 2.1 times as many particles as a one-hot maximum, N = 16 to 256.
    readings = jnp.zeros(sight.num_sensors * num_bins, proximity.dtype)
    there, back = _sectors(sight.vector, bins, sight.mutual)
    cell = (sight.sensor * num_bins + there).reshape(-1)
    (readings,) = scatter("max", [readings], cell, [proximity])
    if back is not None:
        (readings,) = scatter("max", [readings], sight.source * num_bins + back, [proximity])
    return readings.reshape(sight.num_sensors, num_bins)


def reached_sources(sight: PairDisplacements, reach: Array, num_sources: int) -> Array:
    """Return which of M sources have a sensor within its own reach, ``(N,)``; ``(M,)`` of bool."""
    within = sight.distance <= reach[sight.sensor]
    if within.ndim == 2:
        return jnp.any(within, axis=0)
    return jnp.zeros(num_sources, bool).at[sight.source].max(within, mode="promise_in_bounds")


def nearest_sensors(sight: PairDisplacements, reach: Array, num_sources: int) -> Array:
    """Return which sensors have a source within their reach, ``(N,)``, that no other is nearer to; ``(N,)`` of bool.

    Two sensors at one distance from a source are both its nearest.
    """
    within = _nearest_pairs(sight, num_sources) & (sight.distance <= reach[sight.sensor])
    return sum_over_sources(sight, within.astype(jnp.int32)) > 0


def nearness(distance: Array, reach: ArrayLike) -> Array:
    """Return ``(1 + (d / r)**4)**(-1/4)``, a smooth step: 1 well within the reach r, 0.84 at it, ``r / d`` beyond.

    Within half the reach it is flat, so that nothing is gained by coming nearer than is asked. Distances and reaches
    are in one unit, of shapes that broadcast.
    """
    return (1 + (distance / reach) ** 4) ** -0.25


def closeness(sight: PairDisplacements, reach: Array, num_sources: int, lidar_range: float) -> Array:
    """Return the sum of :func:`nearness` over the sources in range that a sensor is nearest to; ``(N,)``.

    `reach` is the sensors', ``(N,)``; whatever a list holds beyond `lidar_range` does not count. The sum over all
    sensors is a smooth count of the sources that have a sensor within its reach.
    """
    counts = _nearest_pairs(sight, num_sources) & (sight.distance < lidar_range)
    # What fills a list up is infinitely far, where the step has no slope that is a number.
    near = nearness(jnp.where(counts, sight.distance, 0.0), reach[sight.sensor])
    return sum_over_sources(sight, jnp.where(counts, near, 0.0))


def _nearest_pairs(sight: PairDisplacements, num_sources: int) -> Array:
    """Return which pairs are of a source and the sensor nearest to it, in the pairs' shape, of bool."""
    distance = sight.distance
    if distance.ndim == 2:
        return jnp.asarray(distance == jnp.min(distance, axis=0))
    nearest = jnp.full(num_sources, jnp.inf, distance.dtype)
    nearest = nearest.at[sight.source].min(distance, mode="promise_in_bounds")
    return jnp.asarray(distance == nearest[sight.source])


def sum_over_sources(sight: PairDisplacements, values: Array) -> Array:
    """Return the sum of values of pairs for each sensor, ``(N,)``; values in the pairs' shape."""
    if values.ndim == 2:
        return jnp.sum(values, axis=1)
    return jnp.zeros(sight.num_sensors, values.dtype).at[sight.sensor].add(values, mode="promise_in_bounds")


def wall_lidar(position: Array, box_low: Array, box_high: Array, lidar_range: float, bins: Bins) -> Array:
    """Return the proximity of the walls, each sensed at the foot of its perpendicular; ``(N, B)``, length.

    Positions are ``(N, dim)``, the box is ``(dim,)`` and ``(dim,)``, and `bins` are those of :func:`lidar`.
    """
    dim = position.shape[1]
    sector = jnp.arange(bins if isinstance(bins, int) else math.prod(bins))
    readings = jnp.zeros((len(position), len(sector)), position.dtype)
    for axis in range(dim):
        # All that matters of a direction along an axis is its sign.
        ways = jnp.zeros((dim, 3), position.dtype).at[axis].set(jnp.array([-1.0, 0.0, 1.0], position.dtype))
        backward, nowhere, forward = _sectors(tuple(ways), bins, mutual=False)[0]
        for corner in (box_low, box_high):
            gap = (corner[axis] - position[:, axis])[:, None]
            towards = jnp.where(gap < 0, backward, jnp.where(gap > 0, forward, nowhere))
            proximity = jnp.maximum(0.0, lidar_range - jnp.abs(gap))
            readings = jnp.maximum(readings, jnp.where(towards == sector, proximity, 0.0))
    return readings


def lidar_with_walls(
    sight: PairDisplacements, position: Array, box_low: Array, box_high: Array, lidar_range: float, bins: Bins
) -> Array:
    """Return the larger of :func:`lidar`, of the sources, and :func:`wall_lidar`; ``(N, B)``, length."""
    return jnp.maximum(lidar(sight, lidar_range, bins), wall_lidar(position, box_low, box_high, lidar_range, bins))


def azimuth_bin(x: Array, y: Array, num_bins: int) -> Array:
    """Return which of equal sectors of [-pi, pi) a vector points into, ``(...)`` of int in [0, num_bins)."""
    return _sectors((x, y), num_bins, False)[0]


def spherical_bin(x: Array, y: Array, z: Array, bins: tuple[int, int]) -> Array:
    """Return ``azimuth sector * bands + elevation band`` of a vector, ``(...)`` of int.

    `bins` are how many equal sectors of azimuth in [-pi, pi), and bands of elevation in [-pi/2, pi/2].
    """
    return _sectors((x, y, z), bins, False)[0]


def _sectors(vector: tuple[Array, ...], bins: Bins, mutual: bool) -> tuple[Array, Array | None]:
    """Return the bin of a vector and, if asked for, that of the opposite one."""
    x, y = vector[:2]
    steep = _steepness(y, x)
    ways = [(x, y), (0.0 - x, 0.0 - y)] if mutual else [(x, y)]
    if isinstance(bins, int):
        found = [_azimuth_sector(_angle(b, a, steep), bins) for a, b in ways]
        return found[0], found[1] if mutual else None
    z, flat = vector[2], jnp.sqrt(x**2 + y**2)
    steep_up = _steepness(z, flat)
    found = []
    for (a, b), c in zip(ways, (z, 0.0 - z), strict=False):
        elevation = _angle(c, flat, steep_up)
        band = jnp.floor((elevation + jnp.pi / 2) * (bins[1] / jnp.pi)).astype(jnp.int32)
        sector = _azimuth_sector(_angle(b, a, steep), bins[0])
        found.append(sector * bins[1] + jnp.clip(band, 0, bins[1] - 1))
    return found[0], found[1] if mutual else None


def _azimuth_sector(angle: Array, num_bins: int) -> Array:
    sector = jnp.floor((angle + jnp.pi) * (num_bins / (2 * jnp.pi))).astype(jnp.int32)
    # At pi itself the first begins again; a remainder would cost more than the angle.
    return jnp.where(sector == num_bins, 0, sector)


def _steepness(y: Array, x: Array) -> Array | None:
    """Return the angle of (abs(x), abs(y)), in [0, pi / 2]: what all four quadrants share; None in double precision."""
    if jnp.result_type(x, y) != jnp.float32:
        return None
    along, across = jnp.abs(x), jnp.abs(y)
    larger = jnp.maximum(along, across)
    ratio = jnp.minimum(along, across) / jnp.where(larger > 0, larger, 1.0)
    square = ratio * ratio
    total = jnp.full_like(square, _ARCTAN[-1])
    for coefficient in _ARCTAN[-2::-1]:
        total = total * square + coefficient
    # Diagonals are edges of sectors: they are exact.
    angle = jnp.where(along == across, jnp.pi / 4, total * ratio)
    return jnp.where(across > along, jnp.pi / 2 - angle, angle)


def _angle(y: Array, x: Array, steepness: Array | None) -> Array:
    """Return the angle of (x, y) in [-pi, pi]."""
    if steepness is None:
        return jnp.arctan2(y, x)
    angle = jnp.where(x < 0, jnp.pi - steepness, steepness)
    # Two points in one place see each other where JaxDEM, whose zeros are negative, has them: in the first sector.
    somewhere = (x != 0) | (y != 0)
    return jnp.where(somewhere, jnp.where(y < 0, -angle, angle), -jnp.pi)
