"""Discrete: one of a few forces, or none."""

import math
from typing import ClassVar, NoReturn

import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxdem_ac._checks import check_count, check_flag
from jaxdem_ac.action_spaces.base import ActionBounds, ActionSpace, check_positive
from jaxdem_ac.action_spaces.distributions import Choice


class Discrete(ActionSpace):
    r"""Actions of one size in n directions, and rest.

    In the plane action k is ``max_norm (cos(2 pi k / n), sin(2 pi k / n))``; on a line, n = 2, and in space, n = 6, the
    directions are those of the axes, the positive one of each first. With `rest` the last action is 0. The policy is a
    categorical over the actions, whose logits are what the network says: log-probability, entropy, mode and divergence
    are exact. It is no map of numbers: `forward_and_log_det` and the inverse raise. Raises ValueError if `n` is
    below 2, or `max_norm` is not a finite number above 0.
    """

    is_discrete: ClassVar[bool] = True

    def __init__(self, n: int = 8, max_norm: float = 1.0, rest: bool = True) -> None:
        super().__init__(event_ndims_in=1)
        self.n = check_count("Discrete", "n", n, least=2)
        check_positive("Discrete", max_norm=max_norm)
        self.max_norm = float(max_norm)
        self.rest = check_flag("Discrete", "rest", rest)

    def num_outputs(self, size: int) -> int:
        """Return how many numbers a network says for an action of `size` components: one logit for each action."""
        return self.n + self.rest

    def actions(self, size: int) -> np.ndarray:
        """Return the actions of `size` components, ``(K, D)``; ValueError if those have no n directions."""
        if size == 2:
            angle = 2 * math.pi * np.arange(self.n) / self.n
            directions = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
        elif self.n == 2 * size:
            directions = np.concatenate([np.eye(size), -np.eye(size)])
        else:
            raise ValueError(
                f"Discrete: an action of {size} numbers has the {2 * size} directions of its axes; got n={self.n}. Set "
                f"n={2 * size}."
            )
        found = self.max_norm * np.concatenate([directions, np.zeros((int(self.rest), size))])
        # Of pi the cosine is not exactly 0 anywhere.
        return np.where(np.abs(found) < 1e-12 * self.max_norm, 0.0, found)

    def bounds(self, size: int) -> ActionBounds:
        """Return the actions of `size` components, and the bounds around them."""
        around = ActionBounds.of(-self.max_norm, self.max_norm, size, self.max_norm)
        return ActionBounds(around.low, around.high, around.max_norm, self.actions(size).astype(np.float32))

    def distribution(self, outputs: Array, size: int) -> Choice:
        """Return the policy of a network's outputs ``(..., K)``: over actions ``(..., D)``."""
        return Choice(outputs, jnp.asarray(self.actions(size), outputs.dtype))

    def forward_and_log_det(self, x: Array) -> NoReturn:
        """Raise NotImplementedError: there is no map."""
        raise NotImplementedError(
            "Discrete: it is a choice, and no map of numbers for a model to put behind a Gaussian. Use a model of this "
            "package, SharedActorCritic say, or the action space MaxNorm."
        )

    inverse_and_log_det = forward_and_log_det
