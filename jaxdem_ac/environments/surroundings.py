"""The lists of neighbours of an environment: who may touch, who may be sensed, which targets may be."""

from dataclasses import dataclass
from typing import Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxdem_ac.dem.neighbors import Neighbors, NeighborSpec, make_spec, no_neighbors, refresh

# From this many particles on lists sense faster than all pairs, on two CPU cores.
LIST_FROM = 128


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Vicinity:
    """The lists themselves; None where a swarm is so small that all pairs are faster."""

    contacts: Neighbors | None
    """Who may touch whom."""
    swarm: Neighbors | None
    """Who may sense whom."""
    targets: Neighbors | None
    """Who may sense which target."""

    @property
    def swarm_index(self) -> Array | None:
        """Candidates of each particle, ``(N, K)``."""
        return None if self.swarm is None else self.swarm.index

    @property
    def target_index(self) -> Array | None:
        """Candidates among the targets, ``(N, K)``."""
        return None if self.targets is None else self.targets.index


@dataclass(frozen=True)
class Surroundings:
    """What the lists are made for; hashable, static under `jax.jit`."""

    contacts: NeighborSpec | None
    """Of contacts."""
    swarm: NeighborSpec | None
    """Of sensing one another."""
    targets: NeighborSpec | None
    """Of sensing targets, which do not move; None if nobody senses them."""

    @classmethod
    def create(
        cls,
        *,
        num_particles: int,
        extent: tuple[float, ...],
        largest_radius: float,
        sensing_range: float,
        num_targets: int = 0,
        target_extent: tuple[float, ...] = (),
        capacity: int | None = None,
    ) -> Self:
        """Return what N particles in a box of that extent need, and M targets in a region of theirs.

        Parameters
        ----------
        num_particles, num_targets : int
            N and M; no list of targets for M = 0.
        extent, target_extent : tuple of float, (dim,), length
        largest_radius, sensing_range : float, length
        capacity : int, optional
            Of the lists of sensing; from the density if left out.
        """
        if num_particles < LIST_FROM:
            return cls(None, None, None)
        box = np.asarray(extent)
        return cls(
            contacts=make_spec(num_particles, box, 2 * largest_radius, 0.5 * largest_radius),
            swarm=make_spec(num_particles, box, sensing_range, largest_radius, capacity=capacity),
            targets=make_spec(
                num_targets,
                np.asarray(target_extent),
                sensing_range,
                largest_radius,
                capacity=capacity,
                among_themselves=False,
            )
            if num_targets
            else None,
        )

    def refresh(
        self, vicinity: Vicinity | None, position: Array, box_low: Array, box_high: Array, targets: Array | None = None
    ) -> Vicinity:
        """Return the lists of sensing, built again where they have grown stale; those of contacts are the engine's.

        Parameters
        ----------
        vicinity : Vicinity, optional
            None at the beginning of an episode.
        position : Array, (N, dim), length
        box_low, box_high : Array, (dim,), length
        targets : Array, (M, dim), length, optional
            Where there are lists of them.
        """
        if vicinity is None:
            specs = (self.contacts, self.swarm, self.targets)
            vicinity = Vicinity(*(None if spec is None else no_neighbors(spec, position) for spec in specs))
        swarm, seen = vicinity.swarm, vicinity.targets
        if self.swarm is not None and swarm is not None:
            swarm = refresh(self.swarm, swarm, position, box_low, box_high)
        if self.targets is not None and seen is not None and targets is not None:
            seen = refresh(self.targets, seen, position, box_low, box_high, targets)
        return Vicinity(vicinity.contacts, swarm, seen)

    def overflow(self, vicinity: Vicinity) -> Array:
        """Return the largest capacity that a list has needed and lacked, ``()``; 0 if all had room."""
        return worst_overflow(
            (self.contacts, vicinity.contacts), (self.swarm, vicinity.swarm), (self.targets, vicinity.targets)
        )


def worst_overflow(*lists: tuple[NeighborSpec | None, Neighbors | None]) -> Array:
    """Return the largest capacity that a list has needed and lacked, ``()``; 0 if all had room."""
    worst = jnp.zeros((), jnp.int32)
    for spec, neighbors in lists:
        if spec is not None and neighbors is not None:
            worst = jnp.maximum(worst, jnp.where(neighbors.overflow(spec), jnp.max(neighbors.needed), 0))
    return worst
