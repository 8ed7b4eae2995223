"""Rows of the suites: sides that take turns in one process, as the bench of the package has them."""

from collections.abc import Callable, Mapping
from typing import Any

from jax import Array

from jaxdem_ac.bench.measure import REPEATS, Side, Timing, as_row, measure, ratio


def going_on(play: Callable[[Any, Array], tuple[Any, Any]], start: Any) -> Callable[[Array], Any]:
    """Return a call that goes on from where the last one ended, by what `play` leaves, and hands out the rest."""
    held = [start]

    def call(key: Array) -> Any:
        held[0], output = play(held[0], key)
        return output

    return call


def compared(sides: Mapping[str, Side | None], repeats: int = REPEATS, **about: Any) -> list[dict[str, Any]]:
    """Return a row for every side, with its ratio to the last one that was measured, of neighbours in time.

    A side that is None is not installed: its row says so.
    """
    there = {name: side for name, side in sides.items() if side is not None}
    timings = measure(there, repeats)
    rows, measured = {}, [name for name in there if isinstance(timings[name], Timing)]
    for name, side in there.items():
        row = as_row(side, timings[name], **about, name=name, physics_steps=side.physics_steps)
        if measured and name in measured and name != measured[-1]:
            low, middle, high = ratio(side, timings[name], there[measured[-1]], timings[measured[-1]])
            row.update(ratio=middle, ratio_quartiles=[low, high], ratio_to=measured[-1])
        rows[name] = row
    return [rows.get(name, absent(name, **about)) for name in sides]


def absent(name: str, **about: Any) -> dict[str, Any]:
    """Return the row of a side that is not installed."""
    return {**about, "name": name, "status": "not installed", "error": "not installed"}
