"""The law of a contact, and the forces between particles that overlap."""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import Array

from jaxdem_ac.dem.neighbors import Neighbors
from jaxdem_ac.dem.particles import Particles
from jaxdem_ac.dem.world import World

# Components of a vector, one array each and not one array with a last axis of 2 or 3: that would leave vector units
# idle, and costs a factor of 3 to 10 on a CPU.
Components = list[Array]
Side = Callable[[Array], Array]


@dataclass(frozen=True)
class Touch:
    """Contacts as the law sees them; every array has the same shape, one entry for each contact."""

    normal: Components
    """Unit vector towards the particle that the force is for."""
    overlap: Array
    """Above 0 in a contact, 0 elsewhere, length."""
    velocity: Components
    """Of the particle relative to what it touches, without spin."""
    spin: Components
    """``radius * angular_velocity`` of both sides, summed; one component in 2D."""
    reduced_mass: Array
    """Of both sides."""


def contact_law(world: World, touch: Touch) -> tuple[Array, Components, Components]:
    r"""Return the force along each contact's normal, the force across it, and the torque divided by the radius.

    Along the normal, ``k overlap - c v_n``, with a dashpot ``c = 2 zeta sqrt(k m)``,
    ``zeta = -ln e / sqrt(pi**2 + ln(e)**2)``, m the reduced mass, that makes the restitution e exact for a collision of
    two (0 is critical damping); near the end of a contact it can pull. Across it,
    ``-min(gamma |v_t|, mu F_n) v_t / |v_t|`` with v_t the velocity of slip at the point of contact: Coulomb's law,
    regularised by viscosity and without contact history.

    Parameters
    ----------
    world : World
    touch : Touch

    Returns
    -------
    along : Array
        Above 0 pushes.
    across : list of Array
        Its dim components; empty in a world without friction.
    torque_over_radius : list of Array
        1 component in 2D, 3 in 3D; empty in a world without friction.
    """
    normal, overlap = touch.normal, touch.overlap
    push = push_along(world, overlap, _dot(touch.velocity, normal) if world.damped else overlap, touch.reduced_mass)
    if not world.rough:
        return push, [], []
    slip = [v - s for v, s in zip(touch.velocity, _cross(touch.spin, normal), strict=True)]
    along = _dot(slip, normal)
    slip = [component - along * n for component, n in zip(slip, normal, strict=True)]
    drag = drag_across(world, overlap, push, slip)
    across = [-drag * component for component in slip]
    # The arm is -radius * normal.
    turning = [-component for component in _cross_vectors(normal, across)]
    return push, across, turning


def push_along(world: World, overlap: Array, speed: Array, reduced_mass: Array) -> Array:
    """Return the force along a normal, as :func:`contact_law` has it; all arguments have one shape.

    Parameters
    ----------
    world : World
    overlap : Array, length
    speed : Array, length / time
        Along the normal; of no account in a world without damping.
    reduced_mass : Array, mass
    """
    push = world.stiffness * overlap
    if not world.damped:
        return push
    return push - jnp.where(overlap > 0, _dashpot(world, reduced_mass) * speed, 0.0)


def drag_across(world: World, overlap: Array, push: Array, slip: Components) -> Array:
    """Return the drag of a contact: the force across is the velocity of slip times minus that; mass / time.

    Parameters
    ----------
    world : World
        With friction.
    overlap : Array, length
    push : Array, force
        Along the normal.
    slip : list of Array, length / time
        Components across the normal; those that are 0 may be left out.
    """
    speed_2 = _dot(slip, slip)
    moving = speed_2 > 0
    inverse = jnp.where(moving, jax.lax.rsqrt(jnp.where(moving, speed_2, 1.0)), 0.0)
    limit = world.friction * jnp.maximum(push, 0.0)
    return jnp.where(overlap > 0, jnp.minimum(world.tangential_damping, limit * inverse), 0.0)


def contact_force(world: World, particles: Particles, neighbors: Neighbors | None = None) -> tuple[Array, Array | None]:
    r"""Return the force and the torque that contacts between particles exert on each of them.

    Parameters
    ----------
    world : World
    particles : Particles
        N of them.
    neighbors : Neighbors, optional
        Who may touch whom; all pairs are looked at if left out.

    Returns
    -------
    force : Array, (N, dim), force
    torque : Array, (N, 1) or (N, 3), force * length
        None in a world without friction.

    Notes
    -----
    The undamped, frictionless force is JaxDEM's ``spring`` model with equal moduli. Centres that coincide exert no
    force on each other, there and here: the normal is undefined.
    """

    def own(values: Array) -> Array:
        return values[:, None] if neighbors is None else _read(values, neighbors.left)

    def other(values: Array) -> Array:
        return values[None, :] if neighbors is None else _read(values, neighbors.right)

    def total(values: Array, of_other: float) -> Array:
        """Sum over the contacts of each particle, ``(N,)``; in a list each contact stands once, for both sides."""
        if neighbors is None:
            return jnp.sum(values, axis=1)
        nothing = jnp.zeros(particles.num_particles, values.dtype)
        half = nothing.at[neighbors.left].add(values, mode="promise_in_bounds")
        return half.at[neighbors.right].add(of_other * values, mode="promise_in_bounds")

    forces, turning = pair_forces(world, particles, own, other)
    force = jnp.stack([total(component, -1.0) for component in forces], axis=-1)
    if not world.rough:
        return force, None
    # Both sides turn the same way, each about an arm of its own.
    return force, jnp.stack([particles.radius * total(component, 1.0) for component in turning], axis=-1)


def pair_forces(world: World, particles: Particles, own: Side, other: Side) -> tuple[Components, Components]:
    """Return the components of the force on one side of every pair, and of its torque divided by its radius.

    Parameters
    ----------
    world : World
    particles : Particles
        N of them.
    own, other : callable
        From a quantity of each particle, ``(N,)``, to that of each pair's one side and other side; any shape. A pair
        of a particle with itself exerts nothing.
    """

    def difference(values: Array) -> Components:
        return [own(values[:, axis]) - other(values[:, axis]) for axis in range(world.dim)]

    separation = world.minimum_image(difference(particles.position))
    distance_2 = _dot(separation, separation)
    apart = distance_2 > 0
    inverse = jnp.where(apart, jax.lax.rsqrt(jnp.where(apart, distance_2, 1.0)), 0.0)
    # A particle overlaps with itself, of which the padding of a list consists: the normal is 0 there.
    reach = own(particles.radius) + other(particles.radius)
    overlap = jnp.where(apart, jnp.maximum(0.0, reach - distance_2 * inverse), 0.0)
    touch = Touch(
        normal=[component * inverse for component in separation],
        overlap=overlap,
        velocity=difference(particles.velocity) if world.damped or world.rough else [],
        spin=_pair_spin(particles, own, other) if world.rough else [],
        reduced_mass=_reduced_mass(particles, own, other) if world.damped else overlap,
    )
    along, across, turning = contact_law(world, touch)
    # In this order of products the force is JaxDEM's to the last digit.
    along = along * inverse
    forces = [along * component for component in separation]
    if world.rough:
        forces = [push + drag for push, drag in zip(forces, across, strict=True)]
    return forces, turning


def _read(values: Array, index: Array) -> Array:
    return values.at[index].get(mode="promise_in_bounds")


def _pair_spin(particles: Particles, own: Side, other: Side) -> Components:
    """Return the components of r_i w_i + r_j w_j."""
    spin = particles.radius[:, None] * particles.angular_velocity
    return [own(spin[:, axis]) + other(spin[:, axis]) for axis in range(spin.shape[1])]


def _reduced_mass(particles: Particles, own: Side, other: Side) -> Array:
    """Return the reduced mass of each pair; a fixed particle has no inverse mass, and two of them never move."""
    inverse = jnp.where(particles.fixed, 0.0, 1 / particles.mass)
    total = own(inverse) + other(inverse)
    # Any number will do for two fixed ones but 0, where the dashpot has no derivative.
    return 1 / jnp.where(total > 0, total, 1.0)


def _dashpot(world: World, reduced_mass: Array) -> Array:
    # Restitution 0 is critical damping: zeta = 1.
    bounces = world.restitution > 0
    log_e = jnp.log(jnp.where(bounces, world.restitution, 1.0))
    zeta = jnp.where(bounces, -log_e / jnp.sqrt(jnp.pi**2 + log_e**2), 1.0)
    return 2 * zeta * jnp.sqrt(world.stiffness * reduced_mass)


def _dot(left: Components, right: Components) -> Array:
    total = left[0] * right[0]
    for a, b in zip(left[1:], right[1:], strict=True):
        total = total + a * b
    return total


def _cross(spin: Components, vector: Components) -> Components:
    """Return spin x vector, the spin out of the plane in 2D."""
    if len(vector) == 2:
        return [-spin[0] * vector[1], spin[0] * vector[0]]
    return _cross_vectors(spin, vector)


def _cross_vectors(left: Components, right: Components) -> Components:
    """Return left x right: one component in 2D, three in 3D."""
    if len(left) == 2:
        return [left[0] * right[1] - left[1] * right[0]]
    (ax, ay, az), (bx, by, bz) = left, right
    return [ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx]
