"""Advantage actor-critic (Mnih et al. 2016, synchronous), as a third party would add it: one file, one class."""

from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax import Array

from jaxdem_ac.environments.batching import reset_batch
from jaxdem_ac.environments.capacity import worst_overflow
from jaxdem_ac.models import recurrent
from jaxdem_ac.models.policy import raw_log_prob, sample_raw, to_action
from jaxdem_ac.trainers.base import Algorithm, Problem
from jaxdem_ac.trainers.gae import compute_gae
from jaxdem_ac.trainers.policy import Policy
from jaxdem_ac.trainers.rollout import Decision, unroll


@dataclass(frozen=True, kw_only=True)
class A2CConfig:
    num_envs: int = 16
    num_steps: int = 8
    learning_rate: float = 1e-3
    gamma: float = 0.99
    gae_lambda: float = 0.95
    value_coef: float = 0.5
    max_grad_norm: float = 0.5


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class A2CState:
    params: Any
    constants: Any
    opt_state: Any
    env_state: Any
    carry: Any
    key: Array
    num_updates: Array
    bad_term: Array


def _optimizer(config: A2CConfig) -> optax.GradientTransformation:
    return optax.chain(optax.clip_by_global_norm(config.max_grad_norm), optax.adam(config.learning_rate))


class A2C(Algorithm[A2CConfig, A2CState]):
    """Advantage actor-critic: one gradient step on each rollout."""

    config_class = A2CConfig
    terms = ("loss",)
    grid_fields = ("learning_rate",)

    def init(self, problem: Problem[A2CConfig], model_state: Any, key: Array) -> A2CState:
        key_envs, key = jax.random.split(key)
        params, constants = nnx.split_state(model_state, nnx.Param, ...)
        env_state = reset_batch(problem.environment, jax.random.split(key_envs, problem.config.num_envs))
        opt_state = _optimizer(problem.config).init(params)
        zero = jnp.zeros((), jnp.int32)
        return A2CState(params, constants, opt_state, env_state, nnx.State({}), key, zero, zero)

    def update(self, problem: Problem[A2CConfig], state: A2CState) -> tuple[A2CState, dict[str, Array]]:
        config, environment = problem.config, problem.environment
        key, key_steps = jax.random.split(state.key)

        def answer(params: Any, observation: Array) -> tuple[Any, Array]:
            variables = params, state.constants
            distribution, value, _ = recurrent.step(problem.graphdef, variables, state.carry, observation)
            return distribution, value

        def act(observation: Array, carry: Any, key: Array | None) -> tuple[Array, Any, Array]:
            distribution, _ = answer(state.params, observation)
            raw_action, _ = sample_raw(distribution, key)
            return to_action(distribution, raw_action), carry, raw_action

        def record(decision: Decision) -> tuple[Any, ...]:
            _, next_value = answer(state.params, decision.timestep.observation)
            return decision.observation, decision.answer, next_value, decision.timestep, decision.done

        start, keys = (state.env_state, state.carry), jax.random.split(key_steps, config.num_steps)
        (env_state, _), kept = unroll(environment, act, start, keys, record, lambda carry, _: carry)
        observation, raw_action, next_value, timestep, done = kept

        def loss(params: Any) -> Array:
            distribution, value = answer(params, observation)
            ends = timestep.terminated[..., None], done[..., None]
            numbers = config.gamma, config.gae_lambda
            old = jax.lax.stop_gradient(value)
            advantage, target = compute_gae(timestep.reward, old, next_value, *ends, *numbers)
            policy_loss = -jnp.mean(raw_log_prob(distribution, raw_action) * advantage)
            return policy_loss + config.value_coef * jnp.mean((value - target) ** 2)

        value, gradient = jax.value_and_grad(loss)(state.params)
        updates, opt_state = _optimizer(config).update(gradient, state.opt_state, state.params)
        bad = jnp.where(state.bad_term > 0, state.bad_term, (~jnp.isfinite(value)).astype(jnp.int32))

        def keep(new: Any, old: Any) -> Any:
            return jax.tree.map(lambda new, old: jnp.where(bad == 0, new, old), new, old)

        overflow = jnp.maximum(worst_overflow(environment, env_state), jnp.max(timestep.info.get("overflow", 0.0)))
        figures = {"reward": jnp.mean(timestep.reward), "loss": value, "overflow": overflow}
        return replace(
            state,
            params=keep(optax.apply_updates(state.params, updates), state.params),
            opt_state=keep(opt_state, state.opt_state),
            env_state=env_state,
            key=key,
            num_updates=state.num_updates + 1,
            bad_term=bad,
        ), figures

    def policy(self, problem: Problem[A2CConfig], state: A2CState) -> Policy:
        model_state = nnx.merge_state(state.params, state.constants)
        return Policy(problem.graphdef, model_state, None, problem.environment.observation_size)
