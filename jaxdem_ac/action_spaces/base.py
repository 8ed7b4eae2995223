"""What the action spaces share: checks of parameters and metadata."""

from typing import Any

import distrax
import jax
import numpy as np
from jax import Array


class ActionSpace(distrax.Bijector):
    """A bijector from unconstrained actions to allowed ones, with the expectation that its entropy needs."""

    @property
    def metadata(self) -> dict[str, Any]:
        """The keywords that build this action space again, as JSON types."""
        return {}

    @property
    def kws(self) -> dict[str, Any]:
        """The same as `metadata`, under the host's name."""
        return self.metadata

    def log_det_expectation(self, mean: Array, std: Array) -> Array:
        """Return E[log |det J(x)|] over the last axis, x ~ N(mean, diag(std**2)).

        Parameters
        ----------
        mean, std : Array, (..., D)
            Of the Gaussian before the bijector.

        Returns
        -------
        Array, (...)
            In nats.
        """
        raise NotImplementedError(
            f"{type(self).__name__}.log_det_expectation: this action space defines none. "
            "Define it to have the entropy of a squashed Gaussian."
        )

    def same_as(self, other: distrax.Bijector) -> bool:
        """Return whether `other` is the same map: same class, same parameters.

        Under a transformation, where parameters have no values to compare, only an object is the same as itself.
        """
        if self is other:
            return True
        if type(other) is not type(self):
            return False
        mine, theirs = jax.tree.leaves(self), jax.tree.leaves(other)
        if any(isinstance(leaf, jax.core.Tracer) for leaf in (*mine, *theirs)):
            return False
        return self.metadata == other.metadata


def check_positive(where: str, **values: float) -> None:
    """Raise ValueError unless every value is a finite number above 0."""
    for name, value in values.items():
        if not (_is_number(value) and np.isfinite(value) and value > 0):
            raise ValueError(f"{where}: {name} is a finite number above 0; got {name}={value!r}. Set a positive one.")


def check_eps(where: str, eps: float) -> None:
    """Raise ValueError unless 0 < eps < 1."""
    if not (_is_number(eps) and 0.0 < eps < 1.0):
        raise ValueError(
            f"{where}: eps is the share of the range kept clear of the bounds, 0 < eps < 1; got eps={eps!r}. "
            "The default is 1e-6."
        )


def _is_number(value: Any) -> bool:
    """Return whether `value` is one real number, of Python, numpy or jax."""
    return np.ndim(value) == 0 and np.issubdtype(np.asarray(value).dtype, np.number) and np.isrealobj(value)


def largest_below_one(dtype: Any) -> Array:
    """Return the largest number below 1 of `dtype`: the most that an inverse of tanh is given."""
    return jax.numpy.nextafter(jax.numpy.ones((), dtype), jax.numpy.zeros((), dtype))
