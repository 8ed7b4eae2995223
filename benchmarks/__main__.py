"""Measure agent-steps per second on this machine: ``python -m benchmarks``.

One agent-step is one decision of one particle. Every row is a compiled loop over fresh inputs, whose outputs are
reduced and waited for; compile time is measured apart. Rows repeat in turn, so that a machine that drifts moves them
all; the median and the quartiles are kept.
"""

import json
import platform
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

import jaxdem_ac as ac
from jaxdem_ac.environments.base import Environment, reset_batch
from jaxdem_ac.trainers import ppo
from jaxdem_ac.trainers.config import PPOConfig
from jaxdem_ac.trainers.rollout import play_step, random_action

REPEATS = 5
NUM_STEPS = 32
# Particles by environments: 1,024 agents each, the density of 16 particles in the default region.
SIZES = ((16, 64), (64, 16), (256, 4), (1024, 1))


def make_environment(num_particles: int) -> Environment:
    """Return a swarm navigator of the density of 16 particles in a region of side 20."""
    side = 20.0 * (num_particles / 16) ** 0.5
    return ac.make_environment(
        "swarm_navigator", num_particles=num_particles, min_box_size=side, max_box_size=side, physics_steps=1
    )


@partial(jax.jit, static_argnames=("environment", "num_envs"))
def play_randomly(environment: Environment, num_envs: int, state: Any, key: Array) -> tuple[Any, Array]:
    """Return states and a digest after NUM_STEPS random decisions."""

    def body(state: Any, key: Array) -> tuple[Any, Array]:
        key_action, key_reset = jax.random.split(key)
        action = random_action(key_action, environment, num_envs)
        state, timestep = play_step(environment, state, action, key_reset)
        return state, jnp.sum(timestep.observation) + jnp.sum(timestep.reward)

    state, digests = jax.lax.scan(body, state, jax.random.split(key, NUM_STEPS))
    return state, jnp.sum(digests)


def environment_row(num_particles: int, num_envs: int) -> Callable[[Array], Any]:
    """Return a call that plays random actions; it keeps the states that the last call left."""
    environment = make_environment(num_particles)
    held = [reset_batch(environment, jax.random.split(jax.random.key(0), num_envs))]

    def call(key: Array) -> Any:
        held[0], digest = play_randomly(environment, num_envs, held[0], key)
        return digest

    return call


def training_row(num_particles: int, num_envs: int) -> Callable[[Array], Any]:
    """Return a call that makes one PPO update, rollout included."""
    environment = make_environment(num_particles)
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

    def call(key: Array) -> Any:
        held[0], metrics = ppo.update_many(learner, held[0], 1)
        return metrics

    return call


def measure(calls: dict[str, Callable[[Array], Any]], work: dict[str, int]) -> list[dict[str, Any]]:
    """Return a row for every call: compile time, and the quartiles of work per second."""
    compile_seconds, rates = {}, {name: [] for name in calls}
    for name, call in calls.items():
        began = time.perf_counter()
        jax.block_until_ready(call(jax.random.key(1)))
        compile_seconds[name] = time.perf_counter() - began
    for repeat in range(REPEATS):
        for name, call in calls.items():
            key = jax.block_until_ready(jax.random.key(2 + repeat))
            began = time.perf_counter()
            jax.block_until_ready(call(key))
            rates[name].append(work[name] / (time.perf_counter() - began))
    rows = []
    for name, rate in rates.items():
        low, middle, high = statistics.quantiles(rate, n=4)
        row = {"name": name, "agent_steps_per_second": middle, "quartiles": [low, high]}
        rows.append({**row, "first_call_seconds": compile_seconds[name]})
    return rows


def main() -> None:
    """Measure, print a table, and write benchmarks/results/<device>.json."""
    calls, work = {}, {}
    for num_particles, num_envs in SIZES:
        for kind, make in (("environment", environment_row), ("PPO update", training_row)):
            name = f"{kind}, N = {num_particles}, E = {num_envs}"
            calls[name] = make(num_particles, num_envs)
            work[name] = num_particles * num_envs * NUM_STEPS
    rows = measure(calls, work)
    for row in rows:
        low, high = row["quartiles"]
        rate = row["agent_steps_per_second"]
        print(f"{row['name']:<36} {rate:>12,.0f} agent-steps/s  [{low:,.0f}, {high:,.0f}]  "
              f"first call {row['first_call_seconds']:.1f} s")  # fmt: skip
    device = jax.devices()[0]
    where = Path(__file__).parent / "results" / f"{device.device_kind.replace(' ', '-').lower()}.json"
    where.parent.mkdir(exist_ok=True)
    versions = {"python": platform.python_version(), "jax": jax.__version__, "jaxdem_ac": ac.__version__}
    record = {"device": device.device_kind, "processor": platform.processor() or platform.machine()}
    where.write_text(json.dumps({**record, "versions": versions, "rows": rows}, indent=2) + "\n")
    print(f"wrote {where}")


if __name__ == "__main__":
    main()
