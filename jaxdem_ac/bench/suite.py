"""A grid measured row by row; a row that fails stays, and says why."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import jax

from jaxdem_ac._types import Json
from jaxdem_ac.bench.cases import Case, size_of
from jaxdem_ac.bench.cost import Work
from jaxdem_ac.bench.machine import Limits, commit, machine, measure_limits, versions
from jaxdem_ac.bench.measure import REPEATS, Timing, as_row, measure, one_line, quartiles, ratio
from jaxdem_ac.bench.profile import profile_call
from jaxdem_ac.bench.stages import Built, build

FORMAT = 1
NOT_REACHED = "the bench ended before this row was measured"

Row = dict[str, Any]
Report = dict[str, Any]


def run(
    cases: Sequence[Case],
    *,
    settings: Mapping[str, Json] | None = None,
    repeats: int = REPEATS,
    profile: Path | None = None,
    tell: Callable[[Row], None] = lambda row: None,
    keep: Callable[[Report], None] = lambda report: None,
) -> Report:
    """Return what was measured, as JSON types.

    Parameters
    ----------
    cases : sequence of Case
        Those of one stage, task and size take turns; each has a ratio to the first of them, formed pair by pair.
    settings : mapping, optional
        Dotted fields of the configuration, as ``train --set`` takes them.
    repeats : int
        Timings of each row.
    profile : Path, optional
        Folder for a trace of each row.
    tell, keep : callable
        The first gets every row, once it is there, the second the report whenever it has changed; what has not been
        measured yet stands in it as failed.
    """
    settings = dict(settings or {})
    report = new_report([case.about() for case in cases], repeats=repeats, settings=settings)
    keep(report)
    limits = measure_limits(tuple(dict.fromkeys(["float32", *(case.dtype for case in cases)])))
    report["limits"] = asdict(limits)
    works: dict[Case, Work] = {}
    done = 0
    for _, members in groupby(cases, lambda case: (case.stage, *size_of(case))):
        rows = _group(list(members), settings, repeats, profile, limits, works)
        report["rows"][done : done + len(rows)] = rows
        done += len(rows)
        for row in rows:
            tell(row)
        keep(report)
    return report


def new_report(rows: Sequence[Mapping[str, Json]], **about: Json) -> Report:
    """Return a report in which nothing has been measured yet."""
    return {
        "format": FORMAT,
        "commit": commit(),
        "machine": machine(),
        "versions": versions(),
        "settings": about,
        "limits": None,
        "rows": [{**row, "status": "failed", "error": NOT_REACHED} for row in rows],
    }


def failed(rows: Sequence[Row]) -> list[Row]:
    """Return the rows that have failed."""
    return [row for row in rows if row["status"] == "failed"]


def _group(
    cases: Sequence[Case],
    settings: Mapping[str, Json],
    repeats: int,
    profile: Path | None,
    limits: Limits,
    works: dict[Case, Work],
) -> list[Row]:
    """Return the rows of cases that take turns."""
    built: dict[Case, Built] = {}
    errors: dict[Case, str] = {}
    for case in cases:
        try:
            built[case] = build(case.stage, case.config(settings), time.perf_counter)
        except Exception as error:
            errors[case] = one_line(error)
    names = {label(case.about()): case for case in built}
    timings = {
        names[name]: timing
        for name, timing in measure({name: built[case].side for name, case in names.items()}, repeats).items()
    }
    rows, first = [], None
    for case in cases:
        if case in errors:
            rows.append({**case.about(), "status": "failed", "error": errors[case]})
            continue
        timing, one = timings[case], built[case]
        row = as_row(one.side, timing, **case.about())
        if isinstance(timing, Timing):
            row.update(_beside_speed(case, one, timing, limits, works))
            if first is None:
                first = case
            elif isinstance(its := timings[first], Timing):
                low, middle, high = ratio(one.side, timing, built[first].side, its)
                row.update(ratio=middle, ratio_quartiles=[low, high], ratio_to=label(first.about()))
            if profile is not None:
                row.update(profile_call(profile / label(case.about()), one.side.call, one.text()))
        rows.append(row)
    return rows


def _beside_speed(case: Case, built: Built, timing: Timing, limits: Limits, works: dict[Case, Work]) -> Row:
    """Return what else a row says: compile time, memory, and how near the machine's limits it is."""
    row: Row = {
        "T": built.num_steps,
        "physics_steps": built.side.physics_steps,
        "compile_seconds": built.compile_seconds,
        "memory_bytes": built.memory_bytes,
        "device_memory_peak": (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use"),
    }
    try:
        # Of what is made of other stages it is the sum of theirs, if all have been counted.
        parts = [works.get(replace(case, stage=part)) for part in built.parts]
        counted = [part for part in parts if part is not None]
        is_sum = bool(parts) and len(counted) == len(parts)
        work = works[case] = sum(counted, Work(0.0, 0.0)) if is_sum else built.work()
    except Exception as error:
        # The time stands all the same.
        return {**row, "work_error": one_line(error)}
    seconds = quartiles(timing.seconds)[1]
    steps = built.side.decisions * built.side.num_particles
    return {
        **row,
        "flops_per_agent_step": work.flops / steps,
        "bytes_per_agent_step": work.bytes / steps,
        "compute_share": work.flops / seconds / limits.flops[case.dtype],
        "bandwidth_share": work.bytes / seconds / limits.bytes,
    }


def label(row: Mapping[str, Json]) -> str:
    """Return what names a row, fit for a folder's name."""
    parts = [row.get("stage"), row.get("env"), row.get("model"), row.get("sharing")]
    if row.get("dtype") not in (None, "float32"):
        parts.append(row["dtype"])
    return "-".join(str(part).replace(":", "_") for part in [*parts, f"{row['N']}x{row['E']}"] if part is not None)
