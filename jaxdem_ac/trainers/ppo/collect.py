"""Playing a rollout, and the batch that it makes."""

from dataclasses import replace
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from jaxdem_ac._types import PyTree
from jaxdem_ac.environments.batching import when_any
from jaxdem_ac.environments.capacity import worst_overflow
from jaxdem_ac.models import recurrent
from jaxdem_ac.models.policy import sample_raw, to_action
from jaxdem_ac.trainers.base import ENDED
from jaxdem_ac.trainers.gae import compute_gae
from jaxdem_ac.trainers.ppo.loss import Batch
from jaxdem_ac.trainers.ppo.state import PPOProblem, PPOState, apply_model, first_bad
from jaxdem_ac.trainers.rollout import Decision, unroll
from jaxdem_ac.trainers.running_statistics import update_normalizer


def normalize_observation(problem: PPOProblem, state: PPOState, observation: Array) -> Array:
    """Return observations as the model sees them; ``(..., O)``."""
    return state.normalizer(observation) if problem.config.normalize_observation else observation


class Record(NamedTuple):
    """The T decisions of a rollout as PPO keeps them, leaves ``(T, E, ...)``."""

    raw_observation: Array | None
    """Observation as the environment gave it; None where the model sees it unnormalised, and it is kept once."""
    observation: Array
    """Observation as the model saw it."""
    raw_action: Array
    """Action before the bijector."""
    log_prob: Array
    """Log-probability of the raw action."""
    value: Array
    """Value as the model answered it."""
    reward: Array
    """``(T, E, N)``."""
    value_beyond: Array
    """Value of the last observation of an episode that ended, 0 elsewhere."""
    terminated: Array
    """``(T, E)``."""
    done: Array
    """``(T, E)``."""
    info: dict[str, Array]
    """``(T, E)`` each."""


def play(problem: PPOProblem, state: PPOState) -> tuple[PPOState, Record]:
    """Play T decisions; return the state after them, and their record."""
    environment, config = problem.environment, problem.config
    model = problem.graphdef, (state.params, state.constants)
    fresh = recurrent.initial_carry(*model, state.carry, state.env_state.observation.shape)

    def act(observation: Array, carry: PyTree, key: Array | None) -> tuple[Array, PyTree, tuple[Array, ...]]:
        assert key is not None
        with jax.named_scope("policy"):
            seen = normalize_observation(problem, state, observation)
            distribution, value, carry = recurrent.step(*model, carry, seen)
            raw_action, log_prob = sample_raw(distribution, key)
            return to_action(distribution, raw_action), carry, (seen, raw_action, log_prob, value)

    def record(decision: Decision) -> Record:
        seen, raw_action, log_prob, value = decision.answer
        timestep = decision.timestep
        # The value beyond a time limit, looked at only in a step in which an episode ends; still with its memory.
        beyond = (
            state.params,
            state.constants,
            normalize_observation(problem, state, timestep.observation),
            decision.carry,
        )
        value_beyond = when_any(
            decision.done, lambda *seen: apply_model(problem, *seen)[1], jnp.zeros_like(value), *beyond
        )
        return Record(
            decision.observation if config.normalize_observation else None,
            seen,
            raw_action,
            log_prob,
            value,
            timestep.reward,
            value_beyond,
            timestep.terminated,
            decision.done,
            timestep.info,
        )

    key, key_steps = jax.random.split(state.key)
    with jax.named_scope("rollout"):
        start, keys = (state.env_state, state.carry), jax.random.split(key_steps, config.num_steps)
        (env_state, carry), kept = unroll(
            environment, act, start, keys, record, partial(recurrent.reset_where, fresh=fresh)
        )
    return replace(state, env_state=env_state, carry=carry, key=key), kept


def collect(problem: PPOProblem, state: PPOState) -> tuple[PPOState, Batch, dict[str, Array]]:
    """Play T decisions, and return the batch that they make with the figures of the rollout."""
    config, began = problem.config, state.carry
    state, record = play(problem, state)
    seen, value, done = record.observation, record.value, record.done
    returns = state.return_normalizer
    with jax.named_scope("advantages"):
        last = normalize_observation(problem, state, state.env_state.observation)
        _, last_value = apply_model(problem, state.params, state.constants, last, state.carry)
        following = jnp.concatenate([value[1:], last_value[None]])
        next_value = jnp.where(done[..., None], record.value_beyond, following)
        advantage, target = compute_gae(
            record.reward,
            returns.inverse(value),
            returns.inverse(next_value),
            record.terminated[..., None],
            done[..., None],
            config.gamma,
            config.gae_lambda,
        )
    bad_term = first_bad(
        state.bad_term,
        observation=seen if record.raw_observation is None else record.raw_observation,
        reward=record.reward,
        value=value,
        advantage=advantage,
        log_prob=record.log_prob,
    )
    # An advantage is what its target is beyond the value.
    spread = jnp.var(target)
    explained = jnp.where(spread > 0, 1 - jnp.var(advantage) / jnp.where(spread > 0, spread, 1.0), 0.0)
    # As with parameters: from the first bad number on, nothing changes.
    keep = partial(jax.tree.map, lambda new, old: jnp.where(bad_term == 0, new, old))
    normalizer = state.normalizer
    if record.raw_observation is not None:
        normalizer = keep(update_normalizer(normalizer, record.raw_observation), normalizer)
    if config.normalize_return:
        moved = keep(update_normalizer(returns, target[..., None]), returns)
        # Values stay as the model answered them: where parameters have not changed they have not moved from there.
        target = moved.scaled(target)
        returns = moved
    state = replace(state, normalizer=normalizer, return_normalizer=returns, bad_term=bad_term)
    batch = Batch(seen, record.raw_action, record.log_prob, value, advantage, target)
    if jax.tree.leaves(began):
        batch = replace(batch, done=done, carry=began)
    # Episodes that begin with the last decision have no timestep yet that could say that their lists are too short.
    begun = worst_overflow(problem.environment, state.env_state)
    figures = {**figures_of(record.reward, done, record.info), "explained_variance": explained}
    return state, batch, {**figures, "overflow": jnp.maximum(figures.get("overflow", 0.0), begun)}


def figures_of(reward: Array, done: Array, info: dict[str, Array]) -> dict[str, Array]:
    """Return means of the rewards ``(T, E, N)`` and of the figures ``(T, E)`` of a rollout.

    Figures ``final_<name>`` are those at the end of episodes, and 0 if :data:`~jaxdem_ac.trainers.base.ENDED`, the
    number of ends, is 0.
    """
    figures = {"reward": jnp.mean(reward), ENDED: jnp.sum(done)}
    for name, figure in info.items():
        if name == "overflow":
            figures[name] = jnp.max(figure)
            continue
        figures[name] = jnp.mean(figure)
        figures[f"final_{name}"] = jnp.sum(jnp.where(done, figure, 0.0)) / jnp.maximum(jnp.sum(done), 1)
    return figures
