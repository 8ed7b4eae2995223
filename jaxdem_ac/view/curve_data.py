"""Learning curves as numbers: of one run, of many seeds with their band, of each point of a grid."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jaxdem_ac._files import as_path
from jaxdem_ac.runs.run_dir import METRICS, Metrics, read_metrics
from jaxdem_ac.trainers.estimate import student_t

SHARES = ("final_success", "eval_success", "eval_sampled_success")
"""Figures between 0 and 1."""

TITLES = {
    "reward": "mean reward of a decision",
    "final_success": "success at the end of an episode",
    "eval_success": "evaluated success, by the policy's mode",
    "eval_sampled_success": "evaluated success, sampled actions",
    "eval_reward": "evaluated reward, by the policy's mode",
    "entropy": "entropy of the policy, nats",
    "explained_variance": "explained variance of the value",
    "kl": "divergence of an update, nats",
    "value_loss": "loss of the value",
}
"""Titles of the figures' curves, here and in other pictures."""

Reports = Sequence[Metrics]


@dataclass(frozen=True)
class Run:
    """One curve in one colour: the reports of one run, or of some seeds."""

    name: str
    """Name in the legend."""
    seeds: tuple[Reports, ...]
    """The lines of metrics.jsonl of each."""


@dataclass(frozen=True)
class Curve:
    """One figure of a run; all arrays are ``(K,)``."""

    x: np.ndarray
    """Steps at which all seeds have data."""
    mean: np.ndarray
    """Over the seeds."""
    low: np.ndarray
    """Lower end of Student's interval of 95 % confidence for the mean; of two seeds the lower one, of one itself."""
    high: np.ndarray
    """The other end."""


def read_runs(folders: Sequence[str | Path]) -> list[Run]:
    """Return the runs in folders; one of many seeds is one run, one of a grid a run for each of its points.

    Raises FileNotFoundError if a folder holds no run, ValueError if a run has no reports yet, or one is damaged.
    """
    paths = [as_path("plot", "folders", folder) for folder in folders]
    return [run for name, path in zip(names_of(paths), paths, strict=True) for run in _runs_in(name, path)]


def names_of(folders: Sequence[Path]) -> list[str]:
    """Return what runs are called beside each other: by their folders, in full where two are alike."""
    names = [path.resolve().name for path in folders]
    return names if len(set(names)) == len(names) else [str(path) for path in folders]


def _runs_in(name: str, folder: Path) -> list[Run]:
    members = sorted(path.parent for path in folder.glob(f"seed-*/{METRICS}"))
    if not members and not (folder / METRICS).is_file():
        raise FileNotFoundError(
            f"plot: a run folder holds {METRICS}; got {str(folder)!r}, which does not. Give the out of a training."
        )
    points: dict[str, list[Reports]] = {}
    for member in members or [folder]:
        reports = read_metrics(member)
        if not reports:
            raise ValueError(
                f"plot: a learning curve needs at least one report; got none in {str(member)!r}. Train longer."
            )
        # Members are called seed-3, or seed-3,learning_rate=0.001.
        point = member.name.partition(",")[2] if members else ""
        points.setdefault(point, []).append(reports)
    return [Run(f"{name}, {point}" if point else name, tuple(seeds)) for point, seeds in points.items()]


def curve_of(run: Run, figure: str, x: str = "steps") -> Curve | None:
    """Return a figure of a run against "steps" or "seconds", its seeds interpolated; None if a seed has none."""
    series = [_points(reports, figure, x) for reports in run.seeds]
    if any(not len(points) for points, _ in series):
        return None
    first, last = max(points[0] for points, _ in series), min(points[-1] for points, _ in series)
    every = np.unique(np.concatenate([points for points, _ in series]))
    common = every[(every >= first) & (every <= last)]
    if not len(common):
        return None
    values = np.stack([np.interp(common, points, figures) for points, figures in series])
    mean, num = values.mean(0), len(values)
    if num < 3:
        return Curve(common, mean, values.min(0), values.max(0))
    spread = student_t(num - 1) * values.std(0, ddof=1) / np.sqrt(num)
    low, high = mean - spread, mean + spread
    if figure in SHARES:
        # A share, whatever the interval says.
        low, high = np.clip([low, high], 0.0, 1.0)
    return Curve(common, mean, low, high)


def band_of(run: Run, interval: str) -> str:
    """Return what the band of a run is of, an interval where there are three seeds at least; nothing for one."""
    number = len(run.seeds)
    return {1: "", 2: "mean of 2 seeds, lower to higher"}.get(number, f"mean of {number} seeds, {interval}")


def _points(reports: Reports, figure: str, x: str) -> tuple[np.ndarray, np.ndarray]:
    """Return where there is such a figure, and what it is; ``(K,)`` each."""
    found = [(line[x], line[figure]) for line in reports if line.get(figure) is not None]
    points = np.asarray(found, float).reshape(-1, 2)
    points = points[np.isfinite(points).all(1)]
    return points[:, 0], points[:, 1]
