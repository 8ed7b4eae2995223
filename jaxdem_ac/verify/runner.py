"""Run of cases: selected by name, each in its precision, figures written, failures kept apart."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import jax

from jaxdem_ac._files import make_folder
from jaxdem_ac._types import Json
from jaxdem_ac.registry import check_known
from jaxdem_ac.verify.case import Case, Check, Data, plain
from jaxdem_ac.verify.cases import CASES
from jaxdem_ac.view.figures.style import new_figure, require_matplotlib, save_figure


@dataclass(frozen=True)
class Result:
    """Verdict on a case."""

    case: Case
    checks: tuple[Check, ...]
    """Empty where the case ended in an error."""
    seconds: float
    """Wall-clock time, with compilation."""
    data: Data = field(default_factory=dict)
    """Numbers and arrays of the figure."""
    error: str | None = None
    """Error that kept the case from its end."""
    figure: Path | None = None
    """PNG that was written."""

    @property
    def passed(self) -> bool:
        """Whether there are checks and all of them have passed."""
        return self.error is None and bool(self.checks) and all(check.passed for check in self.checks)

    def to_dict(self) -> dict[str, Json]:
        """Return everything as JSON types."""
        return {
            "name": self.case.name,
            "compares": self.case.compares,
            "long": self.case.is_long,
            "passed": self.passed,
            "seconds": round(self.seconds, 2),
            "error": self.error,
            "checks": [check.to_dict() for check in self.checks],
            "data": plain(self.data, 6),
            "figure": None if self.figure is None else str(self.figure),
        }


def select(names: Sequence[str] = (), long: bool = False, cases: Mapping[str, Case] = CASES) -> list[Case]:
    """Return cases by name, or without names the short ones, with `long` all; KeyError for another name."""
    check_known("verify: no such case", names, cases, KeyError)
    wanted = list(dict.fromkeys(names)) or [name for name, case in cases.items() if long or not case.is_long]
    return [cases[name] for name in wanted]


def run(
    names: Sequence[str] = (),
    *,
    long: bool = False,
    figures: Path | None = None,
    tell: Callable[[Result], None] = lambda result: None,
    cases: Mapping[str, Case] = CASES,
) -> list[Result]:
    """Return the verdicts on cases, one by one; a case that breaks is a result that has not passed.

    `names` and `long` are as in :func:`select`, which raises for an unknown one. `figures` is a folder for
    ``verify_<name>.png`` of each case that has a figure: ImportError without matplotlib, OSError if one cannot be
    written. `tell` gets each result, once it is there.
    """
    chosen = select(names, long, cases)
    if figures is not None:
        require_matplotlib()
        make_folder(figures)
    results = []
    for case in chosen:
        result = _play(case, figures)
        results.append(result)
        tell(result)
    return results


def _play(case: Case, figures: Path | None) -> Result:
    start = time.perf_counter()
    try:
        with jax.enable_x64(case.float64):
            outcome = case.play()
    except Exception as error:
        if os.environ.get("JAXDEM_AC_DEBUG"):
            raise
        said = " ".join(str(error).split()) or "no message"
        return Result(case, (), time.perf_counter() - start, error=f"{type(error).__name__}: {said}")
    seconds = time.perf_counter() - start
    path = None
    if figures is not None and case.draw is not None:
        path = figures / f"verify_{case.name}.png"
        figure = new_figure(*case.size)
        case.draw(figure, outcome.data)
        for axis in figure.axes:
            if axis.get_legend() is None and axis.get_legend_handles_labels()[0]:
                axis.legend(frameon=False)
        save_figure(figure, path)
    return Result(case, outcome.checks, seconds, outcome.data, figure=path)
