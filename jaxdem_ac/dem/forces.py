"""Forces between particles that overlap: gathered to pairs, given by the law of contact, and scattered back."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import jax
import jax.numpy as jnp
from jax import Array

from jaxdem_ac.dem.columns import Columns, Component, dot
from jaxdem_ac.dem.contact_law import Contact
from jaxdem_ac.dem.neighbor_list import Neighbors
from jaxdem_ac.dem.scatter import gather, scatter
from jaxdem_ac.dem.springs import Springs, pairs_of
from jaxdem_ac.dem.world import World

Side = Callable[[Array], Array]


def contact_force(
    world: World, particles: Columns, neighbors: Neighbors | None = None
) -> tuple[list[Array], list[Array]]:
    r"""Return the force and the torque that contacts between particles exert on each of them, components ``(N,)``.

    The force has dim components, the torque 1 in 2D and 3 in 3D, none in a world without friction. `neighbors` say who
    may touch whom; without them all pairs are looked at.

    Notes
    -----
    The undamped, frictionless force is JaxDEM's ``spring`` model with equal moduli. Centres that coincide exert no
    force on each other, there and here: the normal is undefined.
    """
    force, torque, _ = contact_force_and_springs(world, particles, neighbors)
    return force, torque


def contact_force_and_springs(
    world: World, particles: Columns, neighbors: Neighbors | None = None
) -> tuple[list[Array], list[Array], Springs | None]:
    """Return what :func:`contact_force` does, and the springs after the step, if the law of contact has some.

    Springs are of the pairs in the list, without one of all pairs, each once.
    """
    springs = particles.springs if world.remembers else None
    if world.remembers and springs is None:
        raise ValueError(
            f"step: contacts under law {world.law.name!r} have springs; got particles without. Begin with "
            "dem.with_springs(world, particles)."
        )
    pairs = pairs_of(neighbors, len(particles.radius)) if neighbors or springs else None

    def own(values: Array) -> Array:
        return values[:, None] if pairs is None else gather(values, pairs[0])

    def other(values: Array) -> Array:
        return values[None, :] if pairs is None else gather(values, pairs[1])

    forces, turning, after = pair_forces(world, particles, own, other, springs.pairs if springs else ())
    if pairs is None:
        totals = [jnp.sum(values, axis=1) for values in (*forces, *turning)]
    else:
        # In a list each contact stands once, for both sides, which turn the same way, each about an arm of its own.
        nothing = [jnp.zeros(particles.radius.shape, values.dtype) for values in (*forces, *turning)]
        half = scatter("add", nothing, pairs[0], [*forces, *turning])
        totals = scatter("add", half, pairs[1], [*(-values for values in forces), *turning])
    torque = [particles.radius * total for total in totals[world.dim :]]
    return totals[: world.dim], torque, replace(springs, pairs=after) if springs else None


def pair_forces(
    world: World, particles: Columns, own: Side, other: Side, springs: Sequence[Component] = ()
) -> tuple[list[Array], list[Array], list[Array]]:
    """Return the force on one side of every pair, its torque divided by its radius, and its spring after the step.

    `own` and `other` map a quantity of each particle, ``(N,)``, to that of each pair's one side and other side, in any
    shape; `springs` are the components of each pair's spring, under a law that has them. A pair of a particle with
    itself exerts nothing.
    """

    def difference(columns: list[Array]) -> list[Array]:
        return [own(values) - other(values) for values in columns]

    separation = world.boundary.displacement(world, difference(particles.position))
    distance_2 = jnp.asarray(dot([*separation], [*separation]))
    apart = distance_2 > 0
    inverse = jnp.where(apart, jax.lax.rsqrt(jnp.where(apart, distance_2, 1.0)), 0.0)
    # A particle overlaps with itself, of which the padding of a list consists: the normal is 0 there.
    own_radius, other_radius = own(particles.radius), other(particles.radius)
    reach = own_radius + other_radius
    moves = world.damped or world.rough
    spins = [particles.radius * component for component in particles.angular_velocity] if world.rough else []
    contact = Contact(
        normal=[component * inverse for component in separation],
        overlap=jnp.where(apart, jnp.maximum(0.0, reach - distance_2 * inverse), 0.0),
        velocity=[*difference(particles.velocity)] if moves else [],
        spin=[own(component) + other(component) for component in spins],
        reduced_mass=_reduced_mass(particles, own, other),
        reduced_radius=own_radius * other_radius / reach,
        spring=[*springs],
    )
    push, along, turning, after = world.law.forces_and_spring(world, contact)
    # In this order of products the force is JaxDEM's to the last digit.
    push = push * inverse
    forces = [push * component for component in separation]
    if world.rough:
        forces = [normal + tangential for normal, tangential in zip(forces, along, strict=True)]
    return forces, [jnp.asarray(component) for component in turning], [jnp.asarray(each) for each in after]


def _reduced_mass(particles: Columns, own: Side, other: Side) -> Array:
    """Return the reduced mass of each pair; a fixed particle has no inverse mass, and two of them never move."""
    inverse = jnp.where(particles.fixed, 0.0, 1 / particles.mass)
    total = own(inverse) + other(inverse)
    # Any number will do for two fixed ones but 0, where the dashpot has no derivative.
    return 1 / jnp.where(total > 0, total, 1.0)
