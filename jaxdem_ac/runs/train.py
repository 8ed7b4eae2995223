"""One training from configuration to policy, in memory or in a folder."""

import math
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jaxdem_ac import registry
from jaxdem_ac._files import as_path
from jaxdem_ac.environments.base import Environment, play_with_room, resized, worst_overflow
from jaxdem_ac.environments.testing import check_shapes
from jaxdem_ac.models.structure import split_model
from jaxdem_ac.runs import checkpoint, claim, distributed, loggers
from jaxdem_ac.runs.config import TrainConfig, run_path
from jaxdem_ac.runs.devices import Devices, choose_devices, spread
from jaxdem_ac.runs.run_dir import (
    Metrics,
    append_line,
    config_text,
    lines_until,
    read_config,
    rewrite_lines,
)
from jaxdem_ac.trainers.policy import Policy
from jaxdem_ac.trainers.ppo import ppo
from jaxdem_ac.trainers.ppo.collect import ENDED
from jaxdem_ac.trainers.running_statistics import Normalizer

Report = Callable[[Metrics], None]

SECONDS_BETWEEN_CHECKPOINTS = 60.0


@dataclass(frozen=True)
class TrainResult:
    """The result of a training."""

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
    members: dict[str, "TrainResult"] = field(default_factory=dict)
    """Results of many runs, by name; then `policy` is that of the best, and figures are means over them, with
    their standard deviation as ``<figure>_spread``."""


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
    """Return how many updates `steps` come to, rounded up to whole reports: each report is one compiled call.

    Raises ValueError if a rollout or the run is longer than 32 bits count.
    """
    per_update = config.ppo.num_envs * config.ppo.num_steps * environment.num_particles
    updates = -(-config.steps // per_update)
    if updates > config.report_every:
        updates = -(-updates // config.report_every) * config.report_every
    optimizer_updates = updates * config.ppo.num_epochs * config.ppo.num_minibatches
    for what, number, advice in (
        ("agent-steps of a rollout", per_update, "Lower ppo.num_envs, ppo.num_steps or the number of particles"),
        ("updates of the optimizer", optimizer_updates, "Lower steps"),
    ):
        if number >= 2**31:
            raise ValueError(f"train: {what} are fewer than 2**31; got {number:,}. {advice}.")
    return updates


def train(config: TrainConfig, report: Report | None = None, *, overwrite: bool = False) -> TrainResult:
    """Train a policy.

    Parameters
    ----------
    config : TrainConfig
    report : callable, optional
        Called with the metrics of every report, as they are written to metrics.jsonl; in the first of several
        processes.
    overwrite : bool
        Whether a run that is in the folder already may be deleted.

    Returns
    -------
    TrainResult

    Raises
    ------
    BlockingIOError
        If another process trains in the folder.
    FileExistsError
        If the folder holds a run, or files of a run's names that are something else's.
    FloatingPointError
        If a number stops being finite; the message names the first. What was learnt before is kept in the folder.
    ImportError
        If `config.log` names a log whose package is not installed.
    OverflowError
        If the environment's lists of neighbours are too short, and it cannot lengthen them.
    ConnectionAbortedError
        If another process of the run is gone.
    KeyError, TypeError, ValueError
        If the configuration names or sets what is not there.
    """
    if not isinstance(config, TrainConfig):
        raise TypeError(f"train: config is a TrainConfig; got {type(config).__name__}. Build one.")
    _check_report(report)
    config = resolve(config)
    loggers.check(config)
    run_dir = run_path(config)
    if run_dir is not None and not jax.distributed.is_initialized():
        # Before anything is built. Of several processes the first may be here already.
        claim.check(run_dir, overwrite, [".", *(config.members() if config.is_many else [])])
    if config.is_many:
        from jaxdem_ac.runs import many

        return many.train(config, report, overwrite=overwrite)
    environment = checkpoint.build_environment(config)
    check_shapes(environment)
    graphdef, model_state = split_model(checkpoint.build_model(config, environment))
    learner = ppo.Learner(environment, graphdef, config.ppo, num_updates(config, environment))
    learner, state = begin(learner, lambda learner: ppo.init(learner, model_state, jax.random.key(config.seed)))
    # Whatever is wrong with the configuration shows here, before a folder is touched.
    devices = choose_devices(config.devices, config.ppo.num_envs)
    jax.eval_shape(partial(ppo.update, learner), state)
    distributed.check_alike(config, state)
    with ExitStack() as stack:
        if run_dir is not None:
            claimed = claim.claimed(run_dir, overwrite, {".": config_text(config)})
            distributed.in_first(partial(stack.enter_context, claimed))
        return _run(config, learner, _placed(state, devices), run_dir, [], report)


def begin(
    learner: ppo.Learner,
    init: Callable[[ppo.Learner], ppo.LearnerState],
    overflows: Callable[[Environment, Any], jax.Array] = worst_overflow,
) -> tuple[ppo.Learner, ppo.LearnerState]:
    """Return a learner whose lists of neighbours hold the episodes that it begins with, and its first state.

    Every growth of lists goes back to a state without overflow; this makes the first one.
    """

    def make(environment: Environment) -> tuple[ppo.Learner, ppo.LearnerState]:
        roomy = replace(learner, environment=environment)
        return roomy, init(roomy)

    def overflow(made: tuple[ppo.Learner, ppo.LearnerState]) -> float:
        return float(jnp.max(overflows(made[0].environment, made[1].env_state)))

    return play_with_room(learner.environment, make, overflow)[1]


def _check_report(report: Any) -> None:
    if report is not None and not callable(report):
        raise TypeError(f"train: report is a function of metrics; got {type(report).__name__}. Pass print, say.")


def _placed(state: ppo.LearnerState, devices: list[jax.Device]) -> ppo.LearnerState:
    return spread(state, devices) if len(devices) > 1 else state


def resume(run_dir: str | Path, report: Report | None = None, *, devices: Devices | None = None) -> TrainResult:
    """Go on with a run that was stopped, from its newest checkpoint to the end it was configured for.

    On the same devices and version, the end is bit-equal to that of a run that was never stopped.

    Parameters
    ----------
    run_dir : path
        The run's folder, wherever it lies now.
    report : callable, optional
        As for :func:`train`.
    devices : int or "all", optional
        Over how many to spread the environments from now on; as configured if left out.

    Returns
    -------
    TrainResult
        With the reports from before too. A run that has ended is returned as it is.

    Raises
    ------
    BlockingIOError
        If another process trains it.
    FileNotFoundError
        If the folder holds no run, or no checkpoint.
    ValueError
        If the run is of another version, or its checkpoint does not fit its configuration.
    """
    _check_report(report)
    run_dir = as_path("resume", "run_dir", run_dir)
    with ExitStack() as stack:
        distributed.in_first(partial(stack.enter_context, claim.reopened(run_dir)))
        return _resume(run_dir, report, devices)


def _resume(run_dir: Path, report: Report | None, devices: Devices | None) -> TrainResult:
    config = replace(read_config(run_dir), out=str(run_dir))
    if devices is not None:
        config = replace(config, devices=devices)
    loggers.check(config)
    if config.is_many:
        from jaxdem_ac.runs import many

        return many.resume(config, report)
    chosen = choose_devices(config.devices, config.ppo.num_envs)
    configured = checkpoint.build_environment(config)
    graphdef, model_state = split_model(checkpoint.build_model(config, configured))
    learner = ppo.Learner(configured, graphdef, config.ppo, num_updates(config, configured))

    def template(environment_kw: dict[str, Any]) -> Any:
        there = replace(learner, environment=with_fields(configured, environment_kw))
        return jax.eval_shape(partial(ppo.init, there), model_state, jax.random.key(config.seed))

    done, state, environment_kw = checkpoint.load_learner(run_dir, template)
    learner = replace(learner, environment=with_fields(configured, environment_kw))
    lines = lines_until(run_dir, done)
    distributed.check_alike(replace(config, out=None), state)
    distributed.in_first(partial(rewrite_lines, run_dir, lines))
    return _run(config, learner, _placed(state, chosen), run_dir, lines, report)


def with_fields(environment: Environment, fields: dict[str, Any]) -> Environment:
    """Return an environment with fields changed."""
    changed: Any = replace(environment, **fields) if fields else environment  # type: ignore[type-var]
    return changed


def _run(
    config: TrainConfig,
    learner: ppo.Learner,
    state: ppo.LearnerState,
    run_dir: Path | None,
    lines: list[Metrics],
    report: Report | None,
) -> TrainResult:
    """Make the updates that are left; whatever stops them, what has been learnt is kept."""
    with ExitStack() as stack:
        stack.enter_context(distributed.explaining(run_dir))
        writer = None if run_dir is None else stack.enter_context(checkpoint.Writer(run_dir))
        stack.enter_context(distributed.leaving_on_sigterm())
        signals = stack.enter_context(distributed.noting_signals())
        keeper = _Keeper(config, learner, state, run_dir, writer)
        first = jax.process_index() == 0
        log = stack.enter_context(loggers.opened(config, run_dir if first else None, {}, lines))
        try:
            _loop(config, keeper, lines, report if first else None, signals, log)
        except (KeyboardInterrupt, SystemExit):
            # Several processes save together, in the loop, or not at all.
            if jax.process_count() == 1:
                keeper.save(lines)
            raise
    policy = distributed.local(policy_of(keeper.learner, keeper.state))
    return TrainResult(config, run_dir, policy, keeper.learner.environment, lines)


def policy_of(learner: ppo.Learner, state: ppo.LearnerState) -> Policy:
    """Return the policy of a learner's state."""
    config = learner.config
    normalizer: Normalizer | None = state.normalizer if config.normalize_observation else None
    returns = state.return_normalizer if config.normalize_return else None
    model_state = nnx.merge_state(state.params, state.constants)
    # Environments may lie on devices of other processes: of the carry only shapes are looked at.
    blank = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape[2:], leaf.dtype), state.carry)
    return Policy(learner.graphdef, model_state, normalizer, learner.environment.observation_size, returns, blank)


class _Keeper:
    """Holds the newest state, so that an interrupt loses nothing that has been learnt, and writes checkpoints."""

    def __init__(
        self,
        config: TrainConfig,
        learner: ppo.Learner,
        state: ppo.LearnerState,
        run_dir: Path | None,
        writer: checkpoint.Writer | None,
    ) -> None:
        self.learner = learner
        self.state = state
        self.run_dir = run_dir
        self.last_save = time.monotonic()
        self._config = config
        self._writer = writer
        self._devices = choose_devices(config.devices, config.ppo.num_envs)

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
            self.state = _placed(replace(self.state, env_state=env_state), self._devices)

    def check_there(self) -> None:
        """Raise FileNotFoundError if the run's folder, if it has one, is gone."""
        if self._writer is not None:
            self._writer.check_there()

    def save(self, lines: list[Metrics]) -> None:
        """Write a checkpoint, if the run has a folder."""
        if self._writer is None:
            return
        changed = changed_fields(self._config, self.learner.environment)
        policy = policy_of(self.learner, self.state)
        self._writer.save(int(self.state.num_updates), policy, self.state, changed, score_of(lines))
        self.last_save = time.monotonic()


def _loop(
    config: TrainConfig,
    keeper: _Keeper,
    lines: list[Metrics],
    report: Report | None,
    signals: distributed.Signals,
    log: loggers.Logs,
) -> None:
    """Update, report and save until the run's end; add the reports to `lines`."""
    total, run_dir = keeper.learner.num_updates, keeper.run_dir
    chunk = min(config.report_every, total)
    per_update = config.ppo.num_envs * config.ppo.num_steps * keeper.learner.environment.num_particles
    start = time.monotonic() - (lines[-1]["seconds"] if lines else 0.0)
    for done in range(int(keeper.state.num_updates) + chunk, total + 1, chunk):
        began = time.monotonic()
        history = keeper.update(chunk)
        metrics = summarise(history)
        now = time.monotonic()
        metrics = {
            "update": done,
            "steps": done * per_update,
            "total_steps": total * per_update,
            "seconds": round(now - start, 3),
            "agent_steps_per_second": round(chunk * per_update / (now - began), 1),
            **metrics,
        }
        lines.append(metrics)
        keeper.check_there()
        if run_dir is not None and jax.process_index() == 0:
            append_line(run_dir, metrics)
        log.write(metrics)
        bad = int(keeper.state.bad_term)
        due, asked = signals.agree(now - keeper.last_save > SECONDS_BETWEEN_CHECKPOINTS)
        if bad or due or asked or done == total:
            keeper.save(lines)
        if bad:
            raise FloatingPointError(first_bad_number(ppo.TERMS[bad - 1], done - chunk, done, run_dir))
        if report is not None:
            report(metrics)
        if asked and done < total:
            distributed.leave(asked)


def first_bad_number(term: str, before: int, after: int, run_dir: Path | None) -> str:
    """Return what is said of a number that has stopped being finite."""
    kept = "" if run_dir is None else f" What was learnt before it is kept in {str(run_dir)!r}."
    return (
        f"train: every number is finite; got NaN or infinity first in {term!r}, between updates {before} and {after}."
        f"{kept} Lower ppo.learning_rate or ppo.max_grad_norm, or look at the environment if it is its observation or "
        "reward."
    )


def summarise(history: dict[str, np.ndarray]) -> Metrics:
    """Return the means over the updates of one report as numbers, and None for what no update had."""
    summary: Metrics = {}
    ended = np.asarray(history.get(ENDED, 1)) > 0
    for name, values in sorted(history.items()):
        if name == ENDED:
            continue
        values = np.asarray(values, np.float64)
        # Figures of ends are 0 in a rollout without one: not a number would stop a run under JAX_DEBUG_NANS.
        values = values[np.isfinite(values) & (ended | (not name.startswith("final_")))]
        summary[name] = float(values.mean()) if values.size else None
    return summary


def changed_fields(config: TrainConfig, environment: Environment) -> dict[str, Any]:
    """Return the fields of an environment that are not those that its configuration gives."""
    configured = checkpoint.build_environment(config)
    return {
        item.name: getattr(environment, item.name)
        for item in fields(configured)  # type: ignore[arg-type]
        if getattr(environment, item.name) != getattr(configured, item.name)
    }


def score_of(lines: list[Metrics]) -> float:
    """Return the success of the last report, the reward of a task that has no such figure, -inf without a report."""
    score = lines[-1].get("final_success", lines[-1]["reward"]) if lines else None
    return -math.inf if score is None else float(score)
