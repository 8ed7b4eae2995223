"""The lock of a run: one process trains it at a time, and who that is stands in a file of the run's folder.

The system's own lock on that file (flock) ends with the process, however it ends. Where another host does not see it,
or there is none, as on Windows, the file's age decides: its holder touches it every `HEARTBEAT` seconds, and one that
has not been touched for `STALE` seconds is nobody's. Clocks of hosts have to agree within a minute.
"""

import errno
import json
import os
import platform
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from jaxdem_ac._files import parse_json, unwritable

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

LOCK = ".lock"
HEARTBEAT, STALE = 30.0, 300.0

_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)
"""Errors of file systems that have no locks."""


@contextmanager
def held(run_dir: Path, members: Iterable[str] = ()) -> Iterator[None]:
    """Hold the lock of a folder that is there, until the context is left or the process ends.

    Nobody may train one of its runs side by side, `members`, either: a member's own lock asks its folder's. Raises
    BlockingIOError if another process holds it, and says which one, where, and since when; OSError if the folder cannot
    be written.
    """
    path = run_dir / LOCK
    file = _opened(path)
    stop = threading.Event()
    thread = threading.Thread(target=_beat, args=(file if os.utime in os.supports_fd else path, stop), daemon=True)
    try:
        _write_note(file, path)
        thread.start()
        try:
            # Both sides lock first and look then: of two that begin at once, one sees the other.
            place = run_dir.resolve()
            around = [place.parent] if place.name.startswith("seed-") else []
            for each in [*(run_dir / name for name in members), *around]:
                check(each)
            yield
        finally:
            stop.set()
            thread.join()
            # Only the file that is locked here: the folder may have been moved, and another one be there.
            with suppress(OSError):
                if os.path.samestat(os.fstat(file), path.stat()):
                    path.unlink()
    finally:
        os.close(file)


def check(run_dir: Path) -> None:
    """Raise BlockingIOError if another process holds the lock of a folder, which may be missing; nothing is written."""
    with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
        file = os.open(run_dir / LOCK, os.O_RDWR)
        try:
            _take(file, run_dir / LOCK)
        finally:
            os.close(file)


def _opened(path: Path) -> int:
    """Return the descriptor of a lock's file, locked."""
    while True:
        try:
            file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise unwritable(path, error) from error
        try:
            _take(file, path)
            # Its holder may have removed it between the two lines above: the lock is then of no file.
            if os.path.samestat(os.fstat(file), path.stat()):
                return file
        except FileNotFoundError:
            pass
        except BaseException:
            os.close(file)
            raise
        os.close(file)


def _take(file: int, path: Path) -> None:
    """Lock an open file, or raise BlockingIOError."""
    locked = False
    if fcntl is not None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            locked = True
        except BlockingIOError:
            raise _taken(path, _note(file)) from None
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise unwritable(path, error) from error
    note = _note(file)
    if not note or time.time() - os.fstat(file).st_mtime > STALE:
        return
    here = note.get("host") == platform.node()
    # A lock of the system that could be had says that a holder on this host is gone; without one its number does.
    if here and (locked or _is_gone(note)):
        return
    raise _taken(path, note, f" Left by a process that is gone, it is nobody's after {STALE / 60:.0f} minutes.")


def _taken(path: Path, note: dict[str, object], hint: str = "") -> BlockingIOError:
    who = (
        f"process {note['pid']} on {note['host']} holds since {note['since']}"
        if {"pid", "host", "since"} <= note.keys()
        else "another process holds"
    )
    return BlockingIOError(
        f"train: one process at a time trains a run; got {str(path.parent)!r}, which {who}. Wait for it, or stop it."
        f"{hint}"
    )


def _note(file: int) -> dict[str, object]:
    """Return what a lock's file says; nothing of one that is empty or half written."""
    os.lseek(file, 0, os.SEEK_SET)
    try:
        note = parse_json(os.read(file, 4096).decode())
    except ValueError:
        return {}
    return note if isinstance(note, dict) else {}


def _write_note(file: int, path: Path) -> None:
    pid = os.getpid()
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    note = {"pid": pid, "host": platform.node(), "since": since, "started": _started(pid)}
    try:
        os.ftruncate(file, 0)
        os.lseek(file, 0, os.SEEK_SET)
        os.write(file, json.dumps(note).encode())
    except OSError as error:
        # On a full disk the system's lock holds without a note.
        if fcntl is None:
            raise unwritable(path, error) from error


def _started(pid: object) -> str | None:
    """Return when a process of this host started, in the kernel's ticks; None where that cannot be known."""
    try:
        # The name, in brackets, may hold blanks and brackets itself.
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return None


def _is_gone(note: dict[str, object]) -> bool:
    """Return whether a process of this host has ended; False where that cannot be known."""
    started = note.get("started")
    return started is not None and Path("/proc/self/stat").exists() and _started(note.get("pid")) != started


def _beat(file: int | Path, stop: threading.Event) -> None:
    while not stop.wait(HEARTBEAT):
        with suppress(OSError):
            os.utime(file)
