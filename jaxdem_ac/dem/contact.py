"""Forces between particles that overlap."""

import jax
import jax.numpy as jnp
from jax import Array

from jaxdem_ac.dem.particles import Particles
from jaxdem_ac.dem.world import World


def contact_force(world: World, particles: Particles) -> Array:
    r"""Return the force that contacts exert on every particle, over all pairs.

    ``F_i = sum_j (k overlap_ij - c_ij v_n) n_ij``, ``overlap_ij = max(0, R_i + R_j - |x_i - x_j|)``, with ``n_ij`` the
    unit vector from j to i and ``v_n`` the relative velocity along it. The dashpot
    ``c = 2 zeta sqrt(k m)``, ``zeta = -ln e / sqrt(pi**2 + ln(e)**2)``, m the reduced mass, makes the restitution e
    exact for a collision of two; near the end of a contact it can pull.

    Parameters
    ----------
    world : World
    particles : Particles
        N of them.

    Returns
    -------
    Array, (N, dim), force

    Notes
    -----
    The undamped force is JaxDEM's ``spring`` model with equal moduli. Centres that coincide exert no force on each
    other, there and here: the normal is undefined.
    """
    # One array for each component, ``(N, N)``, not one of ``(N, N, dim)``: a last axis of 2 or 3 leaves vector units
    # idle, and costs a factor of 3 to 10 on a CPU.
    separation = _pair_separation(world, particles.position)
    distance_2 = sum(component**2 for component in separation)
    inverse = jnp.where(distance_2 > 0, jax.lax.rsqrt(jnp.where(distance_2 > 0, distance_2, 1.0)), 0.0)
    reach = particles.radius[:, None] + particles.radius[None, :]
    # A particle overlaps with itself, but its separation is 0.
    overlap = jnp.maximum(0.0, reach - distance_2 * inverse)
    magnitude = world.stiffness * overlap
    if world.damped:
        velocity = particles.velocity
        closing = sum(
            (velocity[:, None, axis] - velocity[None, :, axis]) * component for axis, component in enumerate(separation)
        )
        damping = _damping(world, particles.mass) * closing * inverse
        magnitude = magnitude - jnp.where(overlap > 0, damping, 0.0)
    return jnp.stack([jnp.sum(magnitude * inverse * component, axis=1) for component in separation], axis=-1)


def _pair_separation(world: World, position: Array) -> list[Array]:
    """Return the components of x_i - x_j, ``(N, N)`` each, through the nearest side where the box is periodic."""
    components = [position[:, None, axis] - position[None, :, axis] for axis in range(world.dim)]
    if world.boundary == "periodic":
        size = world.box_high - world.box_low
        components = [c - size[axis] * jnp.round(c / size[axis]) for axis, c in enumerate(components)]
    return components


def _damping(world: World, mass: Array) -> Array:
    """Return the dashpot constant of every pair, ``(N, N)``, mass / time."""
    log_e = jnp.log(world.restitution)
    zeta = -log_e / jnp.sqrt(jnp.pi**2 + log_e**2)
    reduced = mass[:, None] * mass[None, :] / (mass[:, None] + mass[None, :])
    return 2 * zeta * jnp.sqrt(world.stiffness * reduced)
