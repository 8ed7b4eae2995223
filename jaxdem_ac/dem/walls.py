"""What the sides of the box do to particles."""

import jax.numpy as jnp
from jax import Array

from jaxdem_ac.dem.contact import Touch, contact_law
from jaxdem_ac.dem.particles import Particles
from jaxdem_ac.dem.world import World


def apply_boundary(world: World, particles: Particles) -> tuple[Array, Array]:
    """Return position and velocity, ``(N, dim)`` each, after the sides of the box have acted.

    Reflecting sides act on a particle whose surface has passed them: the collision is placed in time inside the last
    step, where the parabola of velocity Verlet met the wall, and the reflected velocity has moved the particle since.
    Energy is kept to second order in dt. The rule is JaxDEM's ``reflectsphere`` domain; its ``reflect`` domain differs
    only where one step meets two walls, for which it takes the earlier of both times.
    """
    if world.boundary == "periodic":
        size = world.box_high - world.box_low
        return world.box_low + jnp.mod(particles.position - world.box_low, size), particles.velocity
    if world.boundary == "soft":
        return particles.position, particles.velocity
    return _reflect(world, particles)


def wall_force(world: World, particles: Particles) -> tuple[Array, Array | None]:
    """Return the force and the torque that soft walls exert; as :func:`~jaxdem_ac.dem.contact.contact_force`."""
    radius = particles.radius
    position, velocity = particles.position, particles.velocity
    force = jnp.zeros_like(position)
    torque = jnp.zeros_like(particles.torque)
    for axis in range(world.dim):
        for sign, corner in ((1.0, world.box_low), (-1.0, world.box_high)):
            depth = radius - sign * (position[:, axis] - corner[axis])
            spin = radius[:, None] * particles.angular_velocity
            touch = Touch(
                normal=[jnp.full_like(depth, sign if other == axis else 0.0) for other in range(world.dim)],
                overlap=jnp.maximum(0.0, depth),
                velocity=[velocity[:, other] for other in range(world.dim)],
                spin=[spin[:, other] for other in range(spin.shape[1])],
                reduced_mass=particles.mass,
            )
            push, across, turning = contact_law(world, touch)
            force = force.at[:, axis].add(sign * push)
            if world.rough:
                force = force + jnp.stack(across, axis=-1)
                torque = torque + radius[:, None] * jnp.stack(turning, axis=-1)
    return force, torque if world.rough else None


def _reflect(world: World, particles: Particles) -> tuple[Array, Array]:
    position, velocity = particles.position, particles.velocity
    radius = particles.radius[:, None]
    past_low = jnp.maximum(0.0, world.box_low + radius - position)
    past_high = jnp.maximum(0.0, position - (world.box_high - radius))
    side = (past_low > 0).astype(position.dtype) - (past_high > 0).astype(position.dtype)
    acceleration = particles.force / particles.mass[:, None]
    fraction = jnp.where(
        side != 0, _collision_fraction(velocity, acceleration, past_low + past_high, side, world.dt), 1.0
    )
    at_wall = velocity + (fraction - 1) * world.dt * acceleration
    change = jnp.where(at_wall * side < 0, -(1 + world.restitution) * at_wall, 0.0)
    return position + change * (1 - fraction) * world.dt, velocity + change


def _collision_fraction(velocity: Array, acceleration: Array, depth: Array, side: Array, dt: Array) -> Array:
    """Return the fraction of the last step after which each coordinate met its wall, in [0, 1]; ``(N, dim)``.

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
