"""Tasks so small that every number that a wrapper gives is known."""

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxdem_ac.environments.base import Environment, Timestep

TINY = {"num_particles": 4, "physics_steps": 1, "max_steps": 8, "n_lidar_rays": 5}


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class WalkState:
    """Where walkers stand."""

    observation: Array
    """Position, number of the walker and how much is on the list, ``(N, 3)``."""
    noted: Array
    """A list, 0 where nothing is noted, ``(room,)``."""
    length: Array
    """How long the list has to be, ``()``."""
    time: Array
    """Decisions since the reset, ``()``."""


@dataclass(frozen=True, kw_only=True)
class Walk(Environment):
    """Walkers on a line: an action is a step. Whoever passes `goal` ends the task, `limit` cuts it.

    Every decision is noted on a list; what finds no room there is lost, and is not seen.
    """

    num_particles: int = 2
    goal: float = 100.0
    limit: int = 3
    room: int = 64
    random: bool = False
    """Whether walkers begin in [0, 1) and with up to 7 notes, else at 0 with one."""
    traced: ClassVar[list[int]] = []
    """Rooms of the steps that have been traced, to see that nothing is compiled twice."""

    @property
    def observation_size(self) -> int:
        """3."""
        return 3

    @property
    def action_size(self) -> int:
        """1."""
        return 1

    @property
    def episode_length(self) -> int:
        """`limit`."""
        return self.limit

    @property
    def decision_time(self) -> float:
        """0.5."""
        return 0.5

    def grown(self, overflow: float) -> Self:
        """Return the task with more room."""
        return replace(self, room=math.ceil(3 * overflow * self.room))

    def reset(self, key: Array) -> WalkState:
        """Return the beginning."""
        key_position, key_length = jax.random.split(key)
        position, length = jnp.zeros(self.num_particles), jnp.ones((), jnp.int32)
        if self.random:
            position = jax.random.uniform(key_position, (self.num_particles,))
            length = jax.random.randint(key_length, (), 1, 8)
        noted = (jnp.arange(self.room) < length).astype(float)
        return self.seen(position, noted, length, jnp.zeros((), jnp.int32))

    def seen(self, position: Array, noted: Array, length: Array, time: Array) -> WalkState:
        """Return the state of walkers."""
        number = jnp.arange(self.num_particles)
        total = jnp.full(self.num_particles, jnp.sum(noted))
        return WalkState(jnp.stack([position, number, total], axis=-1), noted, length, time)

    def step(self, state: WalkState, action: Array) -> tuple[WalkState, Timestep]:
        """Move everybody."""
        self.check_action(action)
        self.traced.append(self.room)
        noted = state.noted.at[state.length].set(1.0, mode="drop")
        position = state.observation[:, 0] + action[:, 0]
        new = self.seen(position, noted, state.length + 1, state.time + 1)
        terminated = jnp.any(position > self.goal)
        return new, Timestep(
            observation=new.observation,
            reward=action[:, 0] + jnp.arange(self.num_particles),
            terminated=terminated,
            truncated=(new.time >= self.limit) & ~terminated,
            info={
                "success": jnp.mean(position) / self.goal,
                "overflow": jnp.where(new.length > self.room, new.length / self.room, 0.0),
            },
        )


def steps(*sizes: float) -> Any:
    """Return actions of walkers, ``(N, 1)`` of float32."""
    return np.asarray(sizes, np.float32)[:, None]
