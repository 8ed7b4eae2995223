"""The base class of action spaces, with its metadata and bounds, and checks of their parameters."""

import inspect
from dataclasses import dataclass
from typing import Self

import distrax
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike, DTypeLike

from jaxdem_ac._checks import as_real, fits
from jaxdem_ac._types import Json

# Roundings in float32 of who scales actions to their bounds.
_SLACK = 1e-6


@dataclass(frozen=True)
class ActionBounds:
    """Bounds of a particle's action: a box, and within it perhaps a ball."""

    low: np.ndarray
    """``(D,)``."""
    high: np.ndarray
    """``(D,)``."""
    max_norm: float | None = None
    """Radius of the ball. An action of the box that is longer is shortened to it, its direction kept: samples of a box
    are in its corners too."""
    choices: np.ndarray | None = None
    """All actions there are, ``(K, D)``, where they can be counted; None elsewhere."""

    @classmethod
    def of(cls, low: ArrayLike, high: ArrayLike, size: int, max_norm: float | None = None) -> Self:
        """Return the bounds of an action of `size` components; one number holds for all of them."""
        full = [np.broadcast_to(np.asarray(bound, np.float32), (size,)).copy() for bound in (low, high)]
        return cls(full[0], full[1], max_norm)

    def find_bad(self, action: np.ndarray) -> np.ndarray | None:
        """Return where an action, ``(..., D)``, is not finite or not in the box: the first such index, or None."""
        slack = _SLACK * np.where(np.isfinite(self.high), np.abs(self.low) + np.abs(self.high), 0.0)
        good = (action >= self.low - slack) & (action <= self.high + slack) & np.isfinite(action)
        return None if good.all() else np.argwhere(~good.all(-1))[0]


class ActionSpace(distrax.Bijector):
    """A bijector from unconstrained actions to allowed ones, with the expectation that its entropy needs.

    A subclass defines `forward_and_log_det`, `inverse_and_log_det` and `log_det_expectation`, and keeps each keyword of
    its constructor under its name. With ``super().__init__(event_ndims_in=0)`` it maps numbers, and the model applies
    it to every component; with 1 it maps whole actions, the last axis. `check_action_space` in
    :mod:`jaxdem_ac.action_spaces.testing` says what is missing.
    """

    @property
    def event_size(self) -> int | None:
        """The number of components that an action has to have; None for any."""
        return None

    def bounds(self, size: int) -> ActionBounds:
        """Return the bounds of an action of `size` components; NotImplementedError if there are none to say."""
        raise NotImplementedError(
            f"{type(self).__name__}.bounds: this action space says none. Define it to have it in Gymnasium."
        )

    @property
    def metadata(self) -> dict[str, Json]:
        """The keywords that build this again, as JSON types; NotImplementedError if one is not kept under its name."""
        kept: dict[str, Json] = {}
        # From the class itself, a metaclass hides what it takes.
        for keyword in list(inspect.signature(type(self).__init__).parameters)[1:]:
            if not hasattr(self, keyword):
                raise NotImplementedError(
                    f"{type(self).__name__}.metadata: every keyword is kept under its name; got no attribute "
                    f"{keyword!r}. Set self.{keyword} in __init__, or define metadata."
                )
            value = getattr(self, keyword)
            kept[keyword] = value.tolist() if hasattr(value, "tolist") else value
        return kept

    @property
    def kws(self) -> dict[str, Json]:
        """The same as `metadata`, under the host's name."""
        return self.metadata

    def log_det_expectation(self, mean: Array, std: Array) -> Array:
        """Return ``E[log |det J(x)|]``, ``(...)`` in nats, over the last axis, ``x ~ N(mean, diag(std**2))``.

        Both are of the Gaussian before the bijector, ``(..., D)``, and broadcast: a policy has many means and often one
        std.
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


def check_positive(where: str, **values: object) -> None:
    """Raise ValueError unless every value is a number above 0 that single precision holds."""
    for name, value in values.items():
        number = as_real(value)
        if number is None or not number > 0 or not fits(number):
            raise ValueError(
                f"{where}: {name} is a finite number above 0; got {name}={value!r:.60}. Set a positive one that single "
                "precision holds."
            )


def check_eps(where: str, eps: object) -> None:
    """Raise ValueError unless 0 < eps < 1, and not 0 in single precision."""
    number = as_real(eps)
    if number is None or not 0.0 < number < 1.0 or not fits(number):
        raise ValueError(
            f"{where}: eps is the share of the range kept clear of the bounds, 0 < eps < 1; got eps={eps!r:.60}. "
            "The default is 1e-6."
        )


def largest_below_one(dtype: DTypeLike) -> Array:
    """Return the largest number below 1 of `dtype`: the most that an inverse of tanh is given."""
    return jnp.nextafter(jnp.ones((), dtype), jnp.zeros((), dtype))


def arctanh(x: Array) -> Array:
    """Return arctanh(x), ``(...)``, for ``|x| < 1``, within a few roundings in both precisions.

    ``jax.numpy.arctanh`` takes ``log1p`` of ``-x`` too, which XLA (jaxlib 0.10.2, on a CPU) has wrong by 120 roundings
    of float64 beside ``x = 0.414``; here its argument is never negative.
    """
    # Not `abs`, whose derivative at 0 is 0.
    size = jnp.where(x < 0, -x, x)
    value = jnp.log1p(2 * size / (1 - size)) / 2
    return jnp.where(x < 0, -value, value)
