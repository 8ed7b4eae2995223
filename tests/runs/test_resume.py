"""A run that was stopped goes on as if it had not been."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from click.testing import CliRunner
from support.compared import assert_equal, untimed

import jaxdem_ac as ac
from jaxdem_ac.cli import main
from jaxdem_ac.runs import build, checkpoint
from jaxdem_ac.runs.run_dir import CHECKPOINTS, config_text, read_metrics

REPORTS = 6
CONFIG: dict[str, Any] = {
    "env": "multi_navigator",
    "env_kw": {"num_particles": 4, "max_steps": 150},
    "model_kw": {"architecture": [8]},
    "steps": 4 * 4 * 8 * 2 * REPORTS,
    "report_every": 2,
    "ppo": ac.PPOConfig(num_envs=4, num_steps=8, num_minibatches=2, num_epochs=1, normalize_observation=True),
}


class Stop(Exception):
    """What a run that is killed does not get to answer."""


def stop_after(number: int, how: type[BaseException]) -> Any:
    seen = []

    def report(metrics: dict[str, Any]) -> None:
        seen.append(metrics)
        if len(seen) == number:
            raise how

    return report


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> ac.TrainResult:
    """A run that nobody has stopped."""
    return ac.train(ac.TrainConfig(**CONFIG, out=str(tmp_path_factory.mktemp("runs") / "whole")))


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of one that was interrupted after three reports of six."""
    out = tmp_path_factory.mktemp("runs") / "stopped"
    with pytest.raises(KeyboardInterrupt):
        ac.train(ac.TrainConfig(**CONFIG, out=str(out)), stop_after(3, KeyboardInterrupt))
    return out


def test_an_interrupted_run_ends_as_an_uninterrupted_one(whole: ac.TrainResult, stopped: Path, tmp_path: Path) -> None:
    """To the last bit; also where the folder has been moved."""
    moved = tmp_path / "elsewhere"
    shutil.copytree(stopped, moved)
    seen: list[dict[str, Any]] = []
    result = ac.resume(moved, seen.append)
    assert [line["update"] for line in seen] == [8, 10, 12]
    assert_equal(result.policy, whole.policy)
    assert untimed(result.metrics) == untimed(whole.metrics)
    assert untimed(read_metrics(moved)) == untimed(whole.metrics)
    seconds = [line["seconds"] for line in result.metrics]
    assert seconds == sorted(seconds)
    assert_equal(ac.load_policy(moved), whole.policy)


def test_reports_that_no_checkpoint_has_are_made_again(whole: ac.TrainResult, stopped: Path, tmp_path: Path) -> None:
    """What kill -9 leaves: reports after the checkpoint, the last one cut short."""
    killed = tmp_path / "killed"
    shutil.copytree(stopped, killed)
    with (killed / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"update": 8, "steps": 1, "seconds": 9.0, "reward": 123.0}) + "\n" + '{"update": 10, "st')
    result = ac.resume(killed)
    assert untimed(result.metrics) == untimed(whole.metrics)
    assert_equal(result.policy, whole.policy)


def test_a_half_written_checkpoint_is_not_read(whole: ac.TrainResult, stopped: Path, tmp_path: Path) -> None:
    killed = tmp_path / "killed"
    shutil.copytree(stopped, killed)
    (killed / "checkpoints" / "8.orbax-checkpoint-tmp").mkdir()
    (killed / "checkpoints" / "8.orbax-checkpoint-tmp" / "policy").mkdir()
    assert_equal(ac.resume(killed).policy, whole.policy)


def test_a_run_that_has_ended_is_left_as_it_is(whole: ac.TrainResult) -> None:
    assert whole.run_dir is not None
    before = sorted(path.name for path in (whole.run_dir / "checkpoints").iterdir())
    result = ac.resume(whole.run_dir)
    assert_equal(result.policy, whole.policy)
    assert untimed(result.metrics) == untimed(whole.metrics)
    assert sorted(path.name for path in (whole.run_dir / "checkpoints").iterdir()) == before


@pytest.mark.slow
def test_lists_that_have_grown_stay_so(tmp_path: Path) -> None:
    config = {
        **CONFIG,
        "env_kw": {"num_particles": 60, "neighbor_room": 0.1, "max_steps": 150},
        "steps": 60 * 4 * 8 * 4,
    }
    with pytest.raises(KeyboardInterrupt):
        ac.train(ac.TrainConfig(**config, out=str(tmp_path / "run")), stop_after(1, KeyboardInterrupt))
    resumed = ac.resume(tmp_path / "run")
    assert resumed.environment.neighbor_room > 0.1
    assert_equal(resumed.policy, ac.train(ac.TrainConfig(**config)).policy)


def test_what_holds_no_checkpoint_says_so(tmp_path: Path, stopped: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"holds config\.json"):
        ac.resume(tmp_path)
    bare = tmp_path / "bare"
    shutil.copytree(stopped, bare)
    shutil.rmtree(bare / "checkpoints")
    with pytest.raises(FileNotFoundError, match="holds a checkpoint"):
        ac.resume(bare)


def test_a_checkpoint_of_another_model_says_so(stopped: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(stopped, other)
    stored = json.loads((other / "config.json").read_text())
    stored["config"]["model_kw"] = {"architecture": [9]}
    (other / "config.json").write_text(json.dumps(stored))
    with pytest.raises(ValueError, match="damaged, or not of the model"):
        ac.resume(other)


def test_the_best_checkpoint_is_kept_beside_the_newest_two(tmp_path: Path) -> None:
    policy = build.initial_policy(ac.TrainConfig(**CONFIG))
    with checkpoint.Writer(tmp_path) as writer:
        for number, score in enumerate([0.1, 0.9, float("-inf"), 0.3, 0.2, 0.4]):
            writer.save(number, policy, {"a": jax.numpy.ones(2)}, {}, score)
    assert sorted(int(path.name) for path in (tmp_path / "checkpoints").iterdir()) == [1, 4, 5]


def test_the_best_is_known_after_a_resume_and_the_rest_goes(tmp_path: Path) -> None:
    policy = build.initial_policy(ac.TrainConfig(env="multi_navigator", env_kw={"num_particles": 2}))
    (tmp_path / CHECKPOINTS).mkdir()
    kept = []
    for scores in ({1: 0.1, 2: 0.9, 3: 0.3}, {4: -np.inf, 5: 0.2, 6: 0.4}, {7: 0.1, 8: 0.95, 9: 0.2, 10: 0.3}):
        with checkpoint.Writer(tmp_path) as writer:
            for number, score in scores.items():
                writer.save(number, policy, {"x": jax.numpy.zeros(3)}, {}, score)
        kept.append(checkpoint.saved(tmp_path))
    assert kept == [[2, 3], [2, 5, 6], [8, 9, 10]]


def test_sigterm_saves_before_it_leaves(whole: ac.TrainResult, tmp_path: Path) -> None:
    """As a scheduler ends a job; the run then goes on, bit-equal."""
    out = tmp_path / "run"
    code = (
        "import sys, json, jaxdem_ac as ac\n"
        "config = ac.TrainConfig.from_dict(json.loads(sys.argv[1]))\n"
        "import time\n"
        "def report(metrics):\n"
        "    print(metrics['update'], flush=True)\n"
        "    time.sleep(1 if metrics['update'] < 6 else 60)\n"
        "ac.train(config, report)\n"
    )
    config = ac.TrainConfig(**CONFIG, out=str(out)).to_dict()
    child = subprocess.Popen([sys.executable, "-c", code, json.dumps(config)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    for line in child.stdout:
        if line.strip() == "6":
            break
    time.sleep(0.5)
    os.kill(child.pid, signal.SIGTERM)
    assert child.wait(60) == 128 + signal.SIGTERM
    assert [int(path.name) for path in (out / "checkpoints").iterdir()] == [6]
    assert_equal(ac.resume(out).policy, whole.policy)


def test_a_policy_is_that_of_the_checkpoint_that_is_asked_for(tmp_path: Path) -> None:
    """The best is that of the largest score, which is neither the newest nor the first."""
    config = ac.TrainConfig(env="multi_navigator", env_kw={"num_particles": 2}, model_kw={"architecture": [8]})
    (tmp_path / "config.json").write_text(config_text(config))
    policies = {number: build.initial_policy(replace(config, seed=number)) for number in (1, 2, 3, 4)}
    with checkpoint.Writer(tmp_path) as writer:
        for (number, policy), score in zip(policies.items(), [0.1, 0.9, 0.3, 0.2], strict=True):
            writer.save(number, policy, policy.model_state, {}, score)
    observation = np.linspace(-1, 1, 22, dtype=np.float32)
    for asked, number in (("last", 4), ("best", 2), (3, 3)):
        found = ac.load_policy(tmp_path, checkpoint=asked)
        np.testing.assert_array_equal(found(observation), policies[number](observation))
    np.testing.assert_array_equal(ac.load_policy(tmp_path)(observation), policies[4](observation))
    with pytest.raises(ValueError, match=r"got checkpoint=1, there are 2, 3, 4 in"):
        ac.load_policy(tmp_path, checkpoint=1)
    for wrong in (True, "newest", 2.0):
        with pytest.raises(TypeError, match=r"a checkpoint is 'best', 'last' or a number"):
            ac.load_policy(tmp_path, checkpoint=wrong)  # type: ignore[arg-type]
    call = CliRunner().invoke
    with_best = call(main, ["record", str(tmp_path), "--checkpoint", "best", "--decisions", "2"])
    assert with_best.exit_code == 0, with_best.output
    recorded = ac.Recording.load(tmp_path / "episode.npz")
    np.testing.assert_allclose(recorded.action[0], policies[2](recorded.observation[0]), rtol=1e-5, atol=1e-6)
    refused = call(main, ["eval", str(tmp_path), "--checkpoint", "newest"])
    assert refused.exit_code == 2
    assert "is neither 'best' nor 'last' nor a number of updates" in refused.output
