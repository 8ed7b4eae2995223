"""Velocity Verlet, one step and many."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from jaxdem_ac._checks import is_concrete
from jaxdem_ac._numbers import COUNT
from jaxdem_ac.dem.columns import Columns, columns_of
from jaxdem_ac.dem.forces import contact_force_and_springs
from jaxdem_ac.dem.neighbor_list import (
    Neighbors,
    NeighborSpec,
    allocate,
    as_columns,
    as_vectors,
    make_spec,
    refresh,
    with_capacity,
)
from jaxdem_ac.dem.particles import Particles, as_float
from jaxdem_ac.dem.springs import check_springs, with_springs
from jaxdem_ac.dem.world import World
from jaxdem_ac.registry import engines

EMBEDDED = "embedded"


def step(
    world: World,
    particles: Columns,
    external_force: list[Array],
    external_torque: list[Array] | None = None,
    spec: NeighborSpec | None = None,
    neighbors: Neighbors | None = None,
    contact_slopes: bool = True,
) -> tuple[Columns, Neighbors | None]:
    """Return the particles one time step later, and the list of neighbours, refreshed.

    ``v' = v + a dt / 2``, ``x = x + v' dt``, ``v = v' + a_new dt / 2``, after the boundary has acted on x and v; the
    angular velocity likewise, with torques.

    Force and torque from outside are constant over the step, components ``(N,)``; without a torque, and without
    friction, nothing turns and no rotation is integrated. Without `spec` and `neighbors`, both or neither, all pairs
    are looked at. `contact_slopes` says whether derivatives go through the forces between particles; else those are
    given numbers.

    Notes
    -----
    The order is JaxDEM's: boundary, half kick with the last force, drift, new force, half kick. Drag takes the velocity
    from before the step, as its navigation environments do.
    """
    free = ~particles.fixed
    drag = [-world.drag * v for v in particles.velocity]
    position, velocity = world.boundary.apply(world, particles)
    half_dt_over_mass = jnp.where(free, 0.5 * world.dt / particles.mass, 0.0)
    velocity = _kicked(velocity, particles.force, half_dt_over_mass)
    position = [
        jnp.where(free, x + world.dt * v, old) for x, v, old in zip(position, velocity, particles.position, strict=True)
    ]
    moved = replace(particles, position=position, velocity=[jnp.where(free, v, 0.0) for v in velocity])
    turns = world.rough or external_torque is not None
    half_dt_over_inertia = jnp.where(free, 0.5 * world.dt / _inertia(particles), 0.0)
    if turns:
        spin = _kicked(particles.angular_velocity, particles.torque, half_dt_over_inertia)
        moved = replace(moved, angular_velocity=[jnp.where(free, w, 0.0) for w in spin])
    if spec is not None and neighbors is not None:
        before, neighbors = neighbors, refresh(spec, neighbors, moved.position, world.box_low, world.box_high)
        if moved.springs is not None:
            moved = replace(moved, springs=moved.springs.of_list(before, neighbors, len(moved.radius)))
    force, torque, springs = contact_force_and_springs(world, moved, neighbors)
    if not contact_slopes:
        force, torque, springs = jax.lax.stop_gradient((force, torque, springs))
    force = [
        contact + (external + dragged) + particles.mass * world.gravity[axis]
        for axis, (contact, external, dragged) in enumerate(zip(force, external_force, drag, strict=True))
    ]
    if world.boundary.exerts_force:
        wall, wall_torque, wall_springs = world.boundary.force_and_springs(world, moved)
        springs = springs and replace(springs, walls=wall_springs)
        force = [own + of_wall for own, of_wall in zip(force, wall, strict=True)]
        torque = [own + of_wall for own, of_wall in zip(torque, wall_torque, strict=True)]
    moved = replace(moved, velocity=_kicked(moved.velocity, force, half_dt_over_mass), force=force, springs=springs)
    if turns:
        torque = torque or [jnp.zeros_like(particles.radius) for _ in moved.torque]
        if external_torque is not None:
            torque = [own + external for own, external in zip(torque, external_torque, strict=True)]
        spin = _kicked(moved.angular_velocity, torque, half_dt_over_inertia)
        moved = replace(moved, angular_velocity=spin, torque=torque)
    position, velocity = world.boundary.finish(world, moved)
    if position is not moved.position:
        position = [jnp.where(free, x, old) for x, old in zip(position, moved.position, strict=True)]
        velocity = [jnp.where(free, v, 0.0) for v in velocity]
    return replace(moved, position=position, velocity=velocity), neighbors


step_with_given_contacts = partial(step, contact_slopes=False)
"""The same step, whose contacts have no derivatives."""


def _kicked(velocity: list[Array], force: list[Array], half_dt_over_mass: Array) -> list[Array]:
    return [v + f * half_dt_over_mass for v, f in zip(velocity, force, strict=True)]


def _inertia(particles: Columns) -> Array:
    return (0.5 if len(particles.position) == 2 else 0.4) * particles.mass * particles.radius**2


Step = Callable[..., tuple[Columns, Neighbors | None]]


def engine_step(engine: str) -> Step:
    """Return what makes one step, with the parameters of :func:`step`, by the name of its engine; or raise KeyError."""
    return engines.get(engine)


def advance(
    world: World,
    particles: Particles,
    external_force: Array | Callable[[Columns], list[Array]],
    num_steps: int,
    external_torque: Array | None = None,
    spec: NeighborSpec | None = None,
    neighbors: Neighbors | None = None,
    engine: str = EMBEDDED,
) -> tuple[Particles, Neighbors | None]:
    """Return the particles `num_steps` time steps later: :func:`simulate` without its checks, to be traced.

    Parameters
    ----------
    world : World
    particles : Particles
        N of them.
    external_force : Array, (N, dim), force; or callable
        Constant over all steps; or a function of the particles before each step, as columns, to dim components.
    num_steps : int
        Static.
    external_torque : Array, (N, 1) or (N, 3), force * length, optional
        Constant over all steps.
    spec, neighbors
        As in :func:`step`.
    engine : str
        Which makes the steps; static.
    """
    one_step = engine_step(engine)
    if spec is not None and neighbors is not None and world.remembers:
        # What the springs are of has to be in the list.
        neighbors = refresh(spec, neighbors, particles.position, world.box_low, world.box_high)
    particles = with_springs(world, particles, neighbors)
    columns = Columns.of(particles)
    constant = None if callable(external_force) else columns_of(external_force)
    torque = None if external_torque is None else columns_of(external_torque)
    if neighbors is not None:
        neighbors = replace(neighbors, reference=as_columns(neighbors.reference))

    def body(_: int | Array, carry: tuple[Columns, Neighbors | None]) -> tuple[Columns, Neighbors | None]:
        force = external_force(carry[0]) if callable(external_force) else constant
        return one_step(world, carry[0], force, torque, spec, carry[1])

    with jax.named_scope("dem.advance"):
        if num_steps == 1:
            columns, neighbors = body(0, (columns, neighbors))
        else:
            # Slopes go back through a step that is computed again: to write down and to read what it would keep for
            # them took longer, and longer to compile.
            again = jax.checkpoint(body, prevent_cse=False)
            columns, neighbors = jax.lax.fori_loop(0, num_steps, again, (columns, neighbors))
    if neighbors is not None:
        neighbors = replace(neighbors, reference=as_vectors(neighbors.reference))
    return columns.to_particles(neighbors), neighbors


_advance_jitted = jax.jit(advance, static_argnames=("num_steps", "spec"))

# From this many particles on a list is faster than all pairs, on two CPU cores; and where contacts have springs.
LIST_FROM = 128
LIST_FROM_WITH_SPRINGS = 24


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
    if not 0 <= num_steps < COUNT:
        raise ValueError(
            f"simulate: num_steps is at least 0 and below 2**31; got num_steps={num_steps}. Pass how many to take, in "
            "several calls if need be."
        )
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
        check_springs("simulate", particles)
    spec = None if traced else contact_spec(world, particles)
    while True:
        neighbors = None if spec is None else allocate(spec, particles.position)
        after, longer = _advance_jitted(world, particles, force, int(num_steps), torque, spec, neighbors)
        if traced:
            return after
        if bool(jnp.any(_out_of_domain(world, after))):
            # What explodes fills any list: a list is made longer only for what came before.
            longer = _report_out_of_domain(world, particles, int(num_steps), force, torque, spec, neighbors)
        if spec is None or longer is None or not bool(longer.overflow_ratio(spec)):
            return after
        spec = with_capacity(spec, longer.needed)


def _out_of_domain(world: World, particles: Particles) -> Array:
    """Return which particles are not in the box, or are nowhere: a position or a speed is not finite; ``(N,)``."""
    finite = _finite(particles.position) & _finite(particles.velocity) & _finite(particles.angular_velocity)
    return ~finite | (world.boundary.outside(world, particles.position, particles.radius) & ~particles.fixed)


def _finite(values: Array) -> Array:
    return jnp.all(jnp.isfinite(values), axis=-1)


def _report_out_of_domain(
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
        stop = jnp.any(_out_of_domain(world, now))
        if spec is not None and neighbors is not None:
            stop |= neighbors.overflow_ratio(spec) > 0
        return (count < num_steps) & ~stop

    def body(carry: tuple[Array, Particles, Neighbors | None]) -> tuple[Array, Particles, Neighbors | None]:
        return carry[0] + 1, *advance(world, carry[1], force, 1, torque, spec, carry[2])

    def play() -> tuple[Array, Particles, Neighbors | None]:
        # No step, but springs and a list where the law of contact asks for them.
        begun = advance(world, particles, force, 0, torque, spec, neighbors)
        return jax.lax.while_loop(going, body, (jnp.zeros((), int), *begun))

    count, last, neighbors = jax.jit(play)()
    astray = _out_of_domain(world, last)
    overflows = spec is not None and neighbors is not None and bool(neighbors.overflow_ratio(spec))
    if overflows and not bool(jnp.any(astray)):
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
    enough = LIST_FROM_WITH_SPRINGS if world.remembers else LIST_FROM
    if not is_concrete(*jax.tree.leaves((world, particles))) or particles.num_particles < enough:
        return None
    # Not jax.numpy, which would trace even these inside a `jax.jit`.
    largest = float(np.max(np.asarray(particles.radius)))
    extent = np.asarray(world.box_high) - np.asarray(world.box_low)
    return make_spec(particles.num_particles, extent, 2 * largest, 0.4 * largest, periodic=world.boundary.periodic)


def _load(name: str, value: ArrayLike, like: Array) -> Array:
    array = as_float(name, value)
    try:
        return jnp.broadcast_to(array, like.shape).astype(like.dtype)
    except ValueError:
        raise ValueError(
            f"simulate: {name} broadcasts to {like.shape}; got shape {array.shape}. Give one row for each particle."
        ) from None
