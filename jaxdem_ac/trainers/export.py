"""A policy as one file that needs only jax, and flatbuffers to read it."""

import importlib.util
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from jaxdem_ac.trainers.policy import Policy

# What jax can compile for without having one.
PLATFORMS = ("cpu", "cuda", "rocm", "tpu")


def export_policy(policy: Policy, path: str | Path, *, sample: bool = False) -> Path:
    """Write a policy as StableHLO, its parameters and its normalizer inside.

    ``jax.export.deserialize(bytearray(path.read_bytes())).call(observation)`` is ``policy(observation)``, for
    observations ``(rows, O)`` with any number of rows; ``(rows, N, O)`` where particles have parameters of their own.
    With `sample` it takes a second argument, the data of a random key, ``(2,)``: ``jax.random.key_data(key)``.

    Parameters
    ----------
    policy : Policy
    path : path
        Of the file; written whole or not at all, over one that is there.
    sample : bool
        Whether actions are sampled; else they are the policy's mode.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    OSError
        If it cannot be written.
    ImportError
        If flatbuffers, in which jax writes such a file, is not installed.
    """
    if importlib.util.find_spec("flatbuffers") is None:
        raise ImportError(
            "export: jax writes such a file with flatbuffers, which is not there: pip install flatbuffers."
        )
    path = Path(path)
    particles = len(getattr(policy.model, "species", ()))
    shape = jax.export.symbolic_shape(f"rows, {particles}" if particles else "rows")
    of_shape: Any = jax.ShapeDtypeStruct
    arguments = [of_shape((*shape, policy.observation_size), jnp.float32)]
    if sample:
        arguments.append(of_shape((2,), jnp.uint32))

    @jax.jit
    def act(observation: Array, key_data: Array | None = None) -> Array:
        key = None if key_data is None else jax.random.wrap_key_data(key_data, impl="threefry2x32")
        return policy(observation, key)

    exported = jax.export.export(act, platforms=PLATFORMS)(*arguments)
    draft = path.with_name(f".{path.name}.part")
    try:
        draft.write_bytes(exported.serialize())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    return path
