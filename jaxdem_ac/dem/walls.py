"""Boundaries of the box: reflection, periodic images, and soft walls."""

import jax.numpy as jnp
from jax import Array

from jaxdem_ac.dem.contact import Components, drag_across, push_along
from jaxdem_ac.dem.particles import Particles
from jaxdem_ac.dem.world import World


def apply_boundary(world: World, particles: Particles) -> tuple[Array, Array]:
    """Return position and velocity, ``(N, dim)`` each, after the sides of the box have acted.

    Reflecting sides act on a particle whose surface has passed them: the collision is placed in time inside the last
    step, where the parabola of velocity Verlet met the wall, and the reflected velocity has moved the particle since.
    Energy is kept to second order in dt. The rule is JaxDEM's ``reflectsphere`` domain; its ``reflect`` domain differs
    only where one step meets two walls, for which it takes the earlier of both times.

    Two things are put right that JaxDEM leaves. A particle at rest that starts inside a wall is moved to its face. And
    where restitution is below 1, a particle that is still inside after its reflection is put on the face, and has hit
    it once more: else what lies on a floor would sink into it by half of ``gravity dt**2`` in every step.
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
    position, velocity = _components(particles.position), _components(particles.velocity)
    spin = [radius * component for component in _components(particles.angular_velocity)]
    nothing = jnp.zeros_like(radius)
    force, torque = [nothing] * world.dim, [nothing] * len(spin)
    for axis in range(world.dim):
        turns = {other: _turn(axis, other, world.dim) for other in range(world.dim) if other != axis}
        for sign, corner in ((1.0, world.box_low), (-1.0, world.box_high)):
            overlap = jnp.maximum(0.0, radius - sign * (position[axis] - corner[axis]))
            push = push_along(world, overlap, sign * velocity[axis], particles.mass)
            force[axis] = force[axis] + sign * push
            if not world.rough:
                continue
            # The law of a contact for a normal along an axis: products with its zeros are most of what it takes.
            slip = [velocity[other] - sign * turn * spin[about] for other, (about, turn) in turns.items()]
            drag = drag_across(world, overlap, push, slip)
            for (other, (about, turn)), component in zip(turns.items(), slip, strict=True):
                force[other] = force[other] - drag * component
                torque[about] = torque[about] + sign * turn * radius * (drag * component)
    return jnp.stack(force, axis=-1), jnp.stack(torque, axis=-1) if world.rough else None


def _components(vectors: Array) -> Components:
    return [vectors[:, axis] for axis in range(vectors.shape[1])]


def _turn(axis: int, other: int, dim: int) -> tuple[int, float]:
    """Return which component w of a spin is in ``(spin x e_axis)[other]``, in 2D its only one, and with which sign."""
    about = 3 - axis - other
    return (about if dim == 3 else 0), 1.0 if (axis - about) % 3 == 1 else -1.0


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
    moved, turned = position + change * (1 - fraction) * world.dt, velocity + change
    face = jnp.where(side > 0, world.box_low + radius, world.box_high - radius)
    at_rest = (side != 0) & (velocity == 0) & (particles.force == 0)
    if not world.damped:
        return jnp.where(at_rest, face, moved), turned
    inside = at_rest | (side * (face - moved) > 0)
    again = world.restitution**2 * jnp.maximum(0.0, -at_wall * side)
    return jnp.where(inside, face, moved), jnp.where(inside, side * jnp.maximum(turned * side, again), turned)


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
