"""Evaluation of a policy over whole episodes, with intervals of confidence."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.stages import Lowered

from jaxdem_ac._checks import check_count, check_flag, check_key
from jaxdem_ac._types import PyTree
from jaxdem_ac.environments.base import Environment, check_is_environment, has_success
from jaxdem_ac.environments.batching import reset_batch
from jaxdem_ac.environments.capacity import retry_on_overflow
from jaxdem_ac.models.recurrent import Carry
from jaxdem_ac.models.structure import Model
from jaxdem_ac.trainers.estimate import Estimate as Estimate
from jaxdem_ac.trainers.estimate import estimate as estimate
from jaxdem_ac.trainers.estimate import student_t as student_t
from jaxdem_ac.trainers.policy import Policy, PolicyFn, Privileged, actor, as_policy, initial_carry
from jaxdem_ac.trainers.rollout import OnState, decide

_Playing = tuple[PyTree, PyTree, Array, Array, Array, Array, int]

_MAX_DECISIONS = 100_000


@dataclass(frozen=True)
class Evaluation:
    """Results of the episodes of a policy."""

    success: Estimate | None
    """The environment's success figure at the end of an episode, between 0 and 1; None where it has none."""
    reward: Estimate
    """Mean reward of a particle and decision."""
    num_episodes: int
    """Number of episodes."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Switched:
    """A policy that acts by its mode or samples as a flag says, so that one program serves both, to the last digit."""

    policy: Policy
    """The policy that acts."""
    sampled: Array
    """Flag of sampling, ``()`` of bool."""

    def initial_carry(self, leading_shape: tuple[int, ...], /) -> Carry:
        """Return the policy's."""
        return self.policy.initial_carry(leading_shape)

    def step(self, observation: Array, carry: Carry, key: Array | None, /) -> tuple[Array, Carry]:
        """Return the sampled action or the mode, and the carry after it."""
        action, after = self.policy.step(observation, carry, key)
        # XLA finds that the network's answer is the same, and computes it once.
        mode, _ = self.policy.step(observation, carry, None)
        return jnp.where(self.sampled, action, mode), after

    def restart(self, carry: Carry, done: Array, /) -> Carry:
        """Return the policy's, where episodes have ended."""
        return self.policy.restart(carry, done)

    def __call__(self, observation: Array, key: Array | None, /) -> Array:
        """Return the action of one that remembers nothing."""
        return self.step(observation, self.initial_carry(observation.shape[:-1]), key)[0]


def evaluate(
    environment: Environment,
    policy: Model | PolicyFn | Privileged,
    key: Array,
    num_episodes: int = 64,
    *,
    sample: bool = False,
    max_decisions: int = _MAX_DECISIONS,
) -> Evaluation:
    """Play whole episodes, all at once.

    Parameters
    ----------
    environment : Environment
    policy : callable
        ``policy(observation, key) -> action`` on ``(E, N, O)``: a function, a `Policy` or a model; or an oracle. A
        recurrent one begins each episode with nothing remembered.
    key : Array
        Random key of initial states and, if `sample`, of actions.
    num_episodes : int
        At least 2.
    sample : bool
        Whether actions are sampled; else they are the policy's mode.
    max_decisions : int
        An episode that lasts longer is an error.

    Raises
    ------
    ValueError
        If `num_episodes` is below 2, `max_decisions` below 1, or an episode has not ended after those; or if an action
        has another shape.
    TypeError
        If `environment`, `policy`, `key` or `sample` is something else.
    FloatingPointError
        If a reward or a success figure is not finite; the message names the first episode.
    """
    if isinstance(num_episodes, bool) or not isinstance(num_episodes, int) or num_episodes < 2:
        raise ValueError(f"evaluate: num_episodes is at least 2; got num_episodes={num_episodes!r}. Raise it.")
    sample = check_flag("evaluate", "sample", sample)
    check_count("evaluate", "max_decisions", max_decisions)
    check_is_environment("evaluate", environment)
    check_key("evaluate", key)
    acting = as_policy("evaluate", policy, environment)
    if isinstance(acting, Policy):
        # As a training evaluates it: another program may add up in another order, and that shows in the last digit.
        acting, sample = Switched(acting, jnp.asarray(sample)), True

    _, (success, reward, ended) = play_episodes(environment, acting, key, num_episodes, sample, max_decisions)
    finite = np.isfinite(np.asarray(reward)) & np.isfinite(np.asarray(success))
    if not finite.all():
        raise FloatingPointError(
            f"evaluate: rewards and success are finite; got NaN or infinity in episode {int(np.argmin(finite))} of "
            f"{num_episodes}. Look at what the policy returns, or take a shorter dt."
        )
    if not bool(jnp.all(ended)):
        raise ValueError(
            f"evaluate: episodes end within max_decisions; got max_decisions={max_decisions}. "
            "Give the environment a shorter time limit."
        )
    share = estimate(np.asarray(success), 0.0, 1.0) if has_success(environment) else None
    return Evaluation(share, estimate(np.asarray(reward)), num_episodes)


def play_episodes(
    environment: Environment,
    policy: PolicyFn | Privileged,
    key: Array,
    num_episodes: int,
    sample: bool,
    max_decisions: int = _MAX_DECISIONS,
    side_by_side: bool = False,
) -> tuple[Environment, tuple[Array, Array, Array]]:
    """Play whole episodes, again with longer lists of neighbours for as long as they have been too short.

    Arguments are those of :func:`evaluate`, which checks them. Returns the environment, with lists that were long
    enough, and success at the end, mean reward of a particle and decision, and whether the episode has ended, ``(E,)``
    each. With `side_by_side` policies and keys are R, leaves ``(R, ...)``, and results are ``(R, E)``.
    """

    def play(environment: Environment) -> tuple[Array, Array, Array, Array]:
        # A program of its own for the beginning: it is as large as that of an episode, and serves all policies.
        state = _compiled(play=False)(environment, key, num_episodes, side_by_side)
        return _compiled(play=True)(environment, policy, state, key, sample, max_decisions, side_by_side)

    def overflow(played: tuple[Array, Array, Array, Array]) -> Array:
        # What is not a number is near nobody, or everybody: no list helps its run, and other runs need theirs.
        finite = jnp.all(jnp.isfinite(played[1]), axis=-1, keepdims=True)
        return jnp.max(jnp.where(finite, played[3], 0.0))

    environment, (success, reward, ended, _) = retry_on_overflow(environment, play, overflow)
    return environment, (success, reward, ended)


def lowered_resets(environment: Environment, key: Array, num_episodes: int, side_by_side: bool = False) -> Lowered:
    """Return the program by which the episodes of :func:`play_episodes` begin, which finds it once it is compiled."""
    lowered: Lowered = _compiled(play=False).lower(environment, key, num_episodes, side_by_side)
    return lowered


def lowered_episodes(
    environment: Environment, policy: PolicyFn, key: Array, num_episodes: int, sample: bool, side_by_side: bool = False
) -> Lowered:
    """Return the program of the episodes themselves, likewise."""
    state = _compiled(play=False).eval_shape(environment, key, num_episodes, side_by_side)
    lowered: Lowered = _compiled(play=True).lower(environment, policy, state, key, sample, _MAX_DECISIONS, side_by_side)
    return lowered


@cache
def _compiled(play: bool) -> Any:
    """Return :func:`_play_many` or :func:`_reset_many`, compiled.

    A CPU plays as fast at this level of optimisation as at the highest, which takes a fifth longer to compile.
    """
    options = {"xla_backend_optimization_level": 1} if jax.default_backend() == "cpu" else None
    if play:
        static = ("environment", "sample", "max_decisions", "side_by_side")
        return jax.jit(_play_many, static_argnames=static, compiler_options=options)
    return jax.jit(
        _reset_many, static_argnames=("environment", "num_episodes", "side_by_side"), compiler_options=options
    )


def _reset_many(environment: Environment, key: Array, num_episodes: int, side_by_side: bool) -> PyTree:
    """Return the states that episodes begin with, leaves ``(E, ...)``, or ``(R, E, ...)`` for R keys."""

    def reset(key: Array) -> PyTree:
        return reset_batch(environment, jax.random.split(jax.random.split(key)[0], num_episodes))

    return (jax.vmap(reset) if side_by_side else reset)(key)


def _play_many(
    environment: Environment,
    policy: PolicyFn,
    state: PyTree,
    key: Array,
    sample: bool,
    max_decisions: int,
    side_by_side: bool,
) -> tuple[Array, Array, Array, Array]:
    """Return what :func:`_play_episodes` does, of one policy, or of R with a key each."""

    def play(policy: PolicyFn, state: PyTree, key: Array) -> tuple[Array, Array, Array, Array]:
        return _play_episodes(environment, policy, state, key, sample, max_decisions)

    return (jax.vmap(play) if side_by_side else play)(policy, state, key)


def _play_episodes(
    environment: Environment, policy: PolicyFn, state: PyTree, key: Array, sample: bool, max_decisions: int
) -> tuple[Array, Array, Array, Array]:
    """Return success at the end, mean reward, whether the episode has ended, and any overflow; ``(E,)`` each."""
    key_play, num_episodes = jax.random.split(key)[1], len(state.observation)

    def going(now: _Playing) -> Array:
        *_, ended, _, count = now
        return (count < max_decisions) & ~jnp.all(ended)

    def body(now: _Playing) -> _Playing:
        state, memory, success, total, ended, overflow, count = now
        key_action = jax.random.fold_in(key_play, count) if sample else None
        decision = decide(environment, choose, state, memory, key_action)
        timestep = decision.timestep
        # An episode that has ended plays on, unseen, until the last one has.
        total = jnp.where(ended[:, None], total, total + jnp.stack([jnp.mean(timestep.reward, -1), one], -1))
        success = jnp.where(ended, success, timestep.info.get("success", 0.0))
        overflow = jnp.maximum(overflow, timestep.info.get("overflow", 0))
        ended = ended | decision.done
        return decision.state, decision.carry, success, total, ended, overflow, count + 1

    choose = OnState(actor("evaluate", policy, environment))
    one = jnp.ones(num_episodes)
    start = (
        state,
        initial_carry(policy, (num_episodes, environment.num_particles)),
        0 * one,
        jnp.zeros((num_episodes, 2)),
        jnp.zeros(num_episodes, bool),
        jnp.zeros(num_episodes),
        0,
    )
    _, _, success, total, ended, overflow, _ = jax.lax.while_loop(going, body, start)
    return success, total[:, 0] / total[:, 1], ended, overflow
