"""Proximal policy optimisation in pure functions: collect, estimate, update.

Schulman et al., "Proximal Policy Optimization Algorithms", 2017. Parameters are shared by all particles; the particle
axis is kept throughout. Actions are stored before the bijector: the ratio of policies is exact however saturated an
action is, since the Jacobian cancels in it.
"""

from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax import Array

from jaxdem_ac.environments.base import Environment, reset_batch, when_any
from jaxdem_ac.models.policy import entropy_to_report, raw_log_prob, sample_raw, to_action
from jaxdem_ac.trainers.advantages import compute_gae
from jaxdem_ac.trainers.config import PPOConfig, Varied
from jaxdem_ac.trainers.normalizer import Normalizer, update_normalizer
from jaxdem_ac.trainers.rollout import play_step
from jaxdem_ac.trainers.shuffle import shuffled

# In the order in which a bad number travels: the first of these that is not finite is the one to name.
TERMS = (
    "observation",
    "reward",
    "value",
    "advantage",
    "log_prob",
    "policy_loss",
    "value_loss",
    "entropy",
    "grad_norm",
    "parameters",
)
# Samples of one piece of a gradient: their activations take some 0.5 GiB, and a GPU has enough to do with them.
CHUNK = 262_144


@dataclass(frozen=True)
class Learner:
    """What stays the same through a run; hashable, static under `jax.jit`."""

    environment: Environment
    """The task."""
    graphdef: Any
    """The model's structure, from `nnx.split`."""
    config: PPOConfig | Varied
    """Hyperparameters."""
    num_updates: int
    """Length of the run, in updates; the learning rate's schedule needs it."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class LearnerState:
    """What changes."""

    params: Any
    """Of the model, as `nnx.State`."""
    constants: Any
    """What else the model holds, as `nnx.State`."""
    opt_state: Any
    """Of the optimizer."""
    normalizer: Normalizer
    """Of observations."""
    return_normalizer: Normalizer
    """Of the value's targets; it changes nothing unless it is asked for."""
    env_state: Any
    """Of the environments, leaves ``(E, ...)``."""
    key: Array
    """Random key of the next update."""
    num_updates: Array
    """Updates made, ``()``."""
    bad_term: Array
    """0, or 1 + the index in :data:`TERMS` of the first number that was not finite, ``()``."""
    varied: dict[str, Array] = field(default_factory=dict)
    """Hyperparameters that differ between runs that are made side by side, ``()`` each."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Batch:
    """What an update learns from; leaves ``(T, E, N, ...)``, and later ``(rows, N, ...)``."""

    observation: Array
    """As the model saw it, ``(..., O)``."""
    raw_action: Array
    """Before the bijector, ``(..., D)``."""
    raw_log_prob: Array
    """Of `raw_action` when it was drawn."""
    value: Array
    """V(s_t) when it was drawn, as the model answers it."""
    advantage: Array
    """Estimated."""
    target: Array
    """Of the value, as the model should answer it."""


def make_optimizer(learner: Learner) -> optax.GradientTransformation:
    """Return the optimizer, its schedule counted in optimizer updates."""
    config = learner.config
    total = learner.num_updates * config.num_epochs * config.num_minibatches
    rate: Any = {
        "constant": optax.constant_schedule(config.learning_rate),
        "linear": optax.linear_schedule(config.learning_rate, 0.0, total),
        "cosine": optax.cosine_decay_schedule(config.learning_rate, total),
    }[config.schedule]
    method = {"adam": partial(optax.adam, eps=1e-5), "muon": optax.contrib.muon}[config.optimizer]
    return optax.chain(optax.clip_by_global_norm(config.max_grad_norm), method(rate))


def init(learner: Learner, model_state: Any, key: Array) -> LearnerState:
    """Return the state at the beginning of a run.

    Parameters
    ----------
    learner : Learner
    model_state : nnx.State
        The model's, from `nnx.split`.
    key : Array
        Random key.
    """
    key_envs, key_run = jax.random.split(key)
    params, constants = nnx.split_state(model_state, nnx.Param, ...)
    return LearnerState(
        params=params,
        constants=constants,
        opt_state=make_optimizer(learner).init(params),
        normalizer=Normalizer.create(learner.environment.observation_size),
        return_normalizer=Normalizer.create(1),
        env_state=reset_batch(learner.environment, jax.random.split(key_envs, learner.config.num_envs)),
        key=key_run,
        num_updates=jnp.zeros((), jnp.int32),
        bad_term=jnp.zeros((), jnp.int32),
    )


def apply_model(learner: Learner, params: Any, constants: Any, observation: Array) -> tuple[Any, Array]:
    """Return the policy and the value, ``(...)``, of observations as the model sees them, ``(..., O)``."""
    distribution, value = nnx.merge(learner.graphdef, params, constants)(observation)
    return distribution, jnp.squeeze(value, -1)


def collect(learner: Learner, state: LearnerState) -> tuple[LearnerState, Batch, dict[str, Array]]:
    """Play T decisions, and return the batch that they make with the figures of the rollout."""
    environment, config = learner.environment, learner.config
    model = partial(apply_model, learner, state.params, state.constants)

    def see(observation: Array) -> Array:
        return state.normalizer(observation) if config.normalize_observation else observation

    def body(env_state: Any, key_step: Array) -> tuple[Any, tuple[Any, ...]]:
        key_action, key_reset = jax.random.split(key_step)
        observation = env_state.observation
        seen = see(observation)
        distribution, value = model(seen)
        raw_action, log_prob = sample_raw(distribution, key_action)
        env_state, timestep = play_step(environment, env_state, to_action(distribution, raw_action), key_reset)
        done = timestep.terminated | timestep.truncated
        # The value beyond a time limit, looked at only in a step in which an episode ends.
        beyond = (state.params, state.constants, see(timestep.observation))
        cut = when_any(done, lambda *seen: apply_model(learner, *seen)[1], jnp.zeros_like(value), *beyond)
        # What is not normalized is seen as it is, and kept once.
        raw = observation if config.normalize_observation else None
        record = (raw, seen, raw_action, log_prob, value, timestep.reward, cut)
        return env_state, (*record, timestep.terminated, done, timestep.info)

    key, key_steps = jax.random.split(state.key)
    with jax.named_scope("rollout"):
        env_state, record = jax.lax.scan(body, state.env_state, jax.random.split(key_steps, config.num_steps))
    observation, seen, raw_action, log_prob, value, reward, cut, terminated, done, info = record
    with jax.named_scope("advantages"):
        _, last_value = model(see(env_state.observation))
        following = jnp.concatenate([value[1:], last_value[None]])
        next_value = jnp.where(done[..., None], cut, following)
        returns = state.return_normalizer
        advantage, target = compute_gae(
            reward,
            returns.inverse(value),
            returns.inverse(next_value),
            terminated[..., None],
            done[..., None],
            config.gamma,
            config.gae_lambda,
        )
    bad_term = _first_bad(
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
    state = replace(
        state, env_state=env_state, key=key, normalizer=normalizer, return_normalizer=returns, bad_term=bad_term
    )
    figures = {"reward": jnp.mean(reward)}
    for name, figure in info.items():
        if name == "overflow":
            figures[name] = jnp.max(figure)
            continue
        figures[name] = jnp.mean(figure)
        # At the end of episodes; not a number in a rollout in which none ended.
        figures[f"final_{name}"] = jnp.sum(jnp.where(done, figure, 0.0)) / jnp.sum(done)
    return state, Batch(seen, raw_action, log_prob, value, advantage, target), figures


def loss(learner: Learner, params: Any, constants: Any, batch: Batch) -> tuple[Array, dict[str, Array]]:
    r"""Return the clipped surrogate loss and its terms.

    ``-mean(min(w A, clip(w, 1 - eps, 1 + eps) A)) + value_coef mean((V - target)**2) / 2 - entropy_coef mean(H)``,
    ``w = exp(log p(x) - log p_old(x))``, x the action before the bijector.

    Parameters
    ----------
    learner : Learner
    params, constants : nnx.State
    batch : Batch
        Leaves ``(..., N)``; advantages as they enter, already normalised if they are to be.

    Notes
    -----
    Schulman et al. 2017, eq. 7 and 9. With `clip_value` the value's square is the larger one of V and of V moved from
    V_old by at most that (Engstrom et al. 2020, section 2). `kl` is the estimate ``mean((w - 1) - log w)``.
    """
    config = learner.config
    distribution, value = apply_model(learner, params, constants, batch.observation)
    log_ratio = raw_log_prob(distribution, batch.raw_action) - batch.raw_log_prob
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
    if config.has_entropy_bonus:
        terms["entropy"] = jnp.mean(distribution.entropy())
        total = total - config.entropy_coef * terms["entropy"]
    return total, {
        **terms,
        "policy_loss": policy_loss,
        "value_loss": value_loss,
        "kl": jnp.mean((ratio - 1) - log_ratio),
        "clip_fraction": jnp.mean(jnp.abs(ratio - 1) > config.clip_eps),
    }


def differentiate(learner: Learner, params: Any, constants: Any, batch: Batch) -> tuple[Any, dict[str, Array]]:
    """Return the gradient of the loss over a minibatch, and the loss's terms.

    Parameters
    ----------
    learner : Learner
    params, constants : nnx.State
    batch : Batch
        Leaves ``(rows, N, ...)``.

    Notes
    -----
    The loss is a mean over samples once advantages have been normalised: it is taken in chunks and summed, so that the
    memory of a minibatch has a bound, however many particles there are. The speed on two CPU cores is the same.
    """
    if learner.config.normalize_advantage:
        batch = replace(batch, advantage=normalized(batch.advantage))
    num_rows, per_row = batch.advantage.shape[0], batch.advantage[0].size
    divisors = (number for number in range(1, num_rows + 1) if num_rows % number == 0)
    num_chunks = next(number for number in divisors if number == num_rows or num_rows // number * per_row <= CHUNK)
    chunks = jax.tree.map(lambda leaf: leaf.reshape(num_chunks, num_rows // num_chunks, *leaf.shape[1:]), batch)
    gradient_of = jax.grad(partial(loss, learner), has_aux=True)
    if num_chunks == 1:
        return gradient_of(params, constants, batch)
    shapes = jax.eval_shape(gradient_of, params, constants, jax.tree.map(lambda leaf: leaf[0], chunks))
    nothing = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)

    def add(total: Any, chunk: Batch) -> tuple[Any, None]:
        return jax.tree.map(jnp.add, total, gradient_of(params, constants, chunk)), None

    total, _ = jax.lax.scan(add, nothing, chunks)
    mean: tuple[Any, dict[str, Array]] = jax.tree.map(lambda leaf: leaf / num_chunks, total)
    return mean


def normalized(advantage: Array) -> Array:
    """Return advantages with mean 0 and variance 1."""
    return (advantage - jnp.mean(advantage)) / (jnp.std(advantage) + 1e-8)


def learn(learner: Learner, state: LearnerState, batch: Batch) -> tuple[LearnerState, dict[str, Array]]:
    """Pass over a batch `num_epochs` times, in minibatches of moments: all particles of a moment stay together.

    With `target_kl` the passes end at the first minibatch whose policy has gone farther than that from the one that
    played; the metric `share_learnt` says how much of them came before.
    """
    config = learner.config
    optimizer = make_optimizer(learner)
    num_rows = config.num_steps * config.num_envs
    rows = jax.tree.map(lambda leaf: leaf.reshape(num_rows, *leaf.shape[2:]), batch)

    def minibatch_step(carry: tuple[LearnerState, Array], index: Array) -> tuple[Any, dict[str, Array]]:
        state, going = carry
        minibatch = jax.tree.map(lambda leaf: leaf[index], rows)
        gradient, terms = differentiate(learner, state.params, state.constants, minibatch)
        terms["grad_norm"] = optax.tree.norm(gradient)
        updates, opt_state = optimizer.update(gradient, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        watched = {name: terms[name] for name in TERMS if name in terms}
        bad_term = _first_bad(state.bad_term, **watched)
        if config.target_kl is not None:
            going &= terms["kl"] <= config.target_kl
            terms["share_learnt"] = going.astype(float)
        # From the first bad number on nothing is learnt, so that the last good parameters are what is kept.
        learnt = (bad_term == 0) & going
        keep = partial(jax.tree.map, lambda new, old: jnp.where(learnt, new, old))
        kept = replace(
            state,
            params=keep(params, state.params),
            opt_state=keep(opt_state, state.opt_state),
            bad_term=bad_term,
        )
        return (kept, going), terms

    def epoch(carry: tuple[LearnerState, Array], key_epoch: Array) -> tuple[Any, dict[str, Array]]:
        order = shuffled(key_epoch, num_rows).reshape(config.num_minibatches, -1)
        return jax.lax.scan(minibatch_step, carry, order)

    key, key_epochs = jax.random.split(state.key)
    before = state
    with jax.named_scope("update"):
        start = replace(state, key=key), jnp.ones((), bool)
        (state, _), terms = jax.lax.scan(epoch, start, jax.random.split(key_epochs, config.num_epochs))
        # Finite steps can add up to what is not: looked at once, for in every minibatch it took a tenth of the time.
        size = optax.tree.norm(state.params)
        sound = partial(jax.tree.map, lambda new, old: jnp.where(jnp.isfinite(size), new, old))
        state = replace(
            state,
            params=sound(state.params, before.params),
            opt_state=sound(state.opt_state, before.opt_state),
            bad_term=_first_bad(state.bad_term, parameters=size),
        )
    if config.target_kl is None:
        return state, jax.tree.map(jnp.mean, terms)
    # Of the minibatches that were learnt and the one that ended it; what would have come later is nobody's figure.
    learnt = terms["share_learnt"].ravel()
    looked_at = jnp.concatenate([jnp.ones(1), learnt[:-1]])
    metrics = {name: jnp.sum(term.ravel() * looked_at) / jnp.sum(looked_at) for name, term in terms.items()}
    return state, {**metrics, "share_learnt": jnp.mean(learnt)}


def update(learner: Learner, state: LearnerState) -> tuple[LearnerState, dict[str, Array]]:
    """Collect one rollout and learn from it.

    Returns
    -------
    state : LearnerState
    metrics : dict of Array, () each
        Means over the rollout and over the minibatches.
    """
    if state.varied:
        assert isinstance(learner.config, PPOConfig)
        learner = replace(learner, config=Varied(learner.config, state.varied))
    state, batch, figures = collect(learner, state)
    spread = jnp.var(batch.target)
    figures["explained_variance"] = 1 - jnp.var(batch.target - batch.value) / jnp.maximum(spread, 1e-12)
    if not learner.config.has_entropy_bonus:
        # Only to report: of the last decisions. In every minibatch it would cost a third of the whole update.
        distribution, _ = apply_model(learner, state.params, state.constants, batch.observation[-1])
        figures["entropy"] = jnp.mean(entropy_to_report(distribution))
    state, terms = learn(learner, state, batch)
    return replace(state, num_updates=state.num_updates + 1), {**figures, **terms}


@partial(jax.jit, static_argnames=("learner", "num_updates"))
def update_many(learner: Learner, state: LearnerState, num_updates: int) -> tuple[LearnerState, dict[str, Array]]:
    """Make `num_updates` updates in one compiled call; metrics are ``(num_updates,)`` each.

    The old state stays: if lists of neighbours turn out too short, a run goes back to it.
    """
    return jax.lax.scan(lambda carry, _: update(learner, carry), state, length=num_updates)


def _first_bad(bad_term: Array, **terms: Array) -> Array:
    """Return `bad_term` if it is set, else 1 + the index of the first of `terms` with a number that is not finite."""
    for name in TERMS:
        if name in terms:
            bad = ~jnp.all(jnp.isfinite(terms[name]))
            bad_term = jnp.where((bad_term == 0) & bad, 1 + TERMS.index(name), bad_term)
    return bad_term
