"""Assignment: who goes where, so that all together have the least way."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array


def least_total_distance(position: Array, places: Array) -> Array:
    """Return the place of each particle, ``(N,)`` of int: every place has one, and the sum of distances is least.

    Position and places are ``(N, dim)``, lengths; they may be traced, and batched by `jax.vmap`. The optimum is exact:
    `scipy.optimize.linear_sum_assignment`, which the host calls.
    """
    num = position.shape[0]
    distance = jnp.sqrt(jnp.sum((position[:, None] - places[None]) ** 2, axis=-1))
    like = jax.eval_shape(lambda: jnp.zeros(num, jnp.int32))
    return jax.pure_callback(_assigned, like, distance, vmap_method="expand_dims")


def _assigned(cost: Any) -> np.ndarray:
    """Return the column of each row of square matrices ``(..., N, N)`` with the least sum."""
    from scipy.optimize import linear_sum_assignment

    cost = np.asarray(cost, np.float64)
    # What is not a number has no least sum; whoever evaluates such states says so.
    cost = np.where(np.isfinite(cost), cost, 1e30)
    found = [linear_sum_assignment(each)[1] for each in cost.reshape(-1, *cost.shape[-2:])]
    return np.asarray(found, np.int32).reshape(cost.shape[:-1])
