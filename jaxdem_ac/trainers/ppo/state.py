"""PPO's training state, and its model applied."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import optax
from flax import nnx
from jax import Array

from jaxdem_ac._types import PyTree
from jaxdem_ac.models import recurrent
from jaxdem_ac.models.structure import Distribution
from jaxdem_ac.trainers.base import Problem, first_not_finite
from jaxdem_ac.trainers.ppo.config import PPOConfig
from jaxdem_ac.trainers.running_statistics import Normalizer

# In the order in which a bad number travels: the first of these that is not finite is the one to name.
TERMS = (
    "observation",
    "reward",
    "value",
    "advantage",
    "log_prob",
    "policy_loss",
    "value_loss",
    "entropy",
    "grad_norm",
    "parameters",
)


PPOProblem = Problem[PPOConfig]

first_bad = partial(first_not_finite, TERMS)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class PPOState:
    """The training state of a run."""

    params: PyTree
    """Parameters of the model, as `nnx.State`."""
    constants: PyTree
    """Variables of the model but for parameters and carry, as `nnx.State`."""
    opt_state: optax.OptState
    """State of the optimizer."""
    normalizer: Normalizer
    """Normalizer of observations."""
    return_normalizer: Normalizer
    """Normalizer of the value's targets, used with `normalize_return` alone."""
    env_state: PyTree
    """States of the environments, leaves ``(E, ...)``."""
    carry: PyTree
    """Carry of a recurrent model, as `nnx.State`, leaves ``(E, N, ...)``; no leaves if the model is feed-forward."""
    key: Array
    """Random key of the next update."""
    num_updates: Array
    """Updates made, ``()``."""
    bad_term: Array
    """0, or 1 + the index in ``TERMS`` of the first number that was not finite, ``()``."""


def apply_model(
    problem: Problem[Any], params: PyTree, constants: PyTree, observation: Array, carry: PyTree = None
) -> tuple[Distribution, Array]:
    """Return the policy and the value, ``(...)``, of observations as the model sees them, ``(..., O)``.

    A recurrent model answers them with its carry, leaves ``(..., *)``, which stays what it is.
    """
    carry = nnx.State({}) if carry is None else carry
    distribution, value, _ = recurrent.step(problem.graphdef, (params, constants), carry, observation)
    return distribution, value
