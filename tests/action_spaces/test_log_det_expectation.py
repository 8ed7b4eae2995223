"""E[log |det J|] against references that share nothing with the rule under test: dense quadratures and averages."""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from jax import Array

import jaxdem_ac as ac

NATS = 1e-3
DIMS = (1, 2, 3, 6)
STDS = (0.01, 0.03, 0.1, 0.3, 0.7, 1.0, 2.0, 3.5, 5.0)
MEANS = (-5.0, -2.2, -0.4, 0.0, 0.03, 1.0, 3.3, 5.0)

Function = Callable[[np.ndarray], np.ndarray]

expectation = jax.jit(lambda space, mean, std: space.log_det_expectation(mean, std))


def log_cosh(r: np.ndarray) -> np.ndarray:
    return np.logaddexp(r, -r) - np.log(2)


def log_det_box(space: Any, x: np.ndarray) -> np.ndarray:
    """Return log |dy/dx| of one component, in float64."""
    half = (1 - space.eps) * (float(space.x_max) - float(space.x_min)) / 2
    return np.log(half / space.width) - 2 * log_cosh(x / space.width)


def log_det_max_norm(space: Any, dim: int, r: np.ndarray) -> np.ndarray:
    """Return log |det J| at radius r, in float64: (tanh(r) / r)**(dim - 1) / cosh(r)**2, scaled."""
    slope = np.log(np.tanh(np.maximum(r, 1e-8)) / np.maximum(r, 1e-8))
    return dim * np.log((1 - space.eps) * space.max_norm) + (dim - 1) * slope - 2 * log_cosh(r)


def gaussian(mean: float, std: float, num: int = 160) -> tuple[np.ndarray, np.ndarray]:
    """Return nodes and weights of N(mean, std**2): the trapezoid rule over 10 standard deviations each way."""
    z = np.linspace(-10, 10, num)
    density = np.exp(-(z**2) / 2)
    return mean + std * z, density / density.sum()


legendre = lru_cache(np.polynomial.legendre.leggauss)


def chi(degrees: int, std: float, num: int = 100) -> tuple[np.ndarray, np.ndarray]:
    """Return nodes and weights of the norm of `degrees` components of N(0, std**2)."""
    if degrees == 0:
        return np.zeros(1), np.ones(1)
    nodes, weights = legendre(num)
    z = (np.sqrt(degrees) + 9) * (nodes + 1) / 2
    density = weights * z ** (degrees - 1) * np.exp(-(z**2) / 2)
    return std * z, density / density.sum()


def expect_of_norm(function: Function, groups: list[tuple[float, float, int]]) -> float:
    """Return E[function(||x||)] where components come in groups of equal std, with the mean along one of each.

    A group (length of the mean, std, dimension) is a component along its mean, and the norm of the others, which is
    std times a chi of one degree less.
    """
    square, weight = np.zeros(()), np.ones(())
    for length, std, dim in groups:
        # A group without a mean is one chi: an axis less to sum over.
        parts = [gaussian(length, std), chi(dim - 1, std)] if length else [chi(dim, std)]
        for nodes, weights in parts:
            square, weight = square[..., None] + nodes**2, weight[..., None] * weights
    return float(np.sum(weight * function(np.sqrt(square))))


def test_the_reference_knows_a_gaussians_moments() -> None:
    assert expect_of_norm(np.square, [(3.0, 0.5, 6)]) == pytest.approx(9 + 6 * 0.25, rel=1e-10)
    assert expect_of_norm(np.square, [(3.0, 0.5, 2), (0.0, 2.0, 4)]) == pytest.approx(9 + 0.5 + 16, rel=1e-10)


@pytest.mark.parametrize("width", [1.0, 0.4])
def test_box_in_one_dimension(width: float) -> None:
    space = ac.make_action_space("Box", x_min=-2.0, x_max=3.0, width=width)
    mean, std = (grid.ravel() for grid in np.meshgrid(MEANS, STDS))
    found = expectation(space, jnp.asarray(mean[:, None], jnp.float32), jnp.asarray(std[:, None], jnp.float32))
    for m, s, value in zip(mean, std, found, strict=True):
        x, weight = gaussian(m, s, num=2000)
        reference = float(np.sum(weight * log_det_box(space, x)))
        assert float(value) == pytest.approx(reference, abs=NATS), (m, s)


def test_box_sums_over_components_with_bounds_of_their_own() -> None:
    low, high = [-1.0, 0.0, 3.0], [1.0, 5.0, 3.5]
    mean, std = jnp.asarray([0.5, -2.0, 4.0]), jnp.asarray([0.1, 1.0, 3.0])
    whole = ac.make_action_space("Box", x_min=low, x_max=high).log_det_expectation(mean, std)
    parts = [
        ac.make_action_space("Box", x_min=low[i], x_max=high[i]).log_det_expectation(mean[i : i + 1], std[i : i + 1])
        for i in range(3)
    ]
    assert float(whole) == pytest.approx(float(sum(parts)), rel=1e-5)


@pytest.mark.parametrize("dim", DIMS)
def test_max_norm_isotropic(dim: int) -> None:
    space = ac.make_action_space("MaxNorm", max_norm=2.0)
    direction = np.random.default_rng(dim).normal(size=dim)
    direction /= np.linalg.norm(direction)
    length, std = (grid.ravel() for grid in np.meshgrid([m for m in MEANS if m >= 0], STDS))
    found = expectation(
        space,
        jnp.asarray(length[:, None] * direction, jnp.float32),
        jnp.asarray(np.broadcast_to(std[:, None], (len(std), dim)), jnp.float32),
    )
    for m, s, value in zip(length, std, found, strict=True):
        reference = expect_of_norm(partial(log_det_max_norm, space, dim), [(m, s, dim)])
        assert float(value) == pytest.approx(reference, abs=NATS), (m, s)


@pytest.mark.parametrize("dim", [2, 3, 6])
@pytest.mark.parametrize(("std", "other_std"), [(0.01, 5.0), (5.0, 0.3), (0.5, 2.0), (1.0, 0.05)])
def test_max_norm_anisotropic(dim: int, std: float, other_std: float) -> None:
    space = ac.make_action_space("MaxNorm")
    first = dim - dim // 2
    for length in (0.0, 1.0, 5.0):
        mean = np.zeros(dim)
        mean[:first] = length / np.sqrt(first)
        groups = [(length, std, first), (0.0, other_std, dim - first)]
        found = space.log_det_expectation(
            jnp.asarray(mean, jnp.float32), jnp.asarray([std] * first + [other_std] * (dim - first), jnp.float32)
        )
        reference = expect_of_norm(partial(log_det_max_norm, space, dim), groups)
        assert float(found) == pytest.approx(reference, abs=NATS), length


@pytest.mark.parametrize("dim", [2, 3, 6])
def test_max_norm_of_any_gaussian_is_the_average(dim: int) -> None:
    space = ac.make_action_space("MaxNorm", max_norm=0.7)
    random = np.random.default_rng(dim)
    noise = random.normal(size=(200_000, dim))
    for _ in range(4):
        mean, std = random.uniform(-5, 5, dim), np.exp(random.uniform(np.log(0.01), np.log(5), dim))
        samples = log_det_max_norm(space, dim, np.linalg.norm(mean + std * noise, axis=-1))
        standard_error = samples.std() / np.sqrt(len(samples))
        found = float(space.log_det_expectation(jnp.asarray(mean, jnp.float32), jnp.asarray(std, jnp.float32)))
        assert found == pytest.approx(samples.mean(), abs=4 * standard_error + NATS)


def test_free_expects_nothing() -> None:
    space = ac.make_action_space("Free")
    found = space.log_det_expectation(jnp.ones((4, 1, 3)), jnp.ones((5, 3)))
    np.testing.assert_array_equal(found, np.zeros((4, 5)))


@pytest.mark.parametrize(("name", "keywords"), [("Box", {"x_min": 0.0, "x_max": 1.0}), ("MaxNorm", {})])
def test_leading_axes_broadcast(name: str, keywords: dict[str, Any]) -> None:
    space = ac.make_action_space(name, **keywords)
    mean = jnp.asarray(np.random.default_rng(0).normal(size=(4, 1, 3)), jnp.float32)
    std = jnp.asarray([[0.5, 1.0, 2.0], [1.0, 0.2, 0.3]])
    found = space.log_det_expectation(mean, std)
    assert found.shape == (4, 2)
    for i in range(4):
        for j in range(2):
            assert float(found[i, j]) == pytest.approx(float(space.log_det_expectation(mean[i, 0], std[j])), rel=1e-5)


SPACES = [("Box", {"x_min": -1.0, "x_max": 1.0}), ("MaxNorm", {"max_norm": 2.0})]


@jax.jit
def gradients(space: Any, mean: Array, std: Array) -> tuple[Array, Array]:
    """Return the derivatives in mean and in std of each row."""
    return jax.vmap(jax.grad(space.log_det_expectation, argnums=(0, 1)))(mean, std)


@pytest.mark.parametrize(("name", "keywords"), SPACES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(data=st.data())
def test_gradients_are_finite(name: str, keywords: dict[str, Any], dtype: Any, data: st.DataObject) -> None:
    mean = data.draw(arrays(np.float64, (16, 3), elements=st.floats(-1e3, 1e3)))
    std = data.draw(arrays(np.float64, (16, 3), elements=st.floats(1e-6, 1e3)))
    with jax.enable_x64(dtype == np.float64):
        space = ac.make_action_space(name, **keywords)
        for gradient in gradients(space, jnp.asarray(mean, dtype), jnp.asarray(std, dtype)):
            assert np.isfinite(gradient).all()


@pytest.mark.parametrize(("name", "keywords"), SPACES)
def test_gradients_are_finite_at_the_corners(name: str, keywords: dict[str, Any]) -> None:
    space = ac.make_action_space(name, **keywords)
    mean, std = np.meshgrid([0.0, 1e-20, 1e-3, 5.0, 100.0, 1e4], [0.01, 1e-4, 1.0, 5.0, 300.0])
    mean, std = (jnp.asarray(np.stack([g.ravel()] * 3, -1), jnp.float32) for g in (mean, std))
    for gradient in gradients(space, mean, std):
        assert np.isfinite(gradient).all()


def test_gradients_are_those_of_the_expectation() -> None:
    space = ac.make_action_space("MaxNorm")
    step = 1e-3

    def reference(length: float, std: float) -> float:
        return expect_of_norm(partial(log_det_max_norm, space, 3), [(length, std, 3)])

    for length, std in [(0.5, 0.3), (2.0, 1.0), (5.0, 5.0), (0.1, 2.0)]:
        mean = jnp.asarray([[length, 0.0, 0.0]])
        by_mean, by_std = gradients(space, mean, jnp.full((1, 3), std))
        slope = (reference(length + step, std) - reference(length - step, std)) / (2 * step)
        assert float(by_mean[0, 0]) == pytest.approx(slope, abs=NATS)
        slope = (reference(length, std + step) - reference(length, std - step)) / (2 * step)
        assert float(by_std.sum()) == pytest.approx(slope, abs=NATS)


FAR = (10.0, 30.0, 60.0, 100.0, 200.0, 300.0)


@pytest.mark.parametrize("std", [0.01, 1.0, 5.0, 30.0])
@pytest.mark.parametrize("dim", [1, 3])
def test_far_outside_the_range_it_stays_sane(dim: int, std: float) -> None:
    mean = np.zeros((len(FAR), dim))
    mean[:, 0] = FAR
    ball = ac.make_action_space("MaxNorm")
    cases = [(ball, partial(log_det_max_norm, ball, dim))]
    if dim == 1:
        box = ac.make_action_space("Box", x_min=-1.0, x_max=1.0)
        cases.append((box, partial(log_det_box, box)))
    for space, log_det in cases:
        found = np.asarray(expectation(space, jnp.asarray(mean, jnp.float32), jnp.full((len(FAR), dim), std)))
        references = [expect_of_norm(log_det, [(length, std, dim)]) for length in FAR]
        np.testing.assert_allclose(found, references, rtol=1e-3)
        assert (np.diff(found) < 0).all()


@pytest.mark.parametrize("dim", [1, 3])
def test_wide_gaussians_stay_sane(dim: int) -> None:
    space = ac.make_action_space("MaxNorm")
    std = np.array([5.0, 10.0, 20.0, 50.0, 100.0, 300.0])
    found = np.asarray(expectation(space, jnp.zeros((6, dim)), jnp.asarray(np.repeat(std[:, None], dim, 1))))
    for s, value in zip(std, found, strict=True):
        z = np.linspace(0, 12, 40_001)
        density = z ** (dim - 1) * np.exp(-(z**2) / 2)
        values = log_det_max_norm(space, dim, s * z)
        reference = np.trapezoid(density * values, z) / np.trapezoid(density, z)
        assert float(value) == pytest.approx(reference, rel=1e-3)
    assert (np.diff(found) < 0).all()
