"""Traces of what was measured, and how the time in them splits over the stages that the code names."""

import gzip
import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
from jax import Array

from jaxdem_ac._files import make_folder, write_text
from jaxdem_ac._types import Json, PyTree
from jaxdem_ac.bench.measure import wait

SCOPES = ("rollout", "environment", "dem.advance", "jaxdem", "lidar", "neighbors",
          "policy", "advantages", "update", "optimizer")  # fmt: skip
"""The names that `jax.named_scope` gives in this package."""

# Their time is that of what they hold.
_CONTAINERS = ("while", "conditional", "call", "cond", "async")
_NAMED = re.compile(r'^\s*(?:ROOT )?%?([\w.\-]+) = .*?op_name="([^"]*)"')
_OPCODE = re.compile(r"^\s*(?:ROOT )?%?([\w.\-]+) = .*? (while|conditional|call|async-start|async-done)\(")


def profile_call(folder: Path, call: Callable[[Array], PyTree], program: str) -> dict[str, Json]:
    """Trace a warm call into `folder`, for Perfetto or TensorBoard, beside its program; return how its time splits."""
    make_folder(folder)
    write_text(folder / "program.txt", program)
    key = wait(jax.random.key(2**20))
    with jax.profiler.trace(str(folder)):
        wait(call(key))
    return {"profile": str(folder), "seconds_by_scope": by_scope(folder, program)}


def by_scope(folder: Path, program: str) -> dict[str, float]:
    """Return the seconds that kernels took, by named scopes, of all threads or streams together."""
    scope_of, skipped = {}, set()
    for line in program.splitlines():
        found = _NAMED.match(line)
        if found:
            scope_of[found[1]] = scope(found[2])
        holder = _OPCODE.match(line)
        if holder:
            skipped.add(holder[1])
    seconds: Counter[str] = Counter()
    newest = sorted(folder.glob("plugins/profile/*/*.trace.json.gz"))[-1:]
    events: list[dict[str, Any]] = []
    for path in newest:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            events = [event for event in json.load(file)["traceEvents"] if event.get("ph") == "X"]
    for event in events:
        name = event.get("args", {}).get("hlo_op")
        if name is not None and name not in skipped and name.split(".")[0] not in _CONTAINERS:
            seconds[scope_of.get(name, "other")] += event["dur"] / 1e6
    return dict(seconds.most_common())


def scope(path: str) -> str:
    """Return the :data:`SCOPES` in the path of an operation, ``"rollout/environment/lidar"``, or ``"other"``."""
    return "/".join(dict.fromkeys(part for part in re.split(r"[/()]", path) if part in SCOPES)) or "other"
