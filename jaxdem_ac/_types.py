"""Types that several rooms share."""

from collections.abc import Mapping, Sequence
from types import UnionType
from typing import Any, TypeAlias

PyTree: TypeAlias = Any
"""A tree of arrays whose structure its owner alone knows: parameters, states of environments, carries."""

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"
"""A value that a JSON file can hold."""


def check_kind(rule: str, value: object, kind: type | UnionType, advice: str) -> None:
    """Raise TypeError, which says a rule, the kind that was given, and what to do, unless a value is of a kind."""
    if not isinstance(value, kind):
        raise TypeError(f"{rule}; got {type(value).__name__}. {advice}")
