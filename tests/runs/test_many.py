"""Many runs as one compiled program: what each learns by itself, with a mean and a spread."""

import itertools
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.event_files import curve

import jaxdem_ac as ac
from jaxdem_ac import registry
from jaxdem_ac.environments.batching import when_any
from jaxdem_ac.environments.testing import Breaking, Tracking
from jaxdem_ac.runs.seeds import load_members

SMALL: dict[str, Any] = {
    "env": "multi_navigator",
    "env_kw": {"num_particles": 3, "max_steps": 150},
    "model_kw": {"architecture": [8]},
    "steps": 3 * 4 * 8 * 4,
    "report_every": 2,
}
FIGURES = ("reward", "value_loss", "policy_loss", "grad_norm", "kl", "entropy", "final_success")


def config(**keywords: Any) -> ac.TrainConfig:
    ppo = ac.PPOConfig(num_envs=4, num_steps=8, num_minibatches=2, num_epochs=2, **keywords.pop("ppo", {}))
    return ac.TrainConfig(**{**SMALL, "ppo": ppo, **keywords})


@pytest.fixture
def probe() -> Iterator[dict[str, Any]]:
    """Return fields of a run in a task that compiles quickly."""
    with registry.environments.temporarily("probe", Tracking):
        yield {"env": "probe", "env_kw": {"length": 3}, "steps": 2 * 4 * 8 * 4}


def assert_same_run(one: ac.TrainResult, other: ac.TrainResult, rtol: float = 1e-3) -> None:
    assert len(one.metrics) == len(other.metrics)
    for ours, theirs in zip(one.metrics, other.metrics, strict=True):
        for name in FIGURES:
            if ours[name] is None:
                assert theirs[name] is None, name
            else:
                assert ours[name] == pytest.approx(theirs[name], rel=rtol, abs=1e-5), name


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> ac.TrainResult:
    out = str(tmp_path_factory.mktemp("many") / "runs")
    return ac.train(config(num_seeds=3, seed=5, out=out, log=["tensorboard"]))


def test_a_seed_among_many_learns_exactly_as_a_single_run(seeds: ac.TrainResult) -> None:
    assert list(seeds.members) == ["seed-5", "seed-6", "seed-7"]
    for name, seed in (("seed-5", 5), ("seed-7", 7)):
        assert_same_run(seeds.members[name], ac.train(config(seed=seed)))


def test_each_seed_has_a_log_of_its_own(seeds: ac.TrainResult) -> None:
    for result in (seeds, *seeds.members.values()):
        assert result.run_dir is not None
        reported = [(line["steps"], pytest.approx(line["reward"], rel=1e-6)) for line in result.metrics]
        assert curve(result.run_dir / "tensorboard", "reward") == reported


def test_a_report_is_a_mean_and_a_spread(seeds: ac.TrainResult) -> None:
    assert len(seeds.metrics) == 2
    for number, line in enumerate(seeds.metrics):
        own = [member.metrics[number] for member in seeds.members.values()]
        for name in ("reward", "kl", "entropy"):
            values = [each[name] for each in own]
            assert len(set(values)) == 3
            assert line[name] == pytest.approx(np.mean(values))
            assert line[f"{name}_spread"] == pytest.approx(np.std(values, ddof=1))
        assert line["runs"] == 3
        assert line["diverged"] == 0
        assert line["steps"] == own[0]["steps"]
        assert line["agent_steps_per_second"] == pytest.approx(3 * own[0]["agent_steps_per_second"], abs=0.3)


def test_each_run_has_a_folder_that_is_a_run(seeds: ac.TrainResult) -> None:
    assert seeds.run_dir is not None
    observation = np.ones((3, 22), np.float32)
    for name, member in seeds.members.items():
        folder = seeds.run_dir / name
        assert member.run_dir == folder
        np.testing.assert_array_equal(ac.load_policy(folder)(observation), member.policy(observation))
        lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        assert lines == member.metrics
    lines = [json.loads(line) for line in (seeds.run_dir / "metrics.jsonl").read_text().splitlines()]
    assert lines == seeds.metrics
    with pytest.raises(ValueError, match=r"holds 3\. Give the folder of one of them: seed-5, seed-6, seed-7"):
        ac.load_policy(seeds.run_dir)
    best = max(seeds.members.values(), key=lambda member: member.metrics[-1]["final_success"] or -math.inf)
    assert best.metrics[-1]["final_success"] is not None


@pytest.mark.slow
def test_a_grid_trains_every_combination_as_a_single_run(probe: dict[str, Any]) -> None:
    grid = {"learning_rate": [1e-3, 1e-2], "entropy_coef": [0.0, 0.1]}
    result = ac.train(config(grid=grid, **probe))
    assert list(result.members) == [
        f"seed-0,learning_rate={rate:g},entropy_coef={coefficient:g}"
        for rate in grid["learning_rate"]
        for coefficient in grid["entropy_coef"]
    ]
    for rate, coefficient in ((1e-3, 0.1), (1e-2, 0.0)):
        member = result.members[f"seed-0,learning_rate={rate:g},entropy_coef={coefficient:g}"]
        alone = ac.train(config(ppo={"learning_rate": rate, "entropy_coef": coefficient}, **probe))
        assert member.config == alone.config
        names = [name for name in FIGURES if name != "entropy"]
        for ours, theirs in zip(member.metrics, alone.metrics, strict=True):
            for name in names:
                if ours[name] is not None:
                    assert ours[name] == pytest.approx(theirs[name], rel=1e-3, abs=1e-5), name


@pytest.mark.parametrize(
    "grid",
    [
        {"gamma": [0.9, 0.99], "gae_lambda": [0.5, 0.95]},
        {"clip_eps": [0.1, 0.3], "value_coef": [0.1, 1.0]},
        {"clip_value": [0.01, 1.0], "target_kl": [1e-6, 1.0], "max_grad_norm": [0.1, 1.0]},
    ],
)
@pytest.mark.slow
def test_everything_that_a_grid_may_vary_has_its_effect(grid: dict[str, list[float]], probe: dict[str, Any]) -> None:
    result = ac.train(config(grid=grid, ppo={"learning_rate": 5e-2}, **probe))
    members = dict(zip(itertools.product(*grid.values()), result.members.values(), strict=True))
    last = tuple(values[-1] for values in grid.values())
    for number, name in enumerate(grid):
        other = tuple(values[0] if here == number else values[-1] for here, values in enumerate(grid.values()))
        assert members[other].metrics[-1]["grad_norm"] != members[last].metrics[-1]["grad_norm"], name
    assert_same_run(members[last], ac.train(members[last].config))


def test_a_run_that_diverges_does_not_stop_the_others(probe: dict[str, Any], tmp_path: Path) -> None:
    broken = {"learning_rate": [1e-2, 1e38]}
    result = ac.train(config(grid=broken, ppo={"max_grad_norm": 1e30}, out=str(tmp_path / "run"), **probe))
    assert result.metrics[-1]["diverged"] == 1
    good = result.members["seed-0,learning_rate=0.01"]
    assert result.metrics[-1]["reward"] == good.metrics[-1]["reward"]
    for leaf in jax.tree.leaves(result.policy.model_state):
        assert bool(jnp.isfinite(leaf).all())
    observation = np.full((1, 1), 0.3, np.float32)
    np.testing.assert_array_equal(result.policy(observation), good.policy(observation))
    with pytest.warns(RuntimeWarning, match=r"1 of 2 runs in .* diverged; .*: seed-0,learning_rate=1e\+38\."):
        load_members(tmp_path / "run", result.config)


def test_a_run_in_which_all_diverge_says_what_of() -> None:
    broken = {"env": "probe", "env_kw": {"bad_reward_at": 20}, "model_kw": {"architecture": [8]}}
    with (
        registry.environments.temporarily("probe", Breaking),
        pytest.raises(FloatingPointError, match="first in 'reward'"),
    ):
        ac.train(config(num_seeds=2, **broken, steps=2 * 4 * 8 * 6))


def test_seeds_that_are_stopped_and_resumed_end_as_uninterrupted_ones(seeds: ac.TrainResult, tmp_path: Path) -> None:
    whole = seeds

    def stop(_: dict[str, Any]) -> None:
        raise KeyboardInterrupt

    out = str(tmp_path / "stopped")
    with pytest.raises(KeyboardInterrupt):
        ac.train(config(num_seeds=3, seed=5, out=out), stop)
    resumed = ac.resume(out)
    assert len(resumed.metrics) == 2
    for name, member in resumed.members.items():
        for here, there in zip(
            jax.tree.leaves(member.policy.model_state),
            jax.tree.leaves(whole.members[name].policy.model_state),
            strict=True,
        ):
            np.testing.assert_array_equal(here, there)
    # One of them can go on by itself, too.
    alone = ac.resume(Path(out) / "seed-6")
    assert alone.metrics == resumed.members["seed-6"].metrics


def test_an_old_run_is_overwritten_with_its_members_only_if_asked(probe: dict[str, Any], tmp_path: Path) -> None:
    out = tmp_path / "run"
    ac.train(config(num_seeds=2, out=str(out), **probe))
    assert (out / "seed-1").is_dir()
    (out / "notes.txt").write_text("mine")
    (out / "seed-1" / "notes.txt").write_text("mine too")
    with pytest.raises(FileExistsError, match="overwrite=True"):
        ac.train(config(out=str(out), **probe))
    ac.train(config(out=str(out), **probe), overwrite=True)
    left = ["checkpoints", "config.json", "metrics.jsonl", "notes.txt", "seed-1"]
    assert sorted(path.name for path in out.iterdir()) == left
    assert [path.name for path in (out / "seed-1").iterdir()] == ["notes.txt"]


def test_a_run_that_lies_where_a_member_would_is_not_touched(probe: dict[str, Any], tmp_path: Path) -> None:
    single = ac.train(config(out=str(tmp_path / "seed-1"), seed=1, **probe))
    assert single.run_dir is not None
    before = {path: path.read_bytes() for path in single.run_dir.rglob("*") if path.is_file()}
    with pytest.raises(FileExistsError, match=r"seed-1', which holds a run"):
        ac.train(config(num_seeds=2, out=str(tmp_path), **probe))
    assert {path: path.read_bytes() for path in single.run_dir.rglob("*") if path.is_file()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["seed-1"]


def test_a_folder_without_a_common_checkpoint_is_refused(probe: dict[str, Any], tmp_path: Path) -> None:
    out = tmp_path / "run"
    ac.train(config(num_seeds=2, out=str(out), **probe))
    for path in sorted((out / "seed-1" / "checkpoints").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    with pytest.raises(FileNotFoundError, match="a checkpoint that all have"):
        ac.resume(out)


def test_a_member_that_went_on_by_itself_is_left_as_it_is(probe: dict[str, Any], tmp_path: Path) -> None:
    """Whether or not the others could go as far."""
    out = tmp_path / "run"
    ac.train(config(num_seeds=2, out=str(out), **probe))
    ac.resume(out / "seed-0", steps=384)
    kept = {path: path.read_bytes() for path in out.rglob("*") if path.is_file() and "lock" not in path.name}
    for steps in (None, 384):
        with pytest.raises(ValueError, match=r"go on together; got seed-0 at update 6 of .* stand at update 4\."):
            ac.resume(out, steps=steps)
    assert kept == {path: path.read_bytes() for path in kept}
    assert ac.resume(out / "seed-1", steps=384).metrics[-1]["update"] == 6


@pytest.mark.parametrize(
    ("keywords", "said"),
    [
        ({"num_seeds": 0}, "num_seeds is a whole number from 1"),
        ({"grid": {"learning_rat": [1.0]}}, "Did you mean 'learning_rate'"),
        ({"grid": {"num_envs": [2, 4]}}, "a grid varies numbers of ppo"),
        ({"grid": {"gamma": 0.9}}, "a list of different values"),
        ({"grid": {"gamma": []}}, "a list of different values"),
        ({"grid": {"gamma": [0.9, 0.9]}}, "a list of different values"),
        ({"grid": {"gamma": [1, 1.0]}}, "values of grid.gamma differ"),
        ({"grid": {"gamma": [0.9, 1.5]}}, r"gamma is in \[0, 1\]"),
        ({"grid": {"gamma": [0.9, "x"]}}, "a list of numbers"),
    ],
)
def test_bad_grids_are_named(keywords: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        ac.TrainConfig(**keywords)


def test_a_grid_is_set_by_dotted_fields_and_survives_json() -> None:
    made = config().with_values({"grid.gamma": [0.9, 0.95], "num_seeds": 2})
    assert len(made.members()) == 4
    assert ac.TrainConfig.from_dict(json.loads(json.dumps(made.to_dict()))) == made


def test_values_that_look_alike_are_runs_of_their_own() -> None:
    made = ac.TrainConfig(grid={"gamma": [0.9999999, 0.99999999], "learning_rate": [1e-4, 0.3333333333]})
    gammas, rates = ["0.9999999", "0.99999999"], ["0.0001", "0.333333"]
    assert list(made.members()) == [f"seed-0,gamma={g},learning_rate={rate}" for g in gammas for rate in rates]


def test_one_condition_stays_one_for_all_that_are_mapped() -> None:
    calls: list[None] = []

    def compute(x: jax.Array) -> jax.Array:
        jax.debug.callback(lambda: calls.append(None))
        return 2 * x

    def choose(happens: jax.Array, x: jax.Array) -> jax.Array:
        return when_any(happens, compute, jnp.zeros_like(x), x)

    x = jnp.arange(6.0).reshape(2, 3)
    mapped = jax.jit(jax.vmap(choose))
    np.testing.assert_array_equal(mapped(jnp.zeros((2, 3), bool), x), jnp.zeros((2, 3)))
    jax.effects_barrier()
    assert not calls
    np.testing.assert_array_equal(mapped(jnp.asarray([[False] * 3, [False, True, False]]), x), 2 * x)
    np.testing.assert_array_equal(jax.vmap(choose, (None, 0))(jnp.ones(3, bool), x), 2 * x)
    np.testing.assert_array_equal(jax.vmap(jax.vmap(choose))(x[..., None] > 9, x[..., None]), 0 * x[..., None])
