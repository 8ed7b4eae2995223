"""Baselines of collective transport: discs that go around the load and push it to its goal."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxdem_ac.environments.baselines.policies import Oracle, Scripted
from jaxdem_ac.environments.baselines.steering import length
from jaxdem_ac.environments.swarm import unit

CONE = 0.4
"""Cosine of the angle about the line of push within which a particle counts as behind the load."""
MARGIN = 0.7
"""Distance from the load that those keep who go around it, in radii of a particle."""


def push_or_go_around(to_load: Array, to_goal: Array, orbit: float | Array) -> Array:
    r"""Return the direction in which to push, ``(..., 2)`` at length 1.

    With e the direction to the load's centre, u that from the load to its goal and s the distance to the load, it is

    ``e`` where ``e . u > CONE``, behind the load; else ``unit(t + clip(s - orbit, -1, 1) e)``,

    t the direction around the load by the shorter way to its back. `to_load` and `to_goal` are those vectors,
    ``(..., 2)``, and `orbit`, a number or ``(..., 1)``, is the distance from the load's centre at which to go around
    it; lengths.
    """
    inward, along = unit(to_load), unit(to_goal)
    turn = inward[..., :1] * along[..., 1:] - inward[..., 1:] * along[..., :1]
    side = jnp.where(turn >= 0, 1.0, -1.0)
    around = side * jnp.stack([inward[..., 1], -inward[..., 0]], axis=-1)
    circle = unit(around + jnp.clip(length(to_load) - orbit, -1.0, 1.0) * inward)
    behind = jnp.sum(inward * along, axis=-1, keepdims=True) > CONE
    return jnp.where(behind, inward, circle)


@jax.tree_util.register_static
@dataclass(frozen=True)
class TransportOracle(Oracle):
    """The rule of :class:`TransportScript` on true distances and radii, however far the load and its goal are."""

    def act_on(self, state: Any, plan: Any) -> Array:
        """Return forces in units of `max_force`, all of length 1; ``(N, 2)``."""
        task, particles = self.environment, state.particles
        load, place, radius = particles.position[-1], particles.position[:-1], particles.radius[:-1, None]
        goal = state.targets[jnp.minimum(state.num_reached, task.num_goals - 1)]
        return push_or_go_around(load - place, goal - load, task.load_radius + (1 + MARGIN) * radius)


@jax.tree_util.register_static
@dataclass(frozen=True)
class TransportScript(Scripted):
    """Full force at the load's centre from behind it, and around it from elsewhere.

    The action is :func:`push_or_go_around` of both displacements that a particle observes; the swarm is not looked at.
    """

    def __call__(self, observation: Array, key: Array | None = None) -> Array:
        """Return forces ``(..., 2)`` in units of `max_force`, all of length 1."""
        task = self.environment
        orbit = task.load_radius + (1 + MARGIN) * float(np.mean(task.middle(task.radius)))
        to_load, to_goal = (task.lidar_range * observation[..., first : first + 2] for first in (4, 8))
        return push_or_go_around(to_load, to_goal, orbit)
