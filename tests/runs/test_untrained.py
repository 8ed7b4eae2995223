"""The evaluation of the policy that a run begins with, and its programs on the disk."""

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import pytest
from support.command_line import call
from support.compared import assert_equal, untimed

import jaxdem_ac as ac
from jaxdem_ac import registry
from jaxdem_ac.environments.testing import Walk
from jaxdem_ac.runs import evaluation, untrained
from jaxdem_ac.runs.build import build_environment, initial_policy
from jaxdem_ac.runs.evaluation import Evaluator
from jaxdem_ac.runs.progress import LiveLine, in_words
from jaxdem_ac.runs.untrained import place, played

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


def told(config: ac.TrainConfig) -> tuple[list[dict[str, Any]], list[dict[str, Any]], ac.TrainResult]:
    """Return what was shown of the untrained policy, what of its training, and the result."""
    first: list[dict[str, Any]] = []
    later: list[dict[str, Any]] = []

    def show(metrics: dict[str, Any]) -> None:
        assert not later
        first.append(metrics)

    return first, later, ac.train(config, later.append, untrained=show)


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
            first, later, result = told(walk())
    finally:
        jax.config.update("jax_log_compiles", False)
    finished = [record.message for record in caplog.records if record.message.startswith("Finished XLA compilation of")]
    for name in ("_play_many", "_reset_many", "update_many"):
        assert sum(f"jit({name})" in line for line in finished) == 1
    assert later == result.metrics
    assert first == [{"steps": 0, "total_steps": 64, **evaluated(walk())}]
    plain = ac.train(walk(), None)
    assert_equal(result.policy, plain.policy)
    assert untimed(result.metrics) == untimed(plain.metrics)


@pytest.fixture
def cached(tmp_path: Path) -> Iterator[Path]:
    """Give the folder of a compilation cache that is on."""
    names = ("jax_compilation_cache_dir", "jax_enable_compilation_cache")
    before = {name: jax.config.values[name] for name in names}
    for name, value in zip(names, (str(tmp_path / "cache"), True), strict=True):
        jax.config.update(name, value)
    yield tmp_path / "cache"
    for name, value in before.items():
        jax.config.update(name, value)


def small(**changes: Any) -> ac.TrainConfig:
    """Return a run that is of nothing but this package."""
    env_kw = {"num_particles": 3, "physics_steps": 2, "n_lidar_rays": 4, "max_steps": 8}
    return walk(env="swarm_navigator", env_kw=env_kw, **changes)


def test_its_programs_are_played_again_without_the_models(cached: Path, tmp_path: Path) -> None:
    """Another process finds the same figures, and imports neither flax nor distrax for them."""
    jax.clear_caches()
    (first,), *_ = told(small(out=str(tmp_path / "run")))
    assert len(list((cached / "untrained").glob("*.program"))) == 2
    assert played(place(small(out=str(tmp_path / "another")))) == first
    code = (
        "import json, sys, jax\n"
        "jax.config.update('jax_enable_compilation_cache', True)\n"
        "jax.config.update('jax_compilation_cache_dir', sys.argv[1])\n"
        "from jaxdem_ac.runs.config import TrainConfig\n"
        "from jaxdem_ac.runs.untrained import place, played\n"
        "found = played(place(TrainConfig.from_file(sys.argv[2])))\n"
        "print(json.dumps([found, [name for name in ('flax', 'distrax', 'optax') if name in sys.modules]]))"
    )
    file = tmp_path / "small.json"
    file.write_text(json.dumps(small().to_dict()))
    command = [sys.executable, "-c", code, str(cached), str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [first, []]


def test_what_is_kept_is_of_one_configuration(cached: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = place(small())
    assert here == place(small(out="elsewhere", log=("tensorboard",)))
    others = {place(small(**change)) for change in ({"seed": 1}, {"eval_episodes": 4}, {"model": "ActorCritic"})}
    with jax.enable_x64(True):
        others.add(place(small()))
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_use_thunk_runtime=false")
    others.add(place(small()))
    monkeypatch.setattr(untrained, "_source", lambda: "another version of this package")
    others.add(place(small()))
    assert len(others | {here}) == 7


@pytest.mark.parametrize(
    "change",
    [
        {"num_seeds": 2},
        {"eval_every": 0},
        {"init_from": "runs/source"},
        {"env": "walk", "env_kw": {}},
        {"env": "my_file.py:Task", "env_kw": {}},
        {"env_kw": {"engine": "jaxdem"}},
        {"env_kw": {"num_particles": {3}}},
    ],
    ids=lambda change: ",".join(map(str, change.values())),
)
def test_nothing_is_kept_of_what_others_may_change(cached: Path, change: dict[str, Any]) -> None:
    assert place(small()) is not None
    assert place(replace(small(), **change)) is None


def test_nothing_is_kept_without_a_cache(cached: Path) -> None:
    jax.config.update("jax_enable_compilation_cache", False)
    assert place(small()) is None
    assert played(None) is None


@pytest.mark.parametrize("spoil", ["cut", "another", "gone"])
def test_what_cannot_be_read_is_compiled_anew(cached: Path, spoil: str) -> None:
    jax.clear_caches()
    (first,), *_ = told(small())
    path = place(small())
    assert path is not None
    program, _ = sorted(path.parent.glob("*.program"))
    if spoil == "cut":
        path.write_bytes(path.read_bytes()[:1_000])
    elif spoil == "another":
        program.write_bytes(b"not a program")
    else:
        program.unlink()
    assert played(path) is None
    assert not path.exists()
    # A program that has run, or has been read from the cache, cannot be written; nobody is bothered with it.
    (again,), *_ = told(small())
    assert again == first


def test_of_runs_side_by_side_it_is_their_mean() -> None:
    (shown,), *_ = told(walk(num_seeds=2))
    alone = [evaluated(walk(seed=seed))["eval_reward"] for seed in (0, 1)]
    assert shown["eval_reward"] == pytest.approx(sum(alone) / 2)
    assert "eval_reward_spread" in shown


def test_without_an_evaluation_or_from_another_run_there_is_none(tmp_path: Path) -> None:
    assert not told(walk(eval_every=0, out=str(tmp_path / "source")))[0]
    assert not told(walk(init_from=str(tmp_path / "source")))[0]


def test_an_error_there_reaches_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    def play(*_: Any, **__: Any) -> Any:
        raise OverflowError("lists of neighbours are too short")

    monkeypatch.setattr(evaluation, "play_episodes", play)
    with pytest.raises(OverflowError, match="lists of neighbours are too short"):
        told(walk())


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
