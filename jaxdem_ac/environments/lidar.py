"""Proximity lidar: how near the nearest thing is, in each of equal sectors around a particle."""

import jax.numpy as jnp
from jax import Array


def bin_azimuth(x: Array, y: Array, num_bins: int) -> Array:
    """Return the sector that a vector points into, ``(...)`` of int, in [0, num_bins).

    Parameters
    ----------
    x, y : Array, (...)
        Components of the vector.
    num_bins : int
        Equal sectors of [-pi, pi), the first beginning at -pi.
    """
    angle = jnp.arctan2(y, x)
    return jnp.floor((angle + jnp.pi) * (num_bins / (2 * jnp.pi))).astype(jnp.int32) % num_bins


def lidar(sensors: Array, sources: Array, lidar_range: float, num_bins: int, among_themselves: bool = False) -> Array:
    """Return the proximity of the nearest source in each sector, 0 where none is in range.

    ``proximity_b = max(0, lidar_range - min distance)`` over the sources in sector b.

    Parameters
    ----------
    sensors : Array, (N, 2), length
    sources : Array, (M, 2), length
    lidar_range : float, length
    num_bins : int
        B.
    among_themselves : bool
        Whether sensors and sources are the same particles, none of which senses itself.

    Returns
    -------
    Array, (N, B), length

    Notes
    -----
    Readings and sectors are those of ``lidar_2d`` and ``cross_lidar_2d`` of JaxDEM.
    """
    x = sources[None, :, 0] - sensors[:, None, 0]
    y = sources[None, :, 1] - sensors[:, None, 1]
    proximity = jnp.maximum(0.0, lidar_range - jnp.sqrt(x**2 + y**2))
    if among_themselves:
        proximity = jnp.where(jnp.eye(len(sensors), dtype=bool), 0.0, proximity)
    return _nearest_in_bins(proximity, bin_azimuth(x, y, num_bins), num_bins)


def wall_lidar(position: Array, box_low: Array, box_high: Array, lidar_range: float, num_bins: int) -> Array:
    """Return the proximity of the four walls, each sensed at the foot of its perpendicular; ``(N, B)``, length.

    Parameters
    ----------
    position : Array, (N, 2), length
    box_low, box_high : Array, (2,), length
    lidar_range : float, length
    num_bins : int
        B.
    """
    x, y = position[:, 0], position[:, 1]
    zero = jnp.zeros_like(x)
    foot_x = jnp.stack([box_low[0] - x, box_high[0] - x, zero, zero], axis=-1)
    foot_y = jnp.stack([zero, zero, box_low[1] - y, box_high[1] - y], axis=-1)
    proximity = jnp.maximum(0.0, lidar_range - jnp.sqrt(foot_x**2 + foot_y**2))
    return _nearest_in_bins(proximity, bin_azimuth(foot_x, foot_y, num_bins), num_bins)


def _nearest_in_bins(proximity: Array, bins: Array, num_bins: int) -> Array:
    """Return the largest proximity in each bin; ``(N, M)`` of both to ``(N, B)``."""
    num_sensors = proximity.shape[0]
    # A scatter: on two CPU cores it senses 1.2 to 2.1 times as many particles as a one-hot maximum, N = 16 to 256.
    cell = jnp.arange(num_sensors, dtype=jnp.int32)[:, None] * num_bins + bins
    readings = jnp.zeros(num_sensors * num_bins, proximity.dtype)
    readings = readings.at[cell.reshape(-1)].max(proximity.reshape(-1), mode="promise_in_bounds")
    return readings.reshape(num_sensors, num_bins)
