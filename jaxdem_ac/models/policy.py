"""Acting with a model's distribution, whichever it is."""

from jax import Array

from jaxdem_ac.models.structure import Distribution, RawDistribution


def with_raw_actions(distribution: Distribution) -> Distribution:
    """Return a Gaussian through an action space as ours, whoever has built it; any other distribution as it is.

    Ours knows the action before the bijector and the mode. An action space is told by its `log_det_expectation`: a map
    that nothing is learnt of, so that the ratio of two policies is that of their Gaussians. A bijector without one may
    be part of what is learnt.
    """
    if isinstance(distribution, RawDistribution) or not hasattr(distribution, "bijector"):
        return distribution
    import distrax

    from jaxdem_ac.action_spaces.distributions import SquashedGaussian

    base, bijector = getattr(distribution, "distribution", None), distribution.bijector
    action_space = bijector.bijector if isinstance(bijector, distrax.Block) else bijector
    if isinstance(base, distrax.MultivariateNormalDiag) and hasattr(action_space, "log_det_expectation"):
        return SquashedGaussian(base.loc, base.scale_diag, action_space)
    return distribution


def sample_raw(distribution: Distribution, key: Array) -> tuple[Array, Array]:
    """Draw an action before the bijector, ``(..., D)`` or ``(...)``, and return it with its log-probability there.

    A distribution that knows no action before the bijector, of a model that is not ours, draws the action itself.
    """
    if isinstance(distribution, RawDistribution):
        return distribution.sample_raw_and_log_probs(seed=key)[:2]
    action, log_prob = distribution.sample_and_log_prob(seed=key)
    return action, log_prob


def raw_log_prob(distribution: Distribution, raw_action: Array) -> Array:
    """Return the log-probability of what :func:`sample_raw` drew; ``(...)``."""
    if isinstance(distribution, RawDistribution):
        return distribution.raw_log_prob(raw_action)
    return distribution.log_prob(raw_action)


def entropy_to_report(distribution: Distribution) -> Array:
    """Return the entropy, ``(...)``, or where the action space knows none that of the Gaussian before it."""
    try:
        return distribution.entropy()
    except NotImplementedError:
        base: Distribution = distribution.distribution  # type: ignore[attr-defined]
        return base.entropy()


def to_action(distribution: Distribution, raw_action: Array) -> Array:
    """Return the action of what :func:`sample_raw` drew; ``(..., D)`` or ``(...)``."""
    return distribution.to_action(raw_action) if isinstance(distribution, RawDistribution) else raw_action
