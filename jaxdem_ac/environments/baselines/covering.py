"""Covering of shared targets by lidar: which target to go to, and where to look for one."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxdem_ac.environments.baselines.steering import arrival_velocity, nearest_places
from jaxdem_ac.environments.swarm import unit


def covering_velocity(
    task: Any, targets: Array, others: Array, velocity: Array, acceleration: float, cruise: float
) -> Array:
    r"""Return the velocity ``(..., 2)`` of a particle that looks for a target of its own.

    What a lidar shows is taken to be in the middle of its sector. Of the others in sight each claims the target in
    sight that is nearest to it. A target is taken if one who claims it is nearer to it than the particle is, unless the
    particle is on it already. It goes to the nearest target that is not taken, as
    :func:`~jaxdem_ac.environments.baselines.steering.arrival_velocity`; if there is none it looks for one:

    ``cruise unit(unit(v) - sum_c x_c / s_c**2)``,

    on in the direction of its velocity v, ``(..., 2)``, and away from others and walls, at places x_c and distances
    s_c. `targets` and `others` are the readings of both lidars, ``(..., B)``, divided by their range; `acceleration` is
    the largest that a particle has, and `task` has `lidar_range`, `decision_time` and `radius`.
    """
    place, distance = nearest_places(targets, task.lidar_range)
    other, apart = nearest_places(others, task.lidar_range)
    # Between targets (rows) and others (columns); infinite where either is not there.
    between = jnp.sqrt(jnp.sum((place[..., :, None, :] - other[..., None, :, :]) ** 2, axis=-1))
    there = jnp.isfinite(distance)[..., :, None] & jnp.isfinite(apart)[..., None, :]
    between = jnp.where(there, between, jnp.inf)
    claims = (between == jnp.min(between, axis=-2, keepdims=True)) & there
    taken = jnp.any(claims & (between < distance[..., None]), axis=-1)
    free = jnp.where(taken & (distance > float(np.min(task.middle(task.radius)))), jnp.inf, distance)
    chosen = jnp.take_along_axis(place, jnp.argmin(free, axis=-1)[..., None, None], axis=-2)[..., 0, :]
    # What is not there is infinitely far, and pushes nobody.
    away = jnp.sum(other / jnp.maximum(apart, 1e-3)[..., None] ** 2, axis=-2)
    looking = cruise * unit(unit(velocity) - away)
    going = arrival_velocity(chosen, acceleration, task.decision_time)
    return jnp.where(jnp.isfinite(jnp.min(free, axis=-1))[..., None], going, looking)
