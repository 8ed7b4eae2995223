"""The files of a run that people read: making its folder, and its reports."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxdem_ac.trainers import checkpoint

Metrics = dict[str, Any]


def append_line(run_dir: Path, metrics: Metrics) -> None:
    """Add a report to a run's metrics.jsonl."""
    with (run_dir / checkpoint.METRICS).open("a") as file:
        file.write(json.dumps(metrics) + "\n")


def lines_until(run_dir: Path, done: int) -> list[Metrics]:
    """Return a run's reports up to an update; later ones are made again."""
    return [line for line in checkpoint.read_metrics(run_dir) if line["update"] <= done]


def rewrite_lines(run_dir: Path, lines: list[Metrics]) -> None:
    """Write a run's reports anew, whole or not at all."""
    checkpoint.write_text(run_dir / checkpoint.METRICS, "".join(json.dumps(line) + "\n" for line in lines))


def prepare(run_dir: Path, overwrite: bool, configs: Mapping[str, str]) -> None:
    """Make the folder of a run, or of many, each with its configuration.

    Runs that are there already are removed if they may be; never anything else. Nothing is touched if one may not.

    Parameters
    ----------
    run_dir : Path
    overwrite : bool
        Whether runs that are there may be removed.
    configs : mapping
        What config.json says, by folder below `run_dir`: ``"."`` for its own.
    """
    there = {run_dir / name: None for name in [*_members_of(run_dir), *configs]}
    held = {folder: _held(folder, overwrite) for folder in there}
    for folder, names in held.items():
        for name in names:
            path = folder / name
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        if names and folder.name not in configs and folder != run_dir and not any(folder.iterdir()):
            folder.rmdir()
    for name, config in configs.items():
        folder = run_dir / name
        folder.mkdir(parents=True, exist_ok=True)
        checkpoint.write_text(folder / checkpoint.CONFIG, config)


def _held(run_dir: Path, overwrite: bool) -> list[str]:
    """Return the names of a run's files that a folder holds, or raise FileExistsError if they have to stay."""
    if run_dir.exists() and not run_dir.is_dir():
        raise FileExistsError(f"train: out is a folder; got out={str(run_dir)!r}, a file. Choose another --out.")
    held = [name for name in checkpoint.OWN_FILES if (run_dir / name).exists()]
    if held and not checkpoint.holds_run(run_dir):
        raise FileExistsError(
            f"train: out is a new folder; got out={str(run_dir)!r}, which holds {', '.join(held)} of something else. "
            "Choose another --out."
        )
    if held and not overwrite:
        raise FileExistsError(
            f"train: out is a new folder; got out={str(run_dir)!r}, which holds a run. "
            "Choose another --out, or pass --overwrite to delete that run."
        )
    return held


def _members_of(run_dir: Path) -> list[str]:
    """Return the names of the runs that a folder of many holds."""
    try:
        config = checkpoint.read_config(run_dir)
    except (OSError, ValueError):
        return []
    return [name for name in config.members() if config.is_many and checkpoint.holds_run(run_dir / name)]
