"""Conformance checks for environments, to be called from a plugin's tests."""

import dataclasses
from collections.abc import Mapping
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxdem_ac._types import PyTree
from jaxdem_ac.environments.base import Environment, StateT, Timestep, reset_batch, step_batch
from jaxdem_ac.environments.checks import check_number, check_whole


def check_shapes(environment: object) -> None:
    """Raise unless an environment is what `Environment` says, as far as shapes and types tell.

    Nothing is computed: `reset` and `step` are traced once. A training begins with it.

    Raises
    ------
    TypeError
        If it is none, or no frozen dataclass of Python numbers; if what `reset` and `step` return has another type.
    ValueError
        If a size is out of its range, or an array has another shape.
    """
    environment = _check_configuration(environment)
    here = type(environment).__name__
    num, observed = environment.num_particles, environment.observation_size
    state = jax.eval_shape(environment.reset, jax.eval_shape(partial(jax.random.key, 0)))
    _check_array(f"{here}.reset", "observation of the state", getattr(state, "observation", None), (num, observed))
    action = jax.eval_shape(lambda: jnp.zeros((num, environment.action_size)))
    returned = jax.eval_shape(environment.step, state, action)
    where = f"{here}.step"
    if not isinstance(returned, tuple) or len(returned) != 2 or not isinstance(returned[1], Timestep):
        raise TypeError(f"{where}: a decision returns a state and a Timestep; got {_kind(returned)}. Return both.")
    after, timestep = returned
    _check_same_state(where, state, after)
    _check_array(where, "observation of the timestep", timestep.observation, (num, observed))
    _check_array(where, "reward", timestep.reward, (num,))
    for name in ("terminated", "truncated"):
        _check_array(where, name, getattr(timestep, name), (), jnp.bool_)
    if not isinstance(timestep.info, Mapping):
        raise TypeError(
            f"{where}: info is a dict of figures; got {_kind(timestep.info)}. Return one; 'success' in it is "
            "between 0 and 1."
        )
    for name, figure in timestep.info.items():
        _check_array(where, f"info[{name!r}]", figure, ())


def check_environment(environment: Environment, num_decisions: int | None = None, seed: int = 0) -> None:
    """Raise unless an environment keeps to all that `Environment` says: one call for the tests of a plugin.

    An episode is played with random actions. Beyond :func:`check_shapes`, every number is finite; success, where it is
    reported, is between 0 and 1; the timestep and the state show the same observation; the time limit cuts an episode
    after `episode_length` decisions; a reset is a function of its key; compiled and batched code return what eager code
    does; an action of another shape is refused; and what the environment advises can be built.

    Parameters
    ----------
    environment : Environment
        A small one, for speed.
    num_decisions : int, optional
        How many to play; one episode if left out.
    seed : int
        Of the reset and the actions.

    Raises
    ------
    TypeError, ValueError
        Where it does not; the message says what to do.
    """
    check_shapes(environment)
    here = type(environment).__name__
    check_whole(here, episode_length=environment.episode_length)
    key_reset, key_actions = jax.random.split(jax.random.key(seed))
    length = environment.episode_length if num_decisions is None else min(num_decisions, environment.episode_length)
    shape = (length, environment.num_particles, environment.action_size)
    actions = jax.random.uniform(key_actions, shape, float, minval=-1.0, maxval=1.0)
    start, first = _check_play(environment, key_reset, actions)
    _check_ways_to_run(environment, key_reset, actions[0], start, first)
    for wrong in (actions[0, 0], actions[0, :, :0], jnp.concatenate([actions[0], actions[0]])):
        try:
            jax.eval_shape(environment.step, start, wrong)
        except ValueError:
            continue
        raise ValueError(
            f"{here}.step: an action of another shape than {shape[1:]} is refused; got {wrong.shape} taken. "
            "Begin with self.check_action(action)."
        )
    _check_advice(environment)


def _check_configuration(environment: object) -> Environment:
    """Return an environment that can be static under `jax.jit`, kept in a file and changed by `replace`; or raise."""
    here = type(environment).__name__
    if not isinstance(environment, Environment):
        raise TypeError(
            f"{here}: an environment is a jaxdem_ac.environments.base.Environment; got {_kind(environment)}. "
            "Subclass it."
        )
    parameters = getattr(type(environment), "__dataclass_params__", None)
    if parameters is None or not parameters.frozen:
        raise TypeError(
            f"{here}: an environment is a frozen dataclass; got another class. "
            "Decorate it with @dataclass(frozen=True, kw_only=True)."
        )
    for item in dataclasses.fields(environment):  # type: ignore[arg-type]
        try:
            hash(getattr(environment, item.name))
        except TypeError:
            raise TypeError(
                f"{here}: a field is a number, a string or a tuple of such; got {item.name} of type "
                f"{_kind(getattr(environment, item.name))}. Make arrays in reset, or in a property."
            ) from None
    for name in ("num_particles", "observation_size", "action_size"):
        check_whole(here, **{name: getattr(environment, name)})
    check_number(here, positive=True, decision_time=environment.decision_time)
    return environment


def _check_array(where: str, name: str, found: object, shape: tuple[int, ...], dtype: type = jnp.floating) -> None:
    """Raise unless what was traced has that shape and type; of no dimension, any number will do."""
    if not hasattr(found, "shape") or not hasattr(found, "dtype"):
        raise TypeError(f"{where}: {name} is an array of shape {shape}; got {_kind(found)}. Return one.")
    if found.shape != shape:
        raise ValueError(f"{where}: {name} has shape {shape}; got shape {found.shape}. Return one of that shape.")
    # Any number or flag is a figure.
    wanted = (jnp.number, jnp.bool_) if dtype is jnp.floating and not shape else (dtype,)
    if not any(jnp.issubdtype(found.dtype, each) for each in wanted):
        kind = "bool" if dtype is jnp.bool_ else "float"
        raise TypeError(f"{where}: {name} is of type {kind}; got {found.dtype}. Convert it.")


def _check_same_state(where: str, before: PyTree, after: PyTree) -> None:
    """Raise unless two states have equal fields, shapes and types: a loop carries one into the other."""
    old, new = (
        {jax.tree_util.keystr(path): (leaf.shape, leaf.dtype) for path, leaf in jax.tree.leaves_with_path(state)}
        for state in (before, after)
    )
    for name in [*old, *new]:
        if old.get(name) != new.get(name):
            was, is_now = (
                f"{found[1]}{list(found[0])}" if found else "nothing" for found in (old.get(name), new.get(name))
            )
            raise TypeError(
                f"{where}: a state keeps its fields, shapes and types; got state{name} = {is_now} after a reset's "
                f"{was}. Convert one of them."
            )
    structures: list[object] = [jax.tree.structure(before), jax.tree.structure(after)]
    if structures[0] != structures[1]:
        raise TypeError(
            f"{where}: a step returns what a reset does; got {_kind(after)} after {_kind(before)}, or another static "
            "field. Return the same."
        )


def _check_play(environment: Environment[StateT], key: Array, actions: Array) -> tuple[StateT, tuple[StateT, Timestep]]:
    """Play, raise unless every decision is what it has to be, and return the reset and what the first step returned."""
    here = f"{type(environment).__name__}.step"

    def body(state: StateT, action: Array) -> tuple[StateT, tuple[StateT, Timestep]]:
        state, timestep = environment.step(state, action)
        return state, (state, timestep)

    @jax.jit
    def play(key: Array, actions: Array) -> tuple[StateT, tuple[StateT, Timestep]]:
        start = environment.reset(key)
        return start, jax.lax.scan(body, start, actions)[1]

    start, played = play(key, actions)
    ended = np.asarray(played[1].terminated)
    num = int(ended.argmax()) + 1 if ended.any() else len(actions)
    states, timesteps = jax.tree.map(lambda leaf: leaf[:num], played)
    for path, leaf in jax.tree.leaves_with_path((start, timesteps)):
        if jnp.issubdtype(leaf.dtype, jnp.inexact) and not np.isfinite(leaf).all():
            raise ValueError(
                f"{here}: every number is finite; got NaN or infinity in {jax.tree_util.keystr(path[1:])}. "
                "Guard divisions and square roots, or take a shorter dt."
            )
    success = np.asarray(timesteps.info.get("success", np.zeros(1)))
    if success.min() < 0 or success.max() > 1:
        worst = success[np.abs(success - 0.5).argmax()]
        raise ValueError(f"{here}: info['success'] is between 0 and 1; got {worst:.4g}. Scale it.")
    if not np.array_equal(timesteps.observation, states.observation):
        raise ValueError(
            f"{here}: the timestep's observation is the state's; got two that differ. Put one array into both."
        )
    limit = environment.episode_length
    cut = np.asarray(timesteps.truncated) & ~ended[:num]
    if not np.array_equal(cut, (np.arange(1, num + 1) == limit) & ~ended[:num]):
        found = f"after {int(cut.argmax()) + 1}" if cut.any() else f"not in {num}"
        raise ValueError(
            f"{here}: the time limit cuts an episode that goes on after episode_length={limit} decisions; got "
            f"truncated {found}. Count steps in the state."
        )
    return start, jax.tree.map(lambda leaf: leaf[0], played)


def _check_ways_to_run(
    environment: Environment[StateT], key: Array, action: Array, start: StateT, first: tuple[StateT, Timestep]
) -> None:
    """Raise unless eager and batched code return what compiled code did."""
    here = type(environment).__name__
    reset = environment.reset(key)
    _check_agrees(f"{here}.reset", "eager code returns what compiled code does", reset, start)
    _check_agrees(f"{here}.reset", "a reset is a function of its key", environment.reset(key), reset)
    _check_agrees(f"{here}.step", "eager code returns what compiled code does", environment.step(start, action), first)

    @jax.jit
    def batched(keys: Array, actions: Array) -> tuple[StateT, Timestep]:
        return step_batch(environment, reset_batch(environment, keys), actions)

    batch = batched(jnp.stack([key, jax.random.fold_in(key, 1)]), jnp.stack([action, -action]))
    alone = jax.tree.map(lambda leaf: leaf[0], batch)
    _check_agrees(f"{here}.step", "one of a batch is as it were alone", alone, first)


def _check_agrees(where: str, rule: str, one: PyTree, other: PyTree) -> None:
    for (path, mine), theirs in zip(jax.tree.leaves_with_path(one), jax.tree.leaves(other), strict=True):
        a, b = (_numbers(leaf) for leaf in (mine, theirs))
        if not np.allclose(a, b, rtol=1e-4, atol=1e-4, equal_nan=True):
            raise ValueError(
                f"{where}: {rule}; got {jax.tree_util.keystr(path)} that differs by {np.nanmax(np.abs(a - b)):.3g}. "
                "Make it a pure function of its arguments: no numpy randomness, nothing kept on self."
            )


def _numbers(leaf: Array) -> np.ndarray:
    """Return numbers to compare, of random keys too."""
    is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return np.asarray(jax.random.key_data(leaf) if is_key else leaf, np.float64)


def _check_advice(environment: Environment) -> None:
    """Raise unless the keywords that the environment advises fit."""
    from jaxdem_ac.registry import action_spaces, check_keywords

    cls = type(environment)
    check_keywords(f"{cls.__name__}.training_defaults", cls, environment.training_defaults)
    cls(**environment.training_defaults)
    for name, keywords in environment.action_space_defaults.items():
        action_spaces.create(name, **keywords)


def _kind(value: object) -> str:
    return type(value).__name__
