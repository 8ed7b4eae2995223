"""Who is near whom: lists of fixed capacity, built in O(N) and built again only when somebody has moved far enough.

Why not jax-md's lists: they know neither two kinds of points (sensors and targets) nor a batch of boxes. Under
`jax.vmap` a conditional rebuild becomes an unconditional one; here a batch of E environments of N particles is one set
of E * N particles whose cells never touch, with one condition for all, by a rule of `jax.custom_batching`.
"""

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array


@dataclass(frozen=True)
class NeighborSpec:
    """What a list is made for; hashable, static under `jax.jit`."""

    cutoff: float
    """Pairs nearer than this are always in the list, length."""
    skin: float
    """How much farther than `cutoff` the list reaches, so that it lasts, length."""
    capacity: int
    """K, neighbours of one particle at most."""
    grid: tuple[int, ...]
    """Cells along each axis. Cells beyond wrap around: that only adds candidates, which their distance rules out."""
    cell_capacity: int
    """Particles in one cell at most."""
    among_themselves: bool = True
    """Whether sources are the particles themselves, none of which is its own neighbour."""
    periodic: bool = False
    """Whether the box is periodic; then the grid has to tile it."""

    @property
    def reach(self) -> float:
        """``cutoff + skin``: what the list holds when it is built, length."""
        return self.cutoff + self.skin


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Neighbors:
    """A list, and when it was built."""

    index: Array
    """Neighbours of each particle, ``(N, K)`` of int: padded with the particle itself among themselves, else with M."""
    reference: Array
    """Positions when the list was built, ``(N, dim)``, length."""
    needed: Array
    """The most neighbours and the most particles in a cell that there have been, ``(2,)``."""

    def overflow(self, spec: NeighborSpec) -> Array:
        """Return whether a neighbour has ever been left out for lack of room, ``()``."""
        return jnp.any(self.needed > jnp.asarray([spec.capacity, spec.cell_capacity]))


def make_spec(
    num_sources: int,
    extent: np.ndarray,
    cutoff: float,
    skin: float,
    *,
    capacity: int | None = None,
    among_themselves: bool = True,
    periodic: bool = False,
) -> NeighborSpec:
    """Return a specification for points spread over a region, with room for what is 2.5 times as dense.

    Parameters
    ----------
    num_sources : int
        M.
    extent : array, (dim,), length
        Of the region; of the box if it is periodic.
    cutoff, skin : float, length
    capacity : int, optional
        K; from the density if left out.
    among_themselves, periodic : bool
        As in :class:`NeighborSpec`.
    """
    extent = np.asarray(extent, float)
    reach = cutoff + skin
    dim = len(extent)
    density = num_sources / float(np.prod(extent))
    ball = np.pi * reach**2 if dim == 2 else 4 / 3 * np.pi * reach**3
    if capacity is None:
        capacity = int(np.ceil(2.5 * density * ball)) + 8
    # Non-periodic cells are exactly `reach` wide whatever the box; more of them than there are sources is waste.
    most = max(1, int(np.ceil(num_sources ** (1 / dim))))
    tiling = np.floor(extent / reach) if periodic else np.ceil(extent / reach)
    grid = tuple(int(max(1, min(most, cells))) for cells in tiling)
    in_cell = num_sources / float(np.prod(grid)) if periodic or max(grid) == most else density * reach**dim
    cell_capacity = int(np.ceil(2.5 * in_cell)) + 6
    return NeighborSpec(
        cutoff=float(cutoff),
        skin=float(skin),
        capacity=max(1, min(capacity, num_sources - among_themselves)),
        grid=grid,
        cell_capacity=min(cell_capacity, num_sources),
        among_themselves=among_themselves,
        periodic=periodic,
    )


def grown(spec: NeighborSpec, needed: Any) -> NeighborSpec:
    """Return `spec` with room for what was needed and a quarter more."""
    neighbors, in_cell = (int(number * 1.25) + 1 for number in np.asarray(needed))
    return replace(spec, capacity=max(spec.capacity, neighbors), cell_capacity=max(spec.cell_capacity, in_cell))


def no_neighbors(spec: NeighborSpec, position: Array) -> Neighbors:
    """Return a list that the first :func:`refresh` builds; position ``(N, dim)``."""
    num = position.shape[0]
    return Neighbors(
        index=jnp.broadcast_to(jnp.arange(num, dtype=jnp.int32)[:, None], (num, spec.capacity)),
        reference=jnp.full_like(position, jnp.inf),
        needed=jnp.zeros(2, jnp.int32),
    )


def refresh(
    spec: NeighborSpec,
    neighbors: Neighbors,
    position: Array,
    box_low: Array,
    box_high: Array,
    sources: Array | None = None,
) -> Neighbors:
    """Return the list, built again if a particle has moved so far that a pair could be missing.

    Parameters
    ----------
    spec : NeighborSpec
    neighbors : Neighbors
    position : Array, (N, dim), length
    box_low, box_high : Array, (dim,), length
    sources : Array, (M, dim), length, optional
        Points that do not move; the particles themselves if left out.
    """
    sources = position if sources is None else sources
    arguments = (neighbors.index, neighbors.reference, neighbors.needed, position, sources, box_low, box_high)
    with jax.named_scope("neighbors"):
        batch_of_one = [jax.lax.stop_gradient(argument)[None] for argument in arguments]
        index, reference, needed = _refresh_batch(spec)(*batch_of_one)
    return Neighbors(index[0], reference[0], needed[0])


@cache
def _refresh_batch(spec: NeighborSpec) -> Any:
    """Return the function that refreshes a batch, leaves ``(B, ...)``, under one condition."""

    @jax.custom_batching.custom_vmap
    def refresh_batch(
        index: Array, reference: Array, needed: Array, position: Array, sources: Array, low: Array, high: Array
    ) -> tuple[Array, Array, Array]:
        moved = position - reference
        if spec.periodic:
            size = (high - low)[:, None, :]
            moved = moved - size * jnp.round(moved / size)
        allowed = spec.skin / 2 if spec.among_themselves else spec.skin
        stale = ~(jnp.max(jnp.sum(moved**2, axis=-1)) <= allowed**2)

        def build() -> tuple[Array, Array, Array]:
            fresh, most = _build(spec, position, sources, low, high)
            return fresh, position, jnp.maximum(needed, most)

        return jax.lax.cond(stale, build, lambda: (index, reference, needed))

    @refresh_batch.def_vmap
    def rule(axis_size: int, batched: list[bool], *arguments: Array) -> tuple[tuple[Array, ...], tuple[bool, ...]]:
        full = [
            argument if is_batched else jnp.broadcast_to(argument, (axis_size, *argument.shape))
            for argument, is_batched in zip(arguments, batched, strict=True)
        ]
        merged = refresh_batch(*(each.reshape(-1, *each.shape[2:]) for each in full))
        return tuple(each.reshape(axis_size, -1, *each.shape[1:]) for each in merged), (True, True, True)

    return refresh_batch


def _build(spec: NeighborSpec, position: Array, sources: Array, low: Array, high: Array) -> tuple[Array, Array]:
    """Return the list of a batch, ``(B, N, K)``, and what it needed, ``(B, 2)``."""
    num_boxes, num, dim = position.shape
    num_sources = sources.shape[1]
    per_box = int(np.prod(spec.grid))
    cell = _cells(spec, sources, low, high)
    box = jnp.arange(num_boxes, dtype=jnp.int32)[:, None]
    bucket = (box * per_box + _flat(spec, cell)).reshape(-1)
    order = jnp.argsort(bucket).astype(jnp.int32)
    count = jnp.zeros(num_boxes * per_box, jnp.int32).at[bucket].add(1)
    start = jnp.cumsum(count) - count

    near = _cells(spec, position, low, high)[:, :, None, :] + _stencil(spec)
    near = (box[..., None] * per_box + _flat(spec, near)).reshape(num_boxes * num, -1)
    slot = jnp.arange(spec.cell_capacity, dtype=jnp.int32)
    occupied = slot < count[near][..., None]
    at = jnp.minimum(start[near][..., None] + slot, num_boxes * num_sources - 1)
    at = at.reshape(num_boxes * num, -1)
    candidate = order[at]
    flat_position, flat_sources = position.reshape(-1, dim), sources.reshape(-1, dim)[order]
    distance_2 = jnp.zeros(at.shape, position.dtype)
    for axis in range(dim):
        apart = flat_sources[:, axis][at] - flat_position[:, axis][:, None]
        if spec.periodic:
            size = jnp.repeat(high[:, axis] - low[:, axis], num)[:, None]
            apart = apart - size * jnp.round(apart / size)
        distance_2 = distance_2 + apart**2
    keep = occupied.reshape(at.shape) & (distance_2 <= spec.reach**2)
    own = jnp.arange(num_boxes * num, dtype=jnp.int32)
    if spec.among_themselves:
        keep &= candidate != own[:, None]

    # Kept candidates move up to the front of their row; what finds no room there goes to a last column, cut off.
    place = jnp.cumsum(keep, axis=1, dtype=jnp.int32) - 1
    column = jnp.where(keep & (place < spec.capacity), place, spec.capacity)
    local = candidate % num_sources
    padding = (own % num)[:, None] if spec.among_themselves else jnp.full((num_boxes * num, 1), num_sources, jnp.int32)
    rows = jnp.broadcast_to(padding, (num_boxes * num, spec.capacity + 1))
    rows = rows.at[own[:, None], column].set(local, mode="promise_in_bounds")[:, : spec.capacity]
    most = jnp.max(jnp.sum(keep, axis=1, dtype=jnp.int32).reshape(num_boxes, num), axis=1)
    fullest = jnp.max(count.reshape(num_boxes, per_box), axis=1)
    return rows.reshape(num_boxes, num, spec.capacity), jnp.stack([most, fullest], axis=-1)


def _cells(spec: NeighborSpec, points: Array, low: Array, high: Array) -> Array:
    """Return the cell of every point along each axis, ``(B, N, dim)``, not yet wrapped into the grid."""
    width: Any = spec.reach
    if spec.periodic:
        width = ((high - low) / jnp.asarray(spec.grid))[:, None, :]
    return jnp.floor((points - low[:, None, :]) / width).astype(jnp.int32)


def _flat(spec: NeighborSpec, cell: Array) -> Array:
    """Return the number of a cell in its box's grid; ``(..., dim)`` to ``(...)``."""
    number = jnp.zeros(cell.shape[:-1], jnp.int32)
    for axis, cells in enumerate(spec.grid):
        number = number * cells + jnp.mod(cell[..., axis], cells)
    return number


def _stencil(spec: NeighborSpec) -> Array:
    """Return the offsets of the cells to look into, each cell of the wrapped grid once; ``(O, dim)``."""
    # Along an axis of one or two cells, both sides are the same cell.
    along = [range(-1, 2) if cells >= 3 else range(cells) for cells in spec.grid]
    return jnp.asarray(np.stack(np.meshgrid(*along, indexing="ij"), -1).reshape(-1, len(spec.grid)), jnp.int32)
