"""A run once more, on another engine: how far apart two runs of the same physics go."""

import math
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax import Array

from jaxdem_ac._checks import check_count, check_seed
from jaxdem_ac._files import as_path
from jaxdem_ac._types import PyTree
from jaxdem_ac.environments import make_environment
from jaxdem_ac.environments.base import Environment
from jaxdem_ac.environments.tasks.multi_navigator import MultiNavigator
from jaxdem_ac.environments.tasks.swarm_navigator import SwarmNavigator
from jaxdem_ac.runs.checkpoint import load_policy
from jaxdem_ac.runs.recording import Recording, record_run
from jaxdem_ac.trainers.evaluate import Evaluation, evaluate

# JaxDEM's environments of the same task, whose discs, material and time step are fixed.
_COUNTERPARTS: dict[type[Environment], str] = {
    SwarmNavigator: "jaxdem:SwarmNavigator",
    MultiNavigator: "jaxdem:MultiNavigator",
}
_FIXED = {"radius": 1.0, "mass": 1.0, "dt": 2e-3, "stiffness": 2e5, "observe_sizes": False}
_SHARED = (
    "num_particles", "min_box_size", "max_box_size", "box_padding", "max_steps", "friction", "ke_weight", "coop_weight",
    "near_goal_bonus", "lidar_range", "n_lidar_rays", "physics_steps",
)  # fmt: skip


@dataclass(frozen=True)
class Replay:
    """Outcomes of the same actions, and of the same policy, on two engines."""

    engine: str
    """The other one."""
    position: list[float]
    """The largest difference of a coordinate after each decision of the recording, length."""
    reward: list[float]
    """The largest difference of a reward in each decision."""
    evaluations: dict[str, Evaluation]
    """Success of whole episodes: here, on the other engine and, where JaxDEM has the task, in its own environment.
    Empty where there is no policy to play them."""

    def differences(self) -> dict[str, tuple[float, float, float]]:
        """Return by how much success is better on each other engine: mean, low and high, of 95 % confidence.

        The intervals are those of independent samples.
        """
        here = self.evaluations.get("embedded")
        if here is None or here.success is None:
            return {}
        found = {}
        for name, there in self.evaluations.items():
            if name == "embedded" or there.success is None:
                continue
            mean = there.success.mean - here.success.mean
            halves = [(each.high - each.low) / 2 for each in (here.success, there.success)]
            found[name] = (mean, mean - math.hypot(*halves), mean + math.hypot(*halves))
        return found


def replay(
    source: str | Path, engine: str = "jaxdem", *, decisions: int = 50, episodes: int = 64, seed: int = 1_000
) -> Replay:
    """Play a recording's actions, or a run's policy, on another engine, and compare.

    The actions start from the recorded first frame and are the recorded ones, whatever comes of them. Episodes are
    played by the policy from its own observations, on both engines from the same initial states.

    Parameters
    ----------
    source : path
        Of a recording, or of a run's folder, whose policy is recorded first.
    engine : str
        Which moves the particles the second time.
    decisions : int
        How many of a run to record, and of a recording to play, at most.
    episodes : int
        Whole ones for a run's policy, at least 2; none for 0.
    seed : int
        Of episodes, and of what is recorded.

    Raises
    ------
    FileNotFoundError, ImportError
        If there is no such run or recording, or the engine is not installed.
    ValueError
        If its environment can be played on one engine alone, or is not what it was when it was recorded.
    """
    source = as_path("replay", "source", source)
    check_count("replay", "decisions", decisions)
    check_seed("replay", seed)
    recording = record_run(source, seed=seed, decisions=decisions) if source.is_dir() else Recording.load(source)
    here: Any = recording.environment()
    if not hasattr(here, "engine"):
        raise ValueError(
            f"replay: tasks of this package play on several engines; got {recording.env!r}. Replay another run."
        )
    there = replace(here, engine=engine)
    position, reward = _apart(recording, here, there, decisions)
    evaluations: dict[str, Evaluation] = {}
    if source.is_dir() and episodes:
        policy, key = load_policy(source), jax.random.key(seed)
        sides: dict[str, Environment] = {"embedded": replace(here, engine="embedded"), engine: there}
        own = counterpart(here)
        if own is not None and engine == "jaxdem":
            sides["JaxDEM's environment"] = own
        evaluations = {name: evaluate(side, policy, key, episodes) for name, side in sides.items()}
    return Replay(engine, position, reward, evaluations)


def counterpart(environment: Environment) -> Environment | None:
    """Return JaxDEM's own environment of the same task, or None where it has none with these settings."""
    name = _COUNTERPARTS.get(type(environment))
    same = all(getattr(environment, field, None) == value for field, value in _FIXED.items())
    if name is None or not same:
        return None
    made: Environment = make_environment(name, **{field: getattr(environment, field) for field in _SHARED})
    return made


def _apart(
    recording: Recording, here: Environment, there: Environment, decisions: int
) -> tuple[list[float], list[float]]:
    """Return how far positions and rewards are from the recorded ones, at most, after each decision."""
    num = min(decisions, recording.num_decisions)
    start = here.reset(jax.random.split(jax.random.key(recording.seed))[0])
    if not np.allclose(start.particles.position, recording.particles.position[0], atol=1e-5):
        raise ValueError(
            f"replay: {recording.env} begins as it was recorded; got another first frame for seed={recording.seed}. "
            "It has changed since: record it again."
        )
    position, reward = _drive(there, start, recording.action[:num])
    frames = recording.particles.position[1 : num + 1]
    far = np.abs(np.asarray(position - frames)).max(axis=(1, 2))
    gained = np.abs(np.asarray(reward - recording.reward[:num])).max(axis=1)
    return far.tolist(), gained.tolist()


@partial(jax.jit, static_argnums=0)
def _drive(environment: Environment, state: PyTree, actions: Array) -> tuple[Array, Array]:
    def body(state: PyTree, action: Array) -> tuple[PyTree, tuple[Array, Array]]:
        state, timestep = environment.step(state, action)
        return state, (state.particles.position, timestep.reward)

    played: tuple[Array, Array] = jax.lax.scan(body, state, actions)[1]
    return played
