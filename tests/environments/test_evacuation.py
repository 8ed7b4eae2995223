"""A crowd and a gap: nobody goes through walls, and who leaves is counted and paid once."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdem_ac.environments.tasks.evacuation import Evacuation
from jaxdem_ac.trainers.evaluate import evaluate

# What the contract test does not prove of this task: most of it is compiling.
pytestmark = pytest.mark.slow


@partial(jax.jit, static_argnums=0)
def reset(env, key):
    return env.reset(key)


@partial(jax.jit, static_argnums=0)
def step(env, state, action):
    return env.step(state, action)


def play(env, state, action, decisions):
    return jax.jit(lambda state: jax.lax.scan(lambda s, _: step(env, s, action), state, length=decisions))(state)


@jax.tree_util.register_static
class HeadOut:
    """Everybody straight to the opening, and then away from it."""

    def __call__(self, observation, key=None):
        return observation[..., 2:4]


def test_nobody_leaves_through_the_walls():
    env = Evacuation(num_particles=12)
    column, row = np.divmod(np.arange(12), 3)
    # The gap is at the lower end, and all push into the upper end of the wall, then into the corners.
    state = env.make_state(position=np.stack([2.0 + 2.5 * column, 8.0 + 1.5 * row], -1), gap_centre=2.6)
    for direction in ((1.0, 0.6), (0.6, 1.0), (-1.0, 0.3)):
        state, timestep = play(env, state, jnp.tile(jnp.array([direction]), (12, 1)), 40)
        inside = state.particles.position[:12]
        assert float(timestep.info["success"][-1]) == 0.0
        assert bool((inside > 0).all())
        assert bool((inside < 12).all())


def test_the_wall_stands_still():
    env = Evacuation()
    state = reset(env, jax.random.key(1))
    end, _ = play(env, state, jnp.tile(jnp.array([[1.0, 0.0]]), (32, 1)), 30)
    np.testing.assert_array_equal(end.particles.position[32:], state.particles.position[32:])


def test_the_wall_is_closed_but_for_the_gap():
    env = Evacuation(wall_radius=0.4)
    for seed in range(8):
        state = reset(env, jax.random.key(seed))
        along = np.sort(np.asarray(state.particles.position[32:, 1]))
        gaps = np.diff(along) - 0.8
        assert along[0] < 0.41
        assert along[-1] > env.room_size - 0.41
        np.testing.assert_allclose(np.sort(gaps)[[-2, -1]], [0.0, env.gap], atol=1e-4)


def test_reward_is_the_way_and_the_exit():
    env = Evacuation(num_particles=1, coop_weight=0.5)
    state = env.make_state(position=[[8.0, 6.0]])
    state, timestep = play(env, state, jnp.array([[1.0, 0.0]]), 40)
    # From 4 before the opening to `clearing` beyond it; progress counts for it and as the mean of one.
    assert float(state.particles.position[0, 0]) > 12 + env.clearing
    np.testing.assert_allclose(timestep.reward.sum(), (0.2 + 0.5) * (4 + env.clearing) + env.exit_bonus, rtol=1e-5)
    back, again = play(env, state, jnp.array([[-1.0, 0.0]]), 60)
    assert float(back.particles.position[0, 0]) < 12
    assert float(jnp.sum(again.reward)) < -env.exit_bonus


def test_all_outside_terminates():
    env = Evacuation(num_particles=2)
    state = env.make_state(position=[[13.0, 4.0], [13.0, 8.0]])
    _, timestep = step(env, state, jnp.zeros((2, 2)))
    assert (float(timestep.info["success"]), bool(timestep.terminated), bool(timestep.truncated)) == (1.0, True, False)
    state = env.make_state(position=[[13.0, 4.0], [3.0, 8.0]], step_count=env.max_steps - env.physics_steps)
    _, timestep = step(env, state, jnp.zeros((2, 2)))
    assert (float(timestep.info["success"]), bool(timestep.terminated), bool(timestep.truncated)) == (0.5, False, True)


def test_observation_by_hand():
    env = Evacuation(num_particles=1, n_lidar_rays=4, gap=3.0)
    state = env.make_state(position=[[9.0, 6.5]], velocity=[[1.0, 2.0]])
    # Half the gap is 1.5 and its radius 0.5: it can pass straight on. The wall ends at (12, 4) and (12, 8).
    below, above = (5 - np.hypot(3.0, 2.5)) / 5, (5 - np.hypot(3.0, 1.5)) / 5
    expected = [1, 2, 1, 0, 3 / 5, -0.5 / 5, 0, 0, 0, 0, 0, 0, below, above, 0]
    np.testing.assert_allclose(state.observation[0], expected, atol=1e-6)
    outside = env.make_state(position=[[14.0, 6.0]])
    np.testing.assert_allclose(outside.observation[0, 2:7], [1, 0, -2 / 5, 0, 1], atol=1e-6)


def test_a_crowd_that_heads_out_leaves_unless_friction_jams_it():
    key = jax.random.key(0)
    assert evaluate(Evacuation(gap=3.0), HeadOut(), key, 8).success.mean > 0.95
    jammed = evaluate(Evacuation(gap=2.0), HeadOut(), key, 16).success.mean
    smooth = evaluate(Evacuation(gap=2.0, contact_friction=0.0), HeadOut(), key, 16).success.mean
    assert smooth > 0.97
    assert jammed < smooth - 0.05


def test_large_crowds_use_lists_and_agree_with_all_pairs(monkeypatch):
    keywords = {"num_particles": 160, "room_size": 20.0, "forecourt": 16.0, "radius": (0.4, 0.5)}
    key, action = jax.random.key(3), jax.random.normal(jax.random.key(4), (160, 2))
    env = Evacuation(**keywords)
    state = reset(env, key)
    assert state.vicinity.contacts is not None
    new, timestep = step(env, state, action)
    monkeypatch.setattr("jaxdem_ac.environments.sensing.neighbor_lists.LIST_FROM", 10_000)
    # Not equal to the first, whose compiled step it would share.
    plain = Evacuation(**keywords, max_steps=9999)
    other, _ = step(plain, reset(plain, key), action)
    assert int(timestep.info["overflow"]) == 0
    np.testing.assert_allclose(new.particles.position, other.particles.position, atol=1e-4)
    np.testing.assert_allclose(new.observation, other.observation, atol=1e-3)


def test_lists_have_room_for_a_jam():
    env = Evacuation(num_particles=160, room_size=20.0, forecourt=16.0)
    state = reset(env, jax.random.key(0))

    def body(state, _):
        return step(env, state, state.observation[:, 2:4])

    _, timestep = jax.jit(lambda state: jax.lax.scan(body, state, length=50))(state)
    assert int(timestep.info["overflow"].max()) == 0


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"num_particles": 400}, "without overlap"),
        ({"forecourt": 2.0}, "without overlap"),
        ({"gap": 11.0}, "Lower gap"),
        ({"gap": 0.5}, "at least 1"),
        ({"max_force": 300.0}, "two overlap by 0.6"),
        ({"mass": (1.0, -2.0)}, "above 0"),
    ],
)
def test_bad_values_are_refused(keywords, message):
    with pytest.raises(ValueError, match=message):
        Evacuation(**keywords)
