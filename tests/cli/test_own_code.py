"""A user's own environment, model and action space from the shell: by file, by package, and only once trusted."""

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
from support.command_line import assert_one_line, call
from support.own_code import NAMES, SOURCE, TINY, imports

import jaxdem_ac as ac
from jaxdem_ac.plugin import references
from jaxdem_ac.runs.run_dir import read_config

# Commands that build what a run names, with what they need besides.
COMMANDS = {
    "eval": ["--episodes", "2", "--no-baseline"],
    "render": ["--format", "png", "--decisions", "2"],
    "report": ["--episodes", "1"],
    "record": ["--decisions", "2"],
    "replay": ["--engine", "embedded", "--episodes", "0", "--decisions", "2"],
    "export": ["policy.bin"],
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Give a folder with a file and a package of a user's, in which commands work, and a run of each."""
    folder, path = tmp_path_factory.mktemp("project"), [*sys.path]
    (folder / "my_swarm").mkdir()
    for file in ("my_tasks.py", "my_swarm/__init__.py", "my_swarm/tasks.py"):
        (folder / file).write_text("" if "__init__" in file else SOURCE)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, place in PLACES.items():
            result = call("train", *options(place), *TINY, "--out", f"runs/{name}", "--quiet")
            assert result.exit_code == 0, result.output
        yield folder
    sys.path[:] = path
    for module in ("my_swarm.tasks", "my_swarm"):
        sys.modules.pop(module, None)


PLACES = {"file": "my_tasks.py", "package": "my_swarm.tasks"}


def options(place: str) -> list[str]:
    return [part for field, name in NAMES.items() for part in (f"--{field.replace('_', '-')}", f"{place}:{name}")]


def test_the_reference_is_kept_as_it_is(project: Path) -> None:
    stored = json.loads((project / "runs/file/config.json").read_text())
    assert [stored["config"][field] for field in NAMES] == [f"my_tasks.py:{name}" for name in NAMES.values()]
    assert stored["code"]["env"] == {
        "class": "Flock",
        "file": str(project / "my_tasks.py"),
        "sha256": hashlib.sha256(SOURCE.encode()).hexdigest()[:32],
        "from_run": "../../my_tasks.py",
    }
    stored = json.loads((project / "runs/package/config.json").read_text())
    assert stored["config"]["model"] == "my_swarm.tasks:Net"
    assert stored["code"]["model"] == {"class": "Net", "module": "my_swarm.tasks"}


def test_a_file_that_has_changed_since_is_said(project: Path, tmp_path: Path) -> None:
    shutil.copytree(project, tmp_path / "copy")
    read_config(tmp_path / "copy/runs/file")
    (tmp_path / "copy/my_tasks.py").write_text(SOURCE + "\n")
    with pytest.warns(UserWarning, match=r"copy/my_tasks.py has changed since"):
        read_config(tmp_path / "copy/runs/file")


@pytest.mark.parametrize("kind", PLACES)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_reads_a_run_that_is_trusted(project: Path, command: str, kind: str) -> None:
    run = f"runs/{kind}"
    refused = call(command, run, *COMMANDS[command])
    assert_one_line(refused, "imported once you trust it", "--trust", NAMES["env"])
    result = call(command, run, *COMMANDS[command], "--trust")
    assert result.exit_code == 0, result.output
    # Trusted once: the next command asks again.
    assert_one_line(call(command, run, *COMMANDS[command]), "imported once you trust it")


@pytest.mark.parametrize("kind", PLACES)
def test_the_same_options_trust_it_too(project: Path, kind: str) -> None:
    assert call("eval", f"runs/{kind}", "--episodes", "2", *options(PLACES[kind])).exit_code == 0
    some = call("eval", f"runs/{kind}", "--episodes", "2", *options(PLACES[kind])[:2])
    assert_one_line(some, "code outside the registries")


@pytest.mark.parametrize("kind", PLACES)
def test_a_policy_without_training_plays(project: Path, kind: str) -> None:
    assert call("eval", "--env", f"{PLACES[kind]}:Flock", "--policy", "random", "--episodes", "2").exit_code == 0


@pytest.mark.parametrize("kind", PLACES)
def test_bench_measures_it(project: Path, kind: str) -> None:
    sizes = ["--num-particles", "3", "--num-envs", "1", "--repeats", "3", "--stages", "environment"]
    result = call("bench", "--env", f"{PLACES[kind]}:Flock", *sizes, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["rows"][0]["status"] == "ok"


def test_a_run_that_goes_on_ends_as_one_that_was_never_stopped(project: Path) -> None:
    def stop(_: object) -> None:
        raise KeyboardInterrupt

    config = replace(read_config(project / "runs/file"), out="runs/stopped")
    with references.scope():
        references.trust_everything()
        with pytest.raises(KeyboardInterrupt):
            ac.train(config, stop)
    assert_one_line(call("train", "--resume", "runs/stopped"), "imported once you trust it")
    assert_one_line(call("train", "--resume", "runs/stopped", "--env", "evacuation", "--trust"), "other options")
    told = call("train", "--resume", "runs/stopped", *options("my_tasks.py"), "--quiet")
    assert told.exit_code == 0, told.output
    assert len(told.stdout.splitlines()) == 2, told.stdout
    with references.scope():
        references.trust_everything()
        whole, stopped = (ac.load_policy(project / "runs" / name) for name in ("file", "stopped"))
    for one, other in zip(jax.tree.leaves(whole), jax.tree.leaves(stopped), strict=True):
        np.testing.assert_array_equal(one, other)
    assert call("train", "--resume", "runs/stopped", "--trust").exit_code == 0


def run_alone(*arguments: object, folder: Path) -> "subprocess.CompletedProcess[str]":
    """Run a command in a process of its own, where nothing has been imported."""
    program = [sys.executable, "-m", "jaxdem_ac.cli", *map(str, arguments)]
    return subprocess.run(program, cwd=folder, capture_output=True, text=True)


def test_nothing_is_imported_unasked(project: Path) -> None:
    file = project / "my_tasks.py"
    before = imports(file)
    said = run_alone("eval", "runs/file", folder=project)
    assert (said.returncode, imports(file)) == (2, before)
    assert f"got '{file}:Flock'" in said.stderr
    said = run_alone("eval", "runs/file", "--episodes", "2", "--no-baseline", "--trust", folder=project)
    assert (said.returncode, imports(file)) == (0, before + 1)


@pytest.mark.parametrize("name", ["os:system", "webbrowser:open", "evil.py:Flock", "my_tasks.py:Flock"])
def test_a_configuration_that_was_tampered_with_imports_nothing(project: Path, tmp_path: Path, name: str) -> None:
    evil, run = project / "evil.py", tmp_path / "run"
    evil.write_text(SOURCE)
    shutil.copytree(project / "runs/file", run)
    stored = json.loads((run / "config.json").read_text())
    stored["config"]["env"] = name
    del stored["code"]["env"]
    (run / "config.json").write_text(json.dumps(stored))
    sys.modules.pop("webbrowser", None)
    # Trusting one class trusts no other.
    result = call("eval", run, "--env", "my_swarm.tasks:Flock", "--episodes", "2")
    assert_one_line(result, "imported once you trust it", name.rpartition(":")[2])
    assert "webbrowser" not in sys.modules
    assert imports(evil) == 0


def test_a_function_is_no_environment_even_if_trusted(project: Path) -> None:
    result = call("eval", "--env", "os:system", "--policy", "random")
    assert_one_line(result, "os:system is a class on jaxdem_ac.environments.base.Environment", "got a builtin_function")


@pytest.mark.parametrize(
    "code", [3, {"env": 3}, {"env": {"class": "Flock"}}, {"steps": {"class": "F", "file": "f.py"}}]
)
def test_damaged_places_are_told(project: Path, tmp_path: Path, code: object) -> None:
    run = tmp_path / "run"
    shutil.copytree(project / "runs/file", run)
    stored = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps({**stored, "code": code}))
    assert_one_line(call("eval", run, "--trust"), "says in which file or module a class is")


def test_a_project_is_moved_as_a_whole_or_the_file_alone(project: Path, tmp_path: Path) -> None:
    there = tmp_path / "there"
    shutil.copytree(project, there)
    refused = call("eval", there / "runs/file")
    assert_one_line(refused, f"got '{there}/my_tasks.py:Flock'")
    alone, elsewhere = tmp_path / "alone", tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.copytree(there / "runs/file", alone)
    stored = (alone / "config.json").read_text().replace(str(project), "/nowhere")
    (alone / "config.json").write_text(stored)
    shutil.copy(project / "my_tasks.py", elsewhere / "my_tasks.py")
    gone = call("eval", alone, "--trust")
    assert_one_line(gone, "no such file at '/nowhere/my_tasks.py'", "--env FOLDER/my_tasks.py:Flock")
    assert call("eval", alone, "--episodes", "2", *options(str(elsewhere / "my_tasks.py"))).exit_code == 0
    # From its configuration another run can be made.
    (there / "runs/file/config.json").replace(tmp_path / "config.json")
    assert_one_line(call("train", "--config", tmp_path / "config.json", "--out", tmp_path / "new"), "trust it")
    result = call("train", "--config", tmp_path / "config.json", "--out", tmp_path / "new", "--trust", "--quiet")
    assert result.exit_code == 0, result.output


def test_a_recording_names_its_environment_and_is_trusted_too(project: Path, tmp_path: Path) -> None:
    file = tmp_path / "episode.npz"
    assert call("record", "runs/file", "--decisions", "2", "--out", file, "--trust").exit_code == 0
    drawn = ["--recording", file, "--format", "png", "--out", tmp_path]
    assert_one_line(call("render", *drawn), "environment: code outside the registries")
    assert call("render", *drawn, "--env", "my_tasks.py:Flock").exit_code == 0
    assert_one_line(call("replay", file, "--engine", "embedded"), "environment: code outside the registries")
    assert call("replay", file, "--engine", "embedded", "--trust").exit_code == 0
    # A page shows what was recorded, whoever's task it was.
    assert call("report", "--recording", file, "--out", tmp_path / "page.html").exit_code == 0
    assert str(project) not in (tmp_path / "page.html").read_text()


def test_an_option_that_is_of_no_use_is_told(project: Path) -> None:
    result = call("eval", "runs/file", "--trust", "--episodes", "2", "--env", "my_swarm.tasks:Flock")
    assert result.exit_code == 0
    assert "warning: --env my_swarm.tasks:Flock was not needed" in result.stderr
    for command in ("eval", "render"):
        assert_one_line(call(command, "runs/file", "--env", "swarm_navigator"), "--env")


BROKEN = {
    "1 +\n": ("line 1 of", "`1 +`: SyntaxError"),
    "x = 1\nmissing()\n": ("line 2 of", "`missing()`: NameError"),
    "import nothing_there\n": ("line 1 of", "ModuleNotFoundError"),
    "raise SystemExit(3)\n": ("line 1 of", "SystemExit"),
    "import jaxdem_ac as ac\nac.train(ac.TrainConfig())\n": ("line 2 of", "trains nothing", '__name__ == "__main__"'),
    SOURCE.replace("Flock", "Flocks"): ("no such class; got 'Flock'", "Did you mean 'Flocks'"),
    "Flock = 3": ("is a class on", "got a int"),
    "class Flock: pass": ("is a class on", "got the class Flock"),
}


@pytest.mark.parametrize("source", BROKEN)
def test_what_is_wrong_with_a_file_is_one_line(project: Path, tmp_path: Path, source: str) -> None:
    file = tmp_path / "broken.py"
    file.write_text(source)
    said = call("eval", "--env", f"{file}:Flock", "--policy", "random")
    assert_one_line(said, "error: environment: ", *BROKEN[source])


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("my_tasks.py", "Of a file say the class: my_tasks.py:Flock"),
        ("missing.py:Flock", "no such file at"),
        ("my_swarm:Flock", "my_swarm has no such class"),
        ("./my_swarm:Flock", "file.py:Class or package.module:Class"),
        ("my_tasks.py:", "file.py:Class or package.module:Class"),
        (":Flock", "file.py:Class or package.module:Class"),
        ("folder.py:Flock", "got a folder"),
        ("my_swarm.nothing:Flock", "Install that package"),
    ],
)
def test_a_reference_that_leads_nowhere_is_one_line(project: Path, name: str, words: str) -> None:
    (project / "folder.py").mkdir(exist_ok=True)
    assert_one_line(call("eval", "--env", name, "--policy", "random"), "error: environment: ", words)
    assert_one_line(call("train", "--env", name, "--out", "never"), words)
    assert not (project / "never").exists()


def test_a_class_within_a_class_is_found(project: Path) -> None:
    assert call("eval", "--env", "my_tasks.py:Flock.Inner", "--policy", "random", "--episodes", "2").exit_code == 0
