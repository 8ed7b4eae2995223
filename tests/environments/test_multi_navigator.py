"""multi_navigator against what JaxDEM recorded, and its own rules."""

from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxdem_ac as ac
from jaxdem_ac.environments.base import Environment
from jaxdem_ac.environments.sensing import neighbor_lists
from jaxdem_ac.trainers.rollout import play_episode

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
        monkeypatch.setattr(neighbor_lists, "LIST_FROM", list_from)
        environment = ac.make_environment(name, **keywords, near_goal_bonus=0.1 + 1e-12 * list_from)

        def body(state, action):
            state, timestep = environment.step(state, action)
            return state, (timestep.observation, timestep.reward, timestep.info["overflow"])

        observation, reward, overflow = jax.lax.scan(body, environment.reset(jax.random.key(0)), action)[1]
        assert int(overflow.max()) == 0
        return np.asarray(observation), np.asarray(reward)

    for with_lists, without in zip(play(1), play(10**6), strict=True):
        np.testing.assert_allclose(with_lists, without, atol=1e-4)


SHORT = {"num_particles": 200, "neighbor_room": 0.1, "max_steps": 2}
WITH_ROOM = {**SHORT, "neighbor_room": 3.0}


@pytest.mark.parametrize("name", ["swarm_navigator", "multi_navigator"])
def test_a_list_that_is_too_short_is_reported_by_the_decision_that_needed_it(name: str) -> None:
    environment = ac.make_environment(name, **SHORT)
    state = environment.reset(jax.random.key(0))
    lists = jax.tree.map(lambda leaf: leaf, state.vicinity)
    stale = replace(lists.swarm, reference=jnp.full((200, 2), jnp.inf), needed=jnp.zeros(2, jnp.int32))
    lists = replace(lists, swarm=stale)
    if lists.targets is not None:
        lists = replace(lists, targets=replace(lists.targets, needed=jnp.zeros(2, jnp.int32)))
    _, timestep = environment.step(replace(state, vicinity=lists), jnp.zeros((200, 2)))
    assert float(timestep.info["overflow"]) > 2


@pytest.mark.slow
def test_who_plays_makes_lists_longer_and_loses_nothing() -> None:
    short, long = ac.make_environment("swarm_navigator", **SHORT), ac.make_environment("swarm_navigator", **WITH_ROOM)
    assert (
        short.reset(jax.random.key(0)).vicinity.swarm.left.shape
        < long.reset(jax.random.key(0)).vicinity.swarm.left.shape
    )
    ours, expected = (ac.rollout(each, "random", jax.random.key(1), 3, 2) for each in (short, long))
    assert float(ours.info["overflow"].max()) == 0
    # Sums of contact forces in another order, no more.
    np.testing.assert_allclose(ours.next_observation, expected.next_observation, atol=1e-5)
    ours, expected = (ac.evaluate(each, _Still(), jax.random.key(0), 2) for each in (short, long))
    assert ours.success.mean == expected.success.mean
    assert ours.reward.mean == pytest.approx(expected.reward.mean, rel=1e-4)
    played = play_episode(short, _Still(), jax.random.key(0), 2)
    states, info = played.states, played.timestep.info
    assert float(info["overflow"].max()) == 0
    assert states.observation.shape[0] == 3


def test_what_is_traced_reports_lists_that_are_too_short() -> None:
    short = ac.make_environment("swarm_navigator", **SHORT)
    traced = jax.jit(lambda key: ac.rollout(short, "random", key, 2, 1).info["overflow"])
    assert float(traced(jax.random.key(0)).min()) > 1


@pytest.mark.slow
def test_training_makes_lists_longer_and_repeats_what_was_lost() -> None:
    def trained(**keywords: float) -> ac.TrainResult:
        config = ac.TrainConfig(
            env="multi_navigator",
            env_kw={**keywords, "physics_steps": 1, "max_steps": 8},
            ppo=ac.PPOConfig(num_envs=2, num_steps=4, num_minibatches=1, num_epochs=1, learning_rate=1e-6),
            steps=2 * 4 * 200,
            report_every=1,
        )
        return ac.train(config)

    ours, expected = trained(**{**SHORT, "max_steps": 8}), trained(**{**WITH_ROOM, "max_steps": 8})
    assert ours.environment.neighbor_room > 0.2
    assert ours.metrics[-1]["reward"] == pytest.approx(expected.metrics[-1]["reward"], rel=1e-4)
    observation = jax.random.normal(jax.random.key(3), (5, ours.environment.observation_size))
    np.testing.assert_allclose(ours.policy(observation), expected.policy(observation), atol=1e-4)


def test_an_environment_without_longer_lists_says_so() -> None:
    with pytest.raises(OverflowError, match=r"3\.5 times as long"):
        Environment.with_capacity(ac.make_environment("swarm_navigator"), 3.5)


@pytest.mark.parametrize("name", ["swarm_navigator", "multi_navigator"])
def test_discs_of_many_sizes(name: str) -> None:
    environment = ac.make_environment(
        name, num_particles=60, radius=(0.3, 0.9), mass=(0.5, 2.0), physics_steps=3, dt=1e-3
    )
    state = environment.reset(jax.random.key(0))
    radius, mass = np.asarray(state.particles.radius), np.asarray(state.particles.mass)
    assert 0.3 <= radius.min() < 0.4
    assert 0.8 < radius.max() <= 0.9
    assert 0.5 <= mass.min() < 0.7
    assert 1.8 < mass.max() <= 2.0
    place = {"position": state.particles.position, "targets": state.targets}
    with pytest.raises(ValueError, match="a radius is at most the environment's; got radius=1 "):
        environment.make_state(**place, box_low=state.box_low, box_high=state.box_high, radius=1.0)


@jax.tree_util.register_static
class _Still:
    def __call__(self, observation, key=None):
        return jnp.zeros((*observation.shape[:-1], 2))
