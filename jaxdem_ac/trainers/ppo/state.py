"""PPO's static problem and its training state."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from jaxdem_ac.environments.base import Environment
from jaxdem_ac.models import recurrent
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


@dataclass(frozen=True)
class Varied:
    """A configuration with some of its numbers replaced by arrays, as a compiled program of many runs sees it."""

    config: PPOConfig
    """All others; where a term is switched on by a number, this one's says whether."""
    values: Mapping[str, Any]
    """By field."""

    def __getattr__(self, name: str) -> Any:
        """Return the value of a field."""
        return self.values[name] if name in self.values else getattr(self.config, name)


@dataclass(frozen=True)
class Learner:
    """The static part of a run; hashable, static under `jax.jit`."""

    environment: Environment
    """The task."""
    graphdef: Any
    """The model's structure, from `nnx.split`."""
    config: PPOConfig | Varied
    """Hyperparameters."""
    num_updates: int
    """Length of the run, in updates; the learning rate's schedule needs it."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class LearnerState:
    """The training state of a run."""

    params: Any
    """Of the model, as `nnx.State`."""
    constants: Any
    """Variables of the model but for parameters and carry, as `nnx.State`."""
    opt_state: Any
    """Of the optimizer."""
    normalizer: Normalizer
    """Of observations."""
    return_normalizer: Normalizer
    """Of the value's targets; it changes nothing unless it is asked for."""
    env_state: Any
    """Of the environments, leaves ``(E, ...)``."""
    carry: Any
    """Of a recurrent model, as `nnx.State`, leaves ``(E, N, ...)``; no leaves if the model is feed-forward."""
    key: Array
    """Random key of the next update."""
    num_updates: Array
    """Updates made, ``()``."""
    bad_term: Array
    """0, or 1 + the index in ``TERMS`` of the first number that was not finite, ``()``."""
    varied: dict[str, Array] = field(default_factory=dict)
    """Hyperparameters that differ between runs that are made side by side, ``()`` each."""


def apply_model(
    learner: Learner, params: Any, constants: Any, observation: Array, carry: Any = None
) -> tuple[Any, Array]:
    """Return the policy and the value, ``(...)``, of observations as the model sees them, ``(..., O)``.

    A recurrent model answers them with its carry, leaves ``(..., *)``, which stays what it is.
    """
    carry = nnx.State({}) if carry is None else carry
    distribution, value, _ = recurrent.step(learner.graphdef, (params, constants), carry, observation)
    return distribution, value


def first_bad(bad_term: Array, **terms: Array) -> Array:
    """Return `bad_term` if it is set, else 1 + the index of the first of `terms` with a number that is not finite."""
    for name in TERMS:
        if name in terms:
            bad = ~jnp.all(jnp.isfinite(terms[name]))
            bad_term = jnp.where((bad_term == 0) & bad, 1 + TERMS.index(name), bad_term)
    return bad_term
