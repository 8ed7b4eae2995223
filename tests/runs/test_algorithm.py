"""A second algorithm, by name: all that a run does knows none of them."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from support.a2c import A2C, A2CConfig

import jaxdem_ac as ac
from jaxdem_ac.environments.testing import Tracking
from jaxdem_ac.registry import algorithms, environments

SUPPORT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    with algorithms.temporarily("A2C", A2C), environments.temporarily("tracking", Tracking):
        yield


def config(updates: int, **changes: Any) -> ac.TrainConfig:
    hyperparameters = A2CConfig(num_envs=32, num_steps=4, learning_rate=1e-2)
    given: dict[str, Any] = {
        "env": "tracking",
        "action_space": "Free",
        "model_kw": {"architecture": [16]},
        "report_every": 20,
    }
    steps = updates * 32 * 4 * 2
    return ac.TrainConfig(
        **{**given, "algorithm": "a2c", "algorithm_config": hyperparameters, "steps": steps, **changes}
    )


def leaves_of(result: ac.TrainResult) -> list[np.ndarray]:
    return [np.asarray(leaf) for leaf in jax.tree.leaves(result.policy.model_state)]


def test_it_learns() -> None:
    reports = ac.train(config(200)).metrics
    assert reports[-1]["reward"] > reports[0]["reward"] + 0.2
    assert {"loss", "reward", "steps"} <= reports[-1].keys()


def test_a_resumed_run_ends_as_an_uninterrupted_one(tmp_path: Path) -> None:
    whole = ac.train(config(80, out=str(tmp_path / "whole")))

    def stop(metrics: dict[str, Any]) -> None:
        if metrics["update"] == 40:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ac.train(config(80, out=str(tmp_path / "stopped")), stop)
    resumed = ac.resume(tmp_path / "stopped")
    for one, other in zip(leaves_of(whole), leaves_of(resumed), strict=True):
        np.testing.assert_array_equal(one, other)
    assert [line["update"] for line in resumed.metrics] == [20, 40, 60, 80]


def test_its_policy_comes_back_and_is_evaluated(tmp_path: Path) -> None:
    result = ac.train(config(20, out=str(tmp_path / "run")))
    loaded = ac.load_policy(tmp_path / "run")
    observation = np.linspace(-1, 1, 6, dtype=np.float32).reshape(3, 2, 1)
    np.testing.assert_array_equal(loaded(observation), result.policy(observation))
    assert ac.evaluate(result.environment, loaded, jax.random.key(0), 8).num_episodes == 8


def test_seeds_and_a_grid_side_by_side() -> None:
    result = ac.train(config(20, num_seeds=2, grid={"learning_rate": [1e-3, 1e-2]}))
    alone = ac.train(config(20, seed=1))
    assert len(result.members) == 4
    member = result.members["seed-1,learning_rate=0.01"]
    for one, other in zip(leaves_of(alone), leaves_of(member), strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-4, atol=2e-5)


def test_its_numbers_are_set_and_kept_by_its_name(tmp_path: Path) -> None:
    made = ac.TrainConfig().with_values({"algorithm": "a2c", "A2C.gamma": 0.5, "A2C.num_envs": 4})
    assert made.hyperparameters == A2CConfig(gamma=0.5, num_envs=4)
    stored = json.loads(json.dumps(made.to_dict()))
    assert stored["A2C"]["gamma"] == 0.5
    assert "ppo" not in stored
    assert ac.TrainConfig.from_dict(stored) == made


def test_a_configuration_without_an_algorithm_is_of_ppo() -> None:
    stored = ac.TrainConfig().to_dict()
    assert stored.pop("algorithm") == "ppo"
    assert ac.TrainConfig.from_dict(stored) == ac.TrainConfig()


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"algorithm": "a3c"}, KeyError, r"algorithm: no such name; got 'a3c'. Did you mean 'A2C'"),
        ({"algorithm": 3}, TypeError, r"TrainConfig: algorithm is a name; got int"),
        ({"algorithm": "ppo"}, ValueError, r"the hyperparameters of ppo are the field ppo"),
        ({"algorithm_config": ac.PPOConfig()}, TypeError, r"algorithm_config is a A2CConfig.*got PPOConfig"),
        ({"grid": {"gamma": [0.9]}}, ValueError, r"a grid varies numbers of A2C; got 'gamma'"),
    ],
)
def test_what_does_not_fit_is_one_error(changes: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        config(1, **changes)


def test_an_unknown_field_gets_the_nearest_name() -> None:
    with pytest.raises(ValueError, match=r"A2CConfig: no such field; got 'gama'. Did you mean 'gamma'"):
        config(1).with_values({"A2C.gama": 0.9})
    with pytest.raises(ValueError, match=r"no such field; got 'ppo.gamma'. Did you mean 'A2C.gamma'"):
        config(1).with_values({"ppo.gamma": 0.9})


def test_a_class_that_is_no_algorithm_says_so() -> None:
    with (
        algorithms.temporarily("wrong", dict),
        pytest.raises(TypeError, match=r"an algorithm is a .*got 'wrong', a dict"),
    ):
        replace(ac.TrainConfig(), algorithm="wrong")


class Silent(A2C):
    """An update that says nothing of its reward."""

    def update(self, problem: Any, state: Any) -> Any:
        state, figures = super().update(problem, state)
        return state, {"loss": figures["loss"]}


def test_an_update_without_a_reward_says_so_before_a_folder_is_touched(tmp_path: Path) -> None:
    with algorithms.temporarily("silent", Silent):
        made = config(1, algorithm="silent", out=str(tmp_path / "run"))
        with pytest.raises(TypeError, match=r"Silent.update: .*figures with a reward; got figures loss"):
            ac.train(made)
    assert not (tmp_path / "run").exists()


@dataclass
class Thawed:
    num_envs: int = 1
    num_steps: int = 1


def test_a_configuration_that_can_change_is_none() -> None:
    thawed = type("ThawedA2C", (A2C,), {"config_class": Thawed})
    with algorithms.temporarily("thawed", thawed), pytest.raises(TypeError, match=r"a frozen dataclass.*got Thawed"):
        replace(ac.TrainConfig(), algorithm="thawed")


def test_a_thousand_members_are_listed_at_once() -> None:
    """Each is checked once, and not once for every value of the grid."""
    checks = []

    class Counted(ac.TrainConfig):
        def _check_grid(self) -> None:
            checks.append(len(self.grid))
            super()._check_grid()

    rates = [1e-3 * (1 + number / 1_000) for number in range(50)]
    assert len(Counted(grid={"learning_rate": rates}).members()) == 50
    assert sum(checks) == 1


def test_one_that_a_distribution_brings_trains_from_the_shell(tmp_path: Path) -> None:
    """Found by its entry point, trained and drawn, each in a process of its own."""
    information = tmp_path / "site" / "some_a2c-1.0.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: some-a2c\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("[jaxdem_ac.algorithms]\nA2C = support.a2c:A2C\n")
    paths = [str(tmp_path / "site"), str(SUPPORT), *filter(None, [os.environ.get("PYTHONPATH")])]

    def shell(*words: str) -> str:
        environ = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
        command = [sys.executable, "-m", "jaxdem_ac.cli", *words]
        done = subprocess.run(command, capture_output=True, text=True, env=environ, cwd=tmp_path, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    options = ["--env", "swarm_navigator", "--algorithm", "a2c", "--steps", "64", "--out", "run", "--quiet"]
    numbers = ["A2C.num_envs=2", "A2C.num_steps=2", "env_kw.num_particles=4", "model_kw.architecture=[8]"]
    shell("train", *options, *(word for number in numbers for word in ("--set", number)))
    assert json.loads((tmp_path / "run" / "config.json").read_text())["config"]["A2C"]["num_envs"] == 2
    assert "episode.png" in shell("render", "run", "--format", "png", "--decisions", "4")
