"""Benchmark cases: stages of a training, and grids of sizes, models and types."""

import inspect
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any, TypedDict, get_args

from flax import nnx

from jaxdem_ac import registry
from jaxdem_ac._checks import check_count
from jaxdem_ac._types import Json
from jaxdem_ac.models.per_particle import PerParticle, Sharing
from jaxdem_ac.plugin.references import is_reference
from jaxdem_ac.registry import check_known, normalize_key
from jaxdem_ac.runs.build import build_environment, build_model
from jaxdem_ac.runs.config import TrainConfig
from jaxdem_ac.trainers.ppo.config import PPOConfig

STAGES = {
    "environment": "random actions: physics, observation, reward, resets",
    "policy": "a sample, its log-probability and a value",
    "rollout": "both, kept in a batch, and advantages",
    "update": "all passes of PPO over a batch",
    "training": "rollout and update",
}
DTYPES = ("float32", "bfloat16")
SHARINGS: tuple[str, ...] = get_args(Sharing)
BASE_ENV, BASE_MODEL, BASE_NUM_PARTICLES, BASE_NUM_ENVS = "swarm_navigator", "SharedActorCritic", 64, 16
# Agent-steps of a rollout, and the fewest and most decisions that it is long.
SAMPLES, SHORTEST, LONGEST = 65_536, 8, 64
# Small enough that any number of updates from one batch stays finite; nothing else depends on it.
LEARNING_RATE = 1e-5
_OWN_AXES = {
    "env": "envs",
    "model": "models",
    "env_kw.num_particles": "num_particles",
    "ppo.num_envs": "num_envs",
    "model_kw.compute_dtype": "dtypes",
    "model_kw.sharing": "sharings",
}


@dataclass(frozen=True, kw_only=True)
class Case:
    """One row of a grid."""

    stage: str
    """Name of the stage, one of ``STAGES``."""
    env: str = BASE_ENV
    """Name of the environment."""
    num_particles: int = BASE_NUM_PARTICLES
    """N."""
    num_envs: int = BASE_NUM_ENVS
    """E."""
    model: str | None = BASE_MODEL
    """Name of the model; None for the environment alone."""
    sharing: str | None = None
    """Sharing of parameters, for a model that has a choice."""
    dtype: str = "float32"
    """Type in which the model multiplies."""

    def about(self) -> dict[str, Json]:
        """Return what names a row, as JSON types."""
        return {
            "suite": "stages",
            "stage": self.stage,
            "env": self.env,
            "model": self.model,
            "sharing": self.sharing,
            "dtype": self.dtype,
            "N": self.num_particles,
            "E": self.num_envs,
        }

    def config(self, settings: Mapping[str, Json] | None = None) -> TrainConfig:
        """Return the configuration that is measured, with dotted fields set as by ``train --set``.

        The environment's density is that of its defaults; `num_steps` makes a rollout of some 65,536 agent-steps.
        """
        model_kw: dict[str, Json] = {}
        if self.dtype != "float32":
            model_kw["compute_dtype"] = self.dtype
        if self.sharing is not None:
            model_kw["sharing"] = self.sharing
        if self.sharing == "species":
            half = self.num_particles // 2
            model_kw["species"] = [0] * half + [1] * (self.num_particles - half) if half else [0]
        asked = SAMPLES / (self.num_particles * self.num_envs)
        num_steps = int(2 ** math.floor(math.log2(min(LONGEST, max(SHORTEST, asked)))))
        config = TrainConfig(
            env=self.env,
            env_kw={"num_particles": self.num_particles, **same_density(self.env, self.num_particles)},
            model=self.model or BASE_MODEL,
            model_kw=model_kw,
            ppo=PPOConfig(
                num_envs=self.num_envs, num_steps=num_steps, learning_rate=LEARNING_RATE, schedule="constant"
            ),
        )
        for path in settings or {}:
            if path in _OWN_AXES:
                raise ValueError(
                    f"bench: {path} is an axis of the grid; got it as a setting. Use the axis {_OWN_AXES[path]}."
                )
        return config.with_values(settings or {})


def same_density(env: str, num_particles: int) -> dict[str, float]:
    """Return the keywords of an environment whose N has the density of its defaults.

    ``jaxdem:<name>`` gets the room that ours of that name has, as far as it takes those keywords.
    """
    made, own = registry.environments.get(env), namesake(env)
    cls = registry.environments.get(own) if own in registry.environments else made
    known = fields(cls) if hasattr(cls, "__dataclass_fields__") else ()
    defaults: dict[str, Any] = {item.name: item.default for item in known}
    scale = (num_particles / float(defaults.get("num_particles", num_particles))) ** 0.5
    taken = inspect.signature(made).parameters
    return {name: scale * float(defaults[name]) for name in getattr(cls, "room_lengths", ()) if name in taken}


def namesake(env: str) -> str:
    """Return the name of an environment without that of whom it comes from: ``jaxdem:swarm_navigator`` is ours too."""
    return env if is_reference(env) else env.rpartition(":")[2]


@dataclass(frozen=True, kw_only=True)
class Axes:
    """Values that are asked for; None where nothing is."""

    stages: Sequence[str] | None = None
    """Names of stages, of ``STAGES``."""
    envs: Sequence[str] | None = None
    """Names of environments."""
    models: Sequence[str] | None = None
    """Names of models."""
    num_particles: Sequence[int] | None = None
    """N, particles of a swarm, 1 or more."""
    num_envs: Sequence[int] | None = None
    """E, environments that are stepped together, 1 or more."""
    dtypes: Sequence[str] | None = None
    """Types in which the model multiplies, of ``DTYPES``."""
    sharings: Sequence[str] | None = None
    """Ways to share parameters, of ``SHARINGS``."""

    def __post_init__(self) -> None:
        """Check every value; KeyError for an unknown environment or model, ValueError for what is no choice."""
        for name, choices in (("stages", STAGES), ("dtypes", DTYPES), ("sharings", SHARINGS)):
            check_known(f"bench: {name} are of a few", getattr(self, name) or (), choices)
        for name in ("num_particles", "num_envs"):
            for value in getattr(self, name) or ():
                check_count("bench", name, value)
        for found, names in ((registry.environments, self.envs), (registry.models, self.models)):
            for value in names or ():
                found.find(value)
        if self.sharings is not None and self.models is not None and not any(map(_shares, self.models)):
            raise ValueError(
                f"bench: only PerParticle has sharings; got models={list(self.models)}. Ask for it too, or leave "
                "sharings out."
            )

    @property
    def is_preset(self) -> bool:
        """Whether no axis is named, but perhaps stages."""
        return all(getattr(self, item.name) is None for item in fields(self) if item.name != "stages")


class Variant(TypedDict, total=False):
    """The fields of a case that say which model it is of."""

    model: str
    sharing: str | None
    dtype: str


def _shares(model: str) -> bool:
    return registry.models.find(model).load() is PerParticle


def _variants(models: Sequence[str], sharings: Sequence[str], dtypes: Sequence[str]) -> list[Variant]:
    """Return every model in every type, and those that have sharings in each of them."""
    return [
        {"model": registry.models.find(model).name, "sharing": sharing, "dtype": dtype}
        for model, dtype in itertools.product(models, dtypes)
        for sharing in (sharings if _shares(model) else [None])
    ]


def _full(
    stages: Sequence[str],
    sizes: Sequence[tuple[int, int]],
    envs: Sequence[str] = (BASE_ENV,),
    variants: Sequence[Variant] = (Variant(model=BASE_MODEL),),
) -> Iterator[Case]:
    """Give the rows of a full grid: environments by sizes by stages by models."""
    for env, (num_particles, num_envs), stage in itertools.product(envs, sizes, stages):
        where = Case(stage=stage, env=registry.environments.find(env).name, num_particles=num_particles,
                     num_envs=num_envs, model=None)  # fmt: skip
        yield from [where] if stage == "environment" else [replace(where, **variant) for variant in variants]


def grid(axes: Axes, long: bool = False, platform: str = "cpu") -> list[Case]:
    """Return the rows that are asked for.

    With axes named, all combinations, of the base case where one is not: 64 particles of swarm_navigator in 16
    environments and SharedActorCritic in float32. With none, a preset: the short one is of a few minutes on two cores,
    the long one goes to N = 65,536, and 1,048,576 where `platform` is no CPU.
    """
    stages = list(axes.stages or STAGES)
    if not axes.is_preset:
        models = axes.models or (["PerParticle"] if axes.sharings else [BASE_MODEL])
        sizes = itertools.product(axes.num_particles or [BASE_NUM_PARTICLES], axes.num_envs or [BASE_NUM_ENVS])
        variants = _variants(models, axes.sharings or ["independent"], axes.dtypes or ["float32"])
        found = _full(stages, list(sizes), axes.envs or [BASE_ENV], variants)
    else:
        found = _long(platform) if long else _short()
    cases = dict.fromkeys(case for case in found if case.stage in stages)
    # Neighbours share what has been compiled for their size.
    place = {size: number for number, size in enumerate(dict.fromkeys(map(size_of, cases)))}
    return sorted(cases, key=lambda case: (place[size_of(case)], list(STAGES).index(case.stage)))


def size_of(case: Case) -> tuple[str, int, int]:
    """Return task, N and E: what cases have in common that are compared."""
    return normalize_key(namesake(case.env)), case.num_particles, case.num_envs


def _everything() -> tuple[list[str], list[Variant]]:
    """Return all environments, and all models in float32, and the base model in bfloat16."""
    variants = _variants(registry.list_models(), SHARINGS, ["float32"])
    base = [each for each in variants if each["model"] == BASE_MODEL]
    others = [each for each in variants if each["model"] != BASE_MODEL]
    return registry.list_environments(), [*base, {**base[0], "dtype": "bfloat16"}, *others]


def _short() -> Iterator[Case]:
    envs, variants = _everything()
    here = [(BASE_NUM_PARTICLES, BASE_NUM_ENVS)]
    yield from _full(list(STAGES), [*here, (4096, 1)])
    yield from _full(["policy", "update"], here, variants=variants)
    yield from _full(["environment"], here, envs)
    yield from _full(["environment"], [(1024, 1), (16_384, 1)])


def _long(platform: str) -> Iterator[Case]:
    envs, variants = _everything()
    numbers = [16, 64, 256, 1024, 4096, 16_384, 65_536] + ([262_144, 1_048_576] if platform != "cpu" else [])
    sizes = [(number, many) for number in numbers for many in (1, 16, 256) if number * many <= max(numbers[-1], 65_536)]
    one = [(number, 1) for number in numbers if number >= 1024]
    some = [(64, 16), (1024, 1), (1024, 16)]
    yield from _full(list(STAGES), sizes)
    yield from _full(["policy", "update"], some, variants=_variants(registry.list_models(), SHARINGS, DTYPES))
    yield from _full(["rollout", "training"], [(64, 16)], variants=variants)
    yield from _full(["environment"], [(64, 16), *one], envs)
    yield from _full(["rollout", "training"], [(64, 16)], envs)


def check(cases: Sequence[Case], settings: Mapping[str, Json], models: bool) -> None:
    """Raise what building the environments of the cases raises, before anything is measured.

    With `models` so do models, which are built in shapes only; without, one that cannot be built is a row that fails.
    """
    for case in cases:
        config = case.config(settings)
        environment = build_environment(config)
        if models and case.model is not None:
            nnx.eval_shape(partial(build_model, config, environment))
