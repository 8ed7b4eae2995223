"""One side that is another package, in a process of its own: ``python -m benchmarks.peer_process NAME N E``.

It says what it is in a line of JSON, and then answers every line with one: a seed with ``{}`` once a call has ended, an
empty line with the most memory that the process has held.
"""

import json
import math
import os
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

STEPS = 32
Call = Callable[[int], None]


def jaxmarl(num_particles: int, num_envs: int) -> tuple[Call, dict[str, Any]]:
    """Play MPE's simple_spread at random: N agents cover N landmarks."""
    import jax
    import jax.numpy as jnp
    from jaxmarl import make

    env = make("MPE_simple_spread_v3", num_agents=num_particles, num_landmarks=num_particles, action_type="Continuous")
    shapes = {agent: (num_envs, *env.action_space(agent).shape) for agent in env.agents}

    def body(state: Any, key: Any) -> Any:
        key_action, key_step = jax.random.split(key)
        keys = jax.random.split(key_action, num_particles)
        actions = {agent: jax.random.uniform(key, shapes[agent]) for agent, key in zip(env.agents, keys, strict=True)}
        stepped = jax.vmap(env.step)(jax.random.split(key_step, num_envs), state, actions)
        observation, state, reward = stepped[:3]
        return state, sum(jnp.sum(leaf) for leaf in jax.tree.leaves((observation, reward)))

    _, state = jax.vmap(env.reset)(jax.random.split(jax.random.key(0), num_envs))
    return _held(body, state), {
        "package": f"jaxmarl {version('jaxmarl')}",
        "task": "MPE_simple_spread_v3",
        "observation_size": 4 + 4 * (num_particles - 1) + 2 * num_particles,
        "differs": "no lidar and no walls: everybody observes everybody, O grows with N",
    }


def vmas(num_particles: int, num_envs: int) -> tuple[Call, dict[str, Any]]:
    """Play VMAS's navigation at random: each of N agents goes to a goal of its own, with a lidar of 12 rays."""
    import torch
    from vmas import make_env

    # Room as its four agents have it.
    side = (num_particles / 4) ** 0.5
    env = make_env(
        "navigation",
        num_envs=num_envs,
        device="cpu",
        continuous_actions=True,
        seed=0,
        n_agents=num_particles,
        world_spawning_x=side,
        world_spawning_y=side,
    )
    env.reset()

    def call(seed: int) -> None:
        torch.manual_seed(seed)
        total = torch.zeros(())
        for _ in range(steps):
            actions = [2 * torch.rand(num_envs, 2) - 1 for _ in range(num_particles)]
            observation, reward, _, _ = env.step(actions)
            total = total + sum(each.sum() for each in (*observation, *reward))
        assert torch.isfinite(total)

    steps = 1
    began = time.perf_counter()
    call(0)
    steps = max(1, min(STEPS, int(0.3 / (time.perf_counter() - began))))
    return call, {
        "package": f"vmas {version('vmas')}, torch {version('torch')}",
        "task": "navigation",
        "steps": steps,
        "observation_size": 18,
        "differs": "goals of their own as in multi_navigator, 12 rays for 24 sectors, torch in place of jax",
    }


def gymnax(num_particles: int, num_envs: int) -> tuple[Call, dict[str, Any]]:
    """Play the pendulum at random: one body."""
    import gymnax
    import jax
    import jax.numpy as jnp

    env, settings = gymnax.make("Pendulum-v1")

    def body(state: Any, key: Any) -> Any:
        key_action, key_step = jax.random.split(key)
        action = jax.random.uniform(key_action, (num_envs, 1), minval=-2.0, maxval=2.0)
        keys = jax.random.split(key_step, num_envs)
        stepped = jax.vmap(env.step, in_axes=(0, 0, 0, None))(keys, state, action, settings)
        return stepped[1], jnp.sum(stepped[0]) + jnp.sum(stepped[2])

    _, state = jax.vmap(env.reset, in_axes=(0, None))(jax.random.split(jax.random.key(0), num_envs), settings)
    return _held(body, state), {
        "package": f"gymnax {version('gymnax')}",
        "task": "Pendulum-v1",
        "observation_size": 3,
        "differs": "one angle and no contacts, lidar or walls",
    }


def brax(num_particles: int, num_envs: int) -> tuple[Call, dict[str, Any]]:
    """Play brax's inverted pendulum at random: a cart and a pole."""
    import jax
    import jax.numpy as jnp
    from brax import envs

    env = envs.create("inverted_pendulum", backend="positional", episode_length=1000, batch_size=num_envs)

    def body(state: Any, key: Any) -> Any:
        action = jax.random.uniform(key, (num_envs, env.action_size), minval=-1.0, maxval=1.0)
        state = env.step(state, action)
        return state, jnp.sum(state.obs) + jnp.sum(state.reward)

    state = jax.jit(env.reset)(jax.random.key(0))
    return _held(body, state), {
        "package": f"brax {version('brax')}",
        "task": "inverted_pendulum, positional",
        "observation_size": int(env.observation_size),
        "physics_steps": round(float(env.dt / env.sys.opt.timestep)),
        "differs": "two bodies and joints, no lidar or walls",
    }


def camar(num_particles: int, num_envs: int) -> tuple[Call, dict[str, Any]]:
    """Play CAMAR at random: each of N discs goes to a goal of its own (arXiv 2508.12845)."""
    import jax
    import jax.numpy as jnp
    from camar import camar_v0
    from camar.maps import random_grid

    # Room for each disc as its 32 have it by default, and no obstacles but the border, as ours.
    side = math.ceil((12.5 * num_particles) ** 0.5)
    env = camar_v0(
        random_grid(num_rows=side, num_cols=side, obstacle_density=0.0, num_agents=num_particles), frameskip=0
    )

    def body(state: Any, key: Any) -> Any:
        key_action, key_step = jax.random.split(key)
        action = jax.random.uniform(key_action, (num_envs, num_particles, env.action_size), minval=-1.0, maxval=1.0)
        observation, state, reward, _, _ = jax.vmap(env.step)(jax.random.split(key_step, num_envs), state, action)
        return state, jnp.sum(observation) + jnp.sum(reward)

    _, state = jax.vmap(env.reset)(jax.random.split(jax.random.key(0), num_envs))
    return _held(body, state), {
        "package": f"camar {version('camar')}",
        "task": f"random_grid, {side} x {side}, no obstacles",
        "observation_size": env.observation_size,
        "physics_steps": env.frameskip + 1,
        "differs": "goals of their own as in multi_navigator; no lidar: the 3 nearest in a window; walls of discs",
    }


PEERS = {"jaxmarl": jaxmarl, "vmas": vmas, "gymnax": gymnax, "brax": brax, "camar": camar}


def _held(body: Callable[[Any, Any], Any], state: Any) -> Call:
    """Return a call of many decisions that goes on from where the last one ended, and waits for all of it."""
    import jax

    play = jax.jit(lambda state, key: jax.lax.scan(body, state, jax.random.split(key, STEPS)))
    held = [state]

    def call(seed: int) -> None:
        held[0], digest = jax.block_until_ready(play(held[0], jax.random.key(seed)))
        assert bool(jax.numpy.isfinite(digest).all())

    return call


def main() -> None:
    """Answer lines until there are none."""
    from benchmarks.memory import peak_bytes

    # What a package prints, however it does, is not an answer.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    name, num_particles, num_envs = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    try:
        call, about = PEERS[name](num_particles, num_envs)
        print(json.dumps({"steps": STEPS, "physics_steps": 1, **about}), file=answers, flush=True)
        for line in sys.stdin:
            if line.strip():
                call(int(line))
            print(json.dumps({} if line.strip() else {"process_bytes": peak_bytes()}), file=answers, flush=True)
    except ImportError as error:
        print(json.dumps({"not_installed": str(error)}), file=answers, flush=True)
    except Exception as error:
        print(json.dumps({"failed": f"{type(error).__name__}: {error}"}), file=answers, flush=True)


if __name__ == "__main__":
    main()
