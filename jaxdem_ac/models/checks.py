"""Checks of a model's keywords."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxdem_ac.registry import suggest

DEFAULT_ARCHITECTURE = (42, 42, 42)
COMPUTE_DTYPES = ("bfloat16", "float16", "float32")


def check_key(where: str, key: Any) -> None:
    """Raise TypeError unless `key` is one random key of JAX, new or old; it may be traced."""
    import jax
    import jax.numpy as jnp

    shape, dtype = getattr(key, "shape", None), getattr(key, "dtype", None)
    is_new = dtype is not None and jnp.issubdtype(dtype, jax.dtypes.prng_key)
    if shape != () if is_new else (dtype != np.uint32 or len(shape or ()) != 1):
        got = f"key={key!r}" if shape is None else f"an array of {dtype} in shape {shape}"
        raise TypeError(f"{where}: key is one random key; got {got}. Pass jax.random.key(0), or one of a split.")


def check_size(where: str, name: str, size: Any) -> int:
    """Return a size as an int from 1."""
    if isinstance(size, bool) or not isinstance(size, int | np.integer):
        raise TypeError(f"{where}: {name} is a whole number; got {name}={size!r}. Pass an int.")
    if size < 1:
        raise ValueError(f"{where}: {name} is at least 1; got {name}={size}. Pass the size of one particle's vector.")
    return int(size)


def check_flag(where: str, name: str, flag: Any) -> bool:
    """Return a flag as a bool."""
    if not isinstance(flag, bool | np.bool_):
        raise TypeError(f"{where}: {name} is true or false; got {name}={flag!r}. Pass a bool.")
    return bool(flag)


def check_scale(where: str, name: str, scale: Any) -> float:
    """Return a finite scale."""
    if not isinstance(scale, int | float | np.number) or not np.isfinite(scale):
        raise ValueError(
            f"{where}: {name} is a finite number; got {name}={scale!r}. The defaults are sqrt(2), 1 and 0.01."
        )
    return float(scale)


def check_positive(where: str, name: str, value: Any) -> float:
    """Return a finite number above 0."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not 0 < value < np.inf:
        raise ValueError(f"{where}: {name} is above 0 and finite; got {name}={value!r}. Pass 0.5, say.")
    return float(value)


def check_architecture(where: str, name: str, architecture: Sequence[int] | None) -> tuple[int, ...]:
    """Return widths of layers as a tuple; the default ones for None."""
    if architecture is None:
        return DEFAULT_ARCHITECTURE
    if isinstance(architecture, str) or not np.iterable(architecture):
        raise TypeError(
            f"{where}: {name} is a sequence of layer widths; got {name}={architecture!r}. Pass (42, 42), say."
        )
    return tuple(check_size(where, f"every width of {name}", width) for width in architecture)


def check_compute_dtype(where: str, compute_dtype: str | None) -> str | None:
    """Return the name of a type in which layers may multiply, or None."""
    if compute_dtype is not None and compute_dtype not in COMPUTE_DTYPES:
        raise ValueError(
            f"{where}: compute_dtype is the name of a type; got compute_dtype={compute_dtype!r}. "
            f"{suggest(str(compute_dtype), COMPUTE_DTYPES)}"
        )
    return compute_dtype
