"""Support of the wrappers' tests: a small task, a walk that counts its traces, and actions of walkers."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from jax import Array

from jaxdem_ac.environments.base import Timestep
from jaxdem_ac.environments.testing import Walk, WalkState

TINY = {"num_particles": 4, "physics_steps": 1, "max_steps": 8, "n_lidar_rays": 5}


@dataclass(frozen=True, kw_only=True)
class TracedWalk(Walk):
    """A walk that notes the rooms of the steps that have been traced, to see that nothing is compiled twice."""

    traced: ClassVar[list[int]] = []

    def step(self, state: WalkState, action: Array) -> tuple[WalkState, Timestep]:
        self.traced.append(self.room)
        return super().step(state, action)


def steps(*sizes: float) -> Any:
    """Return actions of walkers, ``(N, 1)`` of float32."""
    return np.asarray(sizes, np.float32)[:, None]
