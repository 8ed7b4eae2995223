"""Models as structure and state, and the interface that every one has."""

from collections.abc import Mapping
from typing import Protocol, TypeAlias, cast, runtime_checkable

from flax import nnx
from jax import Array

from jaxdem_ac._types import Json, PyTree


class Distribution(Protocol):
    """A policy's distribution over actions ``(..., D)``, or ``(...)`` if discrete, as distrax has it."""

    def sample_and_log_prob(self, *, seed: Array) -> tuple[Array, Array]:
        """Draw an action, and return it with its log-probability ``(...)``."""

    def log_prob(self, value: Array) -> Array:
        """Return the log-probability of an action, ``(...)``."""

    def entropy(self) -> Array:
        """Return the entropy in nats, ``(...)``; NotImplementedError if it has no closed form."""

    def mode(self) -> Array:
        """Return the action without chance."""


@runtime_checkable
class RawDistribution(Distribution, Protocol):
    """A distribution that knows the action before the bijector, called raw."""

    def sample_raw_and_log_probs(self, *, seed: Array) -> tuple[Array, Array, Array]:
        """Draw a raw action; return it, its log-probability and that of its action."""

    def raw_log_prob(self, raw_action: Array) -> Array:
        """Return the log-probability of a raw action, ``(...)``."""

    def to_action(self, raw_action: Array) -> Array:
        """Return the action of a raw one."""


class Model(Protocol):
    """An actor-critic: an `nnx.Module` that answers observations.

    A feed-forward one may lack all but the call; :mod:`jaxdem_ac.models.recurrent` says what the rest is for.
    """

    @property
    def carry(self) -> PyTree:
        """Memory of a recurrent model, leaves ``(..., *)``; None of a feed-forward one."""

    @property
    def metadata(self) -> Mapping[str, Json]:
        """The keywords that build the model again, but for the key."""

    def reset(self, shape: tuple[int, ...]) -> None:
        """Make the carry that of the beginning of an episode, for observations of that shape."""

    def __call__(self, x: Array, **how: PyTree) -> tuple[Distribution, Array]:
        """Return the policy and the values ``(..., 1)`` of observations ``(..., O)``."""


GraphDef: TypeAlias = nnx.GraphDef[Model]
"""The structure of a model, from `nnx.split`; static under `jax.jit`."""


def split_model(model: Model | nnx.Module) -> tuple[GraphDef, PyTree]:
    """Return a model's structure and state, as `nnx.split` does; the structure can be hashed, as `jax.jit` asks.

    A list that a model of somebody else's keeps among its settings is a tuple there; the model itself stays as it is.
    Raises TypeError if it keeps something else that cannot be hashed.
    """
    graphdef, state = nnx.split(cast(Model, model))
    if _can_be_hashed(graphdef):
        return graphdef, state
    copy = nnx.merge(graphdef, state)
    for _, node in nnx.iter_graph(copy):
        if isinstance(node, nnx.Module):
            for name, value in list(vars(node).items()):
                if isinstance(value, list):
                    setattr(node, name, _as_tuple(value))
    graphdef, state = nnx.split(copy)
    if not _can_be_hashed(graphdef):
        raise TypeError(
            f"{type(model).__name__}: what a model keeps besides arrays can be hashed; got settings that cannot. "
            "Keep tuples and not dicts, say."
        )
    return graphdef, state


def _can_be_hashed(thing: object) -> bool:
    try:
        hash(thing)
    except TypeError:
        return False
    return True


def _as_tuple(value: object) -> object:
    return tuple(map(_as_tuple, value)) if isinstance(value, list) else value
