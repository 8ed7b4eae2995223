"""One process trains a run at a time, and a dead one is in nobody's way."""

import json
import os
import platform
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import jaxdem_ac as ac
from jaxdem_ac.runs import claim, lock
from jaxdem_ac.runs.run_dir import config_text

HOLD = (
    "import sys, time; from pathlib import Path; from jaxdem_ac.runs import lock\n"
    "with lock.held(Path(sys.argv[1])): print('held', flush=True); time.sleep(600)"
)
CONFIG = config_text(ac.TrainConfig())


def take(folder: Path, *members: str) -> None:
    with lock.held(folder, members):
        assert (folder / lock.LOCK).is_file()


def leave_note(folder: Path, age: float = 0.0, **note: Any) -> None:
    path = folder / lock.LOCK
    path.write_text(json.dumps({"pid": 1, "host": "elsewhere", "since": "then", "started": "0", **note}))
    os.utime(path, (path.stat().st_mtime - age,) * 2)


def test_the_second_is_told_who_holds_it(tmp_path: Path) -> None:
    with lock.held(tmp_path):
        with pytest.raises(BlockingIOError, match=rf"process {os.getpid()} on {platform.node()} holds since 20\d\d-"):
            take(tmp_path)
        with pytest.raises(BlockingIOError, match="one process at a time"):
            lock.check(tmp_path)
    take(tmp_path)
    lock.check(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_process_that_is_killed_lets_go(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"
    with pytest.raises(BlockingIOError, match=f"process {child.pid} on"):
        take(tmp_path)
    child.send_signal(signal.SIGKILL)
    child.wait(20)
    child.stdout.close()
    assert (tmp_path / lock.LOCK).is_file()
    take(tmp_path)


@pytest.mark.parametrize("locks", [True, False], ids=["flock", "no flock"])
def test_another_hosts_lock_counts_while_it_is_fresh(
    locks: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not locks:
        monkeypatch.setattr(lock, "fcntl", None)
    leave_note(tmp_path, lock.STALE - 60)
    with pytest.raises(BlockingIOError, match=r"process 1 on elsewhere .* nobody's after 5 minutes"):
        take(tmp_path)
    leave_note(tmp_path, lock.STALE + 60)
    take(tmp_path)


def test_without_locks_a_process_id_in_use_again_locks_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "fcntl", None)
    here = {"host": platform.node(), "pid": os.getpid()}
    leave_note(tmp_path, **here, started=lock._started(os.getpid()))
    with pytest.raises(BlockingIOError, match=f"process {os.getpid()}"):
        take(tmp_path)
    leave_note(tmp_path, **here)
    take(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"pid": 3}', "\xff", "[" * 4000])
def test_a_damaged_note_blocks_nobody(text: str, tmp_path: Path) -> None:
    (tmp_path / lock.LOCK).write_text(text, encoding="latin-1")
    os.utime(tmp_path / lock.LOCK, (0, 0))
    take(tmp_path)


def test_the_holder_touches_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "HEARTBEAT", 0.01)
    with lock.held(tmp_path):
        path = tmp_path / lock.LOCK
        os.utime(path, (0, 0))
        for _ in range(500):
            if path.stat().st_mtime > 1e9:
                return
            lock.threading.Event().wait(0.01)
    pytest.fail("nobody touched it")


def test_a_run_side_by_side_with_others_is_locked_with_them(tmp_path: Path) -> None:
    member = tmp_path / "seed-1"
    member.mkdir()
    with lock.held(tmp_path, ["seed-1"]), pytest.raises(BlockingIOError, match="holds since"):
        take(member)
    with lock.held(member), pytest.raises(BlockingIOError, match="seed-1"):
        take(tmp_path, "seed-1")
    take(tmp_path, "seed-1")


def test_nothing_is_trained_where_another_trains(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(CONFIG)
    with lock.held(tmp_path):
        for overwrite in (False, True):
            with pytest.raises(BlockingIOError, match="one process at a time"):
                ac.train(ac.TrainConfig(out=str(tmp_path)), overwrite=overwrite)
        with pytest.raises(BlockingIOError, match="one process at a time"):
            ac.resume(tmp_path)
        with pytest.raises(BlockingIOError, match="one process at a time"), claim.claimed(tmp_path, True, {}):
            pass
    assert (tmp_path / "config.json").read_text() == CONFIG


def test_a_lock_that_moved_with_its_folder_takes_no_other_away(tmp_path: Path) -> None:
    old = tmp_path / "run"
    old.mkdir()
    with lock.held(old):
        old.rename(tmp_path / "moved")
        old.mkdir()
        (old / lock.LOCK).write_text("another's")
    assert (old / lock.LOCK).read_text() == "another's"
