"""Colours, figures, and how they are written."""

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from jaxdem_ac._files import written

if TYPE_CHECKING:
    from matplotlib.artist import Artist as Artist
    from matplotlib.axes import Axes as Axes
    from matplotlib.figure import Figure as Figure
    from matplotlib.lines import Line2D as Line2D
else:
    # Names of types alone: matplotlib is imported where something is drawn.
    Artist = Axes = Figure = Line2D = Any

# Okabe and Ito's palette, told apart by every common kind of colour vision ("Color Universal Design", 2008).
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#5A5A5A"
AMBER, SKY, PURPLE, YELLOW = "#E69F00", "#56B4E9", "#CC79A7", "#F0E442"
PALE, INK, SILVER = "#BFBFBF", "#1A1A1A", "#A6A6A6"

# The order in which each is farthest from those before it, by the eye that tells them apart worst.
SERIES = (BLUE, AMBER, GREEN, SKY, ORANGE, PURPLE, YELLOW)

RAYS = (ORANGE, PURPLE, SKY)
"""Colours of an observation's lidars, in their order."""

LINES: tuple[Literal["-", "--", "-.", ":"], ...] = ("-", "--", "-.", ":")


def color_of(number: int) -> str:
    """Return the colour of one of a series; beyond seven they come again, darker."""
    again, place = divmod(number, len(SERIES))
    return as_hex(np.asarray(rgb(SERIES[place])) * 0.55**again)


def rgb(color: str) -> np.ndarray:
    """Return red, green and blue of ``#RRGGBB``, ``(3,)``, in [0, 1]."""
    return np.array([int(color[at : at + 2], 16) for at in (1, 3, 5)]) / 255


def as_hex(values: Sequence[float] | np.ndarray) -> str:
    """Return ``#RRGGBB`` of red, green and blue in [0, 1]."""
    return "#" + "".join(f"{round(255 * float(value)):02X}" for value in values)


def mixed(colors: np.ndarray, other: np.ndarray | float, share: np.ndarray | float) -> np.ndarray:
    """Return colours ``(..., 3)`` with a share of another one in them."""
    return (1 - share) * colors + share * np.asarray(other)


def require_matplotlib() -> ModuleType:
    """Return matplotlib; raises ImportError, which says how to get it, if the extra is not installed."""
    try:
        import matplotlib
        import PIL  # noqa: F401
    except ImportError:
        raise ImportError('Pictures need matplotlib and Pillow: pip install "jaxdem-ac[view]".') from None
    return matplotlib


def new_figure(
    width: float, height: float, *, layout: Literal["constrained"] | None = "constrained", dpi: int = 100
) -> "Figure":
    """Return an empty figure of that size in inches, drawn without a display."""
    require_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=dpi, layout=layout)
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: "Figure", path: Path, dpi: int = 120) -> None:
    """Write a PNG whole or not at all."""
    with written(path) as draft:
        figure.savefig(draft, dpi=dpi, format="png")
