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

    def tree_flatten(self) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        """Return what is traced and what is static."""
        return (self.model_state, self.normalizer), (self.graphdef, self.observation_size)

    @classmethod
    def tree_unflatten(cls, static: tuple[Any, ...], traced: tuple[Any, ...]) -> "Policy":
        """Return the policy that :meth:`tree_flatten` took apart."""
        return cls(static[0], traced[0], traced[1], static[1])

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
        observation = jnp.asarray(observation)
        if observation.ndim < 1 or observation.shape[-1] != self.observation_size:
            raise ValueError(
                f"policy: an observation has {self.observation_size} numbers on its last axis; got shape "
                f"{observation.shape}. Use the environment that the policy was trained in."
            )
        return _act(self, observation, key)


@jax.jit
def _act(policy: Policy, observation: Array, key: Array | None) -> Array:
    if policy.normalizer is not None:
        observation = policy.normalizer(observation)
    distribution, _ = policy.model(observation)
    if key is None:
        return distribution.mode()
    return to_action(distribution, sample_raw(distribution, key)[0])


def as_pytree(policy: Any) -> Any:
    """Return `policy` as compiled functions take it: a plain function has no leaves of its own."""
    leaves = jax.tree.leaves(policy)
    if len(leaves) == 1 and leaves[0] is policy:
        return jax.tree_util.Partial(policy)  # type: ignore[no-untyped-call]
    return policy
