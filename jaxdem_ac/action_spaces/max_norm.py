"""MaxNorm: actions whose norm is bounded."""

import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

from jaxdem_ac.action_spaces.base import (
    ActionBounds,
    ActionSpace,
    arctanh,
    check_eps,
    check_positive,
    largest_below_one,
)
from jaxdem_ac.action_spaces.expectations import expected_radial_log_det, log_cosh

# Below this r**2 the series below hold every digit of float64, and their derivatives are finite at r = 0.
_SERIES_R2 = 1e-3


def _series(r2: Array, *coefficients: float) -> Array:
    """Return coefficients[0] + coefficients[1] r2 + ..., by Horner's rule."""
    total = jnp.full_like(r2, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        total = coefficient + r2 * total
    return total


def _split(r2: Array) -> tuple[Array, Array, Array]:
    """Return whether r2 is small, r2 where it is small, and r where it is not: both branches stay differentiable."""
    small = r2 < _SERIES_R2
    return small, jnp.where(small, r2, 0.0), jnp.sqrt(jnp.where(small, 1.0, r2))


def _rounding(dtype: DTypeLike) -> float:
    """Return the distance from 1 to the next number of `dtype`."""
    return float(jnp.finfo(dtype).eps)  # type: ignore[no-untyped-call]


def _tanh_over_r(r2: Array) -> Array:
    """Return tanh(r) / r of r**2."""
    small, low, r = _split(r2)
    series = _series(low, 1, -1 / 3, 2 / 15, -17 / 315, 62 / 2835, -1382 / 155925)
    return jnp.where(small, series, jnp.tanh(r) / r)


def _log_cosh_of_square(r2: Array) -> Array:
    """Return log cosh r of r**2."""
    small, low, r = _split(r2)
    series = low * _series(low, 1 / 2, -1 / 12, 1 / 45, -17 / 2520, 31 / 14175)
    return jnp.where(small, series, log_cosh(r))


def _arctanh_over_rho(rho2: Array) -> Array:
    """Return arctanh(rho) / rho of rho**2."""
    small, low, rho = _split(rho2)
    rho = jnp.minimum(rho, largest_below_one(rho2.dtype))
    series = _series(low, 1, 1 / 3, 1 / 5, 1 / 7, 1 / 9, 1 / 11)
    return jnp.where(small, series, arctanh(jnp.where(small, 0.5, rho)) / rho)


class MaxNorm(ActionSpace):
    r"""Actions inside a ball of radius ``max_norm``.

    ``y = s tanh(r) x / r``, ``r = ||x||``, ``s = (1 - eps) max_norm``,

    ``log |det J| = d log s + (d - 1) log(tanh(r) / r) - 2 log cosh r``.

    Smooth everywhere, at ``x = 0`` too. A vector bijector: one event is one action, the last axis. The share ``eps`` of
    the radius is kept clear of the bound, so that an action stays inside after rounding. Raises ValueError if
    ``max_norm`` is not a finite number above 0, or ``eps`` is outside (0, 1).
    """

    def __init__(self, max_norm: float = 1.0, eps: float = 1e-6) -> None:
        super().__init__(event_ndims_in=1)
        check_positive("MaxNorm", max_norm=max_norm)
        check_eps("MaxNorm", eps)
        self.max_norm = float(max_norm)
        self.eps = float(eps)

    def _radius(self, dtype: DTypeLike) -> float:
        # Rounding moves a norm by up to 5 units of the dtype in 6 dimensions: an `eps` below that keeps nothing inside.
        return (1 - max(self.eps, 8 * _rounding(dtype))) * self.max_norm

    def _log_det(self, r2: Array, dim: int) -> Array:
        log_radius = jnp.log(jnp.asarray(self._radius(r2.dtype), r2.dtype))
        return dim * log_radius + (dim - 1) * jnp.log(_tanh_over_r(r2)) - 2 * _log_cosh_of_square(r2)

    def forward_log_det_jacobian(self, x: Array) -> Array:
        """Return ``log |det J(x)|``; ``(..., D)`` to ``(...)``, finite for every x whose square is."""
        return self._log_det(jnp.sum(x**2, axis=-1), x.shape[-1])

    def bounds(self, size: int) -> ActionBounds:
        """Return the bounds of an action of `size` components."""
        return ActionBounds.of(-self.max_norm, self.max_norm, size, self.max_norm)

    def forward_and_log_det(self, x: Array) -> tuple[Array, Array]:
        """Return ``y``, ``(..., D)``, and ``log |det J(x)|``, ``(...)``."""
        r2 = jnp.sum(x**2, axis=-1)
        return self._radius(x.dtype) * _tanh_over_r(r2)[..., None] * x, self._log_det(r2, x.shape[-1])

    def inverse_and_log_det(self, y: Array) -> tuple[Array, Array]:
        """Return ``x``, ``(..., D)``, and ``log |det J|`` of the inverse at ``y``, ``(...)``.

        A ``y`` that tanh has rounded to its limit has lost its ``x``: the largest that the dtype resolves is returned
        (8.7 in float32). Training keeps the action before the bijector instead.
        """
        u = y / self._radius(y.dtype)
        x = _arctanh_over_rho(jnp.sum(u**2, axis=-1))[..., None] * u
        return x, -self._log_det(jnp.sum(x**2, axis=-1), y.shape[-1])

    def log_det_expectation(self, mean: Array, std: Array) -> Array:
        """Return ``E[log |det J(x)|]``, ``x ~ N(mean, diag(std**2))``; ``(..., D)`` to ``(...)``, in nats."""
        dim = jnp.broadcast_shapes(jnp.shape(mean), jnp.shape(std))[-1]
        dtype = jnp.result_type(mean, std)
        log_radius = jnp.log(jnp.asarray(self._radius(dtype), dtype))
        return dim * log_radius + expected_radial_log_det(mean, std)
