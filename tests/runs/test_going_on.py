"""A run that has ended goes on to more steps, and its policy begins another run."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.a2c import A2C
from support.command_line import assert_one_line, call
from support.compared import assert_equal, untimed
from support.recurrent_models import Remembering

import jaxdem_ac as ac
from jaxdem_ac import registry
from jaxdem_ac.environments.testing import Tracking, Walk
from jaxdem_ac.runs import checkpoint
from jaxdem_ac.runs.run_dir import read_config, read_metrics
from jaxdem_ac.runs.seeds import load_members
from jaxdem_ac.trainers.ppo.ppo import make_optimizer

PPO = ac.PPOConfig(
    num_envs=4, num_steps=8, num_minibatches=2, num_epochs=1, learning_rate=0.01, schedule="constant",
    normalize_observation=True, normalize_return=True,
)  # fmt: skip
PER_REPORT = 2 * 4 * 8 * 2


def walk(reports: int, **changes: Any) -> ac.TrainConfig:
    fields: dict[str, Any] = {
        "env": "walk", "env_kw": {"goal": 4.0}, "model_kw": {"architecture": [8]}, "ppo": PPO,
        "steps": PER_REPORT * reports, "report_every": 2,
    }  # fmt: skip
    return ac.TrainConfig(**{**fields, **changes})


@pytest.fixture(scope="module", autouse=True)
def _tasks() -> Iterator[None]:
    with (
        registry.environments.temporarily("walk", Walk),
        registry.environments.temporarily("track", Tracking),
        registry.algorithms.temporarily("a2c", A2C),
    ):
        yield


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of two reports."""
    out = tmp_path_factory.mktemp("runs") / "short"
    ac.train(walk(2, out=str(out)))
    return out


@pytest.fixture
def run(short: Path, tmp_path: Path) -> Path:
    """A copy of it, to go on with."""
    return Path(shutil.copytree(short, tmp_path / "run"))


def test_a_longer_run_is_the_one_that_was_so_long_from_the_beginning(run: Path) -> None:
    """To the last bit; and its folder says how long it is now."""
    whole = ac.train(walk(5))
    seen: list[dict[str, Any]] = []
    longer = ac.resume(run, seen.append, steps=PER_REPORT * 5)
    assert [line["update"] for line in seen] == [6, 8, 10]
    assert_equal(longer.policy, whole.policy)
    lines = [{**line, "total_steps": PER_REPORT * 5} for line in untimed(longer.metrics)]
    assert lines == untimed(whole.metrics)
    config = read_config(run)
    assert config == replace(read_config(run), steps=PER_REPORT * 5)
    assert not ac.resume(run, seen.append).metrics[5:]
    assert len(seen) == 3


def test_an_end_between_two_reports_is_gone_on_from(tmp_path: Path) -> None:
    """A run shorter than a report, then one of whole reports."""
    out = str(tmp_path / "run")
    ac.train(walk(1, report_every=8, out=out))
    longer = ac.resume(out, steps=PER_REPORT * 8)
    assert [line["update"] for line in longer.metrics] == [2, 8, 16]
    assert_equal(longer.policy, ac.train(walk(8, report_every=8)).policy)


def test_another_precision_is_said(tmp_path: Path) -> None:
    with jax.enable_x64(True):
        ac.train(walk(1, out=str(tmp_path)))
    # Of a run that has ended nothing is left to compile.
    with pytest.warns(RuntimeWarning, match=r"began with, float64; got float32. Set JAX_ENABLE_X64=1"):
        ac.resume(tmp_path)


def test_an_interrupted_run_may_be_made_shorter_but_not_than_it_is(run: Path) -> None:
    stored = (run / "config.json").read_text()
    with pytest.raises(ValueError, match=r"no fewer than it has made; got steps=255, and 256 are made\. Raise it"):
        ac.resume(run, steps=PER_REPORT * 2 - 1)
    with pytest.raises(ValueError, match="steps is a whole number from 1"):
        ac.resume(run, steps=0)
    assert (run / "config.json").read_text() == stored

    def stop(_: dict[str, Any]) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ac.resume(run, stop, steps=PER_REPORT * 9)
    assert read_config(run).steps == PER_REPORT * 9
    assert ac.resume(run, steps=PER_REPORT * 4).metrics[-1]["update"] == 8


def test_a_schedule_is_that_of_the_new_length_from_where_the_run_stands(tmp_path: Path) -> None:
    """A linear one that had come to 0 halfway goes on from half the rate, and comes to 0 at the new end."""
    out = tmp_path / "run"
    linear = walk(2, out=str(out), ppo=replace(PPO, schedule="linear", normalize_return=False))
    problems = []

    class Watching(ac.runs.run_batch.RunBatch):  # type: ignore[name-defined, misc]
        def update(self, number: int) -> Any:
            problems.append((self.problem, self.state))
            return super().update(number)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("jaxdem_ac.runs.train.RunBatch", Watching)
        ac.train(linear)
        ac.resume(out, steps=PER_REPORT * 4)
    assert len(problems) == 4

    def rate(problem: Any, state: Any) -> float:
        """Return how far a first step of a fresh moment goes, at the count of the state."""
        params = {"x": jnp.zeros(())}
        optimizer = make_optimizer(problem)
        fresh = optimizer.init(params)
        counts = [leaf for leaf in jax.tree.leaves(state.opt_state) if leaf.ndim == 0 and leaf.dtype == jnp.int32]
        # The moments' own count stays 0, that of the schedule is the last one.
        leaves, structure = jax.tree.flatten(fresh)
        last = max(place for place, leaf in enumerate(leaves) if leaf.dtype == jnp.int32)
        leaves[last] = counts[-1]
        step, _ = optimizer.update({"x": jnp.full((), 0.1)}, jax.tree.unflatten(structure, leaves), params)
        return -float(step["x"])

    rates = [rate(*each) for each in problems]
    np.testing.assert_allclose(rates, [0.01, 0.005, 0.005, 0.0025], rtol=1e-3)


def test_runs_side_by_side_go_on_together(tmp_path: Path) -> None:
    out = tmp_path / "runs"
    ac.train(walk(2, num_seeds=2, out=str(out)))
    longer = ac.resume(out, steps=PER_REPORT * 3)
    whole = ac.train(walk(3, num_seeds=2))
    for name, member in longer.members.items():
        assert_equal(member.policy, whole.members[name].policy)
        assert read_config(out / name).steps == PER_REPORT * 3
        assert read_metrics(out / name)[-1]["update"] == 6
    assert read_config(out).steps == PER_REPORT * 3


def test_a_run_that_was_good_enough_is_complete(tmp_path: Path) -> None:
    out = str(tmp_path / "run")
    ac.train(walk(4, eval_every=1, eval_episodes=4, stop_at_success=1e-6, ppo=replace(PPO, learning_rate=0.1), out=out))
    reports = len(read_metrics(out))
    assert reports < 4
    with pytest.raises(ValueError, match=r"has reached its stop_at_success is complete.*with init_from"):
        ac.resume(out, steps=PER_REPORT * 8)
    assert_one_line(call("train", "--resume", out, "--steps", "5000"), "is complete", "with --init-from")
    assert read_config(out).steps == PER_REPORT * 4


def test_another_run_begins_from_the_policy(short: Path, tmp_path: Path) -> None:
    """Its parameters and normalizers; a learning rate of almost nothing shows them. Optimizer and counters are new."""
    source = ac.load_policy(short)
    still = replace(ac.PPOConfig(), **{**vars(PPO), "learning_rate": 1e-30})
    out = tmp_path / "new"
    config = ac.TrainConfig(
        env="walk", env_kw={"goal": 9.0, "num_particles": 3}, seed=4, ppo=still, steps=3 * 4 * 8, report_every=1,
        init_from=str(short), out=str(out),
    )  # fmt: skip
    result = ac.train(config)
    assert_equal(result.policy.model_state, source.model_state)
    assert source.normalizer is not None
    assert result.policy.normalizer is not None
    # What the run has seen itself comes on top: E environments, T decisions, N particles.
    assert float(result.policy.normalizer.count) == float(source.normalizer.count) + 4 * 8 * 3
    assert source.return_normalizer is not None
    assert result.policy.return_normalizer is not None
    assert float(result.policy.return_normalizer.count) > float(source.return_normalizer.count) > 0
    assert [line["update"] for line in result.metrics] == [1]
    kept = read_config(out)
    assert (kept.init_from, kept.init_checkpoint) == (str(short), 4)
    assert kept.model_kw == {"architecture": [8]}
    # Before it was trained it had the policy that it began from.
    (before,) = load_members(out, kept, untrained=True).values()
    assert_equal(before, source)
    # Going on needs nothing of the other run.
    stored = json.loads((out / "config.json").read_text())
    stored["config"]["init_from"] = str(tmp_path / "gone")
    (out / "config.json").write_text(json.dumps(stored))
    assert ac.resume(out, steps=2 * 3 * 4 * 8).metrics[-1]["update"] == 2
    with pytest.warns(RuntimeWarning, match=r"before its training is that of init_from; got .*gone.*random parameters"):
        load_members(out, read_config(out), untrained=True)


def test_the_normalization_is_that_of_the_policy(short: Path) -> None:
    plain = replace(PPO, normalize_observation=False, normalize_return=False)
    result = ac.train(walk(1, model_kw={}, ppo=plain, init_from=str(short)))
    assert result.config.ppo.normalize_observation
    assert result.policy.normalizer is not None
    unnormalized = ac.train(walk(1, ppo=plain))
    assert unnormalized.policy.normalizer is None


def test_an_algorithm_without_a_normalization_has_none(tmp_path: Path) -> None:
    out = str(tmp_path / "a2c")
    ac.train(walk(1, algorithm="a2c", out=out))
    with pytest.raises(
        ValueError, match=r"got ppo.normalize_observation=True, and a policy without it.*Set it to False"
    ):
        ac.train(walk(1, init_from=out))


def test_a_checkpoint_may_be_chosen_and_many_begin_from_it(short: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(short, tmp_path / "run"))
    ac.resume(run, steps=PER_REPORT * 3)
    assert checkpoint.saved(run) == [4, 6]
    grid = {"learning_rate": [1e-30, 1e-29]}
    result = ac.train(walk(1, init_from=str(run), init_checkpoint=4, num_seeds=2, grid=grid))
    assert result.config.init_checkpoint == 4
    assert len(result.members) == 4
    for member in result.members.values():
        assert_equal(member.policy.model_state, ac.load_policy(run, 4).model_state)
    with pytest.raises(ValueError, match="got checkpoint=5, there are 4, 6"):
        ac.train(walk(1, init_from=str(run), init_checkpoint=5))


def test_a_recurrent_policy_begins_another_run(tmp_path: Path) -> None:
    """With nothing remembered, for another number of particles."""
    with registry.models.temporarily("remembering", Remembering):
        source = walk(1, model="remembering", model_kw={}, out=str(tmp_path / "run"))
        policy = ac.train(source).policy
        still = replace(PPO, learning_rate=1e-30)
        changes: dict[str, Any] = {"model_kw": {}, "env_kw": {"num_particles": 5}, "ppo": still}
        result = ac.train(walk(1, init_from=source.out, **changes))
        assert result.config.model == "remembering"
        assert result.policy.is_recurrent
        assert_equal(result.policy.model_state, policy.model_state)


def test_what_does_not_fit_is_named(short: Path, tmp_path: Path) -> None:
    source = str(short)
    for changes, said in (
        ({"model": "ActorCritic"}, r"got model='ActorCritic', there 'SharedActorCritic' in"),
        ({"action_space": "Free"}, r"got action_space='Free', there 'MaxNorm' in"),
        (
            {"model_kw": {"architecture": [9]}},
            r"got actor_mu\.kernel \(9, 1\), there \(8, 1\); .* and 1 more in .*model_kw",
        ),
        ({"env": "track", "env_kw": {}}, r"observations of its size; got 1 numbers in env='track' and 3 in"),
    ):
        with pytest.raises(ValueError, match=said):
            ac.train(walk(1, init_from=source, out=str(tmp_path / "new"), **changes))
    plain = str(tmp_path / "plain")
    ac.train(walk(1, ppo=replace(PPO, normalize_observation=False), out=plain))
    with pytest.raises(ValueError, match=r"got ppo\.normalize_observation=True, there False in"):
        ac.train(walk(1, init_from=plain))
    with pytest.raises(FileNotFoundError, match=r"a run folder holds config\.json"):
        ac.train(walk(1, init_from=str(tmp_path)))
    with pytest.raises(TypeError, match=r"A2C: a run begins from a policy without normalizers; got one with them"):
        ac.train(walk(1, init_from=source, algorithm="a2c"))
    assert not (tmp_path / "new").exists()


def test_an_algorithm_of_anybody_begins_from_a_policy(tmp_path: Path) -> None:
    source = str(tmp_path / "run")
    ac.train(walk(1, ppo=replace(PPO, normalize_observation=False, normalize_return=False), out=source))
    config = walk(1, init_from=source, algorithm="a2c").with_values({"a2c.learning_rate": 1e-30})
    assert_equal(ac.train(config).policy.model_state, ac.load_policy(source).model_state)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"init_checkpoint": 3}, "init_checkpoint is of the run in init_from; got init_checkpoint=3 alone"),
        ({"init_from": "there", "init_checkpoint": "newest"}, "is 'best', 'last' or a number; got 'newest'"),
        ({"init_from": "there", "init_checkpoint": True}, "is 'best', 'last' or a number; got True"),
        ({"init_from": 3}, "init_from is a path"),
    ],
)
def test_bad_sources_are_named(changes: dict[str, Any], said: str) -> None:
    with pytest.raises((ValueError, TypeError), match=said):
        walk(1, **changes)


def test_the_command_line_has_both(run: Path, tmp_path: Path) -> None:
    done = call("train", "--resume", str(run), "--steps", str(PER_REPORT * 3), "--quiet")
    assert done.exit_code == 0, done.output
    assert "trained 384 agent-steps" in done.stdout
    again = call("train", "--resume", str(run), "--steps", str(PER_REPORT * 3))
    assert f"at 384 agent-steps; kept in {run}. To go on: jaxdem-ac train --resume {run} --steps 768" in again.stdout
    arguments = ("train", "--config", str(run / "config.json"), "--init-from", str(run), "--out", str(tmp_path / "new"))
    new = call(*arguments, "--checkpoint", "4", "--seed", "7", "--quiet")
    assert new.exit_code == 0, new.output
    kept = read_config(tmp_path / "new")
    assert (kept.init_from, kept.init_checkpoint, kept.seed) == (str(run), 4, 7)
    both = call("train", "--resume", str(run), "--init-from", str(run))
    assert_one_line(both, "Leave out all but --steps and --devices")
    alone = call("train", "--checkpoint", "best")
    assert_one_line(alone, "--checkpoint is of the run in --init-from", "Set --init-from")
