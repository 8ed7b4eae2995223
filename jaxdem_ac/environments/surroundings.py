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
    """Of sensing targets, which do not move."""

    @classmethod
    def create(
        cls,
        *,
        num_particles: int,
        extent: tuple[float, ...],
        largest_radius: float,
        sensing_range: float,
        num_targets: int,
        target_extent: tuple[float, ...],
        capacity: int | None = None,
    ) -> Self:
        """Return what N particles in a box of that extent need, and M targets in a region of theirs.

        Parameters
        ----------
        num_particles, num_targets : int
            N and M.
        extent, target_extent : tuple of float, (dim,), length
        largest_radius, sensing_range : float, length
        capacity : int, optional
            Of the lists of sensing; from the density if left out.
        """
        if num_particles < LIST_FROM:
            return cls(None, None, None)
        box, region = np.asarray(extent), np.asarray(target_extent)
        return cls(
            contacts=make_spec(num_particles, box, 2 * largest_radius, 0.5 * largest_radius),
            swarm=make_spec(num_particles, box, sensing_range, largest_radius, capacity=capacity),
            targets=make_spec(
                num_targets, region, sensing_range, largest_radius, capacity=capacity, among_themselves=False
            ),
        )

    def refresh(
        self, vicinity: Vicinity | None, position: Array, box_low: Array, box_high: Array, targets: Array
    ) -> Vicinity:
        """Return the lists of sensing, built again where they have grown stale; those of contacts are the engine's.

        Parameters
        ----------
        vicinity : Vicinity, optional
            None at the beginning of an episode.
        position : Array, (N, dim), length
        box_low, box_high : Array, (dim,), length
        targets : Array, (M, dim), length
        """
        if self.contacts is None or self.swarm is None or self.targets is None:
            return Vicinity(None, None, None)
        if vicinity is None:
            vicinity = Vicinity(*(no_neighbors(spec, position) for spec in (self.contacts, self.swarm, self.targets)))
        if vicinity.swarm is None or vicinity.targets is None:
            raise ValueError("Surroundings.refresh: a list is missing. Pass the vicinity of the same environment.")
        swarm = refresh(self.swarm, vicinity.swarm, position, box_low, box_high)
        target_list = refresh(self.targets, vicinity.targets, position, box_low, box_high, targets)
        return Vicinity(vicinity.contacts, swarm, target_list)

    def overflow(self, vicinity: Vicinity) -> Array:
        """Return the largest capacity that a list has needed and lacked, ``()``; 0 if all had room."""
        worst = jnp.zeros((), jnp.int32)
        for spec, neighbors in (
            (self.contacts, vicinity.contacts),
            (self.swarm, vicinity.swarm),
            (self.targets, vicinity.targets),
        ):
            if spec is not None and neighbors is not None:
                worst = jnp.maximum(worst, jnp.where(neighbors.overflow(spec), jnp.max(neighbors.needed), 0))
        return worst
