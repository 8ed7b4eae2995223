"""Free: actions without bounds."""

import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxdem_ac.action_spaces.base import ActionBounds, ActionSpace


class Free(ActionSpace):
    r"""The identity, ``y = x``: an action space without bounds.

    A scalar bijector: the model lifts it to the action vector.
    """

    def __init__(self) -> None:
        super().__init__(event_ndims_in=0, is_constant_jacobian=True, is_constant_log_det=True)

    def bounds(self, size: int) -> ActionBounds:
        """Return the bounds of an action of `size` components."""
        return ActionBounds.of(-np.inf, np.inf, size)

    def forward_and_log_det(self, x: Array) -> tuple[Array, Array]:
        """Return ``x`` and 0; ``(...)`` each."""
        return x, jnp.zeros_like(x)

    def inverse_and_log_det(self, y: Array) -> tuple[Array, Array]:
        """Return ``y`` and 0; ``(...)`` each."""
        return y, jnp.zeros_like(y)

    def log_det_expectation(self, mean: Array, std: Array) -> Array:
        """Return 0, the expectation of a log-determinant that is 0 everywhere; ``(..., D)`` to ``(...)``."""
        shape = jnp.broadcast_shapes(jnp.shape(mean), jnp.shape(std))
        return jnp.zeros(shape[:-1], jnp.result_type(mean, std))
