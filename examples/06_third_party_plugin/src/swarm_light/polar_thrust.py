"""PolarThrust: any heading, and a speed up to a largest one, all of them equally likely at first."""

import math
from typing import Any

import jax.numpy as jnp
from jax import Array

from jaxdem_ac.action_spaces.base import ActionSpace, check_positive, largest_below_one

# Below this r**2 the series below hold every digit of float64, and are differentiable where the closed forms are not.
_SERIES_R2 = 1e-3


class PolarThrust(ActionSpace):
    r"""Thrust in the plane, ``(2,)``: any heading, speed below ``max_speed``.

    ``y = s sqrt(1 - exp(-r**2 / 2)) x / r``, ``r = ||x||``, ``s = max_speed`` less rounding,

    ``log |det J| = log(s**2 / 2) - r**2 / 2``.

    It is Box and Muller's transform backwards: it turns the standard normal into the uniform distribution on the disc.
    A policy that has learnt nothing, mean 0 and deviation 1, so tries every heading and speed evenly, and its entropy,

    ``H(Y) = log(pi s**2) - KL(N(mean, diag(std**2)) || N(0, 1))``,

    is the logarithm of the disc's area: an entropy bonus is a pull towards the uniform. The expectation that it needs
    is of a polynomial, and so exact.

    Parameters
    ----------
    max_speed : float, unit of the action
        The radius of the disc.

    Raises
    ------
    ValueError
        If ``max_speed`` is not a finite number above 0.

    Notes
    -----
    G. E. P. Box, M. E. Muller, Annals of Mathematical Statistics 29 (1958) 610, equation 2, solved for the uniforms.
    """

    def __init__(self, max_speed: float = 1.0) -> None:
        super().__init__(event_ndims_in=1)
        check_positive("PolarThrust", max_speed=max_speed)
        self.max_speed = float(max_speed)

    @property
    def event_size(self) -> int:
        """2: there is no such map in other dimensions."""
        return 2

    def forward_and_log_det(self, x: Array) -> tuple[Array, Array]:
        """Return ``y``, ``(..., 2)``, and log |det J(x)|, ``(...)``; finite for every x whose square is."""
        r2 = jnp.sum(x**2, axis=-1)
        small = r2 < _SERIES_R2
        low, high = jnp.where(small, r2, 0.0), jnp.where(small, 1.0, r2)
        series = 0.5 - low / 8 + low**2 / 48 - low**3 / 384
        ratio = jnp.sqrt(jnp.where(small, series, -jnp.expm1(-high / 2) / high))
        return self._radius(x.dtype) * ratio[..., None] * x, self._log_area(x.dtype) - r2 / 2

    def inverse_and_log_det(self, y: Array) -> tuple[Array, Array]:
        """Return ``x``, ``(..., 2)``, and log |det J| of the inverse at ``y``, ``(...)``."""
        u = y / self._radius(y.dtype)
        u2 = jnp.minimum(jnp.sum(u**2, axis=-1), largest_below_one(y.dtype))
        small = u2 < _SERIES_R2
        low, high = jnp.where(small, u2, 0.0), jnp.where(small, 0.5, u2)
        series = 2 + low + 2 * low**2 / 3 + low**3 / 2 + 2 * low**4 / 5
        ratio = jnp.sqrt(jnp.where(small, series, -2 * jnp.log1p(-high) / high))
        return ratio[..., None] * u, -self._log_area(y.dtype) - jnp.log1p(-u2)

    def log_det_expectation(self, mean: Array, std: Array) -> Array:
        """Return E[log |det J(x)|], x ~ N(mean, diag(std**2)); ``(..., 2)`` to ``(...)``, in nats."""
        square = jnp.sum(mean**2, axis=-1) + jnp.sum(std**2, axis=-1)
        return self._log_area(square.dtype) - square / 2

    def _radius(self, dtype: Any) -> float:
        # So far inside that no rounding carries an action across the bound.
        return (1 - 8 * float(jnp.finfo(dtype).eps)) * self.max_speed  # type: ignore[no-untyped-call]

    def _log_area(self, dtype: Any) -> Array:
        return jnp.asarray(2 * math.log(self._radius(dtype)) - math.log(2), dtype)
