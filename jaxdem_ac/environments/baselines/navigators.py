"""Baselines of the navigators: discs on their way to targets, by force."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxdem_ac.environments.baselines.assignment import least_total_distance
from jaxdem_ac.environments.baselines.covering import covering_velocity
from jaxdem_ac.environments.baselines.policies import Oracle, Scripted, action_scale
from jaxdem_ac.environments.baselines.steering import arrival_velocity, evading_all, force_to_reach
from jaxdem_ac.environments.swarm import shorten

CRUISE = 15.0
"""Speed of a disc that looks for a target, length / time."""
FAR = 30.0
"""Distance that a disc supposes of a target whose distance is cut, length: nobody brakes for it yet."""


@jax.tree_util.register_static
@dataclass(frozen=True)
class OwnTargetsOracle(Oracle):
    """Every disc straight to its target, braking in time and evading whom it would hit: those at rest evade too."""

    def plan(self, state: Any) -> Array:
        """Return which target each disc goes to, ``(N,)`` of int."""
        return jnp.arange(self.environment.num_particles)

    def act_on(self, state: Any, plan: Array) -> Array:
        """Return forces ``(N, 2)``, no longer than the task advises."""
        task, particles, mass = self.environment, state.particles, state.particles.mass[:, None]
        most = action_scale(task) / mass
        wanted = arrival_velocity(state.targets[plan] - particles.position, most, task.decision_time)
        wanted = evading_all(wanted, particles.position, particles.velocity, particles.radius, most)
        return _force(task, wanted, particles.velocity, mass)


@jax.tree_util.register_static
@dataclass(frozen=True)
class SharedTargetsOracle(OwnTargetsOracle):
    """Targets assigned once, so that all discs together have the least way, and every disc to its own."""

    def plan(self, state: Any) -> Array:
        """Return which target each disc goes to, ``(N,)`` of int."""
        return least_total_distance(state.particles.position, state.targets)


@jax.tree_util.register_static
@dataclass(frozen=True)
class OwnTargetsScript(Scripted):
    """Straight to the target, braking in time, by the vector x from there to the disc and its direction e.

    The disc is at -x, or where x is cut to ±3 in a component, far away at ``-FAR e``; the lidar is not looked at.
    """

    def __call__(self, observation: Array, key: Array | None = None) -> Array:
        """Return forces ``(..., 2)``, no longer than the task advises."""
        direction, offset, velocity = (observation[..., first : first + 2] for first in (0, 2, 4))
        is_whole = jnp.all(jnp.abs(offset) < 3.0, axis=-1, keepdims=True)
        offset = jnp.where(is_whole, -offset, -FAR * direction)
        task, mass = self.environment, _middle_mass(self.environment)
        wanted = arrival_velocity(offset, action_scale(task) / mass, task.decision_time)
        return _force(task, wanted, velocity, mass)


@jax.tree_util.register_static
@dataclass(frozen=True)
class SharedTargetsScript(Scripted):
    """A way to the nearest target in sight that nobody nearer has claimed, else on to look for one.

    The wanted velocity is :func:`~jaxdem_ac.environments.baselines.covering.covering_velocity`.
    """

    def __call__(self, observation: Array, key: Array | None = None) -> Array:
        """Return forces ``(..., 2)``, no longer than the task advises."""
        task, num = self.environment, self.environment.n_lidar_rays
        velocity, mass = observation[..., :2], _middle_mass(task)
        targets, others = observation[..., 2 : 2 + num], observation[..., 2 + num : 2 + 2 * num]
        wanted = covering_velocity(task, targets, others, velocity, action_scale(task) / mass, CRUISE)
        return _force(task, wanted, velocity, mass)


def _force(task: Any, wanted: Array, velocity: Array, mass: Any) -> Array:
    """Return the force after which a disc has the wanted velocity, no longer than the task advises."""
    return shorten(force_to_reach(wanted, velocity, mass, task.friction, task.decision_time), action_scale(task))


def _middle_mass(task: Any) -> float:
    return float(np.mean(task.middle(task.mass)))
