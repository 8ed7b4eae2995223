"""Velocity Verlet, one step and many."""

from collections.abc import Callable
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from jaxdem_ac.dem.contact import contact_force
from jaxdem_ac.dem.neighbors import Neighbors, NeighborSpec, grown, make_spec, no_neighbors, refresh
from jaxdem_ac.dem.particles import Particles, as_float, is_concrete
from jaxdem_ac.dem.walls import apply_boundary, wall_force
from jaxdem_ac.dem.world import World
from jaxdem_ac.registry import engines

EMBEDDED = "embedded"


def step(
    world: World,
    particles: Particles,
    external_force: Array,
    external_torque: Array | None = None,
    spec: NeighborSpec | None = None,
    neighbors: Neighbors | None = None,
) -> tuple[Particles, Neighbors | None]:
    """Return the particles one time step later, and the list of neighbours, refreshed.

    ``v' = v + a dt / 2``, ``x = x + v' dt``, ``v = v' + a_new dt / 2``, after the boundary has acted on x and v; the
    angular velocity likewise, with torques.

    Parameters
    ----------
    world : World
    particles : Particles
        N of them.
    external_force : Array, (N, dim), force
        Constant over the step.
    external_torque : Array, (N, 1) or (N, 3), force * length, optional
        Likewise. Without it, and without friction, nothing turns and no rotation is integrated.
    spec : NeighborSpec, optional
    neighbors : Neighbors, optional
        Both or neither: without them all pairs are looked at.

    Notes
    -----
    The order is JaxDEM's: boundary, half kick with the last force, drift, new force, half kick. Drag takes the velocity
    from before the step, as its navigation environments do.
    """
    free = ~particles.fixed[:, None]
    drag = -world.drag * particles.velocity
    position, velocity = apply_boundary(world, particles)
    half_dt_over_mass = jnp.where(free, (0.5 * world.dt / particles.mass)[:, None], 0.0)
    velocity = velocity + particles.force * half_dt_over_mass
    position = jnp.where(free, position + world.dt * velocity, particles.position)
    moved = replace(particles, position=position, velocity=jnp.where(free, velocity, 0.0))
    turns = world.rough or external_torque is not None
    half_dt_over_inertia = jnp.where(free, (0.5 * world.dt / particles.inertia)[:, None], 0.0)
    if turns:
        spin = particles.angular_velocity + particles.torque * half_dt_over_inertia
        moved = replace(moved, angular_velocity=jnp.where(free, spin, 0.0))
    if spec is not None and neighbors is not None:
        neighbors = refresh(spec, neighbors, moved.position, world.box_low, world.box_high)
    force, torque = contact_force(world, moved, neighbors)
    force = force + (external_force + drag) + particles.mass[:, None] * world.gravity
    if world.boundary == "soft":
        wall, wall_torque = wall_force(world, moved)
        force = force + wall
        torque = None if torque is None or wall_torque is None else torque + wall_torque
    moved = replace(moved, velocity=moved.velocity + force * half_dt_over_mass, force=force)
    if turns:
        torque = jnp.zeros_like(moved.torque) if torque is None else torque
        torque = torque if external_torque is None else torque + external_torque
        spin = moved.angular_velocity + torque * half_dt_over_inertia
        moved = replace(moved, angular_velocity=spin, torque=torque)
    if world.boundary == "reflect" and world.damped:
        # Once more at the end, so that what is at rest on a wall is seen on it, not half a step's fall inside.
        position, velocity = apply_boundary(world, moved)
        moved = replace(
            moved,
            position=jnp.where(free, position, moved.position),
            velocity=jnp.where(free, velocity, moved.velocity),
        )
    return moved, neighbors


Step = Callable[..., tuple[Particles, Neighbors | None]]


def engine_step(engine: str) -> Step:
    """Return what makes one step, with the parameters of :func:`step`, by the name of its engine.

    Raises
    ------
    KeyError
        If there is no such engine.
    """
    found: Step = engines.get(engine)
    return found


def advance(
    world: World,
    particles: Particles,
    external_force: Array,
    num_steps: int,
    external_torque: Array | None = None,
    spec: NeighborSpec | None = None,
    neighbors: Neighbors | None = None,
    engine: str = EMBEDDED,
) -> tuple[Particles, Neighbors | None]:
    """Return the particles `num_steps` time steps later: :func:`simulate` without its checks, to be traced.

    Parameters
    ----------
    num_steps : int
        Static; forces and torques are constant over all steps.
    world, particles, external_force, external_torque, spec, neighbors
        As in :func:`step`.
    engine : str
        Which makes the steps; static.
    """
    one_step = engine_step(engine)

    def body(_: int | Array, carry: tuple[Particles, Neighbors | None]) -> tuple[Particles, Neighbors | None]:
        return one_step(world, carry[0], external_force, external_torque, spec, carry[1])

    with jax.named_scope("dem.advance"):
        if num_steps == 1:
            return body(0, (particles, neighbors))
        return jax.lax.fori_loop(0, num_steps, body, (particles, neighbors))


_advance_jitted = jax.jit(advance, static_argnames=("num_steps", "spec"))

# From this many particles on a list is faster than all pairs, on two CPU cores.
LIST_FROM = 128


def simulate(
    world: World,
    particles: Particles,
    num_steps: int,
    external_force: ArrayLike | None = None,
    external_torque: ArrayLike | None = None,
) -> Particles:
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
    external_torque : array, (N, 1) in 2D or (N, 3) in 3D or broadcastable, force * length, optional
        Constant over all steps; none if left out.

    Returns
    -------
    Particles
        With the force of the last step, so that two calls of n steps equal one of 2 n.

    Raises
    ------
    ValueError
        If dimensions do not fit or `num_steps` is negative, if a contact is too short for the time step to resolve, or
        if the box is too narrow for its particles.
    TypeError
        If `num_steps` is not a whole number, or the others are no world and no particles.
    FloatingPointError
        If a particle leaves the box or stops being finite; the message names the first one and its step.

    Warns
    -----
    TimeStepWarning
        If contacts last fewer than 20 time steps; the message says what error that makes.

    Notes
    -----
    Small swarms look at all pairs, larger ones at lists of neighbours. If a list turns out too short, it is made longer
    and the call starts over: no contact is lost. What is traced cannot start over, nor be checked: under `jax.jit`,
    `jax.vmap` and `jax.grad` all pairs are looked at, whatever N.
    """
    if isinstance(num_steps, bool) or not isinstance(num_steps, int | np.integer):
        raise TypeError(f"simulate: num_steps is an int; got num_steps={num_steps!r}. Pass a whole number.")
    if num_steps < 0:
        raise ValueError(f"simulate: num_steps is at least 0; got num_steps={num_steps}. Pass how many to take.")
    if not isinstance(world, World) or not isinstance(particles, Particles):
        raise TypeError(
            f"simulate: a world, then particles; got {type(world).__name__} and {type(particles).__name__}. "
            "Build them with World.create and Particles.create."
        )
    if particles.dim != world.dim:
        raise ValueError(
            f"simulate: particles and world have one dimension; got {particles.dim} and {world.dim}. "
            "Give the box as many sides as a position has numbers."
        )
    force = _load("external_force", 0.0 if external_force is None else external_force, particles.velocity)
    torque = None if external_torque is None else _load("external_torque", external_torque, particles.torque)
    # Under `jax.jit` the force is traced even where nothing that was passed in is.
    traced = not is_concrete(*jax.tree.leaves((world, particles, force, torque)))
    if not traced:
        world.check("simulate", particles)
    spec = None if traced else contact_spec(world, particles)
    while True:
        neighbors = None if spec is None else no_neighbors(spec, particles.position)
        after, longer = _advance_jitted(world, particles, force, int(num_steps), torque, spec, neighbors)
        if traced:
            return after
        if bool(jnp.any(_astray(world, after))):
            # What explodes fills any list: a list is made longer only for what came before.
            longer = _report_astray(world, particles, int(num_steps), force, torque, spec, neighbors)
        if spec is None or longer is None or not bool(longer.shortage(spec)):
            return after
        spec = grown(spec, longer.needed)


def _astray(world: World, particles: Particles) -> Array:
    """Return which particles are not in the box, or are nowhere: a position or a speed is not finite; ``(N,)``."""
    finite = _finite(particles.position) & _finite(particles.velocity) & _finite(particles.angular_velocity)
    # A periodic position is put back, a reflected one turned back, at the beginning of the next step.
    margin = (world.box_high - world.box_low) if world.boundary == "periodic" else particles.radius[:, None]
    inside = (particles.position >= world.box_low - margin) & (particles.position <= world.box_high + margin)
    return ~finite | ~(jnp.all(inside, axis=-1) | particles.fixed)


def _finite(values: Array) -> Array:
    return jnp.all(jnp.isfinite(values), axis=-1)


def _report_astray(
    world: World,
    particles: Particles,
    num_steps: int,
    force: Array,
    torque: Array | None,
    spec: NeighborSpec | None,
    neighbors: Neighbors | None,
) -> Neighbors | None:
    """Play again until the first particle is astray and say which and when, or return a list that overflows before."""

    def going(carry: tuple[Array, Particles, Neighbors | None]) -> Array:
        count, now, neighbors = carry
        stop = jnp.any(_astray(world, now))
        if spec is not None and neighbors is not None:
            stop |= neighbors.shortage(spec) > 0
        return (count < num_steps) & ~stop

    def body(carry: tuple[Array, Particles, Neighbors | None]) -> tuple[Array, Particles, Neighbors | None]:
        return carry[0] + 1, *step(world, carry[1], force, torque, spec, carry[2])

    play = jax.jit(lambda: jax.lax.while_loop(going, body, (jnp.zeros((), int), particles, neighbors)))
    count, last, neighbors = play()
    astray = _astray(world, last)
    if spec is not None and neighbors is not None and bool(neighbors.shortage(spec)) and not bool(jnp.any(astray)):
        return neighbors
    # Where one position is not a number, neither is the force on those that ask how far it is.
    nowhere = ~_finite(last.position)
    first = int(jnp.argmax(jnp.where(jnp.any(nowhere), nowhere, astray)))
    raise FloatingPointError(
        f"simulate: every particle stays in the box; got particle {first} after step {int(count)}, at "
        f"{np.asarray(last.position[first]).tolist()} with velocity {np.asarray(last.velocity[first]).tolist()}. "
        "Take a shorter dt, start without deep overlaps, or push less."
    )


def contact_spec(world: World, particles: Particles) -> NeighborSpec | None:
    """Return what a list of contacts needs, or None where all pairs are faster or nothing has a value yet."""
    if not is_concrete(*jax.tree.leaves((world, particles))) or particles.num_particles < LIST_FROM:
        return None
    # Not jax.numpy, which would trace even these inside a `jax.jit`.
    largest = float(np.max(np.asarray(particles.radius)))
    extent = np.asarray(world.box_high) - np.asarray(world.box_low)
    periodic = world.boundary == "periodic"
    return make_spec(particles.num_particles, extent, 2 * largest, 0.4 * largest, periodic=periodic)


def _load(name: str, value: ArrayLike, like: Array) -> Array:
    array = as_float(name, value)
    try:
        return jnp.broadcast_to(array, like.shape).astype(like.dtype)
    except ValueError:
        raise ValueError(
            f"simulate: {name} broadcasts to {like.shape}; got shape {array.shape}. Give one row for each particle."
        ) from None
