"""Spheres that roll: driven by friction alone, without slipping below Coulomb's limit."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdem_ac.environments.tasks.swarm_roller import SwarmRoller

# What the contract test does not prove of this task: most of it is compiling.
pytestmark = pytest.mark.slow


@partial(jax.jit, static_argnums=0)
def reset(env, key):
    return env.reset(key)


@partial(jax.jit, static_argnums=0)
def step(env, state, action):
    return env.step(state, action)


BOX = {"box_low": [-30.0, -30.0], "box_high": [30.0, 30.0]}


def one(**keywords):
    env = SwarmRoller(num_particles=1, **keywords)
    return env, env.make_state(position=[[0.0, 0.0]], targets=[[9.0, 0.0]], **BOX)


def play(env, state, action, decisions):
    return jax.jit(lambda state: jax.lax.scan(lambda s, _: step(env, s, action), state, length=decisions))(state)


def test_a_torque_about_y_rolls_along_x_without_slipping():
    env, state = one(drag=0.0, physics_steps=10)
    state, _ = play(env, state, jnp.zeros((1, 2)), 50)
    start = state.particles
    state, _ = play(env, state, jnp.array([[0.0, 1.0]]), 25)
    velocity, spin = state.particles.velocity[0], state.particles.angular_velocity[0]
    time = 25 * env.decision_time
    np.testing.assert_allclose(velocity[0], env.max_torque / 1.4 * time, rtol=0.06)
    assert abs(float(velocity[1])) < 1e-4
    # Below Coulomb's limit the slip is the creep of the regularised law: force / tangential_damping.
    radius = float(start.radius[0])
    np.testing.assert_allclose(spin[1] * radius - velocity[0], env.max_torque / 1.4 / env.tangential_damping, rtol=0.1)


def test_without_friction_to_speak_of_nothing_moves_it():
    env, state = one(contact_friction=1e-6)
    end, _ = play(env, state, jnp.array([[1.0, 0.0]]), 20)
    assert float(jnp.abs(end.particles.position[0, :2]).max()) < 1e-3
    assert float(jnp.abs(end.particles.angular_velocity[0, 0])) > 10


def test_in_the_air_a_torque_moves_nothing():
    env = SwarmRoller(num_particles=1, physics_steps=1)
    state = env.make_state(position=[[0.0, 0.0, 5.0]], targets=[[9.0, 0.0]], **BOX)
    end, _ = play(env, state, jnp.array([[1.0, 1.0]]), 100)
    np.testing.assert_array_equal(end.particles.position[0, :2], 0.0)
    assert float(jnp.abs(end.particles.angular_velocity).max()) > 0.5


def test_spheres_stay_on_the_floor_and_within_the_walls():
    env = SwarmRoller()
    state = reset(env, jax.random.key(0))
    towards = jnp.tile(jnp.array([[-0.7, 0.7]]), (16, 1))
    end, _ = play(env, state, towards, 60)
    position, radius = end.particles.position, end.particles.radius
    assert bool((position[:, :2] < end.box_high - 0.9 * radius[:, None]).all())
    assert bool((position[:, 2] > 0.9 * radius).all())
    # In a corner, pushed from behind, friction may lift some on others: not far.
    assert bool((position[:, 2] < 4 * radius).all())


def test_a_target_is_reached_by_steering_and_pays():
    env, state = one()
    bonus = []
    for _ in range(60):
        apart = jnp.array([9.0, 0.0]) - state.particles.position[0, :2] - 1.2 * state.particles.velocity[0, :2]
        state, timestep = step(env, state, jnp.array([[-apart[1], apart[0]]]))
        bonus.append(float(timestep.reward[0]))
    assert float(timestep.info["success"]) == 1.0
    assert bonus[-1] == pytest.approx(env.near_goal_bonus, abs=0.02)


def test_observation_by_hand():
    env = SwarmRoller(num_particles=1, n_lidar_rays=4)
    state = env.make_state(
        position=[[0.0, 0.0]],
        targets=[[3.0, 0.1]],
        velocity=[[1.0, 2.0, 0.0]],
        angular_velocity=[[0.5, 0.6, 0.7]],
        **BOX,
    )
    reading = (10 - np.hypot(3.0, 0.1)) / 10
    expected = [1, 2, 0.5, 0.6, 0.7, 0, 0, reading, 0, 0, 0, 0, 0]
    np.testing.assert_allclose(state.observation[0], expected, atol=1e-6)


def test_large_swarms_use_lists_and_agree_with_all_pairs(monkeypatch):
    keywords = {
        "num_particles": 160,
        "min_box_size": 50.0,
        "max_box_size": 50.0,
        "box_padding": 30.0,
        "physics_steps": 20,
    }
    key, action = jax.random.key(3), jax.random.normal(jax.random.key(4), (160, 2))
    env = SwarmRoller(**keywords)
    state = reset(env, key)
    assert state.vicinity.contacts is not None
    new, timestep = step(env, state, action)
    monkeypatch.setattr("jaxdem_ac.environments.sensing.neighbor_lists.LIST_FROM", 10_000)
    # Not equal to the first, whose compiled step it would share.
    plain = SwarmRoller(**keywords, max_steps=9999)
    other, expected = step(plain, reset(plain, key), action)
    assert int(timestep.info["overflow"]) == 0
    np.testing.assert_allclose(new.particles.position, other.particles.position, atol=1e-4)
    np.testing.assert_allclose(timestep.reward, expected.reward, atol=1e-4)


def test_sizes_that_differ():
    env = SwarmRoller(radius=[0.5, 1.0], mass=(0.5, 1.0))
    state = reset(env, jax.random.key(0))
    np.testing.assert_allclose(state.particles.position[:, 2], state.particles.radius)
    assert float(state.particles.radius.std()) > 0.05
    assert hash(env) == hash(SwarmRoller(radius=(0.5, 1.0), mass=(0.5, 1.0)))


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"num_particles": 200}, "without overlap"),
        ({"max_box_size": 5.0}, "Raise max_box_size"),
        ({"contact_friction": 0.0}, "above 0"),
        ({"radius": -1.0}, "above 0"),
    ],
)
def test_bad_values_are_refused(keywords, message):
    with pytest.raises(ValueError, match=message):
        SwarmRoller(**keywords)
