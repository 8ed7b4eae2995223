"""Evaluations while a run is trained, and the success at which it is complete."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from support.command_line import assert_one_line, call
from support.compared import assert_equal, untimed

import jaxdem_ac as ac
from jaxdem_ac import registry
from jaxdem_ac.environments.base import Timestep
from jaxdem_ac.environments.testing import Tracking, Walk
from jaxdem_ac.runs import checkpoint, evaluation
from jaxdem_ac.runs.run_dir import read_config, read_metrics
from jaxdem_ac.runs.scores import is_best, score_of
from jaxdem_ac.view.learning_curves import last_figures, read_runs
from jaxdem_ac.view.report import sections
from jaxdem_ac.view.report.curves import curves_section

PPO = ac.PPOConfig(num_envs=4, num_steps=8, num_minibatches=2, num_epochs=1, learning_rate=0.03, schedule="constant")
PER_UPDATE = 2 * 4 * 8


def walk(**changes: Any) -> ac.TrainConfig:
    """Return a run of six reports in which walkers learn to go as far as they can."""
    fields: dict[str, Any] = {
        "env": "walk", "env_kw": {"goal": 4.0, "room": 2}, "model_kw": {"architecture": [8]}, "ppo": PPO,
        "steps": PER_UPDATE * 2 * 6, "report_every": 2, "eval_episodes": 8,
    }  # fmt: skip
    return ac.TrainConfig(**{**fields, **changes})


class Unjudged(Tracking):
    """A task that has no success figure."""

    def step(self, state: Any, action: jax.Array) -> tuple[Any, Timestep]:
        state, timestep = super().step(state, action)
        return state, replace(timestep, info={})


@pytest.fixture(scope="module", autouse=True)
def _tasks() -> Iterator[None]:
    with (
        registry.environments.temporarily("walk", Walk),
        registry.environments.temporarily("unjudged", Unjudged),
    ):
        yield


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> ac.TrainResult:
    return ac.train(walk(eval_every=2, out=str(tmp_path_factory.mktemp("runs") / "evaluated")))


def without_evaluations(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in line.items() if not name.startswith("eval_")} for line in untimed(lines)]


def test_an_evaluation_changes_nothing_of_the_training(evaluated: ac.TrainResult) -> None:
    """Parameters and reports are those of a run without, to the last bit."""
    plain = ac.train(walk())
    assert_equal(evaluated.policy, plain.policy)
    assert without_evaluations(evaluated.metrics) == untimed(plain.metrics)
    assert not any(name.startswith("eval_") for line in plain.metrics for name in line)


def test_every_other_report_and_the_last_have_figures(evaluated: ac.TrainResult) -> None:
    names = {
        "eval_success", "eval_success_low", "eval_success_high", "eval_reward", "eval_sampled_success",
        "eval_sampled_reward",
    }  # fmt: skip
    assert evaluated.run_dir is not None
    lines = read_metrics(evaluated.run_dir)
    assert [names <= line.keys() for line in lines] == [False, True] * 3
    for line in lines[1::2]:
        assert 0 <= line["eval_success_low"] <= line["eval_success"] <= line["eval_success_high"] <= 1
    every_fourth = ac.train(walk(eval_every=4)).metrics
    assert ["eval_success" in line for line in every_fourth] == [False, False, False, True, False, True]


def test_the_figures_are_those_of_the_policy_on_keys_of_their_own(evaluated: ac.TrainResult) -> None:
    """As `evaluate` plays it, by its mode and sampled; the key is no part of the one that training splits."""
    key, last = evaluation.evaluation_key(0), evaluated.metrics[-1]
    by_mode = ac.evaluate(evaluated.environment, evaluated.policy, key, 8)
    sampled = ac.evaluate(evaluated.environment, evaluated.policy, key, 8, sample=True)
    assert by_mode.success is not None
    assert sampled.success is not None
    said = [last[f"eval_success{end}"] for end in ("", "_low", "_high")]
    assert said == [by_mode.success.mean, by_mode.success.low, by_mode.success.high]
    assert last["eval_sampled_success"] == sampled.success.mean
    assert [last["eval_reward"], last["eval_sampled_reward"]] == [by_mode.reward.mean, sampled.reward.mean]
    split = np.asarray(jax.random.key_data(jax.random.split(jax.random.key(0), 4_096)))
    assert not (split == np.asarray(jax.random.key_data(key))).all(-1).any()
    assert not (jax.random.key_data(evaluation.evaluation_key(1)) == jax.random.key_data(key)).all()


def test_a_run_that_was_stopped_in_an_evaluation_ends_the_same(
    evaluated: ac.TrainResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The state that is kept then is that of the last report."""
    asked = []
    usual = evaluation.Evaluator.__call__

    def interrupted(self: evaluation.Evaluator, policies: Any) -> Any:
        asked.append(policies)
        if len(asked) == 2:
            raise KeyboardInterrupt
        return usual(self, policies)

    with monkeypatch.context() as patched:
        patched.setattr(evaluation.Evaluator, "__call__", interrupted)
        with pytest.raises(KeyboardInterrupt):
            ac.train(walk(eval_every=2, out=str(tmp_path / "run")))
    assert [line["update"] for line in read_metrics(tmp_path / "run")] == [2, 4, 6]
    assert checkpoint.saved(tmp_path / "run")[-1] == 6
    resumed = ac.resume(tmp_path / "run")
    assert_equal(resumed.policy, evaluated.policy)
    assert untimed(resumed.metrics) == untimed(evaluated.metrics)


def test_the_best_checkpoint_is_that_of_the_best_evaluation(tmp_path: Path) -> None:
    """Not that of a better success in training, which no evaluation has seen."""
    result = ac.train(walk(eval_every=1, out=str(tmp_path / "run"), ppo=replace(PPO, learning_rate=0.3)))
    scores = {line["update"]: line["eval_success"] for line in result.metrics}
    best = max(scores.values())
    first = min(update for update, score in scores.items() if score == best)
    kept = checkpoint.saved(tmp_path / "run")
    found = checkpoint.find_checkpoint(tmp_path / "run", "best")
    assert found in kept
    assert found is not None
    assert scores[found] == best
    assert first in kept or len([score for score in scores.values() if score == best]) > 1
    with checkpoint.Writer(tmp_path) as writer:
        for number, (score, own) in enumerate([(0.1, True), (0.3, True), (0.9, False), (0.8, False), (0.2, True)]):
            writer.save(number, result.policy, {"a": np.ones(2)}, {}, score, own)
    assert checkpoint.saved(tmp_path) == [1, 3, 4]
    assert checkpoint.find_checkpoint(tmp_path, "best") == 1


def test_a_score_is_of_the_evaluation_where_there_is_one() -> None:
    line = {"reward": -1.0, "final_success": 0.9}
    assert score_of([]) == (False, -np.inf)
    assert score_of([line]) == (False, 0.9)
    assert score_of([{**line, "final_success": None}]) == (False, -np.inf)
    assert score_of([{"reward": -1.0, "eval_reward": 2.0}]) == (True, 2.0)
    assert score_of([{**line, "eval_success": 0.1, "eval_reward": 2.0}]) == (True, 0.1)
    assert score_of([{**line, "eval_success": None, "eval_reward": None}]) == (False, 0.9)
    low, high = {**line, "eval_success": 0.1}, {**line, "eval_success": 0.2}
    assert [is_best(lines) for lines in ([], [line], [line, low], [low, high], [low, low], [low, line])] == [
        False, False, True, True, False, False,
    ]  # fmt: skip


def test_a_run_stops_at_the_success_that_is_enough(evaluated: ac.TrainResult, tmp_path: Path) -> None:
    scores = [line["eval_success"] for line in evaluated.metrics[1::2]]
    enough = scores[1]
    assert scores[0] < enough
    out = str(tmp_path / "run")
    config = walk(eval_every=2, stop_at_success=enough, out=out)
    result = ac.train(config)
    assert untimed(result.metrics) == untimed(evaluated.metrics[:4])
    assert checkpoint.saved(tmp_path / "run")[-1] == result.metrics[-1]["update"] == 8
    seen: list[Any] = []
    again = ac.resume(out, seen.append)
    assert not seen
    assert_equal(again.policy, result.policy)
    said = call("train", "--resume", out).stdout
    assert f"had ended already, at 512 agent-steps and an evaluated success of {enough:.3f}; kept in" in said
    assert ac.train(walk(eval_every=2, stop_at_success=1.0)).metrics[-1]["update"] == 12


def test_the_command_line_has_both(tmp_path: Path) -> None:
    file = tmp_path / "walk.json"
    file.write_text(json.dumps(walk().to_dict()))
    arguments = ["--eval-every", "1", "--stop-at-success", "0.001", "--eval-episodes", "4", "--seed", "3"]
    done = call("train", "--config", str(file), "--out", str(tmp_path / "run"), "--quiet", *arguments)
    assert done.exit_code == 0, done.output
    untrained, reported, said = done.stdout.splitlines()
    assert "untrained" in untrained
    last = read_metrics(tmp_path / "run")[-1]
    assert f"evaluated {last['eval_success']:.3f}" in reported
    assert f"sampled {last['eval_sampled_success']:.3f}" in reported
    assert f"stopped at an evaluated success of {last['eval_success']:.3f}; kept in" in said
    config = read_config(tmp_path / "run")
    assert (config.eval_every, config.stop_at_success, config.eval_episodes) == (1, 0.001, 4)
    text = curves_section([last]) + sections.summary(config, [last], "success")
    for words in (
        "evaluated success, by the policy&#x27;s mode",
        "evaluated success, sampled actions",
        "last evaluation",
    ):
        assert words in text
    (run,) = read_runs([tmp_path / "run"])
    assert last_figures(run)["evaluated"] == {
        "steps": last["steps"], **dict.fromkeys(("mean", "low", "high"), last["eval_success"]),
    }  # fmt: skip


def test_each_of_many_is_evaluated_as_by_itself(tmp_path: Path) -> None:
    grid = {"learning_rate": [0.003, 0.03]}
    many = ac.train(walk(eval_every=3, num_seeds=2, grid=grid, env_kw={"goal": 4.0, "random": True}, seed=5))
    assert len(many.members) == 4
    for name, member in many.members.items():
        key = evaluation.evaluation_key(member.config.seed)
        assert ["eval_success" in line for line in member.metrics] == [False, False, True] * 2, name
        own = ac.evaluate(many.environment, member.policy, key, 8)
        assert own.success is not None
        assert member.metrics[-1]["eval_success"] == pytest.approx(own.success.mean, rel=1e-5)
        assert member.metrics[-1]["eval_success_low"] == pytest.approx(own.success.low, rel=1e-5)
    last = [member.metrics[-1]["eval_success"] for member in many.members.values()]
    assert many.metrics[-1]["eval_success"] == pytest.approx(np.mean(last))
    assert many.metrics[-1]["eval_success_spread"] == pytest.approx(np.std(last, ddof=1))
    assert "eval_success_low" not in many.metrics[-1]
    best = max(many.members.values(), key=lambda member: member.metrics[-1]["eval_success"])
    assert_equal(many.policy, best.policy)
    scores = [line["eval_success"] for line in many.metrics if "eval_success" in line]
    kept = walk(eval_every=3, num_seeds=2, grid=grid, env_kw={"goal": 4.0, "random": True}, seed=5, out=str(tmp_path))
    stopped = ac.train(replace(kept, stop_at_success=scores[0]))
    assert [line["update"] for line in stopped.metrics] == [2, 4, 6]
    seen: list[Any] = []
    ac.resume(tmp_path, seen.append)
    assert not seen


def test_a_task_without_success_is_evaluated_by_its_reward() -> None:
    config = walk(env="unjudged", env_kw={}, eval_every=6)
    last = ac.train(config).metrics[-1]
    assert {name for name in last if name.startswith("eval_")} == {"eval_reward", "eval_sampled_reward"}
    with pytest.raises(ValueError, match=r"stop_at_success needs an environment with a success figure.*env='unjudged'"):
        ac.train(replace(config, stop_at_success=0.5))


def test_an_evaluation_of_numbers_that_are_not_finite_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """Training goes on as if there were none."""

    def play(environment: Any, *_: Any, **__: Any) -> Any:
        return environment, (np.array([0.5, np.nan]), np.zeros(2), np.array([True, True]))

    monkeypatch.setattr(evaluation, "play_episodes", play)
    with pytest.warns(RuntimeWarning, match="got a number that is NaN"):
        result = ac.train(walk(eval_every=6, steps=PER_UPDATE * 2, stop_at_success=0.1))
    assert result.metrics[-1]["eval_success"] is None
    assert result.metrics[-1]["final_success"] is not None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"eval_every": -1}, "eval_every is a whole number from 1, below 2.*, or 0 for none; got eval_every=-1"),
        ({"eval_every": 1.5}, "got eval_every=1.5"),
        ({"eval_episodes": 1}, "eval_episodes is a whole number from 2"),
        ({"eval_every": 1, "stop_at_success": 0.0}, "stop_at_success is above 0 and at most 1"),
        ({"eval_every": 1, "stop_at_success": 95}, "got stop_at_success=95"),
        ({"stop_at_success": 0.9}, "stop_at_success is of evaluations; got stop_at_success=0.9 and eval_every=0. Set"),
    ],
)
def test_bad_numbers_are_named(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        walk(**changes)


def test_on_the_command_line_it_is_one_line() -> None:
    assert_one_line(call("train", "--stop-at-success", "0.9"), "eval_every=0", "Set eval_every=10")
    assert_one_line(call("train", "--stop-at-success", "much"), "'much' is not a valid float")
