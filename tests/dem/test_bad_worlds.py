"""What the engine says of input that it cannot simulate."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdem_ac import dem

LOW, HIGH = [0.0, 0.0], [10.0, 10.0]


@pytest.mark.parametrize(
    ("keywords", "words"),
    [
        ({"position": [1.0, 2.0]}, ["position is (N, 2) or (N, 3)", "(2,)"]),
        ({"position": np.zeros((3, 4))}, ["position is (N, 2) or (N, 3)", "(3, 4)"]),
        ({"position": np.zeros((2, 3, 2))}, ["position is (N, 2) or (N, 3)", "(2, 3, 2)"]),
        ({"position": [[np.nan, 0.0]]}, ["position", "finite", "NaN"]),
        ({"position": [[np.inf, 0.0]]}, ["position", "finite"]),
        ({"velocity": np.zeros((4, 2))}, ["velocity broadcasts to (3, 2)", "(4, 2)"]),
        ({"velocity": [[0.0, np.nan]]}, ["velocity", "finite"]),
        ({"force": np.zeros((3, 3))}, ["force broadcasts to (3, 2)", "(3, 3)"]),
        ({"radius": 0.0}, ["radius is above 0", "radius=0.0"]),
        ({"radius": [1.0, 1.0, -0.5]}, ["radius is above 0", "radius=-0.5"]),
        ({"radius": [1.0, 1.0]}, ["radius broadcasts to (3,)", "(2,)"]),
        ({"mass": 0.0}, ["mass is above 0", "mass=0.0"]),
        ({"mass": np.nan}, ["mass", "finite"]),
    ],
)
def test_bad_particles(keywords: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(ValueError, match=r"; got ") as raised:
        dem.Particles.create(**{"position": np.zeros((3, 2)), **keywords})
    for word in words:
        assert word in str(raised.value)


@pytest.mark.parametrize("keywords", [{"position": "here"}, {"position": None}, {"position": [[0.0, "x"]]}])
def test_particles_that_are_not_numbers(keywords: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match="position: an array of numbers"):
        dem.Particles.create(**keywords)


@pytest.mark.parametrize(
    ("keywords", "words"),
    [
        ({"box_low": [0.0], "box_high": [1.0]}, ["(2,) or (3,)", "(1,)"]),
        ({"box_low": [0.0, 0.0, 0.0]}, ["(2,) or (3,)", "(3,)"]),
        ({"box_low": 0.0}, ["(2,) or (3,)", "()"]),
        ({"box_low": [0.0, 10.0]}, ["box_high > box_low"]),
        ({"box_high": [np.nan, 1.0]}, ["box_high", "finite"]),
        ({"boundary": "open"}, ["'reflect', 'periodic' or 'soft'", "'open'"]),
        ({"dt": 0.0}, ["dt", "dt=0.0"]),
        ({"dt": -1e-3}, ["dt", "-0.001"]),
        ({"dt": np.nan}, ["dt", "finite"]),
        ({"stiffness": 0.0}, ["stiffness", "stiffness=0.0"]),
        ({"stiffness": [1.0, 2.0]}, ["stiffness is one number", "(2,)"]),
        ({"drag": -0.1}, ["drag", "-0.1"]),
        ({"restitution": -0.1}, ["restitution", "restitution=-0.1", "[0, 1"]),
        ({"restitution": 1.5}, ["restitution", "restitution=1.5"]),
        ({"gravity": [1.0, 2.0, 3.0]}, ["gravity is a number or (2,)", "(3,)"]),
        ({"gravity": np.inf}, ["gravity", "finite"]),
    ],
)
def test_bad_worlds(keywords: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(ValueError, match=r"; got ") as raised:
        dem.World.create(**{"box_low": LOW, "box_high": HIGH, **keywords})
    for word in words:
        assert word in str(raised.value)


@pytest.mark.parametrize(
    ("num_steps", "error", "words"),
    [
        (-1, ValueError, r"at least 0 and below 2\*\*31; got num_steps=-1"),
        (1.5, TypeError, "an int; got num_steps=1.5"),
        (True, TypeError, "an int; got num_steps=True"),
        ("3", TypeError, "an int; got num_steps='3'"),
    ],
)
def test_bad_numbers_of_steps(num_steps: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        dem.simulate(dem.World.create(LOW, HIGH), dem.Particles.create([[5.0, 5.0]]), num_steps)


def test_dimensions_have_to_fit() -> None:
    with pytest.raises(ValueError, match="one dimension; got 3 and 2"):
        dem.simulate(dem.World.create(LOW, HIGH), dem.Particles.create([[5.0, 5.0, 5.0]]), 1)


def test_a_force_has_to_fit() -> None:
    particles = dem.Particles.create([[5.0, 5.0], [8.0, 5.0]])
    with pytest.raises(ValueError, match=r"external_force broadcasts to \(2, 2\); got shape \(3, 2\)"):
        dem.simulate(dem.World.create(LOW, HIGH), particles, 1, np.zeros((3, 2)))
    with pytest.raises(ValueError, match="external_force: every number is finite"):
        dem.simulate(dem.World.create(LOW, HIGH), particles, 1, [np.nan, 0.0])


@pytest.mark.parametrize(("radius", "mass"), [(1e-20, 1.0), (5e-9, 5e-22)])
def test_particles_too_small_for_their_squares(radius: float, mass: float) -> None:
    """In float32 discs would pass through each other, or their spin would be no number; in float64 they do not."""
    with pytest.raises(ValueError, match=r"a radius squared and a moment of inertia are above 1.18e-38 in float32"):
        dem.Particles.create([[0.0, 0.0]], radius=radius, mass=mass)
    with jax.enable_x64(True):
        assert dem.Particles.create(np.zeros((1, 2)), radius=radius, mass=mass).num_particles == 1
    # Colloids in SI units.
    assert dem.Particles.create([[0.0, 0.0]], radius=1e-6, mass=4e-15).num_particles == 1


def test_scalars_broadcast_and_whole_numbers_become_floats() -> None:
    particles = dem.Particles.create([[1, 2], [3, 4], [5, 6]], velocity=[1, 0], radius=2, mass=[1, 2, 3])
    np.testing.assert_array_equal(particles.velocity, [[1.0, 0.0]] * 3)
    np.testing.assert_array_equal(particles.radius, [2.0] * 3)
    np.testing.assert_array_equal(particles.kinetic_energy, [0.5, 1.0, 1.5])
    assert (particles.num_particles, particles.dim) == (3, 2)
    assert particles.position.dtype == jnp.result_type(float)


def test_traced_values_are_not_looked_at() -> None:
    def radius_of(radius: Any) -> Any:
        return dem.Particles.create([[5.0, 5.0]], radius=radius).radius

    np.testing.assert_array_equal(jax.jit(radius_of)(-1.0), [-1.0])
