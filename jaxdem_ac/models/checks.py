"""Checks of a model's keywords."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from jaxdem_ac._checks import as_real, check_numbers, fits
from jaxdem_ac.registry import suggest

if TYPE_CHECKING:
    from jax import Array

DEFAULT_ARCHITECTURE = (42, 42, 42)
COMPUTE_DTYPES = ("bfloat16", "float16", "float32")


def check_size(where: str, name: str, size: object) -> int:
    """Return a size as an int from 1."""
    if isinstance(size, bool) or not isinstance(size, int | np.integer):
        raise TypeError(f"{where}: {name} is a whole number; got {name}={size!r}. Pass an int.")
    if size < 1:
        raise ValueError(f"{where}: {name} is at least 1; got {name}={size}. Raise it.")
    return int(size)


def check_scale(where: str, name: str, scale: object, compute_dtype: str | None = None) -> float:
    """Return a scale that is finite, and not 0 unless it is 0, in the types of parameters and layers."""
    number = as_real(scale)
    if number is None or not fits(number) or not (compute_dtype is None or fits(number, compute_dtype)):
        raise ValueError(
            f"{where}: {name} is a finite number; got {name}={scale!r:.60}. Choose one that single precision and "
            "compute_dtype hold: the defaults are sqrt(2), 1 and 0.01."
        )
    return number


def check_std(where: str, name: str, value: object) -> float:
    """Return a standard deviation above 0 whose square, too, is neither 0 nor infinite."""
    number = as_real(value)
    if number is None or not number > 0 or not math.isfinite(number) or not fits(number**2):
        raise ValueError(
            f"{where}: {name} is above 0 and finite; got {name}={value!r:.60}. Pass 0.5, say: single precision has to "
            "hold its square too."
        )
    return number


def check_observation(where: str, observation: object, size: int) -> "Array":
    """Return observations as an array ``(..., O)`` of floats, at least one; or raise TypeError or ValueError."""
    import jax.numpy as jnp

    x = check_numbers(where, "observation", observation)
    if x.ndim < 1 or x.shape[-1] != size:
        got = f"{x.shape[-1]}, in shape {x.shape}" if x.ndim else "a scalar"
        raise ValueError(
            f"{where}: an observation has {size} numbers on its last axis; got {got}. Pass what it was built for, or "
            "build it with another observation_space_size."
        )
    if 0 in x.shape:
        raise ValueError(f"{where}: a batch holds at least one observation; got shape {x.shape}. Leave the call out.")
    return x if jnp.issubdtype(x.dtype, jnp.floating) else x.astype(float)


def check_architecture(where: str, name: str, architecture: Sequence[int] | None) -> tuple[int, ...]:
    """Return widths of layers as a tuple; the default ones for None."""
    if architecture is None:
        return DEFAULT_ARCHITECTURE
    if isinstance(architecture, str) or not np.iterable(architecture):
        raise TypeError(
            f"{where}: {name} is a sequence of layer widths; got {name}={architecture!r}. Pass (42, 42), say."
        )
    return tuple(check_size(where, f"{name}[{number}]", width) for number, width in enumerate(architecture))


def check_compute_dtype(where: str, compute_dtype: str | None) -> str | None:
    """Return the name of a type in which layers may multiply, or None."""
    if compute_dtype is not None and compute_dtype not in COMPUTE_DTYPES:
        raise ValueError(
            f"{where}: compute_dtype is the name of a type; got compute_dtype={compute_dtype!r}. "
            f"{suggest(str(compute_dtype), COMPUTE_DTYPES)}"
        )
    return compute_dtype
