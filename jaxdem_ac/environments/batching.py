"""Steps and resets of a batch of environments."""

from collections.abc import Callable, Sequence
from typing import TypeVar, TypeVarTuple

import jax
import jax.numpy as jnp
from jax import Array

from jaxdem_ac._types import PyTree
from jaxdem_ac.dem.scatter import broadcast_batch
from jaxdem_ac.environments.base import Environment, StateT, Timestep

Result = TypeVar("Result")
Arguments = TypeVarTuple("Arguments")


def reset_batch(environment: Environment[StateT], keys: Array) -> StateT:
    """Return a batch of states at the beginning of their episodes; keys ``(E,)``, leaves ``(E, ...)``."""
    return jax.vmap(environment.reset)(keys)


def step_batch(environment: Environment[StateT], state: StateT, action: Array) -> tuple[StateT, Timestep]:
    """Return a batch of states one decision later; action ``(E, N, D)``, leaves ``(E, ...)``."""
    return jax.vmap(environment.step)(state, action)


def reset_where(environment: Environment[StateT], state: StateT, done: Array, keys: Array) -> StateT:
    """Return a batch of states, leaves ``(E, ...)``, with those of ended episodes replaced by fresh ones.

    `done`, ``(E,)``, says whose have ended, `keys`, ``(E,)``, make the fresh ones. Where no episode ends nothing is
    computed.
    """

    def replaced(done: Array, state: StateT, keys: Array) -> StateT:
        return where_leaves(done, reset_batch(environment, keys), state)

    return when_any(done, replaced, state, done, state, keys)


def where_leaves(condition: Array, new: Result, old: Result) -> Result:
    """Return one of two pytrees, leaves ``(..., *)``, for each entry of a condition ``(...)``."""

    def choose(new: Array, old: Array) -> Array:
        return jnp.where(condition.reshape(condition.shape + (1,) * (new.ndim - condition.ndim)), new, old)

    return jax.tree.map(choose, new, old)


def when_any(
    happens: Array, compute: Callable[[*Arguments], Result], otherwise: Result, *arguments: *Arguments
) -> Result:
    """Return ``compute(*arguments)`` if any of `happens` is true, else `otherwise`, a pytree of the same shapes.

    Under `jax.vmap` it stays one condition, for all: as a `jax.lax.cond` it would become a choice between two results,
    both computed every time. What `compute` closes over is the same for all.
    """

    @jax.custom_batching.custom_vmap
    def choose(happens: Array, otherwise: Result, arguments: tuple[*Arguments]) -> Result:
        return jax.lax.cond(jnp.any(happens), lambda: compute(*arguments), lambda: otherwise)

    @choose.def_vmap
    def rule(axis_size: int, batched: Sequence[PyTree], *given: PyTree) -> tuple[Result, PyTree]:
        happens, otherwise, arguments = broadcast_batch(axis_size, batched, given)
        chosen = when_any(happens, jax.vmap(compute), otherwise, *arguments)
        return chosen, jax.tree.map(lambda _: True, chosen)

    return choose(happens, otherwise, arguments)
