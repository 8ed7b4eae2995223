"""Whole trainings, tiny: files, the policy that comes back from them, and what is refused."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxdem_ac as ac
from jaxdem_ac import registry
from jaxdem_ac.environments.testing import Breaking
from jaxdem_ac.runs.build import initial_policy, with_training_defaults
from jaxdem_ac.runs.recording import record_episode
from jaxdem_ac.runs.run_dir import read_config, read_metrics

ENV_KW = {"num_particles": 4, "physics_steps": 1, "max_steps": 8, "n_lidar_rays": 5}
PPO = ac.PPOConfig(
    num_envs=2, num_steps=4, num_epochs=2, num_minibatches=2, learning_rate=1e-2, normalize_observation=True
)
PER_UPDATE = 2 * 4 * 4


def tiny(**keywords: Any) -> ac.TrainConfig:
    """Return a run of three updates."""
    settings: dict[str, Any] = {
        "env_kw": ENV_KW,
        "model_kw": {"architecture": [8]},
        "steps": 3 * PER_UPDATE,
        "report_every": 1,
        "ppo": PPO,
    }
    return ac.TrainConfig(**{**settings, **keywords})


@pytest.fixture(scope="module")
def reports() -> list[dict[str, Any]]:
    return []


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, reports: list[dict[str, Any]]) -> ac.TrainResult:
    """Train once, into a folder."""
    return ac.train(tiny(out=str(tmp_path_factory.mktemp("runs") / "nav")), reports.append)


@pytest.fixture
def copied(run: ac.TrainResult, tmp_path: Path) -> Path:
    """Return a copy of the run's folder, to spoil."""
    assert run.run_dir is not None
    return Path(shutil.copytree(run.run_dir, tmp_path / "run"))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def measured(metrics: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return metrics without what the clock says."""
    clock = ("seconds", "agent_steps_per_second")
    return [{name: value for name, value in line.items() if name not in clock} for line in metrics]


def test_a_run_lives_in_one_folder(run: ac.TrainResult) -> None:
    assert run.run_dir is not None
    assert {path.name for path in run.run_dir.iterdir()} == {"config.json", "metrics.jsonl", "checkpoints"}


def test_the_configuration_comes_back_as_it_ran(run: ac.TrainResult) -> None:
    assert read_config(run.run_dir) == run.config
    assert run.config.env_kw == ENV_KW
    # What the environment advises where nothing was set.
    assert run.config.action_space_kw == registry.environments.get("swarm_navigator").action_space_defaults["MaxNorm"]
    assert json.loads((run.run_dir / "config.json").read_text())["format"] == 3


def test_every_report_is_kept(run: ac.TrainResult, reports: list[dict[str, Any]]) -> None:
    assert read_metrics(run.run_dir) == run.metrics == reports
    assert [line["update"] for line in reports] == [1, 2, 3]
    assert [line["steps"] for line in reports] == [PER_UPDATE, 2 * PER_UPDATE, 3 * PER_UPDATE]
    for line in reports:
        assert line["total_steps"] == 3 * PER_UPDATE
        for name in ("reward", "success", "policy_loss", "value_loss", "entropy", "kl", "grad_norm"):
            assert np.isfinite(line[name]), name
    # Episodes of 8 decisions end in the second rollout of 4 only.
    assert [line["final_success"] is None for line in reports] == [True, False, True]


def test_the_policy_comes_back_bit_for_bit(run: ac.TrainResult) -> None:
    policy = ac.load_policy(run.run_dir)
    size = run.environment.observation_size
    for batch in ((), (4,), (2, 4), (3, 2, 4)):
        observation = np.random.default_rng(0).normal(size=(*batch, size)).astype(np.float32)
        action = policy(observation)
        assert action.shape == (*batch, 2)
        np.testing.assert_array_equal(action, run.policy(observation))
        np.testing.assert_array_equal(action, policy(observation))
        key = jax.random.key(1)
        sampled = policy(observation, key)
        np.testing.assert_array_equal(sampled, run.policy(observation, key))
        assert not np.array_equal(sampled, action)
        assert not np.array_equal(sampled, policy(observation, jax.random.key(2)))
        assert (np.linalg.norm(sampled, axis=-1) <= run.config.action_space_kw["max_norm"]).all()


def test_what_was_learnt_is_what_is_kept(run: ac.TrainResult) -> None:
    loaded, initial = ac.load_policy(run.run_dir), initial_policy(run.config)
    x = np.random.default_rng(1).normal(size=(5, run.environment.observation_size)).astype(np.float32)
    assert not np.array_equal(loaded(x), initial(x))
    assert loaded.normalizer is not None
    assert float(loaded.normalizer.count) == 3 * PER_UPDATE


def test_without_a_normalizer_the_model_sees_what_is_there(run: ac.TrainResult) -> None:
    policy = initial_policy(replace(run.config, ppo=replace(PPO, normalize_observation=False)))
    assert policy.normalizer is None
    x = np.random.default_rng(1).normal(size=(5, run.environment.observation_size)).astype(np.float32)
    np.testing.assert_allclose(policy(x), policy.model(x)[0].mode(), rtol=1e-5, atol=1e-6)


def test_an_observation_of_the_wrong_width_is_refused(run: ac.TrainResult) -> None:
    with pytest.raises(ValueError, match=r"policy: an observation has 12 numbers .*\(4, 3\)"):
        run.policy(jnp.zeros((4, 3)))


def test_a_trained_policy_is_evaluated(run: ac.TrainResult) -> None:
    found = ac.evaluate(run.environment, ac.load_policy(run.run_dir), jax.random.key(0), 4)
    assert 0 <= found.success.mean <= 1
    assert found.reward.low <= found.reward.mean <= found.reward.high


def test_equal_seeds_give_equal_runs_in_memory_and_in_a_folder(run: ac.TrainResult) -> None:
    again = ac.train(tiny())
    assert again.run_dir is None
    assert measured(again.metrics) == measured(run.metrics)
    jax.tree.map(np.testing.assert_array_equal, again.policy.model_state, run.policy.model_state)
    other = ac.train(tiny(seed=1))
    assert measured(other.metrics) != measured(run.metrics)


def test_reports_group_updates() -> None:
    run = ac.train(tiny(steps=5 * PER_UPDATE - 1, report_every=2))
    # Five updates, rounded up to whole reports.
    assert [line["update"] for line in run.metrics] == [2, 4, 6]
    assert run.metrics[-1]["steps"] == 6 * PER_UPDATE


def test_a_folder_that_holds_a_run_is_refused_and_untouched(copied: Path) -> None:
    before = contents(copied)
    with pytest.raises(FileExistsError, match="holds a run"):
        ac.train(tiny(out=str(copied)))
    assert contents(copied) == before


def test_overwriting_deletes_a_runs_own_files_only(copied: Path) -> None:
    (copied / "notes.txt").write_text("mine")
    (copied / "figures").mkdir()
    (copied / "figures" / "old.png").write_text("mine too")
    run = ac.train(tiny(out=str(copied), seed=1), overwrite=True)
    assert (copied / "notes.txt").read_text() == "mine"
    assert (copied / "figures" / "old.png").read_text() == "mine too"
    assert read_metrics(copied) == run.metrics
    assert read_config(copied).seed == 1
    x = jnp.ones((4, run.environment.observation_size))
    np.testing.assert_array_equal(ac.load_policy(copied)(x), run.policy(x))


def test_a_folder_with_other_files_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    run = ac.train(tiny(out=str(tmp_path)))
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert read_config(tmp_path) == run.config


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(FileExistsError, match="out is a folder"):
        ac.train(tiny(out=str(tmp_path / "file")))
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"env": "swarm_navigater"}, KeyError, "Did you mean 'swarm_navigator'"),
        ({"model": "SharedActorCritc"}, KeyError, "Did you mean 'SharedActorCritic'"),
        ({"action_space": "MaxNrom"}, KeyError, "Did you mean 'MaxNorm'"),
        ({"env_kw": {"num_particle": 3}}, TypeError, "Did you mean 'num_particles'"),
        ({"model_kw": {"architectur": [3]}}, TypeError, "Did you mean 'architecture'"),
        ({"action_space_kw": {"max_nrm": 3}}, TypeError, "Did you mean 'max_norm'"),
        ({"env_kw": {"num_particles": 0}}, ValueError, "num_particles=0"),
    ],
)
def test_a_mistake_is_found_before_anything_is_written(
    settings: dict[str, Any], error: type[Exception], words: str, tmp_path: Path
) -> None:
    with pytest.raises(error) as raised:
        ac.train(tiny(**settings, out=str(tmp_path / "run")))
    assert words in str(raised.value)
    assert not (tmp_path / "run").exists()


def test_what_json_cannot_hold_is_named(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="numbers, strings and lists"):
        ac.train(tiny(model_kw={"architecture": [8], "activation": jnp.tanh}, out=str(tmp_path / "run")))


def test_advice_yields_to_what_is_set() -> None:
    found = with_training_defaults(
        ac.TrainConfig(env_kw={"num_particles": 3}, action_space="Box", action_space_kw={"x_max": 9.0})
    )
    advice = registry.environments.get("swarm_navigator")
    assert found.env_kw == {**advice.training_defaults, "num_particles": 3}
    assert found.action_space_kw == {**advice.action_space_defaults["Box"], "x_max": 9.0}


@pytest.mark.parametrize("folder", [None, "empty", "not json", "not a run", "other format", "no checkpoint"])
def test_what_is_no_run_is_not_loaded(folder: str | None, copied: Path, tmp_path: Path) -> None:
    error: type[Exception] = FileNotFoundError
    path = tmp_path / "nothing"
    if folder is not None:
        path = copied
        config = path / "config.json"
        if folder == "empty":
            shutil.rmtree(path)
            path.mkdir()
        elif folder == "no checkpoint":
            shutil.rmtree(path / "checkpoints")
        else:
            error = ValueError
            text = {"not json": "{", "not a run": "{}", "other format": '{"format": 99, "config": {}}'}[folder]
            config.write_text(text)
    with pytest.raises(error, match=r"^load: .*; got "):
        ac.load_policy(path)


def test_a_checkpoint_of_another_model_is_refused(copied: Path) -> None:
    path = copied / "config.json"
    stored = json.loads(path.read_text())
    stored["config"]["model_kw"]["architecture"] = [16]
    path.write_text(json.dumps(stored))
    with pytest.raises(ValueError, match=r"load: the checkpoint 3 .* is damaged, or not of the model"):
        ac.load_policy(copied)


def test_loading_imports_nothing_that_a_file_names(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (copied / "evil_code.py").write_text("raise SystemExit")
    monkeypatch.syspath_prepend(copied)
    path = copied / "config.json"
    stored = json.loads(path.read_text())
    stored["config"]["model_kw"]["activation"] = "evil_code.run"
    path.write_text(json.dumps(stored))
    with pytest.raises(ValueError, match="activation: no such name"):
        ac.load_policy(copied)


def test_a_last_line_that_a_crash_cut_short_is_left_out(copied: Path) -> None:
    whole = read_metrics(copied)
    with (copied / "metrics.jsonl").open("a") as file:
        file.write('{"update": 4, "ste')
    assert read_metrics(copied) == whole


@pytest.mark.parametrize(("term", "field"), [("reward", "bad_reward_at"), ("observation", "bad_observation_at")])
def test_a_number_that_is_not_finite_stops_a_run_and_keeps_what_was_learnt(
    term: str, field: str, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {"env": "probe", "action_space": "Free", "steps": 4 * 2 * 4 * 2}
    with registry.environments.temporarily("probe", Breaking):
        # Decision 9 is in the third update.
        with pytest.raises(FloatingPointError, match=rf"first in '{term}', between updates 2 and 3\.") as raised:
            ac.train(tiny(**settings, env_kw={field: 9}, out=str(tmp_path / "run")))
        kept = ac.load_policy(tmp_path / "run")
    assert str(tmp_path / "run") in str(raised.value)
    for leaf in jax.tree.leaves(kept.model_state):
        assert np.isfinite(leaf).all()
    assert np.isfinite(kept(jnp.ones((2, 1)))).all()
    assert [line["update"] for line in read_metrics(tmp_path / "run")] == [1, 2, 3]


def test_another_model_and_action_space_train_too() -> None:
    run = ac.train(
        tiny(
            model="ActorCritic",
            model_kw={"actor_architecture": [8], "critic_architecture": [4], "actor_sigma_head": True},
            action_space="Box",
            steps=PER_UPDATE,
        )
    )
    action = run.policy(jnp.ones((4, run.environment.observation_size)), jax.random.key(0))
    low, high = run.config.action_space_kw["x_min"], run.config.action_space_kw["x_max"]
    assert (action >= low).all()
    assert (action <= high).all()


def test_files_of_something_else_are_never_deleted(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"mine": 1}')
    (tmp_path / "checkpoints").mkdir()
    config = ac.TrainConfig(steps=1, env_kw={"num_particles": 2}, out=str(tmp_path))
    with pytest.raises(FileExistsError, match=r"config\.json, checkpoints of something else"):
        ac.train(config, overwrite=True)
    assert (tmp_path / "config.json").read_text() == '{"mine": 1}'
    assert (tmp_path / "checkpoints").is_dir()


def test_a_mistake_found_late_leaves_no_folder(tmp_path: Path) -> None:
    run = tmp_path / "run"
    config = ac.TrainConfig(steps=1, env_kw={"num_particles": 2}, model_kw={"discrete": True}, out=str(run))
    with pytest.raises(ValueError, match="got discrete=True"):
        ac.train(config)
    assert not run.exists()


@pytest.mark.parametrize("field", ["normalize_advantage", "normalize_observation"])
def test_a_word_is_not_a_truth_value(field: str) -> None:
    with pytest.raises(TypeError, match=f"{field} is true or false; got {field}='False'"):
        ac.PPOConfig(**{field: "False"})


def test_only_a_last_report_may_be_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    first, second, third = (f'{{"steps": {number}, "update": {number}}}\n' for number in (1, 2, 3))
    path.write_text(first + second + '{"st')
    assert [line["steps"] for line in read_metrics(tmp_path)] == [1, 2]
    path.write_text(first + '{"st\n' + third)
    with pytest.raises(ValueError, match="got line 2"):
        read_metrics(tmp_path)


def test_nothing_is_divided_by_nothing(tmp_path: Path) -> None:
    """A rollout without the end of an episode has figures of none, and no 0 / 0 that JAX would stop at."""

    def ahead(observation: Any, key: Any = None) -> Any:
        return jnp.ones((*observation.shape[:-1], 2))

    with jax.debug_nans(True):
        run = ac.train(tiny(steps=2 * PER_UPDATE, ppo=replace(PPO, target_kl=0.01, normalize_return=True)))
        recording = record_episode("swarm_navigator", ENV_KW, ahead, decisions=2)
        back = ac.Recording.load(recording.save(tmp_path / "episode.npz"))
    assert [line["final_success"] for line in run.metrics] == [None, run.metrics[1]["final_success"]]
    assert run.metrics[1]["final_success"] is not None
    assert not any("ended" in name for name in run.metrics[0])
    assert np.isnan(back.value).all()


@pytest.mark.parametrize(
    ("keywords", "word"), [({"num_envs": 2**15, "num_steps": 2**15}, "rollout"), ({}, "optimizer")]
)
def test_counts_beyond_32_bits_are_refused_before_anything_is_made(keywords: dict[str, int], word: str) -> None:
    ppo = replace(PPO, **keywords)
    with pytest.raises(ValueError, match=rf"train: .*{word} are fewer than 2\*\*31; got [\d,]+\. Lower"):
        ac.train(tiny(steps=2**45, ppo=ppo))
