"""The command line: figures as JSON, exit codes, and one line for a mistake."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from support.command_line import assert_one_line, call
from support.event_files import curve

import jaxdem_ac as ac
from jaxdem_ac import doctor, registry
from jaxdem_ac.cli import main
from jaxdem_ac.plugin import jaxdem, names
from jaxdem_ac.runs.recording import record_episode

ROOT = Path(__file__).parents[2]
COMMANDS = ("train", "eval", "render", "report", "bench", "list", "doctor", "autoload", "completion")
SETTINGS = {
    "env_kw.num_particles": 4,
    "env_kw.physics_steps": 1,
    "env_kw.max_steps": 8,
    "env_kw.n_lidar_rays": 5,
    "model_kw.architecture": "[8]",
    "ppo.num_envs": 2,
    "ppo.num_steps": 4,
    "ppo.num_minibatches": 2,
}
TINY = [part for name, value in SETTINGS.items() for part in ("--set", f"{name}={value}")]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """Train once, and return the folder with what was said."""
    out = tmp_path_factory.mktemp("runs") / "nav"
    arguments = ["--steps", "64", "--report-every", "1", "--out", str(out), *TINY, "--log", "tensorboard"]
    return out, call("train", *arguments, "--json")


def test_help_lists_every_command() -> None:
    result = call("--help")
    assert result.exit_code == 0
    for command in COMMANDS:
        assert command in result.output
    summaries = result.output.partition("Commands:")[2]
    assert "..." not in summaries
    words = " ".join(summaries.split())
    assert (
        "eval Play whole episodes with a run's policy, and with the untrained one; or with policies that need no"
        in words
    )
    assert all(f" {command.get_short_help_str(1_000)}" in words for command in main.commands.values())


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_every_command_has_help(command: str, flag: str) -> None:
    result = call(command, flag)
    assert result.exit_code == 0
    assert result.output.startswith(f"Usage: jaxdem-ac {command}")
    assert "--help" in result.output


def test_help_of_train_names_every_plain_field() -> None:
    output = call("train", "--help").output
    for option in ("--env", "--model", "--action-space", "--steps", "--seed", "--out", "--report-every", "--set"):
        assert option in output


def test_the_version_is_said() -> None:
    result = call("--version")
    assert result.exit_code == 0
    assert ac.__version__ in result.output


def test_no_command_is_a_mistake_that_shows_help() -> None:
    result = call()
    assert result.exit_code == 2
    assert "train" in result.output


def test_train_says_its_last_report_as_json(trained: tuple[Path, Result]) -> None:
    out, result = trained
    assert result.exit_code == 0, result.output
    last = json.loads(result.stdout)
    assert last["steps"] == 64
    assert last["update"] == 2
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1] == last
    assert {path.name for path in out.iterdir()} >= {"config.json", "metrics.jsonl", "checkpoints"}


def test_reports_are_in_tensorboard_too(trained: tuple[Path, Result]) -> None:
    lines = [json.loads(line) for line in (trained[0] / "metrics.jsonl").read_text().splitlines()]
    expected = [(line["steps"], pytest.approx(line["reward"], rel=1e-6)) for line in lines]
    assert curve(trained[0] / "tensorboard", "reward") == expected


def test_set_reaches_every_part_of_the_configuration(trained: tuple[Path, Result]) -> None:
    config = json.loads((trained[0] / "config.json").read_text())["config"]
    assert config["env_kw"]["num_particles"] == 4
    assert config["model_kw"]["architecture"] == [8]
    assert config["ppo"]["num_envs"] == 2
    assert config["steps"] == 64


def test_eval_says_both_policies_as_json(trained: tuple[Path, Result]) -> None:
    result = call("eval", str(trained[0]), "--episodes", "4", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert set(found) == {"before", "after"}
    for policy in found.values():
        assert policy["num_episodes"] == 4
        for figure in ("success", "reward"):
            assert policy[figure]["low"] <= policy[figure]["mean"] <= policy[figure]["high"]


def test_eval_in_words(trained: tuple[Path, Result]) -> None:
    result = call("eval", str(trained[0]), "--episodes", "4", "--sample")
    assert result.exit_code == 0, result.output
    heading, before, after = result.stdout.splitlines()
    assert heading.startswith("4 episodes")
    assert " before " in before
    assert " after " in after
    for line in (before, after):
        assert line.count("[") == line.count("]") == 2
    alone = call("eval", str(trained[0]), "--episodes", "4", "--no-baseline", "--json")
    assert set(json.loads(alone.stdout)) == {"after"}


NAVIGATE = ("eval", "--env", "swarm_navigator", "--set", "env_kw.num_particles=2", "--set", "env_kw.max_steps=100")


def test_eval_plays_what_needs_no_training(trained: tuple[Path, Result]) -> None:
    baselines = ("--policy", "random", "--policy", "scripted", "--policy", "oracle")
    result = call(*NAVIGATE, *baselines, "--episodes", "4", "--seed", "0", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert list(found) == ["random", "scripted", "oracle"]
    assert {figures["num_episodes"] for figures in found.values()} == {4}
    words = call(*NAVIGATE, "--policy", "scripted", "--episodes", "4", "--seed", "0", "--num-particles", "3")
    heading, line = words.stdout.splitlines()
    assert "4 episodes of 3 particles" in heading
    assert line.startswith("  coverage scripted ")
    beside = call("eval", str(trained[0]), "--policy", "oracle", "--no-baseline", "--episodes", "4", "--json")
    assert set(json.loads(beside.stdout)) == {"after", "oracle"}


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--policy", "oracle"], "got neither"),
        (["RUN", "--env", "evacuation", "--policy", "oracle"], "got both"),
        (["--env", "evacuation"], "Add --policy oracle"),
        (["RUN", "--policy", "oracle", "--set", "env_kw.gap=3"], "got --set"),
        (["--env", "evacuatoin", "--policy", "oracle"], "'evacuation'"),
        (["--env", "evacuation", "--policy", "orakel"], "oracle"),
    ],
)
def test_eval_says_what_it_cannot_play(trained: tuple[Path, Result], arguments: list[str], word: str) -> None:
    assert_one_line(call("eval", *(str(trained[0]) if each == "RUN" else each for each in arguments)), word)


def test_an_oracle_plays_in_the_environment_of_a_run(trained: tuple[Path, Result], tmp_path: Path) -> None:
    file = tmp_path / "episode.npz"
    result = call("record", str(trained[0]), "--policy", "oracle", "--out", str(file))
    assert result.exit_code == 0, result.output
    recording = ac.Recording.load(file)
    expected = record_episode(recording.env, recording.env_kw, ac.oracle_policy(recording.environment()))
    assert (recording.action == expected.action).all()
    pytest.importorskip("matplotlib")
    drawn = ("--policy", "scripted", "--decisions", "2", "--format", "png", "--out", str(tmp_path), "--json")
    (path,) = json.loads(call("render", str(trained[0]), *drawn).stdout)
    assert Path(path).read_bytes()[:4] == b"\x89PNG"


def test_render_writes_pictures(trained: tuple[Path, Result]) -> None:
    pytest.importorskip("matplotlib")
    result = call("render", str(trained[0]), "--decisions", "3", "--json")
    assert result.exit_code == 0, result.output
    animation, moments, curve = (Path(path) for path in json.loads(result.stdout))
    assert animation.read_bytes()[:6] in (b"GIF87a", b"GIF89a")
    for still in (moments, curve):
        assert still.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert animation.parent == moments.parent == curve.parent == trained[0]


def test_export_writes_one_file(trained: tuple[Path, Result], tmp_path: Path) -> None:
    file = tmp_path / "nav.hlo"
    result = call("export", str(trained[0]), str(file), "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == {"path": str(file), "bytes": file.stat().st_size}
    assert_one_line(call("export", str(trained[0]), str(tmp_path / "none" / "nav.hlo")), "none")


def test_an_existing_run_is_kept_unless_told(trained: tuple[Path, Result]) -> None:
    out, _ = trained
    before = (out / "metrics.jsonl").read_text()
    assert_one_line(call("train", "--steps", "64", "--out", str(out), *TINY), "holds a run", "--overwrite")
    assert (out / "metrics.jsonl").read_text() == before


def test_train_in_plain_lines(tmp_path: Path) -> None:
    arguments = ["train", "--steps", "64", "--report-every", "1", "--out", str(tmp_path / "nav"), *TINY, "--quiet"]
    result = call(*arguments)
    assert result.exit_code == 0, result.output
    assert "64" in result.output
    assert str(tmp_path / "nav") in result.stdout
    assert call(*arguments, "--overwrite").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--env", "swarm_navigater"], ["swarm_navigater", "Did you mean 'swarm_navigator'"]),
        (["--model", "SharedActorCritc"], ["Did you mean 'SharedActorCritic'"]),
        (["--action-space", "MaxNrom"], ["Did you mean 'MaxNorm'"]),
        (["--set", "ppo.gama=0.9"], ["gama", "Did you mean 'gamma'"]),
        (["--set", "sed=3"], ["sed", "Did you mean 'seed'"]),
        (["--set", "ppo.gamma"], ["field=value", "ppo.gamma"]),
        (["--set", "ppo.gamma=2"], ["gamma", "got gamma=2"]),
        (["--set", "env_kw.num_particle=3"], ["num_particle", "Did you mean 'num_particles'"]),
        (["--set", "model_kw.architectur=[3]"], ["architectur", "Did you mean 'architecture'"]),
        (["--set", "action_space_kw.max_norm=-1"], ["max_norm=-1"]),
        (
            ["--env", "evacuation", "--action-space", "Box"],
            ["Pass x_min=..., on the command line --set action_space_kw.x_min=..."],
        ),
        (["--steps", "0"], ["steps", "steps=0"]),
        (["--steps", "many"], ["many"]),
        (["--seed", "-1"], ["seed=-1"]),
        (["--colour", "red"], ["--colour"]),
        (["something"], ["something"]),
    ],
)
def test_a_mistake_in_train_is_one_line(arguments: list[str], words: list[str], tmp_path: Path) -> None:
    assert_one_line(call("train", "--out", str(tmp_path / "run"), *arguments), *words)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("command", ["eval", "render"])
def test_a_folder_without_a_run_is_one_line(command: str, tmp_path: Path) -> None:
    assert_one_line(call(command, str(tmp_path / "nothing")), "config.json", "nothing")
    assert_one_line(call(command), "RUN")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--episodes", "1"], ["num_episodes=1"]),
        (["--episodes", "x"], ["x"]),
        (["--policy", "x"], ["--policy"]),
        (["--seed", "99999999999999999999"], ["seed has 64 bits at most"]),
    ],
)
def test_a_mistake_in_eval_is_one_line(trained: tuple[Path, Result], arguments: list[str], words: list[str]) -> None:
    assert_one_line(call("eval", str(trained[0]), *arguments), *words)


@pytest.mark.parametrize("command", ["report", "replay"])
def test_a_seed_that_is_none_is_one_line(trained: tuple[Path, Result], command: str) -> None:
    run = str(trained[0])
    assert_one_line(call(command, run, "--seed", "99999999999999999999"), "seed has 64 bits at most")


@pytest.mark.parametrize("decisions", ["0", "-1"])
def test_a_replay_of_nothing_is_one_line(trained: tuple[Path, Result], decisions: str) -> None:
    arguments = ("replay", str(trained[0]), "--engine", "embedded", "--decisions", decisions)
    assert_one_line(call(*arguments), f"replay: decisions is a whole number from 1; got decisions={decisions}")


def test_a_mistake_in_render_is_one_line(trained: tuple[Path, Result]) -> None:
    pytest.importorskip("matplotlib")
    assert_one_line(call("render", str(trained[0]), "--decisions", "0"), "decisions=0")


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for out in (tmp_path / "file", tmp_path / "file" / "run"):
        assert_one_line(call("train", "--steps", "64", *TINY, "--out", str(out)), "file")
    assert (tmp_path / "file").read_text() == "mine"


def test_an_unknown_command_is_one_line() -> None:
    assert_one_line(call("trian"), "trian", "Did you mean 'train'", "render")
    assert_one_line(call("zzz"), "zzz", "Choose one of: ")


@pytest.mark.parametrize(
    ("command", "option", "near"),
    [
        ("train", "--stpes", "--steps"),
        ("train", "--quite", "--quiet"),
        ("eval", "--episode", "--episodes"),
        ("bench", "--num-particle", "--num-particles"),
        ("list", "--jsn", "--json"),
        ("autoload", "--enabel", "--enable"),
    ],
)
def test_a_mistyped_option_names_the_nearest(command: str, option: str, near: str) -> None:
    assert_one_line(call(command, option, "1"), f"jaxdem-ac {command}: no such option; got '{option}'", f"'{near}'")


def test_list_names_everything() -> None:
    rows = json.loads(call("list", "--json").stdout)
    names = {kind: [row["name"] for row in rows if row["kind"] == kind] for kind in {row["kind"] for row in rows}}
    assert names == {
        "model": ac.list_models(),
        "action space": ac.list_action_spaces(),
        "environment": ac.list_environments(),
        "algorithm": ac.list_algorithms(),
    }
    assert all(row["summary"].endswith(".") for row in rows if row["origin"] == "jaxdem-ac")
    words = call("list")
    assert words.exit_code == 0
    assert "MaxNorm" in words.stdout
    assert "Actions inside a ball of radius max_norm." in words.stdout


def test_list_is_one_line_each_whatever_stands_in_it() -> None:
    name = "a_name_that_is_longer_than_" + 4 * "any_other_"
    cls = type("Long", (), {"__doc__": "Long.", "__module__": "a-plugin"})
    with registry.models.temporarily(name, cls):
        lines = call("list").stdout.splitlines()
        assert len(lines) == len(json.loads(call("list", "--json").stdout))
    (long,) = [line for line in lines if name in line]
    # Aligned: what a thing is begins in one column.
    assert {line.find("jaxdem-ac") for line in lines if line != long} == {long.find("a-plugin")}
    assert long.endswith("a-plugin   Long.")


def test_list_without_the_host_where_that_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Any) -> None:
        raise ImportError("model: JaxDEM has to be importable; got ModuleNotFoundError: h5py. Get it: pip ...")

    monkeypatch.setattr(jaxdem, "is_there", lambda: True)
    monkeypatch.setattr(names, "entries", fail)
    result = call("list", "--json")
    assert result.exit_code == 0
    assert len(json.loads(result.stdout)) >= 11
    (line,) = result.stderr.splitlines()
    assert line.startswith("warning: model: JaxDEM has to be importable")


def test_doctor_reports_what_is_there() -> None:
    result = call("doctor", "--json")
    found: dict[str, dict[str, Any]] = json.loads(result.stdout)
    assert result.exit_code == (1 if found["broken plugins"] or found["faults"] else 0)
    assert found["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert "SharedActorCritic" in found["registered"]["models"]
    assert all("GiB" in device for device in found["devices"].values())
    assert "found" in found["jaxdem"]
    words = call("doctor").stdout
    for section in found:
        assert f"{section}:" in words


def test_doctor_says_what_is_broken_and_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "diagnose", lambda: {"faults": {"devices": "none. Get one."}, "broken plugins": {}})
    result = call("doctor")
    assert result.exit_code == 1
    assert result.stdout.splitlines() == ["faults:", "  devices  none. Get one.", "broken plugins: none"]


def test_memory_that_is_too_short_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 99 bytes.\nmore")

    monkeypatch.setattr(ac, "train", fail)
    assert_one_line(call("train"), "RESOURCE_EXHAUSTED", "Lower ppo.num_envs")


@pytest.mark.parametrize(
    ("arguments", "code"), [(["--version"], 0), (["train", "--env", "nowhere"], 2), (["eval", "/nowhere"], 2)]
)
def test_exit_codes_of_the_program_itself(arguments: list[str], code: int, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "jaxdem_ac.cli", *arguments],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == code
    assert "Traceback" not in done.stderr
    assert (done.stdout == "") == (code == 2)
    assert list(tmp_path.iterdir()) == []


def test_resume_goes_on_and_takes_no_other_option(trained: tuple[Path, Result], tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(trained[0], copy)
    result = call("train", "--resume", str(copy), "--json")
    assert result.exit_code == 0, result.output
    assert (
        json.loads(result.stdout)["steps"] == json.loads((copy / "metrics.jsonl").read_text().splitlines()[-1])["steps"]
    )
    steps = [step for step, _ in curve(copy / "tensorboard", "reward")]
    assert steps == sorted(set(steps))
    assert len(steps) == len((copy / "metrics.jsonl").read_text().splitlines())
    assert_one_line(call("train", "--resume", str(copy), "--seed", "3"), "Leave out all but --steps and --devices")
    assert_one_line(
        call("train", "--resume", str(copy), "--config", "x.yaml"), "Leave out all but --steps and --devices"
    )
    assert_one_line(call("train", "--resume", str(tmp_path)), "holds config.json")
    assert_one_line(call("train", "--devices", "several"), "neither a whole number nor 'all'")
