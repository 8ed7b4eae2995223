"""Starting places of particles and targets."""

import jax
import jax.numpy as jnp
from jax import Array

ROUNDING = 1e-6
"""Share of a number of columns that is rounding."""


def jittered_grid(key: Array, num_points: int, size: Array, radius: float = 1.0) -> Array:
    """Return points in ``[0, size]``, one in each cell of a grid, moved at random as far as discs fit their cells.

    They are ``(num_points, 2)``, size is ``(2,)``; lengths, as the radius of the discs.
    """
    if num_points == 0:
        return jnp.zeros((0, 2))
    return _placed(_shifts(key, num_points), size, radius)


def _shifts(key: Array, num_points: int) -> Array:
    """Return how points are moved in their cells, in units of the room there, ``(num_points, 2)`` in [-1, 1)."""
    return jax.random.uniform(key, (num_points, 2), float, minval=-1.0, maxval=1.0)


def _placed(shift: Array, size: Array, radius: float) -> Array:
    """Return the points of a jittered grid, ``(num_points, 2)``, of their shifts."""
    num_points = len(shift)
    # What rounding adds to a whole number is no further column.
    columns = jnp.ceil(jnp.sqrt(num_points * size[0] / size[1]) * (1 - ROUNDING))
    rows = jnp.ceil(num_points / columns)
    cell = size / jnp.stack([columns, rows])
    index = jnp.arange(num_points)
    column, row = jnp.mod(index, columns), index // columns
    room = jnp.maximum(0.0, cell / 2 - radius)
    return (jnp.stack([column, row], axis=-1) + 0.5) * cell + shift * room


def ring_sides(num_points: int) -> tuple[int, int]:
    """Return how many points of a ring are on its left, on its right and below, and how many above."""
    return num_points // 4, num_points - 3 * (num_points // 4)


def ring(key: Array, num_points: int, size: Array, width: float, radius: float = 1.0) -> Array:
    """Return points in the ring of `width` around ``[0, size]``: a quarter left, right, below, the rest above.

    They are ``(num_points, 2)``, size is ``(2,)``; lengths, as the radius of the discs.
    """
    quarter, last = ring_sides(num_points)
    upright = jnp.stack([jnp.asarray(width, size.dtype), size[1] + 2 * width])
    flat = jnp.stack([size[0], jnp.asarray(width, size.dtype)])
    # All four sides in one draw: of what a reset has, random numbers take longest to compile.
    left, right, below, above = jax.vmap(lambda key: _shifts(key, last))(jax.random.split(key, 4))

    def side(shift: Array, number: int, size: Array) -> Array:
        return _placed(shift[:number], size, radius) if number else jnp.zeros((0, 2))

    return jnp.concatenate(
        [
            side(left, quarter, upright) - width,
            side(right, quarter, upright) + jnp.stack([size[0], jnp.asarray(-width, size.dtype)]),
            side(below, quarter, flat) + jnp.asarray([0.0, -width]),
            side(above, last, flat) + jnp.stack([jnp.zeros(()), size[1]]),
        ]
    )
