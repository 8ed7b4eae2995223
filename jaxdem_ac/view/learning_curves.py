"""Learning curves: of one run, of many seeds with their band, of several runs side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypedDict

import numpy as np

from jaxdem_ac._files import as_path
from jaxdem_ac._types import Json
from jaxdem_ac.runs.run_dir import METRICS, Metrics, read_metrics
from jaxdem_ac.trainers.evaluate import student_t
from jaxdem_ac.view.figures.style import LINES, color_of, new_figure, save_figure
from jaxdem_ac.view.report.curves import SHARES, TITLES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANELS = {"success": "final_success", "evaluated": "eval_success", "reward": "reward", "entropy": "entropy"}
"""The figures of a report that have a panel, by its name."""

AXES = {"steps": (1e6, "agent-steps, millions"), "seconds": (1.0, "wall-clock time, seconds")}
"""Against what: in which unit, and what is written below it."""

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

    Raises
    ------
    FileNotFoundError
        If a folder holds no run.
    ValueError
        If a run has no reports yet, or a report is damaged.
    """
    paths = [as_path("plot", "folders", folder) for folder in folders]
    names = [path.resolve().name for path in paths]
    if len(set(names)) < len(names):
        names = [str(path) for path in paths]
    return [run for name, path in zip(names, paths, strict=True) for run in _runs_in(name, path)]


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
    """Return one figure of a run, its seeds interpolated on their common steps, or None if one of them has none.

    Parameters
    ----------
    run : Run
    figure : str
        Of a report.
    x : {"steps", "seconds"}
    """
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


def _points(reports: Reports, figure: str, x: str) -> tuple[np.ndarray, np.ndarray]:
    """Return where there is such a figure, and what it is; ``(K,)`` each."""
    found = [(line[x], line[figure]) for line in reports if line.get(figure) is not None]
    points = np.asarray(found, float).reshape(-1, 2)
    points = points[np.isfinite(points).all(1)]
    return points[:, 0], points[:, 1]


def plot_runs(runs: Sequence[Run], path: Path, *, x: str = "steps", title: str | None = None) -> None:
    """Draw success, evaluated success, reward and entropy of runs in one figure, and write a PNG.

    Parameters
    ----------
    runs : sequence of Run
    path : Path
        Of the picture; written whole or not at all.
    x : {"steps", "seconds"}
        What stands along it.
    title : str, optional
        Above the panels.

    Raises
    ------
    ValueError
        If `x` is another word, or there is nothing to draw.
    """
    if x not in AXES:
        raise ValueError(f"plot: x is one of {', '.join(AXES)}; got x={x!r}. Choose one.")
    unit, label = AXES[x]
    curves = {panel: [curve_of(run, name, x) for run in runs] for panel, name in PANELS.items()}
    curves = {panel: found for panel, found in curves.items() if any(found)}
    if not curves:
        raise ValueError(f"plot: a learning curve needs at least one report; got none for {path}. Train longer.")
    named = title is None or len(runs) > 1
    figure = new_figure(3.1 * len(curves), 3.0)
    for axis, (panel, found) in zip(np.ravel(figure.subplots(1, len(curves))), curves.items(), strict=True):
        for number, curve in enumerate(found):
            if curve is not None:
                _draw_curve(axis, curve, unit, number)
        if all(curve is None or len(curve.x) == 1 for curve in found):
            axis.text(0.03, 0.04, "one report", transform=axis.transAxes, fontsize=8)
        axis.set_xlabel(label)
        axis.set_title(TITLES[PANELS[panel]], fontsize=9)
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
        if PANELS[panel] in SHARES:
            axis.set_ylim(-0.02, 1.02)
    if named:
        _add_legend(figure, runs)
    if title is not None:
        figure.suptitle(title, fontsize=10)
    save_figure(figure, path, dpi=200)


def plot_learning_curve(metrics: Reports, path: Path, title: str) -> None:
    """Draw the learning curve of one run; as :func:`plot_runs`."""
    plot_runs([Run("", (metrics,))], path, title=title)


def last_figures(run: Run) -> dict[str, Json]:
    """Return a run's name, how many seeds it has, and its last figures, each with the ends of its band."""
    found: dict[str, Json] = {"name": run.name, "seeds": len(run.seeds)}
    for panel, name in PANELS.items():
        curve = curve_of(run, name)
        if curve is not None:
            last = {key: float(getattr(curve, key)[-1]) for key in ("mean", "low", "high")}
            found[panel] = {"steps": int(curve.x[-1]), **last}
    return found


def _draw_curve(axis: "Axes", curve: Curve, unit: float, number: int) -> None:
    style = _style(number)
    axis.plot(curve.x / unit, curve.mean, linewidth=1.6, marker="o" if len(curve.x) < 3 else None, **style)
    if (curve.low < curve.high).any():
        axis.fill_between(curve.x / unit, curve.low, curve.high, color=style["color"], alpha=0.2, linewidth=0)


class _Style(TypedDict):
    color: str
    linestyle: Literal["-", "--", "-.", ":"]


def _style(number: int) -> _Style:
    """Return colour and dashes of a run: each alone tells it from its neighbours."""
    return {"color": color_of(number), "linestyle": LINES[number % len(LINES)]}


def _add_legend(figure: "Figure", runs: Sequence[Run]) -> None:
    """Name the runs below the panels, and say what their bands are."""
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], linewidth=1.6, label=run.name + _band(run), **_style(number)) for number, run in enumerate(runs)
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(3, len(runs)), frameon=False, fontsize=8)


def _band(run: Run) -> str:
    """Return what is said of a run's band."""
    num = len(run.seeds)
    said = {1: "", 2: "mean of 2 seeds, lower to higher"}.get(num, f"mean of {num} seeds, Student's 95 % interval")
    return f" ({said})" if said else ""
