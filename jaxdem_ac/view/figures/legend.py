"""The legend at the foot of a picture: discs, targets, lidars, forces."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from jaxdem_ac.view.episode import FIXED, PASSIVE, Episode
from jaxdem_ac.view.figures.options import Look
from jaxdem_ac.view.figures.style import GREEN, GREY, INK, ORANGE, PALE, RAYS, as_hex, color_of, mixed, rgb

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

FIRST_ROW, NEXT_ROW = 0.27, 0.17
"""Height of the rows, inches."""
FADED = 0.6
"""Share of white in discs behind lines of force."""
WIDEST = 4.0
"""Width of the force that the scale names, points; the few that are larger are at most half as wide again."""

# Of a letter, and of all that stands beside a label, inches: of eight points, by eye.
_LETTER, _BESIDE = 0.063, 0.42


def disc_color(kind: int) -> str:
    """Return the colour of a species, of obstacles, or of what does not act by itself."""
    return {FIXED: GREY, PASSIVE: PALE}.get(kind) or color_of(kind)


def legend_of(episode: Episode, look: Look, full: float) -> "list[Line2D]":
    """Return a legend's entries, none for one kind of disc alone; `full` is the force of :data:`WIDEST`."""
    from matplotlib.lines import Line2D

    def disc(color: str, label: str, edge: str = "none") -> Line2D:
        face = as_hex(mixed(rgb(color), 1.0, FADED if look.forces else 0.0))
        return Line2D([], [], linestyle="none", marker="o", markersize=7, color=face, mec=edge, label=label)

    def ring(color: str, label: str) -> Line2D:
        return Line2D([], [], linestyle="none", marker="o", markersize=7, mfc="none", mec=color, mew=1.4, label=label)

    def line(color: str, width: float, label: str) -> Line2D:
        return Line2D([], [], color=color, linewidth=width, label=label)

    kinds = sorted(set(episode.kinds.tolist()), key=lambda kind: (kind < 0, kind))
    species = [kind for kind in kinds if kind >= 0]
    names = {FIXED: "obstacle", PASSIVE: "does not act by itself"}
    names |= {kind: f"species {kind}" if len(species) > 1 else "particle" for kind in species}
    found = [disc(disc_color(kind), names[kind]) for kind in kinds]
    has_targets = episode.targets is not None and episode.targets.shape[1] > 0
    if has_targets or episode.highlight is not None:
        where = "at a target" if has_targets else "arrived"
        found.append(disc("#FFFFFF" if len(species) > 1 else GREEN, where, edge=INK))
    if has_targets:
        found.append(ring(ORANGE, "target"))
    if look.rays is not None:
        found += [line(RAYS[number % len(RAYS)], 2.0, f"lidar of {each.senses}")
                  for number, each in enumerate(episode.lidars)]  # fmt: skip
    if isinstance(look.rays, int):
        found.append(ring(INK, f"particle {look.rays}"))
    if look.forces:
        found.append(line(INK, WIDEST, "no contact" if full == 0 else f"contact force {full:g}"))
    return found if len(found) > 1 else []


def columns(labels: Sequence[str], width: float) -> int:
    """Return how many entries fit side by side, one at least, into a width in inches."""
    for count in range(len(labels), 1, -1):
        # As Matplotlib fills them: one after the other, the first ones by one more.
        blocks = np.array_split(np.array([len(label) for label in labels]), count)
        if sum(_BESIDE + _LETTER * block.max() for block in blocks) <= width:
            return count
    return 1


def foot_of(entries: "Sequence[Line2D]", width: float) -> float:
    """Return how high a legend is in a picture of a width, both in inches; 0 without entries."""
    if not entries:
        return 0.0
    count = columns([str(entry.get_label()) for entry in entries], width)
    return FIRST_ROW + NEXT_ROW * (-(-len(entries) // count) - 1)


def add_legend(figure: "Figure", entries: "Sequence[Line2D]") -> None:
    """Put a legend, if there is one, at the foot of a figure."""
    if not entries:
        return
    figure.legend(
        handles=list(entries),
        loc="lower center",
        ncols=columns([str(entry.get_label()) for entry in entries], figure.get_size_inches()[0]),
        frameon=False,
        fontsize=8,
        borderpad=0.2,
        borderaxespad=0.1,
        labelspacing=0.25,
        handlelength=1.4,
        columnspacing=1.2,
    )
