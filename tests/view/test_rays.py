"""Rays end where a lidar senses something."""

import jax.numpy as jnp
import numpy as np
import pytest

import jaxdem_ac as ac
from jaxdem_ac.environments.sensing.lidar import Channel
from jaxdem_ac.view.figures.rays import sensed

# Where the first lidar stands in an observation: what each task's docstring lists before it.
FIRST = {
    "swarm_navigator": (2, 2),
    "multi_navigator": (6, 1),
    "collective_transport": (12, 1),
    "evacuation": (7, 2),
    "swarm_roller": (5, 2),
    "active_brownian": (6, 1),
}


@pytest.mark.parametrize("name", FIRST)
@pytest.mark.parametrize("observe_sizes", [False, True])
def test_every_task_says_where_its_lidars_stand(name: str, observe_sizes: bool) -> None:
    environment = ac.make_environment(name, num_particles=4, n_lidar_rays=5, observe_sizes=observe_sizes)
    first, count = FIRST[name]
    assert [lidar.start for lidar in environment.lidars] == [first + 5 * number for number in range(count)]
    assert environment.lidars[-1].start + 5 + 2 * observe_sizes == environment.observation_size
    assert {lidar.lidar_range for lidar in environment.lidars} == {environment.lidar_range}


def test_an_arc_is_as_far_as_the_nearest_thing_in_its_sector() -> None:
    environment = ac.make_environment("swarm_navigator", num_particles=2, n_lidar_rays=8)
    state = environment.make_state(
        position=jnp.array([[0.0, 0.0], [90.0, 90.0]]),
        targets=jnp.array([[3.0, 1.0], [6.0, 2.0]]),
        box_low=[-100.0, -100.0],
        box_high=[100.0, 100.0],
    )
    targets, others = environment.lidars
    observation = np.asarray(state.observation)
    rays, arcs = sensed(targets, observation[0], radius=1.0)
    assert (rays.shape, arcs.shape) == ((1, 2, 2), (1, 9, 2))
    np.testing.assert_allclose(np.linalg.norm(arcs[0], axis=-1), np.sqrt(10.0), rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(rays[0], axis=-1), [1.0, np.sqrt(10.0)], rtol=1e-5)
    # The sector from 0 to 45 degrees holds the target, and the arc stays in it.
    angles = np.degrees(np.arctan2(arcs[0, :, 1], arcs[0, :, 0]))
    assert 0 < angles.min() < 10
    assert 35 < angles.max() < 45
    assert len(sensed(others, observation[0], radius=1.0)[0]) == 0


def test_a_reading_of_nothing_draws_nothing() -> None:
    channel = Channel("targets", start=1, num_bins=4, lidar_range=8.0)
    rays, arcs = sensed(channel, np.array([9.0, 0.0, 0.75, 0.0, 0.0, 9.0]), radius=3.0)
    # What is nearer than the rim is drawn from where it is.
    np.testing.assert_allclose(np.linalg.norm(rays, axis=-1), [[2.0, 2.0]])
    np.testing.assert_allclose(np.linalg.norm(arcs, axis=-1), 2.0)
