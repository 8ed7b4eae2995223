"""Tasks so small that the value of every observation, and the best action, are known."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from jaxdem_ac.environments.base import Environment, Timestep


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class ProbeState:
    """What a probe remembers."""

    observation: Array
    """``(N, 1)``."""
    time: Array
    """Decisions since the reset, ``()``."""


@dataclass(frozen=True, kw_only=True)
class Probe(Environment):
    """What probes share: two particles, one number to see and one to act with, an episode of one decision."""

    num_particles: int = 2
    length: int = 1
    """Decisions of an episode."""
    ends_by: str = "termination"
    """Or ``"time limit"``."""

    @property
    def observation_size(self) -> int:
        """1."""
        return 1

    @property
    def action_size(self) -> int:
        """1."""
        return 1

    @property
    def episode_length(self) -> int:
        """`length`."""
        return self.length

    @property
    def decision_time(self) -> float:
        """1."""
        return 1.0

    def reset(self, key: Array) -> ProbeState:
        """Return a fresh state."""
        return ProbeState(self.first_observation(key), jnp.zeros((), jnp.int32))

    def step(self, state: ProbeState, action: Array) -> tuple[ProbeState, Timestep]:
        """Return the state and what came of it."""
        self.check_action(action)
        time = state.time + 1
        new = ProbeState(self.next_observation(state, time), time)
        over = time >= self.length
        return new, Timestep(
            observation=new.observation,
            reward=self.reward(state, action),
            terminated=over & (self.ends_by == "termination"),
            truncated=over & (self.ends_by == "time limit"),
            info={"success": (time / self.length).astype(float)},
        )

    def first_observation(self, key: Array) -> Array:
        """Return what an episode begins with, ``(N, 1)``."""
        return jnp.zeros((self.num_particles, 1))

    def next_observation(self, state: ProbeState, time: Array) -> Array:
        """Return what is seen after a decision, ``(N, 1)``."""
        return state.observation

    def reward(self, state: ProbeState, action: Array) -> Array:
        """Return the reward of a decision, ``(N,)``."""
        return jnp.ones(self.num_particles)


@dataclass(frozen=True, kw_only=True)
class ConstantReward(Probe):
    """Reward 1 for every decision: worth 1 if each ends the task, 1 / (1 - gamma) if only a time limit cuts."""


@dataclass(frozen=True, kw_only=True)
class RewardIsObservation(Probe):
    """The value of an observation, 1 or -1, is the observation, times `scale`."""

    scale: float = 1.0

    def first_observation(self, key: Array) -> Array:
        """Return 1 or -1 for each particle."""
        return jax.random.rademacher(key, (self.num_particles, 1), float)

    def reward(self, state: ProbeState, action: Array) -> Array:
        """Return what was seen, times `scale`."""
        return self.scale * state.observation[:, 0]


@dataclass(frozen=True, kw_only=True)
class TeamReward(RewardIsObservation):
    """Everybody is rewarded with the mean of what all have seen: no particle knows it by itself."""

    def reward(self, state: ProbeState, action: Array) -> Array:
        """Return the mean of what was seen."""
        return jnp.full(self.num_particles, jnp.mean(state.observation))


@dataclass(frozen=True, kw_only=True)
class Discounting(Probe):
    """Two decisions, of which the second is rewarded: worth gamma, then 1."""

    length: int = 2

    def next_observation(self, state: ProbeState, time: Array) -> Array:
        """Return the time."""
        return jnp.full((self.num_particles, 1), time, float)

    def reward(self, state: ProbeState, action: Array) -> Array:
        """Return 1 for the second decision."""
        return jnp.full(self.num_particles, state.time == 1, float)


@dataclass(frozen=True, kw_only=True)
class ActionMatters(Probe):
    """Best is to act 0.5, whatever is seen."""

    def reward(self, state: ProbeState, action: Array) -> Array:
        """Return minus the squared distance of the action from 0.5."""
        return -((action[:, 0] - 0.5) ** 2)


@dataclass(frozen=True, kw_only=True)
class Tracking(Probe):
    """Best is to act what is seen, which is another number for each particle."""

    def first_observation(self, key: Array) -> Array:
        """Return a target for each particle, in [-0.8, 0.8)."""
        return jax.random.uniform(key, (self.num_particles, 1), float, minval=-0.8, maxval=0.8)

    def reward(self, state: ProbeState, action: Array) -> Array:
        """Return minus the squared distance of the action from the target."""
        return -((action[:, 0] - state.observation[:, 0]) ** 2)


@dataclass(frozen=True, kw_only=True)
class Counting(Probe):
    """What is seen is the time: to tell the end of an episode from the beginning of the next."""

    length: int = 3
    ends_by: str = "time limit"

    def next_observation(self, state: ProbeState, time: Array) -> Array:
        """Return the time."""
        return jnp.full((self.num_particles, 1), time, float)


@dataclass(frozen=True, kw_only=True)
class Breaking(Counting):
    """A number stops being finite after some decisions, never to come back."""

    length: int = 1_000_000
    bad_reward_at: int = 1_000_000
    bad_observation_at: int = 1_000_000
    max_steps: int = 1
    """Not used: environments of a run have one."""

    def next_observation(self, state: ProbeState, time: Array) -> Array:
        """Return 1, or what is not a number."""
        return jnp.full((self.num_particles, 1), jnp.where(time >= self.bad_observation_at, jnp.nan, 1.0))

    def reward(self, state: ProbeState, action: Array) -> Array:
        """Return 1, or infinity."""
        return jnp.full(self.num_particles, jnp.where(state.time >= self.bad_reward_at, jnp.inf, 1.0))


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class CueState(ProbeState):
    """What a probe remembers that shows something only once."""

    cue: Array
    """``(N, 1)``."""


@dataclass(frozen=True, kw_only=True)
class Recalling(RewardIsObservation):
    """Best is to act half of what was seen first, 1 or -1, in the last decision; all others see 0.

    Whoever remembers nothing acts the same number a after either: worth ``-(a**2 + 1/4)`` at most.
    """

    length: int = 5

    def reset(self, key: Array) -> ProbeState:
        """Return a fresh state."""
        state = super().reset(key)
        return CueState(state.observation, state.time, state.observation)

    def step(self, state: Any, action: Array) -> tuple[ProbeState, Timestep]:
        """Return the state and what came of it."""
        new, timestep = super().step(state, action)
        return CueState(new.observation, new.time, state.cue), timestep

    def next_observation(self, state: ProbeState, time: Array) -> Array:
        """Return 0."""
        return jnp.zeros((self.num_particles, 1))

    def reward(self, state: Any, action: Array) -> Array:
        """Return minus the squared distance of the last action from half the cue."""
        last = state.time == self.length - 1
        return jnp.where(last, -((action[:, 0] - state.cue[:, 0] / 2) ** 2), 0.0)
