"""A report has every row that was asked for, whatever becomes of it."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.bench_fixtures import SMALL

from jaxdem_ac.bench import machine, stages, suite
from jaxdem_ac.bench.cases import Axes, grid
from jaxdem_ac.bench.machine import measure_limits
from jaxdem_ac.bench.profile import by_scope, scope
from jaxdem_ac.bench.suite import NOT_REACHED, failed, run


def axes(env: str, **more: Any) -> Axes:
    return Axes(**{"envs": [env], "num_particles": [3], "num_envs": [2], **more})


def test_rows_figures_and_ratios(quick: str, tmp_path: Path) -> None:
    cases = grid(axes(quick, stages=["policy", "update"], dtypes=["float32", "bfloat16"]))
    kept: list[str] = []
    report = run(
        cases, settings=SMALL, repeats=3, profile=tmp_path, keep=lambda report: kept.append(json.dumps(report))
    )
    assert [row["stage"] for row in report["rows"]] == ["policy"] * 2 + ["update"] * 2
    for row in report["rows"]:
        assert row["status"] == "ok"
        assert row["agent_steps_per_second"] == 3 * row["decisions_per_second"]
        assert row["physics_steps_per_second"] is None
        low, high = row["agent_steps_quartiles"]
        assert low <= row["agent_steps_per_second"] <= high
        assert len(row["seconds"]) == 3
        assert row["compute_share"] > 0
        assert row["bandwidth_share"] > 0
        assert row["memory_bytes"] > 0
        assert list(Path(row["profile"]).glob("plugins/profile/*/*.xplane.pb"))
        assert sum(row["seconds_by_scope"].values()) > 0
    assert ["ratio" in row for row in report["rows"]] == [False, True] * 2
    assert "float32" not in report["rows"][1]["ratio_to"]
    # Before anything was measured all rows were there already, as failed.
    assert [row["error"] for row in json.loads(kept[0])["rows"]] == [NOT_REACHED] * 4
    assert json.loads(kept[-1]) == json.loads(json.dumps(report))
    for part in ("commit", "machine", "versions", "settings", "limits"):
        assert part in report


def test_training_counts_the_work_of_its_parts(quick: str, monkeypatch: pytest.MonkeyPatch) -> None:
    program = stages.PROGRAMS["training"]
    monkeypatch.setitem(
        stages.PROGRAMS, "training", lambda *given: replace(program(*given), parts=("rollout", "update"))
    )
    rows = run(grid(axes(quick, stages=["rollout", "update", "training"])), settings=SMALL, repeats=3)["rows"]
    one, other, both = (row["flops_per_agent_step"] for row in rows)
    assert both == one + other
    alone = run(grid(axes(quick, stages=["training"])), settings=SMALL, repeats=3)["rows"][0]
    assert alone["flops_per_agent_step"] == one


def test_a_row_that_fails_stays(quick: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(environment: Any, config: Any) -> Any:
        raise MemoryError("no room")

    monkeypatch.setitem(stages.PROGRAMS, "update", broken)
    report = run(grid(axes(quick, stages=["policy", "update"])), settings=SMALL, repeats=3)
    assert [row["status"] for row in report["rows"]] == ["ok", "failed"]
    assert [row["error"] for row in failed(report["rows"])] == ["MemoryError: no room"]


def test_the_first_of_a_group_may_fail(quick: str, monkeypatch: pytest.MonkeyPatch) -> None:
    build = suite.build

    def picky(stage: str, config: Any, clock: Any) -> Any:
        if "compute_dtype" not in config.model_kw:
            raise MemoryError("no room")
        return build(stage, config, clock)

    monkeypatch.setattr(suite, "build", picky)
    rows = run(grid(axes(quick, stages=["policy"], dtypes=["float32", "bfloat16"])), settings=SMALL, repeats=3)["rows"]
    assert [row["status"] for row in rows] == ["failed", "ok"]
    assert "ratio" not in rows[1]


def test_limits_are_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = measure_limits(("float32", "bfloat16"), repeats=3, scale=0.05)
    assert set(limits.flops) == {"float32", "bfloat16"}
    # No machine makes fewer than ten million operations a second, nor more than 10**18.
    assert all(1e7 < number < 1e18 for number in (*limits.flops.values(), limits.bytes))
    about = machine.machine()
    assert about["cores"] >= 1
    assert about["platform"] == "cpu"
    assert machine.versions()["jax"]


def test_the_commit_is_that_of_this_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = machine.commit()
    assert found is None or len(found.rstrip("+")) == 40
    # A package that lies in somebody else's repository is not of its commit.
    (tmp_path / "jaxdem_ac" / "bench").mkdir(parents=True)
    monkeypatch.setattr(machine, "__file__", str(tmp_path / "jaxdem_ac" / "bench" / "machine.py"))
    monkeypatch.setattr(machine.importlib.metadata, "distribution", lambda name: _Installed())
    assert machine.commit() == "f" * 40


class _Installed:
    def read_text(self, name: str) -> str:
        assert name == "direct_url.json"
        return json.dumps({"vcs_info": {"commit_id": "f" * 40}})


def test_scopes_are_those_that_the_package_names(tmp_path: Path) -> None:
    path = "jit(f)/rollout/while/body/environment/vmap(jit(step))/lidar/neighbors/cond/add"
    assert scope(path) == "rollout/environment/lidar/neighbors"
    assert scope("jit(f)/update/while/transpose(jvp(policy))/update/dot") == "update/policy"
    assert scope("jit(f)/add") == "other"
    assert by_scope(tmp_path, "") == {}
