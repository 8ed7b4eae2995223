"""JaxDEM itself: whether it is there, how to get it, and its import."""

import importlib
import importlib.util
import sys
from collections.abc import Callable, Mapping
from dataclasses import Field
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, ClassVar, Protocol

from jaxdem_ac._types import PyTree
from jaxdem_ac.untrusted import attempt, attribute, one_line

HOW_TO_GET = 'pip install "JaxDEM @ git+https://github.com/cdelv/JaxDEM" tqdm'
"""JaxDEM is not on the package index; of its heavy extra `rl` only tqdm is missing beside what we need ourselves."""

HOST = "jaxdem.rl"
"""The module that holds JaxDEM's registries; ``import jaxdem`` alone does not import it."""


if TYPE_CHECKING:
    from jax import Array

    from jaxdem_ac.environments.base import Environment


class _Dataclass(Protocol):
    __dataclass_fields__: "ClassVar[dict[str, Field[object]]]"


class JaxDEMState(_Dataclass, Protocol):
    """JaxDEM's State, N spheres, as far as it is read here."""

    pos: "Array"
    vel: "Array"
    force: "Array"
    ang_vel: "Array"
    torque: "Array"
    rad: "Array"
    mass: "Array"
    fixed: "Array"
    create: "ClassVar[Callable[..., JaxDEMState]]"


class JaxDEMSystem(_Dataclass, Protocol):
    """JaxDEM's System, as far as it is read here."""

    dt: "Array"
    time: "Array"
    step_count: "Array"
    domain: PyTree
    collider: PyTree
    force_model: PyTree
    force_manager: PyTree
    step: "Callable[[JaxDEMState, JaxDEMSystem], tuple[JaxDEMState, JaxDEMSystem]]"


class NativeEnvironment(_Dataclass, Protocol):
    """JaxDEM's Environment, as far as it is read here."""

    state: JaxDEMState
    system: JaxDEMSystem
    env_params: Mapping[str, PyTree]
    max_num_agents: int
    observation_space_size: int
    action_space_size: int
    task: "Environment"
    """The environment of ours, where JaxDEM's wraps one."""
    Create: "ClassVar[Callable[..., NativeEnvironment]]"
    reset: "ClassVar[Callable[[NativeEnvironment, Array], NativeEnvironment]]"
    step: "ClassVar[Callable[[NativeEnvironment, Array], NativeEnvironment]]"
    observation: "ClassVar[Callable[[NativeEnvironment], Array]]"
    reward: "ClassVar[Callable[[NativeEnvironment], Array]]"
    done: "ClassVar[Callable[[NativeEnvironment], Array]]"
    info: "ClassVar[Callable[[NativeEnvironment], Mapping[str, Array]]]"


def is_there() -> bool:
    """Return whether JaxDEM can be found, without importing it."""
    return importlib.util.find_spec("jaxdem") is not None


def import_host(where: str) -> ModuleType:
    """Return ``jaxdem.rl``; raises ImportError, which says how to get it, if it cannot be imported."""
    module, error = attempt(partial(importlib.import_module, HOST))
    if error is not None:
        raise ImportError(
            f"{where}: JaxDEM has to be importable; got {one_line(error)}. Get it: {HOW_TO_GET}"
        ) from error
    return module


def is_importing(name: str) -> bool:
    """Return whether the module, or a package that holds it, is being imported at this moment."""
    parts = name.split(".")
    modules = [sys.modules.get(".".join(parts[: length + 1])) for length in range(len(parts))]
    return any(attribute(attribute(each, "__spec__", None), "_initializing", False) is True for each in modules)
