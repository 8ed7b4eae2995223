"""What a picture needs of an episode."""

from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxdem_ac as ac
from jaxdem_ac import dem
from jaxdem_ac.view.episode import FIXED, PASSIVE, Episode, kinds_of

WORLD = dem.World.create([0, 0], [10, 10])


def episode(**fields: Any) -> Episode:
    rng = np.random.default_rng(0)
    particles = dem.Particles.create(
        jnp.asarray(rng.uniform(0, 10, (40, 2))), radius=jnp.asarray(rng.uniform(0.3, 1, 40))
    )
    made = Episode.of_particles(WORLD, particles)
    targets = rng.uniform(0, 10, (1, 12, 2))
    return Episode(**{**vars(made), "targets": targets, **fields})


@pytest.mark.parametrize("own", [None, np.linspace(0.2, 3.0, 12)], ids=["their radius", "the target's"])
def test_who_is_at_a_target_is_who_is_within_reach(own: np.ndarray | None) -> None:
    found = episode(target_radius=own)
    distance = np.linalg.norm(found.particles.position[0][:, None] - found.targets[0], axis=-1)
    near = distance <= (found.particles.radius[0][:, None] if own is None else own)
    there, reached = found.arrived(0)
    np.testing.assert_array_equal(there, near.any(1))
    np.testing.assert_array_equal(reached, near.any(0))
    assert 0 < reached.sum() < 12


def test_a_task_that_knows_which_are_reached_is_believed() -> None:
    said = np.zeros((1, 12), bool)
    there, reached = episode(target_reached=said).arrived(0)
    assert not there.any()
    assert not reached.any()
    lit = np.zeros((1, 40), bool)
    lit[0, 7] = True
    there, _ = episode(target_reached=said, highlight=lit).arrived(0)
    assert np.flatnonzero(there).tolist() == [7]
    assert lit.sum() == 1


def test_moments_are_spread_and_end_with_the_last() -> None:
    frames = episode()
    many = jax.tree.map(lambda leaf: np.repeat(leaf, 11, axis=0), frames.particles)
    long = Episode(**{**vars(frames), "particles": many})
    assert long.moments(3) == [0, 5, 10]
    assert long.moments(1) == [10]
    assert long.moments(100) == list(range(11))
    assert long.moments(3, every=4) == [0, 4, 8, 10]


def test_kinds_are_species_loads_and_obstacles() -> None:
    crowd = ac.make_environment("evacuation", num_particles=2, species=[1, 0])
    assert kinds_of(crowd, np.array([False, False, True])).tolist() == [1, 0, FIXED]
    load = ac.make_environment("collective_transport", num_particles=2)
    assert kinds_of(load, np.array([False, False, False])).tolist() == [0, 0, PASSIVE]
    assert kinds_of(load, np.array([False, False, False]), [0, 1]).tolist() == [0, 1, PASSIVE]
    guest: Any = SimpleNamespace(num_particles=2)
    assert kinds_of(guest, np.zeros(4, bool)).tolist() == [0, 0, 0, 0]


def test_states_without_particles_are_one_error() -> None:
    environment = ac.make_environment("swarm_navigator", num_particles=4)
    with pytest.raises(TypeError, match="got SimpleNamespace without box_low"):
        Episode.of_states(environment, SimpleNamespace(particles=None))
