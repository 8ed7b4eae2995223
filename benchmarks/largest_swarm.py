"""The largest swarm: the policy of a small one plays a million particles, from among the targets.

    jaxdem-ac train --config reference/swarm_navigator --num-seeds 1 --seed 0 --out runs/small
    python -m benchmarks.largest_swarm runs/small --num-particles 1000000 --out build/largest

The folder gets the figures as JSON, a picture, and, where JaxDEM can be imported, the first and the last frame as VTK
for ParaView. One episode is played, so that the interval of coverage is one over places: Student's, over the means of
8 by 8 equal parts of the box, whose swarms hardly know of each other.
"""

import argparse
import json
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

import jaxdem_ac as ac
from benchmarks.memory import peak_bytes
from jaxdem_ac._types import PyTree
from jaxdem_ac.environments.base import Environment
from jaxdem_ac.environments.capacity import pad_state
from jaxdem_ac.plugin.jaxdem import is_there
from jaxdem_ac.runs.build import build_environment, with_training_defaults
from jaxdem_ac.runs.recording import Recording
from jaxdem_ac.runs.run_dir import read_config
from jaxdem_ac.trainers.estimate import estimate
from jaxdem_ac.trainers.policy import Policy, actor
from jaxdem_ac.trainers.rollout import Decision, OnState, unroll

PARTS = 8
"""Parts of each side of the box, for the interval of coverage."""


@partial(jax.jit, static_argnames=("environment", "decisions"))
def play(environment: Environment, policy: Policy, state: PyTree, decisions: int) -> tuple[PyTree, Array, Array]:
    """Return a state some decisions later, by the mode, coverage after each ``(T,)``, and the largest overflow."""

    def without_chance(state: PyTree, carry: PyTree, _: Array | None) -> tuple[Array, PyTree, None]:
        return actor("largest_swarm", policy, environment)(state, carry, None)

    def record(decision: Decision) -> tuple[Array, Array]:
        return decision.timestep.info["success"], decision.timestep.info["overflow"]

    carry, keys = policy.initial_carry((environment.num_particles,)), jax.random.split(jax.random.key(0), decisions)
    (state, _), (success, overflow) = unroll(environment, OnState(without_chance), (state, carry), keys, record)
    return state, success, jnp.max(overflow)


def play_episode(
    environment: Environment, policy: Policy, key: Array, chunk: int
) -> tuple[Environment, list[PyTree], np.ndarray]:
    """Return the environment as its lists have become, the first and the last state, and coverage, ``(T,)``."""
    state = environment.reset(key)
    first, curve = state, []
    while len(curve) < environment.episode_length:
        count = min(chunk, environment.episode_length - len(curve))
        after, success, overflow = play(environment, policy, state, count)
        if float(overflow) > 0:
            environment = environment.with_capacity(float(overflow))
            state = jax.tree.map(
                lambda leaf: leaf[0], pad_state(environment, jax.tree.map(lambda leaf: leaf[None], state), 1)
            )
            continue
        state = after
        curve += np.asarray(success).tolist()
        print(f"{len(curve):,} of {environment.episode_length:,} decisions, coverage {curve[-1]:.4f}", flush=True)
    return environment, [first, state], np.asarray(curve)


def over_places(state: PyTree) -> tuple[np.ndarray, np.ndarray]:
    """Return the share of targets that are covered in each part of the box, ``(PARTS, PARTS)``, and their number."""
    targets, reached = np.asarray(state.targets), np.asarray(state.reached, float)
    low, high = np.asarray(state.box_low), np.asarray(state.box_high)
    place = np.clip((PARTS * (targets - low) / (high - low)).astype(int), 0, PARTS - 1)
    number, covered = np.zeros((2, PARTS, PARTS))
    np.add.at(number, tuple(place.T), 1)
    np.add.at(covered, tuple(place.T), reached)
    return covered / number, number


def draw(state: PyTree, curve: np.ndarray, decision_time: float, path: Path) -> None:
    """Draw all of the swarm, a piece of it as it is, and coverage against time."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.collections import EllipseCollection

    targets, reached = np.asarray(state.targets), np.asarray(state.reached, bool)
    position, radius = np.asarray(state.particles.position), np.asarray(state.particles.radius)
    figure, (whole, piece, time_axis) = plt.subplots(
        1, 3, figsize=(15, 5), layout="constrained", width_ratios=(1, 1, 0.9)
    )
    bins = np.linspace(state.box_low, state.box_high, 201).T
    missing = np.histogram2d(*targets[~reached].T, bins=bins)[0] / np.maximum(
        1, np.histogram2d(*targets.T, bins=bins)[0]
    )
    shown = whole.imshow(
        missing.T, origin="lower", extent=(*bins[0, [0, -1]], *bins[1, [0, -1]]), cmap="magma_r", vmin=0
    )
    figure.colorbar(shown, ax=whole, shrink=0.8, label="share of targets that are not covered")
    whole.set_title(f"{len(position):,} particles, all of the box")
    side = 40 * float(np.mean(radius))
    centre = np.asarray((state.box_low + state.box_high) / 2)
    near = np.all(np.abs(position - centre) < 1.1 * side, axis=-1)
    sizes = 2 * radius[near]
    discs = EllipseCollection(
        sizes, sizes, np.zeros(len(sizes)), units="x", offsets=position[near], offset_transform=piece.transData
    )
    discs.set(facecolor="#4477aa", alpha=0.7)
    piece.add_collection(discs)
    for name, which, color in (("covered", reached, "#228833"), ("not covered", ~reached, "#ee6677")):
        piece.plot(
            *targets[which & np.all(np.abs(targets - centre) < side, axis=-1)].T,
            "x",
            color=color,
            ms=5,
            label=f"target, {name}",
        )
    piece.set(xlim=centre[0] + [-side, side], ylim=centre[1] + [-side, side], aspect="equal", title="the middle of it")
    piece.legend(loc="upper right", fontsize=8)
    time_axis.plot(decision_time * np.arange(1, len(curve) + 1), curve)
    time_axis.set(xlabel="time", ylabel="coverage", ylim=(0, 1.01), title=f"coverage {curve[-1]:.4f} at the end")
    figure.savefig(path, dpi=110)


def two_frames(config: ac.TrainConfig, environment: Environment, states: list[PyTree], curve: np.ndarray) -> Recording:
    """Return the first and the last state as a recording of one long decision."""
    nothing = jnp.zeros((1, environment.num_particles))
    return Recording(
        env=config.env,
        env_kw={},
        seed=0,
        decision_time=environment.episode_length * environment.decision_time,
        particles=jax.tree.map(lambda *leaves: jnp.stack(leaves), *(state.particles for state in states)),
        world=environment.world(states[-1]),
        targets=jnp.stack([state.targets for state in states]),
        observation=states[0].observation[None],
        action=jnp.zeros((1, environment.num_particles, environment.action_size)),
        reward=nothing,
        value=nothing,
        success=jnp.asarray(curve[-1:]),
    )


def main() -> None:
    """Play, and write what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a run of swarm_navigator")
    parser.add_argument("--num-particles", type=int, default=1_000_000, metavar="N")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--chunk", type=int, default=10, metavar="DECISIONS", help="decisions of a compiled call")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    given = parser.parse_args()
    config = with_training_defaults(read_config(given.run))
    environment: Any = replace(build_environment(config), box_padding=0.0)  # type: ignore[type-var]
    environment = environment.with_num_particles(given.num_particles)
    policy = ac.load_policy(given.run, checkpoint="best")
    began = time.perf_counter()
    environment, states, curve = play_episode(environment, policy, jax.random.key(given.seed), given.chunk)
    seconds = time.perf_counter() - began
    shares, numbers = over_places(states[-1])
    interval = estimate(shares[numbers > 0], 0.0, 1.0)
    figures = {
        "num_particles": given.num_particles,
        "trained_at": config.env_kw.get("num_particles", 16),
        "decisions": len(curve),
        "coverage": float(curve[-1]),
        "over_places": [interval.mean, interval.low, interval.high],
        "seconds_with_compiling": round(seconds, 1),
        "agent_steps_per_second": round(given.num_particles * len(curve) / seconds),
        "peak_bytes": peak_bytes(),
        "machine": {"device": jax.devices()[0].device_kind, "jax": jax.__version__},
    }
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "largest_swarm.json").write_text(
        json.dumps({**figures, "curve": curve.tolist()}) + "\n", encoding="utf-8"
    )
    print(json.dumps(figures, indent=1))
    draw(states[-1], curve, environment.decision_time, given.out / "largest_swarm.png")
    if is_there():
        from jaxdem_ac.plugin.vtk import write_vtk

        print(write_vtk(two_frames(config, environment, states, curve), given.out / "vtk"))


if __name__ == "__main__":
    main()
