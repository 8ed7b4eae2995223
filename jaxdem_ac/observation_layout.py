"""Layouts of observations: named blocks, each of a kind that says how it turns with the frame."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, cast, get_args

Kind = Literal["vector", "axial", "lidar", "scalar", "pseudoscalar"]

_FIXED_SIZES = {"vector": 2, "axial": 2}


@dataclass(frozen=True)
class Block:
    """A named stretch of an observation's numbers."""

    name: str
    """The quantity, in words: ``"velocity"``."""
    kind: Kind
    """``"vector"``, two components in the plane; ``"axial"``, two components of an angular velocity or a torque, which
    a mirror also turns round; ``"lidar"``, one reading for each of equal sectors of [-pi, pi), the first beginning at
    -pi; ``"scalar"``, numbers that no rotation changes; ``"pseudoscalar"``, such numbers that a mirror makes negative,
    an angular velocity about the vertical, say."""
    size: int
    """Count of its numbers."""


def as_layout(where: str, layout: object, observation_size: int) -> tuple[Block, ...]:
    """Return the blocks that `layout` spells: a sequence of Block, of (name, kind, size), or of strings.

    A string is ``"kind"`` or ``"kind:size"``: ``"vector"``, ``"lidar:24"``, ``"scalar:2"``. `where` is a name for
    errors; sizes add up to `observation_size`, O. Raises ValueError if they do not, a block is spelt otherwise, a kind
    is unknown, or lidars differ in size.
    """
    if isinstance(layout, str) or not isinstance(layout, Iterable):
        raise ValueError(
            f"{where}: observation_layout is a sequence of blocks; got {layout!r:.60}. Pass "
            '["vector", "lidar:24", "lidar:24"], say.'
        )
    blocks = tuple(_as_block(where, each) for each in layout)
    total = sum(block.size for block in blocks)
    if total != observation_size:
        raise ValueError(
            f"{where}: the blocks of observation_layout hold all numbers of an observation; got "
            f"{total} in {', '.join(f'{block.kind}:{block.size}' for block in blocks)} for observations of "
            f"{observation_size}. Give each number a block, scalar where nothing turns it."
        )
    sectors = {block.size for block in blocks if block.kind == "lidar"}
    if len(sectors) > 1:
        raise ValueError(
            f"{where}: all lidars have as many sectors; got {sorted(sectors)}. Give the environment one n_lidar_rays."
        )
    return blocks


def _as_block(where: str, spelt: object) -> Block:
    if isinstance(spelt, Block):
        parts: tuple[object, ...] = (spelt.name, spelt.kind, spelt.size)
    elif isinstance(spelt, str):
        kind, _, number = spelt.partition(":")
        parts = kind, kind, int(number) if number.isdecimal() else number or _FIXED_SIZES.get(kind, 1)
    else:
        parts = tuple(spelt) if isinstance(spelt, Sequence) else (spelt,)
    match parts:
        case (str(name), str(known), int(size)) if known in get_args(Kind) and not isinstance(size, bool):
            if size > 0 and _FIXED_SIZES.get(known, size) == size:
                return Block(name, cast(Kind, known), size)
    raise ValueError(
        f"{where}: a block of observation_layout is (name, kind, size) or 'kind:size', the kind one of "
        f"{', '.join(get_args(Kind))}, vector and axial of 2 numbers; got {spelt!r:.60}. Write 'lidar:24', say."
    )
