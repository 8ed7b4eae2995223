"""Tasks without physics, so small that what is to be learnt there is known."""

import math
from dataclasses import dataclass, replace
from typing import Any, Self

import jax
import jax.numpy as jnp
from jax import Array

from jaxdem_ac.environments.base import Environment, Timestep
from jaxdem_ac.environments.checks import Count, Positive, Real, check_fields

NEVER = 1_000_000
"""More decisions than a test takes."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class ToyState:
    """State of a toy."""

    observation: Array
    """``(N, 1)``."""
    time: Array
    """Decisions since the reset, ``()``."""


@dataclass(frozen=True, kw_only=True)
class Toy(Environment):
    """Base of the toys: one number to see, one to act with, reward 1 and an end after some decisions.

    A toy of one's own overrides `first_observation`, `next_observation` or `reward`.
    """

    num_particles: Count = 2
    """N."""
    length: Count = 1
    """Decisions of an episode."""
    ends_by: str = "termination"
    """Way in which an episode ends: ``"termination"`` has no value beyond, ``"time limit"`` has."""

    observation_size = action_size = 1
    decision_time = 1.0

    def __post_init__(self) -> None:
        """Check the fields."""
        where = type(self).__name__
        check_fields(where, self)
        if self.ends_by not in ("termination", "time limit"):
            raise ValueError(
                f"{where}: ends_by is 'termination' or 'time limit'; got ends_by={self.ends_by!r}. Choose one."
            )

    @property
    def episode_length(self) -> int:
        """`length`."""
        return self.length

    def reset(self, key: Array) -> Any:
        """Return a fresh state."""
        self.check_key(key)
        return ToyState(self.first_observation(key), jnp.zeros((), jnp.int32))

    def step(self, state: Any, action: Array) -> tuple[Any, Timestep]:
        """Return the state and the timestep after one decision; success is the share of the episode that is over."""
        self.check_action(action)
        time = state.time + 1
        new = replace(state, observation=self.next_observation(state, time), time=time)
        over = time >= self.length
        return new, Timestep(
            observation=new.observation,
            reward=self.reward(state, action),
            terminated=over & (self.ends_by == "termination"),
            truncated=over & (self.ends_by == "time limit"),
            info={"success": jnp.minimum(time / self.length, 1.0)},
        )

    def first_observation(self, key: Array) -> Array:
        """Return the observation at the beginning of an episode, ``(N, 1)``."""
        return jnp.zeros((self.num_particles, 1))

    def next_observation(self, state: Any, time: Array) -> Array:
        """Return the observation after a decision, ``(N, 1)``; `state` is the one before, `time` the count after."""
        return state.observation

    def reward(self, state: Any, action: Array) -> Array:
        """Return the reward of a decision, ``(N,)``; `state` is the one before."""
        return jnp.ones(self.num_particles)


@dataclass(frozen=True, kw_only=True)
class ConstantReward(Toy):
    """Reward 1 for every decision: worth 1 if each ends the task, 1 / (1 - gamma) if only a time limit cuts."""


@dataclass(frozen=True, kw_only=True)
class RewardIsObservation(Toy):
    """The value of an observation, 1 or -1, is the observation, times `scale`."""

    scale: Real = 1.0
    """Factor of the reward."""

    def first_observation(self, key: Array) -> Array:
        """Return 1 or -1 for each particle."""
        return jax.random.rademacher(key, (self.num_particles, 1), float)

    def reward(self, state: ToyState, action: Array) -> Array:
        """Return the observation before the decision, times `scale`."""
        return self.scale * state.observation[:, 0]


@dataclass(frozen=True, kw_only=True)
class TeamReward(RewardIsObservation):
    """A team's reward, the mean observation of all, for each: only a centralised critic knows the value."""

    def reward(self, state: ToyState, action: Array) -> Array:
        """Return the mean observation before the decision, times `scale`."""
        return jnp.full(self.num_particles, self.scale * jnp.mean(state.observation))


@dataclass(frozen=True, kw_only=True)
class ActionMatters(Toy):
    """The best action is 0.5, whatever is seen; another costs the square of its distance."""

    def reward(self, state: ToyState, action: Array) -> Array:
        """Return minus the squared distance of the action from 0.5."""
        return -((action[:, 0] - 0.5) ** 2)


@dataclass(frozen=True, kw_only=True)
class Tracking(Toy):
    """The best action is the observation, which is another number for each particle."""

    def first_observation(self, key: Array) -> Array:
        """Return a target for each particle, in [-0.8, 0.8)."""
        return jax.random.uniform(key, (self.num_particles, 1), float, minval=-0.8, maxval=0.8)

    def reward(self, state: ToyState, action: Array) -> Array:
        """Return minus the squared distance of the action from the target."""
        return -((action[:, 0] - state.observation[:, 0]) ** 2)


@dataclass(frozen=True, kw_only=True)
class Counting(Toy):
    """The observation is the time, and a time limit cuts: the end of an episode is told from the next beginning."""

    length: Count = 3
    ends_by: str = "time limit"

    def next_observation(self, state: ToyState, time: Array) -> Array:
        """Return the time."""
        return jnp.full((self.num_particles, 1), time, float)


@dataclass(frozen=True, kw_only=True)
class Discounting(Counting):
    """Two decisions, of which the second is rewarded: observation 0 is worth gamma, observation 1 is worth 1."""

    length: Count = 2
    ends_by: str = "termination"

    def reward(self, state: ToyState, action: Array) -> Array:
        """Return 1 for the second decision."""
        return jnp.full(self.num_particles, state.time == 1, float)


@dataclass(frozen=True, kw_only=True)
class Breaking(Counting):
    """A number stops being finite after some decisions, never to come back: such a training has to be stopped."""

    length: Count = NEVER
    bad_reward_at: Count = NEVER
    """Decisions after which rewards are infinite."""
    bad_observation_at: Count = NEVER
    """Decisions after which observations are not numbers."""

    def next_observation(self, state: ToyState, time: Array) -> Array:
        """Return 1, or NaN."""
        return jnp.full((self.num_particles, 1), jnp.where(time >= self.bad_observation_at, jnp.nan, 1.0))

    def reward(self, state: ToyState, action: Array) -> Array:
        """Return 1, or infinity."""
        return jnp.full(self.num_particles, jnp.where(state.time >= self.bad_reward_at, jnp.inf, 1.0))


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class CueState(ToyState):
    """State of a toy that shows something only once."""

    cue: Array
    """``(N, 1)``."""


@dataclass(frozen=True, kw_only=True)
class Recalling(RewardIsObservation):
    """The best last action is half the first observation, 1 or -1; all other observations are 0.

    A policy without a memory acts the same number a after either: worth ``-(a**2 + 1/4)`` at most.
    """

    length: Count = 5

    def reset(self, key: Array) -> CueState:
        """Return a fresh state."""
        state = super().reset(key)
        return CueState(state.observation, state.time, state.observation)

    def next_observation(self, state: CueState, time: Array) -> Array:
        """Return 0."""
        return jnp.zeros((self.num_particles, 1))

    def reward(self, state: CueState, action: Array) -> Array:  # type: ignore[override]
        """Return minus the squared distance of the last action from half the cue, times `scale`; 0 before."""
        last = state.time == self.length - 1
        return jnp.where(last, -self.scale * (action[:, 0] - state.cue[:, 0] / 2) ** 2, 0.0)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class WalkState:
    """State of walkers."""

    observation: Array
    """Position, number of the walker and how much is on the list, ``(N, 3)``."""
    noted: Array
    """List of notes, 0 where there is none, ``(room,)``."""
    num_notes: Array
    """Notes that the list has to hold, ``()``."""
    time: Array
    """Decisions since the reset, ``()``."""


@dataclass(frozen=True, kw_only=True)
class Walk(Toy):
    """Walkers on a line: an action is a step, the reward its length and the walker's number.

    A walker beyond `goal` terminates the episode, else it ends after `length` decisions. Every decision is noted on a
    list of `room` places; a note that finds none is lost and not seen: ``info["overflow"]`` says so, `grown` mends it.
    """

    length: Count = 3
    ends_by: str = "time limit"
    goal: Positive = 100.0
    """Position beyond which the task ends."""
    room: Count = 64
    """Places on the list."""
    random: bool = False
    """Whether walkers begin in [0, 1) and with up to 7 notes, else at 0 with one."""

    observation_size = 3
    decision_time = 0.5

    def grown(self, overflow: float) -> Self:
        """Return the task with more room."""
        return replace(self, room=math.ceil(3 * overflow * self.room))

    def reset(self, key: Array) -> WalkState:
        """Return the beginning."""
        self.check_key(key)
        key_position, key_notes = jax.random.split(key)
        position, num_notes = jnp.zeros(self.num_particles), jnp.ones((), jnp.int32)
        if self.random:
            position = jax.random.uniform(key_position, (self.num_particles,), float)
            num_notes = jax.random.randint(key_notes, (), 1, 8, jnp.int32)
        noted = (jnp.arange(self.room) < num_notes).astype(float)
        return self._state(position, noted, num_notes, jnp.zeros((), jnp.int32))

    def step(self, state: WalkState, action: Array) -> tuple[WalkState, Timestep]:
        """Return the state and the timestep after a step of every walker."""
        self.check_action(action)
        noted = state.noted.at[state.num_notes].set(1.0, mode="drop")
        position = state.observation[:, 0] + action[:, 0]
        new = self._state(position, noted, state.num_notes + 1, state.time + 1)
        over = new.time >= self.length
        terminated = jnp.any(position > self.goal) | (over & (self.ends_by == "termination"))
        lost = new.num_notes > self.room
        return new, Timestep(
            observation=new.observation,
            reward=action[:, 0] + jnp.arange(self.num_particles),
            terminated=terminated,
            truncated=over & ~terminated,
            info={
                "success": jnp.clip(jnp.mean(position) / self.goal, 0.0, 1.0),
                "overflow": jnp.where(lost, new.num_notes / self.room, 0.0),
            },
        )

    def _state(self, position: Array, noted: Array, num_notes: Array, time: Array) -> WalkState:
        number = jnp.arange(self.num_particles)
        total = jnp.full(self.num_particles, jnp.sum(noted))
        return WalkState(jnp.stack([position, number, total], axis=-1), noted, num_notes, time)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class RandomState:
    """State of a random environment."""

    observation: Array
    """``(N, O)``."""
    key: Array
    """Random key of the next observation."""


@dataclass(frozen=True, kw_only=True)
class RandomEnvironment(Environment):
    """Observations uniform in [0, 1), rewards likewise, whatever the actions: for what is timed without physics."""

    num_particles: Count = 1
    """N."""
    observation_size: Count = 1
    """O."""
    action_size: Count = 1
    """D."""

    episode_length = 2**30
    decision_time = 1.0

    def __post_init__(self) -> None:
        """Check the fields."""
        check_fields(type(self).__name__, self)

    @classmethod
    def like(cls, environment: Environment) -> Self:
        """Return a random environment in the shapes of another."""
        return cls(
            **{name: getattr(environment, name) for name in ("num_particles", "observation_size", "action_size")}
        )

    def reset(self, key: Array) -> RandomState:
        """Return a first observation."""
        return RandomState(jax.random.uniform(key, (self.num_particles, self.observation_size), float), key)

    def step(self, state: RandomState, action: Array) -> tuple[RandomState, Timestep]:
        """Return another observation."""
        self.check_action(action)
        key_seen, key_reward = jax.random.split(state.key)
        new = self.reset(key_seen)
        reward = jax.random.uniform(key_reward, (self.num_particles,), float)
        never = jnp.zeros((), bool)
        return new, Timestep(new.observation, reward, never, never, {"success": jnp.zeros(())})
