"""What got slower, beyond the noise, and what reports are."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from jaxdem_ac.bench.compare import compare, read, write

ROW = {
    "suite": "stages",
    "stage": "rollout",
    "env": "swarm_navigator",
    "model": "SharedActorCritic",
    "sharing": None,
    "dtype": "float32",
    "N": 64,
    "E": 16,
    "T": 64,
    "physics_steps": 1,
    "status": "ok",
    "agent_steps_per_second": 100.0,
    "agent_steps_quartiles": [98.0, 102.0],
}


def report(*rows: dict[str, Any], flops: float = 1e11, bytes_: float = 1e10) -> dict[str, Any]:
    return {
        "format": 1,
        "machine": {"device": "cpu"},
        "versions": {"jax": "0.10"},
        "settings": {"repeats": 7},
        "limits": {"flops": {"float32": flops}, "bytes": bytes_},
        "rows": [{**ROW, **row} for row in rows],
    }


def speed(median: float, low: float, high: float) -> dict[str, Any]:
    return {"agent_steps_per_second": median, "agent_steps_quartiles": [low, high]}


@pytest.mark.parametrize(
    ("new", "verdict"),
    [
        (speed(100.0, 98.0, 102.0), "same"),
        # Quartiles apart, but less than 5 %.
        (speed(96.0, 95.0, 97.0), "same"),
        # 10 %, but quartiles overlap.
        (speed(90.0, 80.0, 99.0), "same"),
        (speed(90.0, 88.0, 92.0), "slower"),
        (speed(110.0, 108.0, 112.0), "faster"),
        (speed(110.0, 101.0, 112.0), "same"),
        ({"status": "failed", "error": "it broke"}, "fails"),
        ({"T": 32}, "not comparable"),
    ],
)
def test_slower_is_more_than_noise(new: dict[str, Any], verdict: str) -> None:
    found = compare(report({}), report(new))
    assert [row["verdict"] for row in found.rows] == [verdict]
    assert bool(found.slower) == (verdict in ("slower", "fails"))


def test_what_the_machine_lost_is_no_fault_of_a_row() -> None:
    slower = speed(80.0, 78.0, 82.0)
    assert compare(report({}), report(slower)).slower
    for lost in ({"flops": 0.8e11}, {"bytes_": 0.8e10}):
        found = compare(report({}), report(slower, **lost))
        assert not found.slower
        assert found.allowed == pytest.approx(0.25)
    # That it became faster excuses nothing.
    assert compare(report({}), report(slower, flops=2e11)).slower


def test_rows_of_one_report_alone_are_said() -> None:
    old = report({}, {"N": 128}, {"N": 256, "status": "failed"})
    new = report({}, {"N": 512}, {"N": 256, "status": "failed"}, {"N": 1024, "status": "failed"})
    verdicts = {row["N"]: row["verdict"] for row in compare(old, new).rows}
    assert verdicts == {64: "same", 128: "left out", 256: "still fails", 512: "new", 1024: "still fails"}
    with pytest.raises(ValueError, match="rows that both have; got none"):
        compare(report({}), report({"N": 128}))


def test_what_else_differs_is_noted() -> None:
    new = copy.deepcopy(report({}))
    new["versions"]["jax"] = "0.11"
    assert "versions.jax: 0.10 and 0.11" in compare(report({}), new).notes


def test_a_report_comes_back_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    write(report({}), path)
    assert read(path) == report({})
    assert [each.name for each in tmp_path.iterdir()] == ["report.json"]


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format": 0, "rows": []}', '{"format": 1, "rows": [{}]}', "nonsense"]
)
def test_what_is_no_report(text: str, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text(text)
    with pytest.raises(ValueError, match="which is not"):
        read(path)
    with pytest.raises(FileNotFoundError, match="which is none"):
        read(tmp_path / "other.json")
    json.dumps(report())
