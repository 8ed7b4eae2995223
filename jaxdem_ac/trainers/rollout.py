"""Unrolling environments: one decision, many, and whole rollouts with a policy or at random."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxdem_ac._checks import check_count, check_flag, check_key
from jaxdem_ac._types import PyTree
from jaxdem_ac.environments.base import Environment, Timestep, check_is_environment
from jaxdem_ac.environments.batching import reset_batch, reset_where, step_batch
from jaxdem_ac.environments.capacity import retry_on_overflow
from jaxdem_ac.models.structure import Model
from jaxdem_ac.trainers.policy import Act, PolicyFn, Privileged, actor, as_policy, initial_carry, reset_carry

Kept = TypeVar("Kept")


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


class Decision(NamedTuple):
    """One decision as :func:`unroll` made it, before any reset."""

    observation: Array
    """Observation decided from, ``(E, N, O)``."""
    action: Array
    """``(E, N, D)``."""
    answer: PyTree
    """Answer of `act` beside action and carry: log-probabilities, values."""
    carry: PyTree
    """Carry of a recurrent policy, after the decision."""
    state: PyTree
    """States of the environments, after the decision."""
    timestep: Timestep
    """Leaves ``(E, ...)``."""

    @property
    def done(self) -> Array:
        """Whether an episode has ended, ``(E,)``."""
        return self.timestep.terminated | self.timestep.truncated


@dataclass(frozen=True)
class OnState:
    """An act that is given the whole state in place of the observation."""

    act: Callable[[PyTree, PyTree, Array | None], tuple[Array, PyTree, PyTree]]
    """``act(state, carry, key) -> (action, carry, answer)``."""


def decide(environment: Environment, act: Act | OnState, state: PyTree, carry: PyTree, key: Array | None) -> Decision:
    """Return one decision of a batch of environments, or of one alone, without any reset.

    The act is ``act(observation, carry, key) -> (action, carry, answer)``. States have leaves ``(E, ...)``, or are
    those of one environment; the carry is the memory of a recurrent policy, the key that of the action.
    """
    observation = state.observation
    action, carry, answer = act.act(state, carry, key) if isinstance(act, OnState) else act(observation, carry, key)
    with jax.named_scope("environment"):
        step = environment.step if observation.ndim == 2 else partial(step_batch, environment)
        state, timestep = step(state, action)
    return Decision(observation, action, answer, carry, state, timestep)


def unroll(
    environment: Environment,
    act: Act | OnState,
    start: tuple[PyTree, PyTree],
    keys: Array,
    record: Callable[[Decision], Kept],
    restart: Callable[[PyTree, Array], PyTree] | None = None,
) -> tuple[tuple[PyTree, PyTree], Kept]:
    """Return the state and carry after T decisions, and the arrays recorded of each, leaves ``(T, ...)``.

    `act` is as in :func:`decide`. State and carry of the `start` have leaves ``(E, ...)``; they may be those of one
    environment if there is no `restart`. `keys` are one for each decision, ``(T,)``, and `record` makes of a
    :class:`Decision` the arrays to keep of it. Where episodes end, ``(E,)``, ``restart(carry, done)`` gives the carry,
    and the environment is reset; without it episodes play on past their end.
    """

    def body(now: tuple[PyTree, PyTree], key: Array) -> tuple[tuple[PyTree, PyTree], Kept]:
        if restart is None:
            decision = decide(environment, act, *now, key)
            return (decision.state, decision.carry), record(decision)
        key_action, key_reset = jax.random.split(key)
        decision = decide(environment, act, *now, key_action)
        state = reset_ended(environment, decision.state, decision.done, key_reset)
        return (state, restart(decision.carry, decision.done)), record(decision)

    return jax.lax.scan(body, start, keys)


def reset_ended(environment: Environment, state: PyTree, done: Array, key: Array) -> PyTree:
    """Return the states of a batch, fresh where an episode has ended; `done` is ``(E,)``, leaves ``(E, ...)``."""
    with jax.named_scope("environment"):
        return reset_where(environment, state, done, jax.random.split(key, done.shape[0]))


def random_action(key: Array, environment: Environment, num_envs: int) -> Array:
    """Return independent actions, uniform in [-1, 1); ``(E, N, D)``."""
    shape = (num_envs, environment.num_particles, environment.action_size)
    return jax.random.uniform(key, shape, float, minval=-1.0, maxval=1.0)


def rollout(
    environment: Environment,
    model: Model | PolicyFn | Privileged | Literal["random"],
    key: Array,
    num_steps: int,
    num_envs: int = 1,
) -> Trajectory:
    """Play `num_envs` environments for `num_steps` decisions each. Can be traced by `jax.jit`.

    Parameters
    ----------
    environment : Environment
    model : nnx.Module, Policy or "random"
        A model of the model interface or a trained policy, which is sampled; a function ``(observation, key)``; an
        oracle, which sees the state; or actions uniform in [-1, 1). What a recurrent one remembers, or an oracle
        plans, begins anew with every episode.
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
    policy = None if isinstance(model, str) else as_policy("rollout", model, environment)

    def play(environment: Environment) -> Trajectory:
        return _rollout(environment, policy, key, num_steps, num_envs)

    return retry_on_overflow(environment, play, lambda played: _overflow(played.info))[1]


def _overflow(info: dict[str, Array]) -> Array:
    """Return how many times longer a list of neighbours had to be, ``()``; 0 if all were long enough."""
    return jnp.max(info.get("overflow", jnp.zeros(())))


@partial(jax.jit, static_argnames=("environment", "num_steps", "num_envs"))
def _rollout(
    environment: Environment, policy: PolicyFn | None, key: Array, num_steps: int, num_envs: int
) -> Trajectory:
    key_reset, key_steps = jax.random.split(key)

    def at_random(observation: Array, carry: PyTree, key: Array | None) -> tuple[Array, PyTree, None]:
        assert key is not None
        return random_action(key, environment, num_envs), carry, None

    def record(decision: Decision) -> Trajectory:
        timestep = decision.timestep
        return Trajectory(
            observation=decision.observation,
            action=decision.action,
            reward=timestep.reward,
            next_observation=timestep.observation,
            terminated=timestep.terminated,
            truncated=timestep.truncated,
            info=timestep.info,
        )

    start = (
        reset_batch(environment, jax.random.split(key_reset, num_envs)),
        initial_carry(policy, (num_envs, environment.num_particles)),
    )
    choose = at_random if policy is None else OnState(actor("rollout", policy, environment))
    keys = jax.random.split(key_steps, num_steps)
    return unroll(environment, choose, start, keys, record, partial(reset_carry, policy))[1]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Episode:
    """One episode of one environment, with every state."""

    states: PyTree
    """States of the environment, leaves ``(T + 1, ...)``, the first one included."""
    action: Array
    """``(T, N, D)``."""
    value: Array | np.ndarray
    """The policy's value before each decision, ``(T, N)``; NaN of one that knows none."""
    timestep: Timestep
    """Timestep of each decision, leaves ``(T, ...)``."""


def play_episode(
    environment: Environment, policy: Model | PolicyFn | Privileged, key: Array, num_steps: int, sample: bool = False
) -> Episode:
    """Return one environment's first `num_steps` decisions from its reset, past the end of its episode too.

    The policy is a :class:`~jaxdem_ac.trainers.policy.Policy`, or a function ``(observation, key) -> action`` on ``(N,
    O)``. Actions are sampled if `sample`; else they are the policy's mode. If lists of neighbours turn out too short,
    they are made longer and the call starts over. Raises ValueError if `num_steps` is below 1, or an action has another
    shape; TypeError if an argument is something else.
    """
    check_is_environment("record", environment)
    check_key("record", key)
    sample = check_flag("record", "sample", sample)
    check_count("record", "num_steps", num_steps)
    policy = as_policy("record", policy, environment)

    def play(environment: Environment) -> Episode:
        return _play_episode(environment, policy, key, num_steps, sample)

    played = retry_on_overflow(environment, play, lambda played: _overflow(played.timestep.info))[1]
    # Not a number in a compiled program would stop it under JAX_DEBUG_NANS.
    unknown = np.full(played.value.shape, np.nan, played.value.dtype)
    return played if hasattr(policy, "value") else replace(played, value=unknown)


@partial(jax.jit, static_argnames=("environment", "num_steps", "sample"))
def _play_episode(environment: Environment, policy: PolicyFn, key: Array, num_steps: int, sample: bool) -> Episode:
    key_reset, key_play = jax.random.split(key)
    choose = actor("record", policy, environment)

    def act_and_value(state: PyTree, carry: PyTree, key: Array | None) -> tuple[Array, PyTree, Array]:
        observation = state.observation
        value = policy.value(observation, carry) if hasattr(policy, "value") else jnp.zeros(observation.shape[:-1])
        action, carry, _ = choose(state, carry, key if sample else None)
        return action, carry, value

    def record(decision: Decision) -> tuple[PyTree, Array, Array, Timestep]:
        return decision.state, decision.action, decision.answer, decision.timestep

    first = environment.reset(key_reset)
    start, keys = (first, initial_carry(policy, (environment.num_particles,))), jax.random.split(key_play, num_steps)
    _, (states, action, value, timestep) = unroll(environment, OnState(act_and_value), start, keys, record)
    states = jax.tree.map(lambda first, rest: jnp.concatenate([first[None], rest]), first, states)
    return Episode(states, action, value, timestep)
