"""Laws of contact that remember, in JaxDEM: a force model whose springs JaxDEM's own list of neighbours carries."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxdem_ac._types import PyTree
from jaxdem_ac.dem.columns import Columns, columns_of, stacked
from jaxdem_ac.dem.forces import pair_forces
from jaxdem_ac.dem.particles import Particles
from jaxdem_ac.dem.springs import Springs, check_springs, found
from jaxdem_ac.dem.world import World
from jaxdem_ac.plugin.jaxdem import JaxDEMState, JaxDEMSystem
from jaxdem_ac.plugin.state import as_particles, as_state, as_system, contact_model


def system_with_springs(world: World, particles: Particles, skin: float = 0.4) -> JaxDEMSystem:
    """Return JaxDEM's System under a law that remembers: ``system.step(state, system)`` carries the springs on.

    Its collider is JaxDEM's ``NeighborList`` over a cell list, and begins with the springs that `particles` have. Drag
    is not in it. :func:`particles_with_springs` is the way back.

    Parameters
    ----------
    world : World
        With friction, under a law that remembers; its walls exert no force.
    particles : Particles
        N of them, not traced.
    skin : float
        Distance by which the list reaches beyond a contact, in units of the largest radius.

    Raises
    ------
    ValueError
        If no contact has a spring, if walls exert forces, which JaxDEM has no memory for, or if this JaxDEM's list
        carries nothing.
    ImportError
        If JaxDEM cannot be imported.
    """
    if not world.remembers or world.boundary.exerts_force:
        raise ValueError(
            "system_with_springs: a world with friction, under a law that remembers, in reflecting or periodic walls; "
            f"got law={world.law.name!r}, friction={float(world.friction)}, boundary={world.boundary.name!r}. Change "
            "it, or take as_system or the embedded engine."
        )
    system, state = as_system(world, particles), as_state(particles)
    colliders = importlib.import_module("jaxdem.colliders")
    largest = float(np.max(np.asarray(particles.radius)))
    collider = colliders.Collider.create("NeighborList", state=state, cutoff=2 * largest, skin=skin * largest)
    if not hasattr(collider, "history"):
        raise ValueError(
            "system_with_springs: JaxDEM's NeighborList carries springs; got a JaxDEM whose list does not. Update it."
        )
    system.force_model = _remembering_model()(world=world)
    shape = (particles.num_particles, collider.max_neighbors)
    system.collider = replace(collider, history=system.force_model.init_history(shape))
    _, system, _, _ = system.collider.create_neighbor_list(state, system, 2 * largest, collider.max_neighbors)
    check_springs("system_with_springs", particles)
    old = particles.springs
    if old is not None and old.left is not None and old.right is not None:
        sides = _sides(system.collider.neighbor_list)
        pairs = found(particles.num_particles, old.pairs, jnp.asarray(True), old.left, old.right, *sides)
        system.collider = replace(system.collider, history=[each.reshape(shape) for each in pairs])
    return system


def particles_with_springs(state: JaxDEMState, system: JaxDEMSystem) -> Particles:
    """Return the spheres of a State of JaxDEM, with the springs of their contacts."""
    left, right = _sides(system.collider.neighbor_list)
    pairs = [jnp.where(left == right, 0.0, each.reshape(-1)) for each in system.collider.history]
    return replace(as_particles(state), springs=Springs(pairs, [], left, right))


def _sides(neighbor_list: Array) -> tuple[Array, Array]:
    """Return both sides of the pairs in JaxDEM's list, ``(N, M)``, each of which stands once for either."""
    left = jnp.repeat(jnp.arange(len(neighbor_list), dtype=jnp.int32), neighbor_list.shape[1])
    right = neighbor_list.reshape(-1)
    return left, jnp.where(right < 0, left, right).astype(jnp.int32)


@cache
def _remembering_model() -> Callable[..., PyTree]:
    """Return a law that remembers as a force model of JaxDEM's, whose base class is there only with it."""
    base: Any = contact_model()

    @jax.tree_util.register_dataclass
    @dataclass(slots=True, kw_only=True)
    class RememberingContact(base):
        """The world's law of contact; the springs of a particle's neighbours are its history."""

        @property
        def requires_history(self) -> bool:
            """True."""
            return True

        def init_history(self, shape: tuple[int, ...]) -> list[Array]:
            """Return springs that are not elongated, 1 component in 2D and 3 in 3D."""
            return [jnp.zeros(shape, self.world.dt.dtype) for _ in range(1 if self.world.dim == 2 else 3)]

        @staticmethod
        def force_and_history(
            i: Array, j: Array, pos: Array, state: JaxDEMState, system: JaxDEMSystem, history: list[Array]
        ) -> tuple[Array, Array, list[Array]]:
            """Return the force and the torque on i due to j, and the springs after the step."""
            world = system.force_model.world
            columns = replace(Columns.of(as_particles(state)), position=columns_of(pos))
            forces, turning, after = pair_forces(world, columns, lambda each: each[i], lambda each: each[j], history)
            return stacked(forces), state.rad[i][..., None] * stacked(turning), after

    return RememberingContact
