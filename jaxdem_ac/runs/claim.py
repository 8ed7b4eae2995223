"""The folder of a run is made, or taken from a run that may go: under its lock, and whole or not at all."""

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from jaxdem_ac._files import make_folder, parse_json, write_text
from jaxdem_ac.runs import lock
from jaxdem_ac.runs.run_dir import CONFIG, METRICS, OWN_FILES, REPLACED, holds_run, read_config

_DOOMED = ".deleted-run"
_RUNS, _NOTE, _MEMBERS = "runs", "new.json", "seed-*"


def check(run_dir: Path, overwrite: bool, names: Iterable[str] = (".",)) -> None:
    """Raise FileExistsError unless runs may have the folders `names`, BlockingIOError if another process trains there.

    Nothing is written. A folder may not hold files of something else, nor without `overwrite` a run; ``"."`` is
    `run_dir`.
    """
    if run_dir.is_dir():
        lock.check(run_dir)
    if (run_dir / REPLACED).is_dir():
        # The old run comes back before it is overwritten.
        if not overwrite:
            raise _kept(run_dir)
        return
    _held(run_dir, overwrite, names)


@contextmanager
def claimed(run_dir: Path, overwrite: bool, configs: Mapping[str, str]) -> Iterator[None]:
    """Make the folder of a run, or of many, and hold its lock until the context is left.

    `configs` is what config.json says, by folder below `run_dir`, ``"."`` for its own. Runs that are there already are
    removed if they may be; never anything else, and nothing if one may not. Raises as :func:`check`, and OSError.
    """
    check(run_dir, overwrite, configs)
    new = not run_dir.exists()
    make_folder(run_dir)
    try:
        with lock.held(run_dir, {*configs, *_members_of(run_dir)} - {"."}):
            recover(run_dir)
            prepare(run_dir, overwrite, configs)
            new = False
            yield
    finally:
        if new:
            with suppress(OSError):
                run_dir.rmdir()


def prepare(run_dir: Path, overwrite: bool, configs: Mapping[str, str]) -> None:
    """Write the configurations of new runs, in the place of old ones; under the lock, as :func:`claimed`.

    The old runs are put aside, and deleted once all that is new is there. What is cut off in between, :func:`recover`
    undoes.
    """
    held = _held(run_dir, overwrite, configs)
    if not held:
        _write(run_dir, configs)
        return
    aside = run_dir / REPLACED
    try:
        for name, files in held.items():
            make_folder(aside / _RUNS / name)
            # As long as config.json is where it was, the folder is seen to hold a run.
            for file in sorted(files, key=CONFIG.__eq__):
                (run_dir / name / file).rename(aside / _RUNS / name / file)
        # Where this note lies, all that is old is put aside.
        write_text(aside / _NOTE, json.dumps([*configs]))
        _write(run_dir, configs)
    except BaseException:
        with suppress(OSError):
            recover(run_dir)
        raise
    # From here on it is the new run that counts.
    aside.rename(run_dir / _DOOMED)
    recover(run_dir)
    for name in held.keys() - configs.keys():
        with suppress(OSError):
            (run_dir / name).rmdir()


def recover(run_dir: Path) -> None:
    """Undo an overwriting that was cut off, or finish deleting the old run; under the lock, and as often as need be."""
    aside, doomed, note = run_dir / REPLACED, run_dir / _DOOMED, run_dir / REPLACED / _NOTE
    for folder in [run_dir, *run_dir.glob(_MEMBERS)]:
        for file in (CONFIG, METRICS):
            # Drafts of a writer that was killed.
            for draft in folder.glob(f".{file}.*.part"):
                draft.unlink(missing_ok=True)
    if doomed.is_dir():
        shutil.rmtree(doomed)
    if not aside.is_dir():
        return
    if note.is_file():
        names = parse_json(note.read_text(encoding="utf-8"))
        for name in names:
            (run_dir / name / CONFIG).unlink(missing_ok=True)
        for name in names:
            # A folder that was made for a new run; others are not empty.
            with suppress(OSError):
                (run_dir / name).rmdir()
        note.unlink()
    for folder in [aside / _RUNS, *(aside / _RUNS).glob(_MEMBERS)]:
        for file in sorted(OWN_FILES, key=CONFIG.__eq__):
            if (folder / file).exists():
                back = run_dir / folder.relative_to(aside / _RUNS)
                back.mkdir(exist_ok=True)
                (folder / file).rename(back / file)
    aside.rename(doomed)
    shutil.rmtree(doomed)


@contextmanager
def reopened(run_dir: Path) -> Iterator[None]:
    """Hold the lock of a run and undo an overwriting that was cut off; BlockingIOError if another process has it."""
    if not any((run_dir / name).exists() for name in (CONFIG, REPLACED)):
        yield
        return
    with lock.held(run_dir, _members_of(run_dir)):
        recover(run_dir)
        yield


def _write(run_dir: Path, configs: Mapping[str, str]) -> None:
    for name, config in configs.items():
        make_folder(run_dir / name)
        write_text(run_dir / name / CONFIG, config)


def _held(run_dir: Path, overwrite: bool, names: Iterable[str]) -> dict[str, list[str]]:
    """Return the names of runs' files that a folder and those below it hold, or raise FileExistsError if they stay."""
    there = dict.fromkeys([*names, *_members_of(run_dir)])
    held = {name: _files_of(run_dir / name, overwrite) for name in there}
    return {name: files for name, files in held.items() if files}


def _files_of(run_dir: Path, overwrite: bool) -> list[str]:
    if run_dir.exists() and not run_dir.is_dir():
        raise FileExistsError(f"train: out is a folder; got out={str(run_dir)!r}, a file. Choose another out.")
    files = [name for name in OWN_FILES if (run_dir / name).exists()]
    if files and not holds_run(run_dir):
        raise FileExistsError(
            f"train: out is a new folder; got out={str(run_dir)!r}, which holds {', '.join(files)} of something else. "
            "Choose another out."
        )
    if files and not overwrite:
        raise _kept(run_dir)
    return files


def _kept(run_dir: Path) -> FileExistsError:
    return FileExistsError(
        f"train: out is a new folder; got out={str(run_dir)!r}, which holds a run. "
        "Choose another out, or pass overwrite=True to delete that run."
    )


def _members_of(run_dir: Path) -> list[str]:
    """Return the names of the runs that a folder of many holds."""
    try:
        config = read_config(run_dir)
    except (OSError, ValueError):
        return []
    return [name for name in config.members() if config.is_many and holds_run(run_dir / name)]
