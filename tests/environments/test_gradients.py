"""Slopes of what decisions are worth: through all physics steps, contacts and sensors, against central differences."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array

import jaxdem_ac as ac
from jaxdem_ac import dem
from jaxdem_ac.environments.base import Environment
from jaxdem_ac.environments.batching import step_batch
from jaxdem_ac.environments.sensing.neighbor_lists import NeighborLists

PLACES = [[0.0, 0.0], [1.99, 0.1], [5.0, 5.0], [6.9, 5.5]]
BOX = {"min_box_size": 10.0, "max_box_size": 10.0, "box_padding": 4.0}
CORNERS = {"box_low": (-2.0, -2.0), "box_high": (12.0, 12.0)}


@pytest.fixture(autouse=True)
def double_precision() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


def navigator(name: str) -> tuple[Environment, Any, Array]:
    """Four discs, softer than usual, so that a contact lasts; the first two overlap and press on, the others meet."""
    environment = ac.make_environment(name, num_particles=4, physics_steps=20, max_steps=5000, stiffness=2e3, **BOX)
    targets = [[0.3, 3.0], [4.0, 0.5], [6.0, 5.0], [9.0, 2.0]]
    state = environment.make_state(position=PLACES, targets=targets, **CORNERS)
    pressing = jnp.array([[9.0, 0.5], [-9.0, -0.4], [4.0, 1.0], [-7.0, -2.0]])
    return environment, state, pressing + jax.random.normal(jax.random.key(5), (3, 4, 2))


def transport() -> tuple[Environment, Any, Array]:
    """Three particles that push the load, from contact on, and one that does not."""
    environment = ac.make_environment("collective_transport", num_particles=4)
    state = environment.make_state(
        position=[[2.02, 5.0], [2.5, 7.1], [2.6, 3.1], [9.0, 9.0]],
        load=(6.0, 5.2),
        targets=[(10.0, 9.0)],
        box_low=(-6.0, -6.0),
        box_high=(20.0, 20.0),
    )
    sideways = 0.05 * jax.random.normal(jax.random.key(5), (4, 4, 2))
    return environment, state, sideways + jnp.array([0.9, 0.0])


def returns(environment: Environment, state: Any, actions: Array) -> tuple[Array, Array]:
    """Return rewards and weighted observations, summed over decisions, and where everybody ends up."""
    weights = jax.random.normal(jax.random.key(7), (environment.num_particles, environment.observation_size))

    def body(state: Any, action: Array) -> tuple[Any, Array]:
        state, timestep = environment.step(state, action)
        return state, jnp.sum(timestep.reward) + jnp.sum(weights * timestep.observation)

    state, worth = jax.lax.scan(body, state, actions)
    return jnp.sum(worth), state.particles.position


def check(environment: Environment, state: Any, actions: Array, touched: int, step: float) -> None:
    """Compare slopes along the gradient and across it with differences of fourth order.

    Particle 0 moves what it touches: nothing but a contact's force can do that.
    """

    @jax.jit
    def slopes(actions: Array) -> tuple[Array, Array]:
        _, back = jax.vjp(lambda actions: returns(environment, state, actions), actions)
        nowhere = jnp.zeros_like(state.particles.position)
        return back((jnp.ones(()), nowhere))[0], back((jnp.zeros(()), nowhere.at[touched, 0].set(1.0)))[0]

    gradient, moved = slopes(actions)
    assert np.abs(moved[0, 0]).max() > 1e-3
    play = jax.jit(lambda actions: returns(environment, state, actions)[0])
    size = float(jnp.linalg.norm(gradient))
    for seed in range(3):
        way = gradient if seed == 0 else jax.random.normal(jax.random.key(seed), actions.shape)
        way = way / jnp.linalg.norm(way)
        one, two = (play(actions + h * way) - play(actions - h * way) for h in (step, 2 * step))
        np.testing.assert_allclose((8 * one - two) / (12 * step), jnp.vdot(gradient, way), rtol=0, atol=1e-9 * size)


@pytest.mark.parametrize("name", ["multi_navigator", "swarm_navigator"])
def test_navigators(name: str) -> None:
    check(*navigator(name), touched=1, step=3e-3)


def test_contacts_that_are_given_push_and_have_no_slopes() -> None:
    environment, state, actions = navigator("multi_navigator")
    given = replace(environment, engine="embedded_given_contacts")

    def ends(environment: Environment) -> Array:
        slope = jax.jacrev(lambda action: environment.step(state, action)[0].particles.position[1])(actions[0])
        after = environment.step(state, actions[0])[0].particles.position
        return jnp.concatenate([after, slope[:, 0]])

    real, without = (jax.jit(ends, static_argnums=0)(each) for each in (environment, given))
    np.testing.assert_array_equal(real[:4], without[:4])
    assert np.abs(real[4:]).max() > 1e-4
    np.testing.assert_array_equal(without[4:], 0)


def test_collective_transport() -> None:
    check(*transport(), touched=4, step=1e-4)


def test_lists_of_neighbours_leave_the_slopes_of_all_pairs() -> None:
    """Who is near whom has no slope; a list is built, and built again, outside of what is differentiated."""
    environment = ac.make_environment("multi_navigator", num_particles=48, physics_steps=20, max_steps=5000)
    state = environment.reset(jax.random.key(0))
    assert state.vicinity.contacts is not None
    alone = replace(state, vicinity=NeighborLists(None, None, None))
    actions = 10 * jax.random.normal(jax.random.key(1), (1, 48, 2))
    with_lists, all_pairs = (
        jax.jit(jax.grad(lambda actions, start=start: returns(environment, start, actions)[0]))(actions)
        for start in (state, alone)
    )
    assert np.abs(with_lists).max() > 0.1
    np.testing.assert_allclose(with_lists, all_pairs, rtol=1e-9, atol=1e-9 * np.abs(all_pairs).max())


@pytest.mark.parametrize("name", ["multi_navigator", "swarm_navigator"])
def test_slopes_are_finite_where_lengths_are_zero(name: str) -> None:
    """Every particle lies on a target, and nobody moves; a batch, as it is trained with."""
    environment = ac.make_environment(name, num_particles=4, physics_steps=2, max_steps=5000, **BOX)
    state = environment.make_state(position=PLACES, targets=PLACES, **CORNERS)
    batch = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), state)

    def worth(action: Array) -> Array:
        _, timestep = step_batch(environment, batch, action)
        return jnp.sum(timestep.reward) + jnp.sum(timestep.observation)

    assert np.isfinite(jax.jit(jax.grad(worth))(jnp.zeros((2, 4, 2)))).all()


def test_slopes_are_finite_behind_the_load() -> None:
    """A particle lies where it would push best, and the load in its goal."""
    environment = ac.make_environment("collective_transport", num_particles=1, physics_steps=2)
    box = {"box_low": (-6.0, -6.0), "box_high": (20.0, 20.0)}
    for target in ((12.0, 5.0), (6.0, 5.0)):
        state = environment.make_state(position=[[2.0, 5.0]], load=(6.0, 5.0), targets=[target], **box)
        slope = jax.grad(lambda action, start=state: jnp.sum(environment.step(start, action)[1].reward))
        assert np.isfinite(slope(jnp.zeros((1, 2)))).all()


@pytest.mark.parametrize("decisions", [1, 3])
def test_friction_of_a_sphere_at_rest(decisions: int) -> None:
    """Where nothing slips yet, friction has the slope of its viscous branch, from both sides."""
    environment = ac.make_environment("swarm_roller", num_particles=1)
    height = 1 - 9.81 / 2e3
    state = environment.make_state(position=[[4.0, 4.0, height]], targets=[[8.0, 8.0]], **CORNERS)

    def place(torque: Array) -> Array:
        now = state
        for _ in range(decisions):
            now, _ = environment.step(now, jnp.stack([jnp.zeros(()), torque])[None])
        return now.particles.position[0, 0]

    central = (place(jnp.asarray(1e-6)) - place(jnp.asarray(-1e-6))) / 2e-6
    assert central > 0.04
    np.testing.assert_allclose(jax.grad(place)(jnp.zeros(())), central, rtol=1e-8)
    np.testing.assert_allclose(jax.jvp(place, (jnp.zeros(()),), (jnp.ones(()),))[1], central, rtol=1e-8)


@pytest.mark.parametrize("law", ["viscous_coulomb", "hertz"])
def test_friction_of_a_disc_at_rest(law: str) -> None:
    """A speed of next to nothing decays through friction as a small one does."""
    material = {"stiffness": 1e3, "friction": 0.5, "tangential_damping": 8.0, "gravity": 1.0}
    world = dem.World.create((-10.0, 0.0), (10.0, 20.0), "soft", dt=1e-3, law=law, restitution=0.2, **material)
    rest = dem.simulate(world, dem.Particles.create([[0.0, 1.0]]), 20_000)

    def travelled(speed: Array) -> Array:
        start = replace(rest, velocity=jnp.stack([speed, rest.velocity[0, 1]])[None])
        return dem.simulate(world, start, 500).position[0, 0]

    central = (travelled(jnp.asarray(1e-5)) - travelled(jnp.asarray(-1e-5))) / 2e-5
    assert 0 < central < 0.45
    np.testing.assert_allclose(jax.grad(travelled)(jnp.zeros(())), central, rtol=1e-7)
