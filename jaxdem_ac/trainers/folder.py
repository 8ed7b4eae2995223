"""The files of a run that people read: making its folder, and its reports."""

import json
import shutil
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


def prepare(run_dir: Path, overwrite: bool, config: str) -> None:
    """Make the run's folder with its configuration, and remove a run that may be overwritten; never anything else."""
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
    for name in [*_members_of(run_dir), *held]:
        path = run_dir / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    run_dir.mkdir(parents=True, exist_ok=True)
    checkpoint.write_text(run_dir / checkpoint.CONFIG, config)


def _members_of(run_dir: Path) -> list[str]:
    """Return the names of the runs that a folder of many holds."""
    try:
        config = checkpoint.read_config(run_dir)
    except (OSError, ValueError):
        return []
    return [name for name in config.members() if config.is_many and checkpoint.holds_run(run_dir / name)]
