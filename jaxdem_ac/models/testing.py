"""Conformance checks for models, to be called from a plugin's tests."""

import json
from collections.abc import Callable
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from jaxdem_ac._checks import check_count, check_flag
from jaxdem_ac._conformance import Check, as_cases, run_all
from jaxdem_ac.models import recurrent
from jaxdem_ac.models.policy import raw_log_prob, sample_raw, to_action
from jaxdem_ac.models.structure import split_model

if TYPE_CHECKING:
    import pytest

_OBSERVATION, _PARTICLES = 7, 4


def model_checks(
    build: Callable[..., Any], *, feed_forward: bool | None = None, action_space_size: int = 3
) -> list[Check]:
    """Return the points that trainers rely on in a model: names, and functions that raise where one is broken.

    The model is built when the first is called.

    ==============  ============================================================================================
    ``memory``      it is feed-forward or recurrent as `feed_forward` says; left out where that says nothing
    ``shapes``      policies and values have the shapes of the observations, for any leading axes
    ``compiled``    compiled code answers as eager code does
    ``alone``       a swarm is answered as it is alone
    ``gradients``   gradients of what PPO differentiates are finite, and not 0 everywhere
    ``width``       observations of another width are refused
    ``metadata``    `metadata`, through JSON, builds the same model again
    ==============  ============================================================================================

    `build` is the class, or a function of ``observation_space_size``, ``action_space_size`` and ``key``, all by
    keyword, and of what `metadata` holds besides; `action_space_size` is D, for a model that takes only some. A
    recurrent model has a carry of the observations' leading axes, which `reset` makes that of an episode's beginning.
    """
    if not callable(build):
        raise TypeError(
            f"model_checks: build is a class or a function; got build={build!r:.60}. Pass the class of the model."
        )
    model = _Built(build, check_count("model_checks", "action_space_size", action_space_size))
    points = "shapes", "compiled", "alone", "gradients", "width", "metadata"
    checks: list[Check] = [(point, getattr(model, point)) for point in points]
    if feed_forward is None:
        return checks
    return [("memory", partial(model.memory, check_flag("model_checks", "feed_forward", feed_forward))), *checks]


def check_model(build: Callable[..., Any], *, feed_forward: bool | None = None, action_space_size: int = 3) -> None:
    """Raise at the first of :func:`model_checks` that a model breaks; the message says what to do."""
    run_all(model_checks(build, feed_forward=feed_forward, action_space_size=action_space_size))


def parametrize_with_checks(
    *builds: Callable[..., Any], feed_forward: bool | None = None, action_space_size: int = 3
) -> "pytest.MarkDecorator":
    """Return a decorator that makes every check a case of a pytest test, ``[Residual-gradients]``.

    The test has one argument, ``check``, and calls it. Keywords are those of :func:`model_checks`.
    """
    check = partial(model_checks, feed_forward=feed_forward, action_space_size=action_space_size)
    return as_cases((_name_of(build), check(build)) for build in builds)


def _name_of(build: Callable[..., Any]) -> str:
    """Return the name of a class or function; of a partial one the name that it is given, and its keywords."""
    if isinstance(build, partial):
        given = [each for each in build.args if isinstance(each, str)] or [_name_of(build.func)]
        return "-".join([*given, *build.keywords])
    return str(getattr(build, "__name__", type(build).__name__))


def _observations(*leading: int) -> Array:
    return jax.random.normal(jax.random.key(1), (*leading, _OBSERVATION))


class _Built:
    """A model, built when the first check asks for it, and what has to hold of it."""

    def __init__(self, build: Callable[..., Any], action_size: int) -> None:
        self.build, self.action_size = build, action_size

    @cached_property
    def model(self) -> Any:
        """Model, with fresh parameters."""
        return self._fresh()

    def _fresh(self) -> Any:
        return self.build(observation_space_size=_OBSERVATION, action_space_size=self.action_size, key=nnx.Rngs(0))

    @property
    def name(self) -> str:
        """Name of its class."""
        return type(self.model).__name__

    @cached_property
    def parts(self) -> tuple[Any, Any, Any]:
        """Graph, state without the carry, and carry."""
        graphdef, state = split_model(self.model)
        return graphdef, *recurrent.split_carry(graphdef, state, _PARTICLES, _OBSERVATION)

    def answer(self, state: Any, observation: Array) -> tuple[Any, Array]:
        """Return the distribution and the value of an observation, at the beginning of an episode."""
        graphdef, _, carry = self.parts
        start = recurrent.initial_carry(graphdef, (state,), carry, observation.shape)
        distribution, value, _ = recurrent.step(graphdef, (state,), start, observation)
        return distribution, value

    def mode_and_value(self, observation: Array) -> tuple[Array, Array]:
        """Return the likeliest action and the value."""
        distribution, value = self.answer(self.parts[1], observation)
        return distribution.mode(), value

    @cached_property
    def eager(self) -> tuple[Array, Array]:
        """Actions and values of two swarms, of eager code."""
        return self.mode_and_value(_observations(2, _PARTICLES))

    def memory(self, feed_forward: bool) -> None:
        remembers = bool(jax.tree.leaves(self.parts[2]))
        if feed_forward == remembers:
            kind = "keeps a" if remembers else "has no"
            raise ValueError(
                f"{self.name}: it is to be {'feed-forward' if feed_forward else 'recurrent'}; got one that {kind} "
                "carry. Build another, or change feed_forward."
            )

    def shapes(self) -> None:
        for leading in ((_PARTICLES,), (2, _PARTICLES), (3, 2, _PARTICLES)):
            observation = _observations(*leading)
            distribution, value = self.answer(self.parts[1], observation)
            raw_action, log_prob = sample_raw(distribution, jax.random.key(2))
            action = to_action(distribution, raw_action)
            found = {"value": value, "action": action, "log-probability": log_prob}
            # Discrete actions are numbers.
            own = action.shape[len(leading) :]
            expected = {"value": leading, "action": (*leading, *own), "log-probability": leading}
            for what, array in found.items():
                if array.shape != expected[what] or not bool(jnp.all(jnp.isfinite(array))):
                    raise ValueError(
                        f"{self.name}: for observations {observation.shape} a {what} is finite, of shape "
                        f"{expected[what]}; got shape {array.shape}. Return a distribution over (..., D) and values "
                        "(..., 1)."
                    )
            if own not in ((), (self.action_size,)):
                raise ValueError(
                    f"{self.name}: an action has action_space_size = {self.action_size} numbers; got shape "
                    f"{action.shape}. Match it."
                )

    def compiled(self) -> None:
        answers = jax.jit(self.mode_and_value)(_observations(2, _PARTICLES))
        self._compare("compiled code answers as eager code does", answers, self.eager)

    def alone(self) -> None:
        mode, value = self.eager
        some = self.mode_and_value(_observations(2, _PARTICLES)[1:])
        self._compare("a swarm is answered as it is alone", some, (mode[1:], value[1:]))

    def _compare(self, rule: str, one: tuple[Array, Array], other: tuple[Array, Array]) -> None:
        for here, there in zip(one, other, strict=True):
            if not np.allclose(here, there, rtol=1e-4, atol=1e-5):
                worst = float(np.max(np.abs(np.asarray(here, float) - np.asarray(there, float))))
                raise ValueError(
                    f"{self.name}: {rule}; got a difference of {worst:.3g}. Use no Python values of arrays."
                )

    def gradients(self) -> None:
        observation = _observations(2, _PARTICLES)
        raw_action, _ = sample_raw(self.answer(self.parts[1], observation)[0], jax.random.key(3))
        params, constants = nnx.split_state(self.parts[1], nnx.Param, ...)

        def loss(params: Any) -> Array:
            distribution, value = self.answer(nnx.merge_state(params, constants), observation)
            return jnp.mean(raw_log_prob(distribution, raw_action)) + jnp.mean((value - 1) ** 2)

        leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(jax.grad(loss)(params))]
        if not all(np.isfinite(leaf).all() for leaf in leaves):
            raise ValueError(
                f"{self.name}: gradients are finite; got NaN or infinity. Look for roots and logarithms of 0."
            )
        if not any(leaf.any() for leaf in leaves):
            raise ValueError(f"{self.name}: gradients reach the parameters; got 0 everywhere. Keep them in nnx.Param.")

    def width(self) -> None:
        try:
            self._fresh()(jnp.zeros((_PARTICLES, _OBSERVATION - 1)))
        except (TypeError, ValueError):
            return
        raise ValueError(
            f"{self.name}: observations of another width are refused; got an answer. Check x.shape[-1] in __call__."
        )

    def metadata(self) -> None:
        where = f"{self.name}.metadata"
        try:
            kept = json.loads(json.dumps(self.model.metadata))
        except (AttributeError, TypeError) as error:
            raise TypeError(
                f"{where}: the keywords that build the model again, as JSON types; got {error}. Define it."
            ) from error
        kept = {key: value for key, value in kept.items() if key not in ("action_space_type", "action_space_kws")}
        try:
            again = self.build(**kept, key=nnx.Rngs(0))
        except TypeError as error:
            raise TypeError(f"{where}: keywords of the constructor, but for the key; got {error}. Match it.") from error
        first, second = (jax.tree.leaves(split_model(each)[1]) for each in (self.model, again))
        same = len(first) == len(second) and all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
        if not same:
            raise ValueError(
                f"{where}: it builds the same parameters from the same key; got others. Keep every keyword."
            )
