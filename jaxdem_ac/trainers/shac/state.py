"""The training state of the short-horizon actor-critic, and its model applied."""

from dataclasses import dataclass
from functools import partial

import jax
import optax
from jax import Array

from jaxdem_ac._types import PyTree
from jaxdem_ac.trainers.base import Problem, first_not_finite
from jaxdem_ac.trainers.ppo.state import apply_model as apply_model
from jaxdem_ac.trainers.running_statistics import Normalizer
from jaxdem_ac.trainers.shac.config import SHACConfig

TERMS = ("observation", "reward", "value", "slope", "policy_loss", "value_loss", "parameters")
"""Terms in the order in which a bad number travels: the first that is not finite is the one to name."""

SHACProblem = Problem[SHACConfig]

first_bad = partial(first_not_finite, TERMS)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class SHACState:
    """The training state of a run."""

    params: PyTree
    """Parameters of the model, policy and critic, as `nnx.State`."""
    target_params: PyTree
    """Parameters that answer values: they follow `params`, as `nnx.State`."""
    constants: PyTree
    """Variables of the model but for parameters, as `nnx.State`."""
    opt_state: optax.OptState
    """State of the optimizer."""
    return_normalizer: Normalizer
    """Normalizer of the critic's targets, used where it is asked for alone."""
    env_state: PyTree
    """States of the environments, leaves ``(E, ...)``."""
    carry: PyTree
    """Without leaves: the model is feed-forward."""
    key: Array
    """Random key of the next update."""
    num_updates: Array
    """Updates made, ``()``."""
    bad_term: Array
    """0, or 1 + the index in ``TERMS`` of the first number that was not finite, ``()``."""
    log_slope: Array | None = None
    """Mean of the logarithm of the windows' root mean square slopes, ``()``; None unless `slopes` is ``"running"``."""
