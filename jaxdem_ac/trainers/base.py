"""The interface of learning algorithms: a problem, a state, and functions from one state to the next."""

import abc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cache
from typing import Any, ClassVar, Generic, Protocol, Self, TypeVar

import jax
import jax.numpy as jnp
from jax import Array

from jaxdem_ac._types import PyTree
from jaxdem_ac.environments.base import Environment
from jaxdem_ac.models.structure import GraphDef, Model
from jaxdem_ac.trainers.policy import Policy

ConfigT = TypeVar("ConfigT", bound="AlgorithmConfig")
StateT = TypeVar("StateT", bound="TrainState")

ENDED = "episodes_ended"
"""A figure of an update that no report has: how many episodes ended in it. Figures ``final_<name>`` are of those."""


class AlgorithmConfig(Protocol):
    """Hyperparameters that every algorithm has; a frozen dataclass whose fields all have defaults."""

    @property
    def num_envs(self) -> int:
        """E, environments that are stepped together."""

    @property
    def num_steps(self) -> int:
        """T, decisions between two updates."""


class TrainState(Protocol):
    """The fields that a run reads, whatever the algorithm; a state is a frozen dataclass that JAX knows as a pytree.

    All that the next update depends on is in it: a run that is resumed from its leaves is the run never stopped.
    """

    @property
    def env_state(self) -> PyTree:
        """State of the environments, leaves ``(E, ...)``."""

    @property
    def carry(self) -> PyTree:
        """Carry of a recurrent model, leaves ``(E, N, ...)``; without leaves if it is feed-forward."""

    @property
    def num_updates(self) -> Array:
        """Updates made, ``()``."""

    @property
    def bad_term(self) -> Array:
        """0, or 1 + the index in the algorithm's `terms` of the first number that was not finite, ``()``."""


@dataclass(frozen=True)
class Problem(Generic[ConfigT]):
    """The static part of a run; hashable, static under `jax.jit`."""

    environment: Environment
    """The task."""
    graphdef: GraphDef
    """The model's structure, from `nnx.split`."""
    config: ConfigT
    """Hyperparameters."""
    num_updates: int
    """Length of the run, in updates, for schedules."""
    backend: str = "cpu"
    """Platform that updates run on, as JAX names it: an algorithm may take gradients in pieces that its caches hold."""

    def with_numbers(self, numbers: Mapping[str, Array]) -> Self:
        """Return the problem with numbers of its configuration replaced by traced ones, which nothing checks."""
        if not numbers:
            return self
        config = object.__new__(type(self.config))
        for name, value in {**vars(self.config), **numbers}.items():
            object.__setattr__(config, name, value)
        return replace(self, config=config)


class Algorithm(abc.ABC, Generic[ConfigT, StateT]):
    """A learning algorithm: the class of its configuration, and three functions.

    A subclass has no state of its own, and is registered by name: in a process with
    ``registry.algorithms.register(name)``, by a distribution in the entry-point group ``jaxdem_ac.algorithms``. A run
    steps, reports, saves and resumes it by this interface alone.
    """

    config_class: ClassVar[type[Any]]
    """Class of its hyperparameters, an :class:`AlgorithmConfig`."""

    terms: ClassVar[tuple[str, ...]] = ("update",)
    """Names of what is watched for numbers that are not finite, which ``bad_term`` counts."""

    grid_fields: ClassVar[tuple[str, ...]] = ()
    """Hyperparameters that a grid may vary: numbers that shape nothing, which may be traced."""

    columns: ClassVar[Mapping[str, tuple[str, str]]] = {}
    """Figures of an update that progress shows behind those of every algorithm, the foremost first, each with how it is
    formatted in full and where room is short."""

    optimization_level: ClassVar[int | None] = None
    """Level at which XLA optimises an update on a CPU, from 0 to 3, or None for its own. At a lower one programs are
    compiled sooner, which counts where a whole run lasts no longer than the compilation."""

    @abc.abstractmethod
    def init(self, problem: Problem[ConfigT], model_state: PyTree, key: Array) -> StateT:
        """Return the state at the beginning of a run, of the model's state, from `nnx.split`, and a random key."""

    @abc.abstractmethod
    def update(self, problem: Problem[ConfigT], state: StateT) -> tuple[StateT, dict[str, Array]]:
        """Return the state after one rollout and what is learnt from it, and figures, ``()`` each.

        A figure ``reward`` is reported and scored; ``overflow``, if above 0, asks for longer lists of neighbours, and
        the update is made again.
        """

    @abc.abstractmethod
    def policy(self, problem: Problem[ConfigT], state: StateT) -> Policy:
        """Return the policy of a state."""

    def initial_policy(self, config: ConfigT, model: Model, environment: Environment) -> Policy:
        """Return the policy that a run starts from, of the structure that :meth:`policy` has."""
        return Policy.of(model, environment)

    def with_normalizers(self, state: StateT, policy: Policy) -> StateT:
        """Return a state at the beginning of a run with the normalizers of a policy that it begins from.

        Raises TypeError if the policy has any, and the algorithm none.
        """
        if policy.normalizer is None and policy.return_normalizer is None:
            return state
        raise TypeError(
            f"{type(self).__name__}: a run begins from a policy without normalizers; got one with them. Begin it with "
            "the algorithm that trained the policy."
        )

    def optimizer_updates(self, config: ConfigT) -> int:
        """Return how many updates of the optimizer are made in one update."""
        return 1

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other)

    def __hash__(self) -> int:
        return hash(type(self))


def check_algorithm(name: str, algorithm: object) -> None:
    """Raise TypeError unless an algorithm can be run; `name` is its own, for the error."""
    config_class = getattr(algorithm, "config_class", None)
    if not isinstance(algorithm, Algorithm) or not (isinstance(config_class, type) and is_dataclass(config_class)):
        raise TypeError(
            "train: an algorithm is a jaxdem_ac.trainers.base.Algorithm with a dataclass as config_class; got "
            f"{name!r}, a {type(algorithm).__name__}. Derive it from that class."
        )
    there = {item.name for item in fields(config_class)}
    frozen = config_class.__dataclass_params__.frozen  # type: ignore[attr-defined]
    if not frozen or not {"num_envs", "num_steps"} <= there:
        raise TypeError(
            "train: the configuration of an algorithm is a frozen dataclass with fields num_envs and num_steps; got "
            f"{config_class.__name__} of {name!r}. Make it so."
        )


def check_update(algorithm: Algorithm[ConfigT, StateT], state: object, figures: Mapping[str, object]) -> None:
    """Raise TypeError unless the state and the figures of an update, or their shapes, have all that a run reads."""
    missing = [name for name in ("env_state", "carry", "num_updates", "bad_term") if not hasattr(state, name)]
    if missing or "reward" not in figures:
        lacks = f"a state without {', '.join(missing)}" if missing else f"figures {', '.join(figures) or 'of nothing'}"
        raise TypeError(
            f"{type(algorithm).__name__}.update: it returns a state with env_state, carry, num_updates and bad_term, "
            f"and figures with a reward; got {lacks}. Add them."
        )


@cache
def compiled_update(level: int | None = None) -> Any:
    """Return :func:`update_many`, compiled with an algorithm's level of optimisation."""
    options = None if level is None or jax.default_backend() != "cpu" else {"xla_backend_optimization_level": level}
    static = ("algorithm", "problem", "num_updates", "side_by_side")
    return jax.jit(update_many, static_argnames=static, compiler_options=options)


def update_many(
    algorithm: Algorithm[ConfigT, StateT],
    problem: Problem[ConfigT],
    numbers: dict[str, Array],
    state: StateT,
    num_updates: int,
    side_by_side: bool = False,
) -> tuple[StateT, dict[str, Array]]:
    """Return the state after `num_updates` updates, and their metrics, ``(num_updates,)`` each; to be compiled.

    The old state stays: a run goes back to it where its lists of neighbours are too short. With `side_by_side` there
    are R runs, state leaves ``(R, ...)`` and metrics ``(R, num_updates)``; `numbers` are the hyperparameters in which
    they differ, ``(R,)`` each, and none for a single run.
    """

    def one_run(numbers: dict[str, Array], state: StateT) -> tuple[StateT, dict[str, Array]]:
        own = problem.with_numbers(numbers)
        return jax.lax.scan(lambda carry, _: algorithm.update(own, carry), state, length=num_updates)

    return (jax.vmap(one_run) if side_by_side else one_run)(numbers, state)


def first_not_finite(names: Sequence[str], bad_term: Array, /, **terms: Array) -> Array:
    """Return `bad_term` if it is set, else 1 + the index in `names` of the first of `terms` that is not finite."""
    for index, name in enumerate(names):
        if name in terms:
            bad = ~jnp.all(jnp.isfinite(terms[name]))
            bad_term = jnp.where((bad_term == 0) & bad, 1 + index, bad_term)
    return bad_term
