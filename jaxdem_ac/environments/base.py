"""The interface of environments."""

import abc
import importlib
import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import wraps
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, Self, TypeVar, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxdem_ac._checks import check_count, check_key, check_numbers
from jaxdem_ac._types import PyTree


class State(Protocol):
    """The state of an environment: a frozen pytree that shows what is observed, beside what its task keeps."""

    @property
    def observation(self) -> Array:
        """``(N, O)``."""


if TYPE_CHECKING:
    import typing_extensions

    # `Environment` alone is one of whatever states.
    StateT = typing_extensions.TypeVar("StateT", bound=State, default=Any)
else:
    StateT = TypeVar("StateT", bound=State)
EnvironmentT = TypeVar("EnvironmentT", bound="Environment")
Length = TypeVar("Length", float, tuple[float, ...])
Method = TypeVar("Method", bound=Callable[..., object])


def compiled(method: Method) -> Method:
    """Return a method compiled by `jax.jit`, static in its first argument, under its own type."""
    return cast(Method, jax.jit(method, static_argnums=0))


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Timestep:
    """The outcome of one decision of a swarm."""

    observation: Array
    """Observation after the decision, ``(N, O)``; at the end of an episode its last, since a reset comes later."""
    reward: Array
    """``(N,)``."""
    terminated: Array
    """Whether the task itself has ended, ``()``: no value lies beyond."""
    truncated: Array
    """Whether a time limit has cut the episode, ``()``: the value beyond is that of `observation`."""
    info: dict[str, Array]
    """Figures to report, ``()`` each. ``info["success"]``, where a task has such a figure, is between 0 and 1.
    ``info["overflow"]``, where it has lists of fixed capacity, is 0, or how many times longer one had to be: then
    contacts were lost."""


class Environment(abc.ABC, Generic[StateT]):
    """A task for a swarm: pure functions of a state, on a frozen configuration.

    A subclass is a frozen dataclass of Python numbers, hashable and static under `jax.jit`. Its state is a pytree with
    a field `observation`, ``(N, O)``; ``Environment[MyState]`` has that checked by a type checker. Methods are of one
    environment; `jax.vmap` batches them, or the functions of :mod:`jaxdem_ac.environments.batching`.
    """

    training_defaults: ClassVar[Mapping[str, object]] = {}
    """Keywords with which a swarm learns the task well; a run takes them where its user sets nothing else."""

    action_space_defaults: ClassVar[Mapping[str, Mapping[str, object]]] = {}
    """The same for action spaces, by name: how large an action the task needs."""

    success_name: ClassVar[str] = "success"
    """Name of ``info["success"]`` in this task."""

    room_lengths: ClassVar[tuple[str, ...]] = ()
    """Lengths to scale with sqrt(N) to keep the number density when N changes; numbers, or ranges of them."""

    oracle: ClassVar[type[Any] | None] = None
    """Policy that knows the state, for `ac.oracle_policy`: a class that is made from the environment, as subclasses of
    :class:`~jaxdem_ac.environments.baselines.policies.Oracle` are."""

    scripted: ClassVar[type[Any] | None] = None
    """The same of the best policy of the observation that is written by hand, ``policy(observation, key) -> action``,
    for `ac.scripted_policy`."""

    num_particles: int
    """N."""

    @property
    @abc.abstractmethod
    def observation_size(self) -> int:
        """O, the numbers that one particle observes."""

    @property
    @abc.abstractmethod
    def action_size(self) -> int:
        """D, the numbers that one particle acts with."""

    @property
    @abc.abstractmethod
    def episode_length(self) -> int:
        """Decisions after which the time limit cuts an episode."""

    @property
    @abc.abstractmethod
    def decision_time(self) -> float:
        """Simulated time between two decisions."""

    @abc.abstractmethod
    def reset(self, key: Array) -> StateT:
        """Return the state at the beginning of an episode."""

    @abc.abstractmethod
    def step(self, state: StateT, action: Array) -> tuple[StateT, Timestep]:
        """Return the state and what came of it after one decision, an action ``(N, D)``."""

    def overflow_of(self, state: StateT) -> Array:
        """Return how many times longer a list of neighbours of `state` had to be, ``()``; 0 if all were long enough.

        It is for a state from :meth:`reset`, which has no ``info["overflow"]``. Where a class does not define it, a
        step is taken from `state` and thrown away, for that tells.
        """
        _, timestep = self.step(state, jnp.zeros((self.num_particles, self.action_size)))
        return jnp.asarray(timestep.info.get("overflow", 0.0), float)

    def with_capacity(self, overflow: float) -> Self:
        """Return the same task with lists of neighbours `overflow` times as long at least, or raise OverflowError."""
        # The name of before, which a class may define, for one version.
        if type(self).grown is not Environment.grown:
            return self.grown(overflow)
        raise OverflowError(
            f"{type(self).__name__}: lists of neighbours hold everybody in reach; got one that has to be "
            f"{float(overflow):.3g} times as long. Build the environment with longer ones."
        )

    def grown(self, overflow: float) -> Self:
        """Return what :meth:`with_capacity` does: its name of before."""
        return self.with_capacity(overflow)

    def with_num_particles(self, num_particles: int) -> Self:
        """Return the same task for another number of particles at the same number density.

        Lengths named in `room_lengths` grow with the root of N; all else stays, the time limit too. Raises TypeError if
        the class has no field `num_particles`; ValueError if N is below 1, or the task cannot hold that many.
        """
        where = f"{type(self).__name__}.with_num_particles"
        number = check_count(where, "num_particles", num_particles)
        if not is_dataclass(self) or "num_particles" not in {item.name for item in fields(self)}:
            raise TypeError(
                f"{where}: the task is a dataclass with a field num_particles; got one without. Build it anew."
            )
        scale = math.sqrt(number / self.num_particles)
        lengths = {name: _scaled(getattr(self, name), scale) for name in self.room_lengths}
        return replace(self, num_particles=number, **lengths)

    def check_key(self, key: Array) -> None:
        """Raise TypeError unless `key` is one random key, for :meth:`reset` to begin with."""
        check_key(f"{type(self).__name__}.reset", key)

    def check_action(self, action: Array) -> None:
        """Raise ValueError unless `action` is ``(N, D)``, TypeError if it is no array of real numbers."""
        self._check_real(action)
        where = f"{type(self).__name__}.step"
        expected = (self.num_particles, self.action_size)
        if jnp.shape(action) != expected:
            raise ValueError(
                f"{where}: an action is (num_particles, action_size) = {expected}; got shape "
                f"{jnp.shape(action)}. Give one row for each particle, and use jax.vmap for a batch."
            )

    def __init_subclass__(cls, **keywords: object) -> None:
        """Have `step` refuse what is no array by itself, before JAX does."""
        super().__init_subclass__(**keywords)
        step = cls.__dict__.get("step")
        # A dataclass with slots is made twice.
        if step is not None and not getattr(step, "__isabstractmethod__", False) and not hasattr(step, "checks_types"):
            cls.step = _with_checked_types(step)  # type: ignore[assignment, method-assign]

    def check_types(self, state: PyTree, action: object) -> None:
        """Raise TypeError unless a state's leaves are arrays or numbers, and an action is an array of real numbers."""
        where = f"{type(self).__name__}.step"
        for leaf in jax.tree.leaves(state):
            if not isinstance(leaf, Array | np.ndarray | np.generic | float | int):
                raise TypeError(
                    f"{where}: a state comes from reset, or is the first of what step returns; got "
                    f"{type(state).__name__} with a {type(leaf).__name__} in it. Pass one of those."
                )
        self._check_real(action)

    def _check_real(self, action: object) -> None:
        where = f"{type(self).__name__}.step"
        if not isinstance(action, Array | np.ndarray | np.generic | float | int):
            raise TypeError(f"{where}: an action is an array; got {type(action).__name__}. Pass jnp.asarray(action).")
        check_numbers(where, "action", action)

    def check_state(self, state: object) -> None:
        """Raise TypeError unless `state` is a state, ValueError if it is not one of this environment."""
        where = f"{type(self).__name__}.step"
        seen = getattr(state, "observation", None)
        expected = (self.num_particles, self.observation_size)
        if seen is None or isinstance(state, Timestep):
            raise TypeError(
                f"{where}: a state comes from reset, or is the first of what step returns; got "
                f"{type(state).__name__}. Pass one of those."
            )
        if np.shape(seen) != expected:
            raise ValueError(
                f"{where}: a state is of this environment, its observation {expected}; got shape {np.shape(seen)}. "
                "Use the environment that made it, and jax.vmap for a batch."
            )


def _scaled(length: Length, scale: float) -> Length:
    """Return a length, or a range of lengths, times a number."""
    return tuple(scale * each for each in length) if isinstance(length, tuple) else scale * length


def _with_checked_types(
    step: Callable[[Environment[StateT], StateT, Array], tuple[StateT, Timestep]],
) -> Callable[[Environment[StateT], StateT, Array], tuple[StateT, Timestep]]:
    """Return `step` with a check in front of what JAX would refuse in many lines: it may be compiled."""

    @wraps(step)
    def checked(self: Environment[StateT], state: StateT, action: Array) -> tuple[StateT, Timestep]:
        self.check_types(state, action)
        return step(self, state, action)

    checked.__dict__["checks_types"] = True
    return checked


def check_is_environment(where: str, environment: object) -> None:
    """Raise TypeError unless it is an environment."""
    if not isinstance(environment, Environment):
        raise TypeError(
            f"{where}: environment is an Environment; got {type(environment).__name__}. "
            "Build one: make_environment(name)."
        )


def has_success(environment: Environment) -> bool:
    """Return whether an environment says how well its task is done."""
    state = jax.eval_shape(environment.reset, jax.random.key(0))
    action = jnp.zeros((environment.num_particles, environment.action_size))
    _, timestep = jax.eval_shape(environment.step, state, action)
    return "success" in timestep.info


if not TYPE_CHECKING:
    _MOVED = {
        **dict.fromkeys(("reset_batch", "step_batch", "reset_where", "when_any"), "batching"),
        **dict.fromkeys(("worst_overflow", "retry_on_overflow", "pad_state"), "capacity"),
    }

    def __getattr__(name: str) -> object:
        """Return a function that has moved, from its place of before, for one version."""
        if name not in _MOVED:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        new = f"jaxdem_ac.environments.{_MOVED[name]}"
        warnings.warn(f"{__name__}.{name} has moved. Import it from {new}.", DeprecationWarning, stacklevel=2)
        return getattr(importlib.import_module(new), name)
