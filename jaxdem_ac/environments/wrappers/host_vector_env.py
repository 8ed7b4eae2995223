"""A batch of environments stepped from NumPy, and bounds of actions, for the Gymnasium and PettingZoo wrappers."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from jaxdem_ac._types import PyTree
from jaxdem_ac.action_spaces.base import ActionBounds, ActionSpace
from jaxdem_ac.environments.base import Environment, State, StateT, Timestep
from jaxdem_ac.environments.batching import reset_batch, reset_where, step_batch
from jaxdem_ac.environments.capacity import pad_state
from jaxdem_ac.environments.swarm import shorten
from jaxdem_ac.registry import action_spaces

NEVER, SAME_STEP, NEXT_STEP = "Never", "SameStep", "NextStep"
"""Moments at which a swarm begins its next episode by itself; the names are gymnasium's."""


Draw = Callable[..., ArrayLike]
"""Function from an environment and a state of one swarm to a picture, ``(height, width, 3)`` of uint8."""


class HostStep(NamedTuple):
    """The outcome of one step of E swarms; NumPy arrays of their own, floats in float32."""

    observation: np.ndarray
    """Observation of the next decision, ``(E, N, O)``: of a fresh episode where one has begun."""
    reward: np.ndarray
    """``(E, N)``."""
    terminated: np.ndarray
    """``(E,)`` of bool."""
    truncated: np.ndarray
    """``(E,)`` of bool."""
    info: dict[str, np.ndarray]
    """``(E,)`` each."""
    was_reset: np.ndarray
    """Swarms whose step was a reset, ``(E,)`` of bool: its reward is 0, and it has no info."""
    final_observation: Array
    """Observation after the step itself, before any reset, ``(E, N, O)``; still on its device."""


class HostVectorEnv:
    """E swarms of one environment, whose states stay on their device; `bounds` are those of a particle's action.

    If lists of neighbours are too short, in a step or in an episode that begins with it, they are made longer and the
    step is made again from the same states: nothing is lost, and what is returned is as if they had always been long.
    """

    resets: str = NEVER
    """Moment at which a swarm whose episode has ended begins the next one by itself: `NEVER`, in the `SAME_STEP`
    or in the `NEXT_STEP`."""

    def __init__(self, environment: Environment, num_envs: int, bounds: ActionBounds) -> None:
        self.environment = environment
        self.num_envs = num_envs
        self.bounds = bounds
        self.state: PyTree = None
        self._ended = np.zeros(num_envs, bool)
        self._seed = np.uint32(0)
        self._count = 0

    @property
    def action_shape(self) -> tuple[int, int, int]:
        """``(E, N, D)``."""
        return self.num_envs, self.environment.num_particles, self.environment.action_size

    def first_state(self) -> State:
        """Return the state of the first swarm, as `environment` knows it."""
        return jax.tree.map(lambda leaf: leaf[0], self.state)

    def reset(self, rng: np.random.Generator) -> np.ndarray:
        """Begin an episode in every swarm and return what is seen, ``(E, N, O)``.

        All that is random until the next reset is a function of one number that is drawn from `rng`.
        """
        seed, environment = np.uint32(rng.integers(2**32, dtype=np.uint32)), self.environment
        while True:
            state = _reset(environment, self.num_envs, seed)
            short = self._shortage(environment, state)
            if not short > 0:
                break
            environment = environment.with_capacity(short)
        self.environment, self.state, self._seed, self._count = environment, state, seed, 0
        self._ended = np.zeros(self.num_envs, bool)
        return _as_numpy(state.observation)

    def step(self, action: np.ndarray) -> HostStep:
        """Take one decision ``(E, N, D)`` in every swarm, or reset it where its last one ended the episode."""
        was_reset = self._ended if self.resets == NEXT_STEP else np.zeros(self.num_envs, bool)
        while True:
            state, timestep, worst = self._played(self.environment, self.state, action, was_reset)
            reward, terminated, truncated, info, short = jax.device_get(
                (timestep.reward, timestep.terminated, timestep.truncated, timestep.info, worst)
            )
            ended = terminated | truncated
            fresh = ended if self.resets == SAME_STEP else was_reset
            if fresh.any() and not short > 0:
                short = self._shortage(self.environment, state)
            if not short > 0:
                break
            roomy = self.environment.with_capacity(float(short))
            self.state, self.environment = pad_state(roomy, self.state, self.num_envs), roomy
        self.state, self._ended, self._count = state, ended, self._count + 1
        return HostStep(
            observation=_as_numpy(state.observation),
            reward=_as_numpy(reward),
            terminated=np.array(terminated),
            truncated=np.array(truncated),
            info={name: _as_numpy(figure) for name, figure in info.items() if name != "overflow"},
            was_reset=was_reset,
            final_observation=timestep.observation,
        )

    def _played(
        self, environment: Environment[StateT], state: StateT, action: np.ndarray, was_reset: np.ndarray
    ) -> tuple[StateT, Timestep, Array]:
        longest = self.bounds.max_norm
        return _step(environment, self.resets, longest, state, action, was_reset, self._seed, self._count)

    def _shortage(self, environment: Environment[StateT], state: StateT) -> float:
        """Return how many times longer a list of these states has to be: a step tells, and is thrown away."""
        nobody = np.zeros(self.num_envs, bool)
        return float(self._played(environment, state, np.zeros(self.action_shape, np.float32), nobody)[2])


def _as_numpy(array: Array | np.ndarray) -> np.ndarray:
    """Return an array of one's own: what JAX gives out cannot be written to."""
    return np.array(array, np.float32)


@partial(jax.jit, static_argnums=(0, 1))
def _reset(environment: Environment[StateT], num_envs: int, seed: Array) -> StateT:
    return reset_batch(environment, jax.random.split(jax.random.key(seed), num_envs))


@partial(jax.jit, static_argnums=(0, 1, 2))
def _step(
    environment: Environment[StateT],
    resets: str,
    longest: float | None,
    state: StateT,
    action: Array,
    was_reset: Array,
    seed: Array,
    count: Array,
) -> tuple[StateT, Timestep, Array]:
    """Return the states to go on from, what the step itself led to, and how many times longer a list has to be."""
    action = jnp.asarray(action, float)
    action = action if longest is None else shorten(action, longest)
    state, timestep = step_batch(environment, state, action)
    going = ~was_reset
    timestep = replace(
        timestep,
        reward=jnp.where(going[:, None], timestep.reward, 0.0),
        terminated=timestep.terminated & going,
        truncated=timestep.truncated & going,
    )
    short = jnp.max(jnp.where(going, timestep.info.get("overflow", 0.0), 0.0))
    if resets == NEVER:
        return state, timestep, short
    fresh = was_reset if resets == NEXT_STEP else timestep.terminated | timestep.truncated
    keys = jax.random.split(jax.random.fold_in(jax.random.key(seed), count + 1), len(was_reset))
    return reset_where(environment, state, fresh, keys), timestep, short


def action_bounds(where: str, environment: Environment, space: object, keywords: Mapping[str, object]) -> ActionBounds:
    """Return the bounds of an action space for an environment, given by its name, with keywords, or itself.

    Raises KeyError, TypeError or ValueError if there is no such name, a keyword does not fit, or the action space says
    no bounds, or those of another size.
    """
    advice, size = environment.action_space_defaults, environment.action_size
    if isinstance(space, str):
        space = action_spaces.create(space, **{**advice.get(action_spaces.find(space).name, {}), **keywords})
    elif keywords:
        raise TypeError(
            f"{where}: action_space_kw goes with the name of an action space; got {', '.join(keywords)} with a "
            f"{type(space).__name__}. Set them where it is made."
        )
    own = getattr(space, "event_size", None)
    if own not in (None, size):
        raise ValueError(
            f"{where}: an action of {type(environment).__name__} has {size} components; got an action space for {own}. "
            "Give one bound, or one for each."
        )

    try:
        return cast(ActionSpace, space).bounds(size)
    except (AttributeError, NotImplementedError):
        raise TypeError(
            f"{where}: gymnasium knows boxes, so that an action space says its bounds; got {type(space).__name__}, "
            "which does not. Define its method bounds, or take a Box around its actions."
        ) from None
