"""Steering: the force that brings a particle to a place in the least time, and places as a lidar shows them."""

import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxdem_ac.environments.swarm import unit

BRAKE = 0.6
"""Share of the largest acceleration with which a particle plans to brake; the rest is for whom it meets."""

HORIZON = 1.0
"""Time ahead for which a particle looks out for collisions."""
EVASION = 0.8
"""Velocity with which a particle evades another, in units of what it can reach within the horizon."""


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


def evading(
    wanted: Array, to_others: Array, velocity: Array, touch: float | Array, acceleration: float | Array
) -> Array:
    r"""Return the wanted velocity with what it takes to miss those with whom a particle would soon collide.

    ``wanted - EVASION HORIZON a sum_j w_j unit(m_j - 0.3 right(r_j))``, with r_j the place of particle j, m_j where it
    will be when it is nearest, both seen from here, t_j in [0, HORIZON] the time until then at the wanted velocity,

    ``w_j = max(0, 1 - abs(m_j) / (1.2 touch)) (1 - t_j / HORIZON)``.

    The second term has two that meet head on both keep to the right.

    Parameters
    ----------
    wanted : Array, (..., 2), length / time
    to_others : Array, (..., M, 2), length
    velocity : Array, (..., M, 2), length / time
        Of those others.
    touch : float or Array, (..., M), length
        Distance between centres at which they touch; 0 for whom a particle need not miss, as itself.
    acceleration : float or Array, (..., 1), length / time**2
        The largest that the particle has.
    """
    closing = velocity - wanted[..., None, :]
    square = jnp.maximum(jnp.sum(closing**2, axis=-1), 1e-6)
    time = jnp.clip(-jnp.sum(to_others * closing, axis=-1) / square, 0.0, HORIZON)
    miss = to_others + time[..., None] * closing
    right = unit(jnp.stack([to_others[..., 1], -to_others[..., 0]], axis=-1))
    near = jnp.maximum(0.0, 1 - length(miss)[..., 0] / jnp.maximum(1.2 * touch, 1e-6))
    push = (near * (1 - time / HORIZON))[..., None] * unit(miss - 0.3 * right)
    return wanted - EVASION * HORIZON * acceleration * jnp.sum(push, axis=-2)


def evading_all(wanted: Array, position: Array, velocity: Array, radius: Array, acceleration: float | Array) -> Array:
    """Return the wanted velocities ``(N, 2)`` of a whole swarm, :func:`evading` each other.

    Parameters
    ----------
    wanted, position, velocity : Array, (N, 2)
    radius : Array, (N,), length
    acceleration : float or Array, (N, 1), length / time**2
    """
    others = 1 - jnp.eye(len(position), dtype=position.dtype)
    velocity = jnp.broadcast_to(velocity[None], (len(position), *velocity.shape))
    touch = others * (radius[:, None] + radius[None])
    return evading(wanted, position[None] - position[:, None], velocity, touch, acceleration)


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
