"""Colours that every eye tells apart, and files that are whole."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from jaxdem_ac._files import written as whole
from jaxdem_ac.view.figures.style import GREY, PALE, SERIES, as_hex, color_of, rgb

# Machado, Oliveira and Fernandes (2009), severity 1, on linear red, green and blue.
PROTANOPIA = [
    [0.152286, 1.052583, -0.204868],
    [0.114503, 0.786281, 0.099216],
    [-0.003882, -0.048116, 1.051998],
]
DEUTERANOPIA = [
    [0.367322, 0.860646, -0.227968],
    [0.280085, 0.672501, 0.047413],
    [-0.011820, 0.042940, 0.968881],
]
TO_XYZ = [
    [0.4124564, 0.3575761, 0.1804375],
    [0.2126729, 0.7151522, 0.0721750],
    [0.0193339, 0.1191920, 0.9503041],
]


def lab(color: str, sight: np.ndarray) -> np.ndarray:
    """CIELAB, white D65, of what an eye makes of a colour."""
    value = rgb(color)
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    seen = np.clip(sight @ linear, 0, 1)
    x, y, z = (TO_XYZ @ seen) / [0.95047, 1.0, 1.08883]
    f = [np.cbrt(v) if v > 216 / 24389 else (24389 / 27 * v + 16) / 116 for v in (x, y, z)]
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize(
    "sight", [np.eye(3), PROTANOPIA, DEUTERANOPIA], ids=["all cones", "protanopia", "deuteranopia"]
)
def test_species_are_told_apart_by_every_eye(sight: np.ndarray) -> None:
    def apart(colors: tuple[str, ...]) -> float:
        seen = [lab(color, np.asarray(sight)) for color in colors]
        return min(float(np.linalg.norm(a - b)) for a, b in itertools.combinations(seen, 2))

    # 2.3 is what can just be told apart side by side.
    assert apart((*SERIES, GREY, PALE)) > 15
    assert apart(SERIES[:3]) > 50
    assert apart(("#FF0000", "#A88000")) < 15 or sight is not DEUTERANOPIA, "the transform does confuse red and brown"


def test_beyond_the_series_colours_come_again_darker() -> None:
    assert [color_of(number) for number in range(len(SERIES))] == list(SERIES)
    again = [color_of(number + len(SERIES)) for number in range(len(SERIES))]
    assert not set(again) & set(SERIES)
    assert all((rgb(dark) <= rgb(light)).all() for dark, light in zip(again, SERIES, strict=True))
    assert as_hex(rgb("#12ABEF")) == "#12ABEF"


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("before")

    def fail() -> None:
        with whole(path) as draft:
            draft.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_text() == "before"
    with whole(path) as draft:
        draft.write_text("after")
    assert path.read_text() == "after"
    assert list(tmp_path.iterdir()) == [path]
