r"""Expectations of log cosh and log(sinh r / r) under a Gaussian of any dimension, by one short quadrature.

With X ~ N(mean, diag(std**2)), r = ||X|| and q = r**2,

    log cosh r       = int_0^inf (1 - exp(-t q)) S_half(t) dt / t,  S_half(t) = sum_{n>=1} exp(-t pi**2 (n - 1/2)**2)
    log (sinh r / r) = int_0^inf (1 - exp(-t q)) S_int(t) dt / t,   S_int(t) = sum_{n>=1} exp(-t pi**2 n**2)

(the product formulas of cosh and sinh, with log(1 + q/a) as an integral over t). A Gaussian gives the inner
expectation E[exp(-t q)] in closed form, so both are one-dimensional integrals in u = log t whose nodes and weights are
constants. Below the first node's interval, t < T, both S are 1 / (2 sqrt(pi t)), less 1/2 for S_int, and the integral
has a closed form: the first three moments of q while q T is small, else the integral at E[q] with a correction of
second order in q, whose leading terms, sqrt(q) and log(q), are those of the exact expectation.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.special import erf, exp1

# 28 nodes on [-14, 2.2] hold the error of log cosh at 1e-5 for |mean|, std <= 5 and at 6e-4 relative up to 300;
# 24 nodes on [-9, 2.2] reach 3e-6 in the first range but lose 3e-2 at std = 30.
_NUM_NODES = 28
_LOG_T_LOW, _LOG_T_HIGH = -14.0, 2.2
_T_LOW = float(np.exp(_LOG_T_LOW))
# Where the moments' series hands over to the closed form: both are within 1e-4 of each other there.
_SERIES_LIMIT = 0.1


def _quadrature() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return t at the Gauss-Legendre nodes in log t, and the weights times S_half and S_int there."""
    nodes, weights = np.polynomial.legendre.leggauss(_NUM_NODES)
    half_span = (_LOG_T_HIGH - _LOG_T_LOW) / 2
    t = np.exp(_LOG_T_LOW + half_span * (nodes + 1))
    n = np.arange(1, 40)
    direct_half = np.exp(-t[:, None] * ((n - 0.5) * np.pi) ** 2).sum(1)
    direct_int = np.exp(-t[:, None] * (n * np.pi) ** 2).sum(1)
    # For small t the theta functions' other series (Poisson summation) converges at once.
    theta = np.exp(-(n**2) / t[:, None])
    other_half = (1 + 2 * ((-1.0) ** n * theta).sum(1)) / (2 * np.sqrt(np.pi * t))
    other_int = ((1 + 2 * theta.sum(1)) / np.sqrt(np.pi * t) - 1) / 2
    small = t < 0.3
    s_half = np.where(small, other_half, direct_half)
    s_int = np.where(small, other_int, direct_int)
    return t, half_span * weights * s_half, half_span * weights * s_int


_T, _WEIGHT_HALF, _WEIGHT_INT = _quadrature()


def _tail_half(mean_q: Array, var_q: Array, third_q: Array) -> Array:
    """Return the part of E[log cosh r] with t < T; ``(...)`` each."""
    root_t = _T_LOW**0.5
    small = mean_q * _T_LOW < _SERIES_LIMIT
    second_q = var_q + mean_q**2
    q = jnp.where(small, 0.0, mean_q)
    var = jnp.where(small, 0.0, var_q)
    series = (
        jnp.where(small, mean_q, 0.0) * root_t
        - jnp.where(small, second_q, 0.0) * root_t * _T_LOW / 6
        + jnp.where(small, third_q, 0.0) * root_t * _T_LOW**2 / 30
    ) / jnp.sqrt(jnp.pi)
    safe_q = jnp.where(small, 1.0, q)
    root_q = jnp.sqrt(safe_q)
    value = root_q * erf(root_q * root_t) + jnp.expm1(-safe_q * _T_LOW) / (jnp.sqrt(jnp.pi) * root_t)
    curvature = jnp.exp(-safe_q * _T_LOW) * root_t / (2 * jnp.sqrt(jnp.pi) * safe_q) - erf(root_q * root_t) / (
        4 * safe_q * root_q
    )
    return jnp.where(small, series, value + 0.5 * var * curvature)


def _tail_log(mean_q: Array, var_q: Array) -> Array:
    """Return int_0^T E[1 - exp(-t q)] / t dt, by which twice the tail of log(sinh r / r) falls short; ``(...)``."""
    small = mean_q * _T_LOW < _SERIES_LIMIT
    second_q = var_q + mean_q**2
    series = jnp.where(small, mean_q, 0.0) * _T_LOW - jnp.where(small, second_q, 0.0) * _T_LOW**2 / 4
    x = jnp.where(small, 1.0, mean_q * _T_LOW)
    value = jnp.log(x) + np.euler_gamma + exp1(x)
    curvature = ((1 + x) * jnp.exp(-x) - 1) / x**2
    closed = value + 0.5 * jnp.where(small, 0.0, var_q) * _T_LOW**2 * curvature
    return jnp.where(small, series, closed)


def _expectation(mean: Array, std: Array, weight_half: float, weight_int: float) -> Array:
    """Return E[weight_half log cosh r + weight_int log(sinh r / r)], r the norm over the last axis; ``(...)``."""
    mu2, var = mean**2, std**2
    # log E[exp(-t q)], negated: 1 - E is then -expm1 of it, and keeps its digits in float32. What depends on std alone
    # is not broadcast to the means: a policy has thousands of means and, most often, one std.
    t = jnp.asarray(_T, jnp.result_type(mean, std))
    scaled_var = 2 * t * var[..., None]
    spread = 0.5 * jnp.log1p(scaled_var)
    exponent = jnp.sum(mu2[..., None] * (t / (1 + scaled_var)) + spread, axis=-2)
    weights = jnp.asarray(weight_half * _WEIGHT_HALF + weight_int * _WEIGHT_INT, t.dtype)
    body = -jnp.sum(jnp.expm1(-exponent) * weights, axis=-1)
    mean_q = jnp.sum(mu2 + var, axis=-1)
    var_q = jnp.sum(2 * var**2 + 4 * mu2 * var, axis=-1)
    third_central = jnp.sum(8 * var**3 + 24 * mu2 * var**2, axis=-1)
    third_q = third_central + 3 * mean_q * var_q + mean_q**3
    tail = (weight_half + weight_int) * _tail_half(mean_q, var_q, third_q)
    if weight_int:
        tail = tail - weight_int * 0.5 * _tail_log(mean_q, var_q)
    return body + tail


def expected_log_cosh(mean: Array, std: Array) -> Array:
    """Return E[log cosh x], ``x ~ N(mean, std**2)``, component by component, in nats; ``(...)``.

    Within 2e-5 for ``|mean| <= 5``, ``std <= 5``, within 1e-3 relative up to 300.
    """
    return _expectation(mean[..., None], std[..., None], 1.0, 0.0)


def expected_radial_log_det(mean: Array, std: Array) -> Array:
    """Return E[(d-1) log(sinh r / r) - (d+1) log cosh r], r = ||x||, x ~ N(mean, diag(std**2)) of dimension d, in nats.

    That is the expected log-determinant of the map x -> tanh(r) x / r; ``(..., d)`` each to ``(...)``.
    """
    dim = jnp.broadcast_shapes(mean.shape, std.shape)[-1]
    return _expectation(mean, std, -(dim + 1.0), dim - 1.0)


def log_cosh(x: Array) -> Array:
    """Return log cosh x for any finite x, without overflow; ``(...)``."""
    magnitude = jnp.abs(x)
    return magnitude + jax.nn.softplus(-2 * magnitude) - jnp.log(jnp.asarray(2.0, x.dtype))
