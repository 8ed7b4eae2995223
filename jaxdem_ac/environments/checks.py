"""Constraints on the fields of an environment, and checks of the numbers that make a state."""

import math
from dataclasses import dataclass
from functools import cache
from typing import Annotated, get_args, get_type_hints

import jax
import jax.numpy as jnp
import numpy as np

from jaxdem_ac import _checks

# Counters of steps are integers of 32 bits.
MOST = 2**31 - 1


@dataclass(frozen=True)
class Constraint:
    """Range of a number; part of the annotation of a field, which :func:`check_fields` reads."""

    whole: bool = False
    """Whether it is a whole number from 1."""
    positive: bool = False
    """Whether it is above 0."""
    least: float = -math.inf
    """Least value allowed."""
    most: float = math.inf
    """Largest value allowed."""


Count = Annotated[int, Constraint(whole=True)]
"""Whole number from 1."""
Real = Annotated[float, Constraint()]
"""Finite number."""
Positive = Annotated[float, Constraint(positive=True)]
"""Finite number above 0."""
NonNegative = Annotated[float, Constraint(least=0.0)]
"""Finite number from 0."""
Fraction = Annotated[float, Constraint(least=0.0, most=1.0)]
"""Number in [0, 1]."""
AtLeastOne = Annotated[float, Constraint(least=1.0)]
"""Finite number from 1."""


def check_fields(where: str, owner: object) -> None:
    """Raise ValueError unless every field of a dataclass keeps to the constraint in its annotation, if it has one."""
    for name, constraint in _constraints(type(owner)).items():  # type: ignore[arg-type]
        value = {name: getattr(owner, name)}
        if constraint.whole:
            check_whole(where, **value)
        else:
            check_number(where, least=constraint.least, most=constraint.most, positive=constraint.positive, **value)


@cache
def _constraints(cls: type) -> dict[str, Constraint]:
    found = {}
    for name, annotation in get_type_hints(cls, include_extras=True).items():
        for part in get_args(annotation)[1:]:
            if isinstance(part, Constraint):
                found[name] = part
    return found


def check_whole(where: str, *, least: int = 1, **values: object) -> None:
    """Raise ValueError unless every value is a whole number from `least` that an integer of 32 bits holds."""
    for name, value in values.items():
        if _checks.check_count(where, name, value, least) > MOST:
            raise ValueError(f"{where}: {name} is below 2**31; got {name}={value}. Lower it.")


def check_number(
    where: str, *, least: float = -math.inf, most: float = math.inf, positive: bool = False, **values: object
) -> None:
    """Raise ValueError unless every value is a finite number in its range, in the dtype that computes with it."""
    least_normal, largest = _checks.limits()
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


def check_count(where: str, **values: object) -> None:
    """Raise ValueError unless every value is one whole number from 0; a traced one passes if it is an integer."""
    for name, value in values.items():
        if isinstance(value, jax.Array | np.ndarray) and value.ndim == 0 and jnp.issubdtype(value.dtype, jnp.integer):
            if isinstance(value, jax.core.Tracer):
                continue
            value = int(value)
        check_whole(where, least=0, **{name: value})
