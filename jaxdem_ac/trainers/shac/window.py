"""A window of decisions, its return, and what of the return's slope goes back in time."""

from functools import partial
from typing import NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jax import Array

from jaxdem_ac._types import PyTree
from jaxdem_ac.environments.batching import reset_where
from jaxdem_ac.models.policy import sample_raw, to_action
from jaxdem_ac.trainers.rollout import decide
from jaxdem_ac.trainers.shac.checks import differentiable, gaussian
from jaxdem_ac.trainers.shac.config import SHACConfig
from jaxdem_ac.trainers.shac.state import SHACProblem, SHACState, apply_model

_RATE = 0.02
"""Least share of a window in the running mean of slopes."""
_LONGEST = 20.0
"""Logarithm of the longest root mean square slope that counts as it is."""


@runtime_checkable
class Smooth(Protocol):
    """An environment that offers a reward with a slope where its own jumps, or has none to speak of."""

    def smooth_reward(self, before: PyTree, after: PyTree) -> Array:
        """Return what to climb in place of a decision's reward, ``(N,)``, from the states of one environment."""


class Window(NamedTuple):
    """The T decisions of a window, leaves ``(T, E, ...)``."""

    observation: Array
    """Before the decision."""
    next_observation: Array
    """After it, before any reset."""
    raw_action: Array
    """Before the bijector."""
    noise: Array
    """``(raw_action - mean) / deviation`` of the policy that drew it."""
    reward: Array
    """``(T, E, N)``."""
    objective: Array
    """Reward that is climbed, ``(T, E, N)``."""
    terminated: Array
    """``(T, E)``."""
    done: Array
    """``(T, E)``."""
    info: dict[str, Array]
    """``(T, E)`` each."""


@partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def fade(state: PyTree, factor: float, longest: float | None) -> PyTree:
    """Return a batch of states, float leaves ``(E, ...)``, as it is; slopes that come back through it are changed.

    All slopes of an environment together are cut to a length of `longest`, if there is one, and multiplied by the
    factor.
    """
    return state


def _forward(state: PyTree, factor: float, longest: float | None) -> tuple[PyTree, None]:
    return state, None


def _backward(factor: float, longest: float | None, _: None, slope: PyTree) -> tuple[PyTree]:
    if longest is None:
        return (jax.tree.map(lambda leaf: factor * leaf, slope),)

    def along(share: Array, leaf: Array) -> Array:
        return share.reshape(share.shape + (1,) * (leaf.ndim - 1)) * leaf

    leaves = [(leaf, tuple(range(1, leaf.ndim))) for leaf in jax.tree.leaves(slope)]
    # In units of the longest number: squares of long slopes are infinite, and a cut would leave nothing of them.
    unit = jnp.max(jnp.stack([jnp.max(jnp.abs(leaf), axis, initial=longest) for leaf, axis in leaves]), axis=0)
    square, most = sum(jnp.sum(along(1 / unit, leaf) ** 2, axis) for leaf, axis in leaves), longest / unit
    share = factor * most * jax.lax.rsqrt(jnp.maximum(square, most**2))
    return (jax.tree.map(partial(along, share), slope),)


fade.defvjp(_forward, _backward)


def fade_floats(state: PyTree, factor: float, longest: float | None) -> PyTree:
    """Return what `fade` does of the leaves that have slopes."""
    if factor == 1 and longest is None:
        return state
    leaves, structure = jax.tree.flatten(state)
    with_slopes = [number for number, leaf in enumerate(leaves) if jnp.issubdtype(leaf.dtype, jnp.floating)]
    for number, leaf in zip(with_slopes, fade([leaves[n] for n in with_slopes], factor, longest), strict=True):
        leaves[number] = leaf
    return jax.tree.unflatten(structure, leaves)


def play(problem: SHACProblem, state: SHACState, nudge: Array, keys: Array) -> tuple[Array, tuple[PyTree, Window]]:
    r"""Return the objective of a window, ``()``, with the environments' states after it, and the window itself.

    ``sum over episodes, t: gamma**t r_t + gamma**T V(s_T)``, summed over environments and particles; an episode that
    ends within the window is an end of the sum, by a termination without a value beyond, and the next one begins
    another; no slope goes through a reset.

    The `params` of the state in which the window begins act, its `target_params` answer values. The nudge, ``(T, E, N,
    D)``, is 0 and added to actions before the bijector: the slope of the objective in it is that in the actions, with
    all that the policy makes of their consequences. Keys are one for each decision, ``(T,)``.
    """
    config, environment = problem.config, differentiable(problem)
    smooth = config.smooth_reward and isinstance(environment, Smooth)

    def value_of(observation: Array) -> Array:
        _, value = apply_model(problem, state.target_params, state.constants, observation)
        return state.return_normalizer.inverse(value)

    def act(observation: Array, nudge: Array, key: Array | None) -> tuple[Array, Array, tuple[Array, Array]]:
        assert key is not None
        distribution = gaussian(apply_model(problem, state.params, state.constants, observation)[0])
        raw_action = sample_raw(distribution, key)[0] + nudge
        noise = (raw_action - distribution.distribution.loc) / distribution.scale
        return to_action(distribution, raw_action), nudge, (raw_action, noise)

    def body(
        now: tuple[PyTree, Array], given: tuple[Array, Array]
    ) -> tuple[tuple[PyTree, Array], tuple[Array, Window]]:
        (before, discount), (nudge, key) = now, given
        key_action, key_reset = jax.random.split(key)
        decision = decide(environment, act, before, nudge, key_action)
        timestep, done = decision.timestep, decision.done
        objective = timestep.reward
        if smooth:
            objective = jax.vmap(environment.smooth_reward)(before, decision.state)  # type: ignore[attr-defined]
        # Slopes fade beyond a time limit as they do at the window's end.
        last = fade_floats(timestep.observation, config.decay, config.max_state_slope)
        beyond = jnp.where((done & ~timestep.terminated)[:, None], value_of(last), 0.0)
        gained = jnp.sum(discount[:, None] * (objective + config.gamma * beyond))
        # Who is reset, and to what, has no slope: the conditional reset stands outside of what is differentiated.
        fixed = jax.lax.stop_gradient(decision.state)
        fresh = reset_where(environment, fixed, done, jax.random.split(key_reset, done.shape[0]))

        def choose(new: Array, old: Array) -> Array:
            return jnp.where(done.reshape(done.shape + (1,) * (old.ndim - 1)), new, old)

        after = jax.tree.map(choose, fresh, fade_floats(decision.state, config.decay, config.max_state_slope))
        raw_action, noise = decision.answer
        window = Window(
            decision.observation,
            timestep.observation,
            raw_action,
            noise,
            timestep.reward,
            objective,
            timestep.terminated,
            done,
            timestep.info,
        )
        discount = jnp.where(done, 1.0, config.gamma * discount)
        return (after, discount), (gained, jax.lax.stop_gradient(window))

    start = state.env_state, jnp.ones(config.num_envs)
    body = jax.checkpoint(body) if config.remat else body
    (env_state, discount), (gained, window) = jax.lax.scan(body, start, (nudge, keys))
    # Where an episode ended with the window's last decision, its end has been counted, and the next has not begun.
    open_end = jnp.where(window.done[-1], 0.0, discount)
    objective = jnp.sum(gained) + jnp.sum(open_end[:, None] * value_of(env_state.observation))
    return objective, (jax.lax.stop_gradient(env_state), window)


def mean_log_slope(before: Array, num_updates: Array, slope: Array) -> Array:
    """Return the mean of the logarithm of the windows' root mean square slopes, ``()``, this window's included.

    `before` is that of the windows before, `num_updates` many; of more than fifty, later ones count for more.
    """
    mean = jnp.mean(jnp.sum(slope**2, axis=-1))
    # A window whose slopes are 0, or whose squares are infinite, counts as one of very short or very long ones.
    own = jnp.clip(0.5 * jnp.log(mean), -_LONGEST, _LONGEST)
    return before + jnp.maximum(1 / (num_updates + 1), _RATE) * (own - before)


def slopes_of(config: SHACConfig, slope: Array, log_slope: Array | None = None) -> Array:
    """Return the slopes of a window, ``(..., D)``, in the lengths that an update gives them.

    `log_slope` is what :func:`mean_log_slope` returns, for ``"running"`` alone.
    """
    square = jnp.sum(slope**2, axis=-1, keepdims=True)
    if config.slopes == "unit":
        return slope * jax.lax.rsqrt(jnp.where(square > 0, square, 1.0))
    mean = jnp.mean(square)
    if log_slope is not None:
        mean = jnp.maximum(mean, jnp.exp(2 * log_slope))
    return slope * jax.lax.rsqrt(jnp.maximum(square, jnp.where(mean > 0, mean, 1.0)))
