"""Tables of what was measured, in Markdown, written between the marks of a text."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Rows = Sequence[Mapping[str, Any]]


def refresh(path: Path, tables: Mapping[str, str]) -> None:
    """Replace what stands between ``<!-- bench: NAME -->`` and ``<!-- bench: end -->`` for every table.

    Raises
    ------
    ValueError
        If the text has no such marks.
    """
    text = path.read_text()
    for name, table in tables.items():
        marked = re.compile(rf"(<!-- bench: {re.escape(name)} -->\n).*?(<!-- bench: end -->)", re.DOTALL)
        text, number = marked.subn(lambda match, table=table: f"{match[1]}{table}\n{match[2]}", text)
        if number != 1:
            raise ValueError(f"tables: {path.name} has the marks of each table once; got {number} of {name!r}.")
    path.write_text(text)


def tables(reports: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Return the table of every suite that has one."""
    makers = {"stages": _stages, "environments": _sides, "training": _sides, "peers": _peers}
    return {name: makers[name](report) for name, report in reports.items() if name in makers}


def about(report: Mapping[str, Any]) -> str:
    """Return what figures depend on, in one line."""
    machine, limits = report["machine"], report.get("limits")
    commit = (report["commit"] or "unknown")[:9]
    processor = f"{machine['device']}, {machine['processor']}, {machine['cores']} cores"
    text = f"{processor}; jax {report['versions']['jax']}; {commit}"
    if limits:
        text += f"; {limits['flops']['float32'] / 1e9:,.0f} GFLOP/s, {limits['bytes'] / 1e9:,.0f} GB/s"
    return text


def _table(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rows = [heads, ["---"] * len(heads), *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _stages(report: Mapping[str, Any]) -> str:
    heads = ["stage", "environment, model", "N x E", "agent-steps/s [quartiles]", "decisions/s", "physics steps/s",
             "compile, s", "MiB", "FLOPs, %", "bytes, %", "ratio"]  # fmt: skip
    lines = []
    for row in report["rows"]:
        names = [row["env"], row["model"], row["sharing"], row["dtype"] if row["dtype"] != "float32" else None]
        what = [row["stage"], ", ".join(name for name in names if name), f"{row['N']:,} x {row['E']}"]
        if row["status"] != "ok":
            lines.append([*what, f"failed: {row['error']}", *[""] * 7])
            continue
        shares = [
            f"{100 * row[name]:.0f}" if row.get(name) is not None else ""
            for name in ("compute_share", "bandwidth_share")
        ]
        lines.append(
            [
                *what,
                _rate(row),
                number(row["decisions_per_second"]),
                number(row["physics_steps_per_second"]),
                f"{row['compile_seconds']:.1f}",
                f"{row['memory_bytes'] / 2**20:,.0f}",
                *shares,
                _ratio(row),
            ]
        )
    return f"{about(report)}\n\n{_table(heads, lines)}"


def _sides(report: Mapping[str, Any]) -> str:
    heads = [
        "stage",
        "N x E",
        "side",
        "agent-steps/s [quartiles]",
        "physics steps a decision",
        "first call, s",
        "ratio",
    ]
    lines = []
    for row in report["rows"]:
        what = [row["stage"], f"{row['N']:,} x {row['E']}", row["name"]]
        if row["status"] != "ok":
            lines.append([*what, f"{row['status']}: {row['error']}", "", "", ""])
            continue
        steps = "" if row["physics_steps"] is None else f"{row['physics_steps']:g}"
        lines.append([*what, _rate(row), steps, f"{row['first_call_seconds']:.1f}", _ratio(row)])
    return f"{about(report)}\n\n{_table(heads, lines)}"


def _peers(report: Mapping[str, Any]) -> str:
    heads = ["N x E", "side", "task", "agent-steps/s [quartiles]", "physics steps/s", "first call, s", "process, MiB",
             "ratio", "how the task differs"]  # fmt: skip
    lines = []
    for row in report["rows"]:
        what = [f"{row['N']:,} x {row['E']}", row.get("package", row["name"]), row.get("task", row["env"])]
        if row["status"] != "ok":
            lines.append([*what, f"{row['status']}: {row['error']}", *[""] * 5])
            continue
        memory = f"{row['process_bytes'] / 2**20:,.0f}" if "process_bytes" in row else ""
        first = row.get("compile_seconds", 0.0) + row["first_call_seconds"]
        lines.append(
            [*what, _rate(row), number(row["physics_steps_per_second"]), f"{first:.1f}", memory, _ratio(row),
             row.get("differs", "")]
        )  # fmt: skip
    return f"{about(report)}\n\n{_table(heads, lines)}"


def _rate(row: Mapping[str, Any]) -> str:
    low, high = row["agent_steps_quartiles"]
    return f"{number(row['agent_steps_per_second'])} [{number(low)}, {number(high)}]"


def _ratio(row: Mapping[str, Any]) -> str:
    if "ratio" not in row:
        return ""
    low, high = row["ratio_quartiles"]
    return f"{row['ratio']:.3g} [{low:.3g}, {high:.3g}]"


def number(value: float | None) -> str:
    """Return a number with two digits, ``1.6e6``."""
    if value is None:
        return ""
    digits, _, exponent = f"{value:.1e}".partition("e")
    return f"{digits}e{int(exponent)}" if value >= 1e4 else f"{value:,.0f}"
