"""Acting with a model's distribution, whichever it is."""

from typing import Any

from jax import Array


def with_raw_actions(distribution: Any) -> Any:
    """Return a Gaussian through an action space as ours, whoever has built it; any other distribution as it is.

    Ours knows the action before the bijector and the mode. An action space is told by its `log_det_expectation`: a map
    that nothing is learnt of, so that the ratio of two policies is that of their Gaussians. A bijector without one may
    be part of what is learnt.
    """
    if hasattr(distribution, "raw_log_prob") or not hasattr(distribution, "bijector"):
        return distribution
    import distrax

    from jaxdem_ac.action_spaces.squashed import Squashed

    base, bijector = distribution.distribution, distribution.bijector
    action_space = bijector.bijector if isinstance(bijector, distrax.Block) else bijector
    if isinstance(base, distrax.MultivariateNormalDiag) and hasattr(action_space, "log_det_expectation"):
        return Squashed(base.loc, base.scale_diag, action_space)
    return distribution


def sample_raw(distribution: Any, key: Array) -> tuple[Array, Array]:
    """Draw an action before the bijector, and return it with its log-probability there.

    A distribution that knows no action before the bijector, of a model that is not ours, draws the action itself.

    Parameters
    ----------
    distribution : distrax.Distribution
        Over actions ``(..., D)`` or ``(...)``.
    key : Array
        Random key.

    Returns
    -------
    raw_action : Array, (..., D) or (...)
    raw_log_prob : Array, (...)
    """
    if hasattr(distribution, "sample_raw_and_log_probs"):
        raw_action, raw_log_prob, _ = distribution.sample_raw_and_log_probs(seed=key)
        return raw_action, raw_log_prob
    action, log_prob = distribution.sample_and_log_prob(seed=key)
    return action, log_prob


def raw_log_prob(distribution: Any, raw_action: Array) -> Array:
    """Return the log-probability of what :func:`sample_raw` drew; ``(...)``."""
    if hasattr(distribution, "raw_log_prob"):
        return distribution.raw_log_prob(raw_action)
    return distribution.log_prob(raw_action)


def entropy_to_report(distribution: Any) -> Array:
    """Return the entropy, ``(...)``, or where the action space knows none that of the Gaussian before it."""
    try:
        return distribution.entropy()
    except NotImplementedError:
        return distribution.distribution.entropy()


def to_action(distribution: Any, raw_action: Array) -> Array:
    """Return the action of what :func:`sample_raw` drew; ``(..., D)`` or ``(...)``."""
    if hasattr(distribution, "to_action"):
        return distribution.to_action(raw_action)
    return raw_action
