"""Checks of what a recording holds, whoever has made it, and of what stands in a file before it is one."""

import inspect
import math
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxdem_ac._checks import as_real, check_flag, check_seed
from jaxdem_ac._messages import check_kind
from jaxdem_ac.dem.particles import Particles
from jaxdem_ac.dem.world import World

if TYPE_CHECKING:
    from jaxdem_ac.runs.recording import Recording

WHERE = "recording"

# Letters of NumPy's kinds of types: floats; and what may stand for a number besides, in an action or a task's figure.
_FLOATS, _NUMBERS, _FIGURES = "fV", "fViu", "fViub"


def check_recording(recording: "Recording") -> None:
    """Raise TypeError or ValueError, naming the field, unless types and shapes fit and numbers are finite."""
    check_kind(f"{WHERE}: env is a name", recording.env, str, "Give an environment's.")
    if not isinstance(recording.env_kw, Mapping) or not all(isinstance(name, str) for name in recording.env_kw):
        raise TypeError(f"{WHERE}: env_kw is a dict of keywords; got env_kw={recording.env_kw!r:.60}. Give one.")
    check_seed(WHERE, recording.seed)
    time = as_real(recording.decision_time)
    if time is None or not 0 < time < math.inf:
        raise ValueError(
            f"{WHERE}: decision_time is a number above 0; got decision_time={recording.decision_time!r:.60}. Give one."
        )
    action = recording.action
    _check_array("action", action, (None, None, None), _NUMBERS)
    frames, num = action.shape[0] + 1, action.shape[1]
    bodies, dim = _check_particles(recording.particles, frames)
    if recording.world is not None and (not isinstance(recording.world, World) or recording.world.dim != dim):
        raise ValueError(f"{WHERE}: world is a World of {dim} dimensions, or None; got another. Give that of the task.")
    _check_array("targets", recording.targets, (frames, None, None), _FLOATS, empty=True)
    if recording.targets.shape[2] not in (2, dim):
        raise ValueError(
            f"{WHERE}: targets are (T + 1, M, {dim}); got shape {recording.targets.shape}. Give {dim} coordinates."
        )
    _check_array("observation", recording.observation, (frames - 1, num, None), _FLOATS)
    _check_array("reward", recording.reward, (frames - 1, num), _FLOATS)
    _check_array("value", recording.value, (frames - 1, num), _FLOATS, may_be_nan=True)
    _check_array("success", recording.success, (frames - 1,), _FIGURES, may_be_nan=True)
    if recording.target_radius is not None:
        _check_array("target_radius", recording.target_radius, (recording.targets.shape[1],), _FLOATS, empty=True)
        _check_positive("target_radius", recording.target_radius)
    if num > bodies:
        raise ValueError(f"{WHERE}: those who act have a particle; got {num} who act and {bodies}. Give one for each.")


def _check_particles(particles: Particles, frames: int) -> tuple[int, int]:
    """Return how many particles there are, and their dimension."""
    check_kind(f"{WHERE}: particles are Particles", particles, Particles, "Give those of the states.")
    _check_array("particles.position", particles.position, (frames, None, None), _FLOATS)
    _, num, dim = particles.position.shape
    if dim not in (2, 3):
        raise ValueError(
            f"{WHERE}: particles.position is (T + 1, B, 2) or (T + 1, B, 3); got shape {particles.position.shape}. "
            "Give two or three coordinates."
        )
    spin = 1 if dim == 2 else 3
    for name, last in (("velocity", dim), ("force", dim), ("angular_velocity", spin), ("torque", spin)):
        _check_array(f"particles.{name}", getattr(particles, name), (frames, num, last), _FLOATS)
    for name in ("radius", "mass"):
        _check_array(f"particles.{name}", getattr(particles, name), (frames, num), _FLOATS)
        _check_positive(f"particles.{name}", getattr(particles, name))
    _check_array("particles.fixed", particles.fixed, (frames, num), "b")
    return num, dim


def _check_array(
    name: str,
    array: object,
    shape: tuple[int | None, ...],
    kinds: str,
    *,
    may_be_nan: bool = False,
    empty: bool = False,
) -> None:
    """Raise unless an array has that shape, of any length where None stands, and a type of those kinds."""
    dtype, found = getattr(array, "dtype", None), getattr(array, "shape", None)
    # A type that NumPy does not know may be a float of JAX's, such as bfloat16.
    strange = isinstance(dtype, np.dtype) and dtype.kind == "V" and not jnp.issubdtype(dtype, jnp.floating)
    if not isinstance(dtype, np.dtype) or dtype.kind not in kinds or strange:
        got = type(array).__name__ if dtype is None else dtype
        kind = "bool" if kinds == "b" else "real numbers"
        raise TypeError(f"{WHERE}: {name} is an array of {kind}; got {got}. Convert it.")
    assert found is not None
    fits = len(found) == len(shape) and all(want in (None, has) for has, want in zip(found, shape, strict=True))
    if not fits or (not empty and 0 in found):
        wanted = ", ".join("any" if each is None else str(each) for each in shape)
        raise ValueError(f"{WHERE}: {name} has shape ({wanted}), none of them 0; got shape {found}. Give one for each.")
    numbers = np.asarray(array, np.float64)
    if np.isinf(numbers).any() or (not may_be_nan and np.isnan(numbers).any()):
        raise ValueError(f"{WHERE}: every number of {name} is finite; got NaN or infinity. Record it again.")


def _check_positive(name: str, array: Array) -> None:
    least = np.min(np.asarray(array), initial=np.inf)
    if not least > 0:
        raise ValueError(f"{WHERE}: every {name} is above 0; got {name}={least}. Set a positive one.")


def read_world(about: Mapping[str, object], arrays: Mapping[str, np.ndarray]) -> World:
    """Return a world of what stands in a file, checked as any that is made; arrays are named ``world.<field>``."""
    check_kind(f"{WHERE}: world holds its settings", about, Mapping, "Record it again.")
    known = {item.name for item in fields(World)}
    of_world = {name.removeprefix("world."): array for name, array in arrays.items() if name.startswith("world.")}
    values: dict[str, Any] = {**of_world, **about}
    for name in values:
        if name not in known:
            raise ValueError(f"{WHERE}: a world has no such field; got {name!r}. Record it again.")
    made_of = inspect.signature(World.create).parameters
    world = World.create(**{name: value for name, value in values.items() if name in made_of})
    for name, value in values.items():
        if name not in made_of:
            values[name] = check_flag(WHERE, name, value)
    return replace(world, **{name: value for name, value in values.items() if name not in made_of})
