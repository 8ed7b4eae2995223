"""The forces of the contacts in a frame, one by one, by the engine's own law."""

from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxdem_ac.dem.columns import Columns, stacked
from jaxdem_ac.dem.forces import pair_forces
from jaxdem_ac.dem.particles import Particles
from jaxdem_ac.dem.world import World


@dataclass(frozen=True)
class Contacts:
    """Lines from the centre of a particle to where it touches: two for a pair, one for a wall."""

    lines: np.ndarray
    """``(K, 2, dim)``, length: centre, point of contact."""
    force: np.ndarray
    """Along and across together, ``(K,)``, force."""


def contacts_of(world: World, particles: Particles) -> Contacts:
    """Return what touches in one frame, leaves ``(B, ...)``; what is fixed on both sides does not count.

    Reflecting walls turn a particle back at once and exert no force that could be shown; soft ones push.
    """
    if world.remembers:
        raise ValueError(
            f"render: contact forces under law {world.law.name!r} come from springs that a recording does not keep. "
            "Leave out forces."
        )
    particles = jax.tree.map(jnp.asarray, particles)
    left, right, force, across = touching_pairs(world, particles)
    position, radius = np.asarray(particles.position), np.asarray(particles.radius)
    share = (radius[left] / (radius[left] + radius[right]))[:, None]
    lines = [
        np.stack([position[left], position[left] + share * across], axis=1),
        np.stack([position[right], position[right] - (1 - share) * across], axis=1),
    ]
    forces = [force, force]
    if world.boundary.exerts_force:
        at, side, wall_forces = touching_walls(world, particles)
        foot, corners = position[at].copy(), np.stack([world.box_low, world.box_high], axis=1)
        foot[np.arange(len(at)), side // 2] = corners[side // 2, side % 2]
        lines.append(np.stack([position[at], foot], axis=1))
        forces.append(wall_forces)
    return Contacts(np.concatenate(lines), np.concatenate(forces))


def touching_pairs(world: World, particles: Particles) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return who touches whom, ``(K,)`` each, with what force, ``(K,)``, and the vectors between, ``(K, dim)``."""
    from scipy.spatial import cKDTree

    position, radius = np.asarray(particles.position, float), np.asarray(particles.radius, float)
    low, size = np.asarray(world.box_low), np.asarray(world.box_high) - np.asarray(world.box_low)
    periodic = world.boundary.periodic
    tree = cKDTree(np.mod(position - low, size) if periodic else position, boxsize=size if periodic else None)
    pairs = tree.query_pairs(2 * float(radius.max()), output_type="ndarray")
    # One program for many counts of pairs: of a particle with itself nothing comes.
    padded = np.zeros((1 << max(4, len(pairs).bit_length()), 2), np.int32)
    padded[: len(pairs)] = pairs
    forces, across = jax.device_get(_pair_forces(world, particles, padded[:, 0], padded[:, 1]))
    sizes = np.linalg.norm(forces, axis=-1)[: len(pairs)]
    fixed = np.asarray(particles.fixed)[pairs]
    touching = (sizes > 0) & ~fixed.all(axis=1)
    return pairs[touching, 0], pairs[touching, 1], sizes[touching], across[: len(pairs)][touching]


@jax.jit
def _pair_forces(world: World, particles: Particles, left: Array, right: Array) -> tuple[Array, Array]:
    """Return the force on the left side of each pair, and the vector to the right one, ``(K, dim)`` each."""
    columns = Columns.of(particles)
    forces, _, _ = pair_forces(world, columns, lambda values: values[left], lambda values: values[right])
    return stacked(forces), world.displacement(particles.position[left], particles.position[right])


def touching_walls(world: World, particles: Particles) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return who touches a soft wall, its side, ``2 axis`` low or ``2 axis + 1`` high, and the force; ``(K,)`` each."""
    forces = np.linalg.norm(np.asarray(_wall_forces(world, particles)), axis=-1)
    side, at = np.nonzero((forces > 0) & ~np.asarray(particles.fixed))
    return at, side, forces[side, at]


@jax.jit
def _wall_forces(world: World, particles: Particles) -> Array:
    """Return the force of each wall alone, the others being out of reach, ``(2 dim, B, dim)``; low before high."""
    found = []
    nowhere = {"box_low": jnp.full_like(world.box_low, -jnp.inf), "box_high": jnp.full_like(world.box_high, jnp.inf)}
    for axis in range(world.dim):
        for name, away in nowhere.items():
            corners: dict[str, Any] = {**nowhere, name: away.at[axis].set(getattr(world, name)[axis])}
            alone = replace(world, **corners)
            found.append(stacked(alone.boundary.force(alone, Columns.of(particles))[0]))
    return jnp.stack(found)
