"""Checks of single arguments, shared by all rooms: flags, whole numbers, real numbers, arrays of them."""

import inspect
import math
from typing import TYPE_CHECKING, SupportsFloat, cast

import numpy as np

if TYPE_CHECKING:
    from jax import Array
    from jax.typing import DTypeLike


def as_real(value: object) -> float | None:
    """Return a real number of Python, NumPy or JAX as a float, which may be infinite; None for all else, flags too."""
    if isinstance(value, bool | np.bool_):
        return None
    if not isinstance(value, int | float | np.integer | np.floating):
        dtype, shape = getattr(value, "dtype", None), getattr(value, "shape", None)
        if shape != () or not isinstance(dtype, np.dtype) or dtype.kind not in "iuf" or not is_concrete(value):
            return None
    try:
        return float(cast(SupportsFloat, value))
    except OverflowError:
        return math.inf


def is_concrete(*arrays: object) -> bool:
    """Return whether all arrays have values to look at, and are not being traced."""
    import jax

    return not any(isinstance(array, jax.core.Tracer) for array in arrays)


def fits(value: float, dtype: "DTypeLike | None" = None) -> bool:
    """Return whether a number is finite in a dtype, and not 0 there unless it is 0; in that of JAX's floats by default.

    Numbers below the smallest normal one count as 0, for that is what processors are told to take them for.
    """
    least, largest = limits(dtype)
    return abs(value) <= largest and (value == 0 or abs(value) >= least)


def limits(dtype: "DTypeLike | None" = None) -> tuple[float, float]:
    """Return the smallest normal and the largest number of a dtype; of that of JAX's floats by default."""
    import jax.numpy as jnp

    found = jnp.finfo(jnp.result_type(float) if dtype is None else dtype)  # type: ignore[no-untyped-call]
    return float(found.tiny), float(found.max)


def check_flag(where: str, name: str, flag: object) -> bool:
    """Return a flag as a bool, or raise TypeError."""
    if not isinstance(flag, bool | np.bool_):
        raise TypeError(f"{where}: {name} is true or false; got {name}={flag!r:.60}. Pass a bool.")
    return bool(flag)


def check_count(where: str, name: str, value: object, least: int = 1) -> int:
    """Return a whole number as an int, or raise ValueError."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise ValueError(f"{where}: {name} is a whole number from {least}; got {name}={value!r:.60}. Raise it.")
    return int(value)


def check_seed(where: str, seed: object) -> int:
    """Return the seed of a random key as an int, or raise TypeError or ValueError."""
    if isinstance(seed, bool | np.bool_) or not isinstance(seed, int | np.integer):
        raise TypeError(f"{where}: seed is a whole number; got seed={seed!r:.60}. Pass an int.")
    if not -(2**63) <= seed < 2**63:
        raise ValueError(f"{where}: seed has 64 bits at most; got seed={seed!r:.60}. Choose a smaller one.")
    return int(seed)


def check_key(where: str, key: object) -> None:
    """Raise TypeError unless `key` is one random key of JAX, new or old; it may be traced."""
    import jax
    import jax.numpy as jnp

    shape, dtype = getattr(key, "shape", None), getattr(key, "dtype", None)
    is_new = dtype is not None and jnp.issubdtype(dtype, jax.dtypes.prng_key)
    if shape != () if is_new else (dtype != np.uint32 or len(shape or ()) != 1):
        got = f"key={key!r}" if shape is None else f"an array of {dtype} in shape {shape}"
        raise TypeError(f"{where}: key is one random key; got {got}. Pass jax.random.key(0), or one of a split.")


def check_numbers(where: str, name: str, value: object) -> "Array":
    """Return real numbers, no flags, as an array of JAX, which may be traced, or raise TypeError."""
    import jax.numpy as jnp

    try:
        array = jnp.asarray(value)
        kind = str(array.dtype)
        good = jnp.issubdtype(array.dtype, jnp.floating) or jnp.issubdtype(array.dtype, jnp.integer)
    except (TypeError, ValueError, OverflowError):
        kind, good = type(value).__name__, False
        dtype = getattr(value, "dtype", None)
        kind = kind if dtype is None else f"{kind} of {dtype}"
    if not good:
        raise TypeError(f"{where}: {name} is an array of real numbers; got {kind}. Pass jnp.asarray({name}, float).")
    return array


def check_function(where: str, name: str, function: object, *arguments: str) -> None:
    """Raise TypeError unless a function takes so many arguments by position; what has no signature passes."""
    if not callable(function):
        raise TypeError(f"{where}: {name} is a function; got {name}={function!r:.60}. Pass one.")
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return
    try:
        signature.bind(*arguments)
    except TypeError:
        raise TypeError(
            f"{where}: {name} is a function ({', '.join(arguments)}); got one that takes {signature!s:.60}. Let it "
            "take those."
        ) from None
