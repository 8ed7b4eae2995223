"""How things are timed: compiled, waited for, on fresh inputs, in turns."""

import gc
import platform
import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax
from jax import Array

REPEATS = 7


@dataclass(frozen=True)
class Side:
    """One of those that are compared."""

    call: Callable[[Array], Any]
    """From a random key to what is waited for; every call continues from where the last one ended."""
    work: float
    """Units of work in one call."""


@dataclass(frozen=True)
class Row:
    """What one side did."""

    name: str
    per_second: float
    """Median of units per second."""
    quartiles: tuple[float, float]
    first_call: float
    """Trace, compile and run once, seconds."""
    ratio: float | None
    """Median of the ratios to the last side, each of two neighbours in time; None for that side itself."""
    ratio_quartiles: tuple[float, float] | None
    """Of those ratios."""


def measure(sides: dict[str, Side], repeats: int = REPEATS) -> list[Row]:
    """Return a row for every side. They take turns, so that a machine that drifts moves them all."""
    first, rates = {}, {name: [] for name in sides}
    for name, side in sides.items():
        first[name] = _seconds(side, jax.random.key(1))
    for repeat in range(repeats):
        key = jax.block_until_ready(jax.random.key(2 + repeat))
        for name, side in sides.items():
            gc.collect()
            rates[name].append(side.work / _seconds(side, key))
    rows, last = [], list(sides)[-1]
    for name, rate in rates.items():
        low, middle, high = statistics.quantiles(rate, n=4)
        ratios = [a / b for a, b in zip(rate, rates[last], strict=True)]
        below, ratio, above = statistics.quantiles(ratios, n=4)
        rows.append(
            Row(name, middle, (low, high), first[name], None, None)
            if name == last
            else Row(name, middle, (low, high), first[name], ratio, (below, above))
        )
    return rows


def _seconds(side: Side, key: Array) -> float:
    began = time.perf_counter()
    jax.block_until_ready(side.call(key))
    return time.perf_counter() - began


def machine() -> dict[str, Any]:
    """Return what figures depend on."""
    device = jax.devices()[0]
    processor = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if "model name" in line]
        processor = f"{names[0]}, {len(names)} cores" if names else processor
    return {
        "device": device.device_kind,
        "processor": processor,
        "python": platform.python_version(),
        "jax": jax.__version__,
    }


def peak_gib() -> float:
    """Return the most memory that this process has held, GiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if platform.system() == "Linux" else peak / 2**30


def as_record(rows: list[Row], **about: Any) -> list[dict[str, Any]]:
    """Return rows as JSON, each with what they are about."""
    return [{**about, **asdict(row)} for row in rows]
