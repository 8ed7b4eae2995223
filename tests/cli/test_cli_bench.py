"""The command ``bench``: tables and JSON, exit codes, and one line for a mistake."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from support import command_line
from support.bench_fixtures import noise, quick

from jaxdem_ac.bench import stages

__all__ = ["noise", "quick"]

SMALL = ["--num-particles", "3", "--num-envs", "2", "--repeats", "3", "--set", "model_kw.architecture=[8]",
         "--set", "ppo.num_steps=8", "--set", "ppo.num_minibatches=2", "--set", "ppo.num_epochs=1"]  # fmt: skip


def call(*arguments: str) -> Result:
    return command_line.call("bench", *arguments)


@pytest.fixture(autouse=True)
def _quick(quick: str) -> None:
    """Have every stage be one small product."""


def test_json_is_what_the_file_holds(tmp_path: Path) -> None:
    out = tmp_path / "report.json"
    result = call("--env", "noise", "--stages", "policy,environment", *SMALL, "--json", "--out", str(out))
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report == json.loads(out.read_text())
    assert [row["stage"] for row in report["rows"]] == ["environment", "policy"]
    assert report["settings"]["settings"]["ppo.num_steps"] == 8
    assert report["settings"]["repeats"] == 3
    compared = call("--compare", str(out), str(out))
    assert compared.exit_code == 0
    assert "0 of 2 rows got slower" in compared.stdout


def test_the_table_has_a_line_for_every_row_with_all_units() -> None:
    result = call("--env", "noise", "--stages", "policy", "--model", "PerParticle",
                  "--sharing", "shared,species", "--sharing", "independent", *SMALL)  # fmt: skip
    assert result.exit_code == 0, result.output
    lines = [line for line in result.stdout.splitlines() if line.startswith("policy")]
    assert [name for line in lines for name in ("shared", "species", "independent") if name in line] == [
        "shared",
        "species",
        "independent",
    ]
    for word in ("agent-steps/s", "decisions/s", "physics/s", "compile", "memory", "FLOPs", "bytes", "GB/s"):
        assert word in result.stdout


def test_a_row_that_fails_is_a_row_and_an_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(environment: Any, config: Any) -> Any:
        raise MemoryError("no room")

    monkeypatch.setitem(stages.PROGRAMS, "policy", broken)
    result = call("--env", "noise", "--stages", "environment,policy", *SMALL)
    assert result.exit_code == 1
    assert "no room" in result.stdout
    assert "error: 1 of 2 rows failed." in result.stderr
    assert (
        json.loads(call("--env", "noise", "--stages", "policy", *SMALL, "--json").stdout)["rows"][0]["status"]
        == "failed"
    )


def test_what_got_slower_is_exit_code_1(tmp_path: Path) -> None:
    old, new = tmp_path / "old.json", tmp_path / "new.json"
    row = {"stage": "rollout", "env": "noise", "model": "ActorCritic", "N": 3, "E": 2, "status": "ok"}
    for path, rate in ((old, 100.0), (new, 50.0)):
        speeds = {"agent_steps_per_second": rate, "agent_steps_quartiles": [rate - 1, rate + 1]}
        path.write_text(json.dumps({"format": 1, "rows": [{**row, **speeds}]}))
    result = call("--compare", str(old), str(new))
    assert result.exit_code == 1
    assert "1 of 1 rows got slower" in result.stdout
    assert call("--compare", str(new), str(old)).exit_code == 0
    found = json.loads(call("--compare", str(old), str(new), "--json").stdout)
    assert [each["verdict"] for each in found["rows"]] == ["slower"]


def test_a_report_with_half_a_row_is_none(tmp_path: Path) -> None:
    file = tmp_path / "half.json"
    for row in ({"stage": "a", "status": "ok"}, {"stage": "a", "status": "failed", "N": 1}):
        file.write_text(json.dumps({"format": 1, "rows": [row]}))
        result = call("--compare", str(file), str(file))
        assert result.exit_code == 2
        assert "which is not. Measure again" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--env", "swarm_navigater"], ["Did you mean 'swarm_navigator'"]),
        (["--model", "ActorCritc"], ["Did you mean 'ActorCritic'"]),
        (["--stages", "rollot"], ["Did you mean 'rollout'"]),
        (["--dtype", "int8"], ["int8"]),
        (["--sharing", "none"], ["none"]),
        (["--num-particles", "4,x"], ["--num-particles", "'x'"]),
        (["--num-envs", "0"], ["num_envs=0"]),
        (["--repeats", "2"], ["repeats=2"]),
        (["--set", "ppo.gama=1", "--num-envs", "2"], ["Did you mean 'gamma'"]),
        (["--set", "env_kw.num_particle=3", "--num-envs", "2"], ["Did you mean 'num_particles'"]),
        (["--set", "nonsense"], ["field=value"]),
        (["--long", "--env", "noise"], ["--short and --long"]),
        (["--compare", "one.json"], ["2"]),
        (["--compare", "one.json", "two.json"], ["one.json"]),
        (["--compare", "one.json", "two.json", "--env", "noise"], ["--compare measures nothing"]),
        (["--out", "no/such/folder/x.json", "--num-envs", "2"], ["no/such/folder"]),
        (["--fast"], ["--fast"]),
    ],
)
def test_a_mistake_is_one_line(arguments: list[str], words: list[str]) -> None:
    result = call(*arguments)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    for word in words:
        assert word in line


def test_help_names_every_option() -> None:
    result = call("--help")
    assert result.exit_code == 0
    for option in ("--env", "--model", "--num-particles", "--num-envs", "--stages", "--dtype", "--sharing", "--short",
                   "--long", "--repeats", "--json", "--out", "--compare", "--profile", "--set"):  # fmt: skip
        assert option in result.output
