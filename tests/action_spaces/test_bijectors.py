"""What holds for every action space: the maps, their log-determinants, and their life as pytrees."""

import copy
import json
import pickle
from functools import partial
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
from jaxdem_ac.action_spaces.base import ActionSpace, arctanh, largest_below_one
from jaxdem_ac.action_spaces.distributions import as_vector_bijector

NUM_POINTS = 8
DIMS = (1, 2, 3, 6)

both_precisions = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])

EXAMPLES: dict[str, tuple[str, dict[str, Any]]] = {
    "free": ("Free", {}),
    "box": ("Box", {"x_min": -1.0, "x_max": 2.0}),
    "box, per component": ("Box", {"x_min": [-1.0, 0.0, 5.0], "x_max": [1.0, 0.5, 9.0], "width": 0.4}),
    "box, far from 0": ("Box", {"x_min": 1000.0, "x_max": 1001.0, "width": 3.0}),
    "max norm": ("MaxNorm", {"max_norm": 2.5}),
    "max norm, wide margin": ("MaxNorm", {"max_norm": 0.1, "eps": 0.05}),
}
every_example = pytest.mark.parametrize(("name", "keywords"), EXAMPLES.values(), ids=EXAMPLES.keys())

OTHERS: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "Free": [("MaxNorm", {})],
    "Box": [
        ("Free", {}),
        ("Box", {"x_min": -1.0, "x_max": 3.0}),
        ("Box", {"x_min": -2.0, "x_max": 2.0}),
        ("Box", {"x_min": -1.0, "x_max": 2.0, "width": 2.0}),
        ("Box", {"x_min": -1.0, "x_max": 2.0, "eps": 1e-3}),
        ("Box", {"x_min": [-1.0, -1.0], "x_max": 2.0}),
    ],
    "MaxNorm": [("Free", {}), ("MaxNorm", {"max_norm": 2.0}), ("MaxNorm", {"max_norm": 2.5, "eps": 1e-3})],
}


def largest(space: ActionSpace, dim: int) -> np.ndarray:
    """Return the largest number that a component of an action can be, for the rounding that it brings."""
    if "max_norm" in space.metadata:
        return np.full(dim, space.metadata["max_norm"])
    if "x_min" in space.metadata:
        return np.broadcast_to(np.maximum(np.abs(space.x_min), np.abs(space.x_max)), (dim,))
    return np.full(dim, 10.0)


def width_of(space: ActionSpace) -> float:
    return space.metadata.get("width", 1.0)


@st.composite
def boxes(draw: st.DrawFn, dim: int, max_offset: float = 100.0) -> ActionSpace:
    """Draw a box whose centre is at most `max_offset` times its size away from 0."""
    size, width = draw(st.sampled_from([((), 1.0), ((dim,), 0.3), ((dim,), 4.0)]))
    span = draw(arrays(np.float64, size, elements=st.floats(1e-3, 1e3)))
    low = draw(arrays(np.float64, size, elements=st.floats(-max_offset, max_offset))) * span
    return ac.make_action_space("Box", x_min=low, x_max=low + span, width=width)


def max_norms() -> st.SearchStrategy[ActionSpace]:
    return st.builds(partial(ac.make_action_space, "MaxNorm"), max_norm=st.sampled_from([0.05, 60.0]))


def spaces(dim: int) -> st.SearchStrategy[ActionSpace]:
    return st.one_of(st.builds(partial(ac.make_action_space, "Free")), boxes(dim), max_norms())


def points(dim: int, limit: float) -> st.SearchStrategy[np.ndarray]:
    return arrays(np.float64, (NUM_POINTS, dim), elements=st.floats(-limit, limit))


@jax.jit
def there_and_back(space: ActionSpace, x: Array) -> tuple[Array, ...]:
    """Return y, its log-determinant, its Jacobian, the x of y, and the log-determinants there and back."""
    vector = as_vector_bijector(space)
    y, log_det = vector.forward_and_log_det(x)
    jacobian = jax.vmap(jax.jacfwd(vector.forward))(x)
    back, inverse_log_det = vector.inverse_and_log_det(y)
    return y, log_det, jacobian, back, inverse_log_det, vector.forward_log_det_jacobian(back)


@both_precisions
@pytest.mark.parametrize("dim", DIMS)
@given(data=st.data())
def test_maps_and_log_determinants_agree(dim: int, dtype: Any, data: st.DataObject) -> None:
    space = data.draw(spaces(dim))
    x64 = data.draw(points(dim, 3.0)) * width_of(space) / np.sqrt(dim if space.event_ndims_in else 1)
    with jax.enable_x64(dtype == np.float64):
        x = jnp.asarray(x64, dtype)
        y, log_det, jacobian, back, inverse_log_det, log_det_back = there_and_back(space, x)
        assert {part.dtype for part in (y, log_det, back, inverse_log_det)} == {np.dtype(dtype)}
        assert y.shape == x.shape
        assert log_det.shape == inverse_log_det.shape == x.shape[:-1]
        unit = np.finfo(dtype).eps
        np.testing.assert_allclose(log_det, np.linalg.slogdet(jacobian)[1], rtol=50 * unit, atol=500 * unit * dim)
        np.testing.assert_allclose(inverse_log_det, -log_det_back, rtol=50 * unit, atol=50 * unit * dim)
        # Rounding y moves x by as much over the smallest slope of the map.
        slope = np.linalg.svd(np.asarray(jacobian), compute_uv=False).min(-1)
        tolerance = 8 * unit * (largest(space, dim).max() / slope[:, None] + np.abs(x64) + width_of(space))
        assert (np.abs(np.asarray(back, np.float64) - np.asarray(x, np.float64)) <= tolerance).all()


@both_precisions
def test_arctanh_has_every_digit(dtype: Any) -> None:
    # Around 0.4142 the log1p of XLA loses two digits of a negative argument.
    grid = np.concatenate([np.linspace(0, 1, 20_001)[1:-1], np.linspace(0.41, 0.42, 10_001), np.logspace(-30, -1, 101)])
    with jax.enable_x64(dtype == np.float64):
        x = np.append(grid, float(largest_below_one(dtype))).astype(dtype)
        exact = np.arctanh(x.astype(np.longdouble))
        unit = np.finfo(dtype).eps
        np.testing.assert_allclose(jax.jit(arctanh)(x), exact.astype(np.float64), rtol=4 * unit)
        np.testing.assert_array_equal(arctanh(-x), -arctanh(jnp.asarray(x)))
        slope = jax.vmap(jax.grad(arctanh))(jnp.append(x, jnp.zeros((), dtype)))
        np.testing.assert_allclose(slope, 1 / ((1 - np.append(x, 0)) * (1 + np.append(x, 0))), rtol=8 * unit)


@jax.jit
def values_and_derivatives(space: ActionSpace, x: Array) -> dict[str, Array]:
    vector = as_vector_bijector(space)

    def total(x: Array) -> Array:
        y, log_det = vector.forward_and_log_det(x)
        return jnp.sum(y) + jnp.sum(log_det)

    def total_inverse(y: Array) -> Array:
        x, log_det = vector.inverse_and_log_det(y)
        return jnp.sum(x) + jnp.sum(log_det)

    y = vector.forward(x)
    return {
        "y": y,
        "log_det": vector.forward_log_det_jacobian(x),
        "gradient": jax.vmap(jax.grad(total))(x),
        "second derivative": jax.vmap(jax.hessian(total))(x),
        "inverse": vector.inverse(y),
        "inverse log_det": vector.inverse_log_det_jacobian(y),
        "gradient of the inverse": jax.vmap(jax.grad(total_inverse))(y),
    }


@both_precisions
@every_example
def test_everything_is_finite_from_0_to_10000(name: str, keywords: dict[str, Any], dtype: Any) -> None:
    space = ac.make_action_space(name, **keywords)
    magnitudes = [0.0, 1e-30, 1e-12, 1e-6, 1e-3, 0.03, 0.1, 1.0, 5.0, 8.0, 9.0, 12.0, 20.0, 50.0, 300.0, 1e4]
    directions = np.array([[1, 0, 0], [-1, 1, 0], [1, -1, 1], [0, 0, -1]])
    with jax.enable_x64(dtype == np.float64):
        x = jnp.asarray(np.concatenate([m * directions for m in magnitudes]), dtype)
        for part, values in values_and_derivatives(space, x).items():
            assert np.isfinite(values).all(), part


@every_example
def test_log_determinant_keeps_falling_however_saturated(name: str, keywords: dict[str, Any]) -> None:
    space = ac.make_action_space(name, **keywords)
    x = jnp.asarray([1.0, 9.0, 20.0, 100.0, 1e3, 1e4])[:, None] * jnp.asarray([1.0, 1.0, 1.0])
    log_det = np.asarray(as_vector_bijector(space).forward_log_det_jacobian(x))
    if name == "Free":
        assert (log_det == 0).all()
    else:
        # The map's slope is 4 exp(-2 z): z moves by far more than 1 between any two of these.
        assert (np.diff(log_det) < -2).all()


def assert_inside(space: ActionSpace, y: Array) -> None:
    if "max_norm" in space.metadata:
        norm = np.linalg.norm(np.asarray(y, np.float64), axis=-1)
        assert (norm <= space.metadata["max_norm"]).all()
    else:
        # The bounds as the action's precision has them.
        assert (np.asarray(y) >= np.asarray(space.x_min, y.dtype)).all()
        assert (np.asarray(y) <= np.asarray(space.x_max, y.dtype)).all()


forward = jax.jit(lambda space, x: as_vector_bijector(space).forward(x))


@both_precisions
@pytest.mark.parametrize("dim", DIMS)
@given(data=st.data())
def test_no_action_is_outside_its_bounds(dim: int, dtype: Any, data: st.DataObject) -> None:
    space = data.draw(st.one_of(boxes(dim, max_offset=1e6), max_norms()))
    x64 = data.draw(points(dim, 1e4)) * data.draw(st.sampled_from([1e-3, 1.0]))
    with jax.enable_x64(dtype == np.float64):
        assert_inside(space, forward(space, jnp.asarray(x64, dtype)))


@both_precisions
@pytest.mark.parametrize(
    ("name", "keywords"),
    [
        ("Box", {"x_min": 1000.0, "x_max": 1001.0}),
        ("Box", {"x_min": -1e-6, "x_max": 1e-6}),
        ("Box", {"x_min": 1.0, "x_max": 1.0 + 1e-6}),
        ("Box", {"x_min": -1e30, "x_max": 1e30}),
        ("Box", {"x_min": 0.1, "x_max": 0.3, "eps": 1e-12}),
        ("MaxNorm", {"max_norm": 1e-6}),
        ("MaxNorm", {"max_norm": 1e30}),
        ("MaxNorm", {"max_norm": 1.0, "eps": 1e-7}),
    ],
)
def test_no_action_is_outside_unusual_bounds(name: str, keywords: dict[str, Any], dtype: Any) -> None:
    space = ac.make_action_space(name, **keywords)
    with jax.enable_x64(dtype == np.float64):
        x = np.random.default_rng(0).normal(size=(4000, 3)) * np.geomspace(1e-3, 1e4, 4000)[:, None]
        y = forward(space, jnp.asarray(x, dtype))
        assert np.isfinite(y).all()
        assert_inside(space, y)


def test_box_is_the_map_it_says() -> None:
    x = np.linspace(-4, 4, 9)
    y = ac.make_action_space("Box", x_min=-1.0, x_max=3.0, width=2.0, eps=0.1).forward(jnp.asarray(x))
    np.testing.assert_allclose(y, 1 + 0.9 * 2 * np.tanh(x / 2), rtol=1e-6)


def test_max_norm_is_the_map_it_says() -> None:
    x = np.random.default_rng(1).normal(size=(9, 3))
    r = np.linalg.norm(x, axis=-1, keepdims=True)
    y = ac.make_action_space("MaxNorm", max_norm=3.0, eps=0.1).forward(jnp.asarray(x))
    np.testing.assert_allclose(y, 0.9 * 3 * np.tanh(r) * x / r, rtol=2e-6)


def test_default_margins() -> None:
    assert ac.make_action_space("Box", x_min=0, x_max=1).metadata == {"x_min": 0, "x_max": 1, "width": 1, "eps": 1e-6}
    assert ac.make_action_space("MaxNorm").metadata == {"max_norm": 1, "eps": 1e-6}


@every_example
def test_same_as_compares_parameters(name: str, keywords: dict[str, Any]) -> None:
    space, twin = ac.make_action_space(name, **keywords), ac.make_action_space(name, **keywords)
    assert space.same_as(space)
    assert space.same_as(twin)
    for other, other_keywords in OTHERS[name]:
        if (other, other_keywords) != (name, keywords):
            assert not space.same_as(ac.make_action_space(other, **other_keywords))


@every_example
@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_a_copy_is_the_same_map(name: str, keywords: dict[str, Any], duplicate: Any) -> None:
    space = ac.make_action_space(name, **keywords)
    other = duplicate(space)
    assert other.same_as(space)
    x = jnp.asarray([[0.3, -0.2, 1.1]])
    np.testing.assert_array_equal(as_vector_bijector(other).forward(x), as_vector_bijector(space).forward(x))


@every_example
def test_survives_being_a_pytree(name: str, keywords: dict[str, Any]) -> None:
    space = ac.make_action_space(name, **keywords)
    leaves, structure = jax.tree.flatten(space)
    assert jax.tree.unflatten(structure, leaves).same_as(space)
    assert jax.tree.structure(ac.make_action_space(name, **keywords)) == structure
    returned = jax.jit(lambda space: space)(space)
    assert type(returned) is type(space)
    x = jnp.asarray([[0.3, -0.2, 1.1]])
    np.testing.assert_allclose(as_vector_bijector(returned).forward(x), as_vector_bijector(space).forward(x), rtol=1e-6)


@every_example
def test_equal_parameters_do_not_compile_again(name: str, keywords: dict[str, Any]) -> None:
    traces = []

    @jax.jit
    def apply(space: ActionSpace, x: Array) -> Array:
        traces.append(None)
        return as_vector_bijector(space).forward(x)

    for _ in range(3):
        apply(ac.make_action_space(name, **keywords), jnp.ones((2, 3)))
    assert len(traces) == 1


@every_example
def test_compiled_equals_eager(name: str, keywords: dict[str, Any]) -> None:
    space = as_vector_bijector(ac.make_action_space(name, **keywords))
    x = jnp.asarray(np.random.default_rng(2).normal(size=(5, 3)) * 4, jnp.float32)
    for method in (space.forward_and_log_det, space.inverse_and_log_det):
        argument = x if method == space.forward_and_log_det else space.forward(x / 4)
        for eager, compiled in zip(method(argument), jax.jit(method)(argument), strict=True):
            np.testing.assert_allclose(compiled, eager, rtol=1e-5, atol=1e-5)


@every_example
def test_vmap_equals_a_loop(name: str, keywords: dict[str, Any]) -> None:
    space = as_vector_bijector(ac.make_action_space(name, **keywords))
    x = jnp.asarray(np.random.default_rng(3).normal(size=(5, 2, 3)), jnp.float32)
    for method in (space.forward_and_log_det, space.inverse_and_log_det):
        argument = x if method == space.forward_and_log_det else space.forward(x)
        batched = jax.vmap(method)(argument)
        for index in range(len(x)):
            for whole, one in zip(batched, method(argument[index]), strict=True):
                np.testing.assert_allclose(whole[index], one, rtol=1e-6, atol=1e-6)


def test_boxes_of_different_bounds_are_vmapped() -> None:
    high = jnp.asarray([1.0, 2.0, 5.0])
    x = jnp.linspace(-2, 2, 4)

    def forward_below(bound: Any) -> Array:
        return ac.make_action_space("Box", x_min=-1.0, x_max=bound).forward(x)

    for row, bound in zip(jax.vmap(forward_below)(high), high, strict=True):
        np.testing.assert_allclose(row, forward_below(float(bound)), rtol=1e-6, atol=1e-6)


@every_example
def test_metadata_is_json_and_builds_the_same_again(name: str, keywords: dict[str, Any]) -> None:
    space = ac.make_action_space(name, **keywords)
    stored = json.loads(json.dumps(space.metadata))
    assert ac.make_action_space(name, **stored).same_as(space)
    assert space.kws == space.metadata


def test_metadata_keeps_every_digit_of_a_bound() -> None:
    stored = json.loads(json.dumps(ac.make_action_space("Box", x_min=0.1, x_max=[1 / 3, 2 / 3]).metadata))
    assert stored["x_min"] == 0.1
    assert stored["x_max"] == [1 / 3, 2 / 3]
