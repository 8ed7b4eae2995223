"""Rollback: what a run does when its evaluation falls."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from support.command_line import call
from support.compared import assert_equal, untimed

import jaxdem_ac as ac
from jaxdem_ac import registry
from jaxdem_ac.environments.testing import Tracking, Walk
from jaxdem_ac.runs import checkpoint, evaluation, rollback, run_batch, scores, train
from jaxdem_ac.runs.run_dir import Metrics, read_config, read_metrics
from jaxdem_ac.trainers.policy import Policy

PPO = ac.PPOConfig(num_envs=4, num_steps=8, num_minibatches=2, num_epochs=1, learning_rate=0.1)
PER_UPDATE = 2 * 4 * 8
# A fall below the interval, one whose interval meets the best's, a rise, a fall, and one that counts at the end alone.
USUAL = (0.4, 0.1, 0.32, 0.8, 0.2, 0.72)
SUCCESSES = [*USUAL]


def walk(**changes: Any) -> ac.TrainConfig:
    """Return a run of six reports, each with an evaluation."""
    fields: dict[str, Any] = {
        "env": "walk", "env_kw": {"goal": 4.0, "room": 2}, "model_kw": {"architecture": [8]}, "ppo": PPO,
        "steps": PER_UPDATE * 6, "report_every": 1, "eval_episodes": 8, "eval_every": 1, "rollback": 1,
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
    """Let new policies come to SUCCESSES, in turn for as many runs as there are, and return those that have."""
    policies: list[list[Policy]] = []

    def play(_: evaluation.Evaluator, given: list[Policy]) -> list[Metrics]:
        known = [[same(policy, own[run]) for own in policies] for run, policy in enumerate(given)]
        if not all(map(any, known)):
            policies.append(given)
            known = [[False] * (len(policies) - 1) + [True] for _ in given]
        # The second run is a report ahead of the first.
        return [figures(SUCCESSES[(own.index(True) + run) % len(SUCCESSES)]) for run, own in enumerate(known)]

    monkeypatch.setattr(evaluation.Evaluator, "__call__", play)
    return policies


def optax_states(state: Any) -> list[Any]:
    """Return the parts of an optimizer's state that count."""
    return [node for node in jax.tree.leaves(state.opt_state, is_leaf=counts) if counts(node)]


def counts(node: Any) -> bool:
    return hasattr(node, "_fields") and "count" in node._fields


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
        states.append((state, settled[0][0]))
        return settled

    monkeypatch.setattr(run_batch.RunBatch, "settle", settle)
    ac.train(walk())
    keys = [tuple(np.asarray(jax.random.key_data(after.key)).tolist()) for _, after in states]
    assert len(set(keys)) == len(states) == 6
    for number, (before, after) in enumerate(states, start=1):
        assert int(after.num_updates) == number
        places = [node for node in optax_states(after) if isinstance(node, optax.ScaleByScheduleState)]
        assert [int(place.count) for place in places] == [2 * number]
        came_from = {2: states[0][1], 5: states[3][1], 6: states[3][1]}.get(number, before)
        assert_equal(after.env_state, came_from.env_state)
    # Moments go back with the parameters, and with them what has been counted for them: 2 updates in each of 3 reports.
    best, after = ([node for node in optax_states(states[at][1]) if hasattr(node, "nu")] for at in (3, 4))
    assert [int(node.count) for node in after] == [2 * 3]
    assert_equal(best, after)


@pytest.mark.parametrize("schedule", ["constant", "linear"])
def test_steps_after_rollbacks_are_no_longer(
    evaluated: list[list[Policy]], schedule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After forty of them, as after the first: no moment is taken for a longer one than it is."""
    monkeypatch.setattr(rollback, "patience", lambda falls, _: falls)
    SUCCESSES[:] = [0.9] + [0.1] * 60
    try:
        ac.train(walk(steps=PER_UPDATE * 60, ppo=replace(PPO, schedule=schedule, learning_rate=1e-3)))
    finally:
        SUCCESSES[:] = USUAL
    best, *proposals = [jax.tree.leaves(given[0].model_state) for given in evaluated]
    lengths = [
        float(jnp.sqrt(sum(jnp.sum((new - old) ** 2) for new, old in zip(proposal, best, strict=True))))
        for proposal in proposals
    ]
    first, late = np.mean(lengths[:15]), np.mean(lengths[30:45])
    rate = 1 - 37.5 / 60 if schedule == "linear" else 1.0
    first_rate = 1 - 7.5 / 60 if schedule == "linear" else 1.0
    assert late / first == pytest.approx(rate / first_rate, rel=0.35)


def test_a_run_without_falls_is_the_one_without_rollback() -> None:
    with_rollback, without = (ac.train(walk(rollback=rollback, steps=PER_UPDATE * 2)) for rollback in (1, 0))
    assert [line.pop("rejected_success") for line in with_rollback.metrics] == [None, None]
    assert [line.pop("fallen") for line in with_rollback.metrics] == [0, 0]
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
    best = figures(0.5)
    for at_end in (False, True):
        assert not scores.has_fallen(figures(0.1), {}, at_end)
        assert not scores.has_fallen({"eval_success": None}, {}, at_end)
        assert scores.has_fallen({"eval_success": None}, best, at_end), "what could not be evaluated"
    # Intervals reach 0.05 to either side.
    assert [scores.has_fallen(figures(success), best, False) for success in (0.39, 0.41)] == [True, False]
    assert [scores.has_fallen(figures(success), best, True) for success in (0.44, 0.46)] == [True, False]
    assert not scores.has_risen({"eval_success": None}, best)
    assert [scores.has_risen(figures(success), best) for success in (0.5, 0.51)] == [False, True]
    assert scores.has_risen(figures(0.1), {})


def test_a_run_that_falls_again_is_given_longer() -> None:
    """Twice as long each time that it has gone back to its best, until it has another best."""
    lines: list[Metrics] = []
    for success, given_up, longer in [
        (0.5, None, 1), (0.5, 0.2, 2), (0.48, None, 2), (0.5, 0.1, 4), (0.5, 0.3, 8), (0.51, None, 1), (0.51, 0.4, 2),
        (0.3, None, 2),
    ]:  # fmt: skip
        lines.append({"eval_success": success, "rejected_success": given_up})
        assert rollback.patience(1, lines) == longer
        assert rollback.patience(3, [*lines, {"reward": 1.0}, {"eval_success": None}]) == 3 * longer
    assert rollback.patience(2, []) == 2
    # Of a policy that the run began from there is no report before.
    assert rollback.patience(1, [{"eval_success": 0.5, "rejected_success": 0.1}]) == 2


def test_a_way_up_that_leads_down_first_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """From 0.5 every way leads through a fall of three evaluations."""
    given: list[Policy] = []
    course = iter([0.5, 0.2, 0.2, 0.3, 0.2, 0.3, 0.3, 0.9, 0.91])

    def play(_: evaluation.Evaluator, policies: list[Policy]) -> list[Metrics]:
        given.extend(policies)
        return [figures(next(course))]

    monkeypatch.setattr(evaluation.Evaluator, "__call__", play)
    result = ac.train(walk(steps=PER_UPDATE * 9))
    assert [line["rejected_success"] for line in result.metrics] == [None, 0.2, None, 0.3, *[None] * 5]
    assert [line["fallen"] for line in result.metrics] == [0, 0, 1, 0, 1, 2, 3, 0, 0]
    assert same(result.policy, given[8])


def test_what_is_not_finite_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Policy] = []

    def play(_: evaluation.Evaluator, policies: list[Policy]) -> list[Metrics]:
        given.extend(policies)
        nothing = dict.fromkeys(figures(0.0))
        return [figures(0.5) if len(given) == 1 else nothing]

    monkeypatch.setattr(evaluation.Evaluator, "__call__", play)
    result = ac.train(walk(steps=PER_UPDATE * 3))
    assert [line["eval_success"] for line in result.metrics] == [0.5, 0.5, 0.5]
    assert same(result.policy, given[0])


def test_an_interruption_before_a_report_is_written_changes_nothing(
    evaluated: list[list[Policy]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The report of the best is made again: what it is compared with afterwards is the same."""
    whole = ac.train(walk())
    evaluated.clear()
    usual = run_batch.append_line

    def interrupted(run_dir: Path, metrics: Metrics) -> None:
        if metrics["update"] == 4:
            raise KeyboardInterrupt
        usual(run_dir, metrics)

    with monkeypatch.context() as patched:
        patched.setattr(run_batch, "append_line", interrupted)
        with pytest.raises(KeyboardInterrupt):
            ac.train(walk(out=str(tmp_path / "run")))
    resumed = ac.resume(tmp_path / "run")
    assert untimed(resumed.metrics) == untimed(whole.metrics)
    assert_equal(resumed.policy, whole.policy)


def test_a_run_from_a_policy_may_not_fall_from_it(evaluated: list[list[Policy]], tmp_path: Path) -> None:
    """That policy is evaluated before all others: it is the best so far."""
    source = ac.train(walk(out=str(tmp_path / "source"), steps=PER_UPDATE))
    result = ac.train(walk(init_from=str(tmp_path / "source"), steps=PER_UPDATE))
    assert [line["rejected_success"] for line in result.metrics] == [0.1]
    assert [line["eval_success"] for line in result.metrics] == [0.4]
    assert same(result.policy, source.policy)


@pytest.mark.parametrize("rollback", [2, 3])
def test_a_run_may_wait_for_some_falls_in_a_row(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, rollback: int) -> None:
    """One that has not fallen begins to count anew; a run that is resumed goes on to count."""
    successes = [0.8, 0.1, 0.2, 0.78, 0.3, 0.4, 0.5, 0.6]
    given: list[Policy] = []

    def play(_: evaluation.Evaluator, policies: list[Policy]) -> list[Metrics]:
        known = [same(policies[0], own) for own in given]
        if not any(known):
            given.extend(policies)
            known.append(True)
        return [figures(successes[known.index(True)])]

    monkeypatch.setattr(evaluation.Evaluator, "__call__", play)
    expected: dict[int, tuple[list[float | None], list[int]]] = {
        # The second time it waits for twice as many.
        2: ([None, None, 0.2, None, None, None, None, 0.6], [0, 1, 0, 0, 1, 2, 3, 0]),
        # At the end one is enough.
        3: ([None, None, None, None, None, None, 0.5, 0.6], [0, 1, 2, 0, 1, 2, 0, 0]),
    }
    steps = PER_UPDATE * len(successes)
    whole = ac.train(walk(rollback=rollback, steps=steps))
    assert [line["rejected_success"] for line in whole.metrics] == expected[rollback][0]
    assert [line["fallen"] for line in whole.metrics] == expected[rollback][1]
    assert same(whole.policy, given[0])
    given.clear()

    def stop(metrics: Metrics) -> None:
        if metrics["update"] == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ac.train(walk(rollback=rollback, steps=steps, out=str(tmp_path / "run")), stop)
    resumed = ac.resume(tmp_path / "run")
    assert untimed(resumed.metrics) == untimed(whole.metrics)
    assert_equal(resumed.policy, whole.policy)


def test_the_command_line_has_it(tmp_path: Path) -> None:
    file = tmp_path / "walk.json"
    file.write_text(json.dumps(walk(rollback=0, steps=PER_UPDATE).to_dict()))
    for number in ("2", "0"):
        done = call("train", "--config", str(file), "--out", str(tmp_path / number), "--quiet", "--rollback", number)
        assert done.exit_code == 0, done.output
        assert read_config(tmp_path / number).rollback == int(number)
        assert ("rejected_success" in read_metrics(tmp_path / number)[-1]) is bool(int(number))


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        (
            {"rollback": True},
            ValueError,
            "rollback is a whole number from 1, below 2.*, or 0 for none; got rollback=True",
        ),
        ({"rollback": -1}, ValueError, "got rollback=-1"),
        ({"eval_every": 0}, ValueError, "rollback is to the best evaluation; got rollback=1 and eval_every=0"),
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
