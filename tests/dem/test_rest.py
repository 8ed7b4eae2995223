"""What lies on a wall stays on it, and what starts inside one comes out."""

import warnings
from typing import Any

import jax
import numpy as np
import pytest

from jaxdem_ac import dem

STACK = [[5.0, 1.0], [5.0, 3.0], [5.0, 5.0]]


def settled(position: Any, num_steps: int = 20_000, force: Any = 0.0, dim: int = 2, **material: Any) -> dem.Particles:
    """Return discs that have lain for a while, on a floor below gravity along the last axis."""
    with jax.enable_x64(True), warnings.catch_warnings():
        # Stacks at JaxDEM's time step: their contacts are coarse, and are to rest all the same.
        warnings.simplefilter("ignore", dem.TimeStepWarning)
        world = dem.World.create([0.0] * dim, [10.0] * dim, **{"gravity": 9.81, **material})
        return dem.simulate(world, dem.Particles.create(position), num_steps, force)


@pytest.mark.parametrize("restitution", [0.0, 0.3, 0.5, 0.99])
@pytest.mark.parametrize("dt", [2e-3, 1e-2])
def test_a_disc_that_lies_on_the_floor_does_not_sink(restitution: float, dt: float) -> None:
    later = settled([[5.0, 1.0]], restitution=restitution, dt=dt)
    np.testing.assert_allclose(later.position, [[5.0, 1.0]], atol=1e-9)
    np.testing.assert_allclose(later.velocity, 0.0, atol=1e-7)


@pytest.mark.parametrize(
    ("force", "drag", "where"),
    [([40.0, 0.0], 0.0, [9.0, 1.0]), ([0.0, -3.0], 0.5, [5.0, 1.0]), ([-5, 0], 2.0, [1.0, 1.0])],
)
def test_nor_does_one_that_is_pushed_or_dragged(force: Any, drag: float, where: Any) -> None:
    later = settled([[5.0, 1.0]], 30_000, [force], restitution=0.5, drag=drag)
    np.testing.assert_allclose(later.position, [where], atol=1e-6)


def test_nor_does_a_sphere_in_a_corner() -> None:
    later = settled([[1.5, 8.0, 4.0]], 20_000, [[-2.0, 3.0, 0.0]], dim=3, restitution=0.4)
    np.testing.assert_allclose(later.position, [[1.0, 9.0, 1.0]], atol=1e-6)


@pytest.mark.parametrize(
    ("restitution", "dt", "tolerance"), [(0.0, 2e-4, 2e-5), (0.2, 2e-4, 2e-5), (0.5, 2e-4, 2e-5), (0.5, 2e-3, 1e-2)]
)
def test_nor_does_a_stack(restitution: float, dt: float, tolerance: float) -> None:
    later = settled(STACK, 40_000, restitution=restitution, dt=dt)
    # A contact below n discs is pressed together by n m g / k, and by what its dashpot feels of a fall of half a step.
    # With 2.5 steps in a contact they go on hopping a little.
    heights = np.cumsum([1.0, 2.0 - 2 * 9.81 / 2e5, 2.0 - 9.81 / 2e5])
    np.testing.assert_allclose(later.position[:, 1], heights, atol=tolerance)


@pytest.mark.slow
def test_a_disc_lies_on_the_floor_for_a_million_steps() -> None:
    later = settled([[5.0, 1.0], [2.0, 7.0]], 1_000_000, restitution=0.5)
    np.testing.assert_allclose(later.position[:, 1], 1.0, atol=1e-9)


@pytest.mark.parametrize("restitution", [0.5, 1.0])
@pytest.mark.parametrize("gravity", [0.0, 9.81])
def test_a_disc_that_starts_inside_a_wall_at_rest_comes_out(restitution: float, gravity: float) -> None:
    later = settled([[5.0, 0.4], [9.6, 5.0]], 500, restitution=restitution, gravity=gravity)
    # Elastic walls let what lies on them hop by a few falls of one step.
    np.testing.assert_allclose(later.position[0, 1], 1.0, atol=4 * gravity * 4e-6 + 1e-12)
    assert float(later.position[1, 0]) == pytest.approx(9.0)


def test_a_ball_bounces_as_high_as_its_restitution_says() -> None:
    """Let fall from a height h, it rises to e**2 h, 2 (1 + e) sqrt(2 h / g) / 2 later."""
    height, restitution = 4.0, 0.6
    rise = (1 + restitution) * np.sqrt(2 * height / 9.81)
    later = settled([[5.0, 1.0 + height]], round(rise / 1e-3), restitution=restitution, dt=1e-3)
    assert float(later.position[0, 1]) - 1.0 == pytest.approx(restitution**2 * height, rel=1e-3)


def test_elastic_walls_keep_the_energy_of_what_falls_on_them() -> None:
    later = settled([[5.0, 6.0]], 50_000, dt=1e-3)
    energy = 9.81 * (float(later.position[0, 1]) - 1.0) + 0.5 * float(later.velocity[0, 1]) ** 2
    assert energy == pytest.approx(9.81 * 5.0, rel=1e-3)
