"""One physics: our particles and worlds as JaxDEM's State and System, and its engine under our environments."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from jaxdem_ac._types import PyTree
from jaxdem_ac.dem.columns import Columns, columns_of, stacked
from jaxdem_ac.dem.forces import pair_forces
from jaxdem_ac.dem.neighbor_list import Neighbors, NeighborSpec
from jaxdem_ac.dem.particles import Particles
from jaxdem_ac.dem.world import World
from jaxdem_ac.plugin.jaxdem import JaxDEMState, JaxDEMSystem, import_host

# JaxDEM's own advice: beyond some thousand particles its cell lists are faster than all pairs.
CELLS_FROM = 1_000
# Fields of our particles, and what JaxDEM's State calls them.
_NAMES = {
    "position": "pos", "velocity": "vel", "force": "force", "radius": "rad", "mass": "mass",
    "angular_velocity": "ang_vel", "torque": "torque", "fixed": "fixed",
}  # fmt: skip


def as_state(particles: Particles) -> JaxDEMState:
    """Return JaxDEM's State of N particles; their orientation, which has no effect here, starts as JaxDEM's."""
    inertia = jnp.broadcast_to(particles.inertia[:, None], particles.torque.shape)
    return _jaxdem().State.create(**{name: getattr(particles, ours) for ours, name in _NAMES.items()}, inertia=inertia)


def as_particles(state: JaxDEMState) -> Particles:
    """Return the spheres of a State of JaxDEM, each by itself: members of a clump are told apart no more."""
    return Particles(**{ours: getattr(state, name) for ours, name in _NAMES.items()})


def as_system(world: World, particles: Particles) -> JaxDEMSystem:
    """Return JaxDEM's System that does to a State what our engine does to `particles` in `world`.

    Integrator, domain, collider and, where contacts are elastic and smooth, the spring between particles are JaxDEM's.
    It has no law of contact with our restitution and friction, and no soft walls: those are ours, as a force model and
    a force function of its. Drag, which takes the velocity from before a step, is not in it: see :func:`step`. From the
    sizes of a large swarm its cells follow. Raises ValueError if this JaxDEM has no such walls.
    """
    jaxdem = _jaxdem()
    materials = importlib.import_module("jaxdem.materials")
    matchmakers = importlib.import_module("jaxdem.material_matchmakers")
    size = world.box_high - world.box_low
    poisson = getattr(world.law, "poisson_ratio", 0.3)
    # Of a material with one density nothing is used but its modulus: masses are the state's.
    material = materials.Material.create("elastic", density=1.0, young=world.stiffness, poisson=poisson)
    forces = (_force_of_boundary,) if world.boundary.exerts_force else ()
    system = jaxdem.System.create(
        particles.position.shape,
        domain_type=_domain(world),
        domain_kw={"box_size": size, "anchor": world.box_low},
        force_manager_kw={"gravity": world.gravity, "force_functions": forces},
        mat_table=materials.MaterialTable.from_materials(
            [material], matcher=matchmakers.MaterialMatchmaker.create("harmonic")
        ),
    )
    # What it would look at, or keep beside the arrays, may be traced here.
    system.dt = jnp.asarray(world.dt, system.dt.dtype)
    if world.boundary.jaxdem_domain == "reflectsphere" and world.damped:
        if not hasattr(system.domain, "restitution_coefficient"):
            raise ValueError(
                "engine jaxdem: walls of this JaxDEM are elastic; got restitution below 1 with boundary='reflect'. "
                "Update JaxDEM, or take boundary='soft'."
            )
        system.domain = replace(system.domain, restitution_coefficient=world.restitution)
    # Its own force models are elastic and smooth.
    if world.damped or world.rough or world.boundary.exerts_force or world.law.jaxdem_force is None:
        system.force_model = contact_model()(world=world)
    elif world.law.jaxdem_force != "spring":
        system.force_model = importlib.import_module("jaxdem.forces").ForceModel.create(world.law.jaxdem_force)
    if particles.num_particles >= CELLS_FROM and _cells_keep_order():
        system.collider = replace(_cells(world.dim), cell_size=2 * jnp.max(particles.radius))
    return system


def step(
    world: World,
    particles: Columns,
    external_force: list[Array],
    external_torque: list[Array] | None = None,
    spec: NeighborSpec | None = None,
    neighbors: Neighbors | None = None,
) -> tuple[Columns, Neighbors | None]:
    """Return the particles one time step of JaxDEM's later: its counterpart of our engine's step.

    The list of neighbours is given back as it is: JaxDEM finds contacts itself. Raises ImportError if it cannot be
    imported.

    Parameters
    ----------
    world : World
    particles : Columns
        N of them.
    external_force : list of Array, (N,) each, force
        dim components.
    external_torque : list of Array, (N,) each, force * length, optional
        1 component in 2D, 3 in 3D.
    spec, neighbors
        Not looked at.
    """
    if world.remembers:
        raise ValueError(
            f"engine jaxdem: springs of contacts under law {world.law.name!r} live in a System that goes on from "
            "step to step, and here each step makes one. Take the embedded engine, or step "
            "jaxdem_ac.plugin.springs.system_with_springs(world, particles) in JaxDEM."
        )
    if world.boundary.periodic:
        # JaxDEM leaves them where they are, in whichever image of the box.
        particles = replace(particles, position=world.boundary.apply(world, particles)[0])
    before = particles.to_particles()
    state, system = as_state(before), as_system(world, before)
    drag = -world.drag * before.velocity
    system = system.force_manager.add_force(state, system, stacked(external_force) + drag)
    if external_torque is not None:
        system = system.force_manager.add_torque(state, system, stacked(external_torque))
    state, system = system.step(state, system)
    after = as_particles(state)
    if not world.rough and external_torque is None:
        after = replace(after, angular_velocity=before.angular_velocity, torque=before.torque)
    return Columns.of(after), neighbors


def _cells(dim: int) -> PyTree:
    """Return JaxDEM's cell list that looks into the next cells all around, made of numbers that are not traced."""
    colliders = importlib.import_module("jaxdem.colliders")
    with jax.ensure_compile_time_eval():
        like = _jaxdem().State.create(pos=jnp.zeros((1, dim)))
        return colliders.Collider.create("celllist", state=like, cell_size=2.0, search_range=1)


def _domain(world: World) -> str:
    """Return the domain that does what our boundary does, also to whom one step leads into two walls."""
    domains = importlib.import_module("jaxdem.domains")
    domain = world.boundary.jaxdem_domain
    if domain == "reflectsphere" and not hasattr(domains.ReflectSphereDomain, "restitution_coefficient"):
        # Before 2026-06-12 it places a collision in time otherwise; `reflect` differs from ours in corners alone.
        return "reflect"
    return domain


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
def contact_model() -> Callable[..., PyTree]:
    """Return our law of contact as a force model of JaxDEM's, whose base class is there only with it."""
    base: Any = importlib.import_module("jaxdem.forces").ForceModel

    @jax.tree_util.register_dataclass
    @dataclass(slots=True, kw_only=True)
    class ViscousContact(base):
        """Springs with a dashpot, and Coulomb's friction regularised by viscosity."""

        world: World

        @staticmethod
        def force(i: Array, j: Array, pos: Array, state: JaxDEMState, system: JaxDEMSystem) -> tuple[Array, Array]:
            """Return the force and the torque on i due to j, as the world's law of contact has them."""
            world = system.force_model.world
            columns = replace(Columns.of(as_particles(state)), position=columns_of(pos))
            forces, turning, _ = pair_forces(world, columns, lambda values: values[i], lambda values: values[j])
            force = stacked(forces)
            if not world.rough:
                return force, jnp.zeros((*force.shape[:-1], state.torque.shape[-1]), force.dtype)
            return force, state.rad[i][..., None] * stacked(turning)

        @staticmethod
        def energy(i: Array, j: Array, pos: Array, state: JaxDEMState, system: JaxDEMSystem) -> Array:
            """Return the elastic energy between i and j."""
            world = system.force_model.world
            distance = jnp.linalg.norm(world.displacement(pos[i], pos[j]), axis=-1)
            overlap = jnp.maximum(0.0, state.rad[i] + state.rad[j] - distance) * (i != j)
            return world.law.energy(world, overlap, state.rad[i] * state.rad[j] / (state.rad[i] + state.rad[j]))

    return ViscousContact


def _force_of_boundary(pos: Array, state: JaxDEMState, system: JaxDEMSystem) -> tuple[Array, Array]:
    """Return the force and the torque of the boundary on each particle, ``(N, dim)`` and ``(N, 1 or 3)``."""
    world = system.force_model.world
    force, torque = world.boundary.force(world, replace(Columns.of(as_particles(state)), position=columns_of(pos)))
    return stacked(force), stacked(torque) if torque else jnp.zeros_like(state.torque)
