"""Pictures of what was measured."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxdem_ac.view.figures.style import BLUE, GREEN, GREY, ORANGE, new_figure, save_figure

Rows = Sequence[Mapping[str, Any]]
_BASE = {"env": "swarm_navigator", "sharing": None, "dtype": "float32"}
_PURPLE, _SKY, _RED = "#CC79A7", "#56B4E9", "#882255"


def draw(rows: Rows, folder: Path, about: str, suffix: str = "") -> list[Path]:
    """Draw what there are rows for, and return what was written."""
    found = [row for row in rows if row["status"] == "ok"]
    folder.mkdir(exist_ok=True)
    written = []
    for name, picture in (("agent_steps", _agent_steps), ("epoch", _epoch), ("limits", _limits)):
        path = folder / f"{name}{suffix}.png"
        if picture(found, path, about):
            written.append(path)
    return written


def _of(rows: Rows, **wanted: Any) -> list[Mapping[str, Any]]:
    return [row for row in rows if all(row.get(name) == value for name, value in wanted.items())]


def _best(rows: Rows) -> list[Mapping[str, Any]]:
    """Return the fastest row for every N, in order."""
    by_number = {number: _of(rows, N=number) for number in sorted({row["N"] for row in rows})}
    return [max(alike, key=lambda row: row["agent_steps_per_second"]) for alike in by_number.values()]


def _agent_steps(rows: Rows, path: Path, about: str) -> bool:
    """Draw agent-steps per second against N, with peers."""
    own = {"suite": "stages", **_BASE}
    lines = [
        ("environment", BLUE, "-o", _of(rows, **own, stage="environment", model=None)),
        ("training, 4 x 8 minibatches", ORANGE, "-o", _of(rows, **own, stage="training", model="SharedActorCritic")),
        ("JaxDEM, environment", BLUE, "--s", _of(rows, suite="environments", name="JaxDEM", physics_steps=1)),
        ("training, 1 x 4 minibatches", _RED, ":o", _of(rows, suite="training", stage="training", name="jaxdem-ac")),
        ("JaxDEM, training, 1 x 4", _RED, "--s", _of(rows, suite="training", stage="training", name="JaxDEM")),
    ]
    if not lines[0][-1]:
        return False
    figure = new_figure(6.6, 4.0)
    axis = figure.subplots()
    drawn = [(label, color, style, _best(points)) for label, color, style, points in lines]
    for label, color, style, points in drawn:
        if points:
            axis.errorbar(
                [row["N"] for row in points],
                [row["agent_steps_per_second"] for row in points],
                yerr=[
                    [row["agent_steps_per_second"] - row["agent_steps_quartiles"][0] for row in points],
                    [row["agent_steps_quartiles"][1] - row["agent_steps_per_second"] for row in points],
                ],
                fmt=style, color=color, markersize=4, linewidth=1.4, capsize=2, label=label,
            )  # fmt: skip
    peers = [row for row in _of(rows, suite="peers") if row["name"] != "jaxdem-ac"]
    for name, color in zip(dict.fromkeys(row["name"] for row in peers), (GREEN, _PURPLE, GREY, _SKY), strict=False):
        points = _best([row for row in peers if row["name"] == name])
        task = str(points[0].get("task", "")).partition(",")[0]
        axis.plot(
            [row["N"] for row in points], [row["agent_steps_per_second"] for row in points],
            "D", color=color, markersize=5, label=f"{name}, {task}",
        )  # fmt: skip
    axis.set_xscale("log", base=2)
    axis.set_yscale("log")
    axis.set_xlabel("particles in an environment, N")
    axis.set_ylabel("agent-steps per second")
    _finish(axis, about)
    # Ours and JaxDEM's first: matplotlib lists what has error bars last.
    known = sum(bool(points) for *_, points in drawn)
    handles, labels = (each[-known:] + each[:-known] for each in axis.get_legend_handles_labels())
    axis.legend(handles, labels, fontsize=7, frameon=False, loc="center left", bbox_to_anchor=(1.01, 0.5))
    save_figure(figure, path)
    return True


def split_of_epoch(rows: Rows) -> dict[str, dict[str, float]]:
    """Return where the time of an agent-step of training goes, ns, by size: the stages, and what they leave."""
    found = {}
    for row in _of(rows, suite="stages", stage="training", model="SharedActorCritic", **_BASE):
        size = {"N": row["N"], "E": row["E"], **_BASE, "suite": "stages"}
        times = {}
        for stage in ("environment", "policy", "rollout", "update", "training"):
            model = None if stage == "environment" else "SharedActorCritic"
            its = _of(rows, **size, stage=stage, model=model)
            if its:
                times[stage] = 1e9 / its[0]["agent_steps_per_second"]
        if len(times) == 5:
            played, acted, kept, learnt, whole = times.values()
            parts = (played, acted, kept - played - acted, learnt, whole - kept - learnt)
            names = ("environment", "policy", "batch, advantages", "update", "rest")
            found[f"{row['N']:,} x {row['E']}"] = dict(zip(names, parts, strict=True))
    return found


def _epoch(rows: Rows, path: Path, about: str) -> bool:
    """Draw the split of an agent-step of training."""
    split = split_of_epoch(rows)
    if not split:
        return False
    figure = new_figure(6.6, 1.2 + 0.5 * len(split))
    axis = figure.subplots()
    names = list(next(iter(split.values())))
    for place, parts in enumerate(split.values()):
        left = 0.0
        for name, color in zip(names, (BLUE, GREEN, _SKY, ORANGE, GREY), strict=True):
            # What is measured apart may take longer than within the whole.
            width = max(0.0, parts[name])
            axis.barh(place, width, left=left, color=color, height=0.6, label=name if place == 0 else None)
            left += width
        label = "measured" if place == 0 else None
        axis.plot(sum(parts.values()), place, "|", color="black", markersize=16, label=label)
    axis.set_yticks(range(len(split)), list(split))
    axis.invert_yaxis()
    # Parts of no width would hold the axis to where the longest bar ends, as if it were cut off.
    axis.use_sticky_edges = False
    axis.set_xlim(left=0)
    axis.set_xlabel("ns for an agent-step of training, N x environments")
    _finish(axis, about)
    axis.margins(y=0.02)
    figure.legend(fontsize=7, frameon=False, ncols=6, loc="outside lower center")
    save_figure(figure, path)
    return True


def of_one_size(rows: Rows) -> Rows:
    """Return, of the sizes that are trained, the rows of the fastest for every N; and all of the others."""
    trained = _of(rows, stage="training")
    left_out = {(row["N"], row["E"]) for row in trained} - {(row["N"], row["E"]) for row in _best(trained)}
    return [row for row in rows if (row["N"], row["E"]) not in left_out]


def _limits(rows: Rows, path: Path, about: str) -> bool:
    """Draw how near each stage comes to the machine's limits."""
    shown = [
        row for row in _of(rows, suite="stages", **_BASE)
        if row["model"] in (None, "SharedActorCritic") and row.get("compute_share") is not None
    ]  # fmt: skip
    if not shown:
        return False
    shown = of_one_size(shown)
    figure = new_figure(6.6, 1.2 + 0.32 * len(shown))
    axis = figure.subplots()
    for shift, name, color, label in (
        (-0.2, "compute_share", ORANGE, "operations / products of large matrices"),
        (0.2, "bandwidth_share", BLUE, "bytes of kernels / copies in memory"),
    ):
        places = [place + shift for place in range(len(shown))]
        axis.barh(places, [100 * row[name] for row in shown], height=0.38, color=color, label=label)
    axis.axvline(100, color=GREY, linewidth=0.8)
    axis.margins(y=0.02)
    axis.set_yticks(range(len(shown)), [f"{row['stage']}, {row['N']:,} x {row['E']}" for row in shown], fontsize=8)
    axis.invert_yaxis()
    axis.set_xlabel("share of the limit, %; bytes that stay in a cache may pass 100")
    _finish(axis, about)
    figure.legend(fontsize=7, frameon=False, ncols=2, loc="outside lower center")
    save_figure(figure, path)
    return True


def _finish(axis: Any, about: str) -> None:
    axis.set_title(about, fontsize=8)
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)
