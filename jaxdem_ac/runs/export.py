"""A policy as one file that needs only jax, and flatbuffers to read it."""

import hashlib
import importlib.util
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
from jax import Array

from jaxdem_ac._files import as_path, write_bytes
from jaxdem_ac._types import PyTree
from jaxdem_ac.trainers.policy import Policy

# Stands between a policy and the digest that ends its file: jax reads the policy, and does not look at what follows.
_SEAL = b"\njaxdem-ac sha256:"
# What jax can compile for without having one.
PLATFORMS = ("cpu", "cuda", "rocm", "tpu")


def export_policy(policy: Policy, path: str | Path, *, sample: bool = False) -> Path:
    """Write a policy as StableHLO, its parameters and its normalizer inside; return the path of the file.

    ``jax.export.deserialize(bytearray(path.read_bytes())).call(observation)`` is ``policy(observation)``, for
    observations ``(rows, O)`` with any number of rows; ``(rows, N, O)`` where particles have parameters of their own.
    With `sample` it takes one more argument, the data of a random key, ``(2,)``: ``jax.random.key_data(key)``; else
    actions are the policy's mode.

    A recurrent policy is called with ``(observation, start, carry)`` and returns ``(action, carry)``, the carry a list
    of arrays ``(rows, ...)`` for the next call. Where `start` is true, ``(rows,)``, an episode begins, and what the
    carry holds does not count. For a first call, of r rows::

        carry = [jnp.zeros((r, *leaf.shape[1:]), leaf.dtype) for leaf in loaded.out_avals[1:]]

    The file is written whole or not at all, over one that is there. Raises OSError if it cannot be written, and
    ImportError if flatbuffers, in which jax writes such a file, is not installed.
    """
    if importlib.util.find_spec("flatbuffers") is None:
        raise ImportError(
            "export: jax writes such a file with flatbuffers, which is not there: pip install flatbuffers."
        )
    path = as_path("export", "path", path)
    act, arguments = _function_of(policy, sample)
    exported = jax.export.export(jax.jit(act), platforms=PLATFORMS)(*arguments)
    data = bytes(exported.serialize())
    write_bytes(path, data + _SEAL + hashlib.sha256(data).hexdigest().encode())
    return path


def load_exported(path: str | Path) -> jax.export.Exported:
    """Return what :func:`export_policy` wrote, checked; FileNotFoundError for no file, ValueError for damage."""
    path = as_path("load_exported", "path", path)
    if not path.is_file():
        raise FileNotFoundError(
            f"load: an exported policy is a file; got {str(path)!r}. Make one: jaxdem-ac export RUN PATH."
        )
    data, _, digest = path.read_bytes().rpartition(_SEAL)
    if hashlib.sha256(data).hexdigest().encode() != digest:
        raise ValueError(
            f"load: {str(path)!r} ends with the SHA-256 of what stands before it; got another, or none: it is damaged. "
            "Export the policy again."
        )
    return jax.export.deserialize(bytearray(data))


def _function_of(policy: Policy, sample: bool) -> tuple[Callable[..., PyTree], list[PyTree]]:
    """Return the function that a file holds, and the shapes of its arguments."""
    particles = len(getattr(policy.model, "species", ()))
    shape = jax.export.symbolic_shape(f"rows, {particles}" if particles else "rows")
    of_shape: Callable[..., jax.ShapeDtypeStruct] = jax.ShapeDtypeStruct
    observation = of_shape((*shape, policy.observation_size), jnp.float32)
    key_data = [of_shape((2,), jnp.uint32)] if sample else []

    def act(observation: Array, key_data: Array | None = None) -> Array:
        return policy(observation, _key_of(key_data))

    def act_on(
        observation: Array, start: Array, carry: list[Array], key_data: Array | None = None
    ) -> tuple[Array, list[Array]]:
        before = policy.restart(jax.tree.unflatten(structure, carry), start)
        action, after = policy.step(observation, before, _key_of(key_data))
        return action, jax.tree.leaves(after)

    if not policy.is_recurrent:
        return act, [observation, *key_data]
    leaves, structure = jax.tree.flatten(policy.carry_template)
    carry = [of_shape((*shape, *leaf.shape), leaf.dtype) for leaf in leaves]
    return act_on, [observation, of_shape(shape, bool), carry, *key_data]


def _key_of(key_data: Array | None) -> Array | None:
    return None if key_data is None else jax.random.wrap_key_data(key_data, impl="threefry2x32")
