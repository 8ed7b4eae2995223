"""Tasks of gymnax and brax as environments of this package, of one particle each."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from jaxdem_ac.environments.base import Environment, Timestep


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class PublicState:
    """State of a public task."""

    observation: Array
    """``(1, O)``."""
    inner: Any
    """The library's own state."""
    time: Array
    """Decisions since the reset, ``()``."""


@dataclass(frozen=True, kw_only=True)
class GymnaxTask(Environment):
    """A task of gymnax that draws no random numbers in a step, such as those of classic control."""

    name: str = "Pendulum-v1"
    """As gymnax has it."""
    lowest: float = -16.2736044
    """The worst reward of a step, for success; of Pendulum-v1 pi**2 + 0.1 * 8**2 + 0.001 * 2**2."""
    highest: float = 0.0
    """The best reward of a step."""
    num_particles: int = 1

    @property
    def observation_size(self) -> int:
        """O."""
        task, settings = _gymnax(self.name)
        return int(task.observation_space(settings).shape[0])

    @property
    def action_size(self) -> int:
        """D."""
        task, settings = _gymnax(self.name)
        return int(task.action_space(settings).shape[0])

    @property
    def action_bounds(self) -> tuple[float, float]:
        """Lowest and highest component of an action."""
        task, settings = _gymnax(self.name)
        space = task.action_space(settings)
        return float(space.low), float(space.high)

    @property
    def episode_length(self) -> int:
        """The task's time limit."""
        return int(_gymnax(self.name)[1].max_steps_in_episode)

    @property
    def decision_time(self) -> float:
        """The task's time step."""
        return float(_gymnax(self.name)[1].dt)

    def reset(self, key: Array) -> PublicState:
        """Return the state at the beginning of an episode."""
        task, settings = _gymnax(self.name)
        observation, inner = task.reset_env(key, settings)
        return PublicState(observation[None], _arrays(inner), jnp.zeros((), jnp.int32))

    def step(self, state: PublicState, action: Array) -> tuple[PublicState, Timestep]:
        """Return the state and what came of it."""
        self.check_action(action)
        task, settings = _gymnax(self.name)
        # Not `step`, which resets by itself; the key is for tasks that draw in a step.
        stepped = task.step_env(jax.random.key(0), state.inner, action[0], settings)
        observation, inner, reward, done = stepped[:4]
        time = state.time + 1
        # Before version 1 the time limit is part of `done`.
        truncated = time >= self.episode_length
        new = PublicState(observation[None], _arrays(inner, state.inner), time)
        return new, Timestep(
            observation=new.observation,
            reward=jnp.reshape(reward, (1,)),
            terminated=done & ~truncated,
            truncated=truncated,
            info={"success": jnp.clip((reward - self.lowest) / (self.highest - self.lowest), 0.0, 1.0)},
        )


@dataclass(frozen=True, kw_only=True)
class BraxTask(Environment):
    """A task of brax. Success is the share of the time limit that an episode has lasted."""

    name: str = "inverted_pendulum"
    """As brax has it."""
    backend: str = "positional"
    """Brax's pipeline."""
    max_steps: int = 1_000
    """Decisions of an episode."""
    reward_scale: float = 1.0
    """Rewards are multiplied by it, as brax's trainer does."""
    num_particles: int = 1

    @property
    def observation_size(self) -> int:
        """O."""
        return int(brax_task(self.name, self.backend).observation_size)

    @property
    def action_size(self) -> int:
        """D."""
        return int(brax_task(self.name, self.backend).action_size)

    @property
    def action_bounds(self) -> tuple[float, float]:
        """Brax's actions are between -1 and 1."""
        return -1.0, 1.0

    @property
    def episode_length(self) -> int:
        """`max_steps`."""
        return self.max_steps

    @property
    def decision_time(self) -> float:
        """The task's time step."""
        return float(brax_task(self.name, self.backend).dt)

    def reset(self, key: Array) -> PublicState:
        """Return the state at the beginning of an episode."""
        inner = _arrays(brax_task(self.name, self.backend).reset(key))
        return PublicState(inner.obs[None], inner, jnp.zeros((), jnp.int32))

    def step(self, state: PublicState, action: Array) -> tuple[PublicState, Timestep]:
        """Return the state and what came of it."""
        self.check_action(action)
        inner = _arrays(brax_task(self.name, self.backend).step(state.inner, action[0]), state.inner)
        time = state.time + 1
        terminated = inner.done > 0
        new = PublicState(inner.obs[None], inner, time)
        return new, Timestep(
            observation=new.observation,
            reward=self.reward_scale * inner.reward[None],
            terminated=terminated,
            truncated=(time >= self.max_steps) & ~terminated,
            info={"success": (time / self.max_steps).astype(float)},
        )


@cache
def _gymnax(name: str) -> tuple[Any, Any]:
    """Return a task of gymnax and its settings."""
    import gymnax

    return gymnax.make(name)


@cache
def brax_task(name: str, backend: str) -> Any:
    """Return a task of brax."""
    from brax import envs

    return envs.get_environment(name, backend=backend)


def _arrays(tree: Any, like: Any = None) -> Any:
    """Return a state whose leaves are arrays of the types of `like`: both libraries have Python numbers in theirs."""
    return jax.tree.map(
        lambda leaf, other: jnp.asarray(leaf, jnp.result_type(other)), tree, tree if like is None else like
    )
