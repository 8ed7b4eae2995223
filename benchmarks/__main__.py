"""Measure on this machine, against others: ``python -m benchmarks [suite ...] [--long]``.

Suites: stages, environments, training and peers; with ``--long``, or named, engine, largest and public too. What was
found is written to benchmarks/results/<device>.json, or <device>-long.json, drawn in benchmarks/figures, and put into
the tables of benchmarks/README.md. Exit code 1 if a row fails.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import jax

from benchmarks import engine, environments, peers, public, training
from benchmarks.tables import about, long_tables, number, refresh, tables
from jaxdem_ac.bench.cases import Axes, grid
from jaxdem_ac.bench.compare import write
from jaxdem_ac.bench.machine import versions
from jaxdem_ac.bench.measure import REPEATS, one_line
from jaxdem_ac.bench.suite import Report, Row, failed, new_report
from jaxdem_ac.bench.suite import run as run_grid

HERE = Path(__file__).parent
PUBLIC = ("gymnax", "rejax", "brax", "mujoco", "mujoco-mjx")
SHORT = ("stages", "environments", "training", "peers")
# So that the short grid is done in a few minutes.
SHORT_REPEATS = 5
ALL = (*SHORT, "engine", "largest", "public")


def _stages(short: bool, keep: Callable[[Report], None]) -> Report:
    cases = grid(Axes(), long=not short, platform=jax.default_backend())
    repeats = SHORT_REPEATS if short else REPEATS
    return run_grid(cases, repeats=repeats, tell=lambda row: print(line(row), flush=True), keep=keep)


def _apart(function: str) -> list[Row]:
    """Return what a function returns in a process of its own, whose memory is its alone."""
    code = f"import json; from benchmarks import environments, engine; print(json.dumps({function}()))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    rows: list[Row] = json.loads(done.stdout.splitlines()[-1])
    return rows


def measured(name: str, short: bool, paths: Mapping[str, str], keep: Callable[[Report], None]) -> Report:
    """Return the report of a suite; one that breaks is a row that has failed.

    Of the stages, `keep` gets what there is so far, with what is to come as failed.
    """
    suites: dict[str, Callable[[], list[Row]]] = {
        "environments": partial(environments.run, short),
        "training": partial(training.run, short),
        "peers": partial(peers.run, short, paths),
        "engine": engine.run,
        "largest": partial(_apart, "environments.largest"),
        "public": public.run,
    }
    if name == "stages":
        return _stages(short, keep)
    report = new_report([{"suite": name, "name": name, "stage": name}])
    try:
        report["rows"] = suites[name]()
    except Exception as error:
        report["rows"][0]["error"] = one_line(error)
    if name == "public":
        report["versions"] = versions(("jaxlib", "jax", "flax", "optax", "distrax", *PUBLIC))
    for row in report["rows"]:
        print(line(row), flush=True)
    return report


def line(row: Mapping[str, Any]) -> str:
    """Return a row as text."""
    if "returns" in row:
        return public.line(row)
    names = [row.get(name) for name in ("suite", "stage", "env", "model", "sharing", "task", "name")]
    what = " ".join(str(name) for name in dict.fromkeys(names) if name)
    if "N" in row:
        what += f", {row['N']} x {row['E']}"
    if row["status"] != "ok":
        return f"{what}: {row['status']}: {row['error']}"
    low, high = row["agent_steps_quartiles"]
    text = f"{what}: {number(row['agent_steps_per_second'])} agent-steps/s [{number(low)}, {number(high)}]"
    if "ratio" in row:
        text += f", {row['ratio']:.3g} [{', '.join(f'{x:.3g}' for x in row['ratio_quartiles'])}] of {row['ratio_to']}"
    return text


def main() -> int:
    """Measure the suites that are asked for; return 1 if a row failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("suites", nargs="*", choices=[*ALL, []], metavar="suite", help=", ".join(ALL))
    parser.add_argument("--long", action="store_true", help="whole grids, an hour on two cores")
    parser.add_argument("--path", action="append", default=[], metavar="PEER=DIR", help="where a peer is installed")
    asked = parser.parse_args()
    paths = dict(each.partition("=")[::2] for each in asked.path)
    stem = f"{jax.devices()[0].device_kind}{'-long' if asked.long else ''}".replace(" ", "-").lower()
    bad = 0
    for name in asked.suites or (ALL if asked.long else SHORT):
        where = HERE / "results" / f"{'public' if name == 'public' else stem}.json"
        # An hour of measurements is not lost if they are cut off, and neither is what an earlier run has stored.
        part = where.with_suffix(".json.part")
        report = measured(name, not asked.long, paths, partial(keep, part, name))
        bad += len(failed(report["rows"]))
        keep(where, name, report)
        part.unlink(missing_ok=True)
        print(f"wrote {where}")
    show(HERE / "results" / f"{stem}.json", long=asked.long)
    if bad:
        print(f"{bad} rows failed.", file=sys.stderr)
    return 1 if bad else 0


def keep(where: Path, suite: str, report: Report) -> None:
    """Write a suite's report beside those of others."""
    suites = json.loads(where.read_text())["suites"] if where.exists() else {}
    where.parent.mkdir(exist_ok=True)
    write({"suites": {**suites, suite: report}}, where)


def show(where: Path, long: bool) -> None:
    """Put all suites of a device into the tables, and draw their figures."""
    if not where.exists():
        return
    suites: dict[str, Report] = json.loads(where.read_text())["suites"]
    rows = [row for report in suites.values() for row in report["rows"]]
    refresh(HERE / "README.md", long_tables(suites) if long else tables(suites))
    if "stages" in suites:
        from benchmarks.figures import draw

        for path in draw(rows, HERE / "figures", about(suites["stages"]), "-long" if long else ""):
            print(f"wrote {path}")


if __name__ == "__main__":
    sys.exit(main())
