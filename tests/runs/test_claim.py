"""An overwriting that is cut off anywhere: the old run or the new one is there, whole, and what is the user's stays."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import jaxdem_ac as ac
from jaxdem_ac._files import write_text
from jaxdem_ac.runs import claim
from jaxdem_ac.runs.run_dir import CONFIG, REPLACED, config_text, holds_run, read_config

STEPS = ("rename", "replace", "mkdir", "rmdir", "unlink")
ONE, MANY = ac.TrainConfig(seed=1), ac.TrainConfig(seed=2, num_seeds=2)
MINE = {"notes.txt": "mine", "figures/a.png": "mine too"}


class Killed(BaseException):
    """What no process answers."""


@contextmanager
def killed_at(step: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let only so many changes of folders happen; nothing that follows does, as if the process were gone."""
    left = [step]

    def counted(change: Any) -> Any:
        def made(*arguments: Any, **keywords: Any) -> Any:
            if not left[0]:
                raise Killed
            left[0] -= 1
            return change(*arguments, **keywords)

        return made

    with monkeypatch.context() as patch:
        for name in STEPS:
            patch.setattr(os, name, counted(getattr(os, name)))
        yield


def texts(config: ac.TrainConfig) -> dict[str, str]:
    members = config.members() if config.is_many else {}
    return {".": config_text(config), **{name: config_text(each) for name, each in members.items()}}


def lay(folder: Path, config: ac.TrainConfig) -> dict[str, str]:
    """Write a run that has trained, among files of the user's; return what it holds."""
    for name, text in texts(config).items():
        (folder / name / "checkpoints" / "6").mkdir(parents=True)
        for file, said in {"config.json": text, "metrics.jsonl": "lines", "checkpoints/6/metrics": "arrays"}.items():
            (folder / name / file).write_text(said)
    for file, said in MINE.items():
        (folder / file).parent.mkdir(exist_ok=True)
        (folder / file).write_text(said)
    return contents(folder)


def contents(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(("old", "new"), [(ONE, ONE), (ONE, MANY), (MANY, ONE), (MANY, MANY)])
@pytest.mark.parametrize("then", ["resume", "overwrite"])
def test_an_overwriting_that_is_killed_at_any_step(
    old: ac.TrainConfig, new: ac.TrainConfig, then: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = replace(new, steps=7)
    wanted = texts(new)
    fresh = {str(Path(name) / "config.json"): text for name, text in wanted.items()} | MINE
    for step in range(200):
        folder = tmp_path / str(step)
        before = lay(folder, old)
        try:
            with killed_at(step, monkeypatch):
                claim.prepare(folder, True, wanted)
        except Killed:
            pass
        else:
            assert contents(folder) == fresh
            break
        assert MINE.items() <= contents(folder).items()
        if then == "resume":
            with claim.reopened(folder):
                assert read_config(folder) in (old, new)
            assert contents(folder) in (before, fresh)
        else:
            with claim.claimed(folder, True, wanted):
                pass
            assert contents(folder) == fresh
    assert step > 5


def test_a_recovery_that_is_killed_at_any_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever the overwriting itself was cut off."""
    for first in range(0, 40, 6):
        for second in range(0, 40, 5):
            folder = tmp_path / f"{first}-{second}"
            before = lay(folder, MANY)
            for step, act in (
                (first, lambda folder: claim.prepare(folder, True, texts(ONE))),
                (second, claim.recover),
            ):
                try:
                    with killed_at(step, monkeypatch):
                        act(folder)
                except Killed:
                    pass
            claim.recover(folder)
            assert contents(folder) in (before, {"config.json": config_text(ONE), **MINE})


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have no room for another configuration."""

    def write(path: Path, text: str) -> None:
        if path.name == CONFIG:
            raise OSError(28, "No space left on device")
        write_text(path, text)

    monkeypatch.setattr(claim, "write_text", write)


@pytest.mark.usefixtures("full")
def test_what_fails_leaves_the_old_run_as_it_was(tmp_path: Path) -> None:
    before = lay(tmp_path, ONE)
    with pytest.raises(OSError, match="No space"), claim.claimed(tmp_path, True, texts(ONE)):
        pass
    assert contents(tmp_path) == before


def test_a_folder_that_waits_for_its_old_run_says_so(tmp_path: Path) -> None:
    (tmp_path / REPLACED).mkdir()
    with pytest.raises(FileNotFoundError, match=r"resume\('.*'\) brings the old run back"):
        read_config(tmp_path)
    with pytest.raises(FileExistsError, match="holds a run"):
        claim.check(tmp_path, False)
    claim.check(tmp_path, True)


@pytest.mark.usefixtures("full")
def test_a_new_folder_goes_again_where_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space"), claim.claimed(tmp_path / "new", False, texts(ONE)):
        pass
    assert not list(tmp_path.iterdir())


OVERWRITE = """
import sys, time
from pathlib import Path
from jaxdem_ac._files import write_text
from jaxdem_ac.runs import claim
import os
rename = os.rename
def slow(*arguments, **keywords):
    rename(*arguments, **keywords)
    print("step", flush=True)
    time.sleep(0.05)
os.rename = slow
with claim.claimed(Path(sys.argv[1]), True, {".": sys.argv[2]}):
    print("done", flush=True)
    time.sleep(600)
"""


@pytest.mark.slow
@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5])
def test_sigkill_in_an_overwriting(steps: int, tmp_path: Path) -> None:
    before, text = lay(tmp_path, ONE), config_text(ac.TrainConfig(steps=7))
    child = subprocess.Popen([sys.executable, "-c", OVERWRITE, str(tmp_path), text], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    for _ in range(steps):
        child.stdout.readline()
    child.send_signal(signal.SIGKILL)
    child.wait(20)
    child.stdout.close()
    with claim.reopened(tmp_path):
        assert contents(tmp_path) | {".lock": ""} in (
            before | {".lock": ""},
            {"config.json": text, **MINE, ".lock": ""},
        )
    with claim.claimed(tmp_path, True, {".": text}):
        assert holds_run(tmp_path)
    assert contents(tmp_path) == {"config.json": text, **MINE}


@pytest.mark.slow
def test_sigkill_before_the_first_checkpoint(tmp_path: Path) -> None:
    """A later --resume says one line, a later train another, and --overwrite trains."""
    shell = [sys.executable, "-m", "jaxdem_ac.cli", "train"]
    tiny = ["--set", "env_kw.num_particles=4", "--set", "ppo.num_envs=2", "--set", "ppo.num_steps=4", "--set",
            "ppo.num_minibatches=2", "--out", str(tmp_path), "--quiet", "--report-every", "1"]  # fmt: skip
    child = subprocess.Popen([*shell, *tiny], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    child.stdout.readline()
    child.send_signal(signal.SIGKILL)
    child.wait(20)
    child.stdout.close()
    for options, word in ((["--resume", str(tmp_path)], "holds a checkpoint"), (tiny, "holds a run")):
        said = subprocess.run([*shell, *options], capture_output=True, text=True, check=False)
        assert said.returncode == 2
        assert said.stderr.count("\n") == 1
        assert word in said.stderr
    again = subprocess.run([*shell, *tiny, "--overwrite", "--steps", "64"], capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert ac.load_policy(tmp_path).observation_size
