"""Packing: what comes out is what went in, within half a step, and in the room that there is."""

import base64
import json
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from support.made_recordings import made_recording

from jaxdem_ac.view.report.pack import fit, pack, pack_episode

NUMBERS = st.floats(-1e6, 1e6, width=32) | st.sampled_from([0.0, np.nan, np.inf, -np.inf])


def unpacked(stored: dict[str, Any]) -> np.ndarray:
    """Read the format as it is described, one number after the other."""
    frames, num, components = stored["shape"]
    data = zlib.decompress(base64.b64decode(stored["data"]))
    width = stored["bits"] // 8
    out = np.empty((frames, num, components))
    for component in range(components):
        planes = data[component * frames * num * width :][: frames * num * width]
        for particle in range(num):
            code = 0
            for frame in range(frames):
                folded = 0
                for byte in range(width):
                    folded = 256 * folded + planes[byte * frames * num + frame * num + particle]
                code = (code + (folded // 2 if folded % 2 == 0 else -(folded + 1) // 2)) % 2 ** stored["bits"]
                number = stored["low"][component] + code * stored["step"][component]
                out[frame, particle, component] = np.nan if code == 2 ** stored["bits"] - 1 else number
    return out


@given(arrays(np.float32, array_shapes(min_dims=3, max_dims=3, max_side=5), elements=NUMBERS), st.sampled_from([8, 16]))
def test_numbers_come_back_within_half_a_step(numbers: np.ndarray, bits: int) -> None:
    packed = pack(numbers, bits)
    assert packed is not None
    again = unpacked(json.loads(json.dumps(packed.to_json())))
    finite = np.isfinite(numbers)
    assert (np.isnan(again) == ~finite).all()
    for component in range(numbers.shape[-1]):
        there = finite[..., component]
        off = np.abs(again[..., component][there] - numbers[..., component][there].astype(float))
        assert (off <= packed.step[component] * 0.500001 + 1e-9).all()
        if there.any():
            span = np.ptp(numbers[..., component][there].astype(float))
            assert packed.step[component] == pytest.approx(span / (2**bits - 2))


@given(st.integers(1, 60), st.integers(150, 4_000), st.booleans())
def test_it_takes_no_more_than_its_room_and_keeps_what_it_can(frames: int, room: int, even: bool) -> None:
    numbers = np.random.default_rng(frames).random((frames, 7, 3))
    packed = fit(0 * numbers if even else numbers, room, fewest=1)
    if packed is None:
        assert room < 600
        return
    assert len(json.dumps(packed.to_json())) <= packed.size <= room
    kept = packed.at.tolist()
    assert kept[0] == 0
    assert kept == sorted(set(kept))
    assert kept[-1] == frames - 1 or len(kept) == 1
    if packed.bits == 8:
        assert pack(numbers, 16, room=room) is None
    if not packed.keeps_all:
        assert pack(numbers, 8, room=room) is None


def test_a_thousand_particles_for_five_hundred_frames_fit_at_the_worst() -> None:
    room = 4_800_000
    episode = pack_episode(made_recording(1_000, 499, 50), room)
    assert len(json.dumps(episode)) <= room
    stored = episode["arrays"]
    # Of contacts there are all frames or none.
    assert episode["left_out"] == ["contact"]
    assert stored["position"]["shape"] == [500, 1_000, 2]
    assert stored["position"]["bits"] == 16
    for name in ("action", "value", "reward"):
        assert stored[name]["shape"][0] >= 200, name
    assert stored["observation"]["shape"][0] >= 10


def test_frames_that_do_not_fit_are_told() -> None:
    with pytest.raises(ValueError, match=r"report: 7 frames of 900 particles do not fit .* Record fewer decisions"):
        pack_episode(made_recording(900), room=4_000)


def test_what_there_is_no_room_for_is_named() -> None:
    # Enough for two frames of positions, not for one of ten thousand numbers.
    episode = pack_episode(made_recording(5, 3, 2_000), room=4_500)
    assert episode["left_out"] == ["observation"]
    assert "observation" not in episode["arrays"]
    assert episode["arrays"]["action"]["shape"] == [3, 5, 2]


def test_what_was_not_recorded_is_not_there() -> None:
    nothing = np.full((6, 5), np.nan, np.float32)
    recording = made_recording(
        value=nothing, success=nothing[:, 0], targets=np.zeros((7, 0, 2), np.float32), world=None
    )
    episode = pack_episode(recording, 1e6)
    assert set(episode["arrays"]) == {"radius", "position", "action", "reward", "observation"}
    assert (episode["box"], episode["left_out"]) == (None, [])


def test_targets_are_kept_as_often_as_they_move() -> None:
    still, moving = made_recording(), made_recording(targets=np.random.default_rng(0).random((7, 2, 2)))
    assert pack_episode(still, 1e6)["arrays"]["targets"]["shape"] == [1, 2, 2]
    assert pack_episode(moving, 1e6)["arrays"]["targets"]["shape"] == [7, 2, 2]
