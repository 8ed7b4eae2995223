"""The two actor-critics: one torso with two heads, and two networks.

Names of attributes and the order in which parameters are drawn are those of JaxDEM's models of the same name
(``jaxdem/rl/models/mlp.py`` at 5d9c13a): equal keys give equal parameters, and its parameters load here by name.
"""

from collections.abc import Sequence
from functools import partial
from typing import Unpack

import distrax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from jaxdem_ac._checks import check_flag
from jaxdem_ac._types import Json
from jaxdem_ac.models.base import ActorCriticBase, ActorCriticOptions, as_rows, takes_options
from jaxdem_ac.models.checks import check_architecture
from jaxdem_ac.models.heads import Dense, hidden_layers


class SharedActorCritic(ActorCriticBase):
    r"""An actor-critic with one torso and two linear heads.

    ``features = network(x)``, ``mean = actor_mu(features)``, ``value = critic(features)``; the policy is the action
    space's image of N(mean, diag(std**2)), or a categorical with logits ``mean``. Raises ValueError if a size or width
    is below 1, a scale is not finite, or bounds have another length than the action.

    Parameters
    ----------
    key : nnx.Rngs
        For the initial parameters: hidden layers first, then mean, standard deviation, value.
    architecture : sequence of int
        Widths of the hidden layers; empty for two linear maps of the observation.
    action_space : distrax.Bijector or str, optional
        Free if left out. Ignored by a discrete policy, which takes none.
    **options
        Sizes, scales, heads and types: see :class:`~jaxdem_ac.models.base.ActorCriticBase`.
    """

    @takes_options
    def __init__(
        self,
        *,
        key: nnx.Rngs,
        architecture: Sequence[int] | None = None,
        action_space: distrax.Bijector | str | None = None,
        **options: Unpack[ActorCriticOptions],
    ) -> None:
        super().__init__(**options)
        self.architecture = check_architecture(type(self).__name__, "architecture", architecture)
        size, scale = self.observation_space_size, self.in_scale
        layers, width = hidden_layers(size, self.architecture, scale, self.activation, key, self.compute_dtype)
        self.network = nnx.Sequential(*layers)
        self._add_actor_heads(width, key, action_space)
        self.critic = Dense(width, 1, self.critic_scale, key, compute_dtype=self.compute_dtype)

    def __call__(self, x: Array, sequence: bool = False, **ignored: object) -> tuple[distrax.Distribution, Array]:
        """Return the policy over actions ``(..., D)``, or ``(...)`` if discrete, and the value ``(..., 1)``.

        Observations are ``(..., O)``, with any leading axes; ValueError if the last is not O wide. Whether the first
        axis is time, `sequence`, a feed-forward model need not know, nor see what else the host passes.
        """
        x = self._checked(x, sequence)
        rows = as_rows(x)
        features = self.network(rows) if self.architecture else rows
        return self._answer(features, self.critic(features), x.shape[:-1])

    @property
    def metadata(self) -> dict[str, Json]:
        """The keywords that build this model again, but for the key, as JSON types."""
        return {**super().metadata, "architecture": list(self.architecture)}


class ActorCritic(ActorCriticBase):
    r"""An actor-critic of two networks.

    ``features = actor_torso(x)``, ``mean = actor_mu(features)``, ``value = critic(x)``; policy and errors are those of
    :class:`SharedActorCritic`.

    With a centralised critic the value of particle n sees all N of them, through a pool in which their order does not
    count: ``value_n = critic([x_n, mean_j pool(x_j)])``. The actor sees its own observation alone, and needs nobody
    else's when it acts.

    Parameters
    ----------
    key : nnx.Rngs
        For the initial parameters: actor layers first, then critic layers and value, mean, standard deviation.
    actor_architecture, critic_architecture : sequence of int
        Widths of the hidden layers of each network; either may be empty, and they may differ.
    centralised_critic : bool
        Whether the value sees all particles; then observations are ``(..., N, O)``.
    pool_architecture : sequence of int
        Widths of the layers of ``pool``, at least one; for a centralised critic.
    action_space, **options
        As in :class:`SharedActorCritic`.

    Notes
    -----
    Zaheer et al., "Deep Sets", 2017, theorem 2, with a mean for the sum, so that a critic carries over to a swarm of
    another size; Yu et al., "The Surprising Effectiveness of PPO in Cooperative Multi-Agent Games", 2022, for the
    centralised value.
    """

    @takes_options
    def __init__(
        self,
        *,
        key: nnx.Rngs,
        actor_architecture: Sequence[int] | None = None,
        critic_architecture: Sequence[int] | None = None,
        centralised_critic: bool = False,
        pool_architecture: Sequence[int] = (42,),
        action_space: distrax.Bijector | str | None = None,
        **options: Unpack[ActorCriticOptions],
    ) -> None:
        super().__init__(**options)
        where = type(self).__name__
        self.actor_architecture = check_architecture(where, "actor_architecture", actor_architecture)
        self.critic_architecture = check_architecture(where, "critic_architecture", critic_architecture)
        self.centralised_critic = check_flag(where, "centralised_critic", centralised_critic)
        self.pool_architecture = check_architecture(where, "pool_architecture", pool_architecture)
        if not self.pool_architecture:
            raise ValueError(f"{where}: a pool has a layer; got pool_architecture=(). Give it a width, (42,) say.")
        size, dtype = self.observation_space_size, self.compute_dtype
        hidden = partial(hidden_layers, scale=self.in_scale, activation=self.activation, key=key, compute_dtype=dtype)
        torso, width = hidden(size, self.actor_architecture)
        self.actor_torso = nnx.Sequential(*torso)
        seen = size + self.centralised_critic * self.pool_architecture[-1]
        critic, critic_width = hidden(seen, self.critic_architecture)
        self.critic = nnx.Sequential(*critic, Dense(critic_width, 1, self.critic_scale, key, compute_dtype=dtype))
        self._add_actor_heads(width, key, action_space)
        if self.centralised_critic:
            self.pool = nnx.Sequential(*hidden(size, self.pool_architecture)[0])

    def __call__(
        self,
        x: Array,
        sequence: bool = False,
        joint_observation: Array | None = None,
        everyone: Array | None = None,
        **ignored: object,
    ) -> tuple[distrax.Distribution, Array]:
        """Return the policy and the value of observations; as :meth:`SharedActorCritic.__call__`.

        A centralised critic takes ``(..., N, O)``, and sees `joint_observation`, ``(..., N, O)``, if it is given;
        `everyone` is its name of before, for one version. It raises ValueError where the first axis is time: hosts that
        ask for a sequence have no axis of particles left.
        """
        x = self._checked(x, sequence)
        rows = as_rows(x)
        features = self.actor_torso(rows) if self.actor_architecture else rows
        if not self.centralised_critic:
            return self._answer(features, self.critic(rows), x.shape[:-1])
        if sequence:
            raise ValueError(
                f"{type(self).__name__}: a centralised critic needs the axis of particles; got sequence=True, from a "
                "trainer that flattens it away. Train with jaxdem-ac, or leave centralised_critic out."
            )
        joint = everyone if joint_observation is None else joint_observation
        pooled = self._pooled(x if joint is None else self._checked(joint))
        try:
            pooled = jnp.broadcast_to(pooled, (*x.shape[:-1], pooled.shape[-1]))
        except ValueError:
            raise ValueError(
                f"{type(self).__name__}: joint_observation has the axes of x, and any number of particles; got shape "
                f"{getattr(joint, 'shape', ())} for {x.shape}. Pass who is there with those who act."
            ) from None
        return self._answer(features, self.critic(as_rows(jnp.concatenate([x, pooled], axis=-1))), x.shape[:-1])

    def _pooled(self, joint: Array) -> Array:
        """Return the mean of all particles' features, ``(..., 1, F)``; a single observation ``(O,)`` is alone."""
        features = self.pool(as_rows(joint))[:, : self.pool_architecture[-1]]
        features = features.astype(joint.dtype).reshape(*joint.shape[:-1], -1)
        return jnp.mean(features, axis=-2, keepdims=True) if joint.ndim > 1 else features

    @property
    def metadata(self) -> dict[str, Json]:
        """The keywords that build this model again, but for the key, as JSON types."""
        return {
            **super().metadata,
            "actor_architecture": list(self.actor_architecture),
            "critic_architecture": list(self.critic_architecture),
            "centralised_critic": self.centralised_critic,
            "pool_architecture": list(self.pool_architecture),
        }
