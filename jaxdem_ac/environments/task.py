"""What the tasks of this package share: actions that are held, sizes that differ, lists that can grow."""

import math
from dataclasses import replace
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxdem_ac.dem.particles import is_concrete
from jaxdem_ac.environments.base import Environment
from jaxdem_ac.environments.checks import check_number

Sizes = float | tuple[float, float]
"""One number for all, or a range (low, high) from which each is drawn at a reset."""


class SwarmTask(Environment):
    """What follows from holding an action in the plane for several steps of the engine."""

    max_steps: int
    """Length of an episode, in physics steps."""
    physics_steps: int
    """Physics steps for which an action is held: one decision."""
    dt: float
    """Time step of the engine, time."""
    neighbor_room: float
    """Room in the lists of neighbours of a large swarm, relative to what is usually enough."""

    @property
    def action_size(self) -> int:
        """2."""
        return 2

    @property
    def episode_length(self) -> int:
        """Decisions in `max_steps` physics steps, the last one begun in full."""
        return -(-self.max_steps // self.physics_steps)

    @property
    def decision_time(self) -> float:
        """``physics_steps * dt``."""
        return self.physics_steps * self.dt

    def grown(self, overflow: float) -> Self:
        """Return the same task with `overflow` times the room in its lists of neighbours, and a quarter more."""
        roomier: Any = replace(self, neighbor_room=1.25 * float(overflow) * self.neighbor_room)  # type: ignore[type-var]
        return roomier


def freeze_sizes(where: str, owner: Any, *names: str) -> None:
    """Check fields of a frozen dataclass that are sizes, and store ranges as tuples: JSON has only lists.

    Raises
    ------
    ValueError
        If a size is not above 0 or a range is not (low, high).
    """
    for name in names:
        value = getattr(owner, name)
        if isinstance(value, list | tuple):
            if len(value) != 2:
                raise ValueError(
                    f"{where}: {name} is one number or a range (low, high); got {name}={value!r}. Give both ends."
                )
            value = tuple(value)
            check_number(where, positive=True, **{f"{name}[0]": value[0], f"{name}[1]": value[1]})
            if value[0] > value[1]:
                raise ValueError(f"{where}: a range is (low, high); got {name}={value!r}. Swap the ends.")
            object.__setattr__(owner, name, value)
        else:
            check_number(where, positive=True, **{name: value})


def smallest(sizes: Sizes) -> float:
    """Return the lower end."""
    return float(sizes[0] if isinstance(sizes, tuple) else sizes)


def largest(sizes: Sizes) -> float:
    """Return the upper end."""
    return float(sizes[1] if isinstance(sizes, tuple) else sizes)


def middle(sizes: Sizes) -> float:
    """Return the number half way."""
    return (smallest(sizes) + largest(sizes)) / 2


def check_radius(where: str, radius: Array, sizes: Sizes) -> None:
    """Raise ValueError if a radius is larger than the lists of neighbours are made for; a traced one passes."""
    if not is_concrete(radius) or float(np.max(np.asarray(radius))) <= largest(sizes) * (1 + 1e-6):
        return
    widest = float(np.max(np.asarray(radius)))
    raise ValueError(
        f"{where}: a radius is at most the environment's; got radius={widest:g} with radius={sizes!r}. "
        f"Build the environment with radius={widest:g} or a range up to it."
    )


def check_sight(where: str, lidar_range: float, sizes: Sizes) -> None:
    """Raise ValueError if a lidar does not reach beyond the radius within which a target is reached."""
    if lidar_range <= largest(sizes):
        raise ValueError(
            f"{where}: a lidar reaches beyond its particle; got lidar_range={lidar_range:g} with radius={sizes!r}. "
            "Raise lidar_range."
        )


def draw_sizes(key: Array, sizes: Sizes, num: int) -> Array:
    """Return one size for each of `num`, ``(num,)``, uniform in the range."""
    return jax.random.uniform(key, (num,), float, minval=smallest(sizes), maxval=largest(sizes))


def check_room(where: str, num: int, size: tuple[float, float], radius: float, advice: str) -> None:
    """Raise ValueError unless a jittered grid of `num` discs fits into a rectangle without overlap."""
    if num == 0:
        return
    columns = math.ceil(math.sqrt(num * size[0] / size[1]))
    cell = min(size[0] / columns, size[1] / math.ceil(num / columns))
    if cell < 2 * radius:
        raise ValueError(
            f"{where}: {num} particles of radius {radius:g} start in a region of {size[0]:g} by {size[1]:g} without "
            f"overlap; got cells of {cell:.3g}. {advice}"
        )


def unit(vector: Array) -> Array:
    """Return vectors ``(..., dim)`` at length 1, and 0 where they are 0."""
    square = jnp.sum(vector**2, axis=-1, keepdims=True)
    return jnp.where(square > 0, vector * jax.lax.rsqrt(jnp.where(square > 0, square, 1.0)), 0.0)


def shorten(vector: Array, longest: float) -> Array:
    """Return vectors ``(..., dim)`` cut to a length."""
    square = jnp.sum(vector**2, axis=-1, keepdims=True)
    too_long = square > longest**2
    return jnp.where(too_long, vector * (longest * jax.lax.rsqrt(jnp.where(too_long, square, 1.0))), vector)
