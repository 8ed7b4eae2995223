"""Box: every component of an action between two bounds."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike, DTypeLike

from jaxdem_ac._checks import fits, is_concrete
from jaxdem_ac.action_spaces.base import (
    ActionBounds,
    ActionSpace,
    arctanh,
    check_eps,
    check_positive,
    largest_below_one,
)
from jaxdem_ac.action_spaces.expectations import expected_log_cosh, log_cosh


class Box(ActionSpace):
    r"""Actions between ``x_min`` and ``x_max``, component by component.

    ``y = c + h tanh(x / width)``, ``c = (x_min + x_max) / 2``, ``h = (1 - eps) (x_max - x_min) / 2``,

    ``log |dy/dx| = log(h / width) - 2 log cosh(x / width)``.

    A scalar bijector: the model lifts it to the action vector. Bounds of shape ``(D,)`` hold one for each component, in
    the unit of the action. ``width`` is that of the linear range of tanh, in units of the unconstrained action, and
    ``eps`` the share of the range kept clear of the bounds, so that an action stays inside after rounding. Raises
    ValueError if a bound is not finite, ``x_max <= x_min`` anywhere, ``width <= 0``, or ``eps`` is outside (0, 1).
    """

    def __init__(self, x_min: ArrayLike, x_max: ArrayLike, width: float = 1.0, eps: float = 1e-6) -> None:
        super().__init__(event_ndims_in=0)
        check_positive("Box", width=width)
        check_eps("Box", eps)
        self.x_min, self.x_max = _bounds(x_min, x_max)
        self.width = float(width)
        self.eps = float(eps)
        traced = not is_concrete(self.x_min, self.x_max)
        if not traced and not all(fits(float(slope)) for slope in np.ravel(self._slope())):
            raise ValueError(
                f"Box: the slope of the map, half a range over width, is in single precision; got width={width!r:.60} "
                f"for x_min={self.x_min.tolist()}, x_max={self.x_max.tolist()}. Choose a width of the order of 1."
            )

    @property
    def event_size(self) -> int | None:
        """The number of components that the bounds are for; None where one bound serves any number."""
        shape = np.broadcast_shapes(np.shape(self.x_min), np.shape(self.x_max))
        return shape[-1] if shape and shape[-1] != 1 else None

    def bounds(self, size: int) -> ActionBounds:
        """Return the bounds of an action of `size` components."""
        return ActionBounds.of(self.x_min, self.x_max, size)

    def _slope(self) -> np.ndarray | Array:
        return (1 - self.eps) * (self.x_max - self.x_min) / 2 / self.width

    def _center_and_half(self, dtype: DTypeLike) -> tuple[Array, Array]:
        center = (self.x_min + self.x_max) / 2
        half = (1 - self.eps) * (self.x_max - self.x_min) / 2
        return jnp.asarray(center, dtype), jnp.asarray(half, dtype)

    def forward_log_det_jacobian(self, x: Array) -> Array:
        """Return ``log |dy/dx|``; ``(...)``, finite for every finite x."""
        _, half = self._center_and_half(x.dtype)
        return jnp.log(half / self.width) - 2 * log_cosh(x / self.width)

    def forward_and_log_det(self, x: Array) -> tuple[Array, Array]:
        """Return ``y`` and ``log |dy/dx|``; ``(...)`` each."""
        center, half = self._center_and_half(x.dtype)
        y = center + half * jnp.tanh(x / self.width)
        # Far from the origin `eps` is smaller than the rounding of the sum.
        y = jnp.clip(y, jnp.asarray(self.x_min, x.dtype), jnp.asarray(self.x_max, x.dtype))
        return y, self.forward_log_det_jacobian(x)

    def inverse_and_log_det(self, y: Array) -> tuple[Array, Array]:
        """Return ``x`` and ``log |dx/dy|``; ``(...)`` each.

        A ``y`` that tanh has rounded to its limit has lost its ``x``: the largest that the dtype resolves is returned
        (8.7 widths in float32). Training keeps the action before the bijector instead.
        """
        center, half = self._center_and_half(y.dtype)
        limit = largest_below_one(y.dtype)
        x = self.width * arctanh(jnp.clip((y - center) / half, -limit, limit))
        return x, -self.forward_log_det_jacobian(x)

    def log_det_expectation(self, mean: Array, std: Array) -> Array:
        """Return ``E[log |det J(x)|]``, ``x ~ N(mean, diag(std**2))``; ``(..., D)`` to ``(...)``, in nats."""
        _, half = self._center_and_half(jnp.result_type(mean, std))
        per_component = jnp.log(half / self.width) - 2 * expected_log_cosh(mean / self.width, std / self.width)
        return jnp.sum(per_component, axis=-1)


def _bounds(x_min: ArrayLike, x_max: ArrayLike) -> tuple[np.ndarray | Array, np.ndarray | Array]:
    """Return the bounds, checked; in float64 where they have values, so that no later dtype loses digits."""
    if isinstance(x_min, jax.core.Tracer) or isinstance(x_max, jax.core.Tracer):
        return jnp.asarray(x_min, float), jnp.asarray(x_max, float)
    low, high = _real_array(x_min), _real_array(x_max)
    if low is None or high is None:
        raise TypeError(
            f"Box: bounds are real numbers; got x_min={x_min!r:.60}, x_max={x_max!r:.60}. Pass one, or one for each "
            "component."
        )
    try:
        np.broadcast_shapes(low.shape, high.shape)
    except ValueError:
        raise ValueError(
            f"Box: x_min and x_max have shapes that fit; got x_min of {low.shape} and x_max of {high.shape}. "
            "Give both one number, or one for each component of the action."
        ) from None
    for name, bound in (("x_min", low), ("x_max", high)):
        if bound.ndim > 1 or bound.size == 0:
            raise ValueError(
                f"Box: {name} is a number or one for each component of the action; got shape {bound.shape}. Flatten it."
            )
        if not np.isfinite(bound).all():
            raise ValueError(
                f"Box: bounds are finite; got {name}={bound.tolist()}. Use Free for an action without bounds."
            )
    if not (high > low).all():
        raise ValueError(
            f"Box: every x_max > x_min; got x_min={low.tolist()}, x_max={high.tolist()}. Swap or move them."
        )
    half = (high - low) / 2
    # A bound that single precision takes for 0 is one; what lies between the bounds is not.
    largest = float(np.finfo(np.float32).max)
    outside = any(abs(float(number)) > largest for number in (*low.ravel(), *high.ravel()))
    if outside or not all(fits(float(number), np.float32) for number in half.ravel()):
        raise ValueError(
            f"Box: single precision holds the bounds, and what is between them; got x_min={low.tolist()}, "
            f"x_max={high.tolist()}. Scale the action."
        )
    if not (low.astype(np.float32) < high.astype(np.float32)).all():
        raise ValueError(
            f"Box: bounds are told apart in single precision; got x_min={low.tolist()}, x_max={high.tolist()}. "
            "Move them apart, or scale the action."
        )
    return low, high


def _real_array(bound: ArrayLike) -> np.ndarray | None:
    """Return real numbers in float64, None of anything else; text and flags are no numbers."""
    try:
        array = np.asarray(bound)
        return array.astype(np.float64) if array.dtype.kind in "iuf" else None
    except (TypeError, ValueError):
        return None
