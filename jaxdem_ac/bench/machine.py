"""The conditions of a measurement: machine, limits, versions and commit."""

import importlib.metadata
import json
import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
from jax import Array

from jaxdem_ac._types import Json
from jaxdem_ac.bench.measure import Side, Timing, measure

PACKAGES = ("jaxdem-ac", "jax", "jaxlib", "flax", "optax", "distrax", "numpy", "jaxdem")
# Side of the square matrices, and bytes of what is copied: far beyond any cache.
_SIDE = {"cpu": 1024, "gpu": 8192, "tpu": 8192}
_COPIED = {"cpu": 2**27, "gpu": 2**31, "tpu": 2**31}
_TIMES = 4


@dataclass(frozen=True)
class Limits:
    """Measured limits of the machine."""

    flops: dict[str, float]
    """Operations per second in products of large square matrices, by dtype."""
    bytes: float
    """Read and written per second where a large array is copied with a change."""


def measure_limits(dtypes: Sequence[str] = ("float32",), repeats: int = 5, scale: float = 1.0) -> Limits:
    """Return the best of a few timings of products, by dtype, and copies; `scale` multiplies the usual sizes."""
    kind = jax.default_backend()
    side = int(scale * _SIDE.get(kind, 1024))
    length = int(scale * _COPIED.get(kind, 2**27)) // 4
    sides = {dtype: Side(partial(_multiply, jnp.full((side, side), 1 / side, dtype)), _TIMES) for dtype in dtypes}
    timings = measure({**sides, "bytes": Side(partial(_copy, jnp.zeros(length)), _TIMES)}, repeats, least_seconds=0.0)
    best = {}
    for name, timing in timings.items():
        if not isinstance(timing, Timing):
            raise RuntimeError(f"bench: the machine's limits could not be measured: {timing}")
        best[name] = min(timing.seconds) / _TIMES
    moved = 2 * 4 * length
    return Limits({dtype: 2 * side**3 / best[dtype] for dtype in dtypes}, moved / best["bytes"])


@jax.jit
def _multiply(matrix: Array, key: Array) -> Array:
    start = jax.random.uniform(key, matrix.shape, matrix.dtype)
    return jax.lax.fori_loop(0, _TIMES, lambda _, x: x @ matrix, start)


@jax.jit
def _copy(array: Array, key: Array) -> Array:
    # One pass more to begin with: copies are as many as products.
    step = jax.random.uniform(key)
    return jax.lax.fori_loop(0, _TIMES - 1, lambda _, x: x + step, array + step)


def machine() -> dict[str, Json]:
    """Return what the machine is, as JSON types."""
    device = jax.devices()[0]
    return {
        "device": device.device_kind,
        "platform": device.platform,
        "num_devices": jax.device_count(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": _memory_gib(),
        "system": platform.system(),
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    text = info.read_text(encoding="utf-8", errors="replace") if info.exists() else ""
    names = [line.partition(":")[2].strip() for line in text.splitlines() if "model name" in line]
    if names:
        return names[0]
    return platform.processor() or platform.machine()


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, OSError, ValueError):
        return None


def versions(packages: Sequence[str] = PACKAGES) -> dict[str, str]:
    """Return the versions, and commits where pip knows them, of Python and of what is installed of some packages."""
    found = {"python": platform.python_version()}
    for name in packages:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        built_from = _recorded_commit(name)
        if built_from is not None:
            found[name] += f" at {built_from}"
    return found


def commit() -> str | None:
    """Return the commit of this package, ``+`` where files differ; of git, or else of pip, None where neither tells."""
    folder = Path(__file__).parents[1]
    try:
        _git(folder, "ls-files", "--error-unmatch", "__init__.py")
        changed = _git(folder, "status", "--porcelain", "--untracked-files=no", "--", ".")
        return _git(folder, "rev-parse", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        pass
    return _recorded_commit("jaxdem-ac")


def _recorded_commit(name: str) -> str | None:
    """Return the commit that pip has written of a package installed from its repository (PEP 610)."""
    try:
        text = importlib.metadata.distribution(name).read_text("direct_url.json")
    except importlib.metadata.PackageNotFoundError:
        return None
    found: str | None = json.loads(text).get("vcs_info", {}).get("commit_id") if text else None
    return found


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(folder), *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()
