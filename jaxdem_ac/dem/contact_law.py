"""Laws of contact: force and torque of what overlaps, two particles or a particle and a wall."""

from __future__ import annotations

import abc
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import jax
import jax.numpy as jnp
from jax import Array

from jaxdem_ac.dem.columns import Component, Components, across, cross, cross_vectors, dot, minus, times

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


class ContactLaw(abc.ABC):
    """A law of contact; its instances are hashable and static under `jax.jit`, its parameters the world's.

    A subclass is a frozen dataclass. It says what pushes and what drags; :meth:`forces` is the mechanics of both.
    """

    name: ClassVar[str]
    """Name, as `World.create` and recordings spell it."""

    jaxdem_force: ClassVar[str | None] = None
    """JaxDEM's force model that is this law where contacts are elastic and smooth."""

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
        limit = world.friction * jnp.maximum(normal_force, 0.0)
        return jnp.where(contact.overlap > 0, jnp.minimum(world.tangential_damping, limit * inverse), 0.0)

    def contact_stiffness(self, stiffness: float, reduced_mass: float, reduced_radius: float, speed: float) -> float:
        """Return the stiffness of a spring whose contact lasts as long as one that begins at `speed`, force / length.

        Checks of the time step take it. A law that does not define it has the world's `stiffness`.
        """
        return stiffness

    def forces(self, world: World, contact: Contact) -> tuple[Array, Components, Components]:
        """Return the force along each contact's normal, above 0 where it pushes, the force across, and torque / radius.

        The force across has dim components, the torque 1 in 2D and 3 in 3D; both have none in a world without friction.
        """
        push = self.normal_force(world, contact)
        if not world.rough:
            return push, [], []
        velocity = zip(contact.velocity, cross(contact.spin, contact.normal), strict=True)
        slip = across([minus(v, s) for v, s in velocity], contact.normal)
        drag: Component = -self.tangential_coefficient(world, contact, push, slip)
        along_slip = [times(drag, component) for component in slip]
        # The arm is -radius * normal.
        return push, along_slip, [-component for component in cross_vectors(contact.normal, along_slip)]


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
        dashpot = 2 * _damping_ratio(world.restitution) * jnp.sqrt(world.stiffness * contact.reduced_mass)
        speed = dot(contact.velocity, contact.normal)
        return push - jnp.where(contact.overlap > 0, dashpot * speed, 0.0)

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
        if not -1 < self.poisson_ratio <= 0.5:
            raise ValueError(
                f"Hertz: poisson_ratio is in (-1, 0.5]; got poisson_ratio={self.poisson_ratio}. Set it inside."
            )

    def _modulus(self, stiffness: Any) -> Any:
        return stiffness / (2 * (1 - self.poisson_ratio**2))

    def normal_force(self, world: World, contact: Contact) -> Array:
        """Return the push."""
        touches, modulus = contact.overlap > 0, self._modulus(world.stiffness)
        root = jnp.sqrt(jnp.where(touches, contact.reduced_radius * contact.overlap, 1.0))
        push = jnp.where(touches, 4 / 3 * modulus * root * contact.overlap, 0.0)
        if not world.damped:
            return push
        dashpot = 2 * (5 / 6) ** 0.5 * _damping_ratio(world.restitution)
        dashpot = dashpot * jnp.sqrt(2 * modulus * root * contact.reduced_mass)
        return push - jnp.where(touches, dashpot * dot(contact.velocity, contact.normal), 0.0)

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


def _damping_ratio(restitution: Array) -> Array:
    """Return ``zeta = -ln e / sqrt(pi**2 + ln(e)**2)``, 1 for a restitution of 0: critical damping."""
    bounces = restitution > 0
    log_e = jnp.log(jnp.where(bounces, restitution, 1.0))
    return jnp.where(bounces, -log_e / jnp.sqrt(jnp.pi**2 + log_e**2), 1.0)


LAWS: dict[str, ContactLaw] = {each.name: each for each in (ViscousCoulomb(), Hertz())}
"""Laws by the names that `World.create` knows; a law of one's own is passed as an instance."""
