"""Several devices: environments spread over them, parameters on all of them."""

from dataclasses import replace
from typing import Literal

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxdem_ac.trainers.ppo import LearnerState

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
        If there are not that many, or E is not a multiple of them.
    """
    there = jax.devices()
    number = len(there) if devices == "all" else devices
    if number > len(there):
        raise ValueError(
            f"train: no more devices than there are; got devices={devices}, and JAX sees {len(there)} "
            f"({there[0].device_kind}). Lower it, or see jaxdem-ac doctor."
        )
    if num_envs % number:
        raise ValueError(
            f"train: devices share what is made side by side evenly; got {what}={num_envs} for {number} devices. "
            f"Set {what} to a multiple of {number}."
        )
    return there[:number]


def spread_runs(states: LearnerState, devices: list[jax.Device]) -> LearnerState:
    """Return the states of many runs, leaves ``(runs, ...)``, with the runs spread evenly over devices."""
    mesh = Mesh(np.asarray(devices), ("runs",))
    return jax.device_put(states, NamedSharding(mesh, PartitionSpec("runs")))  # type: ignore[no-untyped-call]


def spread(state: LearnerState, devices: list[jax.Device]) -> LearnerState:
    """Return a learner's state with its environments spread over devices and all else on each of them.

    What is compiled for such a state runs on all of them: gradients are sums over all environments, wherever they are.
    """
    mesh = Mesh(np.asarray(devices), ("environments",))
    everywhere = NamedSharding(mesh, PartitionSpec())  # type: ignore[no-untyped-call]
    apart = NamedSharding(mesh, PartitionSpec("environments"))  # type: ignore[no-untyped-call]
    env_state = jax.device_put(state.env_state, apart)
    return replace(jax.device_put(replace(state, env_state=None), everywhere), env_state=env_state)
