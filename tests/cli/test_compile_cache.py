"""Programs that are kept on the disk: where, by whose wish, and that nothing else changes."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from jaxdem_ac.cli.compile_cache import cache_folder, turn_off, with_compile_cache

NAMES = ("JAX_COMPILATION_CACHE_DIR", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS")


@click.command()
@click.option("--alone/--together", default=True)
@with_compile_cache
def show(alone: bool) -> None:
    """Print what JAX would find."""
    if not alone:
        turn_off(click.get_current_context())
    click.echo(json.dumps([os.environ.get(name) for name in NAMES]))


@pytest.fixture(autouse=True)
def _as_if_fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Have a process without JAX, and a home of its own."""
    monkeypatch.delitem(sys.modules, "jax", raising=False)
    for name in (*NAMES, "JAX_ENABLE_COMPILATION_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def found(*arguments: str) -> list[Any]:
    result = CliRunner().invoke(show, arguments)
    assert result.exit_code == 0, result.output
    return list(json.loads(result.stdout))


def test_it_is_on_for_a_command_and_gone_after_it(tmp_path: Path) -> None:
    folder, seconds = found()
    assert (folder, seconds) == (str(cache_folder()), "0")
    assert Path(folder).is_dir()
    assert tmp_path in Path(folder).parents
    assert not set(NAMES) & set(os.environ)


@pytest.mark.parametrize("arguments", [("--no-compile-cache",), ("--together",)])
def test_it_is_off_where_it_is_not_wanted_or_not_safe(arguments: tuple[str, ...]) -> None:
    assert found(*arguments) == [None, None]


def test_what_a_user_has_set_stays(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("JAX_ENABLE_COMPILATION_CACHE", "0")
    assert found() == [None, None]
    monkeypatch.delenv("JAX_ENABLE_COMPILATION_CACHE")
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "/mine")
    assert found() == found("--together") == ["/mine", None]
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_one_warning(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    result = CliRunner().invoke(show)
    assert result.exit_code == 0
    assert json.loads(result.stdout) == [None, None]
    assert result.stderr.count("\n") == 1
    assert "got Not a directory" in result.stderr
    assert "--no-compile-cache" in result.stderr


def test_kinds_of_machines_do_not_share(monkeypatch: pytest.MonkeyPatch) -> None:
    here = cache_folder()
    texts = {"a": "model name: A\nflags: avx2\n\nflags: avx2\n", "b": "model name: A\nflags: avx2 avx512f\n\n"}
    there = set()
    for text in texts.values():
        monkeypatch.setattr(Path, "read_text", lambda *_, text=text, **__: text)
        there.add(cache_folder())
    assert len(there | {here}) == 3
    # A relative one is none, as the specification has it.
    monkeypatch.setenv("XDG_CACHE_HOME", "here")
    assert cache_folder().is_relative_to(Path.home() / ".cache")


def test_what_nobody_reads_is_removed() -> None:
    folder = cache_folder()
    (folder / "untrained").mkdir(parents=True)
    old, new = folder / "old-cache", folder / "new-cache"
    evaluation = folder / "untrained" / "old.program"
    for path in (old, new, evaluation):
        path.touch()
    for path in (old, evaluation):
        os.utime(path, (1e9, 1e9))
    found()
    assert {path.name for path in folder.iterdir()} == {new.name, "untrained"}
    assert not evaluation.exists()


def trained(out: Path, *arguments: str) -> tuple[list[Any], bytes, str]:
    """Train a little in a process of its own; return its reports without times, its parameters, and what was said."""
    small = ("env_kw.num_particles=3", "env_kw.physics_steps=2", "env_kw.n_lidar_rays=4", "ppo.num_envs=2",
             "ppo.num_steps=4", "ppo.num_minibatches=1", "model_kw.architecture=[4]")  # fmt: skip
    sets = [word for each in small for word in ("--set", each)]
    command = [sys.executable, "-m", "jaxdem_ac.cli", "train", "--env", "swarm_navigator", "--steps", "48"]
    done = subprocess.run(
        [*command, "--report-every", "1", *sets, "--out", str(out), *arguments], capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    timed = ("seconds", "agent_steps_per_second")
    reports = [{name: value for name, value in line.items() if name not in timed} for line in lines]
    code = (
        "import sys, jax, numpy, jaxdem_ac as ac\n"
        "leaves = jax.tree.leaves(ac.load_policy(sys.argv[1]).model_state)\n"
        "sys.stdout.buffer.write(b''.join(numpy.asarray(leaf).tobytes() for leaf in leaves))"
    )
    parameters = subprocess.run([sys.executable, "-c", code, str(out)], capture_output=True, check=True).stdout
    return reports, parameters, done.stderr


@pytest.mark.slow
def test_trainings_are_bit_equal_with_and_without_it(tmp_path: Path) -> None:
    bare = trained(tmp_path / "bare", "--no-compile-cache")
    assert not cache_folder().exists()
    cold, warm = trained(tmp_path / "cold"), trained(tmp_path / "warm")
    entries = list(cache_folder().glob("*-cache"))
    assert len(entries) > 10
    assert len(bare[1]) > 100
    assert bare[:2] == cold[:2] == warm[:2]
    # One that a crash cut short is compiled again, and that is said.
    for entry in entries:
        entry.write_bytes(entry.read_bytes()[:40])
    mended = trained(tmp_path / "mended")
    assert mended[:2] == bare[:2]
    assert "Error reading persistent compilation cache entry" in mended[2]


@pytest.mark.slow
def test_processes_at_once_share_it(tmp_path: Path) -> None:
    with ThreadPoolExecutor() as pool:
        first, second = pool.map(trained, (tmp_path / "0", tmp_path / "1"))
    assert first[:2] == second[:2]
    assert list(cache_folder().glob("*-cache"))
