"""Estimates: intervals against tables, and whole episodes of probes."""

import math
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array

import jaxdem_ac as ac
from jaxdem_ac.environments.testing import ActionMatters, ConstantReward, Discounting, Toy
from jaxdem_ac.trainers.estimate import estimate, student_t
from jaxdem_ac.trainers.evaluate import play_episodes
from jaxdem_ac.trainers.rollout import play_episode


@jax.tree_util.register_static
class Always:
    """A policy that does one thing."""

    def __init__(self, number: float) -> None:
        self.number = number

    def __call__(self, observation: Array, key: Array | None = None) -> Array:
        noise = 0.0 if key is None else jax.random.normal(key, (*observation.shape[:-1], 1))
        return jnp.full((*observation.shape[:-1], 1), self.number) + noise


@pytest.mark.parametrize(
    ("degrees", "table"),
    [(6, 2.4469), (7, 2.3646), (10, 2.2281), (15, 2.1314), (30, 2.0423), (63, 1.9983), (127, 1.9788), (1000, 1.9623)],
)
def test_quantiles_are_those_of_tables(degrees: int, table: float) -> None:
    assert student_t(degrees) == pytest.approx(table, rel=5e-3)


def test_other_confidences() -> None:
    assert student_t(20, 0.99) == pytest.approx(2.8453, rel=5e-3)
    assert student_t(20, 0.90) == pytest.approx(1.7247, rel=5e-3)


def test_an_interval_by_hand() -> None:
    samples = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0])
    found = estimate(samples)
    half = 2.4469 * np.sqrt(28 / 6) / np.sqrt(7)
    assert found.mean == 4.0
    assert found.low == pytest.approx(4 - half, rel=5e-3)
    assert found.high == pytest.approx(4 + half, rel=5e-3)


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    random = np.random.default_rng(0)
    hits = [abs(e.mean - 3) <= e.high - e.mean for e in (estimate(random.normal(3, 2, 10)) for _ in range(2000))]
    assert np.mean(hits) == pytest.approx(0.95, abs=0.02)


def test_whole_episodes_are_counted() -> None:
    found = ac.evaluate(Discounting(), Always(0.0), jax.random.key(0), 8)
    # Rewards 0 and 1, success 1/2 then 1: the mean over decisions, and the end.
    assert found.reward.mean == pytest.approx(0.5)
    assert found.success.mean == pytest.approx(1.0)
    assert found.num_episodes == 8


def test_time_limits_end_episodes_too() -> None:
    found = ac.evaluate(ConstantReward(length=4, ends_by="time limit"), Always(0.0), jax.random.key(0), 4)
    assert found.success.mean == pytest.approx(1.0)
    assert (found.reward.low, found.reward.high) == (1.0, 1.0)


def test_the_policy_is_what_is_played() -> None:
    for number in (0.5, 2.0):
        found = ac.evaluate(ActionMatters(), Always(number), jax.random.key(0), 4)
        assert found.reward.mean == pytest.approx(-((number - 0.5) ** 2), abs=1e-6)
    sampled = ac.evaluate(ActionMatters(), Always(0.5), jax.random.key(0), 200, sample=True)
    # Noise of variance 1.
    assert sampled.reward.low < -1 < sampled.reward.high


def test_an_episode_that_does_not_end_is_an_error() -> None:
    with pytest.raises(ValueError, match="max_decisions=3"):
        ac.evaluate(ConstantReward(length=10), Always(0.0), jax.random.key(0), 2, max_decisions=3)


@pytest.mark.parametrize("num", [1, 0, 2.5, True])
def test_a_bad_number_of_episodes_is_named(num: float) -> None:
    with pytest.raises(ValueError, match=f"num_episodes={num!r}"):
        ac.evaluate(ConstantReward(), Always(0.0), jax.random.key(0), num)  # type: ignore[arg-type]


def test_record_keeps_every_state() -> None:
    played = play_episode(Discounting(), Always(0.0), jax.random.key(0), 2)
    states, info = played.states, played.timestep.info
    np.testing.assert_array_equal(states.time, [0, 1, 2])
    np.testing.assert_allclose(info["success"], [0.5, 1.0])


def test_equal_outcomes_are_no_certainty() -> None:
    none = estimate(np.zeros(30), 0.0, 1.0)
    assert (none.mean, none.low) == (0.0, 0.0)
    assert none.high == pytest.approx(0.1)  # the rule of three


def test_equal_outcomes_whose_mean_is_rounded_are_none_either() -> None:
    samples = np.full(128, 0.3)
    assert samples.std() > 0
    few = estimate(samples, 0.0, 1.0)
    assert few.high - few.mean == pytest.approx(3 / 128)


def test_a_share_stays_between_0_and_1() -> None:
    few = estimate(np.array([0.0, 0.0, 0.0, 0.5]), 0.0, 1.0)
    assert few.low == 0.0


def test_a_function_is_a_policy_too() -> None:
    environment = ac.make_environment("swarm_navigator", num_particles=2, max_steps=2)
    result = ac.evaluate(environment, lambda observation, key: 0 * observation[..., :2], jax.random.key(0), 4)
    assert 0 <= result.success.mean <= 1


@pytest.mark.parametrize("num_particles", [4, 60])
def test_actions_that_are_not_numbers_are_reported(num_particles: int) -> None:
    """In a swarm of 60 too, where lists of neighbours would be made longer for nothing."""
    environment = ac.make_environment("multi_navigator", num_particles=num_particles, max_steps=2)
    with pytest.raises(FloatingPointError, match="in episode 0 of 2"):
        ac.evaluate(environment, _nowhere, jax.random.key(0), 2)


def _nowhere(observation: Array, key: Array | None = None) -> Array:
    return jnp.full((*observation.shape[:-1], 2), jnp.nan)


@dataclass(frozen=True, kw_only=True)
class Short(Toy):
    """A task whose lists are too short by two neighbours, and which is judged wrongly until they are longer."""

    length: int = 3
    room: int = 1

    def with_capacity(self, overflow: float) -> "Short":
        return replace(self, room=self.room + math.ceil(overflow))

    def reward(self, state: Any, action: jax.Array) -> jax.Array:
        return action[:, 0]

    def step(self, state: Any, action: jax.Array) -> Any:
        state, timestep = super().step(state, action)
        info = {"success": jnp.where(self.room >= 3, 1.0, 0.25), "overflow": jnp.asarray(max(0.0, 3.0 - self.room))}
        return state, replace(timestep, info=info)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Constant:
    """A policy that always does the same."""

    value: jax.Array

    def __call__(self, observation: jax.Array, key: jax.Array) -> jax.Array:
        return jnp.ones((*observation.shape[:-1], 1)) * self.value


@pytest.mark.parametrize("other", [0.2, jnp.nan])
def test_lists_of_one_run_are_made_longer_whatever_another_does(other: float) -> None:
    keys = jax.random.split(jax.random.key(0))
    policies = Constant(jnp.array([0.1, other]))
    environment, (success, *_) = play_episodes(Short(), policies, keys, 2, True, side_by_side=True)
    assert environment.room == 3  # type: ignore[attr-defined]
    np.testing.assert_array_equal(success[0], 1.0)
