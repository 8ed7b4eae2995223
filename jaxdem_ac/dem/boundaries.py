"""Boundaries: reflection, periodic images, and soft walls; each is one class, passed to a world as an instance."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, ClassVar

import jax.numpy as jnp
from jax import Array

from jaxdem_ac.dem.columns import Columns, Component, Components, plus, times
from jaxdem_ac.dem.contact_law import Contact

if TYPE_CHECKING:
    from jaxdem_ac.dem.world import World

Vectors = list[Array]


class Boundary(abc.ABC):
    """Rule of the sides of a box; its instances are hashable and static under `jax.jit`.

    A subclass is a frozen dataclass (``eq=False``). It equals its name, so that ``world.boundary == "periodic"`` holds.
    """

    name: ClassVar[str]
    """Name, as `World.create` and recordings spell it."""

    jaxdem_domain: ClassVar[str]
    """JaxDEM's domain that does the same, but for forces."""

    periodic: ClassVar[bool] = False
    """Whether what leaves on one side of the box enters on the other."""

    exerts_force: ClassVar[bool] = False
    """Whether :meth:`force` says anything."""

    def displacement(self, world: World, components: Vectors) -> Vectors:
        """Return the components of displacements, the shortest way: as they are."""
        return components

    def apply(self, world: World, particles: Columns) -> tuple[Vectors, Vectors]:
        """Return positions and velocities after the sides have acted, at the beginning of a step: as they are."""
        return particles.position, particles.velocity

    def finish(self, world: World, particles: Columns) -> tuple[Vectors, Vectors]:
        """Return positions and velocities at the end of a step: as they are."""
        return particles.position, particles.velocity

    def force(self, world: World, particles: Columns) -> tuple[Vectors, Vectors]:
        """Return force and torque on each particle, dim and 1 or 3 components; asked for where `exerts_force`."""
        raise NotImplementedError(f"{type(self).__name__}: a boundary that exerts forces says which. Define force.")

    def force_and_springs(self, world: World, particles: Columns) -> tuple[Vectors, Vectors, list[Vectors]]:
        """Return what :meth:`force` does, and the springs at walls after the step, ``2 dim`` of them: as they are.

        A boundary whose walls drag by a law that remembers takes as many of ``particles.springs.walls`` as it has.
        """
        return *self.force(world, particles), particles.springs.walls if particles.springs else []

    def outside(self, world: World, position: Array, radius: Array) -> Array:
        """Return which particles have left the box for good, ``(N,)`` of bool: by more than a radius.

        A position is put back at the beginning of the next step only.
        """
        margin = radius[:, None]
        inside = (position >= world.box_low - margin) & (position <= world.box_high + margin)
        return ~jnp.all(inside, axis=-1)

    def __str__(self) -> str:
        return self.name

    def __eq__(self, other: object) -> bool:
        if isinstance(other, str):
            return self.name == other
        own = type(other) is type(self)
        return own and all(getattr(self, item.name) == getattr(other, item.name) for item in fields(self))  # type: ignore[arg-type]

    def __hash__(self) -> int:
        return hash(self.name)


@dataclass(frozen=True, eq=False)
class Reflect(Boundary):
    """Walls that particles touch with their surface, and that turn them back at once, with the world's restitution.

    The collision is placed in time inside the last step, where the parabola of velocity Verlet met the wall, and the
    reflected velocity has moved the particle since: energy is kept to second order in dt. The rule is JaxDEM's
    ``reflectsphere`` domain; its ``reflect`` domain takes the earlier of both times where one step meets two walls.

    Two things are put right that JaxDEM leaves. A particle at rest that starts inside a wall is moved to its face. And
    where restitution is below 1, a particle that is still inside after its reflection is put on the face, and has hit
    it once more: else what lies on a floor would sink into it by half of ``gravity dt**2`` in every step.
    """

    name: ClassVar[str] = "reflect"
    jaxdem_domain: ClassVar[str] = "reflectsphere"

    def apply(self, world: World, particles: Columns) -> tuple[Vectors, Vectors]:
        """Return positions and velocities after walls have turned particles back."""
        turned = [_reflect(world, particles, axis) for axis in range(world.dim)]
        return [position for position, _ in turned], [velocity for _, velocity in turned]

    def finish(self, world: World, particles: Columns) -> tuple[Vectors, Vectors]:
        """Return the same where restitution is below 1, so that what rests is seen on the wall, not a fall inside."""
        return self.apply(world, particles) if world.damped else super().finish(world, particles)


@dataclass(frozen=True, eq=False)
class Periodic(Boundary):
    """No walls: what leaves on one side of the box enters on the other."""

    name: ClassVar[str] = "periodic"
    jaxdem_domain: ClassVar[str] = "periodic"
    periodic: ClassVar[bool] = True

    def displacement(self, world: World, components: Vectors) -> Vectors:
        """Return the components of displacements through the nearest side."""
        size = world.box_high - world.box_low
        return [c - size[axis] * jnp.round(c / size[axis]) for axis, c in enumerate(components)]

    def apply(self, world: World, particles: Columns) -> tuple[Vectors, Vectors]:
        """Return positions inside the box."""
        low, size = world.box_low, world.box_high - world.box_low
        position = [low[axis] + jnp.mod(x - low[axis], size[axis]) for axis, x in enumerate(particles.position)]
        return position, particles.velocity

    def outside(self, world: World, position: Array, radius: Array) -> Array:
        """Return which particles are more than a whole box away, ``(N,)`` of bool."""
        size = world.box_high - world.box_low
        return ~jnp.all((position >= world.box_low - size) & (position <= world.box_high + size), axis=-1)


@dataclass(frozen=True, eq=False)
class Soft(Boundary):
    """Walls that push as a particle of the same material would, on which particles lie and roll.

    A box holds its particles, as `simulate` and the tasks check: nothing touches two walls that face each other.
    """

    name: ClassVar[str] = "soft"
    jaxdem_domain: ClassVar[str] = "free"
    exerts_force: ClassVar[bool] = True

    def force(self, world: World, particles: Columns) -> tuple[Vectors, Vectors]:
        """Return force and torque of all walls; the torque has no components without friction."""
        force, torque, _ = self.force_and_springs(world, particles)
        return force, torque

    def force_and_springs(self, world: World, particles: Columns) -> tuple[Vectors, Vectors, list[Vectors]]:
        """Return force and torque of all walls, and the springs at each, if the law of contact has some."""
        springs = particles.springs.walls if particles.springs else []
        nothing = jnp.zeros_like(particles.radius)
        force: list[Component] = [0.0] * world.dim
        torque: list[Component] = [0.0] * len(particles.angular_velocity) if world.rough else []
        after: list[Vectors] = []
        for axis in range(world.dim):
            low, high = world.box_low[axis], world.box_high[axis]
            walls: list[tuple[Array, Component]] = [(low, 1.0), (high, -1.0)]
            if not world.remembers:
                # A box is wide enough that nothing touches both: the law is evaluated once, for the nearer one.
                is_low = 2 * particles.position[axis] <= low + high
                walls = [(jnp.where(is_low, low, high), jnp.where(is_low, 1.0, -1.0))]
            for face, side in walls:
                before = springs[len(after)] if springs else []
                push, turning, spring = _wall_contact(world, particles, axis, face, side, before)
                force = [plus(old, new) for old, new in zip(force, push, strict=True)]
                torque = [plus(old, new) for old, new in zip(torque, turning, strict=True)]
                after.append([nothing + component for component in spring])
        return [nothing + each for each in force], [nothing + each for each in torque], after


def _wall_contact(
    world: World, particles: Columns, axis: int, face: Array, side: Component, spring: Sequence[Component]
) -> tuple[Components, Components, Components]:
    """Return force and torque of a wall across an axis, at `face`, and its spring after the step.

    `side` is 1 for a wall below a particle. One above it, -1, is mirrored: the law sees the normal that points along
    the axis, whose products are known while tracing, and what it says is mirrored back.
    """

    def mirror(vector: Sequence[Component]) -> Components:
        return [times(side, each) if number == axis else each for number, each in enumerate(vector)]

    def mirror_cross(vector: Sequence[Component]) -> Components:
        # A cross product keeps its component along the axis; in 2D it has none.
        kept = axis if world.dim == 3 else None
        return [each if number == kept else times(side, each) for number, each in enumerate(vector)]

    mirror_spring = mirror if world.dim == 3 else mirror_cross
    contact = Contact(
        normal=[float(number == axis) for number in range(world.dim)],
        overlap=jnp.maximum(0.0, particles.radius - times(side, particles.position[axis] - face)),
        velocity=mirror(particles.velocity),
        spin=mirror_cross([particles.radius * component for component in particles.angular_velocity]),
        reduced_mass=particles.mass,
        reduced_radius=particles.radius,
        spring=mirror_spring(spring),
    )
    push, along, turning, spring = world.law.forces_and_spring(world, contact)
    force = [*along] or [0.0] * world.dim
    force[axis] = plus(push, force[axis])
    return mirror(force), [times(particles.radius, each) for each in mirror_cross(turning)], mirror_spring(spring)


BOUNDARIES: dict[str, Boundary] = {each.name: each for each in (Reflect(), Periodic(), Soft())}
"""Boundaries by the names that `World.create` knows; one of one's own is passed as an instance."""


def _reflect(world: World, particles: Columns, axis: int) -> tuple[Array, Array]:
    """Return position and velocity along one axis after its two walls have acted, ``(N,)`` each."""
    position, velocity, radius = particles.position[axis], particles.velocity[axis], particles.radius
    low, high = world.box_low[axis], world.box_high[axis]
    past_low = jnp.maximum(0.0, low + radius - position)
    past_high = jnp.maximum(0.0, position - (high - radius))
    side = (past_low > 0).astype(position.dtype) - (past_high > 0).astype(position.dtype)
    acceleration = particles.force[axis] / particles.mass
    fraction = jnp.where(
        side != 0, _collision_fraction(velocity, acceleration, past_low + past_high, side, world.dt), 1.0
    )
    at_wall = velocity + (fraction - 1) * world.dt * acceleration
    change = jnp.where(at_wall * side < 0, -(1 + world.restitution) * at_wall, 0.0)
    moved, turned = position + change * (1 - fraction) * world.dt, velocity + change
    face = jnp.where(side > 0, low + radius, high - radius)
    at_rest = (side != 0) & (velocity == 0) & (particles.force[axis] == 0)
    if not world.damped:
        return jnp.where(at_rest, face, moved), turned
    inside = at_rest | (side * (face - moved) > 0)
    again = world.restitution**2 * jnp.maximum(0.0, -at_wall * side)
    return jnp.where(inside, face, moved), jnp.where(inside, side * jnp.maximum(turned * side, again), turned)


def _collision_fraction(velocity: Array, acceleration: Array, depth: Array, side: Array, dt: Array) -> Array:
    """Return the fraction of the last step after which each particle met its wall, in [0, 1]; ``(N,)``.

    With v and a of the end of the step, the step moved along ``v_0 s dt + a (s dt)**2 / 2``, ``v_0 = v - a dt``, and
    the fraction s solves ``(a dt**2 / 2) s**2 + (v_0 dt) s - (depth + (v - a dt / 2) dt) = 0`` along the inward normal.
    """
    start = (velocity - dt * acceleration) * side * dt
    curve = 0.5 * acceleration * side * dt * dt
    travelled = depth + (velocity - 0.5 * dt * acceleration) * side * dt
    discriminant = jnp.maximum(0.0, start * start + 4 * curve * travelled)
    # The square root never sees 0, so that its derivative stays finite.
    root = jnp.where(discriminant > 0, jnp.sqrt(jnp.where(discriminant > 0, discriminant, 1.0)), 0.0)
    # For a particle that approached, the form without cancellation; else the textbook one.
    approach = start - root
    stable = 2 * travelled / jnp.where(approach < -1e-10, approach, -1.0)
    textbook = (-start - root) / jnp.where(jnp.abs(2 * curve) > 1e-10, 2 * curve, 1.0)
    return jnp.clip(jnp.where(start < 0, stable, textbook), 0.0, 1.0)
