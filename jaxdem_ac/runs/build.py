"""The parts of a run, built from its configuration: environment, model, algorithm, problem."""

from dataclasses import replace
from typing import Any

from flax import nnx

from jaxdem_ac import registry
from jaxdem_ac.action_spaces import make_action_space
from jaxdem_ac.environments import make_environment
from jaxdem_ac.environments.base import Environment
from jaxdem_ac.environments.baselines import BASELINES
from jaxdem_ac.models import make_model
from jaxdem_ac.models.per_particle import model_keywords
from jaxdem_ac.models.structure import Model
from jaxdem_ac.runs.config import TrainConfig
from jaxdem_ac.trainers.base import Algorithm
from jaxdem_ac.trainers.policy import Policy, PolicyFn, Privileged

AnyAlgorithm = Algorithm[Any, Any]
"""An algorithm by its name, of whatever configuration and state."""


def with_training_defaults(config: TrainConfig) -> TrainConfig:
    """Return `config` with the environment's advice where its user has set nothing."""
    environment = registry.environments.get(config.env)
    space = registry.action_spaces.find(config.action_space).name
    advice = getattr(environment, "action_space_defaults", {}).get(space, {})
    return replace(
        config,
        env_kw={**getattr(environment, "training_defaults", {}), **config.env_kw},
        action_space_kw={**advice, **config.action_space_kw},
    )


def build_environment(config: TrainConfig) -> Environment:
    """Return the environment of a configuration."""
    return make_environment(config.env, **config.env_kw)


def build_baseline(config: TrainConfig, name: str) -> PolicyFn | Privileged:
    """Return an environment's "random", "scripted" or "oracle" policy; raises TypeError if it has none."""
    return BASELINES[name](build_environment(config))


def build_model(config: TrainConfig, environment: Environment) -> Model:
    """Return the model of a configuration, with its initial parameters."""
    for name in ("key", "action_space", "observation_space_size", "action_space_size"):
        if name in config.model_kw:
            raise ValueError(
                f"train: model_kw leaves {name} to the run; got it. Take it out; the seed and the "
                "action space are fields of their own."
            )
    model = make_model(
        config.model,
        observation_space_size=environment.observation_size,
        action_space_size=environment.action_size,
        key=nnx.Rngs(config.seed),
        action_space=make_action_space(config.action_space, **config.action_space_kw),
        **model_keywords(config.model, config.model_kw, environment),
    )
    if getattr(model, "discrete", False):
        raise ValueError(
            f"train: {config.env} takes actions of {environment.action_size} numbers; got discrete=True. "
            "Leave it out of model_kw."
        )
    return model


def algorithm_of(config: TrainConfig) -> AnyAlgorithm:
    """Return the algorithm of a configuration."""
    algorithm: AnyAlgorithm = registry.algorithms.create(config.algorithm)
    return algorithm


def initial_policy(config: TrainConfig) -> Policy:
    """Return the policy of a run's model with the parameters of its seed."""
    environment = build_environment(config)
    model = build_model(config, environment)
    return algorithm_of(config).initial_policy(config.hyperparameters, model, environment)


def steps_per_update(config: TrainConfig, environment: Environment) -> int:
    """Return the agent-steps of one update: environments times decisions times particles."""
    numbers = config.hyperparameters
    steps: int = numbers.num_envs * numbers.num_steps * environment.num_particles
    return steps


def num_updates(config: TrainConfig, environment: Environment) -> int:
    """Return how many updates `steps` come to, rounded up to whole reports; ValueError from 2**31 on."""
    per_update = steps_per_update(config, environment)
    updates = -(-config.steps // per_update)
    if updates > config.report_every:
        updates = -(-updates // config.report_every) * config.report_every
    optimizer_updates = updates * algorithm_of(config).optimizer_updates(config.hyperparameters)
    fewer = f"Lower num_envs or num_steps of {config.section}, or the number of particles"
    limited = (
        ("agent-steps of a rollout", per_update, fewer),
        ("updates of the optimizer", optimizer_updates, "Lower steps"),
    )
    for what, number, advice in limited:
        if number >= 2**31:
            raise ValueError(f"train: {what} are fewer than 2**31; got {number:,}. {advice}.")
    return updates
