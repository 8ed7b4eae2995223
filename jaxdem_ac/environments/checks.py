"""Checks of an environment's fields."""

import math
from typing import Any

import numpy as np


def check_whole(where: str, **values: Any) -> None:
    """Raise ValueError unless every value is a whole number from 1."""
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
            raise ValueError(f"{where}: {name} is a whole number from 1; got {name}={value!r}. Raise it.")


def check_number(where: str, *, least: float = -math.inf, positive: bool = False, **values: Any) -> None:
    """Raise ValueError unless every value is a finite number in its range."""
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not math.isfinite(value):
            raise ValueError(f"{where}: {name} is a finite number; got {name}={value!r}. Pass a float.")
        if value < least or (positive and value <= 0):
            bound = "above 0" if positive else f"at least {least:g}"
            raise ValueError(f"{where}: {name} is {bound}; got {name}={value}. Raise it.")
