"""The running normalizer against numpy on all that it has seen."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxdem_ac.trainers.normalizer import Normalizer, update_normalizer


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
