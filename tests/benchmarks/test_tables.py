"""Tables and figures come out of what was measured, without hands."""

import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.figures import draw, of_one_size, split_of_epoch
from benchmarks.rows import compared
from benchmarks.tables import about, long_tables, number, refresh, tables
from jaxdem_ac.bench.measure import Side


def row(stage: str, rate: float, **more: Any) -> dict[str, Any]:
    return {
        "suite": "stages", "stage": stage, "env": "swarm_navigator", "sharing": None, "dtype": "float32",
        "model": None if stage == "environment" else "SharedActorCritic", "N": 64, "E": 16, "status": "ok",
        "agent_steps_per_second": rate, "agent_steps_quartiles": [0.9 * rate, 1.1 * rate],
        "decisions_per_second": rate / 64, "physics_steps_per_second": None, "compile_seconds": 1.0,
        "memory_bytes": 2**20, "compute_share": 0.25, "bandwidth_share": 1.5, **more,
    }  # fmt: skip


ROWS = [
    row("environment", 1e6),
    row("policy", 2e6),
    row("rollout", 0.5e6),
    row("update", 0.25e6),
    row("training", 0.125e6),
    {**row("update", 1.0, N=128), "status": "failed", "error": "no room"},
]
PEER = {
    **row("environment", 1e4),
    "suite": "peers",
    "name": "other",
    "task": "spread",
    "first_call_seconds": 1.0,
    "differs": "no walls",
}


def report(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "commit": "0123456789abcdef",
        "machine": {"device": "cpu", "processor": "a processor", "cores": 2},
        "versions": {"jax": "0.10"},
        "limits": {"flops": {"float32": 1e11}, "bytes": 1e10},
        "rows": rows,
    }


def test_a_text_takes_the_tables_between_its_marks(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_text("before\n<!-- bench: stages -->\nold\n<!-- bench: end -->\nafter\n")
    found = tables({"stages": report(ROWS), "unknown": report([])})
    for _ in range(2):
        refresh(path, found)
    text = path.read_text()
    assert text.startswith(
        "before\n<!-- bench: stages -->\ncpu, a processor, 2 cores; jax 0.10; 012345678; 100 GFLOP/s"
    )
    assert text.endswith("<!-- bench: end -->\nafter\n")
    assert "old" not in text
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len(lines) == 2 + len(ROWS)
    assert len({line.count("|") for line in lines}) == 1
    assert "1.0e6 [9.0e5, 1.1e6]" in lines[2]
    assert "failed: no room" in lines[-1]
    with pytest.raises(ValueError, match="got 0 of 'peers'"):
        refresh(path, tables({"peers": report([PEER])}))


def cells(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines() if line.startswith("|")]


def test_a_long_grid_has_a_table_by_size_by_model_and_by_task() -> None:
    rows = [
        *ROWS,
        row("update", 5e5, model="PerParticle", sharing="shared", dtype="bfloat16", ratio=2.0),
        row("environment", 3e4, env="evacuation"),
        row("environment", 7e5, N=1024, E=1),
    ]
    found = long_tables({"stages": report(rows), "public": report([])})
    assert set(found) == {"long sizes", "long models", "long tasks"}
    assert cells(found["long sizes"]) == [
        ["N x E; memory of training", "environment", "policy", "rollout", "update", "training"],
        ["---"] * 6,
        ["64 x 16; 1 MiB", "1.0e6", "2.0e6", "5.0e5", "2.5e5", "1.2e5"],
    ]
    assert cells(found["long models"]) == [
        ["model", "update, 64 x 16"],
        ["---"] * 2,
        ["SharedActorCritic", "2.5e5"],
        ["PerParticle, shared, bfloat16", "5.0e5 (2.00)"],
    ]
    assert cells(found["long tasks"]) == [
        ["task", "environment, 64 x 16"],
        ["---"] * 2,
        ["swarm_navigator", "1.0e6"],
        ["evacuation", "3.0e4"],
    ]


def test_what_has_failed_stands_in_the_tables_of_a_long_grid() -> None:
    bad = {**row("update", 1.0), "status": "failed", "error": "no room"}
    stages = cells(long_tables({"stages": report([bad, row("training", 1e5)])})["long sizes"])
    assert stages[-1] == ["64 x 16; 1 MiB", "failed: no room", "1.0e5"]
    side = {**row("training", 1e5), "name": "ours", "T": 8, "physics_steps": 1, "first_call_seconds": 2.0}
    lines = cells(long_tables({"training": report([side, {**bad, "name": "theirs"}])})["long training"])
    assert [line[1] for line in lines] == ["N x E x T", "---", "64 x 16 x 8", "64 x 16"]
    assert lines[-1][2:4] == ["theirs", "failed: no room"]
    broken = {"suite": "engine", "name": "engine", "stage": "engine", "status": "failed", "error": "no such module"}
    for name in ("engine", "peers"):
        assert "failed: no such module" in cells(long_tables({name: report([broken])})[f"long {name}"])[-1]
    alone = cells(long_tables({"largest": report([{**side, "process_bytes": 2**30}])})["long largest"])
    assert alone[0][-1] == "process, MiB"
    assert alone[-1][-1] == "1,024"
    assert {len(line) for line in (*lines, *alone)} == {7, 8}


def test_the_time_of_training_is_split() -> None:
    (parts,) = split_of_epoch(ROWS).values()
    assert parts == {"environment": 1000, "policy": 500, "batch, advantages": 500, "update": 4000, "rest": 2000}
    assert split_of_epoch(ROWS[1:]) == {}


def test_figures_are_drawn_of_what_there_is(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    written = draw([*ROWS, PEER], tmp_path, about(report(ROWS)))
    assert [path.name for path in written] == ["agent_steps.png", "epoch.png", "limits.png"]
    long = [row(stage, 1e6, E=many) for stage in ("update", "training") for many in (1, 16)]
    assert [path.name for path in draw(long, tmp_path, "", "-long")] == ["limits-long.png"]
    assert all(path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n" for path in written)
    assert draw([PEER], tmp_path / "none", "") == []


def test_limits_are_shown_of_the_size_that_trains_fastest_at_each_number() -> None:
    small, fast = [
        [row(stage, rate, E=many) for stage in ("update", "training")] for many, rate in ((1, 2.0), (16, 3.0))
    ]
    alone = [row("training", 1.0, N=128, E=1), row("environment", 1.0, N=256, E=1)]
    assert of_one_size([*small, *fast, *alone]) == [*fast, *alone]


def test_sides_that_are_missing_or_fail_are_rows() -> None:
    def fails(_: Any) -> Any:
        raise MemoryError("no room")

    sides = {
        "ours": Side(lambda key: key, 2, 3),
        "broken": Side(fails, 1),
        "peer": Side(lambda key: key, 1),
        "none": None,
    }
    rows = {row["name"]: row for row in compared(sides, 3, suite="x", N=3)}
    assert {name: row["status"] for name, row in rows.items()} == {
        "ours": "ok",
        "broken": "failed",
        "peer": "ok",
        "none": "not installed",
    }
    assert rows["ours"]["ratio_to"] == "peer"
    assert "ratio" not in rows["peer"]
    assert all(row["suite"] == "x" for row in rows.values())


def test_numbers_have_two_digits() -> None:
    assert [number(value) for value in (1.634e6, 12_345.0, 1234.0, None)] == ["1.6e6", "1.2e4", "1,234", ""]


@pytest.mark.parametrize(("options", "name"), [(["--long"], "cpu-long.json"), ([], "cpu.json")])
def test_a_run_that_is_cut_off_leaves_its_rows_and_those_of_the_last_one(
    options: list[str], name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = importlib.import_module("benchmarks.__main__")

    def cut_off(*_: Any, keep: Callable[[Any], None], **__: Any) -> None:
        keep({"rows": ROWS})
        raise KeyboardInterrupt

    monkeypatch.setattr(program, "run_grid", cut_off)
    monkeypatch.setattr(program, "HERE", tmp_path)
    monkeypatch.setattr(program, "show", lambda *_, **__: None)
    monkeypatch.setattr(sys, "argv", ["benchmarks", "stages", *options])
    program.keep(tmp_path / "results" / name, "stages", report([]))
    with pytest.raises(KeyboardInterrupt):
        program.main()

    def found() -> dict[str, Any]:
        return {path.name: json.loads(path.read_text())["suites"] for path in (tmp_path / "results").glob("*")}

    assert found() == {name: {"stages": report([])}, f"{name}.part": {"stages": {"rows": ROWS}}}
    monkeypatch.setattr(program, "run_grid", lambda *_, **__: report(ROWS[:5]))
    assert program.main() == 0
    assert found() == {name: {"stages": report(ROWS[:5])}}
