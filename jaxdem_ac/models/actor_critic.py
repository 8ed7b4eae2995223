"""The two actor-critics: one torso with two heads, and two networks.

Names of attributes and the order in which parameters are drawn are those of JaxDEM's models of the same name
(``jaxdem/rl/models/mlp.py`` at 5d9c13a): equal keys give equal parameters, and its parameters load here by name.
"""

import math
from collections.abc import Sequence
from typing import Any

import distrax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array
from jax.typing import ArrayLike

from jaxdem_ac import registry
from jaxdem_ac.action_spaces.free import Free
from jaxdem_ac.action_spaces.squashed import Categorical, Squashed, lift
from jaxdem_ac.models.heads import (
    COMPUTE_DTYPES,
    Activation,
    Dense,
    LearnedStd,
    StdHead,
    activation_name,
    hidden_layers,
    resolve_activation,
)

DEFAULT_ARCHITECTURE = (42, 42, 42)


class _ActorCriticBase(nnx.Module):
    """Checks, heads, metadata and the host's interface, which both variants share."""

    def __init__(
        self,
        *,
        observation_space_size: int,
        action_space_size: int,
        in_scale: float,
        actor_scale: float,
        critic_scale: float,
        actor_sigma_head: bool,
        activation: str | Activation,
        discrete: bool,
        compute_dtype: str | None,
    ) -> None:
        where = type(self).__name__
        self.observation_space_size = _check_size(where, "observation_space_size", observation_space_size)
        self.action_space_size = _check_size(where, "action_space_size", action_space_size)
        self.in_scale = _check_scale(where, "in_scale", in_scale)
        self.actor_scale = _check_scale(where, "actor_scale", actor_scale)
        self.critic_scale = _check_scale(where, "critic_scale", critic_scale)
        self.actor_sigma_head = _check_flag(where, "actor_sigma_head", actor_sigma_head)
        self.activation = resolve_activation(activation)
        self.discrete = _check_flag(where, "discrete", discrete)
        if compute_dtype is not None and compute_dtype not in COMPUTE_DTYPES:
            raise ValueError(
                f"{where}: compute_dtype is the name of a type; got compute_dtype={compute_dtype!r}. "
                f"{registry.suggest(str(compute_dtype), COMPUTE_DTYPES)}"
            )
        self.compute_dtype = compute_dtype

    def _add_actor_heads(self, in_features: int, key: nnx.Rngs, action_space: distrax.Bijector | str | None) -> None:
        """Add mean (or logits), standard deviation and action space, in the order in which the host draws them."""
        size = self.action_space_size
        self.actor_mu = Dense(in_features, size, self.actor_scale, key, compute_dtype=self.compute_dtype)
        if self.actor_sigma_head:
            self.actor_sigma: nnx.Module = StdHead(in_features, size, self.critic_scale, key, self.compute_dtype)
        else:
            self.actor_sigma = LearnedStd(size)
        self._log_std = self.actor_sigma.log_std
        if isinstance(action_space, str):
            action_space = registry.action_spaces.create(action_space)
        if action_space is not None:
            _check_action_space(type(self).__name__, action_space, size, self.discrete)
        self._action_space: Any = nnx.data(None if self.discrete else action_space or Free())

    @property
    def action_space(self) -> Any:
        """The bijector that constrains the actions, as it was given; None for discrete actions."""
        return self._action_space

    @property
    def bij(self) -> Any:
        """The same, as a map of action vectors, under the host's name; None for discrete actions."""
        return None if self._action_space is None else lift(self._action_space)

    @property
    def carry(self) -> None:
        """The recurrent state: None, for both models are feed-forward."""
        return None

    def reset(self, shape: tuple[int, ...], mask: Array | None = None) -> None:
        """Do nothing: there is no recurrent state to reset."""

    @property
    def type_name(self) -> str:
        """The name under which this class is found, in JaxDEM's registry if it stands there and in ours."""
        # Its own stamp, not one that it inherits: a subclass that nobody has registered is another model.
        return type(self).__dict__.get("__registry_name__") or f"ac.{registered_name(type(self))}"

    @property
    def metadata(self) -> dict[str, Any]:
        """The keywords that build this model again, but for the key, as JSON types.

        Raises
        ------
        TypeError
            If the activation or the action space is not one that a file can name.
        """
        kept = {
            "observation_space_size": self.observation_space_size,
            "action_space_size": self.action_space_size,
            "in_scale": self.in_scale,
            "actor_scale": self.actor_scale,
            "critic_scale": self.critic_scale,
            "actor_sigma_head": self.actor_sigma_head,
            "activation": activation_name(self.activation),
            "discrete": self.discrete,
            "compute_dtype": self.compute_dtype,
        }
        if self._action_space is not None:
            kept["action_space_type"] = action_space_name(self._action_space)
            kept["action_space_kws"] = dict(self._action_space.metadata)
        return kept

    def _checked(self, observation: ArrayLike) -> Array:
        """Return observations as an array ``(..., O)``, or raise ValueError."""
        x = jnp.asarray(observation)
        if x.ndim < 1:
            raise ValueError(
                f"{type(self).__name__}: an observation has {self.observation_space_size} numbers on its last axis; "
                "got a scalar. Pass a vector, or a batch of them."
            )
        if x.shape[-1] != self.observation_space_size:
            got = x.shape[-1]
            raise ValueError(
                f"{type(self).__name__}: an observation has {self.observation_space_size} numbers on its last axis; "
                f"got {got}, in shape {x.shape}. Build the model with observation_space_size={got} or pass what it "
                "was built for."
            )
        return x

    def _answer(self, features: Array, value: Array, leading: tuple[int, ...]) -> tuple[distrax.Distribution, Array]:
        """Return policy and value in the shape of the observations, of an actor's features and values in rows."""
        value = value.reshape(*leading, 1)
        mean = self.actor_mu(features).reshape(*leading, -1)
        if self.discrete:
            return Categorical(logits=mean), value
        std = self.actor_sigma(features)
        # One std for all stays one.
        std = std if std.ndim == 1 else std.reshape(mean.shape)
        return Squashed(mean, std, self._action_space), value


class SharedActorCritic(_ActorCriticBase):
    r"""An actor-critic with one torso and two linear heads.

    ``features = network(x)``, ``mean = actor_mu(features)``, ``value = critic(features)``;
    the policy is the action space's image of N(mean, diag(std**2)), or a categorical with logits ``mean``.

    Parameters
    ----------
    observation_space_size, action_space_size : int
        O and D; D is the number of actions if `discrete`.
    key : nnx.Rngs
        For the initial parameters: hidden layers first, then mean, standard deviation, value.
    architecture : sequence of int
        Widths of the hidden layers; empty for two linear maps of the observation.
    in_scale, actor_scale, critic_scale : float
        Scales of the orthogonal kernels of the hidden layers, the mean head, and the value and sigma heads.
    actor_sigma_head : bool
        Whether the standard deviation is a head on the features, softplus(linear) with a bias of -1, or a learned
        ``exp(log_std)`` that is the same everywhere and starts at 1.
    activation : callable or str
        Between layers.
    action_space : distrax.Bijector or str, optional
        Free if left out. Ignored by a discrete policy, which takes none.
    discrete : bool
        Whether actions are D choices and not D numbers.
    compute_dtype : str, optional
        In which the layers multiply, ``"bfloat16"``, say; parameters, policy and value keep their own type.

    Raises
    ------
    ValueError
        If a size or width is below 1, a scale is not finite, or bounds have another length than the action.
    """

    def __init__(
        self,
        *,
        observation_space_size: int,
        action_space_size: int,
        key: nnx.Rngs,
        architecture: Sequence[int] | None = None,
        in_scale: float = math.sqrt(2),
        actor_scale: float = 1.0,
        critic_scale: float = 0.01,
        actor_sigma_head: bool = False,
        activation: str | Activation = nnx.gelu,
        action_space: distrax.Bijector | str | None = None,
        discrete: bool = False,
        compute_dtype: str | None = None,
    ) -> None:
        super().__init__(
            observation_space_size=observation_space_size,
            action_space_size=action_space_size,
            in_scale=in_scale,
            actor_scale=actor_scale,
            critic_scale=critic_scale,
            actor_sigma_head=actor_sigma_head,
            activation=activation,
            discrete=discrete,
            compute_dtype=compute_dtype,
        )
        self.architecture = _check_architecture(type(self).__name__, "architecture", architecture)
        layers, width = hidden_layers(
            self.observation_space_size, self.architecture, self.in_scale, self.activation, key, compute_dtype
        )
        self.network = nnx.Sequential(*layers)
        self._add_actor_heads(width, key, action_space)
        self.critic = Dense(width, 1, self.critic_scale, key, compute_dtype=compute_dtype)

    def __call__(self, x: Array, sequence: bool = False, **ignored: Any) -> tuple[distrax.Distribution, Array]:
        """Return the policy and the value of observations.

        Parameters
        ----------
        x : Array, (..., O)
            Observations; any leading axes.
        sequence : bool
            Whether the first axis is time. A feed-forward model need not know, nor see what else the host passes.

        Returns
        -------
        distribution : distrax.Distribution
            Over actions ``(..., D)``, or ``(...)`` if discrete.
        value : Array, (..., 1)

        Raises
        ------
        ValueError
            If the last axis is not O wide.
        """
        x = self._checked(x)
        rows = _as_rows(x)
        features = self.network(rows) if self.architecture else rows
        return self._answer(features, self.critic(features), x.shape[:-1])

    @property
    def metadata(self) -> dict[str, Any]:
        """The keywords that build this model again, but for the key, as JSON types."""
        return {**super().metadata, "architecture": list(self.architecture)}


class ActorCritic(_ActorCriticBase):
    r"""An actor-critic of two networks.

    ``features = actor_torso(x)``, ``mean = actor_mu(features)``, ``value = critic(x)``;
    the policy is the action space's image of N(mean, diag(std**2)), or a categorical with logits ``mean``.

    Parameters
    ----------
    observation_space_size, action_space_size : int
        O and D; D is the number of actions if `discrete`.
    key : nnx.Rngs
        For the initial parameters: actor layers first, then critic layers and value, mean, standard deviation.
    actor_architecture, critic_architecture : sequence of int
        Widths of the hidden layers of each network; either may be empty, and they may differ.
    in_scale, actor_scale, critic_scale, actor_sigma_head, activation, action_space, discrete, compute_dtype
        As in :class:`SharedActorCritic`; the sigma head sits on the actor's features.

    Raises
    ------
    ValueError
        If a size or width is below 1, a scale is not finite, or bounds have another length than the action.
    """

    def __init__(
        self,
        *,
        observation_space_size: int,
        action_space_size: int,
        key: nnx.Rngs,
        actor_architecture: Sequence[int] | None = None,
        critic_architecture: Sequence[int] | None = None,
        in_scale: float = math.sqrt(2),
        actor_scale: float = 1.0,
        critic_scale: float = 0.01,
        actor_sigma_head: bool = False,
        activation: str | Activation = nnx.gelu,
        action_space: distrax.Bijector | str | None = None,
        discrete: bool = False,
        compute_dtype: str | None = None,
    ) -> None:
        super().__init__(
            observation_space_size=observation_space_size,
            action_space_size=action_space_size,
            in_scale=in_scale,
            actor_scale=actor_scale,
            critic_scale=critic_scale,
            actor_sigma_head=actor_sigma_head,
            activation=activation,
            discrete=discrete,
            compute_dtype=compute_dtype,
        )
        where = type(self).__name__
        self.actor_architecture = _check_architecture(where, "actor_architecture", actor_architecture)
        self.critic_architecture = _check_architecture(where, "critic_architecture", critic_architecture)
        size, scale = self.observation_space_size, self.in_scale
        layers, width = hidden_layers(size, self.actor_architecture, scale, self.activation, key, compute_dtype)
        self.actor_torso = nnx.Sequential(*layers)
        critic_layers, critic_width = hidden_layers(
            size, self.critic_architecture, scale, self.activation, key, compute_dtype
        )
        value_head = Dense(critic_width, 1, self.critic_scale, key, compute_dtype=compute_dtype)
        self.critic = nnx.Sequential(*critic_layers, value_head)
        self._add_actor_heads(width, key, action_space)

    def __call__(self, x: Array, sequence: bool = False, **ignored: Any) -> tuple[distrax.Distribution, Array]:
        """Return the policy and the value of observations; as :meth:`SharedActorCritic.__call__`."""
        x = self._checked(x)
        rows = _as_rows(x)
        features = self.actor_torso(rows) if self.actor_architecture else rows
        return self._answer(features, self.critic(rows), x.shape[:-1])

    @property
    def metadata(self) -> dict[str, Any]:
        """The keywords that build this model again, but for the key, as JSON types."""
        return {
            **super().metadata,
            "actor_architecture": list(self.actor_architecture),
            "critic_architecture": list(self.critic_architecture),
        }


def registered_name(cls: type[Any]) -> str:
    """Return the name of a model class in our registry, or the class's own name if it has none."""
    return registry.models.name_of(cls) or cls.__name__


def action_space_name(action_space: Any) -> str:
    """Return the name under which a file keeps `action_space`: the host's for its own, ``ac.<name>`` for ours."""
    cls = type(action_space)
    host_name = cls.__dict__.get("__registry_name__")
    if host_name and hasattr(action_space, "metadata"):
        return host_name
    name = registry.action_spaces.name_of(cls)
    if name is None or not hasattr(action_space, "metadata"):
        raise TypeError(
            f"metadata: only a registered action space can be kept in a file; got {cls.__name__}. Register it with "
            "jaxdem_ac.registry.action_spaces.register(name) and give it a `metadata` property."
        )
    return f"ac.{name}"


def _as_rows(x: Array) -> Array:
    """Return observations ``(..., O)`` as a matrix.

    On a CPU the gradient of a product is half as slow again with several leading axes: it contracts over all of them.
    """
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1])


def _check_size(where: str, name: str, size: Any) -> int:
    if isinstance(size, bool) or not isinstance(size, int | np.integer):
        raise TypeError(f"{where}: {name} is a whole number; got {name}={size!r}. Pass an int.")
    if size < 1:
        raise ValueError(f"{where}: {name} is at least 1; got {name}={size}. Pass the size of one particle's vector.")
    return int(size)


def _check_flag(where: str, name: str, flag: Any) -> bool:
    if not isinstance(flag, bool | np.bool_):
        raise TypeError(f"{where}: {name} is true or false; got {name}={flag!r}. Pass a bool.")
    return bool(flag)


def _check_scale(where: str, name: str, scale: Any) -> float:
    if not isinstance(scale, int | float | np.number) or not np.isfinite(scale):
        raise ValueError(
            f"{where}: {name} is a finite number; got {name}={scale!r}. The defaults are sqrt(2), 1 and 0.01."
        )
    return float(scale)


def _check_architecture(where: str, name: str, architecture: Sequence[int] | None) -> tuple[int, ...]:
    if architecture is None:
        return DEFAULT_ARCHITECTURE
    if isinstance(architecture, str) or not np.iterable(architecture):
        raise TypeError(
            f"{where}: {name} is a sequence of layer widths; got {name}={architecture!r}. Pass (42, 42), say."
        )
    return tuple(_check_size(where, f"every width of {name}", width) for width in architecture)


def _check_action_space(where: str, action_space: Any, action_size: int, discrete: bool) -> None:
    """Raise unless `action_space` is a bijector of actions of that size."""
    if not isinstance(action_space, distrax.Bijector):
        raise TypeError(
            f"{where}: action_space is a distrax bijector or the name of one; got {type(action_space).__name__}. "
            "Make one with make_action_space(name, ...)."
        )
    if action_space.event_ndims_in > 1:
        raise ValueError(
            f"{where}: an action space maps numbers or vectors; got one of {action_space.event_ndims_in} dimensions. "
            "Flatten the action."
        )
    size = getattr(action_space, "event_size", None)
    if not discrete and size is not None and size != action_size:
        raise ValueError(
            f"{where}: bounds have one number for each component of the action; got {size} for "
            f"action_space_size={action_size}. Give {action_size}, or one for all."
        )
