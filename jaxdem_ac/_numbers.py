"""Numbers in configurations: what they may be, and how they are shown."""

import math
import sys
from collections.abc import Callable
from typing import Any

COUNT = 2**31
"""The first number that the 32 bits of a compiled program do not count."""
WHOLE = "a whole number from 1, below 2**31"


def check_number(where: str, name: str, value: Any, kind: type, valid: Callable[[Any], bool], rule: str) -> None:
    """Raise ValueError unless a field is a number of a kind, int or float, that is allowed by its rule."""
    numeric = isinstance(value, int) if kind is int else isinstance(value, int | float)
    # Python's whole numbers are finite, but may be too large to be asked.
    finite = numeric and (isinstance(value, int) or math.isfinite(value))
    too_large = kind is float and finite and abs(value) > sys.float_info.max
    if isinstance(value, bool) or not finite or too_large or not valid(value):
        raise ValueError(f"{where}: {name} is {rule}; got {name}={shown(value)}. Set it so.")


def shown(value: Any) -> str:
    """Return a value as Python writes it; what has hundreds of digits, and what Python refuses to write, in short."""
    if isinstance(value, int) and abs(value) >= 10**30:
        return f"{'-' * (value < 0)}2**{value.bit_length() - 1} or more"
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}..."
