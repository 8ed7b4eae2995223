"""The beginning of a run from another run's policy: what of its configuration follows from it, and its parameters."""

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import nnx

from jaxdem_ac._types import PyTree
from jaxdem_ac.environments.base import Environment
from jaxdem_ac.registry import normalize_key
from jaxdem_ac.runs import checkpoint
from jaxdem_ac.runs.config import PPO, TrainConfig
from jaxdem_ac.runs.run_dir import single
from jaxdem_ac.trainers.policy import Policy

_NAMES, _KEYWORDS = ("model", "action_space"), ("model_kw", "action_space_kw")
# By the normalizer of a policy that it stands for.
_NORMALIZATION = {"normalizer": "normalize_observation", "return_normalizer": "normalize_return"}
_MOST_SHOWN = 3


def with_source(config: TrainConfig) -> TrainConfig:
    """Return a configuration with what it has from the run that it begins from, and the number of the checkpoint.

    Model, action space, and whether observations and returns are normalized, are that run's where they stand at their
    defaults; `model_kw` and `action_space_kw` are laid over its own. Raises ValueError if one of them is neither at its
    default nor that run's, or there is no such checkpoint, FileNotFoundError if there is no such run, or it has no
    checkpoint.
    """
    if config.init_from is None:
        return config
    path = Path(config.init_from)
    source = single(path)
    defaults = {item.name: item.default for item in fields(TrainConfig)}
    differing, taken = [], {}
    for name in _NAMES:
        ours, theirs = getattr(config, name), getattr(source, name)
        if ours != defaults[name] and normalize_key(ours) != normalize_key(theirs):
            differing.append(f"{name}={ours!r}, there {theirs!r}")
        taken[name] = theirs
    for name in _KEYWORDS:
        taken[name] = {**getattr(source, name), **getattr(config, name)}
    numbers, theirs = config.hyperparameters, source.hyperparameters
    for name in _NORMALIZATION.values():
        if hasattr(numbers, name) and hasattr(theirs, name):
            ours, its, default = getattr(numbers, name), getattr(theirs, name), getattr(type(numbers)(), name)
            if ours not in (default, its):
                differing.append(f"{config.section}.{name}={ours}, there {its}")
            numbers = replace(numbers, **{name: its})
    if differing:
        raise ValueError(
            f"train: a run that begins from a policy has the model, the action space and the normalization of that; "
            f"got {'; '.join(differing)} in {config.init_from!r}. Leave them out."
        )
    number = checkpoint.find_checkpoint(path, config.init_checkpoint)
    if number is None:
        number = max(checkpoint.saved(path), default=None)
    taken["init_checkpoint"] = "last" if number is None else number
    taken["ppo" if config.section == PPO else "algorithm_config"] = numbers
    changed: Any = taken
    return replace(config, **changed)


def load_source(config: TrainConfig, environment: Environment) -> Policy:
    """Return the policy that a run begins from; raises FileNotFoundError without one, ValueError if it does not fit."""
    assert config.init_from is not None
    policy = checkpoint.load_policy(config.init_from, config.init_checkpoint)
    if policy.observation_size != environment.observation_size:
        raise ValueError(
            f"train: a run that begins from a policy has observations of its size; got {environment.observation_size} "
            f"numbers in env={config.env!r} and {policy.observation_size} in {config.init_from!r}. Choose an "
            "environment that shows the same, --config of that run's config.json say."
        )
    for normalizer, name in _NORMALIZATION.items():
        ours, there = getattr(config.hyperparameters, name, None), getattr(policy, normalizer) is not None
        if ours is not None and ours != there:
            raise ValueError(
                f"train: a run that begins from a policy has the normalization of that; got {config.section}.{name}="
                f"{ours}, and a policy {'with' if there else 'without'} it in {config.init_from!r}. Set it to {there}."
            )
    return policy


def with_parameters(config: TrainConfig, model_state: PyTree, policy: Policy) -> PyTree:
    """Return the state of a fresh model with the parameters of a policy; a recurrent one's carry stays the fresh one's.

    Raises ValueError if the policy's model has other parameters, or of other shapes; the message names the first of
    them.
    """
    stored, fresh = _named(policy.model_state), _named(model_state)
    carry = _named(policy.carry_template).keys()
    differing = [
        f"{name} {_shape(fresh, name)}, there {_shape(stored, name)}"
        for name in dict.fromkeys([*fresh, *stored])
        if name not in carry and _shape(fresh, name) != _shape(stored, name)
    ]
    if differing:
        more = f" and {len(differing) - _MOST_SHOWN} more" if len(differing) > _MOST_SHOWN else ""
        raise ValueError(
            "train: a run that begins from a policy has a model with parameters of the same names and shapes; got "
            f"{'; '.join(differing[:_MOST_SHOWN])}{more} in {config.init_from!r}, with model={config.model!r} and "
            f"model_kw={dict(config.model_kw)}. Leave model_kw out, or take an environment of such sizes."
        )
    state = jax.tree.map(lambda leaf: leaf, model_state)
    nnx.replace_by_pure_dict(state, nnx.to_pure_dict(policy.model_state))
    return state


def _named(state: PyTree) -> dict[str, Any]:
    """Return the arrays of a state by their place, ``actor.layers.0.kernel``."""
    leaves = jax.tree_util.tree_leaves_with_path(nnx.to_pure_dict(state))
    return {".".join(str(getattr(key, "key", key)) for key in path): leaf for path, leaf in leaves}


def _shape(named: dict[str, Any], name: str) -> str:
    return str(np.shape(named[name])) if name in named else "none"
