"""PPO against public ones on public tasks: rejax's on gymnax's pendulum, brax's own on its inverted pendulum.

Speed is that of whole training, in steps of an environment per second. Learning is the mean return of whole episodes
under sampled actions, played by one function for all sides, against the samples learnt from. Where a side lacks a
setting of the other, or has it otherwise, benchmarks/README.md says so.
"""

import importlib
import importlib.metadata
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from benchmarks.public_sides import (
    BRAX_NETWORKS,
    SMALL_NETWORKS,
    Act,
    brax_run,
    our_act,
    our_learner,
    our_run,
    rejax_algorithm,
    rejax_run,
)
from benchmarks.public_tasks import BraxTask, GymnaxTask, PublicState
from benchmarks.rows import compared, going_on
from jaxdem_ac.bench.measure import Side
from jaxdem_ac.environments.batching import reset_batch, step_batch
from jaxdem_ac.trainers.evaluate import estimate, student_t
from jaxdem_ac.trainers.ppo import ppo
from jaxdem_ac.trainers.ppo.config import PPOConfig

# rejax 0.1.3 takes five values from a step, of which gymnax returns six from version 1 on.
INSTALL = 'pip install "gymnax<1" rejax brax'
SPEED = PPOConfig(
    num_envs=1024,
    num_steps=64,
    num_epochs=4,
    num_minibatches=16,
    learning_rate=3e-4,
    schedule="constant",
    clip_value=0.2,
    max_grad_norm=10.0,
)
UPDATES_PER_CALL = 4
# What rejax's authors recommend for the task: configs/gymnax/pendulum.yaml. `clip_value` is their `clip_eps`.
PENDULUM = PPOConfig(
    num_envs=100,
    num_steps=100,
    num_epochs=10,
    num_minibatches=10,
    learning_rate=1e-3,
    schedule="constant",
    gamma=0.995,
    gae_lambda=0.95,
    clip_eps=0.2,
    clip_value=0.2,
    value_coef=0.5,
    entropy_coef=0.0,
    max_grad_norm=10.0,
    normalize_observation=True,
)
PENDULUM_SEEDS, PENDULUM_EPISODES, PENDULUM_UPDATES, PENDULUM_EVERY = 5, 64, 60, 3
# What brax's notebook on training recommends for the task, but an eighth of its environments and of a
# minibatch, and a quarter of the minibatches: for a CPU.
BALANCE = PPOConfig(
    num_envs=256,
    num_steps=20,
    num_epochs=4,
    num_minibatches=8,
    learning_rate=3e-4,
    schedule="constant",
    gamma=0.97,
    gae_lambda=0.95,
    clip_eps=0.3,
    value_coef=0.5,
    entropy_coef=1e-2,
    # Brax clips no gradients.
    max_grad_norm=1e9,
    normalize_observation=True,
)
BALANCE_SEEDS, BALANCE_EPISODES, BALANCE_UPDATES, BALANCE_EVERY = 3, 16, 40, 5
BALANCE_UNROLL, BALANCE_SCALE = 5, 10.0


@partial(jax.jit, static_argnames=("task", "act", "episodes"))
def returns(task: Any, act: Act, learnt: Any, key: Array, episodes: int) -> Array:
    """Return the sum of rewards of whole episodes, ``(episodes,)``."""
    key_reset, key_play = jax.random.split(key)

    def body(carry: tuple[PublicState, Array, Array, Array]) -> tuple[Any, ...]:
        state, going, total, count = carry
        action = act(learnt, state.observation, jax.random.fold_in(key_play, count))
        state, timestep = step_batch(task, state, action)
        total = total + going * timestep.reward[:, 0]
        return state, going & ~(timestep.terminated | timestep.truncated), total, count + 1

    state = reset_batch(task, jax.random.split(key_reset, episodes))
    start = state, jnp.ones(episodes, bool), jnp.zeros(episodes), 0
    return jax.lax.while_loop(lambda carry: jnp.any(carry[1]), body, start)[2]


def curves(
    played: Any, sides: dict[str, tuple[Act, Any]], seeds: int, episodes: int, **about: Any
) -> list[dict[str, Any]]:
    """Train every side from every seed; return its mean returns, ``(seeds, evaluations)``, and what they come to."""
    rows = []
    for name, (act, run) in sides.items():
        found: list[list[float]] = []
        for seed in range(seeds):
            curve = [
                (each.samples, returns(played, act, each.learnt, jax.random.key(seed), episodes)) for each in run(seed)
            ]
            found.append([float(jnp.mean(values)) for _, values in curve])
        samples = [number for number, _ in curve]
        rows.append({**about, "name": name, "seeds": seeds, "episodes": episodes, "samples": samples, "returns": found})
    peer = np.asarray(rows[-1]["returns"])
    for row in rows:
        own = np.asarray(row["returns"])
        row["status"] = "ok"
        row["last"] = asdict(estimate(own[:, -1]))
        row["over_the_run"] = asdict(estimate(own[:, 1:].mean(1)))
        if row is not rows[-1]:
            row["ahead_last"] = ahead(own[:, -1], peer[:, -1])
            row["ahead_over_the_run"] = ahead(own[:, 1:].mean(1), peer[:, 1:].mean(1))
    return rows


def ahead(own: np.ndarray, peer: np.ndarray) -> dict[str, Any]:
    """Return the difference of two means over seeds with its interval of 95 %: no worse, unless it is below 0.

    Welch's interval with the fewest degrees of freedom that it can have, which is the widest.
    """
    difference = float(own.mean() - peer.mean())
    error = float(np.sqrt(own.var(ddof=1) / len(own) + peer.var(ddof=1) / len(peer)))
    half = student_t(min(len(own), len(peer)) - 1) * error
    return {
        "mean": difference,
        "low": difference - half,
        "high": difference + half,
        "no_worse": bool(difference + half >= 0),
    }


def our_speed(config: PPOConfig) -> Side:
    """Return our side of the comparison of speed."""
    learner, start = our_learner(GymnaxTask(), config, SMALL_NETWORKS)
    call = going_on(lambda state, _: ppo.update_many(learner, state, UPDATES_PER_CALL), start(0))
    return Side(call, UPDATES_PER_CALL * config.num_envs * config.num_steps)


def rejax_speed(config: PPOConfig) -> Side:
    """Return rejax's."""
    algorithm = rejax_algorithm(config, UPDATES_PER_CALL)
    start = jax.jit(algorithm.init_state)(jax.random.PRNGKey(0))
    train = jax.jit(lambda state: algorithm.train(train_state=state)[0])
    call = going_on(lambda state, _: (train(state),) * 2, start)
    return Side(call, UPDATES_PER_CALL * config.num_envs * config.num_steps)


def speed() -> list[dict[str, Any]]:
    """Return the rows of speed, with and without a running normalization of observations."""
    rows = []
    for normalize in (False, True):
        config = replace(SPEED, normalize_observation=normalize)
        sides = {"jaxdem-ac": our_speed(config), "rejax": rejax_speed(config)}
        about = {"suite": "public", "stage": "training", "task": "Pendulum-v1", "N": 1, "E": config.num_envs}
        rows += compared(sides, repeats=9, **about, settings=asdict(config), networks=SMALL_NETWORKS)
    return rows


def pendulum() -> list[dict[str, Any]]:
    """Return the rows of learning on gymnax's pendulum."""
    task, sides = GymnaxTask(), {}
    for name, config in (
        ("jaxdem-ac", PENDULUM),
        # Our default: how far a value moves is not limited.
        ("jaxdem-ac, no clip_value", replace(PENDULUM, clip_value=None)),
    ):
        learner, start = our_learner(task, config, SMALL_NETWORKS)
        sides[name] = (partial(our_act, learner), partial(our_run, learner, start, PENDULUM_UPDATES, PENDULUM_EVERY))
    sides["rejax"] = rejax_run(PENDULUM, PENDULUM_UPDATES, PENDULUM_EVERY)
    about = {"suite": "learning", "task": "Pendulum-v1", "settings": asdict(PENDULUM), "networks": SMALL_NETWORKS}
    return curves(task, sides, PENDULUM_SEEDS, PENDULUM_EPISODES, **about)


def balance() -> list[dict[str, Any]]:
    """Return the rows of learning on brax's inverted pendulum."""
    task, config = BraxTask(reward_scale=BALANCE_SCALE), BALANCE
    learner, start = our_learner(task, config, BRAX_NETWORKS)
    sides = {
        "jaxdem-ac": (partial(our_act, learner), partial(our_run, learner, start, BALANCE_UPDATES, BALANCE_EVERY)),
        "brax": brax_run(task, config, BALANCE_UNROLL, BALANCE_UPDATES, BALANCE_EVERY),
    }
    about = {"suite": "learning", "task": "inverted_pendulum", "settings": asdict(config), "networks": BRAX_NETWORKS}
    extra = {"backend": task.backend, "reward_scale": BALANCE_SCALE, "unroll_length_of_brax": BALANCE_UNROLL}
    return curves(replace(task, reward_scale=1.0), sides, BALANCE_SEEDS, BALANCE_EPISODES, **about, **extra)


def missing(peer: str) -> str | None:
    """Return what to install before a peer can be compared with; None if nothing."""
    try:
        importlib.import_module({"rejax": "rejax", "brax": "brax.envs"}[peer])
    except ImportError as error:
        return f"{peer} is needed: {INSTALL} ({error})."
    found = importlib.metadata.version("gymnax") if peer == "rejax" else "0"
    return None if found.startswith("0") else f"gymnax {found} is not one that rejax can use: {INSTALL}."


def run() -> list[dict[str, Any]]:
    """Return the rows; in place of those whose peer cannot be used, one that says what to install."""
    rows: list[dict[str, Any]] = []
    for part, peer in ((speed, "rejax"), (pendulum, "rejax"), (balance, "brax")):
        why = missing(peer)
        rows += (
            part()
            if why is None
            else [{"suite": "public", "name": part.__name__, "status": "not installed", "error": why}]
        )
    draw([row for row in rows if "returns" in row], Path(__file__).parent / "figures" / "public.png")
    return rows


def line(row: dict[str, Any]) -> str:
    """Return a row of learning as text."""
    last, mean = row["last"], row["over_the_run"]
    text = (
        f"{row['suite']:<12} {row['task']:<18} {row['name']:<24} {row['seeds']} seeds, {row['samples'][-1]:,} samples: "
        f"last {last['mean']:.1f} [{last['low']:.1f}, {last['high']:.1f}], "
        f"over the run {mean['mean']:.1f} [{mean['low']:.1f}, {mean['high']:.1f}]"
    )
    for name in ("ahead_last", "ahead_over_the_run"):
        if name in row:
            by = row[name]
            verdict = "no worse" if by["no_worse"] else "worse"
            text += f"; {name.replace('_', ' ')} {by['mean']:+.1f} [{by['low']:+.1f}, {by['high']:+.1f}]: {verdict}"
    return text


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Draw learning, where matplotlib is installed: means over seeds, their intervals of 95 %, and thin the seeds."""
    try:
        from jaxdem_ac.view.figures.style import BLUE, GREEN, ORANGE, new_figure, save_figure

        tasks = list(dict.fromkeys(row["task"] for row in rows))
        figure = new_figure(4.5 * max(1, len(tasks)), 3.4)
    except ImportError:
        return
    if not tasks:
        return
    path.parent.mkdir(exist_ok=True)
    for axis, task in zip(np.atleast_1d(figure.subplots(1, len(tasks))), tasks, strict=True):
        mine = [row for row in rows if row["task"] == task]
        colors, lowest, highest = (BLUE, GREEN)[: len(mine) - 1], np.inf, -np.inf
        for row, color in zip(mine, (*colors, ORANGE), strict=True):
            samples, found = np.asarray(row["samples"]) / 1e3, np.asarray(row["returns"])
            points = [estimate(values) for values in found.T]
            band = [[point.low for point in points], [point.high for point in points]]
            axis.plot(samples, [point.mean for point in points], color=color, linewidth=1.8, label=row["name"])
            axis.plot(samples, found.T, color=color, linewidth=0.5, alpha=0.6)
            axis.fill_between(samples, *band, color=color, alpha=0.15, linewidth=0)
            lowest, highest = min(lowest, found.min()), max(highest, found.max())
        # Intervals of few seeds are far wider than what a return can be.
        axis.set_ylim(lowest - 0.05 * (highest - lowest), highest + 0.05 * (highest - lowest))
        axis.set_xlabel("samples, thousands")
        axis.set_ylabel("return of an episode")
        axis.set_title(f"{task}, {mine[0]['seeds']} seeds", fontsize=10)
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
        axis.legend(fontsize=8, frameon=False, loc="lower right")
    save_figure(figure, path)
