"""Laws of contact: force and torque of what overlaps, two particles or a particle and a wall."""

from __future__ import annotations

import abc
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import jax
import jax.numpy as jnp
from jax import Array

from jaxdem_ac._checks import as_real
from jaxdem_ac.dem.columns import Component, Components, across, cross, cross_vectors, dot, minus, plus, times

if TYPE_CHECKING:
    from jaxdem_ac.dem.world import World


@dataclass(frozen=True)
class Contact:
    """Contacts as a law sees them: arrays of one shape with one entry for each contact, or known numbers."""

    normal: Components
    """Unit vector towards the particle that the force is for."""
    overlap: Array
    """Overlap, above 0 in a contact and 0 elsewhere, length."""
    velocity: Components
    """Velocity of the particle relative to what it touches, without spin; empty where nothing asks for it."""
    spin: Components
    """``radius * angular_velocity`` of both sides, summed; one component in 2D; empty without friction."""
    reduced_mass: Array
    """Reduced mass of both sides, mass; a wall's is infinite."""
    reduced_radius: Array
    """Reduced radius of both sides, ``R_i R_j / (R_i + R_j)``, length; a wall's is infinite."""
    spring: Components = field(default_factory=list)
    """Elongation of the tangential spring before the step, one component in 2D, along the normal turned by a quarter,
    and three in 3D, length; empty for a law that has none."""


class ContactLaw(abc.ABC):
    """A law of contact; its instances are hashable and static under `jax.jit`, its parameters the world's.

    A subclass is a frozen dataclass. It says what pushes and what drags; :meth:`forces` is the mechanics of both.
    """

    name: ClassVar[str]
    """Name, as `World.create` and recordings spell it."""

    jaxdem_force: ClassVar[str | None] = None
    """JaxDEM's force model that is this law where contacts are elastic and smooth."""

    remembers: ClassVar[bool] = False
    """Whether contacts with friction have a tangential spring, which is kept from step to step."""

    @abc.abstractmethod
    def normal_force(self, world: World, contact: Contact) -> Array:
        """Return the force along the normal, above 0 where it pushes."""

    @abc.abstractmethod
    def energy(self, world: World, overlap: Array, reduced_radius: Array) -> Array:
        """Return the elastic energy of contacts of an overlap."""

    def tangential_coefficient(self, world: World, contact: Contact, normal_force: Array, slip: Components) -> Array:
        r"""Return the drag of a contact, mass / time: the force across it is the velocity of slip times minus that.

        It is ``min(gamma, mu F_n / |v_t|)``: Coulomb's law, regularised by viscosity and without contact history.

        Parameters
        ----------
        world : World
            With friction.
        contact : Contact
        normal_force : Array, force
        slip : list, length / time
            Velocity of slip at the point of contact, v_t; known zeros cost nothing.
        """
        speed_2 = jnp.asarray(dot(slip, slip))
        moving = speed_2 > 0
        inverse = jnp.where(moving, jax.lax.rsqrt(jnp.where(moving, speed_2, 1.0)), 0.0)
        limit, most = world.friction * jnp.maximum(normal_force, 0.0), world.tangential_damping
        # At rest the force is 0 whatever the drag, and the drag is the slope of the force.
        drag = jnp.where(moving, jnp.minimum(most, limit * inverse), jnp.where(limit > 0, most, 0.0))
        return jnp.where(contact.overlap > 0, drag, 0.0)

    def contact_stiffness(self, stiffness: float, reduced_mass: float, reduced_radius: float, speed: float) -> float:
        """Return the stiffness of a spring whose contact lasts as long as one that begins at `speed`, force / length.

        Checks of the time step take it. A law that does not define it has the world's `stiffness`.
        """
        return stiffness

    def forces(self, world: World, contact: Contact) -> tuple[Array, Components, Components]:
        """Return the force along each contact's normal, above 0 where it pushes, the force across, and torque / radius.

        The force across has dim components, the torque 1 in 2D and 3 in 3D; both have none in a world without friction.
        """
        push, along, turning, _ = self.forces_and_spring(world, contact)
        return push, along, turning

    def forces_and_spring(self, world: World, contact: Contact) -> tuple[Array, Components, Components, Components]:
        """Return what :meth:`forces` does, and the elongation of the spring after the step, empty without one."""
        push = self.normal_force(world, contact)
        if not world.rough:
            return push, [], [], []
        velocity = zip(contact.velocity, cross(contact.spin, contact.normal), strict=True)
        slip = across([minus(v, s) for v, s in velocity], contact.normal)
        along, spring = self.friction_force(world, contact, push, slip)
        # The arm is -radius * normal.
        return push, along, [-component for component in cross_vectors(contact.normal, along)], spring

    def friction_force(
        self, world: World, contact: Contact, normal_force: Array, slip: Components
    ) -> tuple[Components, Components]:
        """Return the force across the normal, dim components, and the spring after the step; as the drag has it.

        Parameters are those of :meth:`tangential_coefficient`.
        """
        drag: Component = -self.tangential_coefficient(world, contact, normal_force, slip)
        return [times(drag, component) for component in slip], []


@dataclass(frozen=True)
class ViscousCoulomb(ContactLaw):
    """A linear spring with a dashpot, and Coulomb's friction regularised by viscosity.

    Along the normal, ``k overlap - c v_n``, with a dashpot ``c = 2 zeta sqrt(k m)``,
    ``zeta = -ln e / sqrt(pi**2 + ln(e)**2)``, m the reduced mass, that makes the restitution e exact for a collision of
    two (0 is critical damping); near the end of a contact it can pull.
    """

    name: ClassVar[str] = "viscous_coulomb"
    jaxdem_force: ClassVar[str | None] = "spring"

    def normal_force(self, world: World, contact: Contact) -> Array:
        """Return ``k overlap - c v_n``."""
        push = world.stiffness * contact.overlap
        if not world.damped:
            return push
        _, dashpot = self.stiffness_and_dashpot(world, contact)
        speed = dot(contact.velocity, contact.normal)
        return push - jnp.where(contact.overlap > 0, dashpot * speed, 0.0)

    def stiffness_and_dashpot(self, world: World, contact: Contact) -> tuple[Array, Array]:
        """Return ``k`` and ``c``."""
        dashpot = 2 * _damping_ratio(world.restitution) * jnp.sqrt(world.stiffness * contact.reduced_mass)
        return world.stiffness, dashpot

    def energy(self, world: World, overlap: Array, reduced_radius: Array) -> Array:
        """Return ``k overlap**2 / 2``."""
        return 0.5 * world.stiffness * overlap**2


@dataclass(frozen=True)
class Hertz(ContactLaw):
    """Elastic spheres of one material: ``4/3 E* sqrt(R*) overlap**1.5``, with a dashpot and viscous Coulomb friction.

    ``E* = E / (2 (1 - nu**2))``, E the world's `stiffness`, a pressure here, nu Poisson's ratio, R* the reduced radius.
    The dashpot is ``2 sqrt(5/6) zeta sqrt(S m) v_n``, ``S = 2 E* sqrt(R* overlap)``, m the reduced mass and zeta as in
    :class:`ViscousCoulomb`: a restitution that does not depend on the speed (Antypov and Elliott, EPL 94, 50004, 2011).
    It can pull near the end of a contact, as there. Discs are pushed as spheres are.
    """

    poisson_ratio: float = 0.3
    """nu, in (-1, 0.5]."""
    name: ClassVar[str] = "hertz"
    jaxdem_force: ClassVar[str | None] = "hertz"

    def __post_init__(self) -> None:
        """Check the ratio."""
        _check_ratio(self, "poisson_ratio", -1, 0.5)

    def _modulus(self, stiffness: Any) -> Any:
        return stiffness / (2 * (1 - self.poisson_ratio**2))

    def normal_force(self, world: World, contact: Contact) -> Array:
        """Return the push."""
        touches, modulus = contact.overlap > 0, self._modulus(world.stiffness)
        root = self._root(contact)
        push = jnp.where(touches, 4 / 3 * modulus * root * contact.overlap, 0.0)
        if not world.damped:
            return push
        _, dashpot = self.stiffness_and_dashpot(world, contact)
        return push - jnp.where(touches, dashpot * dot(contact.velocity, contact.normal), 0.0)

    def _root(self, contact: Contact) -> Array:
        return jnp.sqrt(jnp.where(contact.overlap > 0, contact.reduced_radius * contact.overlap, 1.0))

    def stiffness_and_dashpot(self, world: World, contact: Contact) -> tuple[Array, Array]:
        """Return S and the factor of the speed; any numbers where nothing touches."""
        stiffness = 2 * self._modulus(world.stiffness) * self._root(contact)
        dashpot = 2 * (5 / 6) ** 0.5 * _damping_ratio(world.restitution)
        return stiffness, dashpot * jnp.sqrt(stiffness * contact.reduced_mass)

    def energy(self, world: World, overlap: Array, reduced_radius: Array) -> Array:
        """Return ``8/15 E* sqrt(R*) overlap**2.5``."""
        return 8 / 15 * self._modulus(world.stiffness) * jnp.sqrt(reduced_radius) * overlap**2.5

    def contact_stiffness(self, stiffness: float, reduced_mass: float, reduced_radius: float, speed: float) -> float:
        """Return ``m (pi / t)**2``, of a contact of ``t = 2.943 d / v``, d the overlap at its turn."""
        speed = max(speed, 1e-30)
        coefficient = 4 / 3 * self._modulus(stiffness) * reduced_radius**0.5
        deepest = (5 / 4 * reduced_mass * speed**2 / coefficient) ** 0.4
        duration = 2 * deepest / speed * math.sqrt(math.pi) * math.gamma(7 / 5) / math.gamma(9 / 10)
        return reduced_mass * (math.pi / duration) ** 2


class TangentialSpring(ContactLaw):
    r"""Base of laws with a spring along the contact that Coulomb's limit holds (Cundall and Strack 1979).

    The force across is ``-(k_t xi + c_t v_t)``, or where that passes ``mu F_n`` as much of it: then the spring is cut
    to the elongation that gives the limit (Luding, Granular Matter 10, 235, 2008). The elongation xi grows by
    ``v_t dt`` in each step, turns with the normal and is lost where the overlap ends. ``k_t`` is `tangential_ratio` of
    the normal stiffness, and ``c_t`` its root of the normal dashpot, as in JaxDEM's ``cundallstrack``, which keeps no
    xi; the world's `tangential_damping` is not used. What sticks holds still.
    """

    remembers: ClassVar[bool] = True

    @property
    @abc.abstractmethod
    def tangential_ratio(self) -> float:
        """``k_t / k_n``."""

    @abc.abstractmethod
    def stiffness_and_dashpot(self, world: World, contact: Contact) -> tuple[Array, Array]:
        """Return ``k_n``, force / length, and the dashpot of the normal, mass / time."""

    def friction_force(
        self, world: World, contact: Contact, normal_force: Array, slip: Components
    ) -> tuple[Components, Components]:
        """Return the force across the normal, and the spring after the step."""
        if not contact.spring:
            raise ValueError(
                f"{self.name}: contacts under this law have springs; got one without. Pass them, and keep what "
                "forces_and_spring returns; a boundary of your own defines force_and_springs."
            )
        normal_stiffness, dashpot = self.stiffness_and_dashpot(world, contact)
        stiffness, damping = self.tangential_ratio * normal_stiffness, self.tangential_ratio**0.5 * dashpot
        flat = len(contact.normal) == 2
        # In 2D all is along the normal turned by a quarter.
        tangent = cross([1.0], contact.normal) if flat else []
        speed = [dot(slip, tangent)] if flat else slip
        before = contact.spring if flat else _turned(contact.spring, contact.normal)
        spring = [plus(xi, times(world.dt, v)) for xi, v in zip(before, speed, strict=True)]
        drag = [times(damping, v) if world.damped else 0.0 for v in speed]
        pull = [plus(stiffness * xi, each) for xi, each in zip(spring, drag, strict=True)]
        square = jnp.asarray(dot(pull, pull))
        limit = world.friction * jnp.maximum(normal_force, 0.0)
        slides, touches = square > limit**2, contact.overlap > 0
        # What is below the limit stays as it is, to the last digit.
        share = jnp.where(slides, limit * jax.lax.rsqrt(jnp.where(slides, square, 1.0)), 1.0)
        force: Components = [jnp.where(touches, -share * each, 0.0) for each in pull]
        softness = 1 / stiffness
        after: Components = [
            jnp.where(touches, jnp.where(slides, softness * minus(share * own, of_speed), xi), 0.0)
            for own, of_speed, xi in zip(pull, drag, spring, strict=True)
        ]
        return [times(force[0], each) for each in tangent] if flat else force, after


@dataclass(frozen=True)
class CundallStrack(ViscousCoulomb, TangentialSpring):
    """The linear spring and dashpot of :class:`ViscousCoulomb`, and a spring along the contact.

    With ``k_t = 2/7 k_n`` a sphere's contact point swings along the contact in the time of an impact (1/3 for a disc).
    """

    stiffness_ratio: float = 2 / 7
    """``k_t / k_n``, in (0, 1]."""
    name: ClassVar[str] = "cundall_strack"

    def __post_init__(self) -> None:
        """Check the ratio."""
        _check_ratio(self, "stiffness_ratio", 0, 1)

    @property
    def tangential_ratio(self) -> float:
        """`stiffness_ratio`."""
        return self.stiffness_ratio

    def contact_stiffness(self, stiffness: float, reduced_mass: float, reduced_radius: float, speed: float) -> float:
        """Return k, or ``7/2 k_t`` where that swings faster: a sphere's contact point has 2/7 of its mass."""
        return max(1.0, 3.5 * self.stiffness_ratio) * stiffness


@dataclass(frozen=True)
class HertzMindlin(Hertz, TangentialSpring):
    """:class:`Hertz`'s push, and a spring along the contact, ``k_t = 8 G* sqrt(R* overlap)`` (Mindlin 1949).

    That is ``2 (1 - nu) / (2 - nu)`` of the stiffness ``2 E* sqrt(R* overlap)`` of the push. The spring is that of a
    contact that nowhere slips before all of it does, and what it loses while the overlap shrinks is not accounted for.
    """

    name: ClassVar[str] = "hertz_mindlin"

    @property
    def tangential_ratio(self) -> float:
        """``2 (1 - nu) / (2 - nu)``."""
        return 2 * (1 - self.poisson_ratio) / (2 - self.poisson_ratio)

    def contact_stiffness(self, stiffness: float, reduced_mass: float, reduced_radius: float, speed: float) -> float:
        """Return that of Hertz's push, times ``7/2 k_t / k_n`` where a sphere's contact point swings faster."""
        normal = super().contact_stiffness(stiffness, reduced_mass, reduced_radius, speed)
        return max(1.0, 3.5 * self.tangential_ratio) * normal


def _check_ratio(law: ContactLaw, name: str, low: float, high: float) -> None:
    """Raise TypeError unless a field of a law is a number, ValueError unless it is above `low` and at most `high`."""
    where, value = type(law).__name__, getattr(law, name)
    number = as_real(value)
    if number is None:
        raise TypeError(f"{where}: {name} is a number; got {name}={value!r:.60}. Pass a float.")
    if not low < number <= high:
        raise ValueError(f"{where}: {name} is in ({low}, {high}]; got {name}={value}. Set it inside.")


def _turned(spring: Components, normal: Components) -> Components:
    """Return a spring turned into the plane across a normal, as long as before."""
    flat = across(spring, normal)
    before, after = (jnp.asarray(dot(each, each)) for each in (spring, flat))
    there = after > 0
    scale = jnp.where(there, jnp.sqrt(jnp.where(there, before, 1.0) / jnp.where(there, after, 1.0)), 0.0)
    return [times(scale, each) for each in flat]


def _damping_ratio(restitution: Array) -> Array:
    """Return ``zeta = -ln e / sqrt(pi**2 + ln(e)**2)``, 1 for a restitution of 0: critical damping."""
    bounces = restitution > 0
    log_e = jnp.log(jnp.where(bounces, restitution, 1.0))
    return jnp.where(bounces, -log_e / jnp.sqrt(jnp.pi**2 + log_e**2), 1.0)


LAWS: dict[str, ContactLaw] = {each.name: each for each in (ViscousCoulomb(), Hertz(), CundallStrack(), HertzMindlin())}
"""Laws by the names that `World.create` knows; a law of one's own is passed as an instance."""
