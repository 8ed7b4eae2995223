"""Sizes of particles: one number, a range to draw from, or one of either for each species; and whether they fit."""

import math
from collections.abc import Iterator, Sequence

import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxdem_ac._checks import is_concrete
from jaxdem_ac.dem import time_step
from jaxdem_ac.dem.particles import Particles
from jaxdem_ac.dem.world import World
from jaxdem_ac.environments.checks import check_number
from jaxdem_ac.environments.placement import ROUNDING

Size = float | tuple[float, float]
"""One number, or a range (low, high) from which each is drawn at a reset."""

Sizes = float | tuple[Size, ...]
"""One number for all, or a range (low, high) from which each is drawn at a reset. In a swarm of several species a tuple
has one entry, a number or a range, for each species."""


def check_species(where: str, species: Sequence[int], num_particles: int) -> tuple[int, ...]:
    """Return the species of particles as a tuple, or raise ValueError unless they are 0 to K - 1, one for each."""
    whole = isinstance(species, list | tuple) and all(
        isinstance(kind, int | np.integer) and not isinstance(kind, bool) for kind in species
    )
    found = tuple(int(kind) for kind in species) if whole else ()
    if len(found) != num_particles or set(found) != set(range(1 + max(found, default=0))):
        raise ValueError(
            f"{where}: species has a whole number for each particle, from 0 on and none left out; got "
            f"{len(found)} for num_particles={num_particles}: {str(species)[:60]}. Give species=[0, 0, 1, 1], say."
        )
    return found


def freeze_sizes(where: str, owner: object, *names: str, species: tuple[int, ...] | None = None) -> None:
    """Check fields of a frozen dataclass that are sizes, and store lists as tuples.

    Raises ValueError if a size is not above 0, a range is not (low, high), or there is not one entry for each species.
    """
    for name in names:
        value = getattr(owner, name)
        if species is not None and isinstance(value, list | tuple):
            num = 1 + max(species)
            if len(value) != num:
                raise ValueError(
                    f"{where}: in a swarm of {num} species {name} has an entry for each, or is one number; got "
                    f"{name}={value!r}. Give {num} numbers or ranges."
                )
            frozen: Sizes = tuple(_frozen(where, f"{name}[{kind}]", entry) for kind, entry in enumerate(value))
        else:
            frozen = _frozen(where, name, value)
        object.__setattr__(owner, name, frozen)


def _frozen(where: str, name: str, value: Size) -> Size:
    """Return one number or range as it is kept."""
    if not isinstance(value, list | tuple):
        check_number(where, positive=True, **{name: value})
        return value
    if len(value) != 2:
        raise ValueError(f"{where}: {name} is one number or a range (low, high); got {name}={value!r}. Give both ends.")
    check_number(where, positive=True, **{f"{name}[0]": value[0], f"{name}[1]": value[1]})
    if value[0] > value[1]:
        raise ValueError(f"{where}: a range is (low, high); got {name}={tuple(value)!r}. Swap the ends.")
    return value[0], value[1]


def smallest(sizes: Sizes) -> float:
    """Return the least of all."""
    return min(map(smallest, sizes)) if isinstance(sizes, tuple) else float(sizes)


def largest(sizes: Sizes) -> float:
    """Return the largest of all."""
    return max(map(largest, sizes)) if isinstance(sizes, tuple) else float(sizes)


def ends(sizes: Sizes, species: tuple[int, ...] | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return the lower and the upper ends of all particles' ranges, ``()`` each, or ``(N,)`` where species differ."""
    if species is None or not isinstance(sizes, tuple):
        return np.asarray(smallest(sizes)), np.asarray(largest(sizes))
    kinds = np.asarray(species)
    low, high = np.asarray([[smallest(entry), largest(entry)] for entry in sizes]).T
    return low[kinds], high[kinds]


def check_sizes(where: str, radius: Array, mass: Array, radii: Sizes, masses: Sizes) -> None:
    """Raise ValueError if a radius is larger, or a mass smaller, than a task was checked for; traced ones pass.

    `radii` and `masses` are the task's: lists of neighbours are made for its largest radius, and its time step resolves
    contacts of its least mass.
    """
    if is_concrete(radius) and (widest := float(np.max(np.asarray(radius)))) > largest(radii) * (1 + 1e-6):
        raise ValueError(
            f"{where}: a radius is at most the environment's; got radius={widest:g} with radius={radii!r}. "
            f"Build the environment with radius={widest:g} or a range up to it."
        )
    if is_concrete(mass) and (lightest := float(np.min(np.asarray(mass)))) < smallest(masses) * (1 - 1e-6):
        raise ValueError(
            f"{where}: a mass is at least the environment's, whose time step resolves its contacts; got "
            f"mass={lightest:g} with mass={masses!r}. Build the environment with mass={lightest:g} or a range from it."
        )


def check_room_of(where: str, world: World, particles: Particles) -> None:
    """Raise ValueError if a box is narrower than one of its particles; traced ones pass."""
    if is_concrete(world.box_low, world.box_high, particles.radius):
        sides = np.asarray(world.box_high, np.float64) - np.asarray(world.box_low, np.float64)
        dim = min(particles.dim, len(sides))
        time_step.check_box(where, sides[:dim], np.asarray(particles.radius), world.boundary.periodic)


def check_sight(where: str, lidar_range: float, sizes: Sizes) -> None:
    """Raise ValueError if a lidar does not reach beyond the radius within which a target is reached, or too far.

    A reading is the range less a distance: beyond some range it no longer says where in a radius a target is.
    """
    most = float(f"{1e-3 * smallest(sizes) / np.finfo(jnp.result_type(float)).eps:.3g}")
    if lidar_range > most:
        raise ValueError(
            f"{where}: a lidar's readings resolve a thousandth of a radius; got lidar_range={lidar_range:g} with "
            f"radius={sizes!r}, where {jnp.result_type(float)} does up to {most:g}. Lower lidar_range."
        )
    if lidar_range <= largest(sizes):
        raise ValueError(
            f"{where}: a lidar reaches beyond its particle; got lidar_range={lidar_range:g} with radius={sizes!r}. "
            "Raise lidar_range."
        )


def check_room(
    where: str, num: int, low: Sequence[float], radius: float, advice: str, high: Sequence[float] | None = None
) -> None:
    """Raise ValueError unless a jittered grid of `num` discs fits into a rectangle without overlap.

    Where sides are drawn they are those from `low` to `high`, two each, and it fits into all such rectangles.
    """
    high = low if high is None else high
    if num == 0:
        return
    if min(low) < 2 * radius:
        cell, size = min(low), tuple(low)
    else:
        cell, size = min(_cells(num, low, high))
    if cell < 2 * radius:
        raise ValueError(
            f"{where}: {num} particles of radius {radius:g} start in a region of {size[0]:g} by {size[1]:g} without "
            f"overlap; got cells of {cell:.3g}. {advice}"
        )


def _cells(num: int, low: Sequence[float], high: Sequence[float]) -> Iterator[tuple[float, tuple[float, float]]]:
    """Give the least cell for each number of columns that a grid has in rectangles, and the rectangle it is in.

    There are c columns where ``(c - 1)**2 < num * width / height <= c**2``, and with c columns a cell grows with both
    sides: it is least in the least of such rectangles.
    """
    first, last = (
        max(1, math.ceil(math.sqrt(num * width / height) * (1 - ROUNDING)))
        for width, height in ((low[0], high[1]), (high[0], low[1]))
    )
    for columns in range(first, last + 1):
        width = max(low[0], (columns - 1) ** 2 * low[1] / num)
        height = max(low[1], num * low[0] / columns**2)
        yield min(width / columns, height / math.ceil(num / columns)), (width, height)


def check_region(where: str, least: float, most: float) -> None:
    """Raise ValueError unless the least side of a region is at most its largest."""
    if most < least:
        raise ValueError(
            f"{where}: max_box_size >= min_box_size; got min_box_size={least}, max_box_size={most}. Raise max_box_size."
        )
