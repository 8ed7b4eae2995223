"""The lists of neighbours of an environment: who may touch, who may be sensed, what else may be."""

from dataclasses import dataclass
from functools import partial
from typing import Self

import jax
import jax.numpy as jnp
from jax import Array

from jaxdem_ac.dem.neighbor_list import Neighbors, NeighborSpec, allocate, make_spec, refresh

# From this many particles on lists sense faster than all pairs, on two CPU cores.
LIST_FROM = 48


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class NeighborLists:
    """The lists themselves; None where a swarm is so small that all pairs are faster."""

    contacts: Neighbors | None
    """Pairs of bodies that may touch."""
    swarm: Neighbors | None
    """Pairs of particles that may sense each other."""
    targets: Neighbors | None
    """Pairs of a particle and a target, or another thing that does not move, that it may sense."""


@dataclass(frozen=True)
class NeighborListSpecs:
    """Specifications of the neighbour lists; hashable, static under `jax.jit`."""

    contacts: NeighborSpec | None
    """Specification of the list of contacts."""
    swarm: NeighborSpec | None
    """Specification of the list of particles that sense one another."""
    targets: NeighborSpec | None
    """Specification of the list of sensed things that do not move; None if there is no such thing."""

    @classmethod
    def create(
        cls,
        *,
        num_particles: int,
        extent: tuple[float, ...],
        sensing_range: float,
        contact_range: float,
        skin: float,
        num_bodies: int | None = None,
        num_targets: int = 0,
        height: float | None = None,
        periodic: bool = False,
        room: float = 1.0,
        crowding: float = 1.0,
        spacing: float | None = None,
    ) -> Self:
        """Return what N particles need, spread over a box of sides `extent`, ``(2,)``, length.

        Ranges are from centre to centre; `skin` is that of the list of contacts, twice that for sensing. `num_bodies`
        touch, N if left out, in 3D within `height`, and `num_targets` are anywhere in the box: no list of them for 0.
        `periodic` says whether the box is; `room` is that of the lists, relative to what is usually enough, `crowding`
        how much denser than spread evenly bodies gather, `spacing` the distance of the centres of the smallest that
        touch, where they lie in one layer.
        """
        num_bodies = num_particles if num_bodies is None else num_bodies
        if num_bodies < LIST_FROM:
            return cls(None, None, None)
        body = extent if height is None else (*extent, height)
        sight = (num_particles, extent, sensing_range, 2 * skin)
        make = partial(make_spec, periodic=periodic, room=room, crowding=crowding)
        return cls(
            # Whoever meets stays together for a while: twice the contacts of a gas.
            contacts=make(num_bodies, body, contact_range, skin, crowding=2 * crowding, spacing=spacing),
            swarm=make(*sight),
            targets=make(*sight, num_sources=num_targets) if num_targets else None,
        )

    def allocate(self, position: Array, bodies: Array | None = None) -> NeighborLists:
        """Return lists that are built when they are first looked at.

        Positions are ``(N, 2)``, and of all that touch, if others do, ``(B, dim)``; lengths.
        """
        bodies = position if bodies is None else bodies
        return NeighborLists(
            contacts=None if self.contacts is None else allocate(self.contacts, bodies),
            swarm=None if self.swarm is None else allocate(self.swarm, position),
            targets=None if self.targets is None else allocate(self.targets, position),
        )

    begin = allocate
    """Name of before, for one version."""

    def refresh(
        self,
        vicinity: NeighborLists | None,
        position: Array,
        box_low: Array,
        box_high: Array,
        targets: Array | None = None,
        bodies: Array | None = None,
    ) -> NeighborLists:
        """Return the lists of sensing, built again where they have grown stale; those of contacts are the engine's.

        Without `vicinity` they are allocated first, of `position` and `bodies`. Targets, ``(M, 2)``, are needed where
        there are lists of them; the box is ``(2,)`` and ``(2,)``, all lengths.
        """
        vicinity = vicinity or self.allocate(position, bodies)
        swarm, seen = vicinity.swarm, vicinity.targets
        if self.swarm is not None and swarm is not None:
            swarm = refresh(self.swarm, swarm, position, box_low, box_high)
        if self.targets is not None and seen is not None and targets is not None:
            seen = refresh(self.targets, seen, position, box_low, box_high, targets)
        return NeighborLists(vicinity.contacts, swarm, seen)

    def overflow(self, vicinity: NeighborLists) -> Array:
        """Return how many times longer a list would have had to be, ``()``; 0 if all had room."""
        worst = jnp.zeros(())
        for name in ("contacts", "swarm", "targets"):
            spec, neighbors = getattr(self, name), getattr(vicinity, name)
            if spec is not None and neighbors is not None:
                worst = jnp.maximum(worst, neighbors.overflow_ratio(spec))
        return worst


Surroundings, Vicinity = NeighborListSpecs, NeighborLists
"""Names of before, for one version."""
