"""Digests of arrays: what is read from a file is what was written, or a ValueError."""

import hashlib
import json
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.experimental import multihost_utils
from numpy.typing import ArrayLike

from jaxdem_ac._types import PyTree

# Digits of a SHA-256 that are kept: 128 bits.
_DIGITS = 32


def digest_of(array: ArrayLike) -> str:
    """Return type and SHA-256 of an array's shape and bytes, ``float32:1f3c...``."""
    array = np.asarray(array)
    found = hashlib.sha256(f"{array.dtype}{array.shape}".encode())
    found.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return f"{array.dtype}:{found.hexdigest()[:_DIGITS]}"


def digests_of(tree: PyTree) -> dict[str, str]:
    """Return the digest of each array of a tree, by path; several processes have to call it together."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {jax.tree_util.keystr(path): digest_of(_whole(leaf)) for path, leaf in leaves}


def without_key(leaf: Array) -> Array:
    """Return an array as it is, and one of random keys as their data."""
    return jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf


def _whole(leaf: ArrayLike) -> ArrayLike:
    if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable:
        if leaf.is_fully_replicated:
            return leaf.addressable_data(0)
        return multihost_utils.process_allgather(leaf, tiled=True)
    return leaf


def digest_of_text(value: object) -> str:
    """Return the SHA-256 of what JSON says of a value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:_DIGITS]


def check_digests(tree: PyTree, digests: Mapping[str, str]) -> None:
    """Raise ValueError unless arrays are as written; one that is read in another type cannot be checked."""
    found = digests_of(tree)
    if found.keys() != digests.keys():
        raise ValueError("other arrays than were written.")
    for name, digest in found.items():
        same_type = digest.partition(":")[0] == digests[name].partition(":")[0]
        if same_type and digest != digests[name]:
            raise ValueError(f"other numbers in {name} than were written.")
