"""Particles as columns: one array for each component of a vector, as the engine computes with them.

An array with a last axis of 2 or 3 would leave vector units idle, and costs a factor of 3 to 10 on a CPU.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import jax
import jax.numpy as jnp
from jax import Array

from jaxdem_ac.dem.particles import Particles
from jaxdem_ac.dem.springs import Springs

if TYPE_CHECKING:
    from jaxdem_ac.dem.neighbor_list import Neighbors

Component = Array | float
"""One component of a vector for every particle or contact. A Python float is known while tracing: products with 0, 1
and -1 and sums with 0 are left out of the program, so that one law serves any normal and costs no more for an axis."""

# Components of a vector, dim of them.
Components = list[Component]

_VECTORS = ("position", "velocity", "force", "angular_velocity", "torque")


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Columns:
    """The fields of :class:`~jaxdem_ac.dem.particles.Particles`, vectors as lists of dim arrays, ``(N,)`` each."""

    position: list[Array]
    """Length."""
    velocity: list[Array]
    """Length / time."""
    force: list[Array]
    """Force of the last step."""
    radius: Array
    """Length."""
    mass: Array
    """Mass."""
    angular_velocity: list[Array]
    """One component in 2D, three in 3D, 1 / time."""
    torque: list[Array]
    """Torque of the last step, force * length."""
    fixed: Array
    """Mask of particles that nothing moves, ``(N,)`` of bool."""
    springs: Springs | None = None
    """Tangential springs of contacts, under a law that remembers."""

    @classmethod
    def of(cls, particles: Particles) -> Self:
        """Return particles as columns."""
        columns: dict[str, Any] = {name: columns_of(getattr(particles, name)) for name in _VECTORS}
        springs = particles.springs and particles.springs.nameless()
        return cls(**{**vars(particles), **columns, "springs": springs})

    def to_particles(self, neighbors: Neighbors | None = None) -> Particles:
        """Return the particles whose columns these are; springs are those of the pairs in a list, or of all."""
        vectors = {name: stacked(getattr(self, name)) for name in _VECTORS}
        springs = self.springs and self.springs.named(neighbors, len(self.radius))
        return Particles(**{**vars(self), **vectors, "springs": springs})


def columns_of(vectors: Array) -> list[Array]:
    """Return the components of vectors, ``(..., dim)``, as dim arrays ``(...)``."""
    return [vectors[..., axis] for axis in range(vectors.shape[-1])]


def stacked(columns: list[Array]) -> Array:
    """Return vectors, ``(..., dim)``, from their components."""
    return jnp.stack(columns, axis=-1)


def times(left: Component, right: Component) -> Component:
    """Return a product, without one where a factor is known to be 0, 1 or -1."""
    for known, other in ((left, right), (right, left)):
        if isinstance(known, float) and known in (0.0, 1.0, -1.0):
            return 0.0 if known == 0 else other if known == 1 else -other
    return left * right


def plus(left: Component, right: Component) -> Component:
    """Return a sum, without one where a term is known to be 0."""
    for known, other in ((left, right), (right, left)):
        if isinstance(known, float) and known == 0:
            return other
    return left + right


def minus(left: Component, right: Component) -> Component:
    """Return a difference, without one where a term is known to be 0."""
    if isinstance(right, float) and right == 0:
        return left
    return -right if isinstance(left, float) and left == 0 else left - right


def dot(left: Components, right: Components) -> Component:
    """Return the scalar product of two vectors."""
    total = times(left[0], right[0])
    for a, b in zip(left[1:], right[1:], strict=True):
        total = plus(total, times(a, b))
    return total


def cross(spin: Components, vector: Components) -> Components:
    """Return spin x vector, the spin out of the plane in 2D."""
    if len(vector) == 2:
        return [-times(spin[0], vector[1]), times(spin[0], vector[0])]
    return cross_vectors(spin, vector)


def cross_vectors(left: Components, right: Components) -> Components:
    """Return left x right: one component in 2D, three in 3D."""
    if len(left) == 2:
        return [minus(times(left[0], right[1]), times(left[1], right[0]))]
    (ax, ay, az), (bx, by, bz) = left, right
    return [
        minus(times(ay, bz), times(az, by)),
        minus(times(az, bx), times(ax, bz)),
        minus(times(ax, by), times(ay, bx)),
    ]


def across(vector: Components, normal: Components) -> Components:
    """Return the part of a vector that is perpendicular to a unit normal."""
    if any(isinstance(n, float) and abs(n) == 1 for n in normal):
        return [v if isinstance(n, float) and n == 0 else 0.0 for v, n in zip(vector, normal, strict=True)]
    along = dot(vector, normal)
    return [minus(v, times(along, n)) for v, n in zip(vector, normal, strict=True)]
