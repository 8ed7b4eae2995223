"""The folder of a run, and its files that people read: config.json and metrics.jsonl."""

import json
from pathlib import Path
from typing import Any

from jaxdem_ac._files import as_path, parse_json, unwritable, write_text
from jaxdem_ac.runs.config import TrainConfig
from jaxdem_ac.runs.own_code import CODE, places, with_places

Metrics = dict[str, Any]

REJECTED, FALLEN = "rejected_success", "fallen"
"""A report's figures where there are rollbacks: the evaluated success of a policy that was given up, or None where none
was; and how many evaluations in a row, this one the last, have fallen."""

FORMAT = 3
CONFIG, METRICS, CHECKPOINTS = "config.json", "metrics.jsonl", "checkpoints"
PICTURES = ("episode.gif", "episode.mp4", "episode.png", "learning_curve.png")
LOGS = ("tensorboard", "wandb")
REPORT = "report.html"
# Where an overwriting keeps the old run until the new one is there.
REPLACED = ".replaced-run"
OWN_FILES = (CONFIG, METRICS, CHECKPOINTS, *LOGS, *PICTURES, REPORT)


def holds_run(run_dir: Path) -> bool:
    """Return whether the folder's config.json is a run's."""
    try:
        stored = parse_json((run_dir / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(stored, dict) and stored.keys() - {CODE} == {"format", "config"}


def read_config(run_dir: str | Path) -> TrainConfig:
    """Return the configuration of a run; raises FileNotFoundError without one, ValueError if it cannot be read."""
    run_dir = as_path("load", "run_dir", run_dir)
    path = run_dir / CONFIG
    if not path.is_file():
        advice = "Give the out of a training."
        if (run_dir / REPLACED).is_dir():
            advice = f"An overwriting was cut off there: resume({str(run_dir)!r}) brings the old run back."
        raise FileNotFoundError(f"load: a run folder holds {CONFIG}; got {str(run_dir)!r}, which does not. {advice}")
    try:
        stored = _parsed(path)
        if stored["format"] != FORMAT:
            raise ValueError(
                f"load: this version reads runs of format {FORMAT}; got format={stored['format']} in {path}. "
                "Use the version of jaxdem-ac that wrote it."
            )
        values = stored["config"]
        if CODE in stored and isinstance(values, dict):
            values = with_places(values, stored[CODE], run_dir)
        return TrainConfig.from_dict(values)
    except (_UnreadableError, KeyError, TypeError) as error:
        raise ValueError(f"load: {path} is not a run's configuration; got {error!r}. Train it again.") from error


class _UnreadableError(ValueError):
    """A file that is no JSON."""


def _parsed(path: Path) -> Any:
    try:
        return parse_json(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise _UnreadableError(str(error)) from error


def single(run_dir: str | Path) -> TrainConfig:
    """Return the configuration of a run; raises as :func:`read_config`, and ValueError if the folder is of many."""
    config = read_config(run_dir)
    if config.is_many:
        names = ", ".join(list(config.members())[:4])
        raise ValueError(
            f"load: one run is looked at; got {str(run_dir)!r}, which holds {len(config.members())}. "
            f"Give the folder of one of them: {names}{' ...' if len(config.members()) > 4 else ''}."
        )
    return config


def config_text(config: TrainConfig) -> str:
    """Return what config.json says; raises TypeError if the configuration holds what JSON cannot."""
    code = places(config)
    try:
        kept = {"format": FORMAT, "config": config.to_dict(), **({CODE: code} if code else {})}
        return json.dumps(kept, indent=2) + "\n"
    except TypeError as error:
        raise TypeError(
            f"train: a configuration is made of numbers, strings and lists; got {error}. Use such values in "
            "env_kw, model_kw and action_space_kw."
        ) from None


def read_metrics(run_dir: str | Path) -> list[Metrics]:
    """Return the lines of metrics.jsonl, but a last one that was cut short; raises ValueError if another is damaged."""
    path = as_path("load", "run_dir", run_dir) / METRICS
    if not path.is_file():
        return []
    # What is no UTF-8 is no JSON either.
    texts = path.read_text(encoding="utf-8", errors="replace").splitlines()
    lines = []
    for number, text in enumerate(texts, start=1):
        try:
            line = parse_json(text)
        except ValueError:
            if number == len(texts):
                break
            line = None
        if not isinstance(line, dict) or not {"steps", "update"} <= line.keys():
            raise ValueError(f"load: every line of {path} is a report; got line {number}: {text[:60]!r}. Remove it.")
        lines.append(line)
    return lines


def append_line(run_dir: Path, metrics: Metrics) -> None:
    """Add a report to a run's metrics.jsonl; raises OSError if it cannot be written."""
    path = run_dir / METRICS
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(metrics) + "\n")
    except OSError as error:
        raise unwritable(path, error) from error


def lines_until(run_dir: Path, done: int) -> list[Metrics]:
    """Return a run's reports up to an update; later ones are made again."""
    return [line for line in read_metrics(run_dir) if line["update"] <= done]


def rewrite_lines(run_dir: Path, lines: list[Metrics]) -> None:
    """Write a run's reports anew, whole or not at all."""
    write_text(run_dir / METRICS, "".join(json.dumps(line) + "\n" for line in lines))


def is_reached(config: TrainConfig, lines: list[Metrics]) -> bool:
    """Return whether the last report's evaluation has the success at which a run is complete."""
    success = lines[-1].get("eval_success") if lines else None
    return config.stop_at_success is not None and success is not None and success >= config.stop_at_success
