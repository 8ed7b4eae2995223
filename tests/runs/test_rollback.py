"""Rollback: what a run does when its evaluation falls."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.command_line import call
from support.compared import assert_equal, untimed

import jaxdem_ac as ac
from jaxdem_ac import registry
from jaxdem_ac.environments.testing import Tracking, Walk
from jaxdem_ac.runs import checkpoint, evaluation, run_batch, scores, train
from jaxdem_ac.runs.run_dir import Metrics, read_config, read_metrics
from jaxdem_ac.trainers.policy import Policy

PPO = ac.PPOConfig(num_envs=4, num_steps=8, num_minibatches=2, num_epochs=1, learning_rate=0.1)
PER_UPDATE = 2 * 4 * 8
# A fall below the interval, one whose interval meets the best's, a rise, a fall, and one that counts at the end alone.
SUCCESSES = [0.4, 0.1, 0.32, 0.8, 0.2, 0.72]


def walk(**changes: Any) -> ac.TrainConfig:
    """Return a run of six reports, each with an evaluation."""
    fields: dict[str, Any] = {
        "env": "walk", "env_kw": {"goal": 4.0, "room": 2}, "model_kw": {"architecture": [8]}, "ppo": PPO,
        "steps": PER_UPDATE * 6, "report_every": 1, "eval_episodes": 8, "eval_every": 1, "rollback": True,
    }  # fmt: skip
    return ac.TrainConfig(**{**fields, **changes})


@pytest.fixture(scope="module", autouse=True)
def _tasks() -> Iterator[None]:
    with registry.environments.temporarily("walk", Walk), registry.environments.temporarily("tracking", Tracking):
        yield


def figures(success: float) -> Metrics:
    """Return the figures of an evaluation, its interval 0.05 wide on either side."""
    return {"eval_success": success, "eval_success_low": success - 0.05, "eval_success_high": success + 0.05}


@pytest.fixture
def evaluated(monkeypatch: pytest.MonkeyPatch) -> list[list[Policy]]:
    """Let evaluations come to SUCCESSES, in turn for as many runs as there are, and return what was evaluated."""
    policies: list[list[Policy]] = []

    def play(_: evaluation.Evaluator, given: list[Policy]) -> list[Metrics]:
        policies.append(given)
        # The second run is a report ahead of the first.
        return [figures(SUCCESSES[(len(policies) - 1 + run) % len(SUCCESSES)]) for run in range(len(given))]

    monkeypatch.setattr(evaluation.Evaluator, "__call__", play)
    return policies


def same(one: Policy, other: Policy) -> bool:
    leaves = zip(jax.tree.leaves(one.model_state), jax.tree.leaves(other.model_state), strict=True)
    return all(bool(jnp.array_equal(a, b)) for a, b in leaves)


def test_a_run_goes_back_to_the_best_and_on_from_there(evaluated: list[list[Policy]], tmp_path: Path) -> None:
    result = ac.train(walk(out=str(tmp_path / "run")))
    assert result.run_dir is not None
    lines = read_metrics(result.run_dir)
    assert [line["rejected_success"] for line in lines] == [None, 0.1, None, None, 0.2, 0.72]
    assert [line["eval_success"] for line in lines] == [0.4, 0.4, 0.32, 0.8, 0.8, 0.8]
    assert [line["eval_success_low"] for line in lines] == pytest.approx([0.35, 0.35, 0.27, 0.75, 0.75, 0.75])
    # What is kept in the end is what was best, bit by bit, and not what the last update came to.
    fourth, last = evaluated[3][0], evaluated[5][0]
    assert same(result.policy, fourth)
    assert not same(last, fourth)
    for chosen in ("last", "best"):
        assert_equal(ac.load_policy(result.run_dir, chosen), result.policy)
    # An update after a rollback begins from the best: it is as far from it as one update goes.
    assert not same(evaluated[4][0], fourth)
    assert checkpoint.find_checkpoint(result.run_dir, "best") == 6


def test_counters_and_random_keys_go_on(evaluated: list[list[Policy]], monkeypatch: pytest.MonkeyPatch) -> None:
    """The optimizer's schedule is that of a run without, and no random key is used twice."""
    states = []
    usual = run_batch.RunBatch.settle

    def settle(self: run_batch.RunBatch, state: Any, found: list[Metrics], at_end: bool) -> Any:
        settled = usual(self, state, found, at_end)
        states.append((state, settled[0]))
        return settled

    monkeypatch.setattr(run_batch.RunBatch, "settle", settle)
    ac.train(walk())
    keys = [tuple(np.asarray(jax.random.key_data(after.key)).tolist()) for _, after in states]
    assert len(set(keys)) == len(states) == 6
    for number, (before, after) in enumerate(states, start=1):
        assert int(after.num_updates) == number
        counts = [leaf for leaf in jax.tree.leaves(after.opt_state) if jnp.issubdtype(leaf.dtype, jnp.integer)]
        assert counts
        assert {int(count) for count in counts} == {2 * number}
        assert_equal(after.env_state, before.env_state)
    # Moments of the optimizer go back with the parameters.
    best, after = states[3][1], states[4][1]
    moments = [
        [leaf for leaf in jax.tree.leaves(state.opt_state) if jnp.issubdtype(leaf.dtype, jnp.floating)]
        for state in (best, after)
    ]
    assert len(moments[0]) > 2
    assert_equal(*moments)


def test_a_run_without_falls_is_the_one_without_rollback() -> None:
    with_rollback, without = (ac.train(walk(rollback=rollback, steps=PER_UPDATE * 2)) for rollback in (True, False))
    assert [line.pop("rejected_success") for line in with_rollback.metrics] == [None, None]
    assert_equal(with_rollback.policy, without.policy)
    assert untimed(with_rollback.metrics) == untimed(without.metrics)


@pytest.mark.parametrize("num_seeds", [1, 2])
def test_a_run_that_is_resumed_goes_back_to_the_same(
    evaluated: list[list[Policy]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_seeds: int
) -> None:
    """Stopped after the third report: what the best had learnt is in the checkpoint, whatever has been learnt since."""
    whole = ac.train(walk(num_seeds=num_seeds))
    evaluated.clear()

    def stop(metrics: Metrics) -> None:
        if metrics["update"] == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ac.train(walk(num_seeds=num_seeds, out=str(tmp_path / "run")), stop)
    resumed = ac.resume(tmp_path / "run")
    assert [line["rejected_success"] for line in resumed.metrics] == [
        line["rejected_success"] for line in whole.metrics
    ]
    for name, member in whole.members.items():
        assert_equal(resumed.members[name].policy, member.policy)
    assert_equal(resumed.policy, whole.policy)
    assert untimed(resumed.metrics) == untimed(whole.metrics)


def test_each_of_many_goes_back_by_itself(evaluated: list[list[Policy]]) -> None:
    many = ac.train(walk(num_seeds=2))
    first, second = many.members.values()
    assert [line["rejected_success"] for line in first.metrics] == [None, 0.1, None, None, 0.2, 0.72]
    assert [line["rejected_success"] for line in second.metrics] == [None, None, None, 0.2, None, 0.4]
    assert same(first.policy, evaluated[3][0])
    assert same(second.policy, evaluated[2][1])
    # The report of all has the mean of those that were given up.
    assert many.metrics[3]["rejected_success"] == 0.2
    assert many.metrics[5]["rejected_success"] == pytest.approx(0.56)


def test_what_a_fall_is() -> None:
    lines = [figures(0.5), {"eval_success": None}, {"reward": 1.0}]
    for at_end in (False, True):
        assert not scores.has_fallen({"eval_success": None}, lines, at_end)
        assert not scores.has_fallen(figures(0.1), [], at_end)
    assert not scores.has_risen({"eval_success": None}, lines)
    # Intervals reach 0.05 to either side.
    assert [scores.has_fallen(figures(success), lines, False) for success in (0.39, 0.41)] == [True, False]
    assert [scores.has_fallen(figures(success), lines, True) for success in (0.44, 0.46)] == [True, False]
    assert scores.has_risen(figures(0.51), lines)
    assert not scores.has_risen(figures(0.5), lines)
    assert scores.has_risen(figures(0.1), [])


def test_the_command_line_has_it(tmp_path: Path) -> None:
    import json

    file = tmp_path / "walk.json"
    file.write_text(json.dumps(walk(rollback=False, steps=PER_UPDATE).to_dict()))
    for option, is_on in (("--rollback", True), ("--no-rollback", False)):
        done = call("train", "--config", str(file), "--out", str(tmp_path / option), "--quiet", option)
        assert done.exit_code == 0, done.output
        assert read_config(tmp_path / option).rollback is is_on
        assert ("rejected_success" in read_metrics(tmp_path / option)[-1]) is is_on


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"rollback": 1}, TypeError, "rollback is true or false; got int"),
        ({"eval_every": 0}, ValueError, "rollback is to the best evaluation; got eval_every=0"),
    ],
)
def test_what_cannot_be_is_said(changes: dict[str, Any], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        walk(**changes)


def test_it_needs_a_success() -> None:
    from jaxdem_ac.environments.base import Timestep

    class Unjudged(Tracking):
        """A task that has no success figure."""

        def step(self, state: Any, action: jax.Array) -> tuple[Any, Timestep]:
            state, timestep = super().step(state, action)
            return state, replace(timestep, info={})

    with (
        registry.environments.temporarily("unjudged", Unjudged),
        pytest.raises(ValueError, match=r"rollback needs an environment with a success figure.*env='unjudged'"),
    ):
        train.train(walk(env="unjudged", env_kw={}))
