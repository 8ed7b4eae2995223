"""Recordings, packed for a page: numbers in few bits, and every frame of them where there is room."""

import base64
import json
import zlib
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdem_ac._types import Json
from jaxdem_ac.plugin.references import short_name
from jaxdem_ac.runs.recording import Recording
from jaxdem_ac.view.figures.contacts import touching_pairs, touching_walls

Shown = dict[str, Any]
"""An episode as the page reads it, of JSON types."""

# Of the arrays, with what stands between them.
_NAMES = 500


@dataclass(frozen=True)
class Packed:
    """Numbers ``(F, N, C)`` in whole steps between the lowest and the highest of each component.

    A code is ``rint((number - low) / step)``, the largest one of its bits standing for what is not finite. Components
    follow each other, in each the frames, and in each the particles; of codes the difference to the frame before is
    kept, folded so that small ones of either sign are small codes; of 16 bits first the upper bytes, then the lower.
    """

    at: np.ndarray
    """Numbers of the frames that are kept, ``(F,)``, ascending from 0."""
    total: int
    """Number of frames."""
    num: int
    """N."""
    bits: int
    """8 or 16."""
    low: np.ndarray
    """``(C,)``."""
    step: np.ndarray
    """``(C,)``; no number is off by more than half of it."""
    deflated: bytes
    """Bytes as zlib writes them."""

    @property
    def keeps_all(self) -> bool:
        """Whether every frame is kept."""
        return len(self.at) == self.total

    def to_json(self) -> dict[str, Json]:
        """Return it as the page reads it."""
        return {
            "at": None if self.keeps_all else self.at.tolist(),
            "total": self.total,
            "shape": [len(self.at), self.num, len(self.low)],
            "bits": self.bits,
            "low": self.low.tolist(),
            "step": self.step.tolist(),
            "data": base64.b64encode(self.deflated).decode(),
        }

    @property
    def size(self) -> int:
        """Bytes that it takes in the page."""
        bare = {**self.to_json(), "data": ""}
        return len(json.dumps(bare)) + 4 * -(-len(self.deflated) // 3)


def pack(numbers: np.ndarray, bits: int, at: np.ndarray | None = None, room: float = np.inf) -> Packed | None:
    """Return numbers ``(T, N, C)`` in codes of 8 or 16 bits, or None where they take more than `room` bytes.

    The frames to keep are `at`, ``(F,)``; all if left out.
    """
    total, num, width = numbers.shape
    at = np.arange(total) if at is None else at
    low, step = np.zeros(width), np.zeros(width)
    deflate = zlib.compressobj(6)
    pieces: list[bytes] = []
    for component in range(width):
        codes, low[component], step[component] = _quantised(numbers[at, :, component].astype(float), bits)
        folded = _folded(codes)
        planes = [folded] if bits == 8 else [folded >> 8, folded & 255]
        pieces += [deflate.compress(plane.astype(np.uint8).tobytes()) for plane in planes]
        # What is too long already is not worth the rest of the work.
        if sum(map(len, pieces)) * 4 / 3 > room:
            return None
    packed = Packed(at, total, num, bits, low, step, b"".join([*pieces, deflate.flush()]))
    return packed if packed.size <= room else None


def _quantised(numbers: np.ndarray, bits: int) -> tuple[np.ndarray, float, float]:
    """Return codes, and the number that the first of them stands for, and how far the next one is."""
    top = 2**bits - 2
    finite = np.isfinite(numbers)
    low, high = (float(numbers[finite].min()), float(numbers[finite].max())) if finite.any() else (0.0, 0.0)
    step = (high - low) / top
    with np.errstate(invalid="ignore"):
        codes = np.rint((numbers - low) / step) if step > 0 else np.zeros(numbers.shape)
    codes = np.where(finite, codes, top + 1)
    return codes.astype(np.uint8 if bits == 8 else np.uint16), low, step


def _folded(codes: np.ndarray) -> np.ndarray:
    """Return differences along the first axis: 0, -1, 1, -2, 2 ... as 0, 1, 2, 3, 4 ..., modulo their type."""
    signed = codes.dtype.str.replace("u", "i")
    change = np.diff(codes, axis=0, prepend=codes.dtype.type(0)).view(signed)
    bits = 8 * codes.itemsize
    return ((change << 1) ^ (change >> (bits - 1))).view(codes.dtype)


def fit(numbers: np.ndarray, room: float, fewest: int) -> Packed | None:
    """Return as much of ``(T, N, C)`` numbers as fits into `room` bytes: 16 bits each, else 8, else of fewer frames.

    None where not even the fewest frames that are worth keeping fit.
    """
    for bits in (16, 8):
        packed = pack(numbers, bits, room=room)
        if packed is not None:
            return packed
    return _fit_fewer(numbers, room, fewest)


def _fit_fewer(numbers: np.ndarray, room: float, fewest: int) -> Packed | None:
    """Return as many frames as fit, evenly spread, the first and the last among them."""
    total = len(numbers)
    best, count = None, int(0.7 * room / max(1, numbers[0].size))
    # Each guess goes by the bytes that a frame took in the one before: the third is as good as any.
    for _ in range(4):
        count = min(max(fewest, count), total)
        packed = pack(numbers, 8, np.unique(np.linspace(0, total - 1, count).astype(int)))
        assert packed is not None
        if packed.size <= room and (best is None or len(packed.at) > len(best.at)):
            best = packed
        count = int(0.98 * count * room / packed.size)
    return best


def pack_episode(recording: Recording, room: float, species: list[int] | None = None) -> Shown:
    """Return a recording as the page shows it, in `room` bytes at most.

    Positions are served first, then contacts, actions, values and rewards, then observations. `species` are those of
    the particles that act, where there are several. Raises ValueError if not even a few frames of the positions fit.
    """
    frames = np.asarray(recording.particles.position)
    about = _about(recording, species)
    left = room - len(json.dumps(about)) - _NAMES
    arrays = _scenery(recording)
    left -= sum(packed.size for packed in arrays.values())
    # With less than half for itself, what was seen would be left with nothing.
    position = fit(frames, 0.6 * left, fewest=min(2, len(frames)))
    if position is None:
        raise ValueError(
            f"report: {len(frames)} frames of {frames.shape[1]} particles do not fit into {room / 1e6:.1f} MB; got "
            f"{recording.env}, seed {recording.seed}. Record fewer decisions, or show fewer episodes."
        )
    arrays["position"] = position
    left -= position.size
    left_out = []
    for (name, numbers), share in zip(_beside_positions(recording).items(), (0.3, 0.4, 0.3, 0.3, 1.0), strict=True):
        if not _says(numbers):
            continue
        # Numbers of particles, in contacts, need all their bits.
        is_contact = name == "contact"
        packed = pack(numbers, 16, room=share * left) if is_contact else fit(numbers, share * left, fewest=1)
        if packed is None:
            left_out.append(name)
        else:
            arrays[name] = packed
            left -= packed.size
    return {**about, "left_out": left_out, "arrays": {name: packed.to_json() for name, packed in arrays.items()}}


def _scenery(recording: Recording) -> dict[str, Packed]:
    """Return what an episode's stage is made of, in 16 bits; of what does not move one frame."""
    particles = recording.particles
    kept = {
        "radius": np.asarray(particles.radius)[:1, :, None],
        "targets": np.asarray(recording.targets),
        "success": np.asarray(recording.success)[:, None, None],
    }
    if recording.target_radius is not None:
        kept["target_radius"] = np.asarray(recording.target_radius)[None, :, None]
    if (kept["targets"] == kept["targets"][:1]).all():
        kept["targets"] = kept["targets"][:1]
    packed = {name: pack(numbers, 16) for name, numbers in kept.items() if _says(numbers)}
    return {name: each for name, each in packed.items() if each is not None}


def _beside_positions(recording: Recording) -> dict[str, np.ndarray]:
    """Return contacts, and what each decision did, expected, gained and saw, in the order in which they are served."""
    return {
        "contact": contacts_in(recording),
        "action": np.asarray(recording.action),
        "value": np.asarray(recording.value)[..., None],
        "reward": np.asarray(recording.reward)[..., None],
        "observation": np.asarray(recording.observation),
    }


def contacts_in(recording: Recording) -> np.ndarray:
    """Return what touches in each frame, ``(T + 1, K, 3)``: a particle, what it touches, and the force.

    What it touches is another particle, or the wall ``-1 - side``, sides being numbered as by
    :func:`~jaxdem_ac.view.figures.contacts.touching_walls`; in a frame of fewer than K contacts the rest is NaN.
    """
    world, found = recording.world, []
    particles = jax.tree.map(np.asarray, recording.particles)
    if world is None or not np.isfinite(particles.position).all():
        return np.zeros((0, 0, 3))
    for frame in range(recording.num_decisions + 1):
        now = jax.tree.map(lambda leaf: jnp.asarray(leaf[frame]), particles)  # noqa: B023
        left, right, force, _ = touching_pairs(world, now)
        rows = [np.stack([left, right, force], axis=-1)]
        if world.boundary.exerts_force:
            at, side, pushed = touching_walls(world, now)
            rows.append(np.stack([at, -1 - side, pushed], axis=-1))
        found.append(np.concatenate(rows))
    numbers = np.full((len(found), max(map(len, found)), 3), np.nan)
    for frame, rows_of in enumerate(found):
        numbers[frame, : len(rows_of)] = rows_of
    return numbers


def _says(numbers: np.ndarray) -> bool:
    """Return whether anything in it is a number."""
    return bool(np.isfinite(numbers).any())


def _about(recording: Recording, species: list[int] | None) -> dict[str, Json]:
    world = recording.world
    box = None
    if world is not None:
        box = {
            "low": np.asarray(world.box_low).astype(float).tolist(),
            "high": np.asarray(world.box_high).astype(float).tolist(),
            "periodic": world.boundary.periodic,
        }
    return {
        "env": short_name(recording.env),
        "seed": recording.seed,
        "decisions": recording.num_decisions,
        "decision_time": float(recording.decision_time),
        "acting": recording.action.shape[1],
        "fixed": np.flatnonzero(np.asarray(recording.particles.fixed)[0]).tolist(),
        "species": species,
        "box": box,
    }
