"""Random orders: every number once, each place as likely, nothing left of the order before."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdem_ac.trainers.permutation import SORT_UP_TO, shuffled


@pytest.mark.parametrize("num", [1, 2, 7, 2048, 2049, 4096, 5000, 16_384, 65_536, 100_003])
def test_every_number_is_there_once(num: int) -> None:
    order = np.asarray(shuffled(jax.random.key(num), num))
    np.testing.assert_array_equal(np.sort(order), np.arange(num))
    assert order.dtype == np.int32
    if num > 2:
        assert (order != np.asarray(shuffled(jax.random.key(num + 1), num))).any()


@pytest.mark.parametrize("num", [4096, 5000])
def test_many_orders_are_as_likely_as_one_another(num: int) -> None:
    """Where a number goes, and what follows it, over 2,000 keys: chi-square in 16 bins, at 6 standard deviations."""
    assert num > SORT_UP_TO
    keys = jax.random.split(jax.random.key(3), 2000)
    orders = np.asarray(jax.jit(jax.vmap(lambda key: shuffled(key, num)))(keys))

    def spread(values: np.ndarray) -> float:
        counts = np.histogram(values, bins=16, range=(0, num))[0]
        return float(((counts - len(values) / 16) ** 2 / (len(values) / 16)).sum())

    worst = 15 + 6 * np.sqrt(30)
    for place in (0, 1, num // 3, num - 1):
        assert spread(orders[:, place]) < worst
        # What stands next to it is any other, however they stood before.
        assert spread((orders[:, place] - orders[:, place - 1]) % num) < worst
    # Rank correlation of a whole order with the one before it was: 1 / sqrt(num) for independent ones.
    for other in (np.broadcast_to(np.arange(num), orders.shape), np.roll(orders, 1, axis=0)):
        centred = (orders - (num - 1) / 2) * (other - (num - 1) / 2)
        correlation = centred.mean(1) / ((num**2 - 1) / 12)
        assert abs(correlation.mean()) < 6 / np.sqrt(num * len(orders))
        assert correlation.std() == pytest.approx(1 / np.sqrt(num), rel=0.15)


def test_halves_of_an_order_overlap_as_chance_would_have_it() -> None:
    """As minibatches do: a number that came with another this time comes with it again half of the time."""
    keys = jax.random.split(jax.random.key(4), 4000)
    first = np.asarray(jax.jit(jax.vmap(lambda key: jnp.argsort(shuffled(key, 4096))[jnp.asarray([0, 1, 2048])]))(keys))
    for one, other in ((0, 1), (0, 2)):
        together = ((first[:, one] < 2048) == (first[:, other] < 2048)).mean()
        assert together == pytest.approx(0.5, abs=6 * 0.5 / np.sqrt(len(first)))
