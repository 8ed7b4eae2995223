"""Lists of neighbours that start too short: what is trained, evaluated and played equals what long ones give."""

import math
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.compared import assert_equal, untimed

import jaxdem_ac as ac
from jaxdem_ac.dem.neighbor_list import NeighborSpec, allocate, make_spec, refresh
from jaxdem_ac.environments.capacity import fit_lists, worst_overflow
from jaxdem_ac.environments.sensing import neighbor_lists
from jaxdem_ac.environments.swarm import SwarmEnvironment
from jaxdem_ac.runs.run_batch import RunBatch
from jaxdem_ac.trainers.evaluate import evaluate

# Short episodes that begin in different places: resets fall into the last decision of a report too.
TASKS: dict[str, dict[str, Any]] = {
    "swarm_navigator": {"min_box_size": 14.0, "max_box_size": 24.0, "lidar_range": 5.0},
    "multi_navigator": {"min_box_size": 14.0, "max_box_size": 24.0, "lidar_range": 5.0},
    "collective_transport": {"arena_size": (8.0, 14.0), "box_padding": 16.0, "lidar_range": 4.0},
    "evacuation": {"room_size": 12.0, "forecourt": 8.0, "lidar_range": 3.0},
    "active_brownian": {"box_size": 13.0},
    "swarm_roller": {"min_box_size": 16.0, "max_box_size": 24.0, "box_padding": 16.0, "lidar_range": 5.0},
}
# Its programs compile quickly; the slow tests have all.
QUICK = "multi_navigator"
MODEL = {"architecture": (8,)}


def task(name: str, room: float, **keywords: Any) -> Any:
    small = {"num_particles": 50, "physics_steps": 2, "max_steps": 8, "n_lidar_rays": 4, "neighbor_room": room}
    return ac.make_environment(name, **{**small, **TASKS[name], **keywords})


def config(name: str, room: float, seed: int, **keywords: Any) -> ac.TrainConfig:
    environment = task(name, room)
    fields = ("num_particles", "physics_steps", "max_steps", "n_lidar_rays", "neighbor_room")
    return ac.TrainConfig(
        env=name,
        env_kw={**{field: getattr(environment, field) for field in fields}, **TASKS[name]},
        model_kw=MODEL,
        seed=seed,
        steps=50 * 2 * 4 * 3,
        report_every=1,
        ppo=ac.PPOConfig(num_envs=2, num_steps=4, num_minibatches=2, num_epochs=1),
        **keywords,
    )


def check_training(name: str, room: float, seed: int, **keywords: Any) -> None:
    short = ac.train(config(name, room, seed, **keywords))
    long = ac.train(config(name, 10.0, seed, **keywords))
    assert short.environment.neighbor_room > room
    assert untimed(short.metrics) == untimed(long.metrics)
    assert_equal(short.policy.model_state, long.policy.model_state)


def check_rollout(name: str, room: float, seed: int) -> None:
    short, long = (ac.rollout(task(name, each), "random", jax.random.key(seed), 9, 2) for each in (room, 10.0))
    assert_equal(short, long)
    assert float(jnp.max(short.info["overflow"])) == 0


def check_evaluation(name: str, room: float, seed: int) -> None:
    def push(observation: jax.Array, key: Any = None) -> jax.Array:
        both = jnp.stack([jnp.cos(7 * observation[..., 3]), jnp.sin(9 * observation[..., -1])], axis=-1)
        return both[..., : task(name, room).action_size]

    short, long = (evaluate(task(name, each), push, jax.random.key(seed), 3) for each in (room, 10.0))
    assert short == long


@pytest.mark.parametrize("name", [QUICK, pytest.param("evacuation", marks=pytest.mark.slow)])
def test_a_state_says_that_its_lists_are_too_short(name: str) -> None:
    """From the reset on, when there is no timestep yet that could."""
    keys = jax.random.split(jax.random.key(0), 3)
    short, long = task(name, 0.3), task(name, 10.0)
    assert float(worst_overflow(short, jax.vmap(short.reset)(keys))) > 1
    assert float(worst_overflow(long, jax.vmap(long.reset)(keys))) == 0


@pytest.mark.parametrize("name", [QUICK, pytest.param("evacuation", marks=pytest.mark.slow)])
def test_a_rollout(name: str) -> None:
    check_rollout(name, 0.3, 3)


@pytest.mark.slow
def test_a_training() -> None:
    check_training("swarm_navigator", 0.3, 1)


@pytest.mark.slow
def test_trainings_side_by_side() -> None:
    check_training("multi_navigator", 0.3, 1, num_seeds=2)


@pytest.mark.slow
@pytest.mark.parametrize("name", TASKS)
@given(room=st.floats(0.05, 0.5), seed=st.integers(0, 1_000))
@settings(max_examples=5)
def test_all_of_it(name: str, room: float, seed: int) -> None:
    check_rollout(name, room, seed)
    check_evaluation(name, room, seed)
    check_training(name, room, seed)


@pytest.mark.slow
def test_a_training_that_is_stopped_while_its_lists_grow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes on from the state before, and ends as one that was never stopped."""
    whole = ac.train(config("multi_navigator", 0.3, 1))

    def stopped(self: Any, overflow: float) -> Any:
        if (tmp_path / "run" / "config.json").exists():
            raise KeyboardInterrupt
        # No more than the episodes to begin with need: later ones need more.
        return replace(self, neighbor_room=1.0001 * overflow * self.neighbor_room)

    monkeypatch.setattr(SwarmEnvironment, "with_capacity", stopped)
    with pytest.raises(KeyboardInterrupt):
        ac.train(config("multi_navigator", 0.3, 1, out=str(tmp_path / "run")))
    monkeypatch.undo()
    resumed = ac.resume(tmp_path / "run")
    assert untimed(resumed.metrics) == untimed(whole.metrics)
    assert_equal(resumed.policy.model_state, whole.policy.model_state)


def test_a_run_goes_on_from_lists_of_another_length(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As those of a run that was written when other lengths were thought enough: cut, made longer, or built again."""
    whole = ac.train(config("evacuation", 1.0, 1))

    def stop(line: dict[str, Any]) -> None:
        raise KeyboardInterrupt

    for factor in (3.0, 0.9):
        run = tmp_path / str(factor)

        def longer(*given: Any, factor: float = factor, **keywords: Any) -> NeighborSpec:
            spec = make_spec(*given, **keywords)
            return replace(spec, capacity=math.ceil(factor * spec.capacity))

        monkeypatch.setattr(neighbor_lists, "make_spec", longer)
        with pytest.raises(KeyboardInterrupt):
            ac.train(config("evacuation", 1.0, 1, out=str(run)), report=stop)
        monkeypatch.undo()
        resumed = ac.resume(run)
        assert untimed(resumed.metrics) == untimed(whole.metrics)
        assert_equal(resumed.policy.model_state, whole.policy.model_state)


def test_lists_are_cut_where_all_pairs_fit_and_else_built_again() -> None:
    spec = NeighborSpec(1.0, 0.2, 6, 9, (1, 1), (4.0, 4.0))
    position = jnp.stack([jnp.zeros(4), jnp.linspace(0.0, 3.0, 4)], axis=-1)
    corners = jnp.full(2, -1.0), jnp.full(2, 4.0)
    batch = partial(jax.tree.map, lambda leaf: leaf[None])
    built = batch(refresh(spec, allocate(spec, position), position, *corners))
    for capacity, is_kept in ((3, True), (2, False)):
        like = batch(allocate(replace(spec, capacity=capacity), position))
        fitted = fit_lists({"list": built, "other": jnp.ones(6)}, {"list": like, "other": jnp.ones(6)})
        assert fitted["other"].shape == (6,)
        assert fitted["list"].left.shape == (1, capacity)
        assert bool(jnp.all(jnp.isfinite(fitted["list"].reference))) == is_kept
        np.testing.assert_array_equal(fitted["list"].right, built.right[:, :capacity])


@pytest.mark.slow
def test_what_a_run_goes_back_to_grows_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists that become longer in an update do so in the best state, which is kept beside the newest."""

    def no_longer_than_needed(self: Any, overflow: float) -> Any:
        return replace(self, neighbor_room=1.0001 * overflow * self.neighbor_room)

    monkeypatch.setattr(SwarmEnvironment, "with_capacity", no_longer_than_needed)
    runs = RunBatch(config("multi_navigator", 0.3, 1, eval_every=1, rollback=1))
    runs.begin()
    room = runs.environment.neighbor_room
    state, _ = runs.update(3)
    assert runs.environment.neighbor_room > room
    now, best = runs.learner
    for kept in (now, best):
        assert jax.tree.map(jnp.shape, kept) == jax.tree.map(jnp.shape, state)
