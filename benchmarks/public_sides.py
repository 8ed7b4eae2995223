"""The sides of the comparison on public tasks: each trains from a seed, and what it has learnt acts."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

import jaxdem_ac as ac
from benchmarks.public_tasks import BraxTask, brax_task
from jaxdem_ac.trainers.ppo import ppo
from jaxdem_ac.trainers.ppo.config import PPOConfig

# Two networks of rejax's default widths and activation.
SMALL_NETWORKS = {"actor_architecture": (64, 64), "critic_architecture": (64, 64), "activation": "swish"}
# Brax's default networks; the standard deviation is a head.
BRAX_NETWORKS = {
    "actor_architecture": (32,) * 4,
    "critic_architecture": (256,) * 5,
    "activation": "swish",
    "actor_sigma_head": True,
}

Act = Callable[[Any, Array, Array], Array]
"""From what a side has learnt, observations ``(E, 1, O)`` and a random key to actions ``(E, 1, D)``."""


@dataclass(frozen=True)
class Snapshot:
    """What a side has learnt after some samples."""

    samples: int
    learnt: Any


def our_learner(task: Any, config: PPOConfig, networks: dict[str, Any]) -> tuple[ppo.Problem, Callable[[int], Any]]:
    """Return our learner, and a function from a seed to its first state."""

    def model(seed: int) -> tuple[Any, Any]:
        low, high = task.action_bounds
        made = ac.make_model(
            "ActorCritic",
            observation_space_size=task.observation_size,
            action_space_size=task.action_size,
            key=nnx.Rngs(seed),
            action_space=ac.make_action_space("Box", x_min=low, x_max=high),
            **networks,
        )
        return nnx.split(made)

    learner = ppo.Problem(task, model(0)[0], config, num_updates=1_000_000, backend=jax.default_backend())
    return learner, lambda seed: ppo.init(learner, model(seed)[1], jax.random.key(seed))


def our_act(learner: ppo.Problem, learnt: ppo.PPOState, observation: Array, key: Array) -> Array:
    """Return actions of our policy."""
    seen = learnt.normalizer(observation) if learner.config.normalize_observation else observation
    distribution, _ = ppo.apply_model(learner, learnt.params, learnt.constants, seen)
    return distribution.sample(seed=key)


def our_run(learner: ppo.Problem, start: Any, updates: int, every: int, seed: int) -> Iterator[Snapshot]:
    """Train, and yield what has been learnt every few updates."""
    state, config = start(seed), learner.config
    yield Snapshot(0, state)
    for done in range(every, updates + 1, every):
        state, _ = ppo.update_many(learner, state, every)
        assert int(state.bad_term) == 0
        yield Snapshot(done * config.num_envs * config.num_steps, state)


def rejax_algorithm(config: PPOConfig, updates: int) -> Any:
    """Return rejax's PPO with the same settings, to train for some updates without an evaluation."""
    from rejax import PPO

    samples = updates * config.num_envs * config.num_steps
    algorithm = PPO.create(
        env="Pendulum-v1",
        agent_kwargs={"activation": "swish", "hidden_layer_sizes": (64, 64)},
        num_envs=config.num_envs,
        num_steps=config.num_steps,
        num_epochs=config.num_epochs,
        num_minibatches=config.num_minibatches,
        learning_rate=config.learning_rate,
        gamma=config.gamma,
        gae_lambda=config.gae_lambda,
        clip_eps=config.clip_eps,
        vf_coef=config.value_coef,
        ent_coef=config.entropy_coef,
        max_grad_norm=config.max_grad_norm,
        normalize_observations=config.normalize_observation,
        total_timesteps=samples,
        eval_freq=samples,
        skip_initial_evaluation=True,
    )
    return algorithm.replace(eval_callback=lambda *_: ())


def rejax_run(config: PPOConfig, updates: int, every: int) -> tuple[Act, Callable[[int], Iterator[Snapshot]]]:
    """Return how rejax's policy acts, and a function that trains it from a seed."""
    algorithm = rejax_algorithm(config, every)
    init = jax.jit(algorithm.init_state)
    train = jax.jit(lambda state: algorithm.train(train_state=state)[0])

    def act(learnt: Any, observation: Array, key: Array) -> Array:
        keys = jax.random.split(key, observation.shape[0])
        return jax.vmap(algorithm.make_act(learnt))(observation[:, 0], keys).reshape(-1, 1, 1)

    def run(seed: int) -> Iterator[Snapshot]:
        state = init(jax.random.PRNGKey(seed))
        yield Snapshot(0, state)
        for done in range(every, updates + 1, every):
            state = train(state)
            yield Snapshot(done * config.num_envs * config.num_steps, state)

    return act, run


def brax_run(task: BraxTask, config: PPOConfig, unroll: int, updates: int, every: int) -> tuple[Act, Any]:
    """Return how brax's policy acts, and a function that trains it from a seed."""
    # brax 0.14.2 calls it; jax 0.10 has it no more.
    if not hasattr(jax, "device_put_replicated"):
        jax.device_put_replicated = lambda tree, devices: jax.tree.map(lambda x: jnp.stack([x] * len(devices)), tree)
    from brax.training.agents.ppo.train import train

    makers: list[Any] = []

    def act(learnt: Any, observation: Array, key: Array) -> Array:
        return makers[0](learnt)(observation, key)[0]

    def run(seed: int) -> Iterator[Snapshot]:
        snapshots: list[Snapshot] = []

        def keep(samples: int, make_policy: Any, params: Any) -> None:
            makers.append(make_policy)
            snapshots.append(Snapshot(samples, jax.device_get(params)))

        samples = config.num_envs * config.num_steps
        train(
            brax_task(task.name, task.backend),
            num_timesteps=updates * samples,
            num_evals=updates // every + 1,
            run_evals=False,
            policy_params_fn=keep,
            episode_length=task.max_steps,
            seed=seed,
            max_devices_per_host=1,
            num_envs=config.num_envs,
            unroll_length=unroll,
            num_minibatches=config.num_minibatches,
            batch_size=samples // unroll // config.num_minibatches,
            num_updates_per_batch=config.num_epochs,
            learning_rate=config.learning_rate,
            discounting=config.gamma,
            gae_lambda=config.gae_lambda,
            clipping_epsilon=config.clip_eps,
            vf_loss_coefficient=config.value_coef,
            entropy_cost=config.entropy_coef,
            normalize_observations=config.normalize_observation,
            reward_scaling=task.reward_scale,
        )
        yield from snapshots

    return act, run
