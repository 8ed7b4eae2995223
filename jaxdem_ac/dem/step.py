"""Velocity Verlet, one step and many."""

from dataclasses import replace

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jaxdem_ac.dem.contact import contact_force
from jaxdem_ac.dem.particles import Particles, as_float
from jaxdem_ac.dem.walls import apply_boundary
from jaxdem_ac.dem.world import World


def step(world: World, particles: Particles, external_force: Array) -> Particles:
    """Return the particles one time step later.

    ``v' = v + a dt / 2``, ``x = x + v' dt``, ``v = v' + a_new dt / 2``, after the boundary has acted on x and v.

    Parameters
    ----------
    world : World
    particles : Particles
        N of them.
    external_force : Array, (N, dim), force
        Constant over the step.

    Returns
    -------
    Particles

    Notes
    -----
    The order is JaxDEM's: boundary, half kick with the last force, drift, new force, half kick. Drag takes the velocity
    from before the step, as its navigation environments do.
    """
    drag = -world.drag * particles.velocity
    position, velocity = apply_boundary(world, particles)
    half_dt_over_mass = (0.5 * world.dt / particles.mass)[:, None]
    velocity = velocity + particles.force * half_dt_over_mass
    position = position + world.dt * velocity
    moved = replace(particles, position=position, velocity=velocity)
    weight = particles.mass[:, None] * world.gravity
    force = contact_force(world, moved) + (external_force + drag) + weight
    return replace(moved, velocity=velocity + force * half_dt_over_mass, force=force)


def advance(world: World, particles: Particles, external_force: Array, num_steps: int) -> Particles:
    """Return the particles `num_steps` time steps later: :func:`simulate` without its checks, to be traced.

    Parameters
    ----------
    world : World
    particles : Particles
    external_force : Array, (N, dim), force
        Constant over all steps.
    num_steps : int
        Static.
    """
    with jax.named_scope("dem.advance"):
        if num_steps == 1:
            return step(world, particles, external_force)
        return jax.lax.fori_loop(0, num_steps, lambda _, p: step(world, p, external_force), particles)


_advance_jitted = jax.jit(advance, static_argnames="num_steps")


def simulate(world: World, particles: Particles, num_steps: int, external_force: ArrayLike | None = None) -> Particles:
    """Return the particles `num_steps` time steps later. Compiled once for each shape and number of steps.

    Parameters
    ----------
    world : World
    particles : Particles
        N of them, of the world's dimension.
    num_steps : int
        At least 0.
    external_force : array, (N, dim) or broadcastable, force, optional
        Constant over all steps; none if left out.

    Returns
    -------
    Particles
        With the force of the last step, so that two calls of n steps equal one of 2 n.

    Raises
    ------
    ValueError
        If dimensions do not fit or `num_steps` is negative.
    TypeError
        If `num_steps` is not a whole number.
    """
    if isinstance(num_steps, bool) or not isinstance(num_steps, int):
        raise TypeError(f"simulate: num_steps is an int; got num_steps={num_steps!r}. Pass a whole number.")
    if num_steps < 0:
        raise ValueError(f"simulate: num_steps is at least 0; got num_steps={num_steps}. Pass how many to take.")
    if particles.dim != world.dim:
        raise ValueError(
            f"simulate: particles and world have one dimension; got {particles.dim} and {world.dim}. "
            "Give the box as many sides as a position has numbers."
        )
    shape = particles.position.shape
    force = as_float("external_force", 0.0 if external_force is None else external_force)
    try:
        force = jnp.broadcast_to(force, shape).astype(particles.position.dtype)
    except ValueError:
        raise ValueError(
            f"simulate: external_force broadcasts to {shape}; got shape {force.shape}. Give one row for each particle."
        ) from None
    return _advance_jitted(world, particles, force, num_steps)
