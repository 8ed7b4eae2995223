"""Playing a batch of environments, with a policy or at random."""

from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax import Array

from jaxdem_ac.checks import check_count
from jaxdem_ac.environments.base import (
    Environment,
    Timestep,
    check_is_environment,
    play_with_room,
    reset_batch,
    reset_where,
    step_batch,
)
from jaxdem_ac.models.checks import check_key
from jaxdem_ac.trainers.policy import act, acting, begin, restart


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Trajectory:
    """T decisions of E environments of N particles."""

    observation: Array
    """Observation before each decision, ``(T, E, N, O)``."""
    action: Array
    """``(T, E, N, D)``."""
    reward: Array
    """``(T, E, N)``."""
    next_observation: Array
    """Observation after each decision, ``(T, E, N, O)``: at an episode's end its last, not the next one's first."""
    terminated: Array
    """``(T, E)``."""
    truncated: Array
    """``(T, E)``."""
    info: dict[str, Array]
    """Figures of each decision, ``(T, E)``."""


def play_step(environment: Environment, state: Any, action: Array, key: Array) -> tuple[Any, Timestep]:
    """Step a batch, and reset the environments whose episode has ended.

    Parameters
    ----------
    environment : Environment
    state : Any
        Leaves ``(E, ...)``.
    action : Array, (E, N, D)
    key : Array
        Random key for the resets.

    Returns
    -------
    state : Any
        To decide from next: fresh where an episode has ended.
    timestep : Timestep
        Of the step itself, before any reset; leaves ``(E, ...)``.
    """
    with jax.named_scope("environment"):
        state, timestep = step_batch(environment, state, action)
        done = timestep.terminated | timestep.truncated
        return reset_where(environment, state, done, jax.random.split(key, done.shape[0])), timestep


def random_action(key: Array, environment: Environment, num_envs: int) -> Array:
    """Return independent actions, uniform in [-1, 1); ``(E, N, D)``."""
    shape = (num_envs, environment.num_particles, environment.action_size)
    return jax.random.uniform(key, shape, float, minval=-1.0, maxval=1.0)


def rollout(
    environment: Environment,
    model: Any | Literal["random"],
    key: Array,
    num_steps: int,
    num_envs: int = 1,
) -> Trajectory:
    """Play `num_envs` environments for `num_steps` decisions each. Can be traced by `jax.jit`.

    Parameters
    ----------
    environment : Environment
    model : nnx.Module, Policy or "random"
        A model of the model interface or a trained policy, which is sampled; a function ``(observation, key)``; or
        actions uniform in [-1, 1). What a recurrent one remembers begins anew with every episode.
    key : Array
        Random key.
    num_steps, num_envs : int
        T and E.

    Returns
    -------
    Trajectory

    Raises
    ------
    ValueError
        If a number is below 1, or `model` is another string.
    TypeError
        If `environment`, `model` or `key` is something else.

    Notes
    -----
    If lists of neighbours turn out too short, they are made longer and the call starts over. What is traced cannot:
    there ``info["overflow"]`` is not 0.
    """
    for name, value in (("num_steps", num_steps), ("num_envs", num_envs)):
        check_count("rollout", name, value)
    check_is_environment("rollout", environment)
    check_key("rollout", key)
    if isinstance(model, str) and model != "random":
        raise ValueError(f"rollout: model is a model or 'random'; got {model!r}. Build one with make_model.")
    policy = None if isinstance(model, str) else acting("rollout", model, environment)

    def play(environment: Environment) -> Trajectory:
        return _rollout(environment, policy, key, num_steps, num_envs)

    def overflow(trajectory: Trajectory) -> Any:
        return jnp.max(trajectory.info.get("overflow", jnp.zeros(())))

    return play_with_room(environment, play, overflow)[1]


@partial(jax.jit, static_argnames=("environment", "num_steps", "num_envs"))
def _rollout(environment: Environment, policy: Any, key: Array, num_steps: int, num_envs: int) -> Trajectory:
    key_reset, key_steps = jax.random.split(key)

    def body(now: tuple[Any, Any], key_step: Array) -> tuple[Any, Trajectory]:
        state, carry = now
        key_action, key_done = jax.random.split(key_step)
        observation = state.observation
        if policy is None:
            action = random_action(key_action, environment, num_envs)
        else:
            action, carry = act("rollout", policy, observation, carry, key_action, environment.action_size)
        state, timestep = play_step(environment, state, action, key_done)
        carry = restart(policy, carry, timestep.terminated | timestep.truncated)
        return (state, carry), Trajectory(
            observation=observation,
            action=action,
            reward=timestep.reward,
            next_observation=timestep.observation,
            terminated=timestep.terminated,
            truncated=timestep.truncated,
            info=timestep.info,
        )

    state = reset_batch(environment, jax.random.split(key_reset, num_envs))
    carry = begin(policy, (num_envs, environment.num_particles))
    _, trajectory = jax.lax.scan(body, (state, carry), jax.random.split(key_steps, num_steps))
    return trajectory
