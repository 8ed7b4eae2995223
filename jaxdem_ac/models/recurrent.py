"""Models with a memory: where they keep it, one step with it, and a sequence replayed from where it began.

The interface is JaxDEM's, whoever's the model is. ``model(observation)`` of observations ``(..., O)`` reads its carry
and overwrites it: `nnx.Variable`s whose first axes are those of the observations. ``model.reset(shape)`` makes them
what an episode begins with, for observations of that shape. A model that also takes ``model(observations,
sequence=True, initial_carry=model.carry, done=done)``, of ``(T, S, O)``, replays sequences by itself; any other is
replayed step by step. A model whose `carry` is None is feed-forward. Particles are sequences of their own: a model that
mixes them is not replayed as it was played.
"""

import inspect
from collections.abc import Callable
from typing import TypeAlias, TypeVar

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from jaxdem_ac._types import PyTree
from jaxdem_ac.models.policy import with_raw_actions
from jaxdem_ac.models.structure import Distribution, GraphDef, Model

Measured = TypeVar("Measured")
Path = tuple[object, ...]

Carry: TypeAlias = PyTree
"""A carry by itself, an `nnx.State` of those variables alone; without leaves if the model is feed-forward."""


def split_carry(graphdef: GraphDef, state: PyTree, num_particles: int, observation_size: int) -> tuple[PyTree, Carry]:
    """Return what a model holds besides its carry, and the carry of one particle, all zeros.

    Its variables are those that grow with the observations, ``(N, O)``; nothing is computed to find them. Raises
    ValueError if the model has a carry and no `reset`, or keeps it nowhere or behind other axes than those of the
    observations.
    """
    model = nnx.merge(graphdef, state)
    names_one = hasattr(model, "carry")
    if (names_one and model.carry is None) or not (names_one or hasattr(model, "reset")):
        return state, nnx.State({})
    if not hasattr(model, "reset"):
        raise ValueError(
            f"{type(model).__name__}: a recurrent model has reset(shape), which makes its carry that of the beginning "
            "of an episode; got none. Give it one, or let its carry be None."
        )
    shape = num_particles, observation_size
    one, other = (_after_a_call(graphdef, state, (num, *shape)) for num in (2, 3))
    paths = {path for path, leaves in one.items() if leaves != other[path]}
    leading = {leaf.shape[:2] for path in paths for leaf in one[path]}
    if leading - {(2, num_particles)} or (names_one and not paths):
        found = {".".join(map(str, path)): [leaf.shape for leaf in one[path]] for path in sorted(paths, key=str)}
        raise ValueError(
            f"{type(model).__name__}: a recurrent model keeps its carry in nnx.Variables that begin with the axes of "
            f"the observations, after reset(shape=observation.shape) and after a call; got {found or 'none'} for "
            f"observations of shape {(2, *shape)}. Keep it so, or let its carry be None."
        )
    carry, rest = nnx.split_state(state, lambda path, _: path in paths, ...)
    zeros = [jnp.zeros(leaf.shape[2:], leaf.dtype) for path, _ in nnx.to_flat_state(carry) for leaf in one[path]]
    return rest, jax.tree.unflatten(jax.tree.structure(carry), zeros)


def _after_a_call(graphdef: GraphDef, state: PyTree, shape: tuple[int, ...]) -> dict[Path, list[jax.ShapeDtypeStruct]]:
    """Return the shapes of what a model holds, but for its parameters, after a reset and a call; by path."""

    def call(state: PyTree) -> PyTree:
        model = nnx.merge(graphdef, state)
        model.reset(shape=shape)
        model(jnp.zeros(shape))
        return nnx.split_state(nnx.state(model), nnx.Param, ...)[1]

    return {path: jax.tree.leaves(variable) for path, variable in nnx.to_flat_state(jax.eval_shape(call, state))}


def step(
    graphdef: GraphDef, states: tuple[PyTree, ...], carry: Carry, observation: Array
) -> tuple[Distribution, Array, Carry]:
    """Return the policy, the value ``(...)`` and the next carry of observations ``(..., O)``.

    `graphdef` and `states` are the model's without its carry, whose leaves are ``(..., *)``.
    """
    # The model writes into its variables: into copies.
    model = nnx.merge(graphdef, *states, jax.tree.map(lambda leaf: leaf, carry))
    distribution, value = model(observation)
    return with_raw_actions(distribution), jnp.squeeze(value, -1), _carry_of(model, carry)


def initial_carry(graphdef: GraphDef, states: tuple[PyTree, ...], like: Carry, shape: tuple[int, ...]) -> Carry:
    """Return the carry that an episode begins with, for observations of `shape`, ``(..., O)``.

    `graphdef` and `states` are the model's without its carry; `like` is a carry of any shape.
    """
    if not jax.tree.leaves(like):
        return like
    model = nnx.merge(graphdef, *states, jax.tree.map(jnp.zeros_like, like))
    model.reset(shape=shape)
    return _carry_of(model, like)


def _carry_of(model: Model, like: Carry) -> Carry:
    """Return a model's carry in the structure and of the types of another."""
    if not jax.tree.leaves(like):
        return like
    paths = {path for path, _ in nnx.to_flat_state(like)}
    found, _ = nnx.split_state(nnx.state(model), lambda path, _: path in paths, ...)
    leaves = zip(jax.tree.leaves(found), jax.tree.leaves(like), strict=True)
    return jax.tree.unflatten(jax.tree.structure(like), [jnp.asarray(new, old.dtype) for new, old in leaves])


def reset_where(carry: Carry, done: Array, fresh: Carry) -> Carry:
    """Return a carry, leaves ``(E, ...)``, with that of ended episodes ``(E,)`` at its beginning."""

    def choose(start: Array, old: Array) -> Array:
        return jnp.where(done.reshape(done.shape + (1,) * (old.ndim - done.ndim)), start, old)

    return jax.tree.map(choose, fresh, carry)


def replay(
    graphdef: GraphDef,
    states: tuple[PyTree, ...],
    carry: Carry,
    observation: Array,
    done: Array,
    measure: Callable[..., Measured],
    *rows: Array,
) -> tuple[Measured, Array]:
    """Return what `measure` says of policies along sequences of observations ``(T, S, O)``, and values ``(T, S)``.

    `graphdef` and `states` are the model's, without its carry, and the sequences begin with `carry`, leaves
    ``(S, ...)``. Where an episode ended with a step, `done`, ``(T, S)``, the next one begins anew. `measure` takes a
    policy over ``(T, S)`` or ``(S,)``, and `rows` of that shape, ``(T, S, ...)`` in all, to arrays.
    """
    model = nnx.merge(graphdef, *states, jax.tree.map(lambda leaf: leaf, carry))
    if _replays_itself(model):
        distribution, value = model(observation, sequence=True, initial_carry=model.carry, done=done)
        return measure(with_raw_actions(distribution), *rows), jnp.squeeze(value, -1)
    fresh = initial_carry(graphdef, states, carry, observation.shape[1:])

    def body(carry: Carry, now: tuple[Array, ...]) -> tuple[Carry, tuple[Measured, Array]]:
        observation, done, *rows = now
        distribution, value, carry = step(graphdef, states, carry, observation)
        # Arrays and not a distribution leave the scan: the shape of one would not know of the new axis.
        return reset_where(carry, done, fresh), (measure(distribution, *rows), value)

    _, found = jax.lax.scan(body, carry, (observation, done, *rows))
    return found


def _replays_itself(model: Model) -> bool:
    """Return whether a model's call takes a whole sequence, its beginning and its ends."""
    if not hasattr(model, "carry"):
        return False
    parameters = inspect.signature(model.__call__).parameters
    takes_all = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    return all(name in parameters or takes_all for name in ("sequence", "initial_carry", "done"))
