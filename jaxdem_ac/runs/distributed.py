"""Several devices, of one process or of many: environments spread over them, and what processes have to agree on.

Every process runs the same program on its own devices; JAX's are all of them together. Only what `jax.distributed`
gives is used: a process joins by :func:`connect`, or by `jax.distributed.initialize` itself.
"""

import hashlib
import json
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Literal, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxdem_ac._types import PyTree
from jaxdem_ac.runs.config import TrainConfig
from jaxdem_ac.runs.digest import without_key
from jaxdem_ac.trainers.base import StateT

Devices = int | Literal["all"]
Tree = TypeVar("Tree")

# What JAX's errors say when a peer is gone: of Gloo (CPU), NCCL (GPU), and of its own coordination service.
_SIGNS = ("gloo", "nccl", "connection", "coordination", "heartbeat", "unavailable", "barrier", "deadline_exceeded")


def connect(coordinator: str | None = None, num_processes: int | None = None, process_id: int | None = None) -> bool:
    """Join the other processes of a run, before anything else that uses JAX; return whether this is process 0.

    Process 0 writes and reports. Without arguments JAX asks the scheduler: SLURM, Open MPI and those that
    `jax.distributed.initialize` names.

    Parameters
    ----------
    coordinator : str, optional
        Host and port at which process 0 can be reached.
    num_processes : int, optional
        How many they are.
    process_id : int, optional
        Which one this is, from 0.

    Raises
    ------
    ValueError
        If only some are given, or no scheduler is found.
    """
    given = {"coordinator": coordinator, "num_processes": num_processes, "process_id": process_id}
    missing = [name for name, value in given.items() if value is None]
    if 0 < len(missing) < len(given):
        raise ValueError(
            f"train: coordinator, num_processes and process_id go together; got no {', '.join(missing)}. "
            "Give all three, or under a scheduler none."
        )
    try:
        jax.distributed.initialize(coordinator, num_processes, process_id)
    except ValueError as error:
        advice = "Give coordinator='HOST:PORT', num_processes and process_id." if missing else "Give the ones that fit."
        raise ValueError(
            f"train: a process knows the others from a scheduler or from its arguments; got: {error} {advice}"
        ) from error
    if jax.default_backend() == "cpu":
        # jax 0.10.2: a program of several processes that comes from the cache on disk waits forever in its first sum.
        jax.config.update("jax_enable_compilation_cache", False)  # type: ignore[no-untyped-call]
    return jax.process_index() == 0


def choose_devices(devices: Devices, num_envs: int, what: str = "ppo.num_envs") -> list[jax.Device]:
    """Return the devices of a run, of all processes' together, which share `num_envs`, called `what`, evenly.

    Raises ValueError if there are not that many, `num_envs` is not a multiple of them, or a process of several would be
    left without one.
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
            f"processes with {len(there)}. Pass devices='all'."
        )
    if num_envs % number:
        raise ValueError(
            f"train: devices share what is made side by side evenly; got {what}={num_envs} for {number} devices. "
            f"Set {what} to a multiple of {number}."
        )
    return there[:number]


def spread_runs(states: StateT, devices: list[jax.Device]) -> StateT:
    """Return the states of many runs, leaves ``(runs, ...)``, with the runs spread evenly over devices."""
    return jax.device_put(states, _shardings(devices, "runs")[1])


def spread(state: StateT, devices: list[jax.Device]) -> StateT:
    """Return a learner's state with its environments spread over devices, and all else on each of them.

    With an environment goes what a recurrent model remembers of it. What is compiled for such a state runs on all
    devices. Several processes each give the whole state, and keep their part of it.
    """
    everywhere, apart = _shardings(devices, "environments")
    env_state, carry = _put((state.env_state, state.carry), apart)
    rest: PyTree = replace(state, env_state=None, carry=None)  # type: ignore[type-var]
    spread_state: StateT = replace(_put(rest, everywhere), env_state=env_state, carry=carry)
    return spread_state


def _shardings(devices: list[jax.Device], axis: str) -> tuple[NamedSharding, NamedSharding]:
    """Return the sharding of what is whole on each device, and of what is spread along its first axis."""
    mesh = Mesh(np.asarray(devices), (axis,))
    return NamedSharding(mesh, PartitionSpec()), NamedSharding(mesh, PartitionSpec(axis))  # type: ignore[no-untyped-call]


def _put(tree: PyTree, sharding: NamedSharding) -> PyTree:
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


def check_alike(config: TrainConfig, state: PyTree) -> None:
    """Raise ValueError unless every process is about to run one configuration from one state."""
    if jax.process_count() == 1:
        return
    text = json.dumps(config.to_dict(), sort_keys=True, default=lambda value: type(value).__name__)
    digest = hashlib.sha256(text.encode())
    for leaf in jax.tree.leaves(state):
        digest.update(np.asarray(without_key(leaf)).tobytes())
    found = np.asarray(multihost_utils.process_allgather(np.frombuffer(digest.digest(), np.uint8)))
    other = [number for number, bits in enumerate(found) if (bits != found[0]).any()]
    if other:
        raise ValueError(
            "train: all processes start from one configuration and one state; got others than process 0's in "
            f"process {', '.join(map(str, other))}. Give all the same options, on machines of one kind."
        )


def in_first(action: Callable[[], None]) -> None:
    """Do something in process 0 while others wait; all go on, or it raises its error and they OSError."""
    error = None
    if jax.process_index() == 0:
        try:
            action()
        except Exception as raised:
            error = raised
    failed = bool(np.any(_gathered(error is not None)))
    if error is not None:
        raise error
    if failed:
        raise OSError("train: process 0 prepares the run's folder; got an error there. See what it says.")


def by_first(answer: bool) -> bool:
    """Return the answer of process 0, by which all go."""
    return bool(_gathered(answer)[0, 0])


def _gathered(*numbers: int) -> np.ndarray:
    """Return whole numbers of every process, ``(processes, len(numbers))``."""
    mine = np.asarray(numbers, np.int32)
    if jax.process_count() == 1:
        return mine[None]
    return np.asarray(multihost_utils.process_allgather(mine))


@dataclass
class Signals:
    """Signals that reached a process while it computes; none are noted in a run of one process."""

    last: int = 0
    """Number of the last signal that asks for an end, or 0."""

    def agree(self, due: bool) -> tuple[bool, int]:
        """Return whether process 0 wants a checkpoint, and the signal of any process; all have to ask together."""
        answers = _gathered(due, self.last)
        return bool(answers[0, 0]), int(answers[:, 1].max())


@contextmanager
def asked_to_end() -> Iterator[Signals]:
    """Give the signals that ask for an end; in another than the main thread they stay as they are.

    One process leaves by SystemExit on SIGTERM, by which schedulers announce an end. Several note it, and Ctrl-C, until
    they have agreed; a second Ctrl-C is Python's own.
    """
    signals, alone = Signals(), jax.process_count() == 1

    def note(number: int, _: FrameType | None) -> None:
        if alone:
            leave(number)
        signals.last = number
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    numbers = [signal.SIGTERM] if alone else [signal.SIGTERM, signal.SIGINT]
    if threading.current_thread() is not threading.main_thread():
        numbers = []
    before = {number: signal.signal(number, note) for number in numbers}
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def leave(number: int) -> None:
    """Raise what a signal means to a run: KeyboardInterrupt or SystemExit."""
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(128 + number)


def lost(error: BaseException | None) -> bool:
    """Return whether an error says that another process is gone."""
    if not isinstance(error, Exception) or jax.process_count() == 1:
        return False
    text = str(error).lower()
    return isinstance(error, ConnectionAbortedError) or any(sign in text for sign in _SIGNS)


@contextmanager
def explaining(run_dir: Path | None) -> Iterator[None]:
    """Turn what JAX says when another process is gone into one ConnectionAbortedError that says what to do."""
    try:
        yield
    except Exception as error:
        if not lost(error):
            raise
        advice = "Start it again." if run_dir is None else f"Start all again with: resume({str(run_dir)!r})"
        reason = str(error).strip().splitlines()[0][:120]
        raise ConnectionAbortedError(
            f"train: all processes go on together; got no answer from another one, which has died or cannot be reached "
            f"({reason}). {advice}"
        ) from error


def local(tree: Tree) -> Tree:
    """Return arrays that all processes hold as arrays of this process alone."""
    if jax.process_count() == 1:
        return tree
    here: Tree = jax.tree.map(lambda leaf: leaf if leaf.is_fully_addressable else leaf.addressable_data(0), tree)
    return here
