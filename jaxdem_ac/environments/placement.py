"""Starting places of particles and targets."""

from functools import partial

import jax
import jax.numpy as jnp
from jax import Array


def jittered_grid(key: Array, num_points: int, size: Array, radius: float = 1.0) -> Array:
    """Return points in ``[0, size]``, one in each cell of a grid, moved at random as far as discs fit their cells.

    They are ``(num_points, 2)``, size is ``(2,)``; lengths, as the radius of the discs.
    """
    if num_points == 0:
        return jnp.zeros((0, 2))
    return _grid(key, num_points, size, radius, num_points)


def _grid(key: Array, count: int | Array, size: Array, radius: float, num_drawn: int) -> Array:
    """Return a grid of `count` points as the first of ``(num_drawn, 2)``; what follows has no meaning."""
    columns = jnp.ceil(jnp.sqrt(count * size[0] / size[1]))
    rows = jnp.ceil(count / columns)
    cell = size / jnp.stack([columns, rows])
    index = jnp.arange(num_drawn)
    column, row = jnp.mod(index, columns), index // columns
    room = jnp.maximum(0.0, cell / 2 - radius)
    shift = jax.random.uniform(key, (num_drawn, 2), float, minval=-1.0, maxval=1.0)
    return (jnp.stack([column, row], axis=-1) + 0.5) * cell + shift * room


def ring(key: Array, num_points: int, size: Array, width: float, radius: float = 1.0) -> Array:
    """Return points in the ring of `width` around ``[0, size]``: a quarter left, right, below, the rest above.

    They are ``(num_points, 2)``, size is ``(2,)``; lengths, as the radius of the discs.
    """
    if num_points == 0:
        return jnp.zeros((0, 2))
    quarter, last = num_points // 4, num_points - 3 * (num_points // 4)
    across = jnp.asarray(width, size.dtype)
    upright, flat = jnp.stack([across, size[1] + 2 * across]), jnp.stack([size[0], across])
    # All four sides in one draw: of what a reset has, random numbers take longest to compile.
    counts, sides = jnp.array([max(1, quarter)] * 3 + [last]), jnp.stack([upright, upright, flat, flat])
    drawn: Array = jax.vmap(partial(_grid, radius=radius, num_drawn=last))(jax.random.split(key, 4), counts, sides)
    left, right, below, above = drawn
    zero = jnp.zeros((), size.dtype)
    return jnp.concatenate(
        [
            left[:quarter] - across,
            right[:quarter] + jnp.stack([size[0], -across]),
            below[:quarter] + jnp.stack([zero, -across]),
            above + jnp.stack([zero, size[1]]),
        ]
    )
