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

    ``min(sqrt(2 BRAKE a d), d / (2 hold)) e``, with e the direction and d the distance of the place, `offset` from
    here, and a the largest acceleration, a number or ``(..., 1)``: the time-optimal profile, and near its end one that
    decisions of length `hold` can follow.
    """
    distance = length(offset)
    return jnp.minimum(jnp.sqrt(2 * BRAKE * acceleration * distance), distance / (2 * hold)) * unit(offset)


def evading(
    wanted: Array, to_others: Array, velocity: Array, touch: float | Array, acceleration: float | Array
) -> Array:
    r"""Return the wanted velocity, ``(..., 2)``, with what it takes to miss those whom a particle would soon hit.

    ``wanted - EVASION HORIZON a sum_j w_j unit(m_j - 0.3 right(r_j))``, with a the largest acceleration, ``(..., 1)``,
    r_j the place of particle j, `to_others`, m_j where it will be when it is nearest, both ``(..., M, 2)`` and seen
    from here, t_j in [0, HORIZON] the time until then at the wanted velocity,

    ``w_j = max(0, 1 - abs(m_j) / (1.2 touch)) (1 - t_j / HORIZON)``.

    The second term has two that meet head on both keep to the right. `velocity` is that of the others, ``(..., M, 2)``,
    and `touch` the distance between centres at which they touch, ``(..., M)``; 0 for whom a particle need not miss, as
    itself.
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

    Position and velocity are ``(N, 2)``, radii ``(N,)``, and the largest acceleration is a number or ``(N, 1)``.
    """
    others = 1 - jnp.eye(len(position), dtype=position.dtype)
    velocity = jnp.broadcast_to(velocity[None], (len(position), *velocity.shape))
    touch = others * (radius[:, None] + radius[None])
    return evading(wanted, position[None] - position[:, None], velocity, touch, acceleration)


def force_to_reach(wanted: Array, velocity: Array, mass: float | Array, drag: float, hold: float) -> Array:
    """Return the force, held for a decision, after which a free particle has the wanted velocity; ``(..., dim)``."""
    return mass * (wanted - velocity) / hold + drag * (wanted + velocity) / 2


def nearest_places(readings: Array, lidar_range: float) -> tuple[Array, Array]:
    """Return the nearest thing in each sector of a lidar: its place ``(..., B, 2)`` and distance ``(..., B)``, lengths.

    The place is in the middle of the sector, from the sensor; the distance is infinite where there is nothing.
    Readings, ``(..., B)``, are divided by `lidar_range`, as an observation has them.
    """
    angle = -np.pi + (np.arange(readings.shape[-1]) + 0.5) * 2 * np.pi / readings.shape[-1]
    distance = lidar_range * (1 - readings)
    place = distance[..., None] * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    return place, jnp.where(readings > 0, distance, jnp.inf)
