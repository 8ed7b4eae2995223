"""Sizes that a task was checked for: the swarm fits at every reset, and no state has what the task would refuse."""

import itertools
import re
import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxdem_ac as ac
from jaxdem_ac.dem.time_step import TimeStepWarning
from jaxdem_ac.environments.placement import jittered_grid
from jaxdem_ac.environments.sizes import check_room


def cell_of(num: int, width: float, height: float) -> float:
    """Return the shorter side of a cell of the grid of `num` points in a rectangle."""
    columns = np.ceil(np.sqrt(num * width / height))
    return float(min(width / columns, height / np.ceil(num / columns)))


@pytest.mark.parametrize("num", [1, 2, 5, 9, 16, 23])
@pytest.mark.parametrize(
    ("low", "high"), [((4.0, 4.0), (6.0, 6.0)), ((2.0, 10.0), (2.0, 30.0)), ((5.0, 3.0), (9.0, 3.0))]
)
def test_the_least_cell_of_all_rectangles_decides(
    num: int, low: tuple[float, float], high: tuple[float, float]
) -> None:
    """A larger rectangle may have a column more, and smaller cells."""
    sides = [np.linspace(one, other, 400 if other > one else 1) for one, other in zip(low, high, strict=True)]
    least = min(cell_of(num, *each) for each in itertools.product(*sides))
    with pytest.raises(ValueError, match="without overlap") as told:
        check_room("Here", num, low, 0.501 * least, "Raise it.", high)
    exact = float(re.search(r"cells of ([\d.]+)\. ", str(told.value))[1])  # type: ignore[index]
    assert 0.96 * least < exact < least * 1.005
    check_room("Here", num, low, 0.48 * least, "Raise it.", high)


@pytest.mark.parametrize(("num", "side"), [(9, 3.615385055541992), (9, 3.8181209564), (49, 14.32)])
def test_rounding_makes_no_further_column(num: int, side: float) -> None:
    for factor in np.linspace(1, 1.1, 50):
        size = jnp.full((2,), side * factor)
        places = np.asarray(jittered_grid(jax.random.key(0), num, size, 1e6))
        assert len(np.unique(places[:, 0])) == round(num**0.5)


FITS = r"particles of radius .* start in a region of .* without overlap; got cells"


@pytest.mark.parametrize(
    ("env", "fields"),
    [
        ("swarm_roller", {"num_particles": 24, "min_box_size": 4.5, "max_box_size": 6.0, "box_padding": 20.0}),
        ("collective_transport", {"arena_size": (4.5, 6.0), "box_padding": 4.5, "load_radius": 1.0}),
        ("evacuation", {"forecourt": 0.5}),
        ("evacuation", {"forecourt": 0.4}),
    ],
)
def test_a_swarm_that_does_not_always_fit_is_refused(env: str, fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=FITS):
        ac.make_environment(env, **fields)


@pytest.mark.parametrize(
    ("env", "fields"),
    [
        ("multi_navigator", {"num_particles": 200}),
        ("multi_navigator", {"num_particles": 16, "min_box_size": 2.0, "max_box_size": 30.0}),
        ("swarm_navigator", {"num_particles": 16, "box_padding": 1.0}),
        ("swarm_navigator", {"num_particles": 64, "box_padding": 0.0, "min_box_size": 15.0}),
        ("swarm_navigator", {"num_particles": 64, "min_box_size": 8.0, "max_box_size": 8.0, "box_padding": 4.0}),
    ],
)
def test_navigators_that_start_inside_each_other_are_told(env: str, fields: dict[str, Any]) -> None:
    """JaxDEM's do so too, and nothing is said."""
    with pytest.warns(UserWarning, match=FITS + ".* push each other away at once"):
        environment = ac.make_environment(env, **fields)
    places = np.stack([environment.reset(jax.random.key(seed)).particles.position for seed in range(8)])
    apart = np.linalg.norm(places[:, :, None] - places[:, None], axis=-1) + 9 * np.eye(places.shape[1])
    assert apart.min() < 2


@pytest.mark.parametrize("env", ["multi_navigator", "swarm_navigator"])
def test_nothing_is_said_of_navigators_that_fit(env: str) -> None:
    with warnings.catch_warnings(action="error"):
        environment = ac.make_environment(env, num_particles=64)
    places = np.asarray(environment.reset(jax.random.key(0)).particles.position)
    assert (np.linalg.norm(places[:, None] - places[None], axis=-1) + 9 * np.eye(64)).min() >= 2


WHERE = {"position": [[0.0, 0.0], [5.0, 5.0]], "targets": [[1.0, 1.0], [2.0, 2.0]]}
BOX = {"box_low": [-10.0, -10.0], "box_high": [30.0, 30.0]}
STATES: dict[str, dict[str, Any]] = {
    "swarm_navigator": {**WHERE, **BOX},
    "multi_navigator": {**WHERE, **BOX},
    "swarm_roller": {**WHERE, **BOX},
    "collective_transport": {**WHERE, **BOX, "targets": [[9.0, 9.0]], "load": [12.0, 12.0]},
    "evacuation": {"position": WHERE["position"], "gap_centre": 5.0},
    "active_brownian": {"position": WHERE["position"], "orientation": [0.0, 1.0], "key": jax.random.key(0)},
}


@pytest.mark.parametrize("env", STATES)
def test_a_state_has_no_lighter_particle_than_its_task(env: str) -> None:
    environment = ac.make_environment(env, num_particles=2, mass=(1.0, 2.0))
    assert environment.make_state(**STATES[env], mass=[1.0, 3.0]).observation.shape[0] == 2
    with pytest.raises(ValueError, match=r"make_state: a mass is at least the environment's.* got mass=0.5"):
        environment.make_state(**STATES[env], mass=[1.0, 0.5])


def test_no_more_goals_are_reached_than_there_are() -> None:
    environment = ac.make_environment("collective_transport", num_particles=2)
    assert environment.make_state(**STATES["collective_transport"], num_reached=1).num_reached == 1
    with pytest.raises(ValueError, match=r"num_reached is at most num_goals; got 3 of 1"):
        environment.make_state(**STATES["collective_transport"], num_reached=3)


def test_the_load_is_looked_at_as_particles_are() -> None:
    with pytest.warns(TimeStepWarning, match="for a contact of the lightest particles"):
        ac.make_environment("collective_transport", load_mass=0.05)
    with pytest.raises(ValueError, match="drag slows particles down"):
        ac.make_environment("collective_transport", num_particles=4, drag=110.0, mass=10.0, load_mass=0.5)


@pytest.mark.parametrize("env", ["swarm_navigator", "swarm_roller"])
def test_a_lidar_whose_readings_say_nothing_is_refused(env: str) -> None:
    with pytest.raises(ValueError, match=r"readings resolve a thousandth of a radius; got lidar_range=1e\+06"):
        ac.make_environment(env, lidar_range=1e6)
    with jax.enable_x64(True):
        assert ac.make_environment(env, lidar_range=1e6).lidar_range == 1e6
    # At the most that is taken a target within reach is told from one that is not.
    environment = ac.make_environment(env, num_particles=2, lidar_range=8e3)
    for distance, paid in ((0.998, True), (1.002, False)):
        targets = [[distance, 0.0], [5.0, 5.0 + distance]]
        state = environment.make_state(position=WHERE["position"], targets=targets, **BOX)
        np.testing.assert_allclose(state.distance, distance, atol=1e-3)
        assert np.all((np.asarray(state.distance) <= 1.0) == paid)


def test_a_sphere_that_its_floor_does_not_bear_is_refused() -> None:
    with pytest.raises(ValueError, match="particles that push each other stay apart"):
        ac.make_environment("swarm_roller", mass=300.0)
