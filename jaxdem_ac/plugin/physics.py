"""One physics: our particles and worlds as JaxDEM's State and System, and its engine under our environments."""

import importlib
from dataclasses import dataclass, replace
from functools import cache
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from jaxdem_ac.dem.contact import pair_forces
from jaxdem_ac.dem.neighbors import Neighbors, NeighborSpec
from jaxdem_ac.dem.particles import Particles
from jaxdem_ac.dem.walls import apply_boundary, wall_force
from jaxdem_ac.dem.world import World
from jaxdem_ac.plugin.host import import_host

# What JaxDEM calls our boundaries; soft walls are forces there.
_DOMAINS = {"reflect": "reflectsphere", "periodic": "periodic", "soft": "free"}

# JaxDEM's own advice: beyond some thousand particles its cell lists are faster than all pairs.
CELLS_FROM = 1_000


def as_state(particles: Particles) -> Any:
    """Return JaxDEM's State of particles: places, speeds, sizes, masses, spins, and what they felt last.

    Parameters
    ----------
    particles : Particles
        N of them. Their orientation, which nothing here depends on, starts as JaxDEM's does.
    """
    return _jaxdem().State.create(
        pos=particles.position,
        vel=particles.velocity,
        force=particles.force,
        ang_vel=particles.angular_velocity,
        torque=particles.torque,
        rad=particles.radius,
        mass=particles.mass,
        inertia=jnp.broadcast_to(particles.inertia[:, None], particles.torque.shape),
        fixed=particles.fixed,
    )


def as_particles(state: Any) -> Particles:
    """Return the spheres of a State of JaxDEM, each by itself: members of a clump are told apart no more."""
    return Particles(
        position=state.pos,
        velocity=state.vel,
        force=state.force,
        radius=state.rad,
        mass=state.mass,
        angular_velocity=state.ang_vel,
        torque=state.torque,
        fixed=state.fixed,
    )


def as_system(world: World, particles: Particles) -> Any:
    """Return JaxDEM's System that does to a State what our engine does to `particles` in `world`.

    Integrator, domain, collider and, where contacts are elastic and smooth, the spring between particles are
    JaxDEM's. It has no law of contact with our restitution and friction, and no soft walls: those are ours, as a
    force model and a force function of its. Drag, which takes the velocity from before a step, is not in it: see
    :func:`step`.

    Parameters
    ----------
    world : World
    particles : Particles
        N of them, from whose sizes a large swarm's cells follow.

    Raises
    ------
    ValueError
        If this JaxDEM has no such walls.
    """
    jaxdem = _jaxdem()
    materials = importlib.import_module("jaxdem.materials")
    matchmakers = importlib.import_module("jaxdem.material_matchmakers")
    size = world.box_high - world.box_low
    # Of a material with one density nothing is used but its modulus: masses are the state's.
    material = materials.Material.create("elastic", density=1.0, young=world.stiffness, poisson=0.3)
    soft = (_push_of_walls,) if world.boundary == "soft" else ()
    system = jaxdem.System.create(
        particles.position.shape,
        domain_type=_domain(world),
        domain_kw={"box_size": size, "anchor": world.box_low},
        force_manager_kw={"gravity": world.gravity, "force_functions": soft},
        mat_table=materials.MaterialTable.from_materials(
            [material], matcher=matchmakers.MaterialMatchmaker.create("harmonic")
        ),
    )
    # What it would look at, or keep beside the arrays, may be traced here.
    system.dt = jnp.asarray(world.dt, system.dt.dtype)
    if world.boundary == "reflect" and world.damped:
        if not hasattr(system.domain, "restitution_coefficient"):
            raise ValueError(
                "engine jaxdem: walls of this JaxDEM are elastic; got restitution below 1 with boundary='reflect'. "
                "Update JaxDEM, or take boundary='soft'."
            )
        system.domain = replace(system.domain, restitution_coefficient=world.restitution)
    if world.damped or world.rough or world.boundary == "soft":
        system.force_model = _contact_model()(world=world)
    if particles.num_particles >= CELLS_FROM and _cells_keep_order():
        system.collider = replace(_cells(world.dim), cell_size=2 * jnp.max(particles.radius))
    return system


def step(
    world: World,
    particles: Particles,
    external_force: Array,
    external_torque: Array | None = None,
    spec: NeighborSpec | None = None,
    neighbors: Neighbors | None = None,
) -> tuple[Particles, Neighbors | None]:
    """Return the particles one time step of JaxDEM's later: its counterpart of our engine's step.

    Parameters
    ----------
    world : World
    particles : Particles
        N of them.
    external_force : Array, (N, dim), force
    external_torque : Array, (N, 1) or (N, 3), force * length, optional
    spec, neighbors
        Not looked at: JaxDEM finds contacts itself. The list is given back as it is.

    Raises
    ------
    ImportError
        If JaxDEM cannot be imported.
    """
    if world.boundary == "periodic":
        # JaxDEM leaves them where they are, in whichever image of the box.
        particles = replace(particles, position=apply_boundary(world, particles)[0])
    state, system = as_state(particles), as_system(world, particles)
    drag = -world.drag * particles.velocity
    system = system.force_manager.add_force(state, system, external_force + drag)
    if external_torque is not None:
        system = system.force_manager.add_torque(state, system, external_torque)
    state, system = system.step(state, system)
    after = as_particles(state)
    if not world.rough and external_torque is None:
        after = replace(after, angular_velocity=particles.angular_velocity, torque=particles.torque)
    return after, neighbors


def _cells(dim: int) -> Any:
    """Return JaxDEM's cell list that looks into the next cells all around, made of numbers that are not traced."""
    colliders = importlib.import_module("jaxdem.colliders")
    with jax.ensure_compile_time_eval():
        like = _jaxdem().State.create(pos=jnp.zeros((1, dim)))
        return colliders.Collider.create("celllist", state=like, cell_size=2.0, search_range=1)


def _domain(world: World) -> str:
    """Return the domain that does what our boundary does, also to whom one step leads into two walls."""
    domains = importlib.import_module("jaxdem.domains")
    if world.boundary == "reflect" and not hasattr(domains.ReflectSphereDomain, "restitution_coefficient"):
        # Before 2026-06-12 it places a collision in time otherwise; `reflect` differs from ours in corners alone.
        return "reflect"
    return _DOMAINS[world.boundary]


@cache
def _cells_keep_order() -> bool:
    """Return whether a step with cells leaves particles in their order; before 2026-06-12 it sorts them by cell.

    Their forces are not sorted with them there, so that each feels another's.
    """
    with jax.ensure_compile_time_eval():
        jaxdem = _jaxdem()
        state = jaxdem.State.create(pos=jnp.array([[9.0, 9.0], [1.0, 1.0]]))
        system = jaxdem.System.create(state.shape)
        system.collider = _cells(2)
        state, _ = system.step(state, system)
        return bool(state.pos[0, 0] > state.pos[1, 0])


def _jaxdem() -> ModuleType:
    import_host("engine jaxdem")
    return importlib.import_module("jaxdem")


@cache
def _contact_model() -> type[Any]:
    """Return our law of contact as a force model of JaxDEM's, whose base class is there only with it."""
    base: Any = importlib.import_module("jaxdem.forces").ForceModel

    @jax.tree_util.register_dataclass
    @dataclass(slots=True, kw_only=True)
    class ViscousContact(base):
        """Springs with a dashpot, and Coulomb's friction regularised by viscosity."""

        world: World

        @staticmethod
        def force(i: Array, j: Array, pos: Array, state: Any, system: Any) -> tuple[Array, Array]:
            """Return the force and the torque on i due to j, as `dem.contact.contact_law` has them."""
            world = system.force_model.world
            forces, turning = pair_forces(
                world, replace(as_particles(state), position=pos), lambda values: values[i], lambda values: values[j]
            )
            force = jnp.stack(forces, axis=-1)
            if not world.rough:
                return force, jnp.zeros((*force.shape[:-1], state.torque.shape[-1]), force.dtype)
            return force, state.rad[i][..., None] * jnp.stack(turning, axis=-1)

        @staticmethod
        def energy(i: Array, j: Array, pos: Array, state: Any, system: Any) -> Array:
            """Return the energy of the spring between i and j."""
            world = system.force_model.world
            distance = jnp.linalg.norm(world.displacement(pos[i], pos[j]), axis=-1)
            overlap = jnp.maximum(0.0, state.rad[i] + state.rad[j] - distance) * (i != j)
            return 0.5 * world.stiffness * overlap**2

    return ViscousContact


def _push_of_walls(pos: Array, state: Any, system: Any) -> tuple[Array, Array]:
    """Return the force and the torque of soft walls on each particle, ``(N, dim)`` and ``(N, 1 or 3)``."""
    force, torque = wall_force(system.force_model.world, replace(as_particles(state), position=pos))
    return force, jnp.zeros_like(state.torque) if torque is None else torque
