"""Policies that particles do not share: one set of parameters for each species, or for each particle."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Protocol, get_args

import distrax
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array
from jax.typing import ArrayLike

from jaxdem_ac import registry
from jaxdem_ac._checks import check_flag
from jaxdem_ac._types import Json, PyTree
from jaxdem_ac.action_spaces.distributions import distribution_of, num_outputs
from jaxdem_ac.models.base import FeedForwardBase
from jaxdem_ac.models.checks import check_observation, check_size
from jaxdem_ac.models.recurrent import split_carry
from jaxdem_ac.observation_layout import Block
from jaxdem_ac.registry import suggest

Sharing = Literal["shared", "species", "independent"]
Forward = Callable[[PyTree, Array], tuple[Array, Array, Array]]


class HasParticles(Protocol):
    """An environment, as far as a model's keywords depend on it."""

    @property
    def num_particles(self) -> int:
        """N."""


class PerParticle(FeedForwardBase):
    r"""K actor-critics of one kind, and whose is whose.

    Particle n acts with the parameters ``species[n]``: ``policy_n, value_n = model[species[n]](x[..., n, :])``. Each
    set is drawn by itself, with keys of its own, and learns from its own particles alone. All sets are evaluated as one
    batch of matrix products; whose rows go where is known when the model is built, so that no parameters are ever
    gathered. Raises ValueError if `sharing` is unknown, something that it needs is missing, or species are not 0 to K -
    1; TypeError if the model has no such keyword, acts by choices, or is recurrent.

    Parameters
    ----------
    observation_space_size, action_space_size, key, action_space
        As in :class:`~jaxdem_ac.models.actor_critic.SharedActorCritic`, the same for all.
    model : str
        Name of the actor-critic.
    sharing : str
        ``"shared"``, one set for all; ``"species"``, one for each of `species`; ``"independent"``, one for each
        particle.
    num_particles : int, optional
        N; needed by ``"independent"``, a training gives it.
    species : sequence of int, (N,), optional
        Whose set each particle uses, from 0 on; for ``"species"``.
    num_species : int, optional
        K. Given without `species`, the species is the last of an observation's O numbers, for hosts that know no
        particle axis: then every set is evaluated on every row, and the one that is meant is chosen. For a number that
        is no species the answers are NaN.
    **model_kw
        Of the actor-critic.
    """

    def __init__(
        self,
        *,
        observation_space_size: int,
        action_space_size: int,
        key: nnx.Rngs,
        action_space: distrax.Bijector | str | None = None,
        model: str = "SharedActorCritic",
        sharing: Sharing = "shared",
        num_particles: int | None = None,
        species: Sequence[int] | None = None,
        num_species: int | None = None,
        **model_kw: Any,
    ) -> None:
        where = "PerParticle"
        super().__init__(observation_space_size, action_space_size)
        num_particles = None if num_particles is None else check_size(where, "num_particles", num_particles)
        num_species = None if num_species is None else check_size(where, "num_species", num_species)
        self.model, self.sharing = model, sharing
        # Hashable: the model's structure is static under `jax.jit`.
        self.model_kw: tuple[tuple[str, Any], ...] = tuple((name, _frozen(value)) for name, value in model_kw.items())
        model_kw = dict(self.model_kw)
        self.num_particles = num_particles
        self.by_feature = sharing == "species" and species is None and num_species is not None
        self.species = _species_of(sharing, num_particles, species, num_species)
        self.num_sets = int(num_species or 0) if self.by_feature else 1 + max(self.species, default=0)
        self._set_action_space(action_space)
        if check_flag(where, "discrete", model_kw.get("discrete", False)):
            raise TypeError("PerParticle: actions are numbers; got discrete=True. Use the model itself.")
        self.centralised_critic = check_flag(where, "centralised_critic", model_kw.get("centralised_critic", False))
        if self.centralised_critic and (self.by_feature or sharing == "independent"):
            raise ValueError(
                "PerParticle: a centralised critic is shared, or one for each species of particles on an axis of their "
                f"own; got sharing={sharing!r}, num_species={num_species}. Give species=[0, 0, 1, 1], say."
            )
        seen = self.observation_space_size - self.by_feature

        if getattr(registry.models.find(model).load(), "constrains_action_space", False):
            # It says itself what does not go together with the action space, of which the sets' models know nothing.
            rules = {"observation_space_size": seen, "action_space_size": self.action_space_size}
            space = self._action_space
            nnx.eval_shape(
                lambda: registry.models.create(model, **rules, key=nnx.Rngs(0), action_space=space, **model_kw)
            )

        # The models of the sets say what the policy is made of; their own action space is the whole line.
        outputs = num_outputs(self._action_space, self.action_space_size)

        def create(rngs: nnx.Rngs) -> Any:
            return registry.models.create(
                model, observation_space_size=seen, action_space_size=outputs, key=rngs, **model_kw
            )

        self.sets = nnx.split_rngs(splits=self.num_sets)(nnx.vmap(create))(key)
        graphdef, state = nnx.split(self.sets)

        def carry_of(sets: PyTree) -> PyTree:
            return split_carry(graphdef, jax.tree.map(lambda leaf: leaf[0], sets), 1, seen)[1]

        if jax.tree.leaves(jax.eval_shape(carry_of, state)):
            raise TypeError(
                f"PerParticle: the models of a set are feed-forward; got model={model!r}, which is recurrent. Use "
                "it by itself, shared by all particles."
            )

    @staticmethod
    def environment_keywords(environment: HasParticles, keywords: Mapping[str, object]) -> dict[str, object]:
        """Return the keywords that an environment decides: number and species of the particles, and the model's own."""
        known: dict[str, object] = {"num_particles": environment.num_particles}
        species = getattr(environment, "species", None)
        if species is not None and keywords.get("sharing") == "species" and "num_species" not in keywords:
            known["species"] = species
        return {**model_keywords(str(keywords.get("model", "SharedActorCritic")), {}, environment), **known}

    @property
    def _log_std(self) -> nnx.Param[Array]:
        """Log standard deviations of all sets, ``(K, 1, D)``, which JaxDEM's trainer logs."""
        return self.sets._log_std

    @property
    def metadata(self) -> dict[str, Json]:
        """The keywords that build this model again, but for the key, as JSON types."""
        return {
            **super().metadata,
            "model": self.model,
            "sharing": self.sharing,
            "num_particles": self.num_particles,
            "species": list(self.species) if self.sharing == "species" and not self.by_feature else None,
            "num_species": self.num_sets if self.by_feature else None,
            **{name: _as_json(value) for name, value in self.model_kw},
        }

    def __call__(self, x: ArrayLike, sequence: bool = False, **ignored: object) -> tuple[distrax.Distribution, Array]:
        """Return policies over actions ``(..., N, D)`` and values ``(..., N, 1)`` of observations ``(..., N, O)``.

        Particles that share one set or carry their species need no axis of their own. `sequence`, whether the first
        axis is time, makes no difference. Raises ValueError if the last axis is not O wide or the one before it not N.
        """
        check_flag("PerParticle", "sequence", sequence)
        x = self._checked(x)
        graphdef, parameters = nnx.split(self.sets)

        joint = {"joint_observation": x} if self.centralised_critic else {}

        def forward(own: PyTree, rows: Array) -> tuple[Array, Array, Array]:
            # Arrays and not a distribution leave the vmap: the shape of one would not know of the new axis.
            policy, value = nnx.merge(graphdef, own)(rows, **joint)
            loc = policy.distribution.loc
            return loc, jnp.broadcast_to(policy.distribution.scale_diag, loc.shape), value

        if self.num_sets == 1:
            rows = x[..., :-1] if self.by_feature else x
            policy, value = nnx.merge(graphdef, jax.tree.map(lambda leaf: leaf[0], parameters))(rows)
            return self._policy(policy.distribution.loc, policy.scale), value
        if self.by_feature:
            loc, scale, value = self._by_feature(forward, parameters, x)
        else:
            loc, scale, value = self._by_axis(forward, parameters, x)
        return self._policy(loc, scale), value

    def _policy(self, outputs: Array, scale: Array) -> distrax.Distribution:
        return distribution_of(self._action_space, outputs, scale, self.action_space_size)

    def _by_axis(self, forward: Forward, parameters: PyTree, x: Array) -> tuple[Array, ...]:
        """Evaluate each set on the rows of its own particles."""
        species = np.asarray(self.species)
        one_each = bool((species == np.arange(len(species))).all())
        members = [np.flatnonzero(species == number) for number in range(self.num_sets)]
        most = max(len(each) for each in members)
        # Short groups are filled up with a member of their own, whose second answer nobody reads.
        table = np.stack([np.resize(each, most) for each in members])
        rows = x[..., None, :] if one_each else x[..., table, :]
        answers = jax.vmap(forward)(parameters, jnp.moveaxis(rows, -3, 0))
        slot = np.zeros(len(species), int)
        for number, each in enumerate(members):
            slot[each] = number * most + np.arange(len(each))

        def back(answer: Array) -> Array:
            answer = jnp.moveaxis(answer, 0, -3)
            answer = answer.reshape(*answer.shape[:-3], -1, answer.shape[-1])
            return answer if one_each else answer[..., slot, :]

        return tuple(back(answer) for answer in answers)

    def _by_feature(self, forward: Forward, parameters: PyTree, x: Array) -> tuple[Array, ...]:
        """Evaluate every set on every row, and choose by the row's last number."""
        answers = jax.vmap(forward, in_axes=(0, None))(parameters, x[..., :-1])
        meant = jnp.stack([jnp.round(x[..., -1:]) == number for number in range(self.num_sets)])
        # Of a species that there is none of, every number would be 0.
        known = jnp.any(meant, axis=0)
        chosen = (jnp.sum(jnp.where(meant, answer, 0.0), axis=0) for answer in answers)
        return tuple(jnp.where(known, answer, jnp.nan) for answer in chosen)

    def _checked(self, observation: ArrayLike) -> Array:
        x, num = check_observation("PerParticle", observation, self.observation_space_size), len(self.species)
        if self.num_sets > 1 and not self.by_feature and (x.ndim < 2 or x.shape[-2] != num):
            raise ValueError(
                f"PerParticle: the last axis but one is the particles', N = {num}; got shape {x.shape}. Keep that "
                "axis, or build the model with num_species and give the species as the last number of an observation."
            )
        return x


def _as_json(value: object) -> Any:
    """Return a keyword as JSON has it: blocks of an observation as ``[name, kind, size]``."""
    if isinstance(value, Block):
        return [value.name, value.kind, value.size]
    return [_as_json(each) for each in value] if isinstance(value, tuple) else value


def _frozen(value: object) -> object:
    """Return lists and arrays as tuples."""
    value = value.tolist() if isinstance(value, np.ndarray | Array) else value
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


def _species_of(
    sharing: str, num_particles: int | None, species: Sequence[int] | None, num_species: int | None
) -> tuple[int, ...]:
    """Return whose set each particle uses; nothing where that is told by their number or by a feature."""
    if sharing not in get_args(Sharing):
        raise ValueError(f"PerParticle: no such sharing; got {sharing!r}. {suggest(str(sharing), get_args(Sharing))}")
    if sharing != "species" and (species is not None or num_species is not None):
        raise ValueError(f"PerParticle: only sharing='species' has species; got sharing={sharing!r}. Leave them out.")
    if sharing == "shared":
        return ()
    if sharing == "independent":
        if num_particles is None:
            raise ValueError("PerParticle: sharing='independent' needs num_particles; got None. Give N.")
        return tuple(range(num_particles))
    if species is None:
        if num_species is None:
            raise ValueError(
                "PerParticle: sharing='species' needs species, one for each particle; got none. "
                "Give species=[0, 0, 1, 1], say, or num_species where observations end with it."
            )
        return ()
    kinds = list(species) if isinstance(species, list | tuple | np.ndarray) else []
    if not kinds or not all(isinstance(kind, int | np.integer) and not isinstance(kind, bool) for kind in kinds):
        raise ValueError(
            f"PerParticle: species is a sequence of whole numbers, one for each particle; got species={species!r:.60}. "
            "Give species=[0, 0, 1, 1], say."
        )
    found = tuple(map(int, kinds))
    if set(found) != set(range(max(found) + 1)) or (num_species or max(found) + 1) != max(found) + 1:
        raise ValueError(
            f"PerParticle: species are numbered from 0, none left out; got species={list(found)[:20]}, "
            f"num_species={num_species}. Number them so."
        )
    if num_particles is not None and len(found) != num_particles:
        raise ValueError(
            f"PerParticle: species has one entry for each particle; got {len(found)} for {num_particles} particles. "
            "Give as many."
        )
    return found


def species_as_feature(observation: Array, species: Sequence[int]) -> Array:
    """Return observations ``(..., N, O)`` with the species of each particle as one more number; ``(..., N, O + 1)``."""
    feature = jnp.broadcast_to(jnp.asarray(species, observation.dtype)[:, None], (*observation.shape[:-1], 1))
    return jnp.concatenate([observation, feature], axis=-1)


def model_keywords(name: str, keywords: Mapping[str, object], environment: HasParticles) -> dict[str, object]:
    """Return a model's keywords, and those that its class has from the environment where they are not given.

    A class that has some says so by `environment_keywords`, a function of environment and keywords.
    """
    ask = getattr(registry.models.find(name).load(), "environment_keywords", None)
    return {**({} if ask is None else ask(environment, keywords)), **keywords}
