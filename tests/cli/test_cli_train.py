"""The command `train` around a training: where its configuration comes from, what is shown, how it is stopped."""

import gc
import io
import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from click.shell_completion import ShellComplete
from rich.console import Console
from support.command_line import assert_one_line, call

import jaxdem_ac as ac
from jaxdem_ac.cli import main, train
from jaxdem_ac.runs import progress
from jaxdem_ac.runs.config_file import reference_names

ROOT = Path(__file__).parents[2]
REPORT: dict[str, Any] = {
    "steps": 1_310_720,
    "total_steps": 4_063_232,
    "agent_steps_per_second": 571_234.5,
    "seconds": 3.2,
    "reward": 0.01234,
    "final_success": 0.7512,
    "kl": 0.01234,
    "entropy": -1.2345,
}

FULL = (
    "1,310,720 of 4,063,232 steps  571,234 agent-steps/s  0:05 left  reward +0.0123  success 0.751  kl 0.0123  "
    "entropy -1.23"
)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[ac.TrainConfig]:
    """Keep what a training is asked for, in place of the training."""
    configs: list[ac.TrainConfig] = []

    def train(config: ac.TrainConfig, report: Any, overwrite: bool, untrained: Any) -> ac.TrainResult:
        configs.append(config)
        report(REPORT)
        return ac.TrainResult(config, Path(config.out or ""), None, None, [REPORT])  # type: ignore[arg-type]

    monkeypatch.setattr(ac, "train", train)
    return configs


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "env: evacuation\nsteps: 2e6\nseed: 7\nlog: [tensorboard]\nenv_kw: {num_particles: 8}\n"
        "ppo:\n  learning_rate: 1e-3\n  gamma: 0.9\n"
    )
    return path


def test_a_file_then_options_then_set(asked: list[ac.TrainConfig], file: Path) -> None:
    arguments = ("--seed", "8", "--steps", "3e6", "--set", "ppo.gamma=0.8", "--set", "steps=5")
    result = call("train", "--config", str(file), *arguments)
    assert result.exit_code == 0, result.output
    (config,) = asked
    assert config == ac.TrainConfig(
        env="evacuation", steps=5, seed=8, out="runs/evacuation-8", log=["tensorboard"], env_kw={"num_particles": 8},
        ppo=ac.PPOConfig(learning_rate=1e-3, gamma=0.8),
    )  # fmt: skip


def test_the_configuration_of_a_run_and_json_are_read_too(
    asked: list[ac.TrainConfig], file: Path, tmp_path: Path
) -> None:
    of_file = ac.TrainConfig.from_file(file)
    (tmp_path / "config.json").write_text(json.dumps({"format": 3, "config": of_file.to_dict()}))
    assert ac.TrainConfig.from_file(tmp_path / "config.json") == of_file
    assert call("train", "--config", str(tmp_path / "config.json"), "--out", "there").exit_code == 0
    assert asked[0].out == "there"


@pytest.mark.parametrize("name", reference_names())
def test_a_configuration_that_comes_with_the_package(name: str, asked: list[ac.TrainConfig]) -> None:
    result = call("train", "--config", name, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == REPORT
    assert asked[0].env == name.removeprefix("reference/")


def test_every_environment_comes_with_a_configuration() -> None:
    own = [entry.name for entry in ac.registry.environments.entries() if entry.origin == "jaxdem-ac"]
    assert [f"reference/{name}" for name in own] == reference_names()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("stpes: 3", ["'stpes'", "Did you mean 'steps'"]),
        ("ppo: {lerning_rate: 3}", ["Did you mean 'learning_rate'"]),
        ("ppo: 3", ["ppo is a PPOConfig", "got int"]),
        ("steps: many", ["steps='many'"]),
        ("steps: 1.5", ["steps=1.5"]),
        ("env: [a", ["YAML", "line 1"]),
        ("env: a\nsteps: 3\n  seed: 4", ["YAML", "line 3"]),
        ("steps: 3\nseed: 4\nsteps: 5", ["sets a field once", "'steps'", "line 3"]),
        ("ppo:\n  gamma: 0.9\n  gamma: 0.8", ["'gamma'", "line 3"]),
        ("? [a]\n: 3", ["YAML"]),
        ("env: !!python/object/apply:os.getcwd []", ["YAML", "line 1"]),
        ("env: \x07", ["YAML"]),
        ("", ["mapping", "NoneType"]),
        ("- env", ["mapping", "list"]),
        ("1: 3", ["no such field"]),
        ("log: tensorboard", ["log is a list"]),
        ("log: [tensorbord]", ["Did you mean 'tensorboard'"]),
    ],
)
def test_a_mistake_in_a_file_is_one_line(text: str, words: list[str], tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    assert_one_line(call("train", "--config", str(path)), "mine.yaml", *words)


@pytest.mark.parametrize(
    ("text", "words"), [('{"steps": 3, "steps": 4}', ["'steps'"]), ('{\n"steps": }', ["JSON", "line 2"])]
)
def test_a_mistake_in_json_is_one_line(text: str, words: list[str], tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text(text)
    assert_one_line(call("train", "--config", str(path)), "mine.json", *words)


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    wrong = call("train", "--config", "reference/swarm_navigater")
    assert_one_line(wrong, "Did you mean 'reference/swarm_navigator'", *reference_names())
    assert_one_line(call("train", "--config", str(tmp_path)), "Is a directory")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    assert_one_line(call("train", "--config", str(tmp_path / "binary.yaml")), "UTF-8")


@pytest.mark.parametrize("text", ["1.5", "many", "nan", "inf"])
def test_a_number_that_is_not_whole_is_one_line(text: str) -> None:
    assert_one_line(call("train", "--steps", text), f"'{text}' is not a whole number")


def test_every_plain_field_is_an_option() -> None:
    options = {parameter.name for parameter in train.train.params}
    plain = {item.name for item in fields(ac.TrainConfig)} - {
        "env_kw",
        "model_kw",
        "action_space_kw",
        "grid",
        "ppo",
        "algorithm_config",
    }
    assert plain <= options


def drawn(width: int, **changes: Any) -> str:
    """Return the live line as a terminal of that width shows it."""
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None, legacy_windows=False)
    line = progress.LiveLine("ppo")
    if changes.pop("reported", True):
        line.report({**REPORT, **changes})
    with console.capture() as captured:
        console.print(line)
    return captured.get().rstrip("\n")


def test_a_live_line_says_all_at_80_columns_and_in_full_at_120() -> None:
    assert drawn(80).rpartition("╌  ")[2] == (
        "1.31M/4.06M 571k/s 0:05 left reward +0.012 success 0.75 kl 0.012 entropy -1.2"
    )
    assert drawn(120) == FULL


@pytest.mark.parametrize("width", [20, 40, 60, 80, 100, 120, 200])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"reported": False},
        {"final_success": None, "reward": None, "kl": None},
        {"runs": 8, "diverged": 3, "final_success_spread": 0.0123, "agent_steps_per_second": 8e9},
        {"steps": 10, "agent_steps_per_second": 0.0, "total_steps": 10**12},
        {"eval_success": 0.9, "eval_sampled_success": None, "eval_success_spread": 0.1},
    ],
    ids=["usual", "compiling", "missing", "many", "slow", "evaluated"],
)
def test_a_live_line_is_one_line_at_any_width(width: int, changes: dict[str, Any]) -> None:
    line = drawn(width, **changes)
    assert "\n" not in line
    assert 0 < len(line) < width


def test_an_evaluation_stays_on_the_live_line_until_the_next() -> None:
    line = progress.LiveLine("ppo")
    for evaluated in ({"eval_success": 0.25, "eval_sampled_success": 0.125}, {}, {"eval_reward": -1.0}):
        line.report({**REPORT, **evaluated})
        console = Console(file=io.StringIO(), width=200, color_system=None)
        with console.capture() as captured:
            console.print(line)
        assert "success 0.751  evaluated 0.250  sampled 0.125" in captured.get()
    assert "evaluated -1.0000  sampled " in progress.in_words({**REPORT, "eval_reward": -1.0}, "ppo")


def test_what_is_least_important_goes_first() -> None:
    found = [[word for word in ("steps", "reward", "success", "left", "/s", "kl", "entropy") if word in drawn(width)]
             for width in (75, 60, 50, 40)]  # fmt: skip
    assert found == [
        ["reward", "success", "left", "/s", "kl"],
        ["reward", "success", "left", "/s"],
        ["reward", "success", "left"],
        ["reward", "success"],
    ]


def test_plain_lines_where_there_is_no_terminal(asked: list[ac.TrainConfig]) -> None:
    for quiet in ([], ["--quiet"]):
        lines = call("train", *quiet, "--out", "there").stdout.splitlines()
        assert lines[0] == FULL
        assert lines[1] == "trained 1,310,720 agent-steps in 3.2 s; kept in there"


def test_a_run_that_has_nothing_left(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"format": 3, "config": ac.TrainConfig().to_dict()}))
    ended = ac.TrainResult(ac.TrainConfig(), tmp_path, None, None, [])  # type: ignore[arg-type]
    monkeypatch.setattr(ac, "resume", lambda *_, **__: ended)
    assert call("train", "--resume", str(tmp_path)).stdout == f"nothing was left to train; kept in {tmp_path}\n"
    assert call("train", "--resume", str(tmp_path), "--json").stdout == "null\n"


@pytest.mark.parametrize(("stop", "code"), [(KeyboardInterrupt(), 130), (SystemExit(143), 143)])
def test_a_run_that_is_stopped_says_how_to_go_on(
    stop: BaseException, code: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def train(config: ac.TrainConfig, *_: Any, **__: Any) -> None:
        if config.seed:
            (tmp_path / "run" / "checkpoints" / "10").mkdir(parents=True)
            (tmp_path / "run" / "config.json").write_text("{}")
        raise stop

    monkeypatch.setattr(ac, "train", train)
    nothing = call("train", "--out", str(tmp_path / "run"))
    assert nothing.exit_code == code
    assert "resume" not in nothing.stderr
    kept = call("train", "--out", str(tmp_path / "run"), "--seed", "1")
    assert kept.exit_code == code
    assert kept.stderr == (f"stopped; what was learnt is kept. To go on: jaxdem-ac train --resume {tmp_path / 'run'}\n")


def test_a_stop_before_the_run_has_its_folder_names_no_other_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An old run that would have been overwritten, and one in a folder below."""

    def train(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ac, "train", train)
    for run in ("old", "parent/seed-0"):
        (tmp_path / run / "checkpoints" / "2").mkdir(parents=True)
        (tmp_path / run / "config.json").write_text(json.dumps({"format": 3, "config": ac.TrainConfig().to_dict()}))
    for arguments in (("old", "--overwrite"), ("parent",)):
        stopped = call("train", "--out", str(tmp_path / arguments[0]), *arguments[1:])
        assert stopped.exit_code != 0
        assert "resume" not in stopped.stderr, arguments


@pytest.fixture
def _heard() -> Iterator[None]:
    """Have Ctrl-C heard as it is in a shell: pytest-xdist has its workers ignore it."""
    usual = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, usual)


@pytest.mark.usefixtures("_heard")
def test_ctrl_c_is_not_lost_in_the_garbage_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    def press(*_: Any) -> None:
        # In another thread, which may collect too, it would be no Ctrl-C: that one wakes the main thread.
        if not pressed and threading.current_thread() is threading.main_thread():
            pressed.append(True)
            signal.raise_signal(signal.SIGINT)

    def train(*_: Any, **__: Any) -> None:
        gc.callbacks.append(press)
        try:
            while not pressed:
                gc.collect()  # Does nothing while another thread collects.
            time.sleep(20)
        finally:
            gc.callbacks.remove(press)

    pressed: list[bool] = []
    monkeypatch.setattr(ac, "train", train)
    began = time.monotonic()
    result = call("train")
    assert pressed == [True]
    assert result.exit_code == 130
    assert result.stderr.strip() == "stopped."
    assert time.monotonic() - began < 15
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize(("code", "expected"), [(130, 130), (143, 143), (2, 3)])
def test_a_program_that_was_stopped_does_not_end_by_taking_xla_apart(code: int, expected: int) -> None:
    # An end that crashes stands for one in the middle of a compilation; other ends are as Python has them.
    script = (
        "import atexit, os, sys\nimport jaxdem_ac.cli.commands as cli\natexit.register(os._exit, 3)\n"
        f"cli.main = lambda: (sys.stderr.write('stopped.'), sys.exit({code}))\ncli.program()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == expected
    assert done.stderr == "stopped."


def completed(*words: str) -> list[str]:
    """Return what a shell is told of the last word."""
    found = ShellComplete(main, {}, "jaxdem-ac", "_JAXDEM_AC_COMPLETE").get_completions(list(words[:-1]), words[-1])
    return [item.value if item.type == "plain" else item.type for item in found]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["tra"], ["train"]),
        (["train", "--act"], ["--action-space"]),
        (["train", "--env", "SWARM"], ["swarm_navigator", "swarm_roller"]),
        (["train", "--model", ""], ["ActorCritic", "PerParticle", "SharedActorCritic"]),
        (["train", "--action-space", "m"], ["MaxNorm"]),
        (["train", "--log", ""], ["tensorboard", "wandb"]),
        (["train", "--config", "reference/swarm"], ["file", "reference/swarm_navigator", "reference/swarm_roller"]),
        (["train", "--out", "x"], ["dir"]),
        (["train", "--set", "ppo.ga"], ["ppo.gae_lambda=", "ppo.gamma="]),
        (["train", "--set", "env_"], ["env_kw."]),
        (["train", "--env", "evacuation", "--set", "env_kw.room"], ["env_kw.room_size="]),
        (["train", "--set", "model_kw.arch"], ["model_kw.architecture="]),
        (["eval", "--env", "swarm_roller", "--set", "env_kw.num"], ["env_kw.num_particles="]),
        (["verify", "ro"], ["rolling"]),
    ],
)
def test_names_are_completed(words: list[str], expected: list[str]) -> None:
    found = completed(*words)
    assert found == expected if len(words) < 3 else set(expected) <= set(found)


@pytest.mark.parametrize("words", [["eval"], ["export"], ["record"], ["replay"], ["train", "--resume"]])
def test_runs_are_completed(words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert completed(*words, "") == ["dir"]
    for name in ("runs/nav", "runs/many", "runs/many/seed-0", "runs/.hidden", "alone"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "config.json").touch()
    assert completed(*words, "") == ["alone", "runs/many", "runs/nav", "runs/many/seed-0"]
    assert completed(*words, "runs/n") == ["runs/nav"]
    assert completed(*words, f"{tmp_path}/runs/n") == [f"{tmp_path}/runs/nav"]
    assert completed(*words, "nowhere/") == ["dir"]


@pytest.mark.parametrize("words", [["eval", "RUN"], ["export", "RUN", "p"], ["train", "--init-from", "RUN"]])
def test_checkpoints_are_completed(words: list[str], tmp_path: Path) -> None:
    for name in ("checkpoints/70", "checkpoints/100", "checkpoints/.tmp", "checkpoints/best"):
        (tmp_path / name).mkdir(parents=True)
    line = [str(tmp_path) if word == "RUN" else word for word in words]
    assert completed(*line, "--checkpoint", "") == ["best", "last", "70", "100"]
    assert completed(*line, "--checkpoint", "1") == ["100"]
    assert completed(*words[:1], "--checkpoint", "") == ["best", "last"]
    assert completed("train", "--set", "ppo.gamma=0.") == completed("train", "--set", "no.") == []


def test_completion_imports_nothing_heavy() -> None:
    program = (
        "import sys\nfrom jaxdem_ac.cli import main\n"
        "try:\n    main(prog_name='jaxdem-ac')\n"
        "except SystemExit:\n    print({'jax', 'numpy', 'flax', 'yaml', 'rich'} & set(sys.modules))"
    )
    asked = {"_JAXDEM_AC_COMPLETE": "bash_complete", "COMP_WORDS": "jaxdem-ac train --env swarm_r", "COMP_CWORD": "3"}
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": str(ROOT), **asked},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.stdout == "plain,swarm_roller\nset()\n"
    assert done.stderr == ""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_for_a_shell(shell: str) -> None:
    result = call("completion", shell)
    assert result.exit_code == 0
    assert f"_JAXDEM_AC_COMPLETE={shell}_complete" in result.stdout


def test_a_shell_that_is_not_known_is_one_line() -> None:
    assert_one_line(call("completion", "tcsh"), "tcsh", "bash")


def test_a_run_that_had_ended_is_not_said_to_be_trained(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"format": 3, "config": ac.TrainConfig().to_dict()}))
    result = ac.TrainResult(ac.TrainConfig(), tmp_path, None, None, [REPORT])  # type: ignore[arg-type]
    monkeypatch.setattr(ac, "resume", lambda run, report, devices, steps: replace(result, run_dir=run))
    said = call("train", "--resume", str(tmp_path))
    assert said.exit_code == 0, said.output
    assert "nothing was trained: the run had ended already, at 1,310,720 agent-steps" in said.stdout
    assert f"To go on: jaxdem-ac train --resume {tmp_path} --steps 2621440\n" in said.stdout
    # What is to be copied into a shell is quoted.
    odd = tmp_path / "a run's"
    odd.mkdir()
    (tmp_path / "config.json").rename(odd / "config.json")
    said = call("train", "--resume", str(odd))
    command = said.stdout.partition("To go on: jaxdem-ac ")[2]
    assert shlex.split(command) == ["train", "--resume", str(odd), "--steps", "2621440"]


def test_a_tilde_in_an_option_is_the_home_folder(asked: list[ac.TrainConfig], tmp_path: Path) -> None:
    assert call("train", "--out=~/there").exit_code == 0
    assert asked[0].out == str(Path.home() / "there")
    assert_one_line(call("train", "--resume=~/nothing-of-that-name"), str(Path.home() / "nothing-of-that-name"))
    assert_one_line(call("export", "", "there"), "run is a path")
