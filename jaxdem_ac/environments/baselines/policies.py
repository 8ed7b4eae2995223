"""Kinds of policies that nobody has trained: one that knows the state, one written by hand on observations."""

import abc
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from jaxdem_ac._types import PyTree
from jaxdem_ac.environments.base import Environment
from jaxdem_ac.environments.batching import when_any, where_leaves
from jaxdem_ac.environments.swarm import shorten

# The plan of each swarm, and whether it has still to be made, (...) of bool.
Carry = tuple[PyTree, Array]


def action_scale(environment: Environment) -> float:
    """Return the length of the longest action that a task advises: the radius of its `MaxNorm`, or else 1."""
    advice = environment.action_space_defaults.get("MaxNorm", {}).get("max_norm", 1.0)
    assert isinstance(advice, float | int)
    return float(advice)


@dataclass(frozen=True)
class Oracle(abc.ABC):
    """A policy that knows the state of its environment; what it reaches is a measure for those that observe.

    A subclass is a frozen dataclass with ``@jax.tree_util.register_static`` above it. It defines :meth:`act_on` and,
    where there is something to decide once in an episode, :meth:`plan`; both are written for one swarm. What is played
    holds the plan, as it holds the memory of a recurrent policy: ``carry = oracle.initial_carry((num_particles,))``,
    then ``action, carry = oracle.act(state, carry)`` for each state, and ``carry = oracle.restart(carry, done)`` where
    an episode has ended. ``ac.evaluate``, ``ac.rollout``, ``ac.render`` and recordings do so by themselves.
    """

    environment: Any
    """Task whose states it is given."""

    def plan(self, state: PyTree) -> PyTree:
        """Return what is decided at the beginning of an episode and kept to its end; nothing if left out."""
        return ()

    @abc.abstractmethod
    def act_on(self, state: PyTree, plan: PyTree) -> Array:
        """Return the actions of one swarm, ``(N, D)``, inside the action space that its task advises."""

    def initial_carry(self, leading_shape: tuple[int, ...]) -> Carry:
        """Return the carry to begin with, for observations with these leading axes, ``(..., N)``: no plan is made."""
        batch = leading_shape[:-1]
        like = jax.eval_shape(lambda key: self.plan(self.environment.reset(key)), jax.random.key(0))
        return jax.tree.map(lambda leaf: jnp.zeros((*batch, *leaf.shape), leaf.dtype), like), jnp.ones(batch, bool)

    def act(self, state: PyTree, carry: Carry, key: Array | None = None) -> tuple[Array, Carry]:
        """Return actions, ``(..., N, D)``, and the carry to act with next, of a state or a batch, leaves ``(E, ...)``.

        `carry` is that of :meth:`initial_carry`, the call before or :meth:`restart`: plans are made where there are
        none. An oracle leaves nothing to chance, whatever the key. Raises ValueError if the state is not one of the
        oracle's environment, or the carry is of other leading axes.
        """
        task = self.environment
        expected = (*carry[1].shape, task.num_particles, task.observation_size)
        if state.observation.shape != expected:
            raise ValueError(
                f"{type(self).__name__}.act: a state is of the oracle's own environment, its observation {expected}; "
                f"got shape {state.observation.shape}. Make an oracle of the environment that is played."
            )
        plan, missing = carry
        make, act = (jax.vmap(self.plan), jax.vmap(self.act_on)) if missing.ndim else (self.plan, self.act_on)

        def renewed(missing: Array, old: PyTree, state: PyTree) -> PyTree:
            return where_leaves(missing, make(state), old)

        if jax.tree.leaves(plan):
            plan = when_any(missing, renewed, plan, missing, plan, state)
        return act(state, plan), (plan, jnp.zeros_like(missing))

    def restart(self, carry: Carry, done: Array) -> Carry:
        """Return the carry with the plans of ended episodes, ``(E,)``, to be made anew."""
        return carry[0], carry[1] | done


@dataclass(frozen=True)
class Scripted(abc.ABC):
    """A policy written by hand, of the observation of each particle and of the task's own numbers, and nothing else.

    A subclass is a frozen dataclass with ``@jax.tree_util.register_static`` above it and defines `__call__`.
    """

    environment: Any
    """Task whose observations it is given."""

    @abc.abstractmethod
    def __call__(self, observation: Array, key: Array | None = None) -> Array:
        """Return actions ``(..., D)`` for observations ``(..., O)``; nothing is left to chance, whatever the key."""


@jax.tree_util.register_static
@dataclass(frozen=True)
class RandomPolicy:
    """A policy that looks at nothing: actions uniform in the cube about the ball that a task advises, cut to it."""

    environment: Any
    """Task that it acts in."""

    def __call__(self, observation: Array, key: Array | None = None) -> Array:
        """Return actions ``(..., D)`` for observations ``(..., O)``; TypeError if there is no key."""
        if key is None:
            raise TypeError(
                "RandomPolicy: a random action needs a key; got None. Pass one, and sample=True to evaluate."
            )
        scale = action_scale(self.environment)
        shape = (*observation.shape[:-1], self.environment.action_size)
        return shorten(jax.random.uniform(key, shape, float, minval=-scale, maxval=scale), scale)
