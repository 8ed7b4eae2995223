"""Playing a rollout, and the batch that it makes."""

from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from jaxdem_ac.environments.base import when_any, worst_overflow
from jaxdem_ac.models import recurrent
from jaxdem_ac.models.policy import sample_raw, to_action
from jaxdem_ac.trainers.advantages import compute_gae
from jaxdem_ac.trainers.learner import Learner, LearnerState, apply_model, first_bad
from jaxdem_ac.trainers.loss import Batch
from jaxdem_ac.trainers.normalizer import update_normalizer
from jaxdem_ac.trainers.rollout import play_step

ENDED = "episodes_ended"
"""A figure of a rollout that no report has: how many episodes ended in it."""


def see(learner: Learner, state: LearnerState, observation: Array) -> Array:
    """Return observations as the model sees them; ``(..., O)``."""
    return state.normalizer(observation) if learner.config.normalize_observation else observation


def play(learner: Learner, state: LearnerState) -> tuple[LearnerState, tuple[Any, ...]]:
    """Play T decisions; return the state after them, and what was recorded, leaves ``(T, E, ...)``."""
    environment, config = learner.environment, learner.config
    model = learner.graphdef, (state.params, state.constants)
    fresh = recurrent.initial_carry(*model, state.carry, state.env_state.observation.shape)

    def body(now: tuple[Any, Any], key_step: Array) -> tuple[Any, tuple[Any, ...]]:
        env_state, carry = now
        key_action, key_reset = jax.random.split(key_step)
        observation = env_state.observation
        with jax.named_scope("policy"):
            seen = see(learner, state, observation)
            distribution, value, carry = recurrent.step(*model, carry, seen)
            raw_action, log_prob = sample_raw(distribution, key_action)
            action = to_action(distribution, raw_action)
        env_state, timestep = play_step(environment, env_state, action, key_reset)
        done = timestep.terminated | timestep.truncated
        # The value beyond a time limit, looked at only in a step in which an episode ends; still with its memory.
        beyond = (state.params, state.constants, see(learner, state, timestep.observation), carry)
        cut = when_any(done, lambda *seen: apply_model(learner, *seen)[1], jnp.zeros_like(value), *beyond)
        # What is not normalized is seen as it is, and kept once.
        raw = observation if config.normalize_observation else None
        record = (raw, seen, raw_action, log_prob, value, timestep.reward, cut)
        now = env_state, recurrent.restarted(carry, fresh, done)
        return now, (*record, timestep.terminated, done, timestep.info)

    key, key_steps = jax.random.split(state.key)
    with jax.named_scope("rollout"):
        now = state.env_state, state.carry
        (env_state, carry), record = jax.lax.scan(body, now, jax.random.split(key_steps, config.num_steps))
    return replace(state, env_state=env_state, carry=carry, key=key), record


def collect(learner: Learner, state: LearnerState) -> tuple[LearnerState, Batch, dict[str, Array]]:
    """Play T decisions, and return the batch that they make with the figures of the rollout."""
    config, began = learner.config, state.carry
    state, record = play(learner, state)
    observation, seen, raw_action, log_prob, value, reward, cut, terminated, done, info = record
    returns = state.return_normalizer
    with jax.named_scope("advantages"):
        last = see(learner, state, state.env_state.observation)
        _, last_value = apply_model(learner, state.params, state.constants, last, state.carry)
        following = jnp.concatenate([value[1:], last_value[None]])
        next_value = jnp.where(done[..., None], cut, following)
        advantage, target = compute_gae(
            reward,
            returns.inverse(value),
            returns.inverse(next_value),
            terminated[..., None],
            done[..., None],
            config.gamma,
            config.gae_lambda,
        )
    bad_term = first_bad(
        state.bad_term,
        observation=seen if observation is None else observation,
        reward=reward,
        value=value,
        advantage=advantage,
        log_prob=log_prob,
    )
    # As with parameters: from the first bad number on, nothing changes.
    keep = partial(jax.tree.map, lambda new, old: jnp.where(bad_term == 0, new, old))
    normalizer = state.normalizer
    if observation is not None:
        normalizer = keep(update_normalizer(normalizer, observation), normalizer)
    if config.normalize_return:
        moved = keep(update_normalizer(returns, target[..., None]), returns)
        value, target = moved.scaled(returns.inverse(value)), moved.scaled(target)
        returns = moved
    state = replace(state, normalizer=normalizer, return_normalizer=returns, bad_term=bad_term)
    batch = Batch(seen, raw_action, log_prob, value, advantage, target)
    if jax.tree.leaves(began):
        batch = replace(batch, done=done, carry=began)
    # Episodes that begin with the last decision have no timestep yet that could say that their lists are too short.
    begun = worst_overflow(learner.environment, state.env_state)
    figures = figures_of(reward, done, info)
    return state, batch, {**figures, "overflow": jnp.maximum(figures.get("overflow", 0.0), begun)}


def figures_of(reward: Array, done: Array, info: dict[str, Array]) -> dict[str, Array]:
    """Return means of the rewards ``(T, E, N)`` and of the figures ``(T, E)`` of a rollout.

    Figures ``final_<name>`` are those at the end of episodes, and 0 if :data:`ENDED`, the number of ends, is 0.
    """
    figures = {"reward": jnp.mean(reward), ENDED: jnp.sum(done)}
    for name, figure in info.items():
        if name == "overflow":
            figures[name] = jnp.max(figure)
            continue
        figures[name] = jnp.mean(figure)
        figures[f"final_{name}"] = jnp.sum(jnp.where(done, figure, 0.0)) / jnp.maximum(jnp.sum(done), 1)
    return figures
