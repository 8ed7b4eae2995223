"""Contact forces, one by one, are those of the engine."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdem_ac import dem
from jaxdem_ac.dem.columns import Columns, stacked
from jaxdem_ac.dem.forces import contact_force
from jaxdem_ac.view.figures.contacts import contacts_of

STIFFNESS = 1e3


def test_two_discs_push_with_their_spring_and_meet_in_one_point() -> None:
    world = dem.World.create([0, 0], [20, 20], stiffness=STIFFNESS)
    discs = dem.Particles.create(jnp.array([[5.0, 5.0], [7.9, 5.0], [15.0, 15.0]]), radius=jnp.array([1.0, 2.0, 1.0]))
    found = contacts_of(world, discs)
    np.testing.assert_allclose(found.force, 2 * [STIFFNESS * 0.1], rtol=1e-4)
    point = [5 + 2.9 / 3, 5.0]
    np.testing.assert_allclose(found.lines, [[[5, 5], point], [[7.9, 5], point]], rtol=1e-6)


def test_through_a_periodic_side_lines_leave_the_box() -> None:
    world = dem.World.create([0, 0], [10, 10], boundary="periodic", stiffness=STIFFNESS)
    found = contacts_of(world, dem.Particles.create(jnp.array([[0.5, 5.0], [9.6, 5.0]])))
    np.testing.assert_allclose(found.force, 2 * [STIFFNESS * 1.1], rtol=1e-4)
    np.testing.assert_allclose(sorted(found.lines[:, 1, 0]), [0.05, 10.05], rtol=1e-4)


def test_what_is_fixed_on_both_sides_does_not_count() -> None:
    world = dem.World.create([0, 0], [10, 10], boundary="soft", stiffness=STIFFNESS)
    wall = dem.Particles.create(jnp.array([[0.5, 5.0], [2.0, 5.0]]), fixed=True)
    assert not len(contacts_of(world, wall).force)


def test_contact_forces_add_up_to_the_force_on_each_particle() -> None:
    rng = np.random.default_rng(3)
    world = dem.World.create([0.0] * 3, [6.0] * 3, boundary="soft", stiffness=STIFFNESS)
    particles = dem.Particles.create(
        jnp.asarray(rng.uniform(0.3, 5.7, (30, 3))), radius=jnp.asarray(rng.uniform(0.4, 0.9, 30))
    )
    found = contacts_of(world, particles)
    position = np.asarray(particles.position)
    total = np.zeros_like(position)
    for (centre, point), force in zip(found.lines, found.force, strict=True):
        owner = np.flatnonzero((position == centre).all(1))
        total[owner] += force * (centre - point) / np.linalg.norm(centre - point)
    columns = Columns.of(particles)
    of_walls = jax.jit(lambda: stacked(world.boundary.force(world, columns)[0]))()
    expected = of_walls + jax.jit(lambda: stacked(contact_force(world, columns)[0]))()
    np.testing.assert_allclose(total, expected, rtol=1e-3, atol=0.1)
    assert np.abs(np.asarray(expected)).max() > 100


def test_forces_that_springs_decide_are_not_drawn_from_frames_without() -> None:
    world = dem.World.create([0.0] * 2, [9.0] * 2, friction=0.5, law="cundall_strack")
    with pytest.raises(ValueError, match="come from springs that a recording does not keep"):
        contacts_of(world, dem.Particles.create([[3.0, 3.0], [4.5, 3.0]]))
