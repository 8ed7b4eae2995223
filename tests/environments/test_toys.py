"""Tasks without physics: their values and best actions are what they say, and bad fields are named."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array

import jaxdem_ac as ac
from jaxdem_ac.environments.capacity import retry_on_overflow
from jaxdem_ac.environments.testing import (
    ActionMatters,
    Breaking,
    ConstantReward,
    Counting,
    Discounting,
    RandomEnvironment,
    Recalling,
    RewardIsObservation,
    TeamReward,
    Toy,
    ToyState,
    Tracking,
    Walk,
    check_environment,
    parametrize_with_checks,
)


@parametrize_with_checks(
    *(toy() for toy in (ActionMatters, ConstantReward, Counting, Discounting, Recalling, RewardIsObservation)),
    *(TeamReward(), Tracking(length=3), Walk(random=True), Walk(goal=0.5, ends_by="termination")),
)
def test_toys_keep_to_the_contract(check: Callable[[], None]) -> None:
    check()


def test_those_that_never_end_keep_to_it_for_a_while() -> None:
    for toy in (Breaking(), RandomEnvironment(observation_size=3)):
        check_environment(toy, num_decisions=3)


def rewards(environment: Any, policy: Any, num_steps: int) -> np.ndarray:
    """Return what a swarm is paid, ``(T, N)``."""
    return np.asarray(ac.rollout(environment, policy, jax.random.key(0), num_steps).reward)[:, 0]


def same(observation: Array, key: Array | None) -> Array:
    return observation


def half(observation: Array, key: Array | None) -> Array:
    return jnp.full_like(observation, 0.5)


@pytest.mark.parametrize(
    ("environment", "policy"), [(ActionMatters(), half), (Tracking(), same), (Tracking(length=3), same)]
)
def test_the_best_action_costs_nothing(environment: Toy, policy: Any) -> None:
    np.testing.assert_array_equal(rewards(environment, policy, 6), 0.0)
    assert rewards(environment, lambda observation, key: policy(observation, key) + 0.1, 6).max() < -0.009


def test_values_are_what_the_toys_say() -> None:
    np.testing.assert_array_equal(rewards(ConstantReward(), half, 3), 1.0)
    np.testing.assert_array_equal(rewards(Discounting(), half, 4)[:, 0], [0, 1, 0, 1])
    for toy, mean in ((RewardIsObservation(scale=3.0), False), (TeamReward(scale=3.0), True)):
        played = ac.rollout(toy, half, jax.random.key(1), 20)
        seen = np.asarray(played.observation)[..., 0]
        assert set(seen.ravel()) == {-1.0, 1.0}
        expected = seen.mean(-1, keepdims=True) + 0 * seen if mean else seen
        np.testing.assert_allclose(played.reward, 3 * expected)


def test_only_a_memory_recalls() -> None:
    toy = Recalling(scale=2.0)
    state = toy.reset(jax.random.key(0))
    cue, paid = state.observation, []
    for _ in range(toy.length):
        state, timestep = toy.step(state, cue / 2 + 0.1)
        paid.append(float(timestep.reward[0]))
        np.testing.assert_array_equal(timestep.observation, 0.0)
    np.testing.assert_allclose(paid, [0, 0, 0, 0, -0.02], rtol=1e-5)


def test_the_time_limit_is_not_an_end_of_the_task() -> None:
    played = ac.rollout(Counting(), half, jax.random.key(0), 7)
    np.testing.assert_array_equal(played.observation[:, 0, 0, 0], [0, 1, 2, 0, 1, 2, 0])
    np.testing.assert_array_equal(played.truncated[:, 0], np.arange(1, 8) % 3 == 0)
    assert not played.terminated.any()
    assert ac.rollout(Counting(ends_by="termination"), half, jax.random.key(0), 7).terminated.sum() == 2


@pytest.mark.parametrize("ends_by", ["termination", "time limit"])
def test_walkers_end_at_the_goal_or_by_the_clock(ends_by: str) -> None:
    walk = Walk(goal=1.5, length=3, ends_by=ends_by)
    for size, num in ((1.0, 2), (0.5, 3)):
        state = walk.reset(jax.random.key(0))
        for _ in range(num):
            state, timestep = walk.step(state, jnp.full((2, 1), size))
        clock = num == 3
        assert bool(timestep.terminated) == (not clock or ends_by == "termination")
        assert bool(timestep.truncated) == (clock and ends_by == "time limit")


def test_walkers_with_too_little_room_are_given_more() -> None:
    walk = Walk(room=2, length=10)

    def play(walk: Walk) -> Any:
        state = walk.reset(jax.random.key(0))
        worst = 0.0
        for _ in range(5):
            state, timestep = walk.step(state, jnp.ones((2, 1)))
            worst = max(worst, float(timestep.info["overflow"]))
        return state, worst

    grown, (state, worst) = retry_on_overflow(walk, play, lambda played: played[1])
    assert worst == 0 < play(walk)[1]
    assert grown.room > 2
    np.testing.assert_array_equal(state.observation, [[5, 0, 6], [5, 1, 6]])


@pytest.mark.parametrize(("field", "broken"), [("bad_reward_at", "reward"), ("bad_observation_at", "observation")])
def test_a_number_breaks_when_it_is_to(field: str, broken: str) -> None:
    played = ac.rollout(Breaking(**{field: 2}), half, jax.random.key(0), 5)
    for name in ("reward", "observation"):
        finite = np.isfinite(getattr(played, name)).reshape(5, -1).all(1)
        assert finite.tolist() == ([True, True, False, False, False] if name == broken else [True] * 5)


def test_random_numbers_have_the_shapes_of_another() -> None:
    made = RandomEnvironment.like(ac.make_environment("swarm_navigator", num_particles=3))
    assert (made.num_particles, made.action_size) == (3, 2)
    played = ac.rollout(made, "random", jax.random.key(0), 4)
    assert played.observation.shape == (4, 1, 3, made.observation_size)
    assert len(np.unique(played.observation)) == played.observation.size


@dataclass(frozen=True, kw_only=True)
class Twice(Toy):
    """A toy of somebody's own."""

    def reward(self, state: ToyState, action: Array) -> Array:
        return 2 * action[:, 0]


def test_a_toy_of_ones_own_is_one_method() -> None:
    np.testing.assert_array_equal(rewards(Twice(), half, 2), 1.0)


@pytest.mark.parametrize(
    ("cls", "field", "value"),
    [
        *((Toy, "num_particles", 0), (Counting, "length", 1.5), (Toy, "ends_by", "death"), (Walk, "goal", -1.0)),
        *((Walk, "room", 0), (TeamReward, "scale", float("nan")), (RandomEnvironment, "action_size", 0)),
    ],
)
def test_a_bad_field_is_named(cls: type[Any], field: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"{cls.__name__}: {field} .*got {field}={value!r}\. "):
        cls(**{field: value})
