"""The base of the tasks of this package: actions that are held, sizes that differ, lists that can grow."""

import abc
import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxdem_ac.dem import time_step
from jaxdem_ac.dem.particles import Particles, is_concrete
from jaxdem_ac.dem.step import EMBEDDED
from jaxdem_ac.dem.world import World
from jaxdem_ac.environments.base import Environment
from jaxdem_ac.environments.checks import check_number
from jaxdem_ac.environments.sensing.lidar import Channel
from jaxdem_ac.environments.sensing.neighbor_lists import Surroundings
from jaxdem_ac.registry import engines

# Fields that decide how well a time step resolves a contact.
_MATERIAL = ("dt", "stiffness", "mass", "restitution", "friction", "contact_friction", "drag", "tangential_damping")

Sizes = float | tuple[Any, ...]
"""One number for all, or a range (low, high) from which each is drawn at a reset. In a swarm of several species a tuple
has one entry, a number or a range, for each species."""


@dataclass(frozen=True, kw_only=True)
class SwarmTask(Environment):
    """Actions in the plane that are held for several steps of the engine; particles of several sizes and species."""

    species: tuple[int, ...] | None = None
    """Which kind each particle is, ``(N,)``, numbered from 0; all are alike if left out. `radius` and `mass` may then
    have one entry for each kind, a number or a range."""
    observe_sizes: bool = False
    """Whether a particle observes its own radius and mass, as its last two numbers."""
    neighbor_room: float = 1.0
    """Room in the lists of neighbours of a large swarm, relative to what is usually enough. Where it is not, a run
    makes it larger and repeats what has been lost."""
    engine: str = EMBEDDED
    """Engine of the particles: the embedded one, or ``"jaxdem"``, JaxDEM's own under the same law of contact."""
    radius: Sizes
    """Of the particles, or a range to draw each from, length."""
    mass: Sizes
    """Of the particles, or a range to draw each from."""
    max_steps: int
    """Length of an episode, in physics steps."""
    physics_steps: int
    """Physics steps for which an action is held: one decision."""
    dt: float
    """Time step of the engine, time."""
    stiffness: float
    """Of contacts, force / length."""

    lidar_senses: ClassVar[tuple[str, ...]] = ()
    """Sensed things of each lidar, in the order of their readings, with which an observation ends but for own sizes."""

    @abc.abstractmethod
    def world(self, state: Any) -> World:
        """Return the box of an episode, its material and the time step."""

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

    @property
    def fastest_contact(self) -> float:
        """Sum of both inverse masses in the shortest contact of the swarm, 1 / mass; 0 if nothing can touch."""
        swarm = [1 / smallest(self.mass)] * min(2, self.num_particles)
        pair = sorted([*swarm, *self.inverse_masses_besides])[-2:]
        return sum(pair) if len(pair) == 2 else 0.0

    @property
    def inverse_masses_besides(self) -> tuple[float, ...]:
        """Inverse masses of what else the swarm can touch, 1 / mass; 0 for what nothing moves."""
        return ()

    @property
    def critical_time_step(self) -> float:
        """Time step from which on a contact of the lightest particles diverges, time; infinite where nothing can touch.

        As :meth:`jaxdem_ac.dem.World.critical_time_step` has it.
        """
        inverse_mass = self.fastest_contact
        return math.inf if inverse_mass == 0 else time_step.critical_time_step(self.stiffness, 1 / inverse_mass)

    @property
    def lidars(self) -> tuple[Channel, ...]:
        """Where in an observation the readings of each lidar stand."""
        if not self.lidar_senses:
            return ()
        lidar: Any = self
        num_bins, count = lidar.n_lidar_rays, len(self.lidar_senses)
        first = self.observation_size - self.sizes_observed - count * num_bins
        return tuple(
            Channel(senses, first + number * num_bins, num_bins, lidar.lidar_range)
            for number, senses in enumerate(self.lidar_senses)
        )

    @property
    def sizes_observed(self) -> int:
        """Count of its own sizes among the numbers that a particle observes: 0 or 2."""
        return 2 * self.observe_sizes

    def own_sizes(self, particles: Particles) -> list[Array]:
        """Return what the first N particles observe of themselves if `observe_sizes`: ``[(N, 2)]``, or nothing."""
        if not self.observe_sizes:
            return []
        return [jnp.column_stack([particles.radius, particles.mass])[: self.num_particles]]

    def draw_sizes(self, key: Array, sizes: Sizes) -> Array:
        """Return one size for each particle, ``(N,)``, uniform in its range."""
        low, high = ends(sizes, self.species)
        return jax.random.uniform(key, (self.num_particles,), float, minval=low, maxval=high)

    def middle(self, sizes: Sizes) -> np.ndarray:
        """Return the numbers half way in the ranges, ``()`` or ``(N,)``."""
        low, high = ends(sizes, self.species)
        return (low + high) / 2

    def check_swarm(self, where: str) -> None:
        """Check what all swarms have, and store lists as tuples: JSON has only lists.

        Raises
        ------
        ValueError
            If a size is not above 0, a range is not (low, high), or species do not fit.
        KeyError
            If there is no such engine.
        """
        engines.find(self.engine)
        if not isinstance(self.observe_sizes, bool):
            raise TypeError(
                f"{where}: observe_sizes is true or false; got observe_sizes={self.observe_sizes!r}. Pass a bool."
            )
        if self.species is not None:
            object.__setattr__(self, "species", check_species(where, self.species, self.num_particles))
        freeze_sizes(where, self, "radius", "mass", species=self.species)

    def check_physics(
        self, where: str, *, drag: float = 0.0, restitution: float = 1.0, damping: float = 0.0, dim: int = 2
    ) -> None:
        """Refuse a time step that cannot resolve contacts; warn of a coarse one, unless it is the task's own.

        Parameters
        ----------
        where : str
            Who asks, for messages.
        drag : float, mass / time
        restitution : float
        damping : float, mass / time
            Of contacts that slip slowly; 0 without friction.
        dim : int
            2 or 3.

        Raises
        ------
        ValueError
            As :func:`~jaxdem_ac.dem.time_step.check_time_step`.
        """
        own = {each.name: each.default for each in fields(self)}
        inverse_mass = self.fastest_contact
        time_step.check_time_step(
            where,
            dt=self.dt,
            stiffness=self.stiffness,
            inverse_mass=inverse_mass,
            restitution=restitution,
            drag_rate=drag / smallest(self.mass),
            slip_rate=(3.0 if dim == 2 else 3.5) * inverse_mass * damping,
            # The page of each task says what its own numbers mean.
            quiet=all(getattr(self, name) == own[name] for name in own if name in _MATERIAL),
        )

    def overflow_of(self, state: Any) -> Array:
        """Return how many times longer a list of neighbours of `state` had to be, ``()``; 0 if all were long enough."""
        around: Surroundings | None = getattr(self, "_surroundings", None)
        return super().overflow_of(state) if around is None else around.overflow(state.vicinity)

    def grown(self, overflow: float) -> Self:
        """Return the same task with `overflow` times the room in its lists of neighbours, and a quarter more."""
        roomier: Any = replace(self, neighbor_room=1.25 * float(overflow) * self.neighbor_room)
        return roomier


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


def freeze_sizes(where: str, owner: Any, *names: str, species: tuple[int, ...] | None = None) -> None:
    """Check fields of a frozen dataclass that are sizes, and store lists as tuples.

    Raises
    ------
    ValueError
        If a size is not above 0, a range is not (low, high), or there is not one entry for each species.
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
            frozen: Any = tuple(_frozen(where, f"{name}[{kind}]", entry) for kind, entry in enumerate(value))
        else:
            frozen = _frozen(where, name, value)
        object.__setattr__(owner, name, frozen)


def _frozen(where: str, name: str, value: Any) -> Any:
    """Return one number or range as it is kept."""
    if not isinstance(value, list | tuple):
        check_number(where, positive=True, **{name: value})
        return value
    if len(value) != 2:
        raise ValueError(f"{where}: {name} is one number or a range (low, high); got {name}={value!r}. Give both ends.")
    check_number(where, positive=True, **{f"{name}[0]": value[0], f"{name}[1]": value[1]})
    if value[0] > value[1]:
        raise ValueError(f"{where}: a range is (low, high); got {name}={tuple(value)!r}. Swap the ends.")
    return tuple(value)


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


def check_radius(where: str, radius: Array, sizes: Sizes) -> None:
    """Raise ValueError if a radius is larger than the lists of neighbours are made for; a traced one passes."""
    if not is_concrete(radius) or float(np.max(np.asarray(radius))) <= largest(sizes) * (1 + 1e-6):
        return
    widest = float(np.max(np.asarray(radius)))
    raise ValueError(
        f"{where}: a radius is at most the environment's; got radius={widest:g} with radius={sizes!r}. "
        f"Build the environment with radius={widest:g} or a range up to it."
    )


def check_room_of(where: str, world: World, particles: Particles) -> None:
    """Raise ValueError if a box is narrower than one of its particles; traced ones pass."""
    if is_concrete(world.box_low, world.box_high, particles.radius):
        sides = np.asarray(world.box_high, np.float64) - np.asarray(world.box_low, np.float64)
        dim = min(particles.dim, len(sides))
        time_step.check_box(where, sides[:dim], np.asarray(particles.radius), world.boundary.periodic)


def check_sight(where: str, lidar_range: float, sizes: Sizes) -> None:
    """Raise ValueError if a lidar does not reach beyond the radius within which a target is reached."""
    if lidar_range <= largest(sizes):
        raise ValueError(
            f"{where}: a lidar reaches beyond its particle; got lidar_range={lidar_range:g} with radius={sizes!r}. "
            "Raise lidar_range."
        )


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
