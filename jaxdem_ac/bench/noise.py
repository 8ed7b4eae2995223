"""An environment of random numbers, for what is timed without physics."""

from dataclasses import dataclass
from typing import Self

import jax
import jax.numpy as jnp
from jax import Array

from jaxdem_ac.environments.base import Environment, Timestep


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class NoiseState:
    """The current observation."""

    observation: Array
    """``(N, O)``."""
    key: Array
    """Of what is seen next."""


@dataclass(frozen=True, kw_only=True)
class Noise(Environment):
    """Observations uniform in [0, 1), rewards likewise, whatever the actions."""

    num_particles: int = 1
    """N."""
    sees: int = 1
    """O."""
    does: int = 1
    """D."""

    @classmethod
    def like(cls, environment: Environment) -> Self:
        """Return noise in the shapes of an environment."""
        return cls(
            num_particles=environment.num_particles, sees=environment.observation_size, does=environment.action_size
        )

    @property
    def observation_size(self) -> int:
        """O."""
        return self.sees

    @property
    def action_size(self) -> int:
        """D."""
        return self.does

    @property
    def episode_length(self) -> int:
        """Longer than anybody plays."""
        return 2**30

    @property
    def decision_time(self) -> float:
        """1."""
        return 1.0

    def reset(self, key: Array) -> NoiseState:
        """Return a first observation."""
        return NoiseState(jax.random.uniform(key, (self.num_particles, self.sees), float), key)

    def step(self, state: NoiseState, action: Array) -> tuple[NoiseState, Timestep]:
        """Return another one."""
        self.check_action(action)
        key_seen, key_reward = jax.random.split(state.key)
        new = self.reset(key_seen)
        reward = jax.random.uniform(key_reward, (self.num_particles,), float)
        never = jnp.zeros((), bool)
        return new, Timestep(new.observation, reward, never, never, {"success": jnp.zeros(())})
