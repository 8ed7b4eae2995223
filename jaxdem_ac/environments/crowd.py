"""What tasks with crowds share: sizes that differ, and lists of neighbours with room for a jam."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxdem_ac.dem.neighbors import Neighbors, NeighborSpec, make_spec, no_neighbors, refresh
from jaxdem_ac.environments.base import Environment
from jaxdem_ac.environments.checks import check_number
from jaxdem_ac.environments.surroundings import worst_overflow as worst_overflow

Sizes = float | tuple[float, float]
"""One number for all, or a range (low, high) from which each is drawn at a reset."""

# Of hexagonal packing, the densest of equal discs; a tenth more for overlaps and for sizes that differ.
_PACKED = 1.1 * math.pi / math.sqrt(12)


class CrowdTask(Environment):
    """What follows from holding an action in the plane for several steps of the engine."""

    max_steps: int
    """Length of an episode, in physics steps."""
    physics_steps: int
    """Physics steps for which an action is held: one decision."""
    dt: float
    """Time step of the engine, time."""

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


def jam_spec(
    num_sources: int,
    extent: tuple[float, float],
    cutoff: float,
    skin: float,
    radius: float,
    *,
    capacity: int | None = None,
    among_themselves: bool = True,
) -> NeighborSpec:
    """Return the specification of a list in the plane that has room for the densest crowd.

    A crowd gathers, wherever it has started: its mean density says nothing.

    Parameters
    ----------
    num_sources : int
        M.
    extent : (float, float), length
        Of the region.
    cutoff, skin : float, length
    radius : float, length
        The smallest of the sources.
    capacity : int, optional
        Neighbours at most; as many as can be packed if left out.
    among_themselves : bool
        As in :class:`~jaxdem_ac.dem.neighbors.NeighborSpec`.
    """
    reach = cutoff + skin
    if capacity is None:
        capacity = math.ceil(_PACKED * ((reach + radius) / radius) ** 2)
    spec = make_spec(
        num_sources, np.asarray(extent), cutoff, skin, capacity=capacity, among_themselves=among_themselves
    )
    in_cell = math.ceil(_PACKED * (reach + 2 * radius) ** 2 / (math.pi * radius**2))
    # Cells of a wrapped grid hold several places; what a user asks for counts here too.
    cell_capacity = min(num_sources, max(spec.cell_capacity, in_cell, capacity))
    return NeighborSpec(
        cutoff=spec.cutoff,
        skin=spec.skin,
        capacity=spec.capacity,
        grid=spec.grid,
        cell_capacity=cell_capacity,
        among_themselves=among_themselves,
    )


def start_list(spec: NeighborSpec | None, position: Array) -> Neighbors | None:
    """Return an empty list, or None where all pairs are looked at."""
    return None if spec is None else no_neighbors(spec, position)


def renew_list(
    spec: NeighborSpec | None,
    neighbors: Neighbors | None,
    position: Array,
    box_low: Array,
    box_high: Array,
    sources: Array | None = None,
) -> tuple[Neighbors | None, Array | None]:
    """Return the list, built again if it has grown stale, and its candidates ``(N, K)``; None and None without one."""
    if spec is None or neighbors is None:
        return None, None
    neighbors = refresh(spec, neighbors, position, box_low, box_high, sources)
    return neighbors, neighbors.index


def unit(vector: Array) -> Array:
    """Return vectors ``(..., dim)`` at length 1, and 0 where they are 0."""
    square = jnp.sum(vector**2, axis=-1, keepdims=True)
    return jnp.where(square > 0, vector * jax.lax.rsqrt(jnp.where(square > 0, square, 1.0)), 0.0)


def shorten(vector: Array, longest: float) -> Array:
    """Return vectors ``(..., dim)`` cut to a length."""
    square = jnp.sum(vector**2, axis=-1, keepdims=True)
    too_long = square > longest**2
    return jnp.where(too_long, vector * (longest * jax.lax.rsqrt(jnp.where(too_long, square, 1.0))), vector)
