"""Hertz's law of contact, put into the engine through its seam for laws."""

import math
from dataclasses import dataclass
from typing import ClassVar

import jax.numpy as jnp
from jax import Array

from jaxdem_ac.dem import Contact, ContactLaw, World
from jaxdem_ac.dem.columns import dot


@dataclass(frozen=True)
class Hertz(ContactLaw):
    """Spheres of one material: ``4/3 E* sqrt(R*) overlap**1.5``, with a dashpot that makes the restitution exact.

    ``E* = E / (2 (1 - nu**2))``, E the world's `stiffness`, a pressure here, and nu Poisson's ratio. The dashpot is
    ``2 sqrt(5/6) zeta sqrt(S m) v_n``, ``S = 2 E* sqrt(R* overlap)``, m the reduced mass, ``zeta = -ln e /
    sqrt(pi**2 + ln(e)**2)``: a restitution e that does not depend on the speed (Antypov and Elliott, EPL 94, 50004,
    2011), for e above 0. It can pull near the end of a contact, as the engine's own law does.

    Notes
    -----
    The engine does not know it by name: its checks of the time step are those of a spring of constant stiffness.
    """

    poisson_ratio: float = 0.3
    """nu."""
    name: ClassVar[str] = "hertz"
    jaxdem_force: ClassVar[str | None] = "hertz"

    def _modulus(self, world: World) -> Array:
        return world.stiffness / (2 * (1 - self.poisson_ratio**2))

    def normal_force(self, world: World, contact: Contact) -> Array:
        """Return the push."""
        touches = contact.overlap > 0
        root = jnp.sqrt(jnp.where(touches, contact.reduced_radius * contact.overlap, 1.0))
        push = jnp.where(touches, 4 / 3 * self._modulus(world) * root * contact.overlap, 0.0)
        if not world.damped:
            return push
        log_e = jnp.log(world.restitution)
        zeta = -log_e / jnp.sqrt(jnp.pi**2 + log_e**2)
        tangent = 2 * self._modulus(world) * root
        dashpot = 2 * math.sqrt(5 / 6) * zeta * jnp.sqrt(tangent * contact.reduced_mass)
        return push - jnp.where(touches, dashpot * dot(contact.velocity, contact.normal), 0.0)

    def energy(self, world: World, overlap: Array, reduced_radius: Array) -> Array:
        """Return the integral of the elastic force over the overlap."""
        return 8 / 15 * self._modulus(world) * jnp.sqrt(reduced_radius) * overlap**2.5
