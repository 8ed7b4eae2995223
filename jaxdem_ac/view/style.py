"""Colours, and figures that are written whole or not at all."""

from pathlib import Path
from typing import Any

# Okabe and Ito's palette, told apart by every common kind of colour vision ("Color Universal Design", 2008).
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#5A5A5A"
SKY, AMBER, PURPLE, YELLOW, SILVER = "#56B4E9", "#E69F00", "#CC79A7", "#F0E442", "#A6A6A6"


def require_matplotlib() -> Any:
    """Return matplotlib.

    Raises
    ------
    ImportError
        If the extra is not installed; the message says how to get it.
    """
    try:
        import matplotlib
    except ImportError:
        raise ImportError("Pictures need matplotlib and Pillow: pip install matplotlib pillow.") from None
    return matplotlib


def new_figure(width: float, height: float) -> Any:
    """Return an empty figure of that size in inches, drawn without a display."""
    require_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Any, path: Path, dpi: int = 120) -> None:
    """Write a PNG whole or not at all."""
    temporary = path.with_name(f".{path.name}.part")
    try:
        figure.savefig(temporary, dpi=dpi, format="png")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
