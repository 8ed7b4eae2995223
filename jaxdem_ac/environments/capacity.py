"""Lists of neighbours that turn out too short: how much, again with longer ones, and states in their shapes."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TypeVar

import jax
import jax.numpy as jnp
from jax import Array

from jaxdem_ac._types import PyTree
from jaxdem_ac.dem.neighbor_list import Neighbors
from jaxdem_ac.environments.base import Environment, EnvironmentT, StateT, compiled
from jaxdem_ac.environments.batching import reset_batch

Result = TypeVar("Result")


@compiled
def worst_overflow(environment: Environment[StateT], state: StateT) -> Array:
    """Return the largest `overflow_of` of a batch of states, ``()``; leaves ``(E, ...)``.

    A state with positions that are not numbers does not count: no list helps it.
    """
    finite = jnp.all(jnp.isfinite(state.observation), axis=(-2, -1))
    return jnp.max(jnp.where(finite, jax.vmap(environment.overflow_of)(state), 0.0))


def retry_on_overflow(
    environment: EnvironmentT, play: Callable[[EnvironmentT], Result], overflow: Callable[[Result], Array | float]
) -> tuple[EnvironmentT, Result]:
    """Return what `play` made of an environment, again with longer lists of neighbours while they have been too short.

    `overflow` tells the largest ``info["overflow"]`` of a result. One that is traced says nothing: nothing is repeated.
    """
    while True:
        played = play(environment)
        worst = overflow(played)
        if isinstance(worst, jax.core.Tracer) or not worst > 0:
            return environment, played
        environment = environment.with_capacity(float(worst))


def pad_state(environment: Environment[StateT], state: StateT, num_envs: int) -> StateT:
    """Return the states of a batch, leaves ``(E, ...)``, in the shapes of an environment whose lists are longer.

    What a list that was too short has lost does not come back: :func:`worst_overflow` of the states is 0 before.
    """
    like = jax.eval_shape(partial(reset_batch, environment), jax.random.split(jax.random.key(0), num_envs))

    return fit_lists(state, like)


def are_pairs(tree: PyTree) -> list[bool]:
    """Return for each leaf of a tree whether it holds the pairs of a list of neighbours."""

    def mark(node: PyTree) -> PyTree:
        return replace(jax.tree.map(lambda _: False, node), left=True, right=True) if _is_list(node) else False

    return jax.tree.leaves(jax.tree.map(mark, tree, is_leaf=_is_list))


def fit_lists(tree: PyTree, like: PyTree) -> PyTree:
    """Return a tree with its lists of neighbours, leaves ``(..., P)``, as long as those of a tree of shapes.

    What is new at the end is the pair (0, 0), which pads a list. One that holds more pairs than it then has room for is
    built again when it is next looked at. All else is padded with zeros where it is shorter.
    """

    def pad(leaf: Array, like: Array) -> Array:
        if leaf.shape == like.shape:
            return leaf
        return jnp.pad(leaf, [(0, after - before) for before, after in zip(leaf.shape, like.shape, strict=True)])

    def fit(node: PyTree, like: PyTree) -> PyTree:
        if not _is_list(node):
            return pad(node, like)
        length = like.left.shape[-1]
        left, right = pad(node.left[..., :length], like.left), pad(node.right[..., :length], like.right)
        lost = (node.count > length)[..., None, None]
        return replace(node, left=left, right=right, reference=jnp.where(lost, jnp.inf, node.reference))

    return jax.tree.map(fit, tree, like, is_leaf=_is_list)


def _is_list(node: PyTree) -> bool:
    return isinstance(node, Neighbors)
