"""Blocks of an observation in the page: which are known, and how they are said and drawn."""

import json
import math
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.made_recordings import made_recording
from test_page import data_of

import jaxdem_ac as ac
from jaxdem_ac import Recording
from jaxdem_ac.view.report.document import asset
from jaxdem_ac.view.report.page import write_report

TINY = {"num_particles": 4, "n_lidar_rays": 5}


def layout_shown(folder: Path, recording: Recording) -> Any:
    file = recording.save(folder / "one.npz")
    return data_of(write_report(None, folder / "page.html", recordings=[file]))[0]["layout"]


@pytest.mark.parametrize("name", ["swarm_navigator", "swarm_roller"])
def test_the_page_holds_the_layout_of_a_task(tmp_path: Path, name: str) -> None:
    environment = ac.make_environment(name, **TINY)
    recording = made_recording(4, 3, environment.observation_size, env=name, env_kw=TINY)
    shown = layout_shown(tmp_path, recording)
    assert shown == [[block.name, block.kind, block.size] for block in environment.observation_layout]
    assert sum(size for _, _, size in shown) == environment.observation_size


@pytest.mark.parametrize("changes", [{}, {"env": "swarm_navigator", "env_kw": TINY}])
def test_without_a_layout_that_fits_there_is_none(tmp_path: Path, changes: dict[str, Any]) -> None:
    assert layout_shown(tmp_path, made_recording(4, 3, 9, **changes)) is None


def from_node(expression: str) -> Any:
    """Return what an expression over the page's functions of blocks comes to."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("needs node on the path")
    script = asset("blocks.js") + f"console.log(JSON.stringify({expression}));"
    return json.loads(subprocess.run([node, "-e", script], capture_output=True, text=True, check=True).stdout)


def test_blocks_are_said_in_their_order() -> None:
    layout = [
        ["velocity", "vector", 2],
        ["lidar of walls", "lidar", 4],
        ["empty", "lidar", 3],
        ["outside", "scalar", 1],
    ]
    values = [0.5, -0.25, 0.0, 0.125, 0.75, 0.0, 0.0, 0.0, 0.0, 1.0]
    blocks = from_node(f"blocksOf({json.dumps(layout)}, {values})")
    assert [(block["name"], block["start"], block["text"]) for block in blocks] == [
        ("velocity", 0, "(0.500, -0.250)"),
        # The third of four sectors goes from 0 to 90 degrees.
        ("lidar of walls", 2, "highest 0.750 at 45\u00b0"),
        ("empty", 6, "0 in every sector"),
        ("outside", 9, "1.00"),
    ]


@pytest.mark.parametrize("sectors", [1, 2, 3, 24])
def test_a_sector_is_drawn_where_it_is_and_as_deep_as_its_reading(sectors: int) -> None:
    for number in {0, sectors // 2, sectors - 1}:
        readings = [0.0] * sectors
        readings[number] = 0.25
        path = from_node(f"sectorsPath({readings}, 1)")
        points = np.array([[float(part) for part in point.split()] for point in re.split("[ML]", path.rstrip("z"))[1:]])
        radius = np.hypot(points[:, 0], points[:, 1])
        assert set(radius.round(2)) == {1.0, 0.75}
        # Down the screen is against y.
        middle = -math.pi + (number + 0.5) * 2 * math.pi / sectors
        off = np.angle(np.exp(1j * (np.arctan2(-points[:, 1], points[:, 0]) - middle)))
        assert np.abs(off).max() == pytest.approx(math.pi / sectors, abs=0.01)


def test_an_arrow_points_where_its_vector_does() -> None:
    path = from_node("arrowPath([3, 4], 10)")
    assert path.startswith("M0 0L0.3 -0.4M")
    assert path.count("L0.3 -0.4") == 2
    assert from_node("arrowPath([0, 0], 10)") == "M0 0h0"
    assert from_node("arrowPath([NaN, 0], 10)") == ""
    numbers = "{ low: [-2, 0], step: [0.5, 1], missing: 9 }"
    assert from_node(f"mostOf({numbers}, 0, 2)") == [2, 8]
