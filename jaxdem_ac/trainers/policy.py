"""A trained policy, ready to act."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, Self, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array
from jax.export import is_symbolic_dim
from jax.typing import ArrayLike

from jaxdem_ac._checks import check_function, check_key, check_numbers
from jaxdem_ac._types import PyTree
from jaxdem_ac.environments.base import Environment
from jaxdem_ac.models import recurrent
from jaxdem_ac.models.checks import check_observation
from jaxdem_ac.models.policy import sample_raw, to_action
from jaxdem_ac.models.recurrent import Carry
from jaxdem_ac.models.structure import Distribution, GraphDef, Model, split_model
from jaxdem_ac.trainers.running_statistics import Normalizer


@jax.tree_util.register_pytree_node_class
@dataclass(frozen=True)
class Policy:
    """Observations to actions: a model with the normalizer that it was trained with.

    A recurrent one acts with what it remembers, its carry, which its user holds::

        carry = policy.initial_carry(observation.shape[:-1])
        action, carry = policy.step(observation, carry)  # and so on, with the next observations
        carry = policy.restart(carry, done)  # where an episode has ended

    A feed-forward one takes the same calls, and its carry is empty.
    """

    graphdef: GraphDef
    """The model's structure, from `nnx.split`; static."""
    model_state: PyTree
    """The model's parameters and constants, without its carry."""
    normalizer: Normalizer | None
    """Normalizer of observations; None where the model sees them as they are."""
    observation_size: int
    """O; static."""
    return_normalizer: Normalizer | None = None
    """Normalizer of values; None where the model answers them as they are."""
    carry_template: Carry = field(default_factory=lambda: nnx.State({}))
    """A carry of one particle, all zeros: its variables and their shapes; without leaves for a feed-forward model."""

    @classmethod
    def of(
        cls,
        model: Model | nnx.Module,
        environment: Environment,
        normalizer: Normalizer | None = None,
        return_normalizer: Normalizer | None = None,
    ) -> Self:
        """Return the policy of a model for the observations of an environment."""
        size = environment.observation_size
        graphdef, state = split_model(model)
        rest, template = recurrent.split_carry(graphdef, state, environment.num_particles, size)
        return cls(graphdef, rest, normalizer, size, return_normalizer, template)

    def tree_flatten(self) -> tuple[tuple[PyTree, ...], tuple[GraphDef, int]]:
        """Return what is traced and what is static."""
        traced = (self.model_state, self.normalizer, self.return_normalizer, self.carry_template)
        return traced, (self.graphdef, self.observation_size)

    @classmethod
    def tree_unflatten(cls, static: tuple[GraphDef, int], traced: tuple[PyTree, ...]) -> "Policy":
        """Return the policy that :meth:`tree_flatten` took apart."""
        return cls(static[0], traced[0], traced[1], static[1], *traced[2:])

    @property
    def model(self) -> Model:
        """The model itself, on observations that are already normalized."""
        return nnx.merge(self.graphdef, self.model_state, jax.tree.map(lambda leaf: leaf, self.carry_template))

    @property
    def blank(self) -> Carry:
        """The `carry_template`, under its name of before; for one version."""
        return self.carry_template

    @property
    def is_recurrent(self) -> bool:
        """Whether it acts by what it remembers too."""
        return bool(jax.tree.leaves(self.carry_template))

    def __call__(self, observation: ArrayLike, key: Array | None = None) -> Array:
        """Return actions, ``(..., D)`` or, of a discrete policy, ``(...)``: sampled with a key, else the policy's mode.

        Observations are as the environment gives them, ``(..., O)``, with any leading axes. Raises ValueError if the
        last axis is not O wide, TypeError if the policy is recurrent: it acts by :meth:`step`.
        """
        observation = self._checked(observation, key)
        return _step(self, observation, self._carry_for(observation, None, "policy.step(observation, carry)"), key)[0]

    def initial_carry(self, leading_shape: tuple[int, ...] = ()) -> Carry:
        """Return the carry that episodes begin with, for observations ``(*leading_shape, O)``.

        Raises TypeError if the shape is no tuple of whole numbers.
        """
        # An exported policy does not know its sizes.
        whole = isinstance(leading_shape, tuple) and all(
            (isinstance(size, int) and not isinstance(size, bool)) or is_symbolic_dim(size) for size in leading_shape
        )
        if not whole:
            raise TypeError(
                f"policy.initial_carry: leading_shape is a tuple of whole numbers; got {leading_shape!r:.60}. Pass "
                "observation.shape[:-1]."
            )
        shape = (*leading_shape, self.observation_size)
        return recurrent.initial_carry(self.graphdef, (self.model_state,), self.carry_template, shape)

    def step(self, observation: ArrayLike, carry: Carry, key: Array | None = None) -> tuple[Array, Carry]:
        """Return actions, as a call does, and the carry to act with next.

        The carry is that of :meth:`initial_carry` for the observation's leading axes, or of the step before. Raises
        ValueError if the last axis is not O wide, or the carry is of other leading axes.
        """
        observation = self._checked(observation, key)
        return _step(self, observation, self._carry_for(observation, carry, ""), key)

    def restart(self, carry: Carry, done: ArrayLike) -> Carry:
        """Return the carry, leaves ``(E, ...)``, with that of ended episodes at its beginning.

        `done` is an array of bool, ``(E,)`` or of more of the carry's leading axes; ValueError if it is something else.
        """
        one, some = jax.tree.leaves(self.carry_template), jax.tree.leaves(carry)
        if not one:
            return carry
        leading = some[0].shape[: some[0].ndim - one[0].ndim]
        flags = np.asarray(done) if isinstance(done, list | tuple | bool) else done
        shape, kind = getattr(flags, "shape", None), getattr(flags, "dtype", None)
        if str(kind) != "bool" or shape != leading[: len(shape or ())]:
            raise ValueError(
                f"policy.restart: done is an array of flags with leading axes of the carry, {leading}; got "
                f"{type(done).__name__} of {kind} in shape {shape}. Pass terminated | truncated."
            )
        return recurrent.reset_where(carry, jnp.asarray(flags), self.initial_carry(leading))

    def value(self, observation: ArrayLike, carry: Carry = None) -> Array:
        """Return the value V of observations ``(..., O)``: the discounted sum of rewards to come; ``(...)``.

        A recurrent policy needs the carry with which it would act. Raises ValueError if the last axis is not O wide, or
        the carry is of other leading axes; TypeError if the policy is recurrent, and there is no carry.
        """
        observation = self._checked(observation)
        return _value(self, observation, self._carry_for(observation, carry, "policy.value(observation, carry)"))

    def _carry_for(self, observation: Array, carry: Carry, instead: str) -> Carry:
        """Return the carry to look at an observation with, or raise if there is none, or one of other shapes."""
        if not self.is_recurrent:
            return self.carry_template
        leading = observation.shape[:-1]
        if carry is None:
            raise TypeError(
                f"policy: a recurrent policy needs its carry; got an observation alone. Call {instead}, beginning with "
                "carry = policy.initial_carry(observation.shape[:-1])."
            )
        expected = [(*leading, *leaf.shape) for leaf in jax.tree.leaves(self.carry_template)]
        found = [np.shape(leaf) for leaf in jax.tree.leaves(carry)]
        if found != expected:
            raise ValueError(
                f"policy: a carry begins with the axes of the observation; got carry shapes {found} for {leading}. "
                "Begin with policy.initial_carry(observation.shape[:-1])."
            )
        return carry

    def _checked(self, observation: ArrayLike, key: Array | None = None) -> Array:
        if key is not None:
            check_key("policy", key)
        return check_observation("policy", observation, self.observation_size)


@jax.jit
def _step(policy: Policy, observation: Array, carry: Carry, key: Array | None) -> tuple[Array, Carry]:
    distribution, _, carry = _look(policy, observation, carry)
    if key is None:
        return distribution.mode(), carry
    return to_action(distribution, sample_raw(distribution, key)[0]), carry


@jax.jit
def _value(policy: Policy, observation: Array, carry: Carry) -> Array:
    _, value, _ = _look(policy, observation, carry)
    return value if policy.return_normalizer is None else policy.return_normalizer.inverse(value)


def _look(policy: Policy, observation: Array, carry: Carry) -> tuple[Distribution, Array, Carry]:
    seen = observation if policy.normalizer is None else policy.normalizer(observation)
    return recurrent.step(policy.graphdef, (policy.model_state,), carry, seen)


class PolicyFn(Protocol):
    """A function of observations and a random key, or of observations and None for the action without chance."""

    def __call__(self, observation: Array, key: Array | None, /) -> Array:
        """Return actions ``(..., D)`` of observations ``(..., O)``."""


@runtime_checkable
class CarryingPolicy(PolicyFn, Protocol):
    """A policy that may have a memory, which its user holds: the interface of :class:`Policy`."""

    def initial_carry(self, leading_shape: tuple[int, ...], /) -> Carry:
        """Return the carry that episodes begin with, for observations ``(*leading_shape, O)``."""

    def step(self, observation: Array, carry: Carry, key: Array | None, /) -> tuple[Array, Carry]:
        """Return actions, and the carry to act with next."""

    def restart(self, carry: Carry, done: Array, /) -> Carry:
        """Return the carry with that of ended episodes at its beginning."""


@runtime_checkable
class Privileged(Protocol):
    """A policy that knows the state of the environment, and a pytree; the carry is its own.

    :class:`~jaxdem_ac.environments.baselines.policies.Oracle` is one.
    """

    def initial_carry(self, leading_shape: tuple[int, ...], /) -> Carry:
        """Return the carry to begin with, for observations with these leading axes, ``(..., N)``."""

    def act(self, state: PyTree, carry: Carry, key: Array | None = None, /) -> tuple[Array, Carry]:
        """Return actions, ``(..., N, D)``, and the carry, for the state of one environment or of a batch."""

    def restart(self, carry: Carry, done: Array, /) -> Carry:
        """Return the carry after a step in which episodes may have ended, ``(E,)``."""


Act = Callable[[Array, PyTree, Array | None], tuple[Array, PyTree, PyTree]]
"""Function from observation, carry and random key to action, carry and the model's answer."""


def as_policy(where: str, policy: object, environment: Environment) -> PolicyFn | Privileged:
    """Return a model, a policy or a function as compiled functions take it; TypeError if it is none of them."""
    if isinstance(policy, nnx.Module):
        policy = Policy.of(policy, environment)
    if isinstance(policy, Privileged):
        return policy
    if not callable(policy):
        raise TypeError(
            f"{where}: what acts is a model, a policy or a function (observation, key); got {policy!r:.60}. "
            "Build a model with make_model, or load a policy with load_policy."
        )
    if not isinstance(policy, CarryingPolicy | Privileged):
        check_function(where, "what acts", policy, "observation", "key")
    leaves = jax.tree.leaves(policy)
    # A plain function has no leaves of its own.
    plain = len(leaves) == 1 and leaves[0] is policy
    return jax.tree_util.Partial(policy) if plain else policy  # type: ignore[no-untyped-call]


def initial_carry(policy: PolicyFn | Privileged | None, leading_shape: tuple[int, ...]) -> Carry:
    """Return the carry that whoever acts begins with; of a function it is empty."""
    return policy.initial_carry(leading_shape) if isinstance(policy, CarryingPolicy | Privileged) else ()


def reset_carry(policy: PolicyFn | Privileged | None, carry: Carry, done: Array) -> Carry:
    """Return the carry after a step in which episodes may have ended, ``(E,)``."""
    return policy.restart(carry, done) if isinstance(policy, CarryingPolicy | Privileged) else carry


def actor(
    where: str, policy: PolicyFn | Privileged, environment: Environment
) -> Callable[[PyTree, PyTree, Array | None], tuple[Array, PyTree, None]]:
    """Return what acts on states in an unroll, of a policy or a function; its errors begin with `where`.

    It raises TypeError if a function returns something else than real numbers, ValueError if an action is not
    ``(..., D)`` for observations ``(..., O)``.
    """

    def act(state: PyTree, carry: Carry, key: Array | None) -> tuple[Array, Carry, None]:
        observation = state.observation
        if isinstance(policy, Privileged):
            action, carry = policy.act(state, carry, key)
        elif isinstance(policy, CarryingPolicy):
            action, carry = policy.step(observation, carry, key)
        else:
            action = policy(observation, key)
        action, expected = check_numbers(where, "action", action), (*observation.shape[:-1], environment.action_size)
        if action.shape != expected:
            raise ValueError(
                f"{where}: an action has shape {expected}, for observations {observation.shape}; got shape "
                f"{action.shape}. Return one for each observation."
            )
        return action, carry, None

    return act
