"""The policy's distributions: densities, entropy, and the action before the bijector."""

from collections.abc import Callable
from functools import partial
from typing import Any

import distrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array

import jaxdem_ac as ac
from jaxdem_ac.action_spaces.distributions import Categorical, SquashedGaussian, as_vector_bijector

SPACES: dict[str, tuple[str, dict[str, Any]]] = {
    "free": ("Free", {}),
    "box": ("Box", {"x_min": -1.0, "x_max": 2.0}),
    "box, per component": ("Box", {"x_min": [-1.0, 0.0, 5.0], "x_max": [1.0, 0.5, 9.0], "width": 0.4}),
    "max norm": ("MaxNorm", {"max_norm": 2.5}),
}
every_space = pytest.mark.parametrize(("name", "keywords"), SPACES.values(), ids=SPACES.keys())

LOC = jnp.asarray([0.3, -0.8, 1.2])
SCALE = jnp.asarray([0.5, 1.0, 0.2])


def squashed(name: str, keywords: dict[str, Any], loc: Array = LOC, scale: Array = SCALE) -> SquashedGaussian:
    return SquashedGaussian(loc, scale, ac.make_action_space(name, **keywords))


def gaussian_log_prob(x: np.ndarray, loc: np.ndarray, scale: np.ndarray) -> np.ndarray:
    z = (x - loc) / scale
    return np.sum(-0.5 * z**2 - np.log(scale) - 0.5 * np.log(2 * np.pi), -1)


@every_space
def test_log_prob_is_the_change_of_variables(name: str, keywords: dict[str, Any]) -> None:
    distribution = squashed(name, keywords)
    x = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32) * 0.7
    y, log_det = as_vector_bijector(ac.make_action_space(name, **keywords)).forward_and_log_det(x)
    expected = gaussian_log_prob(x, np.asarray(LOC), np.asarray(SCALE)) - np.asarray(log_det)
    np.testing.assert_allclose(distribution.log_prob_of_raw(x), expected, rtol=1e-4, atol=1e-4)
    # Through the inverse, where rounding of the action moves its x.
    np.testing.assert_allclose(distribution.log_prob(y), expected, rtol=2e-3, atol=2e-3)
    np.testing.assert_allclose(distribution.raw_log_prob(x), expected + np.asarray(log_det), rtol=1e-4, atol=1e-4)


def test_the_density_integrates_to_one() -> None:
    y = np.linspace(-0.99999, 1.99999, 200_001)
    box = SquashedGaussian(jnp.asarray([0.4]), jnp.asarray([0.9]), ac.make_action_space("Box", x_min=-1.0, x_max=2.0))
    with jax.enable_x64(True):
        density = np.exp(np.asarray(box.log_prob(jnp.asarray(y)[:, None])))
    assert np.trapezoid(density, y) == pytest.approx(1.0, abs=1e-3)


@every_space
def test_sample_and_log_prob_agree(name: str, keywords: dict[str, Any]) -> None:
    distribution = squashed(name, keywords)
    action, log_prob = distribution.sample_and_log_prob(seed=jax.random.key(0), sample_shape=(400,))
    assert action.shape == (400, 3)
    assert log_prob.shape == (400,)
    near = np.abs(np.asarray(as_vector_bijector(distribution.action_space).inverse(action))).max(-1) < 2
    assert near.mean() > 0.5
    np.testing.assert_allclose(distribution.log_prob(action)[near], log_prob[near], rtol=5e-3, atol=5e-3)


@every_space
def test_a_sample_is_the_image_of_the_raw_draw(name: str, keywords: dict[str, Any]) -> None:
    distribution = squashed(name, keywords)
    key = jax.random.key(7)
    raw, _, _ = distribution.sample_raw_and_log_probs(seed=key)
    np.testing.assert_array_equal(distribution.to_action(raw), distribution.sample(seed=key))


@every_space
@pytest.mark.parametrize("center", [0.0, 3.0])
def test_entropy_is_the_mean_of_minus_log_prob(name: str, keywords: dict[str, Any], center: float) -> None:
    distribution = squashed(name, keywords, loc=LOC + center)
    raw = jnp.asarray(LOC + center + SCALE * np.random.default_rng(1).normal(size=(400_000, 3)), jnp.float32)
    surprise = -np.asarray(distribution.log_prob_of_raw(raw), np.float64)
    standard_error = surprise.std() / np.sqrt(len(surprise))
    assert float(distribution.entropy()) == pytest.approx(surprise.mean(), abs=4 * standard_error + 1e-3)


@every_space
def test_mode_is_the_image_of_the_base_mode(name: str, keywords: dict[str, Any]) -> None:
    distribution = squashed(name, keywords)
    image = as_vector_bijector(ac.make_action_space(name, **keywords)).forward(LOC)
    np.testing.assert_allclose(distribution.mode(), image, rtol=1e-6)


def test_mode_of_a_box_is_its_median() -> None:
    distribution = squashed("Box", {"x_min": -1.0, "x_max": 2.0})
    samples = distribution.sample(seed=jax.random.key(3), sample_shape=(100_000,))
    below = np.mean(np.asarray(samples) < np.asarray(distribution.mode()), axis=0)
    np.testing.assert_allclose(below, 0.5, atol=4 * 0.5 / np.sqrt(100_000))


def test_mean_says_what_to_use_instead() -> None:
    with pytest.raises(NotImplementedError, match=r"mode\(\)"):
        squashed("MaxNorm", {}).mean()


@every_space
def test_both_log_probs_of_a_raw_draw(name: str, keywords: dict[str, Any]) -> None:
    distribution = squashed(name, keywords)
    raw, raw_log_prob, log_prob = distribution.sample_raw_and_log_probs(seed=jax.random.key(2))
    expected = gaussian_log_prob(np.asarray(raw), np.asarray(LOC), np.asarray(SCALE))
    assert float(raw_log_prob) == pytest.approx(expected, rel=1e-5, abs=1e-5)
    log_det = as_vector_bijector(distribution.action_space).forward_log_det_jacobian(raw)
    assert float(log_prob) == pytest.approx(expected - float(log_det), rel=1e-5, abs=1e-5)


Wrap = Callable[[Callable[..., Any]], Callable[..., Any]]

as_users_have_it = partial(
    jax.jit,
    compiler_options={"xla_backend_optimization_level": 3, "xla_llvm_disable_expensive_passes": False},
)
"""With XLA's usual optimisation, whatever the flags: equal to the last bit is a word on programs as users have them."""


@every_space
@pytest.mark.parametrize("wrap", [lambda f: f, as_users_have_it], ids=["eager", "compiled"])
@pytest.mark.parametrize("center", [0.0, 8.0, 50.0, 1000.0])
def test_two_evaluations_of_a_draw_have_ratio_one(
    name: str, keywords: dict[str, Any], wrap: Wrap, center: float
) -> None:
    space = ac.make_action_space(name, **keywords)
    loc = jnp.full((64, 3), center) + LOC

    @wrap
    def draw(loc: Array, scale: Array, key: Array) -> tuple[Array, Array, Array]:
        return SquashedGaussian(loc, scale, space).sample_raw_and_log_probs(seed=key)

    @wrap
    def evaluate(loc: Array, scale: Array, raw: Array) -> tuple[Array, Array]:
        distribution = SquashedGaussian(loc, scale, space)
        return distribution.raw_log_prob(raw), distribution.log_prob_of_raw(raw)

    raw, raw_log_prob, log_prob = draw(loc, SCALE, jax.random.key(4))
    again = evaluate(loc, SCALE, raw)
    for one, two in zip((raw_log_prob, log_prob), again, strict=True):
        assert np.isfinite(one).all()
        np.testing.assert_array_equal(np.exp(np.asarray(two) - np.asarray(one)), 1.0)
    for one, two in zip(again, evaluate(loc, SCALE, raw), strict=True):
        np.testing.assert_array_equal(one, two)


def test_the_jacobian_cancels_in_the_ratio_of_two_policies() -> None:
    space = ac.make_action_space("MaxNorm")
    old, new = SquashedGaussian(LOC, SCALE, space), SquashedGaussian(LOC + 0.1, SCALE * 1.1, space)
    raw, raw_log_prob, log_prob = old.sample_raw_and_log_probs(seed=jax.random.key(5))
    ratio = new.raw_log_prob(raw) - raw_log_prob
    assert float(new.log_prob_of_raw(raw) - log_prob) == pytest.approx(float(ratio), abs=1e-5)


@every_space
@pytest.mark.parametrize("batch", [(), (3, 2, 4)])
def test_leading_axes_broadcast(name: str, keywords: dict[str, Any], batch: tuple[int, ...]) -> None:

    @jax.jit
    def ask(loc: Array) -> tuple[list[Array], list[Array]]:
        distribution = squashed(name, keywords, loc=loc)
        assert distribution.batch_shape == batch
        assert distribution.event_shape == (3,)
        raw, raw_log_prob, log_prob = distribution.sample_raw_and_log_probs(seed=jax.random.key(0))
        action = distribution.to_action(raw)
        numbers = [raw_log_prob, log_prob, distribution.entropy(), distribution.raw_log_prob(raw)]
        return [*numbers, distribution.log_prob(action)], [raw, action, distribution.mode()]

    numbers, vectors = ask(jnp.broadcast_to(LOC, (*batch, 3)))
    assert {number.shape for number in numbers} == {batch}
    assert {vector.shape for vector in vectors} == {(*batch, 3)}


@pytest.mark.parametrize(("name", "keywords"), [("Free", {}), ("Box", {"x_min": -1.0, "x_max": 2.0}), ("MaxNorm", {})])
def test_one_deviation_for_all_components_counts_for_each(name: str, keywords: dict[str, Any]) -> None:
    one, all_ = (squashed(name, keywords, scale=jnp.full(shape, 0.3)) for shape in ((1,), (3,)))
    x = jnp.asarray([[0.1, -0.4, 1.2], [0.0, 0.3, 2.0]])
    np.testing.assert_allclose(one.raw_log_prob(x), all_.raw_log_prob(x), rtol=1e-6)
    np.testing.assert_allclose(one.log_prob_of_raw(x), all_.log_prob_of_raw(x), rtol=1e-6)
    np.testing.assert_allclose(one.entropy(), all_.entropy(), rtol=1e-6)


def test_gradients_of_a_saturated_draw_are_finite() -> None:
    space = ac.make_action_space("MaxNorm")

    def total(loc: Array, scale: Array) -> Array:
        distribution = SquashedGaussian(loc, scale, space)
        raw, _, log_prob = distribution.sample_raw_and_log_probs(seed=jax.random.key(0))
        return jnp.sum(log_prob) + jnp.sum(distribution.entropy()) + jnp.sum(distribution.to_action(raw))

    gradient_of = jax.jit(jax.grad(total, argnums=(0, 1)))
    for center in (0.0, 8.0, 1000.0):
        for gradient in gradient_of(jnp.full(3, center), jnp.asarray([0.01, 1.0, 5.0])):
            assert np.isfinite(gradient).all()


def test_a_bijector_without_our_expectation_keeps_its_own_entropy() -> None:
    shifted = SquashedGaussian(LOC, SCALE, distrax.ScalarAffine(1.0, 2.0))
    free = SquashedGaussian(LOC, SCALE, ac.make_action_space("Free"))
    assert float(shifted.entropy()) == pytest.approx(float(free.entropy()) + 3 * np.log(2), rel=1e-5)


LOGITS = jnp.asarray([[0.0, 1.0, -2.0], [3.0, 3.0, 0.0]])


def test_categorical_has_the_same_methods() -> None:
    distribution = Categorical(logits=LOGITS)
    action, raw_log_prob, log_prob = distribution.sample_raw_and_log_probs(seed=jax.random.key(0))
    assert action.shape == (2,)
    assert jnp.issubdtype(action.dtype, jnp.integer)
    probabilities = np.exp(LOGITS) / np.exp(LOGITS).sum(-1, keepdims=True)
    expected = np.log(probabilities)[np.arange(2), np.asarray(action)]
    for found in (raw_log_prob, log_prob, distribution.raw_log_prob(action), distribution.log_prob_of_raw(action)):
        np.testing.assert_allclose(found, expected, rtol=1e-5)
    np.testing.assert_array_equal(distribution.to_action(action), action)
    np.testing.assert_array_equal(distribution.mode()[0], 1)
    np.testing.assert_allclose(distribution.entropy(), -(probabilities * np.log(probabilities)).sum(-1), rtol=1e-5)


def test_categorical_draws_with_its_probabilities() -> None:
    distribution = Categorical(logits=jnp.broadcast_to(LOGITS[0], (40_000, 3)))
    action, _, _ = distribution.sample_raw_and_log_probs(seed=jax.random.key(1))
    frequencies = np.bincount(np.asarray(action), minlength=3) / 40_000
    np.testing.assert_allclose(frequencies, np.asarray(jax.nn.softmax(LOGITS[0])), atol=0.01)


INVERTED = [
    ac.make_action_space("Box", x_min=-1.0, x_max=1.0),
    ac.make_action_space("Box", x_min=-2.0, x_max=2.0, width=0.5),
    ac.make_action_space("MaxNorm", max_norm=1.0),
    ac.make_action_space("MaxNorm", max_norm=6.0),
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("space", INVERTED, ids=lambda space: f"{type(space).__name__}{space.metadata}")
def test_the_log_probability_of_an_action_is_as_exact_as_its_docstring_says(space: Any, dtype: type) -> None:
    random, size, width = np.random.default_rng(0), 2, getattr(space, "width", 1.0)
    is_ball = space.event_ndims_in == 1

    def norm(x: np.ndarray) -> np.ndarray:
        return np.linalg.norm(x, axis=1) if is_ball else np.abs(x).max(1)

    direction, loc = random.normal(size=(5_000, size)), random.normal(size=size)
    radius = random.uniform(0, 7 if dtype is np.float32 else 17, size=5_000)
    raw = direction * (width * radius / norm(direction))[:, None]
    with jax.enable_x64(dtype is np.float64):
        for std in (0.3, 1.0, 3.0):
            distribution = SquashedGaussian(jnp.asarray(loc, dtype), jnp.full(size, std, dtype), space)
            exact = np.asarray(distribution.log_prob_of_raw(jnp.asarray(raw, dtype)), np.float64)
            action = distribution.to_action(jnp.asarray(raw, dtype))
            found = np.asarray(distribution.log_prob(action), np.float64)
            eps, slope = np.finfo(dtype).eps, 2 * size + width * np.linalg.norm(raw - loc, axis=1) / std**2
            bound = 5 * eps * (np.cosh(radius) ** 2 * slope + np.abs(exact))
            assert (np.abs(found - exact) <= bound).all()
            # The statement is no idle one: a tenth of it would not hold.
            assert (np.abs(found - exact) > bound / 10).any()


@pytest.mark.parametrize("space", INVERTED, ids=lambda space: f"{type(space).__name__}{space.metadata}")
def test_log_probabilities_from_raw_actions_are_exact_under_saturation(space: Any) -> None:
    loc, scale = np.array([18.0, -3.0]), np.array([2.0, 0.5])
    distribution = SquashedGaussian(jnp.asarray(loc, jnp.float32), jnp.asarray(scale, jnp.float32), space)
    raw, raw_log_prob, log_prob = distribution.sample_raw_and_log_probs(seed=jax.random.key(0))
    _, same = distribution.sample_and_log_prob(seed=jax.random.key(0))
    x = np.asarray(raw, np.float64)
    with jax.enable_x64(True):
        log_det = float(distribution.bijector.forward_log_det_jacobian(jnp.asarray(x)))
    exact = float(np.sum(-0.5 * ((x - loc) / scale) ** 2 - np.log(scale) - 0.5 * np.log(2 * np.pi)))
    np.testing.assert_allclose(raw_log_prob, exact, rtol=1e-5)
    for found in (log_prob, distribution.log_prob_of_raw(raw), same):
        np.testing.assert_allclose(found, exact - log_det, rtol=1e-5)
    # The way back from the action is many nats off there.
    assert abs(float(distribution.log_prob(distribution.to_action(raw))) - (exact - log_det)) > 3
