"""Pushing a load together: nobody can alone, all can, and what is paid is what the load has moved."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdem_ac.environments.tasks.collective_transport import CollectiveTransport
from jaxdem_ac.trainers.evaluate import evaluate

# What the contract test does not prove of this task: most of it is compiling.
pytestmark = pytest.mark.slow


@partial(jax.jit, static_argnums=0)
def reset(env, key):
    return env.reset(key)


@partial(jax.jit, static_argnums=0)
def step(env, state, action):
    return env.step(state, action)


def behind(env, **keywords):
    """Return a state with the swarm in rows left of the load, whose goal is right of it."""
    column, row = np.divmod(np.arange(env.num_particles), 5)
    position = np.stack([-4.0 - 2 * column - np.abs(row - 2) * 0.0 - 0.1, 2.0 * (row - 2)], -1)
    # The first column on the arc of the load.
    angle = np.pi - (row - 2) * 2 * np.arcsin(1.01 / 4.01)
    position = np.where((column == 0)[:, None], 4.01 * np.stack([np.cos(angle), np.sin(angle)], -1), position)
    position[column > 0, 0] -= 2.0
    box = {"box_low": [-20.0, -20.0], "box_high": [30.0, 20.0]}
    return env.make_state(position=position, load=[0.0, 0.0], targets=[[12.0, 0.0]], **box, **keywords)


def push(env, state, action, decisions):
    def body(state, _):
        state, timestep = step(env, state, action)
        return state, timestep

    return jax.jit(lambda state: jax.lax.scan(body, state, length=decisions))(state)


def test_one_particle_does_not_move_the_load():
    env = CollectiveTransport()
    state = behind(env)
    one = jnp.zeros((16, 2)).at[2].set(jnp.array([1.0, 0.0]))
    alone = env.make_state(
        position=state.particles.position[:16].at[:, 1].add(jnp.where(jnp.arange(16) == 2, 0.0, -14.0)),
        load=[0.0, 0.0],
        targets=[[12.0, 0.0]],
        box_low=[-20.0, -25.0],
        box_high=[30.0, 25.0],
    )
    end, _ = push(env, alone, one, 150)
    # Nothing but the creep: 4 dt * force / mass, for 30 units of time.
    moved = float(end.particles.position[-1, 0])
    assert 0 < moved <= 30 * 4 * env.dt * env.max_force / env.load_mass * 1.05 + 0.02


def test_all_move_the_load():
    env = CollectiveTransport()
    end, timestep = push(env, behind(env), jnp.tile(jnp.array([1.0, 0.0]), (16, 1)), 60)
    assert float(end.particles.position[-1, 0]) > 5.0
    assert float(timestep.reward.mean()) > 0


def test_an_action_beyond_the_maximal_force_is_cut():
    env = CollectiveTransport()
    state = reset(env, jax.random.key(0))
    action = jax.random.normal(jax.random.key(1), (16, 2)) * 5 + 3
    cut = action / jnp.linalg.norm(action, axis=-1, keepdims=True)
    far, near = step(env, state, action)[0], step(env, state, cut)[0]
    np.testing.assert_allclose(far.particles.position, near.particles.position, atol=1e-5)


def test_reward_spans_the_decision():
    env = CollectiveTransport(approach_weight=0.0, goal_bonus=0.0, progress_weight=2.0)
    state = behind(env)
    end, timestep = push(env, state, jnp.tile(jnp.array([1.0, 0.0]), (16, 1)), 20)
    # No load, no goal changes: what was paid adds up to the way.
    way = 12.0 - float(jnp.linalg.norm(end.particles.position[-1] - jnp.array([12.0, 0.0])))
    np.testing.assert_allclose(timestep.reward.sum(axis=0), 2 * way, rtol=1e-4)


def test_goals_are_reached_in_order_and_the_last_terminates():
    env = CollectiveTransport(num_goals=2, goal_bonus=7.0, progress_weight=0.0, approach_weight=0.0)
    position = np.stack([np.arange(16) * 2.5 - 20, np.full(16, -15.0)], -1)
    box = {"box_low": [-25.0, -20.0], "box_high": [25.0, 20.0]}
    still = jnp.zeros((16, 2))
    state = env.make_state(position=position, load=[0.0, 0.0], targets=[[0.5, 0.0], [0.0, 0.9]], **box)
    state, first = step(env, state, still)
    assert (float(first.info["success"]), bool(first.terminated), float(first.reward[0])) == (0.5, False, 7.0)
    state, second = step(env, state, still)
    assert (float(second.info["success"]), bool(second.terminated), float(second.reward[0])) == (1.0, True, 7.0)
    _, third = step(env, state, still)
    assert (float(third.info["success"]), float(third.reward[0])) == (1.0, 0.0)


def test_observation_by_hand():
    env = CollectiveTransport(num_particles=1, n_lidar_rays=4)
    box = {"box_low": [-20.0, -20.0], "box_high": [20.0, 20.0]}
    state = env.make_state(
        position=[[-6.0, 0.0]],
        velocity=[[1.0, 2.0]],
        load=[0.0, 0.0],
        load_velocity=[0.5, 0.0],
        targets=[[0, 16]],
        **box,
    )
    expected = [1, 2, 1, 0, 6 / 8, 0, 0, 1, 0, 1, 0.5, 0, 0, 0, 0, 0]
    np.testing.assert_allclose(state.observation[0], expected, atol=1e-6)


@jax.tree_util.register_static
class GoAround:
    """Walk around the load to the side away from the goal, and push."""

    def __call__(self, observation, key=None):
        to_load, to_goal = 8 * observation[..., 4:6], observation[..., 6:8]
        side = jnp.stack([-to_goal[..., 1], to_goal[..., 0]], -1)
        behind = jnp.sum(to_load * to_goal, -1, keepdims=True)
        across = -jnp.sum(to_load * side, -1, keepdims=True)
        distance = jnp.linalg.norm(to_load, axis=-1, keepdims=True)
        around = 1.2 * side * jnp.where(across < 0, -1.0, 1.0) - 0.8 * to_goal
        place = to_load - 4.0 * to_goal
        go = jnp.where((behind < 1.0) & (distance <= 7), around, place)
        go = jnp.where((behind > 1.5) & (distance < 6.5), to_load / distance + 0.5 * to_goal, go)
        return go / jnp.linalg.norm(go, axis=-1, keepdims=True).clip(1e-6)


def test_a_policy_made_by_hand_reaches_the_goals():
    assert evaluate(CollectiveTransport(), GoAround(), jax.random.key(0), 16).success.mean > 0.9


def test_large_swarms_use_lists_and_agree_with_all_pairs(monkeypatch):
    env = CollectiveTransport(num_particles=160, arena_size=20.0, box_padding=16.0, radius=(0.7, 1.0))
    key = jax.random.key(3)
    action = jax.random.normal(jax.random.key(4), (160, 2))
    state = reset(env, key)
    assert state.vicinity.contacts is not None
    new, timestep = step(env, state, action)
    monkeypatch.setattr("jaxdem_ac.environments.sensing.neighbor_lists.LIST_FROM", 10_000)
    # Not equal to the first, whose compiled step it would share.
    plain = CollectiveTransport(num_particles=160, arena_size=20.0, box_padding=16.0, radius=(0.7, 1.0), max_steps=9999)
    assert reset(plain, key).vicinity.contacts is None
    other, _ = step(plain, reset(plain, key), action)
    assert int(timestep.info["overflow"]) == 0
    np.testing.assert_allclose(new.particles.position, other.particles.position, atol=1e-4)
    np.testing.assert_allclose(new.observation, other.observation, atol=1e-3)


def test_reset_places_everything_apart_and_inside():
    env = CollectiveTransport(radius=[0.6, 1.0], mass=(0.5, 2.0), arena_size=(12.0, 16.0), num_goals=3)
    assert hash(env) == hash(
        CollectiveTransport(radius=(0.6, 1.0), mass=(0.5, 2.0), arena_size=(12.0, 16.0), num_goals=3)
    )
    state = jax.vmap(env.reset)(jax.random.split(jax.random.key(0), 32))
    position, radius = np.asarray(state.particles.position), np.asarray(state.particles.radius)
    apart = np.linalg.norm(position[:, :, None] - position[:, None], axis=-1) + 1e3 * np.eye(17)
    assert (apart >= radius[:, :, None] + radius[:, None] - 1e-4).all()
    assert (position - radius[..., None] >= np.asarray(state.box_low)[:, None] - 1e-4).all()
    assert (position + radius[..., None] <= np.asarray(state.box_high)[:, None] + 1e-4).all()
    assert radius[:, :-1].std() > 0.05
    path = np.concatenate([position[:, -1:], np.asarray(state.targets)], axis=1)
    assert (np.linalg.norm(np.diff(path, axis=1), axis=-1) > env.tolerance).all()


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"arena_size": 5.0}, "the load fits into the arena"),
        ({"num_particles": 200}, "without overlap"),
        ({"radius": (2.0, 1.0)}, "Swap the ends"),
        ({"radius": (1.0, 2.0, 3.0)}, "Give both ends"),
        ({"max_force": 0.0}, "above 0"),
        ({"num_goals": 0}, "whole number"),
    ],
)
def test_bad_values_are_refused(keywords, message):
    with pytest.raises(ValueError, match=message):
        CollectiveTransport(**keywords)
