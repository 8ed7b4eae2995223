"""The evaluation of the policy that a run begins with, made while the first update is compiled."""

import json
import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import pytest
from support.command_line import call
from support.compared import assert_equal, untimed

import jaxdem_ac as ac
from jaxdem_ac import registry
from jaxdem_ac.environments.testing import Walk
from jaxdem_ac.runs import evaluation, run_batch
from jaxdem_ac.runs.build import build_environment, initial_policy
from jaxdem_ac.runs.evaluation import Evaluator
from jaxdem_ac.runs.progress import LiveLine, in_words

PPO = ac.PPOConfig(num_envs=4, num_steps=8, num_minibatches=2, num_epochs=1)


def walk(**changes: Any) -> ac.TrainConfig:
    """Return a run of one report, with an evaluation."""
    fields: dict[str, Any] = {
        "env": "walk", "env_kw": {"goal": 4.0, "room": 4}, "model_kw": {"architecture": [8]}, "ppo": PPO, "steps": 64,
        "report_every": 1, "eval_every": 1, "eval_episodes": 8,
    }  # fmt: skip
    return ac.TrainConfig(**{**fields, **changes})


@pytest.fixture(scope="module", autouse=True)
def _tasks() -> Iterator[None]:
    with registry.environments.temporarily("walk", Walk):
        yield


def told(config: ac.TrainConfig) -> tuple[list[tuple[bool, dict[str, Any]]], ac.TrainResult]:
    """Return what was shown while a run was made, each with whether it came from the main thread, and its result."""
    seen: list[tuple[bool, dict[str, Any]]] = []

    def show(metrics: dict[str, Any]) -> None:
        seen.append((threading.current_thread() is threading.main_thread(), metrics))

    return seen, ac.train(config, show, untrained=show)


def evaluated(config: ac.TrainConfig) -> dict[str, Any]:
    """Return the figures of the policy that a run begins with."""
    return Evaluator(config, build_environment(config), [config.seed])([initial_policy(config)], {"eval": False})[0]


def test_it_comes_first_and_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Reports and parameters are those of a run without it, and an episode's program is compiled once for all."""
    jax.clear_caches()
    # For all threads: as a context it is for one.
    jax.config.update("jax_log_compiles", True)
    try:
        with caplog.at_level(logging.WARNING):
            seen, result = told(walk())
    finally:
        jax.config.update("jax_log_compiles", False)
    finished = [record.message for record in caplog.records if record.message.startswith("Finished XLA compilation of")]
    for name in ("_play_many", "_reset_many", "update_many"):
        assert sum(f"jit({name})" in line for line in finished) == 1
    assert [main for main, _ in seen] == [False, True]
    shown = seen[0][1]
    assert [metrics for _, metrics in seen[1:]] == result.metrics
    assert shown == {"steps": 0, "total_steps": 64, **evaluated(walk())}
    plain = ac.train(walk(), None)
    assert_equal(result.policy, plain.policy)
    assert untimed(result.metrics) == untimed(plain.metrics)


def test_of_runs_side_by_side_it_is_their_mean() -> None:
    shown = told(walk(num_seeds=2))[0][0][1]
    alone = [evaluated(walk(seed=seed))["eval_reward"] for seed in (0, 1)]
    assert shown["eval_reward"] == pytest.approx(sum(alone) / 2)
    assert "eval_reward_spread" in shown


def test_without_an_evaluation_or_from_another_run_there_is_none(tmp_path: Path) -> None:
    assert all(main for main, _ in told(walk(eval_every=0, out=str(tmp_path / "source")))[0])
    assert all(main for main, _ in told(walk(init_from=str(tmp_path / "source")))[0])


def test_an_error_there_reaches_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    def play(*_: Any, **__: Any) -> Any:
        raise OverflowError("lists of neighbours are too short")

    monkeypatch.setattr(evaluation, "play_episodes", play)
    with pytest.raises(OverflowError, match="lists of neighbours are too short"):
        told(walk())


@pytest.mark.parametrize("stop", [ValueError("not this one"), KeyboardInterrupt()])
def test_a_run_that_has_ended_shows_nothing_more(stop: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends at once, though the evaluation goes on for a moment."""
    going_on, played, shown = threading.Event(), threading.Event(), []
    play = evaluation.play_episodes

    def late(*given: Any, **keywords: Any) -> Any:
        going_on.wait(60)
        result = play(*given, **keywords)
        played.set()
        return result

    def begin(_: Any) -> None:
        raise stop

    monkeypatch.setattr(evaluation, "play_episodes", late)
    monkeypatch.setattr(run_batch.RunBatch, "begin", begin)
    with pytest.raises(type(stop)):
        ac.train(walk(), None, untrained=shown.append)
    going_on.set()
    assert played.wait(60)
    for thread in threading.enumerate():
        if thread.name.startswith("ThreadPoolExecutor"):
            thread.join(60)
    assert not shown


UNTRAINED = {"steps": 0, "total_steps": 2000, "eval_success": 0.25}


def test_in_words_and_on_the_live_line() -> None:
    assert in_words(UNTRAINED, "ppo") == "    0 of 2,000 steps  untrained  evaluated 0.250"
    line = LiveLine("ppo")
    line.report(UNTRAINED)
    drawn = line.drawn(120)
    assert "untrained  evaluated 0.250  compiling ...  0:00" in drawn
    line.report({**UNTRAINED, "steps": 1000, "agent_steps_per_second": 10.0, "reward": 0.5})
    assert "compiling" not in line.drawn(120)
    assert "untrained" not in line.drawn(120)


def test_on_the_command_line_it_is_the_first_line(tmp_path: Path) -> None:
    path = tmp_path / "walk.json"
    path.write_text(json.dumps(walk().to_dict()))
    lines = call("train", "--config", str(path), "--out", str(tmp_path / "run")).stdout.splitlines()
    assert "untrained" in lines[0]
    assert "untrained" not in lines[1]
    assert call("train", "--config", str(path), "--out", str(tmp_path / "silent"), "--json").stdout.count("\n") == 1
