"""Trajectories of the engine, step by step."""

import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdem_ac import dem
from jaxdem_ac.dem.world import BoundaryName


def box(
    dim: int, low: float, high: float, boundary: dem.Boundary | BoundaryName = "reflect", **material: Any
) -> dem.World:
    """Return a world in a cube; material and time step as :meth:`World.create` takes them."""
    return dem.World.create(np.full(dim, low), np.full(dim, high), boundary, **material)


def lattice(num: int, side: float) -> np.ndarray:
    """Return the points of a square lattice in a square of that side, ``(num, 2)``."""
    rows = math.ceil(math.sqrt(num))
    return (np.stack(np.meshgrid(np.arange(rows), np.arange(rows)), -1).reshape(-1, 2)[:num] + 0.5) * side / rows


@partial(jax.jit, static_argnames=("num_steps", "every"))
def trajectory(world: dem.World, particles: dem.Particles, num_steps: int, every: int = 1) -> dem.Particles:
    """Return the particles before the first and after each `every` steps, along a leading axis of time."""

    def body(now: dem.Particles, _: None) -> tuple[dem.Particles, dem.Particles]:
        after, _neighbors = dem.advance(world, now, jnp.zeros_like(now.force), every)
        return after, after

    _, path = jax.lax.scan(body, particles, length=num_steps // every)
    return jax.tree.map(lambda first, rest: jnp.concatenate([first[None], rest]), particles, path)
