"""PPO's loss over a minibatch, and its gradient, in pieces that fit in memory."""

from dataclasses import dataclass, replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxdem_ac._types import PyTree
from jaxdem_ac.models import recurrent
from jaxdem_ac.models.policy import raw_log_prob
from jaxdem_ac.models.structure import Distribution
from jaxdem_ac.trainers.ppo.state import PPOProblem, apply_model

# Samples of one piece of a gradient. On a GPU their activations take some 0.5 GiB, and it has enough to do with them.
# On a CPU they stay in its cache (an update was 1.05 times as fast as whole), and products still run on all cores:
# below 4,096 rows of the usual width they do not, and took 1.4 times as long.
CHUNK, CHUNK_CPU = 262_144, 8_192


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Batch:
    """The samples of one update; leaves ``(T, E, N, ...)``, and later rows."""

    observation: Array
    """Observation as the model saw it, ``(..., O)``."""
    raw_action: Array
    """Action before the bijector, ``(..., D)``."""
    raw_log_prob: Array
    """Log-probability of `raw_action` when it was drawn."""
    value: Array
    """V(s_t) when it was drawn, as the model answers it."""
    advantage: Array
    """Estimated."""
    target: Array
    """Target of the value, as the model should answer it."""
    done: Array | None = None
    """Whether an episode ended with the step, ``(T, E)``; for a recurrent model only."""
    carry: PyTree = None
    """Carry of a recurrent model when the rollout began, leaves ``(E, N, ...)``."""


def flatten_batch(batch: Batch) -> Batch:
    """Return a batch in rows, of which minibatches are made.

    A row is a moment, ``(T * E, N, ...)``, with all of its particles. For a recurrent model it is an environment, ``(E,
    N, T, ...)``: a sequence stays whole.
    """
    if batch.carry is None:
        return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), batch)
    assert batch.done is not None
    done = jnp.broadcast_to(batch.done[..., None], batch.advantage.shape)
    timed = replace(batch, done=done, carry=None)
    return replace(jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 0, 2), timed), carry=batch.carry)


def evaluate_actions(
    problem: PPOProblem, params: PyTree, constants: PyTree, batch: Batch
) -> tuple[tuple[Array, Array | None], Array]:
    """Return the log-probability of the batch's actions and the mean entropy, if it is asked for, and the values.

    The batch has leaves ``(..., N)``, or for a recurrent model sequences, ``(S, T, ...)``.
    """

    def measure(distribution: Distribution, raw_action: Array) -> tuple[Array, Array | None]:
        log_prob = raw_log_prob(distribution, raw_action)
        return log_prob, jnp.mean(distribution.entropy()) if problem.config.has_entropy_bonus else None

    if batch.carry is None:
        distribution, value = apply_model(problem, params, constants, batch.observation)
        return measure(distribution, batch.raw_action), value
    time_first = partial(jax.tree.map, lambda leaf: jnp.swapaxes(leaf, 0, 1))
    observation, done, raw_action = time_first((batch.observation, batch.done, batch.raw_action))
    model = problem.graphdef, (params, constants)
    (log_prob, entropy), value = recurrent.replay(*model, batch.carry, observation, done, measure, raw_action)
    # Of every step by itself, if the model is replayed so.
    entropy = None if entropy is None else jnp.mean(entropy)
    return (time_first(log_prob), entropy), time_first(value)


def loss(problem: PPOProblem, params: PyTree, constants: PyTree, batch: Batch) -> tuple[Array, dict[str, Array]]:
    r"""Return the clipped surrogate loss and its terms, of a batch as for :func:`evaluate_actions`.

    ``-mean(min(w A, clip(w, 1 - eps, 1 + eps) A)) + value_coef mean((V - target)**2) / 2 - entropy_coef mean(H)``,
    ``w = exp(log p(x) - log p_old(x))``, x the action before the bijector.

    Advantages enter as they are, already normalised if they are to be. Schulman et al. 2017, eq. 7 and 9. With
    `clip_value` the value's square is the larger one of V and of V moved from V_old by at most that (Engstrom et al.
    2020, section 2). `kl` is the estimate ``mean((w - 1) - log w)``.
    """
    config = problem.config
    with jax.named_scope("policy"):
        (log_prob, entropy), value = evaluate_actions(problem, params, constants, batch)
    log_ratio = log_prob - batch.raw_log_prob
    ratio = jnp.exp(log_ratio)
    advantage = batch.advantage
    clipped = jnp.clip(ratio, 1 - config.clip_eps, 1 + config.clip_eps)
    policy_loss = -jnp.mean(jnp.minimum(ratio * advantage, clipped * advantage))
    square = (value - batch.target) ** 2
    if config.clip_value is not None:
        moved = batch.value + jnp.clip(value - batch.value, -config.clip_value, config.clip_value)
        square = jnp.maximum(square, (moved - batch.target) ** 2)
    value_loss = 0.5 * jnp.mean(square)
    total = policy_loss + config.value_coef * value_loss
    terms = {}
    if entropy is not None:
        terms["entropy"] = entropy
        total = total - config.entropy_coef * entropy
    return total, {
        **terms,
        "policy_loss": policy_loss,
        "value_loss": value_loss,
        "kl": jnp.mean((ratio - 1) - log_ratio),
        "clip_fraction": jnp.mean(jnp.abs(ratio - 1) > config.clip_eps),
    }


def differentiate(
    problem: PPOProblem, params: PyTree, constants: PyTree, batch: Batch
) -> tuple[PyTree, dict[str, Array]]:
    """Return the gradient of the loss over a minibatch, rows of :func:`flatten_batch`, and the loss's terms.

    The loss is a mean over samples once advantages have been normalised: it is taken in chunks and summed, so that the
    memory of a minibatch has a bound, however many particles there are. Chunks of a recurrent model are of whole
    sequences, one for each particle.
    """
    if problem.config.normalize_advantage:
        batch = replace(batch, advantage=normalized(batch.advantage))
    if batch.carry is not None:
        batch = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), batch)
    num_rows = batch.advantage.shape[0]
    num_chunks = num_microbatches(num_rows, batch.advantage[0].size, batch.carry is None, problem.backend)
    chunks = jax.tree.map(lambda leaf: leaf.reshape(num_chunks, num_rows // num_chunks, *leaf.shape[1:]), batch)
    gradient_of = jax.grad(partial(loss, problem), has_aux=True)
    if num_chunks == 1:
        return gradient_of(params, constants, batch)
    shapes = jax.eval_shape(gradient_of, params, constants, jax.tree.map(lambda leaf: leaf[0], chunks))
    nothing = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)

    def add(total: PyTree, chunk: Batch) -> tuple[PyTree, None]:
        return jax.tree.map(jnp.add, total, gradient_of(params, constants, chunk)), None

    total, _ = jax.lax.scan(add, nothing, chunks)
    return jax.tree.map(lambda leaf: leaf / num_chunks, total)


def num_microbatches(num_rows: int, per_row: int, feed_forward: bool, backend: str) -> int:
    """Return the number of equal pieces in which a gradient is taken, of rows with `per_row` samples each.

    `backend` is the platform, as JAX names it.
    """

    def fewest(most: int) -> int:
        divisors = (number for number in range(1, num_rows + 1) if num_rows % number == 0)
        return next(number for number in divisors if number == num_rows or num_rows // number * per_row <= most)

    number = fewest(CHUNK_CPU)
    small = num_rows // number * per_row < CHUNK_CPU // 2
    return fewest(CHUNK) if small or not feed_forward or backend != "cpu" else number


def normalized(advantage: Array) -> Array:
    """Return advantages with mean 0 and variance 1; 0 where all are equal but for rounding."""
    high, low = jnp.max(advantage), jnp.min(advantage)
    differ = high - low > 8 * np.finfo(advantage.dtype).eps * jnp.maximum(jnp.abs(high), jnp.abs(low))
    return jnp.where(differ, (advantage - jnp.mean(advantage)) / (jnp.std(advantage) + 1e-8), 0.0)
