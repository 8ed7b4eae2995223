"""Neighbour lists: one flat list of pairs, built in O(N), and again only when a particle has moved far enough.

A list has room for a fixed number of pairs, so that a compiled loop can carry it. It is flat, and not a row of
neighbours for each particle: a row is as long as the fullest one, a few times the mean; all of them together are hardly
longer than usual. Among particles each pair stands once.

Why not jax-md's lists: they know neither two kinds of points (sensors and targets) nor a batch of boxes. Under
`jax.vmap` a conditional rebuild becomes an unconditional one; here a rule of `jax.custom_batching` keeps one condition
for a whole batch. `benchmarks/engine.py` compares both.
"""

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from jaxdem_ac._types import PyTree
from jaxdem_ac.dem.columns import columns_of, stacked
from jaxdem_ac.dem.scatter import broadcast_batch

# How much longer than the expected number of pairs a list is; a run whose list is too short makes it longer.
_SLACK = 1.2
# Particles that are pressed together are nearer than those that touch, by as much as this.
_OVERLAP = 0.9
_MOST_PAIRS = 2**31 - 1

Points = Array | list[Array]
"""``(..., N, dim)``, or as dim columns."""


@dataclass(frozen=True)
class NeighborSpec:
    """The specification of a neighbour list; hashable, static under `jax.jit`."""

    cutoff: float
    """Pairs nearer than this are always in the list, length."""
    skin: float
    """Distance by which the list reaches beyond `cutoff`, so that it lasts, length."""
    capacity: int
    """P, pairs at most."""
    candidates: int
    """Pairs of neighbouring cells at most, which a build looks at."""
    grid: tuple[int, ...]
    """Cells along each axis. Points beyond the outermost cells are counted to them."""
    width: tuple[float, ...]
    """Width of a cell along each axis, at least `reach`, length; in a periodic box its side divided by `grid`."""
    self_pairs: bool = True
    """Whether sources are the particles themselves, each pair of which stands once."""
    periodic: bool = False
    """Whether the box is periodic."""

    @property
    def reach(self) -> float:
        """``cutoff + skin``: what the list holds when it is built, length."""
        return self.cutoff + self.skin


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Neighbors:
    """A list, and when it was built."""

    left: Array
    """The particle of each pair, ``(P,)`` of int."""
    right: Array
    """The neighbour of that particle, ``(P,)`` of int. Padding is the pair (i, i), which exerts no force."""
    count: Array
    """Pairs in the list, ``()``."""
    reference: Points
    """Positions when the list was built, ``(N, dim)``, length; as columns where they are given as columns."""
    needed: Array
    """The most pairs and the most candidates that there have been, ``(2,)``."""

    @property
    def valid(self) -> Array:
        """Mask of entries that are pairs and not padding, ``(P,)`` of bool."""
        return jnp.arange(self.left.shape[0]) < self.count

    def overflow_ratio(self, spec: NeighborSpec) -> Array:
        """Return how many times longer the list would have had to be, ``()``; 0 if it has always been long enough."""
        room = jnp.asarray([spec.capacity, spec.candidates])
        ratio = jnp.max(self.needed / room.astype(float))
        # Compared as whole numbers: in float32 one pair too many among 2e7 is no more than enough.
        return jnp.where(jnp.any(self.needed > room), jnp.maximum(ratio, 1.0001), 0.0)


def make_spec(
    num_particles: int,
    extent: Sequence[float] | np.ndarray,
    cutoff: float,
    skin: float,
    *,
    num_sources: int | None = None,
    room: float = 1.0,
    periodic: bool = False,
    crowding: float = 1.0,
    spacing: float | None = None,
) -> NeighborSpec:
    """Return a specification for N points spread evenly over a region of sides `extent`, ``(dim,)``, length.

    Of a batch of periodic boxes that is the smallest. `num_sources` are M points that the particles have for
    neighbours, each other if left out, and `room` is that of the list, relative to what is usually enough: `crowding`
    times as much as of points spread evenly, and no more than there can be among discs that touch at a distance
    `spacing` and lie in one layer, if they do. Raises OverflowError if that is more than 2**31 - 1 pairs, ValueError if
    a periodic box is so narrow that a pair could be near through two of its images.
    """
    extent = np.asarray(extent, float)
    if periodic and float(np.min(extent)) < 2 * cutoff:
        raise ValueError(
            "make_spec: a side of a periodic box is at least twice as long as two points reach, or they would meet on "
            f"both sides at once; got {float(np.min(extent)):.4g} for a reach of {cutoff:.4g}. Make the box wider."
        )
    reach, dim, alone = cutoff + skin, len(extent), num_sources is None
    num_sources = num_particles if num_sources is None else num_sources
    cells = _share_out(np.maximum(1, np.floor(extent / reach) if periodic else np.ceil(extent / reach)), num_sources)
    # Both neighbours of a cell in a periodic row of two are the same one.
    cells = np.where(periodic & (cells == 2), 1, cells)
    width = extent / cells if periodic else np.maximum(reach, extent / cells)
    within = np.minimum(extent, 2 * reach)
    ball = math.pi * reach**2 if dim == 2 else 4 / 3 * math.pi * reach**3
    pairs = num_particles * num_sources * (0.5 if alone else 1.0)
    near = pairs * min(1.0, min(ball, float(np.prod(within))) / float(np.prod(extent)))
    looked_at = pairs * float(np.prod(np.minimum(1.0, 3 / cells)))
    everything = num_particles * (num_particles - 1) // 2 if alone else num_particles * num_sources

    most = looked_at_most = math.inf
    if spacing is not None:
        least = _OVERLAP * spacing
        most = num_particles * _most_neighbors(reach / least) / 2
        window = float(np.prod(np.minimum(extent, 3 * width)[:2]))
        looked_at_most = num_particles * window * 2 / math.sqrt(3) / least**2 / 2

    def enough(expected: float, most: float) -> int:
        number = min(crowding * (_SLACK * expected + 4 * math.sqrt(expected) + 16), most)
        return _countable(max(1, min(everything, math.ceil(room * number))))

    return NeighborSpec(
        cutoff=float(cutoff),
        skin=float(skin),
        capacity=enough(near, most),
        candidates=enough(looked_at, looked_at_most),
        grid=tuple(int(number) for number in cells),
        width=tuple(float(side) for side in width),
        self_pairs=alone,
        periodic=periodic,
    )


def _most_neighbors(reach: float) -> float:
    """Return how many neighbours discs of diameter 1 in a plane have within `reach`, from centre to centre, at most.

    Lines between centres nearer than sqrt(2) do not cross, and the vertices of a planar graph have six edges in the
    mean at most. Farther out the area counts: no packing fills more than pi / sqrt(12).
    """
    return 6.0 if reach < math.sqrt(2) else math.pi / math.sqrt(12) * (2 * reach + 1) ** 2 - 1


def _share_out(most: np.ndarray, num_sources: int) -> np.ndarray:
    """Return the cells along each axis: some `num_sources` of them, more are waste, and `most` along each axis.

    What an axis cannot use, as that across a flat layer, the others get.
    """
    cells, left = np.ones(len(most), int), float(num_sources)
    for number, axis in enumerate(np.argsort(most, kind="stable")):
        share = left ** (1 / (len(most) - number))
        cells[axis] = min(most[axis], math.ceil(share - 1e-9))
        left /= min(most[axis], share)
    return cells


def with_capacity(spec: NeighborSpec, needed: ArrayLike) -> NeighborSpec:
    """Return `spec` with room for what was needed and a quarter more; OverflowError beyond 2**31 - 1 pairs."""
    pairs, candidates = (_countable(5 * int(number) // 4 + 1) for number in np.asarray(needed))
    return replace(spec, capacity=max(spec.capacity, pairs), candidates=max(spec.candidates, candidates))


def _countable(number: int) -> int:
    """Return a number of pairs, or raise OverflowError if an index of 32 bits cannot count them."""
    if number > _MOST_PAIRS:
        raise OverflowError(
            f"neighbors: a list holds fewer than 2**31 pairs; got {number}. Spread the particles out, or shorten the "
            "range in which they sense each other."
        )
    return number


def allocate(spec: NeighborSpec, position: Array) -> Neighbors:
    """Return a list that the first :func:`refresh` builds; position ``(N, dim)``."""
    return Neighbors(
        left=jnp.zeros(spec.capacity, jnp.int32),
        right=jnp.zeros(spec.capacity, jnp.int32),
        count=jnp.zeros((), jnp.int32),
        reference=jnp.full_like(position, jnp.inf),
        needed=jnp.zeros(2, jnp.int32),
    )


def refresh(
    spec: NeighborSpec,
    neighbors: Neighbors,
    position: Array | list[Array],
    box_low: Array,
    box_high: Array,
    sources: Array | None = None,
) -> Neighbors:
    """Return the list, built again if a particle has moved so far that a pair could be missing.

    Positions are ``(N, dim)``, or dim columns ``(N,)``; the box is ``(dim,)`` and ``(dim,)``. `sources`, ``(M, dim)``,
    are points that do not move, the particles themselves if left out; all lengths.
    """
    arguments = jax.lax.stop_gradient((neighbors, position, sources, box_low, box_high))
    with jax.named_scope("neighbors"):
        batch_of_one = jax.tree.map(lambda leaf: leaf[None], arguments)
        return jax.tree.map(lambda leaf: leaf[0], _refresh_batch(spec)(*batch_of_one))


def as_columns(points: Points) -> list[Array]:
    """Return points as columns."""
    return columns_of(points) if isinstance(points, Array) else points


def as_vectors(points: Points) -> Array:
    """Return points as one array of vectors."""
    return points if isinstance(points, Array) else stacked(points)


@cache
def _refresh_batch(spec: NeighborSpec) -> Callable[[Neighbors, Points, Array | None, Array, Array], Neighbors]:
    """Return the function that refreshes a batch, leaves ``(B, ...)``, under one condition."""

    @jax.custom_batching.custom_vmap
    def refresh_batch(old: Neighbors, position: Points, sources: Array | None, low: Array, high: Array) -> Neighbors:
        moved = [now - before for now, before in zip(as_columns(position), as_columns(old.reference), strict=True)]
        if spec.periodic:
            sizes = [(high - low)[:, None, axis] for axis in range(len(moved))]
            moved = [way - size * jnp.round(way / size) for way, size in zip(moved, sizes, strict=True)]
        allowed = spec.skin / 2 if spec.self_pairs else spec.skin
        # Neither a sum over an axis nor a maximum: XLA leaves those to a library, whose call takes 50 microseconds.
        square = functools.reduce(jnp.add, [way**2 for way in moved])
        stale = ~jnp.all(square <= allowed**2)

        def build() -> Neighbors:
            points = as_vectors(position)
            seen = points if sources is None else sources
            left, right, count, needed = jax.vmap(lambda *each: _build(spec, *each))(points, seen, low, high)
            return Neighbors(left, right, count, position, jnp.maximum(old.needed, needed))

        return jax.lax.cond(stale, build, lambda: old)

    @refresh_batch.def_vmap
    def rule(axis_size: int, batched: Sequence[PyTree], *arguments: PyTree) -> tuple[Neighbors, PyTree]:
        full = broadcast_batch(axis_size, batched, arguments)
        merged = refresh_batch(*jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), full))
        out = jax.tree.map(lambda leaf: leaf.reshape(axis_size, -1, *leaf.shape[1:]), merged)
        return out, jax.tree.map(lambda _: True, out)

    return refresh_batch


def _build(spec: NeighborSpec, position: Array, sources: Array, low: Array, high: Array) -> tuple[Array, ...]:
    """Return both columns of the list, how many pairs it holds, and what it needed."""
    num, num_sources, num_cells = position.shape[0], sources.shape[0], math.prod(spec.grid)
    cell = _flat(spec, _cells(spec, sources, low, high))
    order = _argsort(cell, num_cells)
    # start[c] is where the sources of cell c begin in this order.
    count = jnp.zeros(num_cells + 1, jnp.int32).at[cell + 1].add(1, mode="promise_in_bounds")
    start = jnp.cumsum(count)
    ordered = sources[order]
    points = ordered if spec.self_pairs else position
    first, last = _ranges(spec, _cells(spec, points, low, high), start)

    # All ranges one after the other: to which does each candidate belong, and which place in the order is it?
    length = jnp.maximum(0, last - first)
    end = jnp.cumsum(length.reshape(-1))
    begin = end - length.reshape(-1)
    # Where the count passes 2**31 it wraps around to a negative number: so many must not pass for few.
    total = jnp.where(jnp.any(end < 0), _MOST_PAIRS, end[-1])
    marks = jnp.zeros(spec.candidates + 1, jnp.int32).at[begin].add(1, mode="drop")[: spec.candidates]
    segment = jnp.maximum(jnp.cumsum(marks) - 1, 0)
    slot = jnp.arange(spec.candidates, dtype=jnp.int32)
    one = segment // first.shape[1]
    other = jnp.clip(slot + (first.reshape(-1) - begin)[segment], 0, num_sources - 1)
    square = jnp.zeros(spec.candidates, position.dtype)
    for axis in range(position.shape[1]):
        apart = ordered[:, axis][other] - points[:, axis][one]
        if spec.periodic:
            size = high[axis] - low[axis]
            apart = apart - size * jnp.round(apart / size)
        square = square + apart**2
    keep = (slot < total) & (square <= spec.reach**2)

    # What is kept moves up to the front; what finds no room there is dropped, and counted.
    place = jnp.cumsum(keep.astype(jnp.int32))
    kept = jnp.zeros(spec.capacity, jnp.int32)
    kept = kept.at[jnp.where(keep, place - 1, spec.capacity)].set(slot, mode="drop", unique_indices=True)
    num_kept = jnp.minimum(place[-1], spec.capacity)
    entry = jnp.arange(spec.capacity, dtype=jnp.int32)
    real = entry < num_kept
    left = one[kept]
    left = order[left] if spec.self_pairs else left
    right = order[other[kept]]
    return (
        # Padding is spread over all: a scatter to one address waits for itself, and takes twice as long.
        jnp.where(real, left, entry % num),
        jnp.where(real, right, entry % num_sources),
        num_kept,
        jnp.stack([place[-1], total]),
    )


def _ranges(spec: NeighborSpec, cell: Array, start: Array) -> tuple[Array, Array]:
    """Return where in the order the candidates of each point begin and end, ``(N, R)`` each.

    Cells that follow each other along the last axis make one range. Among themselves, a point looks at what comes after
    it in its own cell, and at that half of the neighbouring cells which comes after its own.
    """
    before, (along, cells) = spec.grid[:-1], (cell[:, -1], spec.grid[-1])
    first, last = [], []
    sides = (-1, 0, 1)
    for offset in itertools.product(*(sides if number > 1 else (0,) for number in before)):
        if spec.self_pairs and offset < (0,) * len(offset):
            continue
        own_row = spec.self_pairs and not any(offset)
        row = cell[:, :-1] + jnp.asarray(offset, jnp.int32)
        inside = jnp.all((row >= 0) & (row < jnp.asarray(before)), axis=-1)
        row = jnp.mod(row, jnp.asarray(before)) if spec.periodic else jnp.clip(row, 0, jnp.asarray(before) - 1)
        base = _flat(replace(spec, grid=before), row) * cells
        after_own = jnp.arange(1, len(cell) + 1, dtype=jnp.int32)
        if not spec.periodic:
            low = base + jnp.maximum(along - 1, 0)
            high = base + jnp.minimum(along + 1, cells - 1)
            first.append(after_own if own_row else start[low])
            last.append(jnp.where(inside, start[high + 1], 0))
            continue
        for side in sides if cells > 1 else (0,):
            if own_row and side < 0:
                continue
            number = base + jnp.mod(along + side, cells)
            first.append(after_own if own_row and side == 0 else start[number])
            last.append(start[number + 1])
    return jnp.stack(first, axis=-1), jnp.stack(last, axis=-1)


def _cells(spec: NeighborSpec, points: Array, low: Array, high: Array) -> Array:
    """Return the cell of every point along each axis, ``(N, dim)`` of int."""
    grid = jnp.asarray(spec.grid)
    width = (high - low) / grid if spec.periodic else jnp.asarray(spec.width, points.dtype)
    cell = jnp.floor((points - low) / width)
    if spec.periodic:
        cell = jnp.mod(cell, grid)
    # Comparisons with what is not a number are false.
    return jnp.where(cell > 0, jnp.minimum(cell, grid - 1), 0).astype(jnp.int32)


def _flat(spec: NeighborSpec, cell: Array) -> Array:
    """Return the number of a cell in the grid; ``(..., dim)`` to ``(...)``."""
    number = jnp.zeros(cell.shape[:-1], jnp.int32)
    for axis, cells in enumerate(spec.grid):
        number = number * cells + cell[..., axis]
    return number


def _argsort(key: Array, num_keys: int) -> Array:
    """Return the stable order of keys in [0, num_keys), ``(N,)`` of int.

    Sorts packed words, the key's digits before the place: on a CPU 4 to 10 times as fast as `jax.numpy.argsort`, which
    compares pairs.
    """
    place_bits = max(1, (len(key) - 1).bit_length())
    key_bits = max(1, (num_keys - 1).bit_length())
    digit_bits = 32 - place_bits
    place = jnp.arange(len(key), dtype=jnp.uint32)
    order = place
    for shift in range(0, key_bits, digit_bits):
        digit = (key.astype(jnp.uint32)[order] >> shift) & jnp.uint32(2**digit_bits - 1)
        word = jnp.sort((digit << place_bits) | place)
        order = order[word & jnp.uint32(2**place_bits - 1)]
    return order.astype(jnp.int32)
