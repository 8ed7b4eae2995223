"""Types that several rooms share."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

PyTree: TypeAlias = Any
"""Arrays in containers that JAX takes apart, of a structure that is known only while a program runs."""

Json: TypeAlias = "Mapping[str, Json] | Sequence[Json] | str | float | bool | None"
"""A value that JSON can say."""
