"""Types that several rooms share."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

PyTree: TypeAlias = Any
"""A tree of arrays whose structure its owner alone knows: parameters, states of environments, carries."""

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"
"""A value that a JSON file can hold."""
