"""Proximal policy optimisation in pure functions: collect, estimate, update.

Schulman et al., "Proximal Policy Optimization Algorithms", 2017. Parameters are shared by all particles; the particle
axis is kept throughout. Actions are stored before the bijector: the ratio of policies is exact however saturated an
action is, since the Jacobian cancels in it.
"""

from dataclasses import replace
from functools import partial
from types import MappingProxyType

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax import Array

from jaxdem_ac._types import PyTree
from jaxdem_ac.environments.base import Environment
from jaxdem_ac.environments.batching import reset_batch
from jaxdem_ac.models import recurrent
from jaxdem_ac.models.policy import entropy_to_report
from jaxdem_ac.models.structure import Model
from jaxdem_ac.trainers import base
from jaxdem_ac.trainers.base import Algorithm
from jaxdem_ac.trainers.base import Problem as Problem
from jaxdem_ac.trainers.permutation import shuffled
from jaxdem_ac.trainers.policy import Policy
from jaxdem_ac.trainers.ppo.collect import collect, normalize_observation
from jaxdem_ac.trainers.ppo.config import GRID_FIELDS, PPOConfig
from jaxdem_ac.trainers.ppo.loss import Batch, differentiate, flatten_batch
from jaxdem_ac.trainers.ppo.state import TERMS as TERMS
from jaxdem_ac.trainers.ppo.state import PPOProblem, apply_model, first_bad
from jaxdem_ac.trainers.ppo.state import PPOState as PPOState
from jaxdem_ac.trainers.running_statistics import Normalizer
from jaxdem_ac.trainers.schedule import is_place


def make_optimizer(problem: PPOProblem) -> optax.GradientTransformation:
    """Return the optimizer, its schedule counted in optimizer updates."""
    config = problem.config
    total = problem.num_updates * config.num_epochs * config.num_minibatches
    rate: optax.Schedule = {
        "constant": optax.constant_schedule(config.learning_rate),
        "linear": optax.linear_schedule(config.learning_rate, 0.0, total),
        "cosine": optax.cosine_decay_schedule(config.learning_rate, total),
    }[config.schedule]
    method = {"adam": partial(optax.adam, eps=1e-5), "muon": optax.contrib.muon}[config.optimizer]
    return optax.chain(optax.clip_by_global_norm(config.max_grad_norm), method(rate))


def init(problem: PPOProblem, model_state: PyTree, key: Array) -> PPOState:
    """Return the state at the beginning of a run, of the model's state, from `nnx.split`, and a random key.

    Raises ValueError if the model is recurrent, and its minibatches would not be of whole environments; if minibatches
    have one sample, whose advantage is normalised; if the model reads a species from normalised observations.
    """
    key_envs, key_run = jax.random.split(key)
    config, environment = problem.config, problem.environment
    if config.normalize_observation and getattr(nnx.merge(problem.graphdef, model_state), "by_feature", False):
        raise ValueError(
            "train: a species that is a number of the observation is not normalised; got "
            "ppo.normalize_observation=True. Leave it out, or give the model species=[0, 0, 1, 1], say."
        )
    samples = config.num_envs * config.num_steps * environment.num_particles
    if config.normalize_advantage and samples == config.num_minibatches:
        raise ValueError(
            "train: an advantage is normalised by others of its minibatch; got minibatches of one sample, "
            f"num_minibatches={config.num_minibatches} for {samples} in a rollout. Play more, or set "
            "ppo.normalize_advantage=false."
        )
    shape = config.num_envs, environment.num_particles, environment.observation_size
    rest, carry = recurrent.split_carry(problem.graphdef, model_state, *shape[1:])
    if jax.tree.leaves(carry) and config.num_envs % config.num_minibatches:
        raise ValueError(
            "train: minibatches of a recurrent model are whole environments: ppo.num_minibatches divides ppo.num_envs; "
            f"got num_minibatches={config.num_minibatches} for num_envs={config.num_envs}. Set either of them so."
        )
    params, constants = nnx.split_state(rest, nnx.Param, ...)
    return PPOState(
        params=params,
        constants=constants,
        opt_state=make_optimizer(problem).init(params),
        normalizer=Normalizer.create(environment.observation_size),
        return_normalizer=Normalizer.create(1),
        env_state=reset_batch(environment, jax.random.split(key_envs, config.num_envs)),
        carry=recurrent.initial_carry(problem.graphdef, (params, constants), carry, shape),
        key=key_run,
        num_updates=jnp.zeros((), jnp.int32),
        bad_term=jnp.zeros((), jnp.int32),
    )


def _counted(kept: PyTree, made: PyTree, sound: Array) -> PyTree:
    """Return an optimizer's state with the place in its schedule of another: minibatches that are skipped count too."""

    def choose(old: PyTree, new: PyTree) -> PyTree:
        return old._replace(count=jnp.where(sound, new.count, old.count)) if is_place(old) else old

    return jax.tree.map(choose, kept, made, is_leaf=is_place)


def learn(problem: PPOProblem, state: PPOState, batch: Batch) -> tuple[PPOState, dict[str, Array]]:
    """Return the state after `num_epochs` passes over a batch, in minibatches of its rows, and their metrics.

    With `target_kl` the passes end at the first minibatch whose policy has gone farther than that from the one that
    played; the metric `share_learnt` says how much of them came before.
    """
    config = problem.config
    optimizer = make_optimizer(problem)
    rows = flatten_batch(batch)
    num_rows = rows.advantage.shape[0]

    def minibatch_step(carry: tuple[PPOState, Array], index: Array) -> tuple[tuple[PPOState, Array], dict[str, Array]]:
        state, going = carry
        minibatch = jax.tree.map(lambda leaf: leaf[index], rows)
        gradient, terms = differentiate(problem, state.params, state.constants, minibatch)
        terms["grad_norm"] = optax.tree.norm(gradient)
        with jax.named_scope("optimizer"):
            updates, opt_state = optimizer.update(gradient, state.opt_state, state.params)
            params = optax.apply_updates(state.params, updates)
        watched = {name: terms[name] for name in TERMS if name in terms}
        bad_term = first_bad(state.bad_term, **watched)
        if config.target_kl is not None:
            going &= terms["kl"] <= config.target_kl
            terms["share_learnt"] = going.astype(float)
        # From the first bad number on nothing is learnt, so that the last good parameters are what is kept.
        learnt = (bad_term == 0) & going
        keep = partial(jax.tree.map, lambda new, old: jnp.where(learnt, new, old))
        kept = replace(
            state,
            params=keep(params, state.params),
            opt_state=_counted(keep(opt_state, state.opt_state), opt_state, bad_term == 0),
            bad_term=bad_term,
        )
        return (kept, going), terms

    def epoch(carry: tuple[PPOState, Array], key_epoch: Array) -> tuple[tuple[PPOState, Array], dict[str, Array]]:
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
            bad_term=first_bad(state.bad_term, parameters=size),
        )
    if config.target_kl is None:
        return state, jax.tree.map(jnp.mean, terms)
    # Of the minibatches that were learnt and the one that ended it; what would have come later is nobody's figure.
    learnt = terms["share_learnt"].ravel()
    looked_at = jnp.concatenate([jnp.ones(1), learnt[:-1]])
    metrics = {name: jnp.sum(term.ravel() * looked_at) / jnp.sum(looked_at) for name, term in terms.items()}
    return state, {**metrics, "share_learnt": jnp.mean(learnt)}


def update(problem: PPOProblem, state: PPOState) -> tuple[PPOState, dict[str, Array]]:
    """Return the state after one rollout and learning from it, and means over rollout and minibatches, ``()`` each."""
    state, batch, figures = collect(problem, state)
    if not problem.config.has_entropy_bonus:
        # Only to report: of the last decisions, or of the next ones with the memory for them. In every minibatch it
        # would cost a third of the whole update.
        last = (
            batch.observation[-1]
            if batch.carry is None
            else normalize_observation(problem, state, state.env_state.observation)
        )
        distribution, _ = apply_model(problem, state.params, state.constants, last, state.carry)
        figures["entropy"] = jnp.mean(entropy_to_report(distribution))
    state, terms = learn(problem, state, batch)
    return replace(state, num_updates=state.num_updates + 1), {**figures, **terms}


def policy(problem: PPOProblem, state: PPOState) -> Policy:
    """Return the policy of a state, with the normalizers that it was trained with."""
    config = problem.config
    normalizer: Normalizer | None = state.normalizer if config.normalize_observation else None
    returns = state.return_normalizer if config.normalize_return else None
    model_state = nnx.merge_state(state.params, state.constants)
    # Environments may lie on devices of other processes: of the carry only shapes are looked at.
    template = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape[2:], leaf.dtype), state.carry)
    return Policy(problem.graphdef, model_state, normalizer, problem.environment.observation_size, returns, template)


class PPO(Algorithm[PPOConfig, PPOState]):
    """Proximal policy optimisation (Schulman et al. 2017), with parameters shared by all particles."""

    config_class = PPOConfig
    terms = TERMS
    grid_fields = GRID_FIELDS
    columns = MappingProxyType({"kl": (".4f", ".3f"), "entropy": ("+.2f", "+.1f")})

    init, update, policy = staticmethod(init), staticmethod(update), staticmethod(policy)

    def initial_policy(self, config: PPOConfig, model: Model, environment: Environment) -> Policy:
        """Return the policy that a run starts from, with normalizers that have seen nothing."""
        normalizer = Normalizer.create(environment.observation_size) if config.normalize_observation else None
        returns = Normalizer.create(1) if config.normalize_return else None
        return Policy.of(model, environment, normalizer, returns)

    def with_normalizers(self, state: PPOState, policy: Policy) -> PPOState:
        """Return a state with the normalizers of a policy, as far as it has them."""
        normalizer, returns = policy.normalizer, policy.return_normalizer
        return replace(
            state,
            normalizer=state.normalizer if normalizer is None else normalizer,
            return_normalizer=state.return_normalizer if returns is None else returns,
        )

    def optimizer_updates(self, config: PPOConfig) -> int:
        """Return the number of epochs times that of minibatches."""
        return config.num_epochs * config.num_minibatches


def update_many(problem: PPOProblem, state: PPOState, num_updates: int) -> tuple[PPOState, dict[str, Array]]:
    """Make `num_updates` updates in one compiled call; metrics are ``(num_updates,)`` each."""
    return base.compiled_update()(PPO(), problem, {}, state, num_updates)
