"""Rewards of particles on their way to targets."""

from typing import Protocol

import jax.numpy as jnp
from jax import Array

from jaxdem_ac._types import PyTree
from jaxdem_ac.environments.swarm import Score


class TargetTask(Protocol):
    """Weights of a task whose particles are on their way to targets."""

    @property
    def near(self) -> float:
        """Radii from a target within which a particle has the bonus."""

    @property
    def ke_weight(self) -> float:
        """Weight of the change of kinetic energy."""

    @property
    def coop_weight(self) -> float:
        """Weight of the swarm's mean progress."""

    @property
    def near_goal_bonus(self) -> float:
        """Bonus of a particle near a target, per decision."""

    @property
    def coverage_weight(self) -> float:
        """Weight of the share of targets that are reached."""


def target_score(task: TargetTask, before: PyTree, after: PyTree) -> Score:
    """Return the worth of a decision of particles on their way to targets; the success is the share of those reached.

    ``(P_i - P_i') - ke_weight (K_i - K_i') + coop_weight mean_j (P_j - P_j') + near_goal_bonus [i is near a target]
    + coverage_weight success`` with the potential P and the kinetic energy K; primes are from before the decision.

    Parameters
    ----------
    task : SwarmEnvironment
        With the weights.
    before, after
        States with `particles`, `potential`, `kinetic_energy`, `distance`, ``(N,)`` each, `reached`, ``(M,)``, and
        `nearest`, the mask of particles that have the bonus, or None for all that are within `near` radii.
    """
    progress = after.potential - before.potential
    reward = (
        progress
        - task.ke_weight * (after.kinetic_energy - before.kinetic_energy)
        + task.coop_weight * jnp.mean(progress)
        + task.near_goal_bonus * _has_bonus(task, after)
    )
    success = jnp.mean(after.reached.astype(reward.dtype))
    return Score(reward + task.coverage_weight * success, success)


def _has_bonus(task: TargetTask, after: PyTree) -> Array:
    near: Array = after.distance <= task.near * after.particles.radius if after.nearest is None else after.nearest
    return near


def smooth_target_reward(task: TargetTask, before: PyTree, after: PyTree, closeness: Array) -> Array:
    """Return the reward of :func:`target_score` with a bonus that has a slope everywhere, ``(N,)``.

    Parameters
    ----------
    task, before, after
        As there.
    closeness : Array, (N,)
        Takes the place of the mask of particles that have the bonus.
    """
    reward = target_score(task, before, after).reward
    return reward + task.near_goal_bonus * (closeness - _has_bonus(task, after))
