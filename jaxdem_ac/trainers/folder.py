"""The folder of a run, and its files that people read: config.json and metrics.jsonl."""

import json
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from jaxdem_ac.trainers.config import TrainConfig

Metrics = dict[str, Any]

FORMAT = 3
CONFIG, METRICS, CHECKPOINTS = "config.json", "metrics.jsonl", "checkpoints"
PICTURES = ("episode.gif", "episode.mp4", "episode.png", "learning_curve.png")
LOGS = ("tensorboard", "wandb")
REPORT = "report.html"
OWN_FILES = (CONFIG, METRICS, CHECKPOINTS, *LOGS, *PICTURES, REPORT)


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` whole or not at all.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    draft = path.with_name(f".{path.name}.part")
    try:
        draft.write_text(text)
        draft.replace(path)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)


def unwritable(path: Path, error: OSError) -> OSError:
    """Return an error of the same kind that says what to do."""
    kind = PermissionError if isinstance(error, PermissionError) else OSError
    return kind(
        f"write: {str(path)!r} has to be writable; got {error.strerror or error}. Choose another folder, or make room."
    )


def holds_run(run_dir: Path) -> bool:
    """Return whether the folder's config.json is a run's."""
    try:
        stored = json.loads((run_dir / CONFIG).read_text())
    except (OSError, ValueError):
        return False
    return isinstance(stored, dict) and stored.keys() == {"format", "config"}


def read_config(run_dir: str | Path) -> TrainConfig:
    """Return the configuration of a run.

    Raises
    ------
    FileNotFoundError
        If the folder holds no run.
    ValueError
        If its config.json cannot be read, or is of another version.
    """
    path = Path(run_dir) / CONFIG
    if not path.is_file():
        raise FileNotFoundError(
            f"load: a run folder holds {CONFIG}; got {str(run_dir)!r}, which does not. Give the --out of a training."
        )
    try:
        stored = json.loads(path.read_text())
        if stored["format"] != FORMAT:
            raise ValueError(
                f"load: this version reads runs of format {FORMAT}; got format={stored['format']} in {path}. "
                "Use the version of jaxdem-ac that wrote it."
            )
        return TrainConfig.from_dict(stored["config"])
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"load: {path} is not a run's configuration; got {error!r}. Train it again.") from error


def single(run_dir: str | Path) -> TrainConfig:
    """Return the configuration of a run.

    Raises
    ------
    FileNotFoundError, ValueError
        As :func:`read_config`, and ValueError if the folder is of many runs.
    """
    config = read_config(run_dir)
    if config.is_many:
        names = ", ".join(list(config.members())[:4])
        raise ValueError(
            f"load: one run is looked at; got {str(run_dir)!r}, which holds {len(config.members())}. "
            f"Give the folder of one of them: {names}{' ...' if len(config.members()) > 4 else ''}."
        )
    return config


def config_text(config: TrainConfig) -> str:
    """Return what config.json says.

    Raises
    ------
    TypeError
        If the configuration holds what JSON cannot.
    """
    try:
        return json.dumps({"format": FORMAT, "config": config.to_dict()}, indent=2) + "\n"
    except TypeError as error:
        raise TypeError(
            f"train: a configuration is made of numbers, strings and lists; got {error}. Use such values in "
            "env_kw, model_kw and action_space_kw."
        ) from None


def read_metrics(run_dir: str | Path) -> list[dict[str, Any]]:
    """Return the lines of metrics.jsonl; a last line that a crash cut short is left out.

    Raises
    ------
    ValueError
        If another line is damaged.
    """
    path = Path(run_dir) / METRICS
    if not path.is_file():
        return []
    texts = path.read_text().splitlines()
    lines = []
    for number, text in enumerate(texts, start=1):
        try:
            line = json.loads(text)
        except json.JSONDecodeError:
            if number == len(texts):
                break
            line = None
        if not isinstance(line, dict) or not {"steps", "update"} <= line.keys():
            raise ValueError(f"load: every line of {path} is a report; got line {number}: {text[:60]!r}. Remove it.")
        lines.append(line)
    return lines


def append_line(run_dir: Path, metrics: Metrics) -> None:
    """Add a report to a run's metrics.jsonl."""
    with (run_dir / METRICS).open("a") as file:
        file.write(json.dumps(metrics) + "\n")


def lines_until(run_dir: Path, done: int) -> list[Metrics]:
    """Return a run's reports up to an update; later ones are made again."""
    return [line for line in read_metrics(run_dir) if line["update"] <= done]


def rewrite_lines(run_dir: Path, lines: list[Metrics]) -> None:
    """Write a run's reports anew, whole or not at all."""
    write_text(run_dir / METRICS, "".join(json.dumps(line) + "\n" for line in lines))


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
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unwritable(folder, error) from error
        write_text(folder / CONFIG, config)


def _held(run_dir: Path, overwrite: bool) -> list[str]:
    """Return the names of a run's files that a folder holds, or raise FileExistsError if they have to stay."""
    if run_dir.exists() and not run_dir.is_dir():
        raise FileExistsError(f"train: out is a folder; got out={str(run_dir)!r}, a file. Choose another --out.")
    held = [name for name in OWN_FILES if (run_dir / name).exists()]
    if held and not holds_run(run_dir):
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
        config = read_config(run_dir)
    except (OSError, ValueError):
        return []
    return [name for name in config.members() if config.is_many and holds_run(run_dir / name)]
