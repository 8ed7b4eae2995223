"""Distributions of models that are not ours: as ours, where they are a Gaussian through an action space."""

import distrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdem_ac.action_spaces import make_action_space
from jaxdem_ac.action_spaces.distributions import SquashedGaussian, as_vector_bijector
from jaxdem_ac.models.policy import raw_log_prob, sample_raw, to_action, with_raw_actions

LOC = jnp.asarray([[0.0, 0.5], [9.0, -9.0], [-2.0, 1.0]])


@pytest.mark.parametrize("space", ["Free", "Box", "MaxNorm"])
def test_a_gaussian_through_an_action_space_knows_raw_actions_and_a_mode(space: str) -> None:
    action_space = make_action_space(space, **({"x_min": -1.0, "x_max": 2.0} if space == "Box" else {}))
    scale = jnp.asarray([[0.3, 0.7]])
    theirs = distrax.Transformed(distrax.MultivariateNormalDiag(LOC, scale), as_vector_bijector(action_space))
    ours = with_raw_actions(theirs)
    expected = SquashedGaussian(LOC, scale, action_space)
    raw, log_prob = sample_raw(ours, jax.random.key(0))
    np.testing.assert_allclose(to_action(ours, raw), theirs.sample(seed=jax.random.key(0)), rtol=1e-6)
    np.testing.assert_allclose(log_prob, expected.raw_log_prob(raw), rtol=1e-5)
    # What theirs cannot recompute of a saturated action.
    np.testing.assert_allclose(raw_log_prob(ours, raw), log_prob)
    np.testing.assert_allclose(ours.mode(), expected.mode())
    np.testing.assert_allclose(ours.entropy(), expected.entropy(), rtol=1e-5)
    assert with_raw_actions(ours) is ours


def test_a_bijector_that_may_be_learnt_is_left_alone() -> None:
    """A ratio of the Gaussians alone would leave out how such a bijector changes."""
    learnt = distrax.Block(distrax.ScalarAffine(jnp.zeros(2), jnp.ones(2)), 1)
    theirs = distrax.Transformed(distrax.MultivariateNormalDiag(LOC, jnp.ones_like(LOC)), learnt)
    assert with_raw_actions(theirs) is theirs
    choice = distrax.Categorical(logits=LOC)
    assert with_raw_actions(choice) is choice
