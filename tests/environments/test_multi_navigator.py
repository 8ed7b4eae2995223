"""multi_navigator against what JaxDEM recorded, and its own rules."""

from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxdem_ac as ac
from jaxdem_ac.environments import surroundings

GOLDEN = np.load(Path(__file__).parents[1] / "data/multi_navigator_16.npz")


def test_observation_and_reward_are_those_of_jaxdem() -> None:
    environment = ac.make_environment("multi_navigator", num_particles=16)
    state = environment.make_state(
        position=GOLDEN["pos0"],
        velocity=GOLDEN["vel0"],
        targets=GOLDEN["objective"],
        box_low=GOLDEN["anchor"],
        box_high=GOLDEN["anchor"] + GOLDEN["box_size"],
        kinetic_energy=GOLDEN["start_curr_ke"],
    )
    np.testing.assert_allclose(state.observation, GOLDEN["obs"][0], atol=1e-5)
    step = jax.jit(environment.step)
    for index, action in enumerate(GOLDEN["actions"]):
        state, timestep = step(state, action)
        np.testing.assert_allclose(timestep.observation, GOLDEN["obs"][index + 1], atol=1e-5)
        np.testing.assert_allclose(timestep.reward, GOLDEN["reward"][index], atol=1e-5)
        np.testing.assert_allclose(state.particles.position, GOLDEN["pos"][index], atol=1e-5)


def test_success_is_the_share_of_particles_at_their_own_target() -> None:
    environment = ac.make_environment("multi_navigator", num_particles=3)
    targets = np.array([[0.0, 0.0], [5.0, 0.0], [10.0, 0.0]])
    # The second particle is on the first one's target: that does not count.
    position = targets[[2, 0, 1]] + np.array([0.0, 3.0])
    position[0] = targets[0] + 0.1
    state = environment.make_state(position=position, targets=targets, box_low=[-5.0, -5.0], box_high=[15.0, 15.0])
    _, timestep = environment.step(state, jnp.zeros((3, 2)))
    assert float(timestep.info["success"]) == pytest.approx(1 / 3)


def test_targets_are_assigned_at_random() -> None:
    environment = ac.make_environment("multi_navigator", num_particles=16)
    first, second = (environment.reset(jax.random.key(seed)) for seed in (0, 1))
    order = np.argsort(np.asarray(first.targets)[:, 1] // 5 * 100 + np.asarray(first.targets)[:, 0])
    assert (order != np.arange(16)).any()
    assert not np.allclose(first.targets, second.targets)
    assert (np.asarray(first.targets) >= 0).all()
    assert (np.asarray(first.targets) <= 20).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["swarm_navigator", "multi_navigator"])
def test_lists_change_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    keywords = {"num_particles": 48, "min_box_size": 30.0, "max_box_size": 30.0, "physics_steps": 20}
    action = 5 * jax.random.normal(jax.random.key(1), (10, 48, 2))

    def play(list_from: int) -> tuple[np.ndarray, np.ndarray]:
        monkeypatch.setattr(surroundings, "LIST_FROM", list_from)
        environment = ac.make_environment(name, **keywords, near_goal_bonus=0.1 + 1e-12 * list_from)

        def body(state, action):
            state, timestep = environment.step(state, action)
            return state, (timestep.observation, timestep.reward, timestep.info["overflow"])

        observation, reward, overflow = jax.lax.scan(body, environment.reset(jax.random.key(0)), action)[1]
        assert int(overflow.max()) == 0
        return np.asarray(observation), np.asarray(reward)

    for with_lists, without in zip(play(1), play(10**6), strict=True):
        np.testing.assert_allclose(with_lists, without, atol=1e-4)


def test_a_list_that_is_too_short_is_reported_with_the_number_to_set() -> None:
    environment = ac.make_environment("swarm_navigator", num_particles=200, sensing_capacity=2, max_steps=2)
    with pytest.raises(OverflowError, match=r"sensing_capacity=\d+"):
        ac.evaluate(environment, _Still(), jax.random.key(0), 2)


@pytest.mark.parametrize("name", ["swarm_navigator", "multi_navigator"])
def test_a_list_that_is_too_short_is_reported_by_the_decision_that_needed_it(name: str) -> None:
    environment = ac.make_environment(name, num_particles=200, sensing_capacity=2)
    state = environment.reset(jax.random.key(0))
    stale = replace(state.vicinity.swarm, reference=jnp.full((200, 2), jnp.inf), needed=jnp.zeros(2, jnp.int32))
    lists = replace(state.vicinity, swarm=stale)
    if lists.targets is not None:
        lists = replace(lists, targets=replace(lists.targets, needed=jnp.zeros(2, jnp.int32)))
    _, timestep = environment.step(replace(state, vicinity=lists), jnp.zeros((200, 2)))
    assert int(timestep.info["overflow"]) > 2


@jax.tree_util.register_static
class _Still:
    def __call__(self, observation, key=None):
        return jnp.zeros((*observation.shape[:-1], 2))
