"""Work is counted as often as it is done."""

from typing import Any

import jax
import jax.numpy as jnp
import pytest
from jax import Array

from jaxdem_ac.bench.cost import Work, count

ROWS, SIDE = 64, 32
PRODUCT = 2 * ROWS * SIDE * SIDE
X, W = jnp.ones((ROWS, SIDE)), jnp.ones((SIDE, SIDE))


def flops(function: Any, *arguments: Any) -> float:
    return count(jax.jit(function).trace(*arguments).jaxpr).flops


def loop(x: Array, w: Array, length: int) -> Array:
    return jax.lax.scan(lambda x, _: (x @ w, None), x, length=length)[0]


def test_a_loop_counts_as_often_as_it_runs() -> None:
    assert flops(lambda x, w: x @ w, X, W) == pytest.approx(PRODUCT, rel=0.01)
    assert flops(lambda x, w: loop(x, w, 10), X, W) == pytest.approx(10 * PRODUCT, rel=0.01)
    assert flops(lambda x, w: jax.lax.fori_loop(0, 10, lambda _, x: x @ w, x), X, W) == pytest.approx(
        10 * PRODUCT, rel=0.01
    )


def test_loops_in_loops_and_behind_calls() -> None:
    def nested(x: Array, w: Array) -> Array:
        return jax.lax.scan(lambda x, _: (jax.jit(lambda x: loop(x, w, 3))(x) @ w, None), x, length=5)[0] @ w

    assert flops(nested, X, W) == pytest.approx((5 * (3 + 1) + 1) * PRODUCT, rel=0.01)


def test_a_condition_counts_as_its_shorter_branch() -> None:
    def rarely(happens: Array, x: Array, w: Array) -> Array:
        return jax.lax.cond(happens, lambda: loop(x, w, 7), lambda: x) @ w

    assert flops(rarely, True, X, W) == pytest.approx(PRODUCT, rel=0.01)


def test_gradients_and_batches() -> None:
    def loss(w: Array, x: Array) -> Array:
        return jnp.sum(jax.nn.relu(x @ w))

    # Forward, and the product that gives the gradient; the value itself is not asked for.
    assert flops(jax.vmap(jax.grad(loss), in_axes=(None, 0)), W, jnp.stack([X] * 3)) == pytest.approx(
        3 * 2 * PRODUCT, rel=0.1
    )


def test_bytes_of_a_copy() -> None:
    x = jnp.ones(2**16)
    found = count(jax.jit(lambda x: x + 1).trace(x).jaxpr)
    assert found.bytes == pytest.approx(2 * x.nbytes, rel=0.01)
    assert found * 3 + Work(1.0, 2.0) == Work(3 * found.flops + 1, 3 * found.bytes + 2)
