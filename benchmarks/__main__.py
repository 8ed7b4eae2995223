"""Measure on this machine: ``python -m benchmarks [suite ...]``.

Suites: environments, engine, training, largest, public; all of them if none is named. Rows are printed as they come and
written to benchmarks/results/<device>.json, where those of other suites stay; those of public to results/public.json.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jaxdem_ac as ac
from benchmarks import engine, environments, public, training
from benchmarks.measure import machine

SUITES = {
    "environments": environments.run,
    "engine": engine.run,
    "training": training.run,
    "largest": lambda: _apart("environments.largest"),
    "public": public.run,
}


def _apart(function: str) -> list[dict[str, Any]]:
    """Return what a function returns in a process of its own, whose memory is its alone."""
    code = f"import json; from benchmarks import environments, engine; print(json.dumps({function}()))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    rows: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return rows


def _line(row: dict[str, Any]) -> str:
    if "skipped" in row:
        return f"{row['suite']:<12} {row['name']}: left out, {row['skipped']}"
    if "returns" in row:
        return public.line(row)
    low, high = row["quartiles"]
    size = " x ".join(str(row[name]) for name in ("N", "E") if name in row)
    held = f", held {row['physics_steps']}" if row.get("physics_steps", 1) > 1 else ""
    ratio = (
        ""
        if row["ratio"] is None
        else f"  x {row['ratio']:.3g} [{', '.join(f'{x:.3g}' for x in row['ratio_quartiles'])}]"
    )
    memory = f"  {row['peak_gib']} GiB" if "peak_gib" in row else ""
    return (
        f"{row['suite']:<12} {size + held:<16} {row['name']:<12} {row['per_second']:>12,.0f} /s "
        f"[{low:,.0f}, {high:,.0f}]  first call {row['first_call']:.1f} s{memory}{ratio}"
    )


def main() -> None:
    """Measure the suites that are asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("suites", nargs="*", choices=[*SUITES, []], metavar="suite", help=", ".join(SUITES))
    chosen = parser.parse_args().suites or list(SUITES)
    about = {**machine(), "jaxdem_ac": ac.__version__}
    device = about["device"].replace(" ", "-").lower()
    for name in chosen:
        rows = SUITES[name]()
        for row in rows:
            print(_line(row), flush=True)
        if name == "public":
            _write("public", name, {"machine": {**about, **public.about()}, "rows": rows})
        else:
            _write(device, name, {"machine": about, "rows": rows})


def _write(stem: str, suite: str, found: dict[str, Any]) -> None:
    """Write what a suite has found to results/<stem>.json, beside that of other suites."""
    where = Path(__file__).parent / "results" / f"{stem}.json"
    kept = json.loads(where.read_text())["suites"] if where.exists() else {}
    where.parent.mkdir(exist_ok=True)
    where.write_text(json.dumps({"suites": {**kept, suite: found}}, indent=1) + "\n")
    print(f"wrote {where}")


if __name__ == "__main__":
    main()
