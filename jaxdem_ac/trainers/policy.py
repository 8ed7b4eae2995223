"""A trained policy, ready to act."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array
from jax.typing import ArrayLike

from jaxdem_ac.models.policy import sample_raw, to_action
from jaxdem_ac.trainers.normalizer import Normalizer


@jax.tree_util.register_pytree_node_class
@dataclass(frozen=True)
class Policy:
    """Observations to actions: a model with the normalizer that it was trained with."""

    graphdef: Any
    """The model's structure, from `nnx.split`; static."""
    model_state: Any
    """The model's parameters and constants."""
    normalizer: Normalizer | None
    """Of observations; None where the model sees them as they are."""
    observation_size: int
    """O; static."""
    return_normalizer: Normalizer | None = None
    """Of values; None where the model answers them as they are."""

    def tree_flatten(self) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        """Return what is traced and what is static."""
        traced = (self.model_state, self.normalizer, self.return_normalizer)
        return traced, (self.graphdef, self.observation_size)

    @classmethod
    def tree_unflatten(cls, static: tuple[Any, ...], traced: tuple[Any, ...]) -> "Policy":
        """Return the policy that :meth:`tree_flatten` took apart."""
        return cls(static[0], traced[0], traced[1], static[1], traced[2])

    @property
    def model(self) -> Any:
        """The model itself, on observations that are already normalized."""
        return nnx.merge(self.graphdef, self.model_state)

    def __call__(self, observation: ArrayLike, key: Array | None = None) -> Array:
        """Return actions.

        Parameters
        ----------
        observation : array, (..., O)
            As the environment gives it; any leading axes.
        key : Array, optional
            Random key: actions are sampled. Without it they are the policy's mode.

        Returns
        -------
        Array, (..., D), or (...) for a discrete policy

        Raises
        ------
        ValueError
            If the last axis is not O wide.
        """
        return _act(self, self._checked(observation), key)

    def value(self, observation: ArrayLike) -> Array:
        """Return the value V of observations ``(..., O)``: the discounted sum of rewards to come; ``(...)``.

        Raises
        ------
        ValueError
            If the last axis is not O wide.
        """
        return _value(self, self._checked(observation))

    def _checked(self, observation: ArrayLike) -> Array:
        observation = jnp.asarray(observation)
        if observation.ndim < 1 or observation.shape[-1] != self.observation_size:
            raise ValueError(
                f"policy: an observation has {self.observation_size} numbers on its last axis; got shape "
                f"{observation.shape}. Use the environment that the policy was trained in."
            )
        return observation


@jax.jit
def _act(policy: Policy, observation: Array, key: Array | None) -> Array:
    if policy.normalizer is not None:
        observation = policy.normalizer(observation)
    distribution, _ = policy.model(observation)
    if key is None:
        return distribution.mode()
    return to_action(distribution, sample_raw(distribution, key)[0])


@jax.jit
def _value(policy: Policy, observation: Array) -> Array:
    if policy.normalizer is not None:
        observation = policy.normalizer(observation)
    value = jnp.squeeze(policy.model(observation)[1], -1)
    return value if policy.return_normalizer is None else policy.return_normalizer.inverse(value)


def as_pytree(policy: Any) -> Any:
    """Return `policy` as compiled functions take it: a plain function has no leaves of its own."""
    leaves = jax.tree.leaves(policy)
    if len(leaves) == 1 and leaves[0] is policy:
        return jax.tree_util.Partial(policy)  # type: ignore[no-untyped-call]
    return policy
