"""Agent-steps per second of swarm_navigator under random actions, against JaxDEM's environment of the same name.

Observation and reward are computed at every decision and reduced, so that none of them is optimised away. The region of
the targets and the ring around it grow with N: everywhere 64 particles to JaxDEM's default box, 40 by 40, where a
particle has 13 others in the range of its lidar.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

import jaxdem_ac as ac
from benchmarks.memory import peak_bytes
from benchmarks.rows import absent, compared, going_on
from jaxdem_ac.bench.measure import REPEATS, Side
from jaxdem_ac.environments.base import Environment
from jaxdem_ac.environments.batching import reset_batch, step_batch

# Particles, environments, physics steps of a decision.
SHORT = ((64, 16, 1), (1024, 1, 1))
CASES = (*SHORT, (64, 16, 10), (256, 4, 1), (4096, 1, 1))
LARGE = (1024, 16_384, 65_536)
# JaxDEM looks at all pairs: beyond this one decision takes seconds.
JAXDEM_UP_TO = 4096


def room(num_particles: int) -> dict[str, float]:
    """Return the keywords of a task's room: its region of the targets is as wide as the ring around it is in all."""
    return dict.fromkeys(("min_box_size", "max_box_size", "box_padding"), 20.0 * (num_particles / 64) ** 0.5)


def decisions(num_particles: int, num_envs: int, fast: bool) -> int:
    """Return how many one call takes: about half a second."""
    return max(4, min(256, (1_000_000 if fast else 40_000) // (num_particles * num_envs)))


@partial(jax.jit, static_argnums=(0, 1, 2))
def _play(environment: Environment, num_envs: int, num_steps: int, state: Any, key: Array) -> tuple[Any, Array]:
    def body(state: Any, key: Array) -> tuple[Any, Array]:
        action = jax.random.normal(key, (num_envs, environment.num_particles, 2))
        state, timestep = step_batch(environment, state, action)
        return state, jnp.sum(timestep.observation) + jnp.sum(timestep.reward)

    state, digests = jax.lax.scan(body, state, jax.random.split(key, num_steps))
    return state, jnp.sum(digests)


def ours(num_particles: int, num_envs: int, physics_steps: int) -> Side:
    """Return this package's side."""
    environment = ac.make_environment(
        "swarm_navigator", num_particles=num_particles, physics_steps=physics_steps, **room(num_particles)
    )
    num_steps = decisions(num_particles, num_envs, fast=True)
    start = jax.jit(reset_batch, static_argnums=0)(environment, jax.random.split(jax.random.key(0), num_envs))
    call = going_on(partial(_play, environment, num_envs, num_steps), start)
    return Side(call, num_envs * num_steps, num_particles, physics_steps)


def jaxdem(num_particles: int, num_envs: int, physics_steps: int) -> Side | None:
    """Return JaxDEM's side; None where it is not installed."""
    try:
        import jaxdem.rl as rl
    except ImportError:
        return None
    environment = rl.Environment.create("swarm_navigator", N=num_particles, **room(num_particles))
    environment = rl.vectorise_env(environment, n=num_envs)
    num_steps = decisions(num_particles, num_envs, fast=False)
    start = environment.reset(environment, jax.random.split(jax.random.key(0), num_envs))

    @jax.jit
    def play(environment: Any, key: Array) -> tuple[Any, Array]:
        def body(environment: Any, key: Array) -> tuple[Any, Array]:
            action = jax.random.normal(key, (num_envs, num_particles, 2))
            # What its trainer does with skip_frames.
            environment = jax.lax.fori_loop(0, physics_steps, lambda _, env: env.step(env, action), environment)
            return environment, jnp.sum(environment.observation(environment)) + jnp.sum(environment.reward(environment))

        environment, digests = jax.lax.scan(body, environment, jax.random.split(key, num_steps))
        return environment, jnp.sum(digests)

    return Side(going_on(play, start), num_envs * num_steps, num_particles, physics_steps)


def run(short: bool = False) -> list[dict[str, Any]]:
    """Return the rows: against JaxDEM where it is installed, and how flat the cost of a particle is.

    In short, ours alone is not measured: the suite of stages has it.
    """
    rows = []
    for num_particles, num_envs, physics_steps in SHORT if short else CASES:
        about = {"suite": "environments", "stage": "environment", "env": "swarm_navigator"}
        about |= {"N": num_particles, "E": num_envs}
        theirs = jaxdem(num_particles, num_envs, physics_steps) if num_particles <= JAXDEM_UP_TO else None
        if short and theirs is None:
            rows.append(absent("JaxDEM", **about))
            continue
        sides: dict[str, Side | None] = {"jaxdem-ac": ours(num_particles, num_envs, physics_steps)}
        if num_particles <= JAXDEM_UP_TO:
            sides["JaxDEM"] = theirs
        rows += compared(sides, REPEATS if num_envs > 1 else 3, **about)
    if short:
        return rows
    for number in LARGE[1:]:
        sides = {f"N = {each}": ours(each, 1, 1) for each in (number, LARGE[0])}
        rows += compared(sides, suite="one swarm", stage="environment", env="swarm_navigator", N=number, E=1)
    return rows


def largest(num_particles: int = 1_000_000) -> list[dict[str, Any]]:
    """Return what one swarm of a million takes; call it in a process of its own, whose peak memory is reported."""
    about = {"suite": "largest", "stage": "environment", "env": "swarm_navigator", "N": num_particles, "E": 1}
    rows = compared({"jaxdem-ac": ours(num_particles, 1, 1)}, repeats=3, **about)
    return [{**row, "process_bytes": peak_bytes()} for row in rows]
