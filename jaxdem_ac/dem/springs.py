"""Tangential springs: how far each contact has been dragged along itself since it began, kept from step to step."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxdem_ac._types import PyTree
from jaxdem_ac.dem.scatter import broadcast_batch, gather

if TYPE_CHECKING:
    from jaxdem_ac.dem.neighbor_list import Neighbors
    from jaxdem_ac.dem.particles import Particles
    from jaxdem_ac.dem.world import World


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Springs:
    """Elongations of the tangential springs of P pairs of particles, and of N particles at the walls of their box.

    An elongation is how far the left particle has been dragged along the right one, or a particle along a wall: one
    component in 2D, along the normal turned by a quarter; three in 3D. Where nothing touches it is 0.
    """

    pairs: list[Array]
    """Components of pairs, ``(P,)`` each, length."""
    walls: list[list[Array]]
    """Components at each wall, low and high along each axis, ``(N,)`` each, length; empty where walls do not push."""
    left: Array | None = None
    """The particle of each pair, ``(P,)`` of int; the pairs of one follow each other. Left out during a step, when
    pairs are those of the list of neighbours, or all."""
    right: Array | None = None
    """The partner of each, ``(P,)`` of int. Padding is the pair (i, i)."""

    def of_list(self, before: Neighbors, after: Neighbors, num_particles: int) -> Springs:
        """Return the springs of the pairs in a list that has been refreshed; those of new pairs are not elongated."""
        references = zip(jax.tree.leaves(before.reference), jax.tree.leaves(after.reference), strict=True)
        built = functools.reduce(jnp.logical_or, [jnp.any(old != new) for old, new in references])

        def moved() -> list[Array]:
            return found(num_particles, self.pairs, built, before.left, before.right, after.left, after.right)

        return replace(self, pairs=jax.lax.cond(built, moved, lambda: self.pairs))

    def named(self, neighbors: Neighbors | None, num_particles: int) -> Springs:
        """Return them with the particles of their pairs."""
        left, right = pairs_of(neighbors, num_particles)
        return replace(self, left=left, right=right)

    def nameless(self) -> Springs:
        """Return them without the particles of their pairs, as a step carries them."""
        return replace(self, left=None, right=None)


def with_springs(world: World, particles: Particles, neighbors: Neighbors | None = None) -> Particles:
    """Return particles with springs of the pairs in a list, of all pairs without one; those they have are kept.

    :func:`~jaxdem_ac.dem.step.simulate` does it by itself. A task under a law that remembers begins its episodes so,
    since a state has to keep its structure. Without such a law, or without friction, springs are left out.
    """
    if not hasattr(world, "remembers") or not hasattr(particles, "springs"):
        raise TypeError(
            f"with_springs: a world, then particles; got {type(world).__name__} and {type(particles).__name__}. Build "
            "them with World.create and Particles.create."
        )
    if not world.remembers:
        return replace(particles, springs=None)
    num, dim, dtype = particles.num_particles, particles.dim, particles.position.dtype
    left, right = pairs_of(neighbors, num)
    num_walls, components = 2 * dim * world.boundary.exerts_force, 1 if dim == 2 else 3
    old = particles.springs
    if old is None or old.left is None or old.right is None:
        pairs, walls = [jnp.zeros(left.shape, dtype) for _ in range(components)], []
    else:
        differ = (
            jnp.asarray(True) if old.left.shape != left.shape else jnp.any((old.left != left) | (old.right != right))
        )
        pairs, walls = found(num, old.pairs, differ, old.left, old.right, left, right), old.walls
    if len(walls) != num_walls:
        walls = [[jnp.zeros(num, dtype) for _ in range(components)] for _ in range(num_walls)]
    return replace(particles, springs=Springs(pairs, walls, left, right))


def check_springs(where: str, particles: Particles) -> None:
    """Raise ValueError if springs are of more particles than there are; for particles that are not traced."""
    springs, num = particles.springs, particles.num_particles
    if springs is None or springs.left is None:
        return
    named = int(np.max(np.asarray(springs.left), initial=-1)) + 1
    walls = {len(each) for wall in springs.walls for each in wall}
    if named > num or walls - {num}:
        raise ValueError(
            f"{where}: springs are of the particles that have them; got those of {max(named, *walls)} for {num}. Set "
            "springs=None where particles are added or taken away."
        )


def pairs_of(neighbors: Neighbors | None, num_particles: int) -> tuple[Array, Array]:
    """Return both sides of the pairs in a list; without one, of all pairs of N particles, each once."""
    if neighbors is not None:
        return neighbors.left, neighbors.right
    left, right = np.triu_indices(num_particles, 1)
    return jnp.asarray(left, jnp.int32), jnp.asarray(right, jnp.int32)


def found(num: int, springs: list[Array], differ: Array, *lists: Array) -> list[Array]:
    """Return the springs of the pairs in a new list, 0 for those that were not in the old one.

    `lists` are both sides of the old list, ``(P,)``, and of the new, ``(Q,)``; `differ` says whether they differ.
    """
    given = jax.lax.stop_gradient((differ, *lists))
    place, turned = (each[0] for each in _places(num)(*(each[None] for each in given)))
    # A vector is the opposite one as the partner sees it; a number along the turned normal is the same.
    sign = [jnp.where(turned, -1, 1).astype(each.dtype) if len(springs) == 3 else 1 for each in springs]
    known, at = place >= 0, jnp.maximum(place, 0)
    return [jnp.where(known, way * gather(each, at), 0) for way, each in zip(sign, springs, strict=True)]


@cache
def _places(num: int) -> Callable[..., tuple[Array, Array]]:
    """Return the function that says where in an old list the pairs of a new one stand, and which of them turned.

    It is for a batch, leaves ``(B, ...)``, which is searched if lists of one differ. A place is -1 where there is none.
    """

    @jax.custom_batching.custom_vmap
    def search_batch(differ: Array, *lists: Array) -> tuple[Array, Array]:
        def search() -> tuple[Array, Array]:
            return jax.vmap(lambda *each: _search(num, *each))(*lists)

        def same() -> tuple[Array, Array]:
            here = jnp.arange(lists[2].shape[1], dtype=jnp.int32)
            return jnp.broadcast_to(here, lists[2].shape), jnp.zeros(lists[2].shape, bool)

        return jax.lax.cond(jnp.any(differ), search, same)

    @search_batch.def_vmap
    def rule(axis_size: int, batched: Sequence[PyTree], *arguments: PyTree) -> tuple[PyTree, PyTree]:
        full = broadcast_batch(axis_size, batched, arguments)
        merged = search_batch(*(each.reshape(-1, *each.shape[2:]) for each in full))
        return tuple(each.reshape(axis_size, -1, each.shape[-1]) for each in merged), (True, True)

    return search_batch


def _search(num: int, old_left: Array, old_right: Array, left: Array, right: Array) -> tuple[Array, Array]:
    """Return the place of each new pair in the old list, and whether it is turned there; a row after the other."""
    size = old_left.shape[0]
    real = old_left != old_right
    place = jnp.arange(size, dtype=jnp.int32)
    first = jnp.full(num, size, jnp.int32).at[old_left].min(jnp.where(real, place, size))
    last = jnp.zeros(num, jnp.int32).at[old_left].max(jnp.where(real, place + 1, 0))

    def going(carry: tuple[Array, Array, Array]) -> Array:
        return carry[0] < jnp.max(last - first)

    def look(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        step, found, turned = carry
        for one, other, is_turned in ((left, right, False), (right, left, True)):
            at = first[one] + step
            inside = jnp.minimum(at, size - 1)
            hit = (at < last[one]) & (old_left[inside] == one) & (old_right[inside] == other) & (one != other)
            found, turned = jnp.where(hit, inside, found), jnp.where(hit, is_turned, turned)
        return step + 1, found, turned

    none = jnp.full(left.shape, -1, jnp.int32)
    _, found, turned = jax.lax.while_loop(going, look, (jnp.zeros((), jnp.int32), none, jnp.zeros(left.shape, bool)))
    return found, turned
