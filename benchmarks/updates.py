"""Agent-steps per second of PPO updates, rollout included."""

from typing import Any

import jax
from flax import nnx
from jax import Array

import jaxdem_ac as ac
from benchmarks.environments import side_of
from benchmarks.measure import Side, as_record, measure
from jaxdem_ac.trainers import ppo
from jaxdem_ac.trainers.config import PPOConfig

NUM_STEPS = 32
SIZES = ((16, 64), (64, 16), (1024, 1))


def ours(num_particles: int, num_envs: int) -> Side:
    """Return a side that makes one PPO update a call."""
    size = side_of(num_particles)
    environment = ac.make_environment(
        "swarm_navigator", num_particles=num_particles, min_box_size=size, max_box_size=size, box_padding=size
    )
    model = ac.make_model(
        "SharedActorCritic",
        observation_space_size=environment.observation_size,
        action_space_size=environment.action_size,
        key=nnx.Rngs(0),
        action_space="MaxNorm",
    )
    graphdef, model_state = nnx.split(model)
    config = PPOConfig(num_envs=num_envs, num_steps=NUM_STEPS, num_minibatches=4, num_epochs=1)
    learner = ppo.Learner(environment, graphdef, config, num_updates=1_000)
    held = [ppo.init(learner, model_state, jax.random.key(0))]

    def call(_: Array) -> Any:
        held[0], metrics = ppo.update_many(learner, held[0], 1)
        return metrics

    return Side(call, num_particles * num_envs * NUM_STEPS)


def run() -> list[dict[str, Any]]:
    """Return the rows."""
    rows = []
    for num_particles, num_envs in SIZES:
        sides = {"jaxdem-ac": ours(num_particles, num_envs)}
        rows += as_record(measure(sides), suite="PPO update", N=num_particles, E=num_envs)
    return rows
