"""A wall is a partner like any other, with a normal along an axis."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdem_ac import dem
from jaxdem_ac.dem.columns import Columns, stacked
from jaxdem_ac.dem.contact_law import Contact


@pytest.mark.parametrize("dim", [2, 3])
@pytest.mark.parametrize("friction", [0.0, 0.6])
@pytest.mark.parametrize("restitution", [1.0, 0.5])
def test_soft_walls_follow_the_law_of_a_contact(dim: int, friction: float, restitution: float) -> None:
    random, num = np.random.default_rng(dim), 200
    world = dem.World.create(
        [-1.0] * dim, [1.0] * dim, "soft", stiffness=2e3, friction=friction, restitution=restitution,
        tangential_damping=20.0,
    )  # fmt: skip
    particles = dem.Particles.create(
        random.uniform(-1, 1, (num, dim)),
        random.normal(size=(num, dim)),
        random.uniform(0.1, 0.4, num),
        random.uniform(0.5, 2, num),
        angular_velocity=random.normal(size=(num, 1 if dim == 2 else 3)),
    )
    force, torque = np.zeros((num, dim)), np.zeros((num, 1 if dim == 2 else 3))
    touched = 0
    for axis in range(dim):
        for side in (-1, 1):
            normal = -side * np.eye(dim)[axis]
            overlap = jnp.maximum(0.0, particles.radius - (1 - side * particles.position[:, axis]))
            touched += int((overlap > 0).sum())
            contact = Contact(
                normal=[jnp.full(num, component) for component in normal],
                overlap=overlap,
                velocity=list(particles.velocity.T),
                spin=list((particles.radius[:, None] * particles.angular_velocity).T),
                reduced_mass=particles.mass,
                reduced_radius=particles.radius,
            )
            along, across, turning = world.law.forces(world, contact)
            force += np.asarray(along)[:, None] * normal
            if friction:
                force += np.stack(across, axis=-1)
                torque += np.asarray(particles.radius)[:, None] * np.stack(turning, axis=-1)
    assert touched > num / 4
    found, turned = jax.jit(lambda: world.boundary.force(world, Columns.of(particles)))()
    np.testing.assert_allclose(stacked(found), force, rtol=1e-5, atol=1e-4)
    assert bool(turned) == bool(friction)
    if turned:
        assert np.abs(torque).max() > 1
        np.testing.assert_allclose(stacked(turned), torque, rtol=1e-5, atol=1e-5)
