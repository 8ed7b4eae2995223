"""Checks of an environment's fields, and of the numbers that make a state."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdem_ac._checks import limits

# Counters of steps are integers of 32 bits.
MOST = 2**31 - 1


def check_whole(where: str, *, least: int = 1, **values: Any) -> None:
    """Raise ValueError unless every value is a whole number from `least` that an integer of 32 bits holds."""
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
            raise ValueError(f"{where}: {name} is a whole number from {least}; got {name}={value!r}. Raise it.")
        if value > MOST:
            raise ValueError(f"{where}: {name} is below 2**31; got {name}={value}. Lower it.")


def check_number(
    where: str, *, least: float = -math.inf, most: float = math.inf, positive: bool = False, **values: Any
) -> None:
    """Raise ValueError unless every value is a finite number in its range, in the dtype that computes with it."""
    least_normal, largest = limits()
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not math.isfinite(value):
            raise ValueError(f"{where}: {name} is a finite number; got {name}={value!r}. Pass a float.")
        if value < least or (positive and value <= 0):
            bound = "above 0" if positive else f"at least {least:g}"
            raise ValueError(f"{where}: {name} is {bound}; got {name}={value}. Raise it.")
        if value > most:
            raise ValueError(f"{where}: {name} is at most {most:g}; got {name}={value}. Lower it.")
        number = float(value)
        if abs(number) > largest or (positive and number < least_normal):
            raise ValueError(
                f"{where}: {name} is between {least_normal:.3g} and {largest:.3g} in {jnp.result_type(float)}; got "
                f"{name}={number:g}. Choose other units, or enable jax_enable_x64."
            )


def check_count(where: str, **values: Any) -> None:
    """Raise ValueError unless every value is one whole number from 0; a traced one passes if it is an integer."""
    for name, value in values.items():
        if isinstance(value, jax.Array | np.ndarray) and value.ndim == 0 and jnp.issubdtype(value.dtype, jnp.integer):
            if isinstance(value, jax.core.Tracer):
                continue
            value = int(value)
        check_whole(where, least=0, **{name: value})
