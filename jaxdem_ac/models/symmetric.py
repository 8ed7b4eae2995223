"""An actor-critic whose policy turns with the frame: equivariant under the symmetries of a circle of lidar sectors."""

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal, Unpack, get_args

import distrax
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array
from jax.typing import ArrayLike, DTypeLike

from jaxdem_ac._types import Json
from jaxdem_ac.action_spaces.distributions import SquashedGaussian, as_vector_bijector
from jaxdem_ac.action_spaces.testing import is_discrete
from jaxdem_ac.models.base import ActorCriticBase, ActorCriticOptions, as_rows, takes_options
from jaxdem_ac.models.checks import check_architecture
from jaxdem_ac.models.heads import Dense, hidden_layers, with_lean_slope
from jaxdem_ac.observation_layout import Block, as_layout
from jaxdem_ac.registry import suggest

Group = Literal["dihedral", "cyclic"]
ActionKind = Literal["vector", "axial", "pseudoscalar"]

# Channels of a sector that a block fills for each of its numbers, or as a whole, and their signs in a mirror.
_PARITY = {"lidar": (1,), "vector": (1, -1), "axial": (1, -1)}


class SymmetricActorCritic(ActorCriticBase):
    r"""An actor-critic on the circle of n lidar sectors, equivariant under its rotations and reflections.

    With R a rotation by a multiple of ``2 pi / n``, or a reflection at the x axis after one, the policy of the turned
    observation is the turned policy, and the value stays: ``mean(R x) = R mean(x)``, ``value(R x) = value(x)``. Nothing
    of this has to be learnt, nor can it be lost.

    A sector has as channels its lidar readings, the radial and the tangential component of each vector, and each
    scalar. ``h = activation(circular convolution over all n sectors)``, then layers that mix the channels of a sector
    with the mean over all sectors; the mean action is ``sum over sectors of a_s e_radial(s) + b_s e_tangential(s)``,
    a and b linear in the sector's features, and the value a small network of their mean over all sectors. Of an action
    of one number, which a mirror makes negative, the mean is ``sum over sectors of b_s``.

    Parameters
    ----------
    key : nnx.Rngs
        For the initial parameters.
    observation_layout : sequence
        Blocks of the observation, as :func:`~jaxdem_ac.observation_layout.as_layout` reads them: ``["vector",
        "lidar:24", "lidar:24"]``. A training takes it from the environment.
    action_kind : str
        ``"vector"``, a force; ``"axial"``, a torque about the axes of the plane; or ``"pseudoscalar"``, one number, a
        torque about the vertical. A training takes it from the environment.
    group : str
        ``"dihedral"``, rotations and reflections; ``"cyclic"``, rotations alone, for a task that tells left from right.
    architecture : sequence of int
        Channels of each layer, at least one: of each sector, and of each of its two mirror images in the dihedral
        group.
    critic_architecture : sequence of int
        Widths of the value's layers.
    action_space : distrax.Bijector or str, optional
        Free if left out. MaxNorm has every symmetry; Box those of a square, if its bounds are those of a centred one
        and n is a multiple of 4.
    **options
        Sizes, scales, heads and types: see :class:`~jaxdem_ac.models.base.ActorCriticBase`. Actions are vectors of the
        plane, D = 2, or pseudoscalars, D = 1, and not discrete; the standard deviation is one number, the same in all
        directions. `actor_scale` is 0.01 if left out: a random answer to the own velocity is a multiple of it, for half
        of all seeds a propulsion, and of five runs of swarm_navigator with 1 two ran away and learnt nothing.

    Raises
    ------
    ValueError
        If the layout has no lidar, or the action space not the symmetries of the model.

    Notes
    -----
    Cohen and Welling, "Group Equivariant Convolutional Networks", 2016: the layers are group convolutions on the
    regular representation, the second and later ones with kernels of one sector and a constant.
    """

    @takes_options
    def __init__(
        self,
        *,
        key: nnx.Rngs,
        observation_layout: Sequence[object] | None = None,
        action_kind: ActionKind = "vector",
        group: Group = "dihedral",
        architecture: Sequence[int] = (16, 16),
        critic_architecture: Sequence[int] = (64,),
        action_space: distrax.Bijector | str | None = None,
        **options: Unpack[ActorCriticOptions],
    ) -> None:
        options.setdefault("actor_scale", 0.01)
        super().__init__(**options)
        where = type(self).__name__
        for name, choice, choices in (("group", group, Group), ("action_kind", action_kind, ActionKind)):
            if choice not in get_args(choices):
                raise ValueError(f"{where}: no such {name}; got {choice!r}. {suggest(str(choice), get_args(choices))}")
        if self.discrete or self.action_space_size != (1 if action_kind == "pseudoscalar" else 2):
            raise ValueError(
                f"{where}: an action is a vector of the plane, or one pseudoscalar; got action_kind={action_kind!r}, "
                f"action_space_size={self.action_space_size}, discrete={self.discrete}. Use SharedActorCritic."
            )
        if observation_layout is None:
            raise ValueError(
                f"{where}: which numbers are vectors and which lidars is told by observation_layout; got none. Pass "
                '["vector", "lidar:24", "lidar:24"], say: an environment with an `observation_layout` says it itself.'
            )
        layout = as_layout(where, observation_layout, self.observation_space_size)
        self.layout, self.group, self.action_kind = layout, group, action_kind
        sectors = [block.size for block in layout if block.kind == "lidar"]
        if not sectors or sectors[0] < 3:
            raise ValueError(
                f"{where}: the symmetry is that of a lidar's sectors, 3 or more; got "
                f"{'none' if not sectors else sectors[0]}. Use SharedActorCritic."
            )
        self.num_sectors = sectors[0]
        self.architecture = check_architecture(where, "architecture", architecture)
        self.critic_architecture = check_architecture(where, "critic_architecture", critic_architecture)
        if not self.architecture:
            raise ValueError(f"{where}: architecture has a layer; got (). Give it a width, (16,) say.")
        copies = self.num_copies
        first, *widths = self.architecture
        taps, channels = self.num_sectors, len(parity(layout))
        self.first = _kernel(key, (taps, channels, first), self.in_scale, self.observation_space_size)
        self.biases = nnx.List(
            [nnx.Param(jnp.asarray(np.zeros(width, jnp.result_type(float)))) for width in self.architecture]
        )
        self.own: nnx.List[nnx.Param[Array]] = nnx.List([])
        self.pool: nnx.List[nnx.Param[Array]] = nnx.List([])
        before = first
        for width in widths:
            shape = copies, before, width
            self.own.append(_kernel(key, shape, self.in_scale, 2 * copies * before))
            self.pool.append(_kernel(key, shape, self.in_scale, 2 * copies * before))
            before = width
        self.mean = _kernel(key, (copies, before, 2), self.actor_scale, before)
        layers, width = hidden_layers(
            before, self.critic_architecture, self.in_scale, self.activation, key, self.compute_dtype
        )
        self.critic = nnx.Sequential(*layers, Dense(width, 1, self.critic_scale, key, compute_dtype=self.compute_dtype))
        self._add_std(before, 1, key)
        self._set_action_space(action_space)
        self._check_symmetry(where)

    @staticmethod
    def environment_keywords(environment: object, keywords: Mapping[str, object]) -> dict[str, object]:
        """Return the keywords that an environment decides: the layout of its observation, the kind of its action."""
        layout = getattr(environment, "observation_layout", None)
        kind = getattr(environment, "action_kind", "vector")
        return {} if layout is None else {"observation_layout": layout, "action_kind": kind}

    @property
    def num_copies(self) -> int:
        """Mirror images of each channel: 2 in the dihedral group, 1 in the cyclic one."""
        return 2 if self.group == "dihedral" else 1

    def __call__(self, x: ArrayLike, sequence: bool = False, **ignored: object) -> tuple[distrax.Distribution, Array]:
        """Return the policy and the value of observations; as ``SharedActorCritic.__call__``."""
        x = self._checked(x, sequence)
        features = self._features(as_rows(x))
        leading, rows = x.shape[:-1], len(features)
        n, copies = self.num_sectors, self.num_copies
        heads = self._product(features.reshape(rows * n, -1), mirrored_heads(self.mean[...])).reshape(rows, n, 2)
        radial, tangential = (jnp.asarray(each, heads.dtype) for each in directions(n))
        mean = (heads[..., 0] @ radial + heads[..., 1] @ tangential) * math.sqrt(2 / n)
        if self.action_kind == "pseudoscalar":
            mean = jnp.sum(heads[..., 1:], axis=1) / math.sqrt(n)
        elif self.action_kind == "axial":
            mean = jnp.stack([-mean[:, 1], mean[:, 0]], axis=-1)
        pooled = jnp.mean(features.reshape(rows, n * copies, -1), axis=1)
        value = self.critic(pooled).reshape(*leading, 1)
        std = self.actor_sigma(pooled)
        size = self.action_space_size
        std = jnp.broadcast_to(std, (size,) if std.ndim == 1 else mean.shape)
        std = std if std.ndim == 1 else std.reshape(*leading, size)
        return SquashedGaussian(mean.astype(x.dtype).reshape(*leading, size), std, self._action_space), value

    def _features(self, rows: Array) -> Array:
        """Return the features ``(B, n, copies * F)`` of observations ``(B, O)``."""
        n, copies, layout = self.num_sectors, self.num_copies, self.layout
        channels = sector_channels(rows, layout, n)
        kernel = self.first[...]
        step = (np.arange(n)[:, None] - np.arange(n)) % n
        # (n, n, C, F): from sector s to sector t; the mirror image runs the other way round.
        maps = [kernel[step]]
        if copies == 2:
            maps.append(kernel[-step] * jnp.asarray(parity(layout), kernel.dtype)[:, None])
        full = jnp.stack(maps, axis=3).transpose(0, 2, 1, 3, 4).reshape(n * channels.shape[-1], -1)
        features = self._product(channels.reshape(len(rows), -1), full).reshape(len(rows), n, -1)
        activation = with_lean_slope(self.activation)
        features = activation(features + self._bias(0, features.dtype))
        for number, (own, pool) in enumerate(zip(self.own, self.pool, strict=True), 1):
            width = features.shape[-1]
            alone = self._product(features.reshape(-1, width), mirrored(own[...]))
            everywhere = self._product(jnp.mean(features, axis=1), mirrored(pool[...]))
            total = alone.reshape(len(rows), n, -1) + everywhere[:, None]
            features = activation(total + self._bias(number, total.dtype))
        return features

    def _product(self, features: Array, kernel: Array) -> Array:
        if self.compute_dtype is not None:
            features, kernel = features.astype(self.compute_dtype), kernel.astype(self.compute_dtype)
        return features @ kernel

    def _bias(self, layer: int, dtype: DTypeLike) -> Array:
        return jnp.tile(self.biases[layer][...], self.num_copies).astype(dtype)

    constrains_action_space: ClassVar[bool] = True
    """Whether it refuses some action spaces: what builds it for another model's outputs asks it about the real one."""

    def _check_symmetry(self, where: str) -> None:
        """Raise ValueError unless the action space turns with the frame: by a sector, or by a quarter."""
        if is_discrete(self._action_space):
            raise ValueError(
                f"{where}: its mean is a vector that turns with the frame, and a choice among actions has none; got "
                f"{type(self._action_space).__name__}. Use SharedActorCritic, or the action space MaxNorm."
            )
        quarter = self.num_sectors % 4 == 0
        mirror = np.diag([1.0, -1.0])
        with jax.ensure_compile_time_eval():
            turns = [_rotation(2 * math.pi / self.num_sectors), *([_rotation(math.pi / 2)] if quarter else [])]
            if self.action_kind == "pseudoscalar":
                turns, mirror = [np.eye(1)], -np.eye(1)
            *fits, mirrors = self._commutes([*turns, mirror])
        if any(fits) and (self.group == "cyclic" or mirrors):
            return
        raise ValueError(
            f"{where}: an action space has the symmetries of the model; got {type(self._action_space).__name__} for "
            f"{self.num_sectors} sectors, {self.group}. Use MaxNorm or Free; a Box is a square about 0, and then the "
            "number of sectors is a multiple of 4."
        )

    def _commutes(self, turns: Sequence[np.ndarray]) -> list[bool]:
        """Return for each turn whether the action space maps turned vectors to turned actions."""
        points = np.random.default_rng(0).normal(size=(32, len(turns[0]))) * np.geomspace(0.1, 3, 32)[:, None]
        # One program for all, where each operation by itself would be one.
        forward = jax.jit(as_vector_bijector(self._action_space).forward)
        turned = np.stack([points, *(points @ turn.T for turn in turns)]).astype(jnp.result_type(float))
        expected, *found = np.asarray(forward(turned))
        close = {"rtol": 1e-4, "atol": 1e-4 * np.abs(expected).max()}
        return [np.allclose(each, expected @ turn.T, **close) for each, turn in zip(found, turns, strict=True)]

    @property
    def metadata(self) -> dict[str, Json]:
        """The keywords that build this model again, but for the key, as JSON types."""
        return {
            **super().metadata,
            "observation_layout": [[block.name, block.kind, block.size] for block in self.layout],
            "action_kind": self.action_kind,
            "group": self.group,
            "architecture": list(self.architecture),
            "critic_architecture": list(self.critic_architecture),
        }


def _kernel(key: nnx.Rngs, shape: tuple[int, ...], scale: float, fan_in: int) -> nnx.Param[Array]:
    """Return a kernel of independent normal numbers with a deviation of ``scale / sqrt(fan_in)``."""
    # The first of a power of two, the same numbers: most kernels come from one compiled program.
    number = math.prod(shape)
    drawn = jax.random.normal(key.params(), (max(2048, 1 << (number - 1).bit_length()),), float)
    # And none for its shape and its scale, where it has numbers.
    numbers = drawn if isinstance(drawn, jax.core.Tracer) else np.asarray(drawn)
    return nnx.Param(jnp.asarray(numbers[:number].reshape(shape) * (scale / math.sqrt(fan_in))))


def _rotation(angle: float) -> np.ndarray:
    return np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])


def directions(num_sectors: int) -> tuple[np.ndarray, np.ndarray]:
    """Return unit vectors ``(n, 2)`` along the middle of each sector, and across it, counterclockwise."""
    angle = (np.arange(num_sectors) + 0.5) * (2 * math.pi / num_sectors) - math.pi
    radial = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    return radial, np.stack([-radial[:, 1], radial[:, 0]], axis=-1)


def parity(layout: Sequence[Block]) -> np.ndarray:
    """Return the sign that each channel of :func:`sector_channels` takes in a mirror, ``(C,)``."""
    other = {"scalar": 1, "pseudoscalar": -1}
    signs = (_PARITY.get(block.kind) or (other[block.kind],) * block.size for block in layout)
    return np.array([sign for block in signs for sign in block], float)


def sector_channels(rows: Array, layout: Sequence[Block], num_sectors: int) -> Array:
    """Return observations ``(B, O)`` as channels of the sectors, ``(B, n, C)``.

    A lidar is one channel; a vector is two, its component along the middle of the sector and the one across it; a
    scalar is a channel that is the same in all sectors. Vectors and scalars are divided such that the channels have
    the norm of the observation.
    """
    radial, across = (jnp.asarray(each, rows.dtype) for each in directions(num_sectors))
    found, start = [], 0
    for block in layout:
        values = rows[:, start : start + block.size]
        start += block.size
        if block.kind == "lidar":
            found.append(values[:, :, None])
        elif block.kind in ("vector", "axial"):
            # An axial vector is the cross product of the vertical and a vector: that vector is what turns.
            polar = jnp.stack([values[:, 1], -values[:, 0]], axis=-1) if block.kind == "axial" else values
            found.append(jnp.stack([polar @ radial.T, polar @ across.T], axis=-1) * math.sqrt(2 / num_sectors))
        else:
            found.append(
                jnp.broadcast_to(values[:, None, :], (len(values), num_sectors, block.size)) / math.sqrt(num_sectors)
            )
    return jnp.concatenate(found, axis=-1)


def mirrored(kernel: Array) -> Array:
    """Return the map of all copies, ``(copies * F, copies * G)``, of a kernel ``(copies, F, G)`` to the first copy."""
    if len(kernel) == 1:
        return kernel[0]
    return jnp.block([[kernel[0], kernel[1]], [kernel[1], kernel[0]]])


def mirrored_heads(kernel: Array) -> Array:
    """Return the map ``(copies * F, 2)`` of a kernel ``(copies, F, 2)`` to the coefficients of a vector of each sector.

    They are the radial one and the tangential one, which a mirror turns.
    """
    if len(kernel) == 1:
        return kernel[0]
    even, odd = kernel[0] + kernel[1], kernel[0] - kernel[1]
    radial, tangential = even[:, 0] / 2, odd[:, 1] / 2
    return jnp.stack([jnp.concatenate([radial, radial]), jnp.concatenate([tangential, -tangential])], axis=-1)
