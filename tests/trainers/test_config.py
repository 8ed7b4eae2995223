"""Configurations: round trips, dotted fields, and values out of their range."""

import json
import math
from typing import Any

import pytest

import jaxdem_ac as ac


def test_a_configuration_survives_json() -> None:
    config = ac.TrainConfig(
        env_kw={"num_particles": 4}, model_kw={"architecture": [8]}, steps=10, ppo=ac.PPOConfig(gamma=0.5)
    )
    assert ac.TrainConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_dotted_fields_are_set() -> None:
    config = ac.TrainConfig().with_values(
        {"ppo.gamma": 0.9, "env_kw.num_particles": 8, "action_space_kw.max_norm": 2, "seed": 3}
    )
    assert config.ppo.gamma == 0.9
    assert config.env_kw == {"num_particles": 8}
    assert config.action_space_kw == {"max_norm": 2}
    assert config.seed == 3
    assert config.ppo.gae_lambda == ac.PPOConfig().gae_lambda


def test_with_values_changes_no_one_else() -> None:
    config = ac.TrainConfig(env_kw={"num_particles": 4})
    config.with_values({"env_kw.num_particles": 8})
    assert config.env_kw == {"num_particles": 4}


@pytest.mark.parametrize(
    ("path", "near"), [("ppo.gama", "gamma"), ("sed", "seed"), ("envkw.num_particles", "env_kw"), ("ppo", "ppo.")]
)
def test_an_unknown_field_gets_the_nearest(path: str, near: str) -> None:
    with pytest.raises(ValueError, match="no such field") as raised:
        ac.TrainConfig().with_values({path: 1})
    assert near in str(raised.value)


def test_from_dict_refuses_unknown_fields() -> None:
    with pytest.raises(ValueError, match=r"TrainConfig: no such field; got 'colour'"):
        ac.TrainConfig.from_dict({"colour": "red"})
    with pytest.raises(ValueError, match=r"PPOConfig: no such field; got 'clip'.*Did you mean 'clip_eps'"):
        ac.TrainConfig.from_dict({"ppo": {"clip": 0.1}})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("num_envs", 0),
        ("num_steps", 1.5),
        ("num_epochs", True),
        ("num_minibatches", -1),
        ("learning_rate", 0.0),
        ("learning_rate", math.nan),
        ("gamma", 1.1),
        ("gamma", -0.1),
        ("gae_lambda", math.inf),
        ("clip_eps", 0.0),
        ("value_coef", -1.0),
        ("entropy_coef", "none"),
        ("max_grad_norm", 0),
        ("schedule", "linera"),
        ("optimizer", "adm"),
    ],
)
def test_a_hyperparameter_out_of_range_is_named(field: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"PPOConfig: {field} ") as raised:
        ac.PPOConfig(**{field: value})
    assert f"{field}={value!r}" in str(raised.value)


def test_minibatches_divide_a_rollout() -> None:
    with pytest.raises(ValueError, match=r"num_minibatches divides num_envs \* num_steps; got num_minibatches=5 for 4"):
        ac.PPOConfig(num_envs=4, num_steps=3, num_minibatches=5)


@pytest.mark.parametrize(
    ("field", "value", "error"),
    [
        ("steps", 0, ValueError),
        ("steps", 1.5, ValueError),
        ("seed", -1, ValueError),
        ("seed", 2**32, ValueError),
        ("report_every", 0, ValueError),
        ("env", 3, TypeError),
        ("env_kw", "none", TypeError),
        ("ppo", {"gamma": 0.9}, TypeError),
    ],
)
def test_a_field_out_of_range_is_named(field: str, value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=rf"TrainConfig: {field} "):
        ac.TrainConfig(**{field: value})
