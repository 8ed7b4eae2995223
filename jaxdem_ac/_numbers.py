"""Numbers in configurations: what they may be, and how they are shown."""

import math
import sys
from collections.abc import Callable

COUNT = 2**31
"""The first number that the 32 bits of a compiled program do not count."""
WHOLE = "a whole number from 1, below 2**31"


def check_number(where: str, name: str, value: object, kind: type, valid: Callable[[float], bool], rule: str) -> None:
    """Raise ValueError unless a field is a number of a kind, int or float, that is allowed by its rule."""
    # Python's whole numbers are finite, but may be too large to be asked.
    good = (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and (isinstance(value, int) or (kind is float and math.isfinite(value)))
        and (kind is int or abs(value) <= sys.float_info.max)
        and valid(value)
    )
    if not good:
        raise ValueError(f"{where}: {name} is {rule}; got {name}={shown(value)}. Set it so.")


def shown(value: object) -> str:
    """Return a value as Python writes it; what has hundreds of digits, and what Python refuses to write, in short."""
    if isinstance(value, int) and abs(value) >= 10**30:
        return f"{'-' * (value < 0)}2**{value.bit_length() - 1} or more"
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}..."
