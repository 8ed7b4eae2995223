"""Points of a contract: functions that raise where it is broken, all at once or as cases of pytest."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

Check = tuple[str, Callable[[], None]]
"""Name of a point, and a function that raises unless it is kept to."""


def run_all(checks: Iterable[Check]) -> None:
    """Raise at the first point that is broken."""
    for _, check in checks:
        check()


def as_cases(checks: Iterable[tuple[str, Iterable[Check]]]) -> "pytest.MarkDecorator":
    """Return a decorator that gives a test every check as its argument ``check``, under the id ``<owner>-<point>``.

    `checks` are names of owners, and their checks.
    """
    # Here, so that the package needs no pytest where nothing is tested.
    import pytest

    cases = [pytest.param(check, id=f"{owner}-{point}") for owner, points in checks for point, check in points]
    return pytest.mark.parametrize("check", cases)
