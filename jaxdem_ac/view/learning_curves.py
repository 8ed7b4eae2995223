"""Learning curves as pictures: of one run, of many seeds with their band, of several runs side by side."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxdem_ac._types import Json
from jaxdem_ac.view.curve_data import SHARES, TITLES, Reports, band_of
from jaxdem_ac.view.curve_data import Run as Run
from jaxdem_ac.view.curve_data import curve_of as curve_of
from jaxdem_ac.view.curve_data import read_runs as read_runs
from jaxdem_ac.view.figures.style import LINES, color_of, new_figure, save_figure

PANELS = {"success": "final_success", "evaluated": "eval_success", "reward": "reward", "entropy": "entropy"}
"""The figures of a report that have a panel, by its name."""

AXES = {"steps": (1e6, "agent-steps, millions"), "seconds": (1.0, "wall-clock time, seconds")}
"""Against what: in which unit, and what is written below it."""


def plot_runs(runs: Sequence[Run], path: Path, *, x: str = "steps", title: str | None = None) -> None:
    """Draw success, evaluated success, reward and entropy of runs in one figure, and write a PNG whole or not at all.

    `x`, "steps" or "seconds", stands along it, a `title` above the panels. Raises ValueError if `x` is another word, or
    there is nothing to draw.
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
                x_values, style, few = curve.x / unit, _style(number), len(curve.x) < 3
                axis.plot(x_values, curve.mean, linewidth=1.6, marker="o" if few else None, **style)
                if (curve.low < curve.high).any():
                    axis.fill_between(x_values, curve.low, curve.high, color=style["color"], alpha=0.2, linewidth=0)
        if all(curve is None or len(curve.x) == 1 for curve in found):
            axis.text(0.03, 0.04, "one report", transform=axis.transAxes, fontsize=8)
        axis.set_xlabel(label)
        axis.set_title(TITLES[PANELS[panel]], fontsize=9)
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
        if PANELS[panel] in SHARES:
            axis.set_ylim(-0.02, 1.02)
    if named:
        from matplotlib.lines import Line2D

        bands = [band_of(run, "Student's 95 % interval") for run in runs]
        labels = [run.name + (f" ({band})" if band else "") for run, band in zip(runs, bands, strict=True)]
        handles = [Line2D([], [], linewidth=1.6, label=label, **_style(at)) for at, label in enumerate(labels)]
        figure.legend(handles=handles, loc="outside lower center", ncols=min(3, len(runs)), frameon=False, fontsize=8)
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


def _style(number: int) -> dict[str, Any]:
    """Return colour and dashes of a run: each alone tells it from its neighbours."""
    return {"color": color_of(number), "linestyle": LINES[number % len(LINES)]}
