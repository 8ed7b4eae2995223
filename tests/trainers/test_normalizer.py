"""The running normalizer against numpy on all that it has seen."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxdem_ac.trainers.running_statistics import Normalizer, update_normalizer


@given(
    seed=st.integers(0, 1000),
    offset=st.sampled_from([0.0, -3.0, 100.0]),
    scale=st.sampled_from([0.01, 1.0, 30.0]),
    num_batches=st.integers(1, 4),
)
def test_mean_and_deviation_are_those_of_everything_seen(
    seed: int, offset: float, scale: float, num_batches: int
) -> None:
    random = np.random.default_rng(seed)
    batches = [offset * (i + 1) + scale * random.normal(size=(4, 3, 2)) for i in range(num_batches)]
    normalizer = Normalizer.create(2)
    for batch in batches:
        normalizer = update_normalizer(normalizer, jnp.asarray(batch, jnp.float32))
    everything = np.concatenate(batches).reshape(-1, 2)
    size = np.abs(everything).max()
    assert float(normalizer.count) == len(everything)
    np.testing.assert_allclose(normalizer.mean, everything.mean(0), rtol=1e-4, atol=1e-6 * size)
    np.testing.assert_allclose(normalizer.std, everything.std(0), rtol=5e-3, atol=1e-5 * size)


def test_a_new_one_changes_nothing() -> None:
    x = jnp.asarray([[0.5, -2.0]])
    np.testing.assert_array_equal(Normalizer.create(2)(x), x)


def test_what_never_varies_is_not_divided() -> None:
    normalizer = update_normalizer(Normalizer.create(2), jnp.asarray([[3.0, 1.0], [3.0, -1.0]]))
    np.testing.assert_allclose(normalizer.std, [1.0, 1.0])
    np.testing.assert_allclose(normalizer(jnp.asarray([3.0, 1.0])), [0.0, 1.0])


def test_far_outliers_are_clipped() -> None:
    normalizer = update_normalizer(Normalizer.create(1), jnp.asarray([[1.0], [-1.0]]))
    np.testing.assert_allclose(normalizer(jnp.asarray([[1e6], [-1e6]])), [[10.0], [-10.0]])


@pytest.mark.parametrize("shape", [(1, 3), (5, 3), (2, 4, 5, 3)])
def test_any_leading_axes(shape: tuple[int, ...]) -> None:
    batch = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    found = jax.jit(update_normalizer)(Normalizer.create(3), jnp.asarray(batch))
    np.testing.assert_allclose(found.mean, batch.reshape(-1, 3).mean(0), rtol=1e-5, atol=1e-6)
    assert float(found.count) == batch.size / 3


PRECISIONS = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def after(batches: list[np.ndarray], dtype: type) -> Normalizer:
    """Return the normalizer that has seen batches, in a precision."""
    size = batches[0].shape[-1]
    normalizer = Normalizer(*(jnp.zeros(shape, dtype) for shape in ((), size, size)))
    for batch in batches:
        normalizer = update_normalizer(normalizer, jnp.asarray(batch, dtype))
    return normalizer


@PRECISIONS
@pytest.mark.parametrize("scale", [1e-12, 1e-6, 1e-4, 1.0, 1e6])
def test_a_feature_of_any_scale_is_normalised_to_unit_variance(dtype: type, scale: float) -> None:
    batches = [scale * each for each in np.random.default_rng(0).normal(size=(5, 400, 2))]
    with jax.enable_x64(dtype is np.float64):
        normalizer = after(batches, dtype)
        seen = np.asarray(normalizer(jnp.asarray(np.concatenate(batches), dtype)))
        back = normalizer.inverse(normalizer.scaled(jnp.asarray(3 * scale, dtype)))
    assert seen.dtype == dtype
    np.testing.assert_allclose(seen.std(0), 1.0, rtol=1e-4)
    np.testing.assert_allclose(seen.mean(0), 0.0, atol=1e-4)
    np.testing.assert_allclose(back, 3 * scale, rtol=1e-5)


@PRECISIONS
@pytest.mark.parametrize("value", [0.0, 0.1, -1e6, 1e6 + 0.1, 1e-30])
def test_a_constant_of_any_size_stays_at_zero(dtype: type, value: float) -> None:
    with jax.enable_x64(dtype is np.float64):
        # A plain sum of so many is off in its third digit.
        normalizer = after([np.full((50_000, 1), value), np.full((7, 1), value)], dtype)
        np.testing.assert_array_equal(normalizer.std, 1.0)
        np.testing.assert_array_equal(normalizer(jnp.asarray([value], dtype)), 0.0)


@PRECISIONS
def test_a_constant_that_flickers_in_its_last_digit_is_constant(dtype: type) -> None:
    value = np.asarray(1e6, dtype)
    near = np.stack([value, np.nextafter(value, dtype(np.inf))])
    batches = [np.random.default_rng(number).choice(near, (300, 1)) for number in range(20)]
    with jax.enable_x64(dtype is np.float64):
        normalizer = after(batches, dtype)
        np.testing.assert_array_equal(normalizer.std, 1.0)
        assert float(jnp.max(jnp.abs(normalizer(jnp.asarray(near[:, None], dtype))))) <= 0.07


@PRECISIONS
@pytest.mark.parametrize(("mean", "std"), [(1e4, 1e-2), (-1e3, 1e-3), (1.0, 1e-6)])
def test_a_mean_far_larger_than_the_deviation_does_not_cancel(dtype: type, mean: float, std: float) -> None:
    batches = [mean + std * each for each in np.random.default_rng(1).normal(size=(30, 2_000, 1))]
    everything = np.concatenate(batches).astype(dtype).astype(np.float64)
    with jax.enable_x64(dtype is np.float64):
        normalizer = after(batches, dtype)
        std = np.asarray(normalizer.std)
    np.testing.assert_allclose(std, everything.std(0), rtol=2e-2 if dtype is np.float32 else 1e-9)
    np.testing.assert_allclose(normalizer.mean, everything.mean(0), rtol=2 * np.finfo(dtype).eps)
