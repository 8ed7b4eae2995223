"""Advantages by hand, and against a loop."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdem_ac.trainers.gae import compute_gae


def gae_by_loop(
    reward: np.ndarray, value: np.ndarray, next_value: np.ndarray, terminated: np.ndarray, done: np.ndarray,
    gamma: float, lam: float,
) -> np.ndarray:  # fmt: skip
    advantage = np.zeros_like(value)
    following = np.zeros_like(value[0])
    for t in reversed(range(len(reward))):
        delta = reward[t] + gamma * next_value[t] * (1 - terminated[t]) - value[t]
        following = delta + gamma * lam * (1 - done[t]) * following
        advantage[t] = following
    return advantage


def gae(reward: list[float], value: list[float], next_value: list[float], ends: dict[int, str], **keywords: float):
    flags = [np.array([ends.get(t, "") in kinds for t in range(len(reward))]) for kinds in (("end",), ("end", "cut"))]
    arrays = (jnp.asarray(each, jnp.float32) for each in (reward, value, next_value))
    return compute_gae(*arrays, *map(jnp.asarray, flags), **keywords)


# delta = [1 + 0.5*2 - 1, 2 + 0.5*3 - 2, 3 + 0.5*4 - 3] = [1, 1.5, 2]; gamma lambda = 0.25.
UNBROKEN = ([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [2.0, 3.0, 4.0])


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        ({}, [1 + 0.25 * (1.5 + 0.25 * 2), 1.5 + 0.25 * 2, 2.0]),
        # The task ends with decision 1: no value beyond, and nothing of decision 2.
        ({1: "end"}, [1 + 0.25 * 0.0, 2.0 - 2.0, 2.0]),
        # A time limit cuts there: the value beyond counts, nothing of decision 2.
        ({1: "cut"}, [1 + 0.25 * 1.5, 1.5, 2.0]),
        ({2: "end"}, [1 + 0.25 * (1.5 + 0.25 * 0.0), 1.5, 0.0]),
    ],
    ids=["unbroken", "termination", "time limit", "termination at the end"],
)
def test_by_hand(ends: dict[int, str], expected: list[float]) -> None:
    advantage, target = gae(*UNBROKEN, ends, gamma=0.5, gae_lambda=0.5)
    np.testing.assert_allclose(advantage, expected, rtol=1e-6)
    np.testing.assert_allclose(target, np.array(expected) + UNBROKEN[1], rtol=1e-6)


def test_lambda_0_is_one_step_and_lambda_1_the_return() -> None:
    advantage, _ = gae(*UNBROKEN, {}, gamma=0.5, gae_lambda=0.0)
    np.testing.assert_allclose(advantage, [1.0, 1.5, 2.0], rtol=1e-6)
    _, target = gae(*UNBROKEN, {2: "end"}, gamma=0.5, gae_lambda=1.0)
    np.testing.assert_allclose(target, [1 + 0.5 * (2 + 0.5 * 3), 2 + 0.5 * 3, 3.0], rtol=1e-6)


@pytest.mark.parametrize(("gamma", "lam"), [(0.99, 0.95), (0.9, 0.0), (1.0, 1.0), (0.0, 0.5)])
@pytest.mark.parametrize("num_steps", [1, 2, 17])
def test_equals_a_loop(num_steps: int, gamma: float, lam: float) -> None:
    random = np.random.default_rng(num_steps)
    reward, value, next_value = random.normal(size=(3, num_steps, 5, 3))
    terminated = random.random((num_steps, 5, 1)) < 0.2
    done = terminated | (random.random((num_steps, 5, 1)) < 0.2)
    advantage, target = jax.jit(compute_gae, static_argnums=(5, 6))(
        *map(jnp.asarray, (reward, value, next_value, terminated, done)), gamma, lam
    )
    expected = gae_by_loop(reward, value, next_value, terminated, done, gamma, lam)
    np.testing.assert_allclose(advantage, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(target, expected + value, rtol=1e-4, atol=1e-5)


def test_the_true_value_has_no_advantage() -> None:
    num = 20
    ones, ten = [1.0] * num, [10.0] * num
    for ends in ({}, {5: "cut", 11: "cut"}):
        advantage, _ = gae(ones, ten, ten, ends, gamma=0.9, gae_lambda=0.95)
        np.testing.assert_allclose(advantage, 0.0, atol=1e-5)
    advantage, _ = gae(ones, ones, ten, dict.fromkeys(range(num), "end"), gamma=0.9, gae_lambda=0.95)
    np.testing.assert_allclose(advantage, 0.0, atol=1e-6)


def test_a_value_beyond_the_end_of_a_task_is_never_used() -> None:
    advantage, _ = gae([1.0], [0.5], [float("nan")], {0: "end"}, gamma=0.9, gae_lambda=0.9)
    np.testing.assert_allclose(advantage, [0.5])
