"""Types that several rooms share."""

from typing import Any, TypeAlias

PyTree: TypeAlias = Any
"""Any nesting of dicts, lists, tuples and registered classes with arrays for leaves; only for what truly is one."""

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
"""A value as JSON holds it."""
