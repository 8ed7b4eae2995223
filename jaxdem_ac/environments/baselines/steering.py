"""Steering: the force that brings a particle to a place in the least time, and places as a lidar shows them."""

import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxdem_ac.environments.swarm import unit

BRAKE = 0.6
"""Share of the largest acceleration with which a particle plans to brake; the rest is for whom it meets."""


def length(vector: Array) -> Array:
    """Return the lengths of vectors ``(..., dim)``, as ``(..., 1)``."""
    return jnp.sqrt(jnp.sum(vector**2, axis=-1, keepdims=True))


def arrival_velocity(offset: Array, acceleration: float | Array, hold: float) -> Array:
    r"""Return the velocity ``(..., dim)`` with which to go to a place and stop there in the least time.

    ``min(sqrt(2 BRAKE a d), d / (2 hold)) e``, with e the direction and d the distance of the place: the time-optimal
    profile, and near its end one that decisions of length `hold` can follow.

    Parameters
    ----------
    offset : Array, (..., dim), length
        From the particle to the place.
    acceleration : float or Array, (..., 1), length / time**2
        The largest that the particle has.
    hold : float, time
    """
    distance = length(offset)
    return jnp.minimum(jnp.sqrt(2 * BRAKE * acceleration * distance), distance / (2 * hold)) * unit(offset)


def force_to_reach(wanted: Array, velocity: Array, mass: float | Array, drag: float, hold: float) -> Array:
    """Return the force, held for a decision, after which a free particle has the wanted velocity; ``(..., dim)``."""
    return mass * (wanted - velocity) / hold + drag * (wanted + velocity) / 2


def nearest_places(readings: Array, lidar_range: float) -> tuple[Array, Array]:
    """Return the place of the nearest thing in each sector of a lidar, in the middle of its angle, and its distance.

    Parameters
    ----------
    readings : Array, (..., B)
        Divided by the range, as an observation has them; 0 where there is nothing.
    lidar_range : float, length

    Returns
    -------
    place : Array, (..., B, 2), length
        From the sensor.
    distance : Array, (..., B), length
        Infinite where there is nothing.
    """
    angle = -np.pi + (np.arange(readings.shape[-1]) + 0.5) * 2 * np.pi / readings.shape[-1]
    distance = lidar_range * (1 - readings)
    place = distance[..., None] * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    return place, jnp.where(readings > 0, distance, jnp.inf)
