"""Conformance checks for action spaces, to be called from a plugin's tests."""

import json

import distrax
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxdem_ac.action_spaces.base import ActionSpace
from jaxdem_ac.action_spaces.distributions import as_vector_bijector

_NUM_POINTS, _NUM_SAMPLES = 64, 20_000


def check_map(where: str, space: object, size: int) -> None:
    """Raise unless a bijector maps actions of `size` numbers, as far as shapes tell. A model begins with it.

    Parameters
    ----------
    where : str
        Who asks, for the message.
    space : distrax.Bijector
    size : int
        D.

    Raises
    ------
    TypeError
        If it is no bijector.
    ValueError
        If it is for actions of another size, or its log-determinant has another shape.
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
    x = jax.eval_shape(lambda: jnp.zeros((3, size)))
    action, log_det = jax.eval_shape(as_vector_bijector(space).forward_and_log_det, x)
    for part, found, shape in (("an action", action, (3, size)), ("a log-determinant", log_det, (3,))):
        if found.shape != shape:
            raise ValueError(
                f"{name}.forward_and_log_det: {part} of x of shape {x.shape} has shape {shape}; got shape "
                f"{found.shape}. Sum over the last axis where event_ndims_in is 1, and over none where it is 0."
            )


def check_action_space(space: object, size: int, seed: int = 0) -> None:
    """Raise unless an action space is what `ActionSpace` says: one call for the tests of a plugin.

    At random points, the log-determinant is that of the derivative, the inverse leads back, everything is finite and
    differentiable at 0 and far out, `log_det_expectation` is what samples average to, and `metadata` goes through JSON
    and builds the same again.

    Parameters
    ----------
    space : ActionSpace
    size : int
        D, of the actions to try it with.
    seed : int
        Of the points.

    Raises
    ------
    TypeError, ValueError, NotImplementedError
        Where it is not; the message says what to do.
    """
    name = type(space).__name__
    check_map(name, space, size)
    if not isinstance(space, ActionSpace):
        raise TypeError(
            f"{name}: an action space is a jaxdem_ac.action_spaces.base.ActionSpace; got a "
            f"{type(space).__mro__[1].__name__}. Subclass it: a file could not keep it, nor its entropy be known."
        )
    key_points, key_samples = jax.random.split(jax.random.key(seed))
    _check_derivative(space, jax.random.normal(key_points, (_NUM_POINTS, size)))
    _check_far_out(space, size)
    _check_expectation(space, size, key_samples)
    _check_kept(space)


def _check_derivative(space: ActionSpace, x: Array) -> None:
    """Raise unless the log-determinant is that of the derivative and the inverse leads back; x is ``(P, D)``."""
    name, vector = type(space).__name__, as_vector_bijector(space)

    @jax.jit
    def measure(x: Array) -> tuple[tuple[Array, ...], ...]:
        y, log_det = vector.forward_and_log_det(x)
        exact = jnp.linalg.slogdet(jax.vmap(jax.jacfwd(vector.forward))(x))[1]
        return (log_det, exact), (vector.forward_log_det_jacobian(x), log_det), vector.inverse_and_log_det(y)

    (log_det, exact), alone, (back, back_log_det) = measure(x)
    _check_close(f"{name}.forward_and_log_det", "the log-determinant is that of the derivative", log_det, exact)
    _check_close(f"{name}.forward_log_det_jacobian", "it is that of forward_and_log_det", *alone)
    # Near a bound rounding moves what leads back.
    _check_close(f"{name}.inverse_and_log_det", "the inverse of an action is what it came from", back, x, 1e-2)
    _check_close(f"{name}.inverse_and_log_det", "its log-determinant is the negative", back_log_det, -log_det, 1e-2)


def _check_far_out(space: ActionSpace, size: int) -> None:
    """Raise unless the map and its gradient are finite at 0 and far out."""
    name, vector = type(space).__name__, as_vector_bijector(space)
    points = jnp.asarray([0.0, 1e-12, 1e-3, 10.0, 100.0, 1e4])[:, None] * jnp.ones(size)

    def total(x: Array) -> Array:
        y, log_det = vector.forward_and_log_det(x)
        return jnp.sum(y) + log_det

    values, gradients = jax.jit(jax.vmap(jax.value_and_grad(total)))(points)
    for found, what in ((values, "value"), (gradients, "gradient")):
        bad = ~np.isfinite(np.asarray(found).reshape(len(points), -1)).all(-1)
        if bad.any():
            raise ValueError(
                f"{name}.forward_and_log_det: it is finite and differentiable everywhere; got a {what} that is not "
                f"finite at x={float(points[int(bad.argmax()), 0]):g}. Guard the branch that is not taken, too."
            )


def _check_expectation(space: ActionSpace, size: int, key: Array) -> None:
    """Raise unless log_det_expectation is what samples average to."""
    name, vector = type(space).__name__, as_vector_bijector(space)
    mean = jnp.linspace(-0.7, 1.1, size) + jnp.asarray([[0.0], [1.5]])
    std = jnp.linspace(0.4, 1.6, size)
    expected = np.asarray(jax.jit(space.log_det_expectation)(mean, std))
    if expected.shape != (2,):
        raise ValueError(
            f"{name}.log_det_expectation: means (2, {size}) and one std ({size},) give (2,); got shape "
            f"{expected.shape}. Sum over the last axis, and let mean and std broadcast."
        )

    @jax.jit
    def draw(key: Array) -> Array:
        x = mean + std * jax.random.normal(key, (_NUM_SAMPLES, 2, size))
        return vector.forward_log_det_jacobian(x)

    samples = np.asarray(draw(key), np.float64)
    error = np.abs(samples.mean(0) - expected)
    if not (error <= 6 * samples.std(0) / _NUM_SAMPLES**0.5 + 1e-3).all():
        raise ValueError(
            f"{name}.log_det_expectation: it is the mean of the log-determinant; got {expected} where samples average "
            f"to {samples.mean(0)}. Compare the formula with that of forward_and_log_det."
        )


def _check_kept(space: ActionSpace) -> None:
    """Raise unless metadata builds the same action space again, from a file too."""
    name = type(space).__name__
    try:
        kept = json.loads(json.dumps(space.metadata))
    except TypeError as error:
        raise TypeError(
            f"{name}.metadata: it is made of numbers, strings and lists; got {error}. Convert arrays with tolist()."
        ) from None
    if not type(space)(**kept).same_as(space):
        raise ValueError(
            f"{name}.metadata: it holds the keywords that build the same again; got {kept}. Name every keyword."
        )


def _check_close(where: str, rule: str, found: Array, exact: Array, tolerance: float = 1e-3) -> None:
    error = np.abs(np.asarray(found, np.float64) - np.asarray(exact, np.float64))
    if not (error <= tolerance * (1 + np.abs(np.asarray(exact, np.float64)))).all():
        raise ValueError(f"{where}: {rule}; got one that is {np.nanmax(error):.3g} off. Derive it again.")
