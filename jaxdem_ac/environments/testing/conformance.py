"""Conformance checks for environments, to be called from a plugin's tests."""

import dataclasses
from collections.abc import Mapping
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxdem_ac._checks import check_seed
from jaxdem_ac._conformance import Check, as_cases, run_all
from jaxdem_ac._types import PyTree
from jaxdem_ac.dem.neighbor_list import Neighbors
from jaxdem_ac.environments.base import Environment, Timestep
from jaxdem_ac.environments.batching import reset_batch, step_batch
from jaxdem_ac.environments.checks import check_number, check_whole

if TYPE_CHECKING:
    import pytest


def check_shapes(environment: object) -> None:
    """Raise unless an environment is what `Environment` says, as far as shapes and types tell.

    Nothing is computed: `reset` and `step` are traced once. A training begins with it. Raises TypeError if it is none,
    or no frozen dataclass of Python numbers, or if what `reset` and `step` return has another type; ValueError if a
    size is out of its range, or an array has another shape.
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


def environment_checks(environment: Any, num_decisions: int | None = None, seed: int = 0) -> list[Check]:
    """Return the points of the contract of `Environment`: names, and functions that raise where one is broken.

    Nothing is computed before the first is called; all look at one episode, played with random actions from a seed, of
    `num_decisions` or of its whole length. The environment had better be small.

    ================  ============================================================================================
    ``shapes``        :func:`check_shapes`
    ``finite``        every number is finite
    ``success``       success, where it is reported, is between 0 and 1
    ``observation``   the timestep and the state show the same observation
    ``time_limit``    the time limit cuts an episode after `episode_length` decisions
    ``key``           a reset is a function of its key
    ``eager_reset``   compiled code returns what eager code does, of a reset
    ``eager_step``    the same of a step
    ``batch``         one of a batch is as it were alone
    ``action_shape``  an action of another shape is refused
    ``advice``        what the environment advises can be built
    ================  ============================================================================================
    """
    if num_decisions is not None:
        check_whole("environment_checks", num_decisions=num_decisions)
    episode = _Episode(environment, num_decisions, check_seed("environment_checks", seed))
    points = "finite", "success", "observation", "time_limit", "eager_reset", "key", "eager_step", "batch"
    checks = [(point, getattr(episode, point)) for point in (*points, "action_shape", "advice")]
    return [("shapes", partial(check_shapes, environment)), *checks]


def check_environment(environment: Any, num_decisions: int | None = None, seed: int = 0) -> None:
    """Raise at the first of :func:`environment_checks` that an environment breaks; the message says what to do."""
    run_all(environment_checks(environment, num_decisions, seed))


def parametrize_with_checks(
    *environments: Any, num_decisions: int | None = None, seed: int = 0
) -> "pytest.MarkDecorator":
    """Return a decorator that makes every check a case of a pytest test, ``[Huddle-time_limit]``.

    The test has one argument, ``check``, and calls it. Keywords are those of :func:`environment_checks`.
    """
    return as_cases((type(each).__name__, environment_checks(each, num_decisions, seed)) for each in environments)


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


class _Episode:
    """One episode of random actions, played when the first check asks for it, and what has to hold of it."""

    def __init__(self, environment: Any, num_decisions: int | None, seed: int) -> None:
        self.given = environment
        self.num_decisions = num_decisions
        self.seed = seed
        self.here = type(environment).__name__

    @cached_property
    def environment(self) -> Environment:
        """Environment whose shapes are right: what is computed with another says nothing."""
        check_shapes(self.given)
        check_whole(self.here, episode_length=self.given.episode_length)
        return self.given

    @cached_property
    def keys(self) -> Array:
        """Random keys of the reset and the actions, ``(2,)``."""
        return jax.random.split(jax.random.key(self.seed))

    @cached_property
    def actions(self) -> Array:
        """Actions between -1 and 1, ``(T, N, D)``."""
        length = self.environment.episode_length
        length = length if self.num_decisions is None else min(self.num_decisions, length)
        shape = (length, self.environment.num_particles, self.environment.action_size)
        return jax.random.uniform(self.keys[1], shape, float, minval=-1.0, maxval=1.0)

    @cached_property
    def played(self) -> tuple[Any, Any]:
        """State of the reset, and what all steps returned, compiled; past an end too."""
        environment = self.environment

        def body(state: Any, action: Array) -> tuple[Any, tuple[Any, Timestep]]:
            state, timestep = environment.step(state, action)
            return state, (state, timestep)

        @jax.jit
        def play(key: Array, actions: Array) -> tuple[Any, tuple[Any, Timestep]]:
            start = environment.reset(key)
            return start, jax.lax.scan(body, start, actions)[1]

        return play(self.keys[0], self.actions)

    @property
    def start(self) -> Any:
        """State of the reset."""
        return self.played[0]

    @property
    def first(self) -> Any:
        """Outcome of the first step."""
        return jax.tree.map(lambda leaf: leaf[0], self.played[1])

    @property
    def until_end(self) -> tuple[Any, Timestep]:
        """States and timesteps up to the end of the task, or all."""
        ended = np.asarray(self.played[1][1].terminated)
        num = int(ended.argmax()) + 1 if ended.any() else len(ended)
        states, timesteps = jax.tree.map(lambda leaf: leaf[:num], self.played[1])
        return states, timesteps

    def finite(self) -> None:
        # A list of neighbours that is not built yet was built infinitely far away.
        leaves = jax.tree.leaves_with_path((self.start, self.until_end[1]), is_leaf=lambda x: isinstance(x, Neighbors))
        for path, leaf in leaves:
            if isinstance(leaf, Neighbors):
                continue
            if jnp.issubdtype(leaf.dtype, jnp.inexact) and not np.isfinite(leaf).all():
                raise ValueError(
                    f"{self.here}.step: every number is finite; got NaN or infinity in "
                    f"{jax.tree_util.keystr(path[1:])}. Guard divisions and square roots, or take a shorter dt."
                )

    def success(self) -> None:
        success = np.asarray(self.until_end[1].info.get("success", np.zeros(1)))
        if success.min() < 0 or success.max() > 1:
            worst = success[np.abs(success - 0.5).argmax()]
            raise ValueError(f"{self.here}.step: info['success'] is between 0 and 1; got {worst:.4g}. Scale it.")

    def observation(self) -> None:
        states, timesteps = self.until_end
        if not np.array_equal(timesteps.observation, states.observation, equal_nan=True):
            raise ValueError(
                f"{self.here}.step: the timestep's observation is the state's; got two that differ. Put one array "
                "into both."
            )

    def time_limit(self) -> None:
        timesteps, limit = self.until_end[1], self.environment.episode_length
        goes_on = ~np.asarray(timesteps.terminated)
        cut = np.asarray(timesteps.truncated) & goes_on
        num = len(cut)
        if not np.array_equal(cut, (np.arange(1, num + 1) == limit) & goes_on):
            found = f"after {int(cut.argmax()) + 1}" if cut.any() else f"not in {num}"
            raise ValueError(
                f"{self.here}.step: the time limit cuts an episode that goes on after episode_length={limit} "
                f"decisions; got truncated {found}. Count steps in the state."
            )

    def eager_reset(self) -> None:
        eager = self.environment.reset(self.keys[0])
        _check_agrees(f"{self.here}.reset", "eager code returns what compiled code does", eager, self.start)

    def key(self) -> None:
        once, again = (self.environment.reset(self.keys[0]) for _ in range(2))
        _check_agrees(f"{self.here}.reset", "a reset is a function of its key", again, once)

    def eager_step(self) -> None:
        eager = self.environment.step(self.start, self.actions[0])
        _check_agrees(f"{self.here}.step", "eager code returns what compiled code does", eager, self.first)

    def batch(self) -> None:
        key, action = self.keys[0], self.actions[0]

        @jax.jit
        def batched(keys: Array, actions: Array) -> Any:
            return step_batch(self.environment, reset_batch(self.environment, keys), actions)

        keys = [jax.random.fold_in(key, 1), key, jax.random.fold_in(key, 2)]
        three = batched(jnp.stack(keys), jnp.stack([-action, action, action / 2]))
        alone = jax.tree.map(lambda leaf: leaf[1], three)
        _check_agrees(f"{self.here}.step", "one of a batch is as it were alone", alone, self.first)

    def action_shape(self) -> None:
        action = self.actions[0]
        start = jax.eval_shape(self.environment.reset, self.keys[0])
        for wrong in (action[0], action[:, :0], jnp.concatenate([action, action])):
            try:
                jax.eval_shape(self.environment.step, start, wrong)
            except ValueError:
                continue
            raise ValueError(
                f"{self.here}.step: an action of another shape than {action.shape} is refused; got {wrong.shape} "
                "taken. Begin with self.check_action(action)."
            )

    def advice(self) -> None:
        from jaxdem_ac.registry import action_spaces, check_keywords

        cls = type(self.environment)
        check_keywords(f"{self.here}.training_defaults", cls, self.environment.training_defaults)
        cls(**self.environment.training_defaults)
        for name, keywords in self.environment.action_space_defaults.items():
            action_spaces.create(name, **keywords)


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


def _kind(value: Any) -> str:
    return type(value).__name__
