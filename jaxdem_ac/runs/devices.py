"""Several devices: environments spread over them, parameters on all of them."""

from dataclasses import replace
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxdem_ac.trainers.base import StateT

Devices = int | Literal["all"]


def choose_devices(devices: Devices, num_envs: int, what: str = "ppo.num_envs") -> list[jax.Device]:
    """Return the devices of a run.

    Parameters
    ----------
    devices : int or "all"
        How many, of all processes' together.
    num_envs : int
        E, which they share evenly.
    what : str
        The name of that number.

    Raises
    ------
    ValueError
        If there are not that many, E is not a multiple of them, or a process of several would be left without one.
    """
    there = jax.devices()
    number = len(there) if devices == "all" else devices
    if number > len(there):
        raise ValueError(
            f"train: no more devices than there are; got devices={devices}, and JAX sees {len(there)} "
            f"({there[0].device_kind}). Lower it, or see jaxdem-ac doctor."
        )
    if number < len(there) and jax.process_count() > 1:
        raise ValueError(
            f"train: several processes use all of their devices; got devices={devices} for {jax.process_count()} "
            f"processes with {len(there)}. Pass --devices all."
        )
    if num_envs % number:
        raise ValueError(
            f"train: devices share what is made side by side evenly; got {what}={num_envs} for {number} devices. "
            f"Set {what} to a multiple of {number}."
        )
    return there[:number]


def spread_runs(states: StateT, devices: list[jax.Device]) -> StateT:
    """Return the states of many runs, leaves ``(runs, ...)``, with the runs spread evenly over devices."""
    mesh = Mesh(np.asarray(devices), ("runs",))
    return jax.device_put(states, NamedSharding(mesh, PartitionSpec("runs")))  # type: ignore[no-untyped-call]


def spread(state: StateT, devices: list[jax.Device]) -> StateT:
    """Return a learner's state with its environments spread over devices and all else on each of them.

    With an environment goes what a recurrent model remembers of it.
    What is compiled for such a state runs on all of them: gradients are sums over all environments, wherever they are.
    Several processes each give the whole state, and keep their part of it.
    """
    mesh = Mesh(np.asarray(devices), ("environments",))
    everywhere = NamedSharding(mesh, PartitionSpec())  # type: ignore[no-untyped-call]
    apart = NamedSharding(mesh, PartitionSpec("environments"))  # type: ignore[no-untyped-call]
    env_state, carry = _put((state.env_state, state.carry), apart)
    rest: Any = replace(state, env_state=None, carry=None)  # type: ignore[type-var]
    spread_state: StateT = replace(_put(rest, everywhere), env_state=env_state, carry=carry)
    return spread_state


def _put(tree: Any, sharding: NamedSharding) -> Any:
    if sharding.is_fully_addressable:
        return jax.device_put(tree, sharding)
    return jax.tree.map(partial(_put_across, sharding=sharding), tree)


def _put_across(leaf: jax.Array, sharding: NamedSharding) -> jax.Array:
    """Return one array of all processes; `leaf` is one already, or is whole in each of them."""
    if not leaf.is_fully_addressable:
        return jax.device_put(leaf, sharding)
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        data = _put_across(jax.random.key_data(leaf), sharding)
        return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaf))
    whole = np.asarray(leaf)
    return jax.make_array_from_callback(whole.shape, sharding, whole.__getitem__)
