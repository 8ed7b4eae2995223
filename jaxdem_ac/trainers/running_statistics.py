"""Running mean and variance of observations, and of returns."""

from dataclasses import dataclass
from typing import Self

import jax
import jax.numpy as jnp
from jax import Array

# Of a number that stays the same to its last digit, each as large as the distance to the next number of the dtype.
_ROUNDINGS = 2.0


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Normalizer:
    """Mean and variance of all observations so far, frozen while a rollout lasts."""

    count: Array
    """Observations seen, ``()``."""
    mean: Array
    """``(O,)``."""
    sum_of_squares: Array
    """Sum of squares of the deviations from the mean, ``(O,)``."""

    @classmethod
    def create(cls, size: int) -> Self:
        """Return one that has seen nothing, and changes nothing."""
        return cls(jnp.zeros(()), jnp.zeros(size), jnp.zeros(size))

    @property
    def std(self) -> Array:
        """``(O,)``; 1 for what has not varied by more than the rounding of its mean."""
        deviation = jnp.sqrt(self.sum_of_squares / jnp.maximum(self.count, 1.0))
        limits = jnp.finfo(deviation.dtype)  # type: ignore[no-untyped-call]
        least = jnp.maximum(_ROUNDINGS * limits.eps * jnp.abs(self.mean), limits.tiny**0.5)
        return jnp.where(deviation > least, deviation, 1.0)

    def __call__(self, observation: Array) -> Array:
        """Return ``(observation - mean) / std``, within 10 standard deviations; ``(..., O)``."""
        return jnp.clip((observation - self.mean) / self.std, -10.0, 10.0)

    def scaled(self, value: Array) -> Array:
        """Return ``(value - mean) / std`` of single numbers ``(...)``; the normalizer is of size 1."""
        return (value - self.mean[0]) / self.std[0]

    def inverse(self, value: Array) -> Array:
        """Return ``value * std + mean`` of single numbers ``(...)``."""
        return value * self.std[0] + self.mean[0]


def update_normalizer(normalizer: Normalizer, observation: Array) -> Normalizer:
    """Return the normalizer after a batch of observations ``(..., O)``.

    The parallel form of Welford's algorithm: Chan, Golub, LeVeque, "Algorithms for Computing the Sample Variance",
    1983, eq. 2.1. A batch's own mean is taken of differences, first from its first row and then from the mean that
    comes of it: a long sum loses a share of the deviations, and not of the mean.
    """
    batch = observation.reshape(-1, observation.shape[-1])
    num = jnp.asarray(batch.shape[0], normalizer.count.dtype)
    batch_mean = batch[0] + jnp.mean(batch - batch[0], axis=0)
    deviation = batch - batch_mean
    rest = jnp.mean(deviation, axis=0)
    batch_squares = jnp.sum((deviation - rest) ** 2, axis=0)
    count = normalizer.count + num
    # The mean is so long that `rest` may round to nothing beside it, but not beside the difference of two.
    shift = batch_mean - normalizer.mean + rest
    return Normalizer(
        count=count,
        mean=normalizer.mean + shift * (num / count),
        sum_of_squares=normalizer.sum_of_squares + batch_squares + shift**2 * (normalizer.count * num / count),
    )
