"""Configurations: round trips, dotted fields, and values out of their range."""

import json
import math
import time
from pathlib import Path
from typing import Any

import pytest

import jaxdem_ac as ac
from jaxdem_ac.runs.config import parse_assignments


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


@pytest.mark.parametrize(
    "make",
    [
        lambda: ac.TrainConfig(num_seeds=10**6),
        lambda: ac.TrainConfig(num_seeds=600, grid={"gamma": [0.9, 0.8]}),
        lambda: ac.TrainConfig(steps=10**30),
        lambda: ac.TrainConfig(steps=10**5_000),
        lambda: ac.TrainConfig(report_every=10**12),
        lambda: ac.TrainConfig(env_kw={"max_steps": 2**40}),
        lambda: ac.TrainConfig.from_dict({"ppo": {"num_envs": 1e11}}),
        lambda: ac.PPOConfig(num_envs=2**16, num_steps=2**15),
        lambda: ac.PPOConfig(learning_rate=10**400),
        lambda: ac.PPOConfig(gamma=None),  # type: ignore[arg-type]
        lambda: ac.TrainConfig(steps=None),  # type: ignore[arg-type]
        lambda: ac.TrainConfig(seed="3"),  # type: ignore[arg-type]
        lambda: ac.TrainConfig().with_values({"env_kw": 3, "env_kw.a": 1}),
    ],
)
def test_a_bad_or_huge_number_gets_one_short_line_at_once(make: Any) -> None:
    began = time.monotonic()
    with pytest.raises(ValueError, match=r"; got ") as raised:
        make()
    assert time.monotonic() - began < 1
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 900


@pytest.mark.parametrize(
    "make",
    [
        lambda: ac.TrainConfig().with_values(None),  # type: ignore[arg-type]
        lambda: ac.TrainConfig().with_values({1: 2}),  # type: ignore[dict-item]
        lambda: ac.TrainConfig.from_dict(None),  # type: ignore[arg-type]
        lambda: ac.TrainConfig.from_file(None),  # type: ignore[arg-type]
        lambda: ac.TrainConfig(out=3),  # type: ignore[arg-type]
    ],
)
def test_what_is_no_mapping_and_no_path_is_a_type_error(make: Any) -> None:
    with pytest.raises(TypeError, match=r"^(TrainConfig|config).*; got .*\.$|, say\.$"):
        make()


def test_yaml_is_read_as_its_version_1_2_says(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "seed: 010\nsteps: 4_000_000\nout: ~/run\nenv_kw: {a: 0o10, b: 1:30:00, c: yes, d: 1e-3, e: 0x1F, f: ~,\n"
        " g: on, h: 2001-01-01, i: .inf, j: +5, k: 1., l: .5e3, m: True, n: null, o: '010', p: 1_000.5,\n"
        " q: -0, r: 1e5}\n",
        encoding="utf-8",
    )
    config = ac.TrainConfig.from_file(path)
    assert (config.seed, config.steps, config.out) == (10, 4_000_000, str(Path("~/run").expanduser()))
    assert config.env_kw == {
        "a": 8, "b": "1:30:00", "c": "yes", "d": 1e-3, "e": 31, "f": None, "g": "on", "h": "2001-01-01", "i": math.inf,
        "j": 5, "k": 1.0, "l": 500.0, "m": True, "n": None, "o": "010", "p": 1000.5, "q": 0, "r": 1e5,
    }  # fmt: skip
    path.write_text("steps: 1:30:00\n")
    with pytest.raises(ValueError, match="steps='1:30:00'"):
        ac.TrainConfig.from_file(path)


@pytest.mark.parametrize("name", ["mine.yaml", "mine.json"])
@pytest.mark.parametrize("depth", [120, 3_000])
def test_a_file_that_is_nested_too_deep_is_one_line(name: str, depth: int, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text('{"env_kw": {"a": ' + "[" * depth + "]" * depth + "}}")
    with pytest.raises(ValueError, match=r"^config: .* is (YAML|JSON); got 'nested deeper than 100 .*' *\. Mend it\.$"):
        ac.TrainConfig.from_file(path)


@pytest.mark.parametrize(
    "text", ["ppo.gamma=[0.9", "a={x: 1}", 'a="b', "a=" + "[" * 9_000, "a=" + "[" * 200 + "]" * 200, "a=" + "9" * 5_000]
)
def test_malformed_json_is_told_as_that(text: str) -> None:
    with pytest.raises(ValueError, match=r"^parse_assignments: .* is JSON; got .*, which is malformed: .*\. Mend it"):
        parse_assignments([text])
    assert parse_assignments(["a=x [y]", "b=0.9.", "c=[1]"]) == {"a": "x [y]", "b": "0.9.", "c": [1]}
