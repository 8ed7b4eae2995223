"""Starting places of particles and targets."""

import jax
import jax.numpy as jnp
from jax import Array


def jittered_grid(key: Array, num_points: int, size: Array, radius: float = 1.0) -> Array:
    """Return points in ``[0, size]``, one in each cell of a grid, moved at random as far as discs fit their cells.

    They are ``(num_points, 2)``, size is ``(2,)``; lengths, as the radius of the discs.
    """
    if num_points == 0:
        return jnp.zeros((0, 2))
    columns = jnp.ceil(jnp.sqrt(num_points * size[0] / size[1]))
    rows = jnp.ceil(num_points / columns)
    cell = size / jnp.stack([columns, rows])
    index = jnp.arange(num_points)
    column, row = jnp.mod(index, columns), index // columns
    room = jnp.maximum(0.0, cell / 2 - radius)
    shift = jax.random.uniform(key, (num_points, 2), float, minval=-1.0, maxval=1.0)
    return (jnp.stack([column, row], axis=-1) + 0.5) * cell + shift * room


def ring(key: Array, num_points: int, size: Array, width: float, radius: float = 1.0) -> Array:
    """Return points in the ring of `width` around ``[0, size]``: a quarter left, right, below, the rest above.

    They are ``(num_points, 2)``, size is ``(2,)``; lengths, as the radius of the discs.
    """
    key_left, key_right, key_below, key_above = jax.random.split(key, 4)
    quarter = num_points // 4
    upright = jnp.stack([jnp.asarray(width, size.dtype), size[1] + 2 * width])
    flat = jnp.stack([size[0], jnp.asarray(width, size.dtype)])
    return jnp.concatenate(
        [
            jittered_grid(key_left, quarter, upright, radius) - width,
            jittered_grid(key_right, quarter, upright, radius) + jnp.stack([size[0], jnp.asarray(-width, size.dtype)]),
            jittered_grid(key_below, quarter, flat, radius) + jnp.asarray([0.0, -width]),
            jittered_grid(key_above, num_points - 3 * quarter, flat, radius) + jnp.stack([jnp.zeros(()), size[1]]),
        ]
    )
