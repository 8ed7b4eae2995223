"""Short-horizon actor-critic: the policy climbs the slope of a window's return, taken through the physics.

Xu et al., "Accelerated Policy Learning with Parallel Differentiable Simulation", 2022 (arXiv 2204.07137). Parameters
are shared by all particles. What differs from the article: the slopes of a window's return are taken in its actions,
and several passes over the window move the policy up them, where the article makes one step with its parameters; policy
and critic are one model, with one optimizer.
"""

from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax import Array

from jaxdem_ac._types import PyTree
from jaxdem_ac.environments.base import Environment
from jaxdem_ac.environments.batching import reset_batch
from jaxdem_ac.environments.capacity import worst_overflow
from jaxdem_ac.models.structure import Model
from jaxdem_ac.trainers.base import Algorithm
from jaxdem_ac.trainers.gae import compute_gae
from jaxdem_ac.trainers.permutation import shuffled
from jaxdem_ac.trainers.policy import Policy
from jaxdem_ac.trainers.ppo.collect import figures_of
from jaxdem_ac.trainers.running_statistics import Normalizer, update_normalizer
from jaxdem_ac.trainers.shac.checks import check_differentiable, gaussian
from jaxdem_ac.trainers.shac.config import GRID_FIELDS, SHACConfig
from jaxdem_ac.trainers.shac.state import TERMS, SHACProblem, SHACState, apply_model, first_bad
from jaxdem_ac.trainers.shac.window import Window, mean_log_slope, play, slopes_of


def make_optimizer(problem: SHACProblem) -> optax.GradientTransformation:
    """Return the optimizer, its schedule counted in optimizer updates."""
    config = problem.config
    total = problem.num_updates * config.num_epochs * config.num_minibatches
    linear, constant = optax.linear_schedule(config.learning_rate, 0.0, total), optax.constant_schedule
    rate = linear if config.schedule == "linear" else constant(config.learning_rate)
    return optax.chain(optax.clip_by_global_norm(config.max_grad_norm), optax.adam(rate, eps=1e-5))


def init(problem: SHACProblem, model_state: PyTree, key: Array) -> SHACState:
    """Return the state at the beginning of a run, of the model's state, from `nnx.split`, and a random key.

    Raises ValueError if the model is recurrent, or the environment has no slopes.
    """
    key_envs, key_run = jax.random.split(key)
    config, environment = problem.config, problem.environment
    check_differentiable(problem, model_state)
    params, constants = nnx.split_state(model_state, nnx.Param, ...)
    return SHACState(
        params=params,
        target_params=jax.tree.map(jnp.copy, params),
        constants=constants,
        opt_state=make_optimizer(problem).init(params),
        return_normalizer=Normalizer.create(1),
        env_state=reset_batch(environment, jax.random.split(key_envs, config.num_envs)),
        carry=nnx.State({}),
        key=key_run,
        num_updates=jnp.zeros((), jnp.int32),
        bad_term=jnp.zeros((), jnp.int32),
        log_slope=jnp.zeros(()) if config.slopes == "running" else None,
    )


def targets_of(problem: SHACProblem, state: SHACState, window: Window) -> Array:
    """Return the targets of the critic, ``(T, E, N)``: TD(lambda) on the target network's values."""
    config = problem.config
    values_of = partial(apply_model, problem, state.target_params, state.constants)
    value, following = (
        state.return_normalizer.inverse(values_of(seen)[1]) for seen in (window.observation, window.next_observation)
    )
    ends = window.terminated[..., None], window.done[..., None]
    return compute_gae(window.objective, value, following, *ends, config.gamma, config.gae_lambda)[1]


class Rows(NamedTuple):
    """Rows of a window to learn from, leaves ``(T, E, ...)``, and later rows."""

    observation: Array
    """``(..., N, O)``."""
    raw_action: Array
    """Before the bijector, ``(..., N, D)``."""
    noise: Array
    """Noise with which it was drawn, ``(..., N, D)``."""
    slope: Array
    """Slope in the lengths of an update, ``(..., N, D)``."""
    target: Array
    """Target of the value, as the model should answer it, ``(..., N)``."""


def loss(problem: SHACProblem, params: PyTree, constants: PyTree, rows: Rows) -> tuple[Array, dict[str, Array]]:
    r"""Return the loss and its terms.

    ``mean(|x - x_old|**2 / (2 step_size) - g (x - x_old)) + value_coef mean((V - target)**2) / 2``

    with x the action before the bijector that the policy draws with the noise that drew x_old, and g the slope of the
    return in it. Its gradient at the policy that has played is the slope of the return in the parameters; its least is
    at ``x_old + step_size g``.
    """
    config = problem.config
    distribution, value = apply_model(problem, params, constants, rows.observation)
    own = gaussian(distribution)
    moved = own.distribution.loc + own.scale * rows.noise - rows.raw_action
    square, along = jnp.sum(moved**2, axis=-1), jnp.sum(rows.slope * moved, axis=-1)
    policy_loss = jnp.mean(square / (2 * config.step_size) - along)
    value_loss = 0.5 * jnp.mean((value - rows.target) ** 2)
    figures = {"policy_loss": policy_loss, "value_loss": value_loss, "moved": jnp.sqrt(jnp.mean(square))}
    return policy_loss + config.value_coef * value_loss, figures


def learn(problem: SHACProblem, state: SHACState, rows: Rows, key: Array) -> tuple[SHACState, dict[str, Array]]:
    """Pass over a window `num_epochs` times, in minibatches of its moments."""
    config, optimizer = problem.config, make_optimizer(problem)
    rows = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), rows)
    gradient_of = jax.grad(partial(loss, problem), has_aux=True)

    def minibatch_step(
        carry: tuple[PyTree, optax.OptState], index: Array
    ) -> tuple[tuple[PyTree, optax.OptState], dict[str, Array]]:
        params, opt_state = carry
        gradient, terms = gradient_of(params, state.constants, jax.tree.map(lambda leaf: leaf[index], rows))
        updates, opt_state = optimizer.update(gradient, opt_state, params)
        return (optax.apply_updates(params, updates), opt_state), terms

    def epoch(
        carry: tuple[PyTree, optax.OptState], key: Array
    ) -> tuple[tuple[PyTree, optax.OptState], dict[str, Array]]:
        order = shuffled(key, rows.target.shape[0]).reshape(config.num_minibatches, -1)
        return jax.lax.scan(minibatch_step, carry, order)

    start = state.params, state.opt_state
    (params, opt_state), terms = jax.lax.scan(epoch, start, jax.random.split(key, config.num_epochs))
    rate = config.target_rate
    follow = jax.tree.map(lambda old, new: old + rate * (new - old), state.target_params, params)
    state = replace(state, params=params, opt_state=opt_state, target_params=follow)
    return state, jax.tree.map(jnp.mean, terms)


def update(problem: SHACProblem, state: SHACState) -> tuple[SHACState, dict[str, Array]]:
    """Return the state after one window and learning from the slopes of its return, and figures, ``()`` each."""
    config, before = problem.config, state
    key, key_steps, key_learn = jax.random.split(state.key, 3)
    keys = jax.random.split(key_steps, config.num_steps)
    shape = config.num_steps, config.num_envs, problem.environment.num_particles, problem.environment.action_size
    with jax.named_scope("window"):
        slope, (env_state, window) = jax.grad(partial(play, problem, state), has_aux=True)(jnp.zeros(shape), keys)
    with jax.named_scope("update"):
        target, returns = targets_of(problem, state, window), state.return_normalizer
        if config.normalize_return:
            returns = update_normalizer(returns, target[..., None])
        log_slope = state.log_slope
        if log_slope is not None:
            log_slope = mean_log_slope(log_slope, state.num_updates, slope)
        scaled = slopes_of(config, slope, log_slope)
        rows = Rows(window.observation, window.raw_action, window.noise, scaled, returns.scaled(target))
        state, terms = learn(problem, replace(state, return_normalizer=returns, log_slope=log_slope), rows, key_learn)
    bad_term = first_bad(
        state.bad_term,
        observation=window.observation,
        reward=window.reward,
        value=target,
        slope=slope,
        policy_loss=terms["policy_loss"],
        value_loss=terms["value_loss"],
        parameters=optax.tree.norm(state.params),
    )
    # From the first bad number on nothing is learnt, so that the last good parameters are what is kept.
    state = jax.tree.map(lambda new, old: jnp.where(bad_term == 0, new, old), state, before)
    figures = {**figures_of(window.reward, window.done, window.info), **terms}
    figures["overflow"] = jnp.maximum(figures.get("overflow", 0.0), worst_overflow(problem.environment, env_state))
    figures["objective"] = jnp.mean(window.objective)
    figures["slope"] = jnp.mean(jnp.sqrt(jnp.sum(slope**2, axis=-1)))
    state = replace(state, env_state=env_state, key=key, num_updates=before.num_updates + 1, bad_term=bad_term)
    return state, figures


def policy(problem: SHACProblem, state: SHACState) -> Policy:
    """Return the policy of a state, with the normalizer of its values."""
    returns = state.return_normalizer if problem.config.normalize_return else None
    model_state = nnx.merge_state(state.params, state.constants)
    return Policy(problem.graphdef, model_state, None, problem.environment.observation_size, returns)


class SHAC(Algorithm[SHACConfig, SHACState]):
    """Short-horizon actor-critic (Xu et al. 2022), with parameters shared by all particles."""

    config_class = SHACConfig
    terms = TERMS
    grid_fields = GRID_FIELDS
    # Its runs last minutes, and the slopes of the physics are a large program.
    optimization_level = 1
    columns = MappingProxyType({"objective": ("+.4f", "+.3f"), "moved": (".4f", ".3f")})

    init, update, policy = staticmethod(init), staticmethod(update), staticmethod(policy)

    def initial_policy(self, config: SHACConfig, model: Model, environment: Environment) -> Policy:
        """Return the policy that a run starts from, with a normalizer that has seen nothing."""
        return Policy.of(model, environment, None, Normalizer.create(1) if config.normalize_return else None)

    def with_normalizers(self, state: SHACState, policy: Policy) -> SHACState:
        """Return a state with the normalizer of a policy's values; one of observations is refused."""
        state = super().with_normalizers(state, replace(policy, return_normalizer=None))
        returns = policy.return_normalizer
        return state if returns is None else replace(state, return_normalizer=returns)

    def optimizer_updates(self, config: SHACConfig) -> int:
        """Return the number of epochs times that of minibatches."""
        return config.num_epochs * config.num_minibatches
