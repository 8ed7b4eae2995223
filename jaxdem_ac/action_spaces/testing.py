"""Conformance checks for action spaces, to be called from a plugin's tests."""

import json
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import distrax
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxdem_ac._checks import check_count, check_seed
from jaxdem_ac._conformance import Check, as_cases, run_all
from jaxdem_ac.action_spaces.base import ActionSpace
from jaxdem_ac.action_spaces.distributions import as_vector_bijector

if TYPE_CHECKING:
    import pytest

_NUM_POINTS, _NUM_SAMPLES = 64, 20_000


def check_map(where: str, space: Any, size: int) -> None:
    """Raise unless a bijector maps actions of `size` numbers, as far as shapes tell. A model begins with it.

    TypeError if it is no bijector, ValueError if it is for actions of another size, or its log-determinant has another
    shape; `where` begins the message.
    """
    if not isinstance(space, distrax.Bijector):
        raise TypeError(
            f"{where}: action_space is a distrax bijector or the name of one; got {type(space).__name__}. "
            "Make one with make_action_space(name, ...)."
        )
    name = type(space).__name__
    if space.event_ndims_in > 1:
        raise ValueError(
            f"{where}: an action space maps numbers or vectors; got one of {space.event_ndims_in} dimensions. "
            "Flatten the action."
        )
    own = getattr(space, "event_size", None)
    if own is not None and own != size:
        raise ValueError(
            f"{where}: {name} is for actions of {own} numbers; got action_space_size={size}. "
            "Choose an action space, or bounds, that fit."
        )
    if is_discrete(space):
        space.actions(size)
        return
    x = jax.eval_shape(lambda: jnp.zeros((3, size)))
    action, log_det = jax.eval_shape(as_vector_bijector(space).forward_and_log_det, x)
    for part, found, shape in (("an action", action, (3, size)), ("a log-determinant", log_det, (3,))):
        if found.shape != shape:
            raise ValueError(
                f"{name}.forward_and_log_det: {part} of x of shape {x.shape} has shape {shape}; got shape "
                f"{found.shape}. Sum over the last axis where event_ndims_in is 1, and over none where it is 0."
            )


def is_discrete(space: Any) -> bool:
    """Return whether an action space is a choice among some actions, as Discrete is, and no map."""
    return bool(getattr(space, "is_discrete", False))


def action_space_checks(space: Any, size: int, seed: int = 0) -> list[Check]:
    """Return the points of the contract of `ActionSpace`: names, and functions that raise where one is broken.

    ===============  ===========================================================================================
    ``map``          it is an `ActionSpace` that maps actions of `size` numbers, as far as shapes tell
    ``log_det``      the log-determinant is that of the derivative, at random points
    ``inverse``      the inverse leads back
    ``far_out``      everything is finite and differentiable at 0 and far out
    ``expectation``  `log_det_expectation` is what samples average to
    ``metadata``     `metadata` goes through JSON and builds the same again
    ===============  ===========================================================================================

    Of one whose actions can be counted they are ``map``, ``actions``, that these are different ones within its bounds,
    ``distribution``, that probabilities, entropy, mode and samples are those of its outputs, and ``metadata``. `size`
    is D, of the actions to try it with, and `seed` that of the points.
    """
    size = check_count("action_space_checks", "size", size)
    points = _Points(space, size, check_seed("action_space_checks", seed))
    names: tuple[str, ...] = ("log_det", "inverse", "far_out", "expectation", "metadata")
    if is_discrete(space):
        names = ("actions", "distribution", "metadata")
    return [("map", partial(_check_is_action_space, space, size)), *((name, getattr(points, name)) for name in names)]


def check_action_space(space: Any, size: int, seed: int = 0) -> None:
    """Raise at the first of :func:`action_space_checks` that an action space breaks; the message says what to do."""
    run_all(action_space_checks(space, size, seed))


def parametrize_with_checks(*spaces: Any, size: int, seed: int = 0) -> "pytest.MarkDecorator":
    """Return a decorator that makes every check a case of a pytest test, ``[Thruster-log_det]``.

    The test has one argument, ``check``, and calls it. Keywords are those of :func:`action_space_checks`.
    """
    return as_cases((type(space).__name__, action_space_checks(space, size, seed)) for space in spaces)


def _check_is_action_space(space: Any, size: int) -> None:
    """Raise unless it is one of the package's that maps actions of `size` numbers."""
    name = type(space).__name__
    check_map(name, space, size)
    if not isinstance(space, ActionSpace):
        raise TypeError(
            f"{name}: an action space is a jaxdem_ac.action_spaces.base.ActionSpace; got a "
            f"{type(space).__mro__[1].__name__}. Subclass it: a file could not keep it, nor its entropy be known."
        )


class _Points:
    """Points at which an action space is tried, once the first check asks for them, and what has to hold there."""

    def __init__(self, given: Any, size: int, seed: int) -> None:
        self.given, self.size, self.seed = given, size, seed
        self.name = type(given).__name__

    @cached_property
    def space(self) -> ActionSpace:
        """Action space whose shapes are right: what is computed with another says nothing."""
        _check_is_action_space(self.given, self.size)
        return self.given

    @cached_property
    def keys(self) -> Array:
        """Random keys of the points and of the samples, ``(2,)``."""
        return jax.random.split(jax.random.key(self.seed))

    @cached_property
    def x(self) -> Array:
        """Random points, ``(P, D)``."""
        return jax.random.normal(self.keys[0], (_NUM_POINTS, self.size))

    @cached_property
    def measured(self) -> tuple[Array, Array, Array, Array, Array]:
        """Log-determinant with the map, alone and of the derivative; inverse and its log-determinant."""
        vector = as_vector_bijector(self.space)

        @jax.jit
        def measure(x: Array) -> tuple[Array, Array, Array, Array, Array]:
            y, log_det = vector.forward_and_log_det(x)
            exact = jnp.linalg.slogdet(jax.vmap(jax.jacfwd(vector.forward))(x))[1]
            return log_det, vector.forward_log_det_jacobian(x), exact, *vector.inverse_and_log_det(y)

        return measure(self.x)

    def actions(self) -> None:
        bounds, found = self.space.bounds(self.size), np.asarray(self.given.actions(self.size))
        shape = (self.given.num_outputs(self.size), self.size)
        if found.shape != shape or len(np.unique(found.round(6), axis=0)) < len(found):
            raise ValueError(
                f"{self.name}.actions: they are {shape}, no two alike; got shape {found.shape}. Return one for each of "
                "num_outputs."
            )
        long = bounds.max_norm is not None and np.linalg.norm(found, axis=-1).max() > bounds.max_norm * (1 + 1e-6)
        if long or bounds.find_bad(found) is not None or bounds.choices is None or len(bounds.choices) != len(found):
            raise ValueError(
                f"{self.name}.bounds: all actions are within them, and their choices; got {bounds}. Pass the "
                "actions as choices."
            )

    def distribution(self) -> None:
        actions = np.asarray(self.given.actions(self.size))
        logits = jax.random.normal(self.keys[0], (_NUM_POINTS, len(actions)))
        policy, where = self.given.distribution(logits, self.size), f"{self.name}.distribution"
        each = jnp.stack(
            [policy.log_prob(jnp.broadcast_to(action, (_NUM_POINTS, self.size))) for action in actions], -1
        )
        exact = jax.nn.log_softmax(logits)
        _check_close(where, "a log-probability is that of its logit", each, exact)
        _check_close(where, "the entropy is that of the logits", policy.entropy(), -jnp.sum(jnp.exp(exact) * exact, -1))
        _check_close(where, "the mode is the likeliest action", policy.mode(), actions[np.argmax(logits, -1)])
        raw, log_prob, _ = policy.sample_raw_and_log_probs(seed=self.keys[1])
        _check_close(where, "a sample has its own log-probability", log_prob, policy.log_prob(policy.to_action(raw)))

    def log_det(self) -> None:
        log_det, alone, exact, _, _ = self.measured
        rule = "the log-determinant is that of the derivative"
        _check_close(f"{self.name}.forward_and_log_det", rule, log_det, exact)
        _check_close(f"{self.name}.forward_log_det_jacobian", "it is that of forward_and_log_det", alone, log_det)

    def inverse(self) -> None:
        log_det, _, _, back, back_log_det = self.measured
        where = f"{self.name}.inverse_and_log_det"
        # Near a bound rounding moves what leads back.
        _check_close(where, "the inverse of an action is what it came from", back, self.x, 1e-2)
        _check_close(where, "its log-determinant is the negative", back_log_det, -log_det, 1e-2)

    def far_out(self) -> None:
        vector = as_vector_bijector(self.space)
        points = jnp.asarray([0.0, 1e-12, 1e-3, 10.0, 100.0, 1e4])[:, None] * jnp.ones(self.size)

        def total(x: Array) -> Array:
            y, log_det = vector.forward_and_log_det(x)
            return jnp.sum(y) + log_det

        values, gradients = jax.jit(jax.vmap(jax.value_and_grad(total)))(points)
        for found, what in ((values, "value"), (gradients, "gradient")):
            bad = ~np.isfinite(np.asarray(found).reshape(len(points), -1)).all(-1)
            if bad.any():
                raise ValueError(
                    f"{self.name}.forward_and_log_det: it is finite and differentiable everywhere; got a {what} that "
                    f"is not finite at x={float(points[int(bad.argmax()), 0]):g}. Guard the branch that is not taken, "
                    "too."
                )

    def expectation(self) -> None:
        size, vector = self.size, as_vector_bijector(self.space)
        mean = jnp.linspace(-0.7, 1.1, size) + jnp.asarray([[0.0], [1.5]])
        std = jnp.linspace(0.4, 1.6, size)
        expected = np.asarray(jax.jit(self.space.log_det_expectation)(mean, std))
        if expected.shape != (2,):
            raise ValueError(
                f"{self.name}.log_det_expectation: means (2, {size}) and one std ({size},) give (2,); got shape "
                f"{expected.shape}. Sum over the last axis, and let mean and std broadcast."
            )

        @jax.jit
        def draw(key: Array) -> Array:
            x = mean + std * jax.random.normal(key, (_NUM_SAMPLES, 2, size))
            return vector.forward_log_det_jacobian(x)

        samples = np.asarray(draw(self.keys[1]), np.float64)
        error = np.abs(samples.mean(0) - expected)
        if not (error <= 6 * samples.std(0) / _NUM_SAMPLES**0.5 + 1e-3).all():
            raise ValueError(
                f"{self.name}.log_det_expectation: it is the mean of the log-determinant; got {expected} where samples "
                f"average to {samples.mean(0)}. Compare the formula with that of forward_and_log_det."
            )

    def metadata(self) -> None:
        try:
            kept = json.loads(json.dumps(self.space.metadata))
        except TypeError as error:
            raise TypeError(
                f"{self.name}.metadata: it is made of numbers, strings and lists; got {error}. Convert arrays with "
                "tolist()."
            ) from None
        if not type(self.space)(**kept).same_as(self.space):
            raise ValueError(
                f"{self.name}.metadata: it holds the keywords that build the same again; got {kept}. Name every "
                "keyword."
            )


def _check_close(where: str, rule: str, found: Array, exact: Array, tolerance: float = 1e-3) -> None:
    error = np.abs(np.asarray(found, np.float64) - np.asarray(exact, np.float64))
    if not (error <= tolerance * (1 + np.abs(np.asarray(exact, np.float64)))).all():
        raise ValueError(f"{where}: {rule}; got one that is {np.nanmax(error):.3g} off. Derive it again.")
