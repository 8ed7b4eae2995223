"""Baselines of evacuation: everybody to the opening at full force, and on."""

from dataclasses import dataclass
from typing import Any

import jax
from jax import Array

from jaxdem_ac.environments.baselines.policies import Oracle, Scripted


@jax.tree_util.register_static
@dataclass(frozen=True)
class EvacuationOracle(Oracle):
    """The policy of :class:`EvacuationScript`: an observation holds the direction in which to push."""

    def act_on(self, state: Any, plan: Any) -> Array:
        """Return forces in units of `max_force`, all of length 1; ``(N, 2)``."""
        return EvacuationScript(self.environment)(state.observation)


@jax.tree_util.register_static
@dataclass(frozen=True)
class EvacuationScript(Scripted):
    """Full force to the opening, and outside away from it: the observed direction, ``action = observation[2:4]``."""

    def __call__(self, observation: Array, key: Array | None = None) -> Array:
        """Return forces ``(..., 2)`` in units of `max_force`, all of length 1."""
        return observation[..., 2:4]
