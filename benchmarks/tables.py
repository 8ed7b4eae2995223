"""Tables of what was measured, in Markdown, written between the marks of a text."""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

Row = Mapping[str, Any]
Rows = Sequence[Row]


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


def long_tables(reports: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Return the tables of the long grids: the stages by size, by model and by task, and the sides of others."""
    makers = {"environments": _sides, "training": _sides, "engine": _sides, "largest": _sides, "peers": _peers}
    found = {f"long {name}": makers[name](report) for name, report in reports.items() if name in makers}
    if "stages" in reports:
        by = {"sizes": _by_size, "models": _by_model, "tasks": _by_task}
        found |= {f"long {name}": f"{about(reports['stages'])}\n\n{make(reports['stages']['rows'])}"
                  for name, make in by.items()}  # fmt: skip
    return found


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
        what = [row["stage"], _names(row["env"], row["model"], row["sharing"], row["dtype"]), _size(row)]
        if row["status"] != "ok":
            lines.append([*what, f"failed: {row['error']}", *[""] * 7])
            continue
        shares = [
            f"{100 * row[name]:.0f}" if row.get(name) is not None else ""
            for name in ("compute_share", "bandwidth_share")
        ]
        speeds = [_rate(row), *(number(row[f"{unit}_per_second"]) for unit in ("decisions", "physics_steps"))]
        built = [f"{row['compile_seconds']:.1f}", f"{row['memory_bytes'] / 2**20:,.0f}"]
        lines.append([*what, *speeds, *built, *shares, _ratio(row)])
    return f"{about(report)}\n\n{_table(heads, lines)}"


def _pivot(rows: Rows, head: str, line: Callable[[Row], str], column: Callable[[Row], str]) -> str:
    """Return a table of speeds, with a line and a column for every text; ratios to the first line are in brackets."""
    lines: dict[str, dict[str, str]] = {}
    heads: dict[str, None] = {}
    for row in rows:
        ratio = f" ({row['ratio']:.2f})" if "ratio" in row else ""
        cell = number(row["agent_steps_per_second"]) + ratio if row["status"] == "ok" else f"failed: {row['error']}"
        lines.setdefault(line(row), {})[column(row)] = cell
        heads.setdefault(column(row))
    body = [[name, *(cells.get(each, "") for each in heads)] for name, cells in lines.items()]
    return _table([head, *heads], body)


def _is_base(row: Row) -> bool:
    return row["model"] in (None, "SharedActorCritic") and row["dtype"] == "float32"


def _by_size(rows: Rows) -> str:
    found = [row for row in rows if row["env"] == "swarm_navigator" and _is_base(row)]
    sizes = {_size(row) for row in found if row["stage"] == "training"}
    memory = {_size(row): f"{row['memory_bytes'] / 2**20:,.0f} MiB" for row in found
              if row["stage"] == "training" and row["status"] == "ok"}  # fmt: skip
    return _pivot(
        [row for row in found if _size(row) in sizes],
        "N x E; memory of training",
        lambda row: f"{_size(row)}; {memory.get(_size(row), '')}",
        lambda row: str(row["stage"]),
    )


def _by_model(rows: Rows) -> str:
    groups = Counter(_group(row) for row in rows)
    return _pivot(
        [row for row in rows if groups[_group(row)] > 1],
        "model",
        lambda row: _names(row["model"], row["sharing"], row["dtype"]),
        lambda row: f"{row['stage']}, {_size(row)}",
    )


def _by_task(rows: Rows) -> str:
    found = [row for row in rows if _is_base(row)]
    others = {(row["stage"], _size(row)) for row in found if row["env"] != "swarm_navigator"}
    return _pivot(
        [row for row in found if (row["stage"], _size(row)) in others],
        "task",
        lambda row: str(row["env"]),
        lambda row: f"{row['stage']}, {_size(row)}",
    )


def _group(row: Row) -> tuple[str, ...]:
    """Return what the rows have in common that take turns."""
    return row["stage"], row["env"], _size(row)


def _size(row: Row) -> str:
    # A whole suite that broke is a row without a size.
    return f"{row['N']:,} x {row['E']}" if "N" in row else ""


def _names(*names: str | None) -> str:
    return ", ".join(name for name in names if name and name != "float32")


def _sides(report: Mapping[str, Any]) -> str:
    rows = report["rows"]
    rollouts, memory = any("T" in row for row in rows), any("process_bytes" in row for row in rows)
    heads = ["stage", "N x E x T" if rollouts else "N x E", "side", "agent-steps/s [quartiles]",
             "physics steps a decision", "first call, s", "ratio to the last side"]  # fmt: skip
    heads += ["process, MiB"] * memory
    lines = []
    for row in rows:
        what = [row["stage"], _size(row) + (f" x {row['T']}" if "T" in row else ""), row["name"]]
        if row["status"] != "ok":
            lines.append([*what, f"{row['status']}: {row['error']}", *[""] * (len(heads) - 4)])
            continue
        steps = "" if row["physics_steps"] is None else f"{row['physics_steps']:g}"
        cells = [*what, _rate(row), steps, f"{row['first_call_seconds']:.1f}", _ratio(row)]
        lines.append([*cells, *[_process(row)] * memory])
    return f"{about(report)}\n\n{_table(heads, lines)}"


def _peers(report: Mapping[str, Any]) -> str:
    heads = ["N x E", "side", "task", "agent-steps/s [quartiles]", "physics steps/s", "first call, s", "process, MiB",
             "ratio", "how the task differs"]  # fmt: skip
    lines = []
    for row in report["rows"]:
        what = [_size(row), row.get("package", row["name"]), row.get("task", row.get("env", ""))]
        if row["status"] != "ok":
            lines.append([*what, f"{row['status']}: {row['error']}", *[""] * 5])
            continue
        first = row.get("compile_seconds", 0.0) + row["first_call_seconds"]
        lines.append(
            [*what, _rate(row), number(row["physics_steps_per_second"]), f"{first:.1f}", _process(row), _ratio(row),
             row.get("differs", "")]
        )  # fmt: skip
    return f"{about(report)}\n\n{_table(heads, lines)}"


def _rate(row: Row) -> str:
    low, high = row["agent_steps_quartiles"]
    return f"{number(row['agent_steps_per_second'])} [{number(low)}, {number(high)}]"


def _process(row: Row) -> str:
    return f"{row['process_bytes'] / 2**20:,.0f}" if "process_bytes" in row else ""


def _ratio(row: Row) -> str:
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
