"""Lists of neighbours that turn out too short: how much, again with longer ones, and states in their shapes."""

from collections.abc import Callable
from functools import partial
from typing import TypeVar

import jax
import jax.numpy as jnp
from jax import Array

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

    What is new at the end of an axis is 0, which pads a list. What a list that was too short has lost does not come
    back: :func:`worst_overflow` of the states is 0 before.
    """
    like = jax.eval_shape(partial(reset_batch, environment), jax.random.split(jax.random.key(0), num_envs))

    def pad(leaf: Array, new: Array) -> Array:
        if leaf.shape == new.shape:
            return leaf
        return jnp.pad(leaf, [(0, after - before) for before, after in zip(leaf.shape, new.shape, strict=True)])

    return jax.tree.map(pad, state, like)
