"""One training from configuration to policy, in memory or in a folder."""

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import nnx

from jaxdem_ac import registry
from jaxdem_ac.environments.base import Environment, resized
from jaxdem_ac.trainers import checkpoint, ppo
from jaxdem_ac.trainers.config import TrainConfig, run_path
from jaxdem_ac.trainers.normalizer import Normalizer
from jaxdem_ac.trainers.policy import Policy

Metrics = dict[str, Any]
Report = Callable[[Metrics], None]

_SECONDS_BETWEEN_CHECKPOINTS = 60.0


@dataclass(frozen=True)
class TrainResult:
    """What a training leaves."""

    config: TrainConfig
    """As it ran, with the environment's training defaults filled in."""
    run_dir: Path | None
    """The run's folder; None for a run in memory."""
    policy: Policy
    """The last one."""
    environment: Environment
    """The task."""
    metrics: list[Metrics]
    """One report for every `report_every` updates."""


def resolve(config: TrainConfig) -> TrainConfig:
    """Return `config` with what the environment advises where its user has set nothing."""
    environment = registry.environments.get(config.env)
    space = registry.action_spaces.find(config.action_space).name
    advice = getattr(environment, "action_space_defaults", {}).get(space, {})
    return replace(
        config,
        env_kw={**getattr(environment, "training_defaults", {}), **config.env_kw},
        action_space_kw={**advice, **config.action_space_kw},
    )


def num_updates(config: TrainConfig, environment: Environment) -> int:
    """Return how many updates `steps` come to, rounded up to whole reports: each report is one compiled call."""
    per_update = config.ppo.num_envs * config.ppo.num_steps * environment.num_particles
    updates = -(-config.steps // per_update)
    if updates <= config.report_every:
        return updates
    return -(-updates // config.report_every) * config.report_every


def train(config: TrainConfig, report: Report | None = None, *, overwrite: bool = False) -> TrainResult:
    """Train a policy.

    Parameters
    ----------
    config : TrainConfig
    report : callable, optional
        Called with the metrics of every report, as they are written to metrics.jsonl.
    overwrite : bool
        Whether a run that is in the folder already may be deleted.

    Returns
    -------
    TrainResult

    Raises
    ------
    FileExistsError
        If the folder holds a run, or files of a run's names that are something else's.
    FloatingPointError
        If a number stops being finite; the message names the first. What was learnt before is kept in the folder.
    OverflowError
        If the environment's lists of neighbours are too short, and it cannot lengthen them.
    KeyError, TypeError, ValueError
        If the configuration names or sets what is not there.
    """
    if not isinstance(config, TrainConfig):
        raise TypeError(f"train: config is a TrainConfig; got {type(config).__name__}. Build one.")
    config = resolve(config)
    environment = checkpoint.build_environment(config)
    graphdef, model_state = nnx.split(checkpoint.build_model(config, environment))
    learner = ppo.Learner(environment, graphdef, config.ppo, num_updates(config, environment))
    state = ppo.init(learner, model_state, jax.random.key(config.seed))
    # Whatever is wrong with the configuration shows here, before a folder is touched.
    jax.eval_shape(partial(ppo.update, learner), state)
    run_dir = run_path(config)
    if run_dir is not None:
        text = checkpoint.config_text(config)
        _prepare(run_dir, overwrite)
        checkpoint.write_text(run_dir / checkpoint.CONFIG, text)
    keeper = _Keeper(learner, run_dir, state)
    try:
        metrics = _loop(config, keeper, report)
    except KeyboardInterrupt:
        keeper.save()
        raise
    return TrainResult(config, run_dir, policy_of(keeper.learner, keeper.state), keeper.learner.environment, metrics)


def policy_of(learner: ppo.Learner, state: ppo.LearnerState) -> Policy:
    """Return the policy of a learner's state."""
    normalizer: Normalizer | None = state.normalizer if learner.config.normalize_observation else None
    model_state = nnx.merge_state(state.params, state.constants)
    return Policy(learner.graphdef, model_state, normalizer, learner.environment.observation_size)


class _Keeper:
    """Holds the newest state, so that an interrupt loses nothing that has been learnt, and writes checkpoints."""

    def __init__(self, learner: ppo.Learner, run_dir: Path | None, state: ppo.LearnerState) -> None:
        self.learner = learner
        self.run_dir = run_dir
        self.state = state
        self.last_save = time.monotonic()

    def update(self, num_updates: int) -> dict[str, np.ndarray]:
        """Make updates and return their metrics; with longer lists of neighbours if they have been too short."""
        while True:
            state, history = ppo.update_many(self.learner, self.state, num_updates)
            history = jax.device_get(history)
            overflow = float(np.max(history.pop("overflow", 0)))
            # What is not a number any more is near nobody, or everybody.
            if overflow == 0 or int(state.bad_term):
                self.state = state
                return history
            environment = self.learner.environment.grown(overflow)
            self.learner = replace(self.learner, environment=environment)
            env_state = resized(environment, self.state.env_state, self.learner.config.num_envs)
            self.state = replace(self.state, env_state=env_state)

    def save(self) -> None:
        """Write a checkpoint, if the run has a folder."""
        if self.run_dir is not None:
            checkpoint.save_policy(self.run_dir, policy_of(self.learner, self.state), int(self.state.num_updates))
            self.last_save = time.monotonic()


def _loop(config: TrainConfig, keeper: _Keeper, report: Report | None) -> list[Metrics]:
    """Update, report and save until the run's end; return the reports."""
    learner, run_dir = keeper.learner, keeper.run_dir
    chunk = min(config.report_every, learner.num_updates)
    per_update = config.ppo.num_envs * config.ppo.num_steps * learner.environment.num_particles
    lines: list[Metrics] = []
    start = time.monotonic()
    for done in range(chunk, learner.num_updates + 1, chunk):
        began = time.monotonic()
        history = keeper.update(chunk)
        metrics = _summarise(history)
        now = time.monotonic()
        metrics = {
            "update": done,
            "steps": done * per_update,
            "total_steps": learner.num_updates * per_update,
            "seconds": round(now - start, 3),
            "agent_steps_per_second": round(chunk * per_update / (now - began), 1),
            **metrics,
        }
        lines.append(metrics)
        if run_dir is not None:
            _append(run_dir / checkpoint.METRICS, metrics)
        bad = int(keeper.state.bad_term)
        if bad or done == learner.num_updates or now - keeper.last_save > _SECONDS_BETWEEN_CHECKPOINTS:
            keeper.save()
        if bad:
            raise FloatingPointError(_first_bad_number(ppo.TERMS[bad - 1], done - chunk, done, run_dir))
        if report is not None:
            report(metrics)
    return lines


def _first_bad_number(term: str, before: int, after: int, run_dir: Path | None) -> str:
    kept = "" if run_dir is None else f" What was learnt before it is kept in {str(run_dir)!r}."
    return (
        f"train: every number is finite; got NaN or infinity first in {term!r}, between updates {before} and {after}."
        f"{kept} Lower ppo.learning_rate or ppo.max_grad_norm, or look at the environment if it is its observation or "
        "reward."
    )


def _summarise(history: dict[str, np.ndarray]) -> Metrics:
    """Return the means over the updates of one report as numbers, and None for what no update had."""
    summary: Metrics = {}
    for name, values in sorted(history.items()):
        values = np.asarray(values, np.float64)
        values = values[np.isfinite(values)]
        summary[name] = float(values.mean()) if values.size else None
    return summary


def _append(path: Path, metrics: Metrics) -> None:
    with path.open("a") as file:
        file.write(json.dumps(metrics) + "\n")


def _prepare(run_dir: Path, overwrite: bool) -> None:
    """Make the run's folder, and remove a run that may be overwritten; never anything else."""
    if run_dir.exists() and not run_dir.is_dir():
        raise FileExistsError(f"train: out is a folder; got out={str(run_dir)!r}, a file. Choose another --out.")
    held = [name for name in checkpoint.OWN_FILES if (run_dir / name).exists()]
    if held and not checkpoint.holds_run(run_dir):
        raise FileExistsError(
            f"train: out is a new folder; got out={str(run_dir)!r}, which holds {', '.join(held)} of something else. "
            "Choose another --out."
        )
    if held and not overwrite:
        raise FileExistsError(
            f"train: out is a new folder; got out={str(run_dir)!r}, which holds a run. "
            "Choose another --out, or pass --overwrite to delete that run."
        )
    for name in held:
        path = run_dir / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    run_dir.mkdir(parents=True, exist_ok=True)
