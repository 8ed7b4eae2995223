"""The swarm navigator: parity with JaxDEM, held actions, resets, and bad input."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxdem_ac as ac
from jaxdem_ac.environments.placement import jittered_grid

GOLDEN = Path(__file__).parents[1] / "data" / "swarm_navigator_16.npz"


def golden_start(golden: Any, **keywords: Any) -> tuple[Any, Any]:
    """Return the environment and the state that the golden file begins with."""
    environment = ac.make_environment(
        "swarm_navigator",
        num_particles=16,
        lidar_range=float(golden["lidar_range"]),
        n_lidar_rays=int(golden["n_lidar_rays"]),
        friction=float(golden["friction"]),
        dt=float(golden["dt"]),
    )
    state = environment.make_state(
        position=golden["pos0"],
        velocity=golden["vel0"],
        radius=golden["rad"],
        mass=golden["mass"],
        targets=golden["objective"],
        box_low=golden["anchor"],
        box_high=golden["anchor"] + golden["box_size"],
        **keywords,
    )
    return environment, state


def play(environment: Any, state: Any, actions: np.ndarray) -> tuple[Any, Any]:
    """Return all states and timesteps of a sequence of actions."""

    def body(state: Any, action: Any) -> tuple[Any, Any]:
        state, timestep = environment.step(state, action)
        return state, (state, timestep)

    return jax.jit(lambda state, actions: jax.lax.scan(body, state, actions)[1])(state, jnp.asarray(actions))


@pytest.mark.parametrize("with_energy", [True, False])
def test_observations_and_rewards_are_those_of_jaxdem(with_energy: bool) -> None:
    golden = np.load(GOLDEN)
    energy = {"kinetic_energy": golden["start_curr_ke"]} if with_energy else {}
    environment, start = golden_start(golden, **energy)
    states, timesteps = play(environment, start, golden["actions"])
    assert golden["reward"].shape == (40, 16)
    np.testing.assert_allclose(start.observation, golden["obs"][0], atol=1e-4)
    np.testing.assert_allclose(timesteps.observation, golden["obs"][1:], atol=1e-4)
    np.testing.assert_allclose(states.particles.position, golden["pos"], atol=1e-4)
    np.testing.assert_allclose(states.particles.velocity, golden["vel"], atol=1e-3)
    # The energy that the first reward compares with is no part of positions and velocities.
    first = 0 if with_energy else 1
    np.testing.assert_allclose(timesteps.reward[first:], golden["reward"][first:], atol=1e-4)


@pytest.mark.parametrize("bonus", [0.0, 0.1])
def test_a_held_action_is_as_many_single_steps(bonus: float) -> None:
    keywords = {"num_particles": 8, "min_box_size": 8.0, "max_box_size": 8.0, "box_padding": 6.0, "max_steps": 40}
    single = ac.make_environment("swarm_navigator", **keywords, near_goal_bonus=0.0)
    held = ac.make_environment("swarm_navigator", **keywords, near_goal_bonus=bonus, physics_steps=10)
    start = single.reset(jax.random.key(0))
    actions = np.random.default_rng(0).uniform(-5, 5, (4, 8, 2)).astype(np.float32)
    held_states, held_steps = play(held, start, actions)
    states, steps = play(single, start, np.repeat(actions, 10, axis=0))
    jax.tree.map(
        lambda one, many: np.testing.assert_allclose(one, many[9::10], rtol=1e-4, atol=1e-4), held_states, states
    )
    # All terms but the bonus are differences, and add up over the decision.
    total = np.asarray(steps.reward).reshape(4, 10, 8).sum(1)
    position, targets = np.asarray(held_states.particles.position), np.asarray(start.targets)
    distance = np.linalg.norm(position[:, :, None] - targets, axis=-1)
    np.testing.assert_allclose(held_steps.reward, total + bonus * (distance.min(-1) <= 1), atol=1e-4)
    np.testing.assert_array_equal(held_states.step_count, [10, 20, 30, 40])
    np.testing.assert_array_equal(held_steps.truncated, [False, False, False, True])
    # Success: targets with a centre within one radius.
    np.testing.assert_allclose(held_steps.info["success"], (distance <= 1).any(1).mean(-1), atol=1e-6)


def test_success_and_bonus_are_counted_within_one_radius() -> None:
    environment = ac.make_environment("swarm_navigator", num_particles=3, physics_steps=1, box_padding=0.0)
    state = environment.make_state(
        position=[[5.0, 5.0], [10.0, 10.0], [15.0, 5.0]],
        targets=[[5.5, 5.0], [10.0, 11.5], [2.0, 15.0]],
        box_low=[0.0, 0.0],
        box_high=[20.0, 20.0],
    )
    _, timestep = environment.step(state, jnp.zeros((3, 2)))
    assert float(timestep.info["success"]) == pytest.approx(1 / 3)
    np.testing.assert_allclose(timestep.reward, [0.1, 0.0, 0.0], atol=1e-5)


def test_every_reward_weight_weighs_its_term() -> None:
    plain = {"ke_weight": 0.0, "coop_weight": 0.0, "near_goal_bonus": 0.0}
    base = {"num_particles": 4, "min_box_size": 6.0, "max_box_size": 6.0, "box_padding": 4.0, "physics_steps": 20}
    start = ac.make_environment("swarm_navigator", **base).reset(jax.random.key(1))
    action = jax.random.normal(jax.random.key(2), (4, 2)) * 50

    def reward(**keywords: float) -> np.ndarray:
        environment = ac.make_environment("swarm_navigator", **{**base, **plain, **keywords})
        return np.asarray(environment.step(start, action)[1].reward)

    end, _ = ac.make_environment("swarm_navigator", **base).step(start, action)
    progress = np.asarray(end.potential - start.potential)
    energy = 0.5 * np.sum(np.asarray(end.particles.velocity) ** 2, -1)
    assert energy.min() > 0.01
    np.testing.assert_allclose(reward(), progress, atol=1e-5)
    np.testing.assert_allclose(reward(ke_weight=0.5), progress - 0.5 * energy, atol=1e-5)
    np.testing.assert_allclose(reward(coop_weight=2.0), progress + 2 * progress.mean(), atol=1e-5)


def test_the_potential_of_targets_in_sight() -> None:
    environment = ac.make_environment("swarm_navigator", num_particles=2, lidar_range=4.0, n_lidar_rays=4)
    state = environment.make_state(
        position=[[0.0, 0.0], [20.0, 20.0]],
        targets=[[0.5, 0.1], [-0.1, 0.7]],
        box_low=[-30.0, -30.0],
        box_high=[30.0, 30.0],
    )
    expected = sum(np.exp(-4 * np.hypot(*target)) for target in [(0.5, 0.1), (-0.1, 0.7)])
    np.testing.assert_allclose(state.potential, [expected, 0.0], rtol=1e-5)
    np.testing.assert_array_equal(state.observation[1], np.zeros(10))


RESET = {"num_particles": 16, "min_box_size": 18.0, "max_box_size": 26.0, "box_padding": 20.0}


@pytest.fixture(scope="module")
def starts() -> Any:
    """Return the states of 100 resets."""
    environment = ac.make_environment("swarm_navigator", **RESET)
    return jax.device_get(jax.jit(jax.vmap(environment.reset))(jax.random.split(jax.random.key(0), 100)))


def test_a_reset_box_is_the_region_and_its_padding(starts: Any) -> None:
    np.testing.assert_array_equal(starts.box_low, -10.0)
    size = starts.box_high - 10.0
    assert (size >= 18).all()
    assert (size <= 26).all()
    # Drawn for each axis, over the whole range.
    assert np.abs(size[:, 0] - size[:, 1]).max() > 4
    assert size.max() - size.min() > 7


def test_reset_targets_are_spread_over_the_region(starts: Any) -> None:
    size = (starts.box_high - 10.0)[:, None]
    assert (starts.targets >= 0).all()
    assert (starts.targets <= size).all()
    share = starts.targets / size
    np.testing.assert_allclose(share.mean((0, 1)), 0.5, atol=0.05)
    assert share.std((0, 1)).min() > 0.2


def test_a_reset_leaves_a_sixth_inside_and_the_rest_around(starts: Any) -> None:
    position, size = starts.particles.position, (starts.box_high - 10.0)[:, None]
    assert (position >= starts.box_low[:, None] + 1).all()
    assert (position <= starts.box_high[:, None] - 1).all()
    inside = ((position > 0) & (position < size)).all(-1)
    np.testing.assert_array_equal(inside.sum(1), 16 // 6)
    # Who starts inside is drawn too.
    assert (inside.mean(0) > 0).all()


def test_a_reset_has_no_overlaps_at_low_density_and_nothing_moves(starts: Any) -> None:
    position = starts.particles.position
    distance = np.linalg.norm(position[:, :, None] - position[:, None], axis=-1) + 10 * np.eye(16)
    assert distance.min() >= 2 - 1e-4
    np.testing.assert_array_equal(starts.particles.velocity, 0.0)
    np.testing.assert_array_equal(starts.kinetic_energy, 0.0)
    np.testing.assert_array_equal(starts.step_count, 0)


@pytest.mark.parametrize("num", [1, 5])
def test_small_swarms_reset(num: int) -> None:
    environment = ac.make_environment("swarm_navigator", num_particles=num)
    state = jax.jit(environment.reset)(jax.random.key(0))
    assert state.particles.position.shape == state.targets.shape == (num, 2)
    assert np.isfinite(state.observation).all()


@pytest.mark.parametrize(("num", "size"), [(1, (4.0, 4.0)), (9, (12.0, 12.0)), (7, (30.0, 8.0)), (16, (5.0, 40.0))])
def test_a_grid_holds_its_points_apart(num: int, size: tuple[float, float]) -> None:
    points = np.asarray(jittered_grid(jax.random.key(1), num, jnp.asarray(size), radius=0.5))
    assert points.shape == (num, 2)
    assert (points >= 0.5 - 1e-5).all()
    assert (points <= np.array(size) - 0.5 + 1e-5).all()
    distance = np.linalg.norm(points[:, None] - points, axis=-1) + 10 * np.eye(num)
    assert distance.min() >= 1 - 1e-4


def test_make_state_goes_on_from_where_a_state_was() -> None:
    environment = ac.make_environment("swarm_navigator", num_particles=4, physics_steps=3)
    action = jnp.full((4, 2), 2.0)
    state, _ = environment.step(environment.reset(jax.random.key(3)), action)
    again = environment.make_state(
        position=state.particles.position,
        velocity=state.particles.velocity,
        force=state.particles.force,
        targets=state.targets,
        box_low=state.box_low,
        box_high=state.box_high,
        step_count=3,
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6), again, state)
    followed = [environment.step(each, action) for each in (state, again)]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), *followed)


STATE = {
    "position": [[2.0, 2.0], [6.0, 6.0]],
    "targets": [[3.0, 3.0], [5.0, 5.0]],
    "box_low": [0.0, 0.0],
    "box_high": [9.0, 9.0],
}


@pytest.mark.parametrize(
    ("keywords", "words"),
    [
        ({"position": [[2.0, 2.0]]}, ["position", "(2, 2)", "(1, 2)", "num_particles=1"]),
        ({"position": np.zeros((2, 3))}, ["position", "(2, 2)", "(2, 3)"]),
        ({"targets": np.zeros((3, 2))}, ["targets", "(2, 2)", "(3, 2)"]),
        ({"targets": [[np.nan, 0.0], [0.0, 0.0]]}, ["targets", "finite"]),
        ({"velocity": np.zeros((3, 2))}, ["velocity", "(3, 2)"]),
        ({"box_high": [-1.0, 9.0]}, ["box_high > box_low"]),
        ({"radius": 0.0}, ["radius", "above 0"]),
        ({"kinetic_energy": [np.inf, 0.0]}, ["kinetic_energy", "finite"]),
    ],
)
def test_a_bad_state_is_refused(keywords: dict[str, Any], words: list[str]) -> None:
    environment = ac.make_environment("swarm_navigator", num_particles=2)
    with pytest.raises(ValueError, match="got ") as raised:
        environment.make_state(**{**STATE, **keywords})
    for word in words:
        assert word in str(raised.value)


@pytest.mark.parametrize(
    ("field", "value", "rule"),
    [
        ("n_lidar_rays", 0, "a whole number from 1"),
        ("lidar_range", 0.0, "above 0"),
        ("dt", -1e-3, "above 0"),
        ("stiffness", float("nan"), "a finite number"),
        ("min_box_size", 0.0, "above 0"),
        ("box_padding", -1.0, "at least 0"),
        ("friction", -0.1, "at least 0"),
        ("ke_weight", float("inf"), "a finite number"),
        ("near_goal_bonus", "large", "a finite number"),
        ("max_box_size", 10.0, "max_box_size >= min_box_size"),
    ],
)
def test_a_bad_field_is_named_with_its_rule(field: str, value: Any, rule: str) -> None:
    with pytest.raises(ValueError, match=f"{field}={value!r}".replace("'", ".")) as raised:
        ac.make_environment("swarm_navigator", **{field: value})
    assert rule in str(raised.value)


def test_defaults_are_those_of_jaxdem() -> None:
    environment = ac.make_environment("swarm_navigator")
    assert environment.num_particles == 64
    assert (environment.min_box_size, environment.max_box_size, environment.box_padding) == (20.0, 20.0, 20.0)
    assert (environment.friction, environment.ke_weight, environment.coop_weight) == (0.2, 0.1, 0.2)
    assert (environment.lidar_range, environment.n_lidar_rays) == (10.0, 24)
    assert environment.observation_size == 50
    assert replace(environment, physics_steps=50).decision_time == pytest.approx(0.1)
