"""The command eval on many seeds, on grids, and on several runs; and the same from Python."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import jax
import pytest
from support.command_line import assert_one_line, call

import jaxdem_ac as ac
from jaxdem_ac import registry
from jaxdem_ac.environments.testing import Tracking
from jaxdem_ac.trainers.seeds import over_seeds

FEW = ("--episodes", "4")


@pytest.fixture(scope="module", autouse=True)
def _probe() -> Iterator[None]:
    """Have a task that compiles quickly."""
    with registry.environments.temporarily("probe", Tracking):
        yield


def trained(out: Path, **keywords: object) -> Path:
    ppo = ac.PPOConfig(num_envs=4, num_steps=8, num_minibatches=2, num_epochs=1, learning_rate=0.05)
    settings = {"env": "probe", "env_kw": {"length": 3}, "model_kw": {"architecture": [8]}, "steps": 64, "ppo": ppo}
    ac.train(ac.TrainConfig(**{**settings, "out": str(out), **keywords}), None)  # type: ignore[arg-type]
    return out


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("runs") / "seeds", num_seeds=3)


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("runs") / "grid", num_seeds=2, grid={"learning_rate": [0.001, 0.1]})


def test_many_seeds_as_json(seeds: Path) -> None:
    result = call("eval", str(seeds), *FEW, "--policy", "random", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert list(found) == ["before", "after", "random"]
    for kind in ("before", "after"):
        assert list(found[kind]) == [""]
        assert found[kind][""]["num_seeds"] == 3
    after = found["after"][""]
    assert list(after["members"]) == ["seed-0", "seed-1", "seed-2"]
    for name, member in after["members"].items():
        # A seed among others plays as it does alone.
        alone = json.loads(call("eval", str(seeds / name), *FEW, "--no-baseline", "--json").stdout)
        assert member == alone["after"]
    for figure in ("success", "reward"):
        scores = [member[figure]["mean"] for member in after["members"].values()]
        # All of them reach the goal of this small task.
        assert len(set(scores)) == (1 if figure == "success" else 3)
        limits = (0.0, 1.0) if figure == "success" else ()
        assert after[figure] == asdict(over_seeds(scores, *limits))  # type: ignore[arg-type]
    assert found["before"][""]["reward"] != after["reward"]


def test_many_seeds_from_python(seeds: Path) -> None:
    found = ac.evaluate_run(seeds, num_episodes=4)
    said = json.loads(call("eval", str(seeds), *FEW, "--no-baseline", "--json").stdout)
    assert {point: asdict(each) for point, each in found.items()} == said["after"]
    before = ac.evaluate_run(seeds, num_episodes=4, untrained=True)
    assert before[""].members.keys() == found[""].members.keys()
    assert before != found
    policy = ac.load_policy(seeds / "seed-1")
    expected = ac.evaluate(Tracking(length=3), policy, jax.random.key(1_000), 4)
    assert found[""].members["seed-1"] == expected
    # A folder of one run has one seed, and no interval over seeds.
    alone = ac.evaluate_run(seeds / "seed-1", num_episodes=4)[""]
    assert alone.members == {"seed-1": expected}
    assert (alone.reward.mean.value, alone.reward.mean.low) == (expected.reward.mean, None)


def test_many_seeds_in_words(seeds: Path) -> None:
    result = call("eval", str(seeds), *FEW)
    assert result.exit_code == 0, result.output
    heading, *lines = result.stdout.splitlines()
    assert heading == "4 episodes of each seed, mean and interval of 95 % confidence:"
    words = ["seed-0", "seed-1", "seed-2", *(f"{kind}, {what} over seeds" for kind in ("before", "after")
             for what in ("mean", "IQM"))]  # fmt: skip
    assert len(lines) == len(words)
    for line, word in zip(lines, words, strict=True):
        assert f"  success {word} " in line
        assert line.count("[") == line.count("]") == 2
    found = ac.evaluate_run(seeds, num_episodes=4)[""]
    assert lines[-1].endswith(f"reward {found.reward.iqm}")
    assert str(found.success and found.success.mean) in lines[-2]


def test_points_of_a_grid_stand_alone(grid: Path) -> None:
    result = call("eval", str(grid), *FEW, "--no-baseline", "--json")
    assert result.exit_code == 0, result.output
    after = json.loads(result.stdout)["after"]
    assert list(after) == ["learning_rate=0.001", "learning_rate=0.1"]
    assert list(after["learning_rate=0.1"]["members"]) == ["seed-0,learning_rate=0.1", "seed-1,learning_rate=0.1"]
    for point in after.values():
        scores = [member["reward"]["mean"] for member in point["members"].values()]
        assert point["reward"]["mean"] == {"value": pytest.approx(sum(scores) / 2), "low": None, "high": None}
    said = call("eval", str(grid), *FEW, "--policy", "random").stdout
    assert "Of fewer than 3 seeds no interval over seeds is known." in said
    lines = said.splitlines()
    for heading, following in (("learning_rate=0.001:", "seed-0"), ("without training:", "random")):
        assert f" {following} " in lines[lines.index(heading) + 1]


def test_several_runs_stand_side_by_side(seeds: Path, grid: Path) -> None:
    both = (str(seeds), str(grid / "seed-0,learning_rate=0.1"))
    result = call("eval", *both, *FEW, "--no-baseline", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert list(found) == list(both)
    for run in both:
        assert found[run] == json.loads(call("eval", run, *FEW, "--no-baseline", "--json").stdout)
    said = call("eval", *both, *FEW).stdout
    for run in both:
        assert f"{run}: 4 episodes" in said


def test_a_seed_that_is_missing_is_one_line(seeds: Path, tmp_path: Path) -> None:
    assert_one_line(call("eval", str(seeds), *FEW, "--checkpoint", "999"), "checkpoint=999")
    (tmp_path / "config.json").write_bytes((seeds / "config.json").read_bytes())
    assert_one_line(call("eval", str(tmp_path), *FEW), "seed-0", "Give the --out of a training")
    with pytest.raises(TypeError, match="evaluate_run: seed"):
        ac.evaluate_run(seeds, seed="one")  # type: ignore[arg-type]
