"""Reports as files, and what got slower from one to the next."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from jaxdem_ac._files import parse_json, write_text
from jaxdem_ac._types import Json
from jaxdem_ac.bench.suite import FORMAT, Report, Row

# Between two runs of the same program, on a quiet machine.
TOLERANCE = 0.05

_NAMES = ("suite", "stage", "env", "model", "sharing", "dtype", "N", "E", "T", "physics_steps", "task", "name")


@dataclass(frozen=True)
class Comparison:
    """The comparison of two benchmark reports."""

    rows: list[Row]
    """Rows of either report: name, ``verdict``, both speeds and their ratio."""
    allowed: float
    """Share of its speed that a row may lose without a word."""
    notes: list[str]
    """Other differences between the reports, a sentence each."""

    @property
    def slower(self) -> list[Row]:
        """Rows that got slower, or fail now."""
        return [row for row in self.rows if row["verdict"] in ("slower", "fails")]


def write(report: Report, path: Path) -> None:
    """Write a report whole or not at all, or raise OSError."""
    write_text(path, json.dumps(report, indent=1) + "\n")


def read(path: Path) -> Report:
    """Return a report; FileNotFoundError if there is none, ValueError for another file, or another version."""
    if not path.is_file():
        raise FileNotFoundError(
            f"bench: a report is a file; got {str(path)!r}, which is none. Make one: jaxdem-ac bench --out FILE."
        )
    try:
        found = parse_json(path.read_text(encoding="utf-8"))
        # Reports of several suites lie in one file in benchmarks/results.
        found = found["suites"]["stages"] if "suites" in found else found
        number, rows = found["format"], found["rows"]
        complete = all(_names_of(row) <= row.keys() for row in rows)
    except (ValueError, KeyError, TypeError, AttributeError):
        complete, number = False, None
    if not complete or number != FORMAT:
        raise ValueError(
            f"bench: a report of format {FORMAT} is what `jaxdem-ac bench --out FILE` writes; got {str(path)!r}, which "
            "is not. Measure again."
        )
    report: Report = found
    return report


def _names_of(row: Row) -> set[str]:
    """Return the names of figures that a row of a report has."""
    measured = {"agent_steps_per_second", "agent_steps_quartiles"} if row["status"] == "ok" else set()
    return {"stage", "status", "N", "E", *measured}


def compare(old: Report, new: Report) -> Comparison:
    """Return what got slower, beyond the noise.

    A row is slower if its median of agent-steps per second has lost more than 5 % and what the machine itself lost (its
    products and copies, measured with each report), and the quartiles of the two do not overlap. A row that fails now
    and did not before counts like one that is slower. Raises ValueError if no row stands in both.
    """
    before, after = _by_name(old), _by_name(new)
    if not before.keys() & after.keys():
        raise ValueError("bench: two reports are compared in the rows that both have; got none. Measure the same grid.")
    lost, won = _moves(old, new)
    loss, gain = TOLERANCE + lost, TOLERANCE + won
    rows = []
    for name in {**before, **after}:
        one, other = before.get(name), after.get(name)
        known = one or other or {}
        was, now = (None if row is None else row.get("agent_steps_per_second") for row in (one, other))
        rows.append(
            {
                **{key: known.get(key) for key in _NAMES if key in known},
                "verdict": _verdict(one, other, loss, gain),
                "old": was,
                "new": now,
                "ratio": None if was is None or now is None else now / was,
            }
        )
    return Comparison(rows, loss, _notes(old, new))


def _by_name(report: Report) -> dict[tuple[Json, ...], Row]:
    # What a failed row was to be made of is not known: it has no T.
    names = [each for each in _NAMES if each not in ("T", "physics_steps")]
    return {tuple(row.get(name) for name in names): row for row in report["rows"]}


def _verdict(old: Row | None, new: Row | None, loss: float, gain: float) -> str:
    if old is None or old["status"] != "ok":
        return "new" if new is not None and new["status"] == "ok" else "still fails"
    if new is None:
        return "left out"
    if new["status"] != "ok":
        return "fails"
    if (old.get("T"), old.get("physics_steps")) != (new.get("T"), new.get("physics_steps")):
        return "not comparable"
    share = new["agent_steps_per_second"] / old["agent_steps_per_second"]
    (old_low, old_high), (new_low, new_high) = old["agent_steps_quartiles"], new["agent_steps_quartiles"]
    if share < 1 - loss and new_high < old_low:
        return "slower"
    if 1 / share < 1 - gain and new_low > old_high:
        return "faster"
    return "same"


def _machine(report: Report) -> dict[str, float]:
    limits = report.get("limits") or {}
    return {**limits.get("flops", {}), **({"bytes": limits["bytes"]} if "bytes" in limits else {})}


def _moves(old: Report, new: Report) -> tuple[float, float]:
    """Return what the machine itself lost and won at most, as shares of its limits."""
    before, after = _machine(old), _machine(new)
    shares = [after[name] / value for name, value in before.items() if name in after]
    return max(0.0, 1 - min(shares, default=1.0)), max(0.0, 1 - 1 / max(shares, default=1.0))


def _notes(old: Report, new: Report) -> list[str]:
    notes = []
    for part in ("machine", "versions", "settings"):
        one: Mapping[str, Json] = old.get(part) or {}
        other: Mapping[str, Json] = new.get(part) or {}
        for name in {**one, **other}:
            if one.get(name) != other.get(name):
                notes.append(f"{part}.{name}: {one.get(name)} and {other.get(name)}")
    lost, won = _moves(old, new)
    notes.append(f"the machine's own limits: {lost:.0%} lower and {won:.0%} higher at most")
    return notes
