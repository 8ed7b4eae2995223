"""Learning curves."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxdem_ac.view.style import BLUE, GREY, ORANGE, new_figure, save_figure


def plot_learning_curve(metrics: Sequence[Mapping[str, Any]], path: Path, title: str) -> None:
    """Draw reward, success and entropy against agent-steps, and write a PNG.

    Parameters
    ----------
    metrics : sequence of mapping
        The lines of a run's metrics.jsonl.
    path : Path
        Of the picture; written whole or not at all.
    title : str
        Above the panels.

    Raises
    ------
    ValueError
        If there is nothing to draw.
    """
    if not metrics:
        raise ValueError(f"plot: a learning curve needs at least one report; got none for {path}. Train longer.")
    figure = new_figure(9.0, 3.0)
    axes = figure.subplots(1, 3)
    panels = (
        ("reward", "mean reward of a decision", BLUE),
        ("final_success", "success at the end of an episode", ORANGE),
        ("entropy", "entropy of the policy, nats", GREY),
    )
    for axis, (name, label, color) in zip(axes, panels, strict=True):
        points = [(line["steps"] / 1e6, line[name]) for line in metrics if line.get(name) is not None]
        if points:
            steps, values = zip(*points, strict=True)
            axis.plot(steps, values, color=color, linewidth=1.6, marker="o" if len(points) < 3 else None)
        axis.set_xlabel("agent-steps, millions")
        axis.set_title(label, fontsize=9)
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    axes[1].set_ylim(-0.02, 1.02)
    figure.suptitle(title, fontsize=10)
    save_figure(figure, path)
