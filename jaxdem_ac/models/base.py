"""The bases of our models: the host's interface, and the options, heads and checks of actor-critics."""

import inspect
import math
from collections.abc import Callable
from typing import Required, TypedDict, TypeVar

import distrax
from flax import nnx
from jax import Array
from jax.typing import ArrayLike

from jaxdem_ac import registry
from jaxdem_ac._checks import check_flag
from jaxdem_ac._types import Json
from jaxdem_ac.action_spaces.distributions import Categorical, as_vector_bijector, distribution_of, num_outputs
from jaxdem_ac.action_spaces.free import Free
from jaxdem_ac.action_spaces.testing import check_map
from jaxdem_ac.models.checks import check_compute_dtype, check_observation, check_scale, check_size, check_std
from jaxdem_ac.models.heads import Activation, Dense, LearnedStd, StdHead, activation_name, resolve_activation

InitT = TypeVar("InitT", bound=Callable[..., None])


class FeedForwardBase(nnx.Module):
    """The host's interface of a model without a memory: sizes, action space, name, and what a file keeps of them."""

    def __init__(self, observation_space_size: int, action_space_size: int) -> None:
        where = type(self).__name__
        self.observation_space_size = check_size(where, "observation_space_size", observation_space_size)
        self.action_space_size = check_size(where, "action_space_size", action_space_size)

    def _set_action_space(self, action_space: distrax.Bijector | str | None, discrete: bool = False) -> None:
        """Keep the bijector that constrains the actions; none if they are discrete."""
        if isinstance(action_space, str):
            action_space = registry.action_spaces.create(action_space)
        if action_space is not None and not discrete:
            check_map(type(self).__name__, action_space, self.action_space_size)
        self._action_space: distrax.Bijector | None = nnx.data(None if discrete else action_space or Free())

    @property
    def action_space(self) -> distrax.Bijector | None:
        """The bijector that constrains the actions, as it was given; None for discrete actions."""
        return self._action_space

    @property
    def bij(self) -> distrax.Bijector | None:
        """The same, as a map of action vectors, under the host's name; None for discrete actions."""
        return None if self._action_space is None else as_vector_bijector(self._action_space)

    @property
    def carry(self) -> None:
        """The recurrent state: None, for the model is feed-forward."""
        return None

    def reset(self, shape: tuple[int, ...], mask: Array | None = None) -> None:
        """Do nothing: there is no recurrent state to reset."""

    @property
    def type_name(self) -> str:
        """The name under which this class is found, in JaxDEM's registry if it stands there and in ours."""
        # Its own stamp, not one that it inherits: a subclass that nobody has registered is another model.
        cls = type(self)
        return vars(cls).get("__registry_name__") or f"ac.{registry.models.name_of(cls) or cls.__name__}"

    @property
    def metadata(self) -> dict[str, Json]:
        """The keywords that build this model again, but for the key, as JSON types.

        Raises TypeError if the activation or the action space is not one that a file can name.
        """
        kept: dict[str, Json] = {
            "observation_space_size": self.observation_space_size,
            "action_space_size": self.action_space_size,
        }
        if self._action_space is not None:
            kept["action_space_type"] = _action_space_name(self._action_space)
            kept["action_space_kws"] = dict(self._action_space.metadata)
        return kept


class ActorCriticOptions(TypedDict, total=False):
    """The keywords that actor-critics have in common, which a constructor passes on to :class:`ActorCriticBase`."""

    observation_space_size: Required[int]
    action_space_size: Required[int]
    in_scale: float
    actor_scale: float
    critic_scale: float
    actor_sigma_head: bool
    activation: str | Activation
    discrete: bool
    compute_dtype: str | None
    initial_std: float | None


class ActorCriticBase(FeedForwardBase):
    """The options, heads and checks that actor-critics have in common; ValueError if a size or a scale is out of range.

    Parameters
    ----------
    observation_space_size, action_space_size : int
        O and D; D is the number of actions if `discrete`.
    in_scale, actor_scale, critic_scale : float
        Scales of the orthogonal kernels of the hidden layers, the mean head, and the value and sigma heads.
    actor_sigma_head : bool
        Whether the standard deviation is a head on the actor's features, softplus(linear) with a bias of -1, or a
        learned ``exp(log_std)`` that is the same everywhere and starts at 1.
    activation : callable or str
        Between layers.
    discrete : bool
        Whether actions are D choices and not D numbers.
    compute_dtype : str, optional
        In which the layers multiply, ``"bfloat16"``, say; parameters, policy and value keep their own type.
    initial_std : float, optional
        Where the standard deviation starts, before the action space; 1 if left out, and with a sigma head 0.31.
    """

    def __init__(
        self,
        *,
        observation_space_size: int,
        action_space_size: int,
        in_scale: float = math.sqrt(2),
        actor_scale: float = 1.0,
        critic_scale: float = 0.01,
        actor_sigma_head: bool = False,
        activation: str | Activation = nnx.gelu,
        discrete: bool = False,
        compute_dtype: str | None = None,
        initial_std: float | None = None,
    ) -> None:
        super().__init__(observation_space_size, action_space_size)
        where = type(self).__name__
        self.compute_dtype = check_compute_dtype(where, compute_dtype)
        self.in_scale = check_scale(where, "in_scale", in_scale, self.compute_dtype)
        self.actor_scale = check_scale(where, "actor_scale", actor_scale, self.compute_dtype)
        self.critic_scale = check_scale(where, "critic_scale", critic_scale, self.compute_dtype)
        self.actor_sigma_head = check_flag(where, "actor_sigma_head", actor_sigma_head)
        self.activation = resolve_activation(activation)
        self.discrete = check_flag(where, "discrete", discrete)
        self.initial_std = None if initial_std is None else check_std(where, "initial_std", initial_std)

    def _add_actor_heads(self, in_features: int, key: nnx.Rngs, action_space: distrax.Bijector | str | None) -> None:
        """Add mean (or logits), standard deviation and action space, in the order in which the host draws them."""
        size = self.action_space_size
        self._set_action_space(action_space, self.discrete)
        outputs = size if self._action_space is None else num_outputs(self._action_space, size)
        self.actor_mu = Dense(in_features, outputs, self.actor_scale, key, compute_dtype=self.compute_dtype)
        self._add_std(in_features, size, key)

    def _add_std(self, in_features: int, size: int, key: nnx.Rngs) -> None:
        """Add a standard deviation of `size` numbers."""
        self.actor_sigma: StdHead | LearnedStd = LearnedStd(size, self.initial_std)
        if self.actor_sigma_head:
            self.actor_sigma = StdHead(in_features, size, self.critic_scale, key, self.compute_dtype, self.initial_std)
        self._log_std = self.actor_sigma.log_std

    @property
    def metadata(self) -> dict[str, Json]:
        """The keywords that build this model again, but for the key, as JSON types."""
        options = {name: getattr(self, name) for name in ActorCriticOptions.__annotations__ if name != "activation"}
        return {**options, "activation": activation_name(self.activation), **super().metadata}

    def _checked(self, observation: ArrayLike, sequence: bool = False) -> Array:
        """Return observations as an array ``(..., O)``, or raise TypeError or ValueError."""
        check_flag(type(self).__name__, "sequence", sequence)
        return check_observation(type(self).__name__, observation, self.observation_space_size)

    def _answer(self, features: Array, value: Array, leading: tuple[int, ...]) -> tuple[distrax.Distribution, Array]:
        """Return policy and value in the shape of the observations, of an actor's features and values in rows."""
        value = value.reshape(*leading, 1)
        outputs = self.actor_mu(features).reshape(*leading, self.actor_mu.out_features)
        if self.discrete:
            return Categorical(logits=outputs), value
        std, size = self.actor_sigma(features), self.action_space_size
        # One std for all stays one.
        std = std if std.ndim == 1 else std.reshape(*leading, size)
        return distribution_of(self._action_space, outputs, std, size), value


def takes_options(init: InitT) -> InitT:
    """Let the signature of a constructor name each option in place of ``**options``: registries read it there."""
    own, common = (inspect.signature(each) for each in (init, ActorCriticBase.__init__))
    merged = {**own.parameters, **common.parameters}.values()
    parameters = [parameter for parameter in merged if parameter.kind is not parameter.VAR_KEYWORD]
    init.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
    return init


def _action_space_name(action_space: distrax.Bijector) -> str:
    """Return the name under which a file keeps `action_space`: the host's for its own, ``ac.<name>`` for ours."""
    cls = type(action_space)
    host_name = vars(cls).get("__registry_name__")
    if host_name and hasattr(action_space, "metadata"):
        return str(host_name)
    name = registry.action_spaces.name_of(cls)
    if name is None or not hasattr(action_space, "metadata"):
        raise TypeError(
            f"metadata: only a registered action space can be kept in a file; got {cls.__name__}. Register it with "
            "jaxdem_ac.registry.action_spaces.register(name) and give it a `metadata` property."
        )
    return f"ac.{name}"


def as_rows(x: Array) -> Array:
    """Return observations ``(..., O)`` as a matrix.

    On a CPU the gradient of a product is half as slow again with several leading axes: it contracts over all of them.
    """
    return x.reshape(-1, x.shape[-1])
