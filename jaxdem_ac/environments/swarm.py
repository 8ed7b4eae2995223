"""The base of physics tasks: one decision, of forces held, particles advanced, sensed and scored."""

import abc
import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import partial
from operator import attrgetter
from typing import ClassVar, NamedTuple, Protocol, Self, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from jaxdem_ac._checks import check_flag
from jaxdem_ac.dem import time_step
from jaxdem_ac.dem.columns import Columns
from jaxdem_ac.dem.particles import Particles
from jaxdem_ac.dem.step import EMBEDDED, advance
from jaxdem_ac.dem.world import World
from jaxdem_ac.environments.base import Environment, State, Timestep, compiled
from jaxdem_ac.environments.checks import Count, Positive, check_fields
from jaxdem_ac.environments.sensing.lidar import Channel
from jaxdem_ac.environments.sensing.neighbor_lists import NeighborLists, NeighborListSpecs
from jaxdem_ac.environments.sizes import Sizes, check_sizes, check_species, ends, freeze_sizes, largest, smallest
from jaxdem_ac.observation_layout import Block
from jaxdem_ac.registry import engines

# Fields that decide how well a time step resolves a contact.
_MATERIAL = (
    "dt", "stiffness", "mass", "load_mass", "restitution", "friction", "contact_friction", "drag", "tangential_damping",
)  # fmt: skip


class SwarmState(State, Protocol):
    """The state of a physics task: its particles, the count of their steps and their lists of neighbours."""

    @property
    def particles(self) -> Particles:
        """The N that act come first."""

    @property
    def step_count(self) -> Array:
        """Physics steps since the reset, ``()``."""

    @property
    def vicinity(self) -> NeighborLists:
        """Lists of neighbours, where the swarm is large enough for them."""


Made = TypeVar("Made")
SwarmStateT = TypeVar("SwarmStateT", bound=SwarmState)


class Drive(NamedTuple):
    """Force and torque of an action on the particles, held for a decision."""

    force: Array | Callable[[Columns], list[Array]]
    """``(B, dim)`` of all B particles; or a function of the particles before each physics step, as columns."""
    torque: Array | None = None
    """``(B, 1)`` in 2D, ``(B, 3)`` in 3D; None where nothing is turned."""


class Score(NamedTuple):
    """Worth of one decision."""

    reward: Array
    """``(N,)``."""
    success: Array
    """Figure of how well the task is done, between 0 and 1, ``()``."""
    terminated: Array | bool = False
    """Whether the task has come to its own end, ``()`` of bool."""


def in_order(*fields_in_order: str) -> Callable[[type[Made]], type[Made]]:
    """Return what registers a state as a pytree, its leaves in an order of fields that checkpoints rely on."""
    return partial(jax.tree_util.register_dataclass, data_fields=fields_in_order, meta_fields=())


@dataclass(frozen=True)
class BoxState:
    """Base of the states of tasks in a box; a subclass adds what its task keeps, and is registered as a pytree."""

    particles: Particles
    """The N that act, and behind them what else there is."""
    targets: Array
    """Places to go to, ``(M, 2)``, length."""
    box_low: Array
    """Lower corner of the box, ``(2,)``, length."""
    box_high: Array
    """Upper corner of the box, ``(2,)``, length."""
    observation: Array
    """``(N, O)``."""
    step_count: Array
    """Physics steps since the reset, ``()``."""
    vicinity: NeighborLists
    """Lists of neighbours, where the swarm is large enough for them."""


@dataclass(frozen=True, kw_only=True)
class SwarmEnvironment(Environment[SwarmStateT]):
    """A task for particles of several sizes and species, whose actions are held for several steps of the engine.

    A decision is :meth:`step`: the action's force is applied, the engine advances the particles, they sense, and the
    task scores what came of it. A task is a frozen dataclass that defines :meth:`world`, :meth:`sense`, :meth:`score`,
    `reset` and `observes` or `observation_size`, and :meth:`apply` unless an action is a force. Its numbers are fields
    annotated with their range (:mod:`jaxdem_ac.environments.checks`), and :meth:`check_task` checks what they have to
    do with each other. Its state is a dataclass with the fields of :class:`SwarmState`.
    """

    species: tuple[int, ...] | None = None
    """Kind of each particle, ``(N,)``, numbered from 0; all are alike if left out. `radius` and `mass` may then
    have one entry for each kind, a number or a range."""
    observe_sizes: bool = False
    """Whether a particle observes its own radius and mass, as its last two numbers."""
    neighbor_room: Positive = 1.0
    """Room in the lists of neighbours of a large swarm, relative to what is usually enough. Where it is not, a run
    makes it larger and repeats what has been lost."""
    engine: str = EMBEDDED
    """Engine of the particles: the embedded one, or ``"jaxdem"``, JaxDEM's own under the same law of contact."""
    radius: Sizes
    """Radius of the particles, or a range to draw each from, length."""
    mass: Sizes
    """Mass of the particles, or a range to draw each from."""
    max_steps: Count
    """Length of an episode, in physics steps."""
    physics_steps: Count
    """Physics steps for which an action is held: one decision."""
    dt: Positive
    """Time step of the engine, time."""
    stiffness: Positive
    """Stiffness of contacts, force / length."""

    observes: ClassVar[tuple[Block, ...]] = ()
    """Blocks with which an observation begins, before its lidars."""
    lidar_senses: ClassVar[tuple[str, ...]] = ()
    """Sensed things of each lidar, in the order of their readings, with which an observation ends but for own sizes."""
    action_kind: ClassVar[str] = "vector"
    """Kind of an action: ``"vector"``, a force, ``"axial"``, a torque about the axes, or ``"pseudoscalar"``, a number
    that a mirror makes negative."""

    def __post_init__(self) -> None:
        """Check every field, once."""
        where = type(self).__name__
        self.check_swarm(where)
        check_fields(where, self)
        self.check_task(where)

    def check_task(self, where: str) -> None:
        """Raise ValueError if fields do not go together, each being in its range; `where` begins the message."""

    @abc.abstractmethod
    def world(self, state: SwarmStateT) -> World:
        """Return the box of an episode, its material and the time step."""

    def apply(self, state: SwarmStateT, action: Array) -> Drive:
        """Return force and torque of an action, ``(N, D)``; as it is, an action is a force on each particle."""
        return Drive(action)

    @abc.abstractmethod
    def sense(self, particles: Particles, before: SwarmStateT, vicinity: NeighborLists) -> SwarmStateT:
        """Return the state after a decision; its `step_count` is counted by :meth:`step`.

        `particles` are all B after the decision, `before` is the state before it, and `vicinity` the lists to refresh.
        """

    @abc.abstractmethod
    def score(self, before: SwarmStateT, after: SwarmStateT) -> Score:
        """Return the worth of a decision between two states."""

    @property
    @abc.abstractmethod
    def _surroundings(self) -> NeighborListSpecs:
        """Specifications of the neighbour lists."""

    @compiled
    def step(self, state: SwarmStateT, action: Array) -> tuple[SwarmStateT, Timestep]:
        """Return the state and the timestep after one decision, an action ``(N, D)`` held for `physics_steps` steps."""
        self.check_state(state)
        self.check_action(action)
        drive, around, world = self.apply(state, action), self._surroundings, self.world(state)
        if world.remembers != (state.particles.springs is not None):
            raise ValueError(
                f"{type(self).__name__}.step: particles have springs under a law that remembers, and only there; got "
                f"law={world.law.name!r}. Let reset take dem.with_springs(world, particles, vicinity.contacts)."
            )
        particles, contacts = advance(
            world,
            state.particles,
            drive.force,
            self.physics_steps,
            drive.torque,
            around.contacts,
            state.vicinity.contacts,
            self.engine,
        )
        after = self.sense(particles, state, replace(state.vicinity, contacts=contacts))
        after = replace(after, step_count=state.step_count + self.physics_steps)  # type: ignore[type-var]
        reward, success, terminated = self.score(state, after)
        terminated = jnp.asarray(terminated)
        return after, Timestep(
            observation=after.observation,
            reward=reward,
            terminated=terminated,
            truncated=(after.step_count >= self.max_steps) & ~terminated,
            info={"success": success, "overflow": around.overflow(after.vicinity)},
        )

    @property
    def observation_size(self) -> int:
        """O: the numbers of `observation_layout`; a task that has none says how many."""
        if self.observation_layout is None:
            raise NotImplementedError(f"{type(self).__name__}: a task says what it observes. Define observation_size.")
        return sum(block.size for block in self.observation_layout)

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

        As :meth:`World.critical_time_step <jaxdem_ac.dem.world.World.critical_time_step>` has it.
        """
        inverse_mass = self.fastest_contact
        return math.inf if inverse_mass == 0 else time_step.critical_time_step(self.stiffness, 1 / inverse_mass)

    @property
    def lidars(self) -> tuple[Channel, ...]:
        """The place of each lidar's readings in an observation."""
        if not self.lidar_senses:
            return ()
        num_bins, lidar_range = attrgetter("n_lidar_rays", "lidar_range")(self)
        count = len(self.lidar_senses)
        first = self.observation_size - self.sizes_observed - count * num_bins
        return tuple(
            Channel(senses, first + number * num_bins, num_bins, lidar_range)
            for number, senses in enumerate(self.lidar_senses)
        )

    @property
    def observation_layout(self) -> tuple[Block, ...] | None:
        """Blocks of an observation, in their order; None for a task that does not say what it observes."""
        if not self.observes:
            return None
        rays = attrgetter("n_lidar_rays")(self) if self.lidar_senses else 0
        lidars = [Block(f"lidar of the {senses}", "lidar", rays) for senses in self.lidar_senses]
        return (*self.observes, *lidars, *([Block("radius and mass", "scalar", 2)] if self.observe_sizes else []))

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
        # A draw between equal ends would be the same, and takes a tenth of the time to compile a reset.
        if np.array_equal(low, high):
            return jnp.broadcast_to(jnp.asarray(low, float), (self.num_particles,))
        return jax.random.uniform(key, (self.num_particles,), float, minval=low, maxval=high)

    def middle(self, sizes: Sizes) -> np.ndarray:
        """Return the numbers half way in the ranges, ``()`` or ``(N,)``."""
        low, high = ends(sizes, self.species)
        return (low + high) / 2

    def sizes_or_middle(self, radius: ArrayLike | None, mass: ArrayLike | None) -> tuple[ArrayLike, ArrayLike]:
        """Return radius and mass as they are, or where one is None the middle of the task's own range."""
        return self.middle(self.radius) if radius is None else radius, self.middle(self.mass) if mass is None else mass

    def check_sizes(self, where: str, particles: Particles) -> None:
        """Raise ValueError if one of the N particles is larger, or lighter, than the task was checked for."""
        radius, mass = (sizes[: self.num_particles] for sizes in (particles.radius, particles.mass))
        check_sizes(where, radius, mass, self.radius, self.mass)

    def check_swarm(self, where: str) -> None:
        """Check what all swarms have, and store lists as tuples: JSON has only lists.

        Raises ValueError if a size is not above 0, a range is not (low, high), or species do not fit; KeyError if there
        is no such engine.
        """
        engines.find(self.engine)
        object.__setattr__(self, "observe_sizes", check_flag(where, "observe_sizes", self.observe_sizes))
        if self.species is not None:
            object.__setattr__(self, "species", check_species(where, self.species, self.num_particles))
        freeze_sizes(where, self, "radius", "mass", species=self.species)

    def check_physics(
        self,
        where: str,
        *,
        drag: float = 0.0,
        restitution: float = 1.0,
        damping: float = 0.0,
        dim: int = 2,
        push: float = 0.0,
        speed: float = 0.0,
    ) -> None:
        """Refuse a time step that cannot resolve contacts; warn of a coarse one, unless it is the task's own.

        Refuse too soft contacts: of two particles that meet at a `speed` each and go on with a force `push`, the first
        overlap at its deepest, ``p + sqrt(p**2 + 2 m v**2 / k)``, p = F / k, is to be less than a radius.

        `drag` and `damping`, that of contacts that slip slowly, 0 without friction, are mass / time; `dim` is 2 or 3.
        Raises ValueError as :func:`~jaxdem_ac.dem.time_step.check_time_step`.
        """
        pushed, most = push / self.stiffness, smallest(self.radius)
        deep = pushed + math.sqrt(pushed * pushed + 2 * largest(self.mass) * speed * speed / self.stiffness)
        if not deep < most:
            raise ValueError(
                f"{where}: particles that push each other stay apart; got a force of {push:g}"
                f"{f' at a speed of {speed:g}' if speed else ''} and stiffness={self.stiffness:g}, with which two "
                f"overlap by {deep:.3g}, where the smallest radius is {most:g}. Raise stiffness, or push less."
            )
        own = {each.name: each.default for each in fields(self)}
        inverse_mass = self.fastest_contact
        time_step.check_time_step(
            where,
            dt=self.dt,
            stiffness=self.stiffness,
            inverse_mass=inverse_mass,
            restitution=restitution,
            drag_rate=drag * max([1 / smallest(self.mass), *self.inverse_masses_besides]),
            slip_rate=(3.0 if dim == 2 else 3.5) * inverse_mass * damping,
            # The page of each task says what its own numbers mean.
            quiet=all(getattr(self, name) == own[name] for name in own if name in _MATERIAL),
        )

    def overflow_of(self, state: SwarmStateT) -> Array:
        """Return how many times longer a list of neighbours of `state` had to be, ``()``; 0 if all were long enough."""
        around: NeighborListSpecs | None = getattr(self, "_surroundings", None)
        return super().overflow_of(state) if around is None else around.overflow(state.vicinity)

    def with_capacity(self, overflow: float) -> Self:
        """Return the same task with `overflow` times the room in its lists of neighbours, and a quarter more."""
        return replace(self, neighbor_room=1.25 * float(overflow) * self.neighbor_room)


SwarmTask = SwarmEnvironment
"""Name of before, for one version."""


def length(vector: Array) -> Array:
    """Return the lengths of vectors ``(..., dim)``, with slope 0 where they are 0; ``(...)``."""
    square = jnp.sum(vector**2, axis=-1)
    return jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1.0)), 0.0)


def unit(vector: Array) -> Array:
    """Return vectors ``(..., dim)`` at length 1, and 0 where they are 0."""
    square = jnp.sum(vector**2, axis=-1, keepdims=True)
    return jnp.where(square > 0, vector * jax.lax.rsqrt(jnp.where(square > 0, square, 1.0)), 0.0)


def shorten(vector: Array, longest: float) -> Array:
    """Return vectors ``(..., dim)`` cut to a length."""
    square = jnp.sum(vector**2, axis=-1, keepdims=True)
    too_long = square > longest**2
    return jnp.where(too_long, vector * (longest * jax.lax.rsqrt(jnp.where(too_long, square, 1.0))), vector)
