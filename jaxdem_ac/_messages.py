"""Errors and warnings of one kind, said in one way by all rooms."""

import warnings
from types import UnionType


def check_kind(rule: str, value: object, kind: type | UnionType, advice: str) -> None:
    """Raise TypeError, which says a rule, the kind that was given, and what to do, unless a value is of a kind."""
    if not isinstance(value, kind):
        raise TypeError(f"{rule}; got {type(value).__name__}. {advice}")


def warn(text: str, kind: type[Warning] = RuntimeWarning, level: int = 1) -> None:
    """Warn of something on behalf of the caller of the function that calls this, or of who is `level` calls above."""
    warnings.warn(text, kind, stacklevel=level + 2)
