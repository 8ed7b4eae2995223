"""The policy's distributions: a diagonal Gaussian through an action space, and categoricals.

All know the action *before* the bijector, called raw here. PPO keeps the raw action: its log-probability needs no
inverse, so that a saturated action is as exact as any other, and in the ratio of two policies the Jacobian cancels.
"""

import math

import distrax
import jax.numpy as jnp
from jax import Array

from jaxdem_ac.action_spaces.base import ActionSpace


class SquashedGaussian(distrax.Transformed):
    r"""The distribution of ``y = f(x)``, ``x ~ N(loc, diag(scale**2))``, with ``f`` an action space.

    ``log p_Y(f(x)) = log p_X(x) - log |det J_f(x)|``,  ``H(Y) = H(X) + E[log |det J_f(X)|]``.

    Mean and standard deviation are ``(..., D)``; a scalar bijector is lifted to the action vector.
    """

    def __init__(self, loc: Array, scale: Array, action_space: distrax.Bijector) -> None:
        base = distrax.MultivariateNormalDiag(loc, jnp.broadcast_to(scale, loc.shape))
        super().__init__(base, as_vector_bijector(action_space))
        self.action_space = action_space
        # As it came: one std for all means makes the entropy several times cheaper than its broadcast would.
        self.scale = scale

    def sample_raw_and_log_probs(self, *, seed: Array) -> tuple[Array, Array, Array]:
        """Draw x, an action before the bijector, ``(..., D)``, and return it with log p_X(x) and log p_Y(f(x)).

        The first density is the one to form a ratio of policies with, the second that of the action, :meth:`to_action`.
        """
        raw_action = self.distribution.sample(seed=seed)
        raw_log_prob = self.raw_log_prob(raw_action)
        return raw_action, raw_log_prob, raw_log_prob - self.bijector.forward_log_det_jacobian(raw_action)

    def to_action(self, raw_action: Array) -> Array:
        """Return the action ``f(x)`` of a raw one; ``(..., D)``."""
        return self.bijector.forward(raw_action)

    def raw_log_prob(self, raw_action: Array) -> Array:
        """Return log p_X(x), the density of an action before the bijector; ``(..., D)`` to ``(...)``."""
        # Written out, one std for all rows has one logarithm and not one for each row.
        deviation = (raw_action - self.distribution.loc) / self.scale
        constant = 0.5 * math.log(2 * math.pi) * deviation.shape[-1]
        volume = jnp.sum(jnp.log(self.scale), axis=-1)
        if self.scale.shape[-1] < deviation.shape[-1]:
            volume = volume * deviation.shape[-1]
        return -0.5 * jnp.sum(deviation**2, axis=-1) - volume - constant

    def log_prob_of_raw(self, raw_action: Array) -> Array:
        """Return log p_Y(f(x)) of a raw action, with no inverse; ``(..., D)`` to ``(...)``."""
        return self.raw_log_prob(raw_action) - self.bijector.forward_log_det_jacobian(raw_action)

    def log_prob(self, value: Array) -> Array:
        r"""Return log p_Y of an action, through the inverse of the action space; ``(..., D)`` to ``(...)``.

        What rounding has taken from an action, no inverse gives back. With ``r = max |x| / width`` in a Box of that
        width, and ``r = ||x||``, ``width = 1`` in a MaxNorm, the result is within

        ``5 eps cosh(r)**2 (2 D + width ||x - loc|| / scale**2)``

        nats, besides the rounding of the result itself, while r is below 7 in float32 (``eps = 1.2e-7``) and below 17
        in float64 (``2.2e-16``): 1e-5 nats at r = 2, 1e-3 at r = 4 and 0.1 at r = 6 in float32, for ``D = 2`` and
        ``scale = 1``; a Box away from 0 loses more, by the ratio of its farther bound to half its range. Beyond, every
        action is taken for one of r = 8.7, or 19, and the error has no bound: 12 nats for ``x = 18``, ``scale = 2``.

        The exact ones, at any r, are ``sample_and_log_prob``, :meth:`sample_raw_and_log_probs` and
        :meth:`log_prob_of_raw`, which know ``x``; the ratio of two policies is that of :meth:`raw_log_prob`.
        """
        return super().log_prob(value)

    def entropy(self, input_hint: Array | None = None) -> Array:
        """Return the entropy, in nats; ``(...)``.

        Within 1e-4 nats for means and deviations up to 5 in any dimension up to 6, within 1e-3 relative up to 300; in a
        Box in units of its width.
        Raises NotImplementedError if the action space is not constant and defines no `log_det_expectation`.
        """
        del input_hint  # distrax asks for one where the log-determinant is constant; here it is never needed
        base = self.distribution
        if isinstance(self.action_space, ActionSpace) or hasattr(self.action_space, "log_det_expectation"):
            return base.entropy() + self.action_space.log_det_expectation(base.loc, self.scale)
        try:
            return super().entropy()
        except NotImplementedError:
            raise NotImplementedError(
                f"SquashedGaussian.entropy: {type(self.action_space).__name__} defines no "
                "log_det_expectation(mean, std). Define it, or train with ppo.entropy_coef=0."
            ) from None

    def mode(self) -> Array:
        """Return the image of the base mode, ``f(loc)``; ``(..., D)``.

        It is the median of every component of a Box. It is *not* where the squashed density is largest: near a bound
        that density can be largest at the bound itself.
        """
        return self.to_action(self.distribution.loc)

    def mean(self) -> Array:
        """Raise NotImplementedError: the mean of a squashed Gaussian has no closed form.

        Use :meth:`mode` for a deterministic action, or average samples.
        """
        raise NotImplementedError(
            "SquashedGaussian.mean: a squashed Gaussian has no mean in closed form. Use mode(), or average samples."
        )


class Categorical(distrax.Categorical):
    """A categorical over D actions, with the methods of :class:`SquashedGaussian`: its raw action is the action."""

    def sample_raw_and_log_probs(self, *, seed: Array) -> tuple[Array, Array, Array]:
        """Draw an action; the three results of :meth:`SquashedGaussian.sample_raw_and_log_probs`, ``(...)`` each."""
        action = self.sample(seed=seed)
        log_prob = self.log_prob(action)
        return action, log_prob, log_prob

    def to_action(self, raw_action: Array) -> Array:
        """Return the action itself; ``(...)``."""
        return raw_action

    def raw_log_prob(self, raw_action: Array) -> Array:
        """Return log p of the action; ``(...)``."""
        return self.log_prob(raw_action)

    log_prob_of_raw = raw_log_prob


class Choice(distrax.Distribution):
    """A categorical over K actions that are vectors, ``(K, D)``, no two of them equal: its raw action is which one.

    Logits, ``(..., K)``, are the logarithms of the probabilities, up to a constant.
    """

    def __init__(self, logits: Array, actions: Array) -> None:
        super().__init__()
        self.choice = Categorical(logits=logits)
        self.actions = actions

    @property
    def event_shape(self) -> tuple[int, ...]:
        """``(D,)``."""
        return self.actions.shape[-1:]

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """The leading axes of the logits."""
        return self.choice.batch_shape

    def _sample_n(self, key: Array, n: int) -> Array:
        return self.to_action(self.choice.sample(seed=key, sample_shape=(n,)))

    def sample_raw_and_log_probs(self, *, seed: Array) -> tuple[Array, Array, Array]:
        """Draw which action; the three results of :meth:`SquashedGaussian.sample_raw_and_log_probs`, ``(...)`` each."""
        return self.choice.sample_raw_and_log_probs(seed=seed)

    def to_action(self, raw_action: Array) -> Array:
        """Return the action of its number; ``(...)`` to ``(..., D)``."""
        return self.actions[raw_action]

    def raw_log_prob(self, raw_action: Array) -> Array:
        """Return log p of an action by its number; ``(...)``."""
        return self.choice.raw_log_prob(raw_action)

    log_prob_of_raw = raw_log_prob

    def log_prob(self, value: Array) -> Array:
        """Return log p of an action, ``(..., D)`` to ``(...)``; what is none of them counts as the nearest one."""
        distance = jnp.sum((value[..., None, :] - self.actions) ** 2, axis=-1)
        return self.raw_log_prob(jnp.argmin(distance, axis=-1))

    def entropy(self) -> Array:
        """Return the entropy, in nats; ``(...)``."""
        return self.choice.entropy()

    def mode(self) -> Array:
        """Return the likeliest action, the first of several; ``(..., D)``."""
        return self.to_action(self.choice.mode())

    def kl_divergence(self, other_dist: "Choice", **keywords: object) -> Array:
        """Return the divergence to another policy over the same actions, in nats; ``(...)``."""
        return self.choice.kl_divergence(other_dist.choice, **keywords)


def num_outputs(action_space: distrax.Bijector, size: int) -> int:
    """Return how many numbers of a network make the policy over actions of `size` components: as many, or its own."""
    own = getattr(action_space, "num_outputs", None)
    return size if own is None else int(own(size))


def distribution_of(
    action_space: distrax.Bijector, outputs: Array, scale: Array, size: int
) -> "SquashedGaussian | Choice":
    """Return the policy that an action space makes of a network's outputs ``(..., K)``.

    K is what :func:`num_outputs` says, `size` is D. An action space with a `distribution` of its own makes it itself;
    any other is put behind a Gaussian, of the outputs as mean and `scale`, ``(..., D)``, as standard deviation.
    """
    own = getattr(action_space, "distribution", None)
    return SquashedGaussian(outputs, scale, action_space) if own is None else own(outputs, size)


def as_vector_bijector(action_space: distrax.Bijector) -> distrax.Bijector:
    """Return `action_space` as a map of action vectors: a scalar one acts on every component."""
    if action_space.event_ndims_in == 0:
        return distrax.Block(action_space, ndims=1)
    return action_space


# Names of before, kept for one version.
Squashed, lift = SquashedGaussian, as_vector_bijector
