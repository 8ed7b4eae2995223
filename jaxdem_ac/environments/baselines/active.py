"""Baselines of active Brownian discs: each turns to the way that others go."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from jaxdem_ac.environments.baselines.policies import Oracle, Scripted


@jax.tree_util.register_static
@dataclass(frozen=True)
class AligningOracle(Oracle):
    """A turn of everybody to the mean heading of the whole swarm."""

    def act_on(self, state: Any, plan: Any) -> Array:
        """Return turning rates in units of `max_turn_rate`, ``(N, 1)``."""
        along, across = jnp.sum(jnp.cos(state.orientation)), jnp.sum(jnp.sin(state.orientation))
        angle = jnp.arctan2(across, along) - state.orientation
        return _turn(self.environment, jnp.mod(angle + jnp.pi, 2 * jnp.pi) - jnp.pi)


@jax.tree_util.register_static
@dataclass(frozen=True)
class AligningScript(Scripted):
    """A turn to the mean heading m of those in sight, with some weight of the disc's own: nearly Vicsek's rule.

    In the disc's own frame it is to the direction of ``(1, 0) + OTHERS m``. Vicsek's has the number of those in sight
    in place of OTHERS; an observation does not tell it.
    """

    def __call__(self, observation: Array, key: Array | None = None) -> Array:
        """Return turning rates in units of `max_turn_rate`, ``(..., 1)``."""
        along, across = observation[..., 4], observation[..., 5]
        return _turn(self.environment, jnp.arctan2(OTHERS * across, 1 + OTHERS * along))


OTHERS = 2.0
"""Weight of the mean heading of those in sight, beside a disc's own."""


def _turn(task: Any, angle: Array) -> Array:
    """Return the action that turns a disc by an angle in a decision, or as far as it can."""
    return jnp.clip(angle / (task.max_turn_rate * task.decision_time), -1.0, 1.0)[..., None]
