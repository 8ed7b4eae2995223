"""Baselines of the swarm of rollers: spheres on their way to shared targets, by torque."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxdem_ac.environments.baselines.assignment import least_total_distance
from jaxdem_ac.environments.baselines.covering import covering_velocity
from jaxdem_ac.environments.baselines.policies import Oracle, Scripted
from jaxdem_ac.environments.baselines.steering import arrival_velocity, evading_all, force_to_reach
from jaxdem_ac.environments.swarm import shorten

CRUISE = 4.0
"""Speed of a sphere that looks for a target, length / time."""
ROLLING = 1.4
"""Inertia of a rolling sphere, in units of its mass."""


@jax.tree_util.register_static
@dataclass(frozen=True)
class RollerOracle(Oracle):
    """Targets assigned once, so that all spheres together have the least way, and every sphere to its own."""

    def plan(self, state: Any) -> Array:
        """Return which target each sphere goes to, ``(N,)`` of int."""
        return least_total_distance(state.particles.position[:, :2], state.targets)

    def act_on(self, state: Any, plan: Array) -> Array:
        """Return torques ``(N, 2)`` in units of `max_torque`, of length 1 at most."""
        task, particles = self.environment, state.particles
        mass, radius = particles.mass[:, None], particles.radius[:, None]
        place, velocity, most = particles.position[:, :2], particles.velocity[:, :2], _acceleration(task, mass, radius)
        wanted = arrival_velocity(state.targets[plan] - place, most, task.decision_time)
        wanted = evading_all(wanted, place, velocity, particles.radius, most)
        return _torque(task, wanted, velocity, mass, radius)


@jax.tree_util.register_static
@dataclass(frozen=True)
class RollerScript(Scripted):
    """A way to the nearest target in sight that nobody nearer has claimed, else on to look for one.

    The wanted velocity is :func:`~jaxdem_ac.environments.baselines.covering.covering_velocity`; the torque is that
    under which a sphere that rolls has it after the decision.
    """

    def __call__(self, observation: Array, key: Array | None = None) -> Array:
        """Return torques ``(..., 2)`` in units of `max_torque`, of length 1 at most."""
        task, num = self.environment, self.environment.n_lidar_rays
        mass, radius = (float(np.mean(task.middle(each))) for each in (task.mass, task.radius))
        velocity, targets = observation[..., :2], observation[..., 5 : 5 + num]
        others, most = observation[..., 5 + num : 5 + 2 * num], _acceleration(task, mass, radius)
        wanted = covering_velocity(task, targets, others, velocity, most, CRUISE)
        return _torque(task, wanted, velocity, mass, radius)


def _acceleration(task: Any, mass: Any, radius: Any) -> Any:
    """Return the largest acceleration of a sphere that rolls."""
    return task.max_torque / (ROLLING * mass * radius)


def _torque(task: Any, wanted: Array, velocity: Array, mass: Any, radius: Any) -> Array:
    """Return the action after which a sphere that rolls has the wanted velocity."""
    push = force_to_reach(wanted, velocity, ROLLING * mass, task.drag, task.decision_time)
    torque = radius * jnp.stack([-push[..., 1], push[..., 0]], axis=-1)
    return shorten(torque / task.max_torque, 1.0)
