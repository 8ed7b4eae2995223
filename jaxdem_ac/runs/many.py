"""Many runs side by side, as one compiled program: seeds, and grids of hyperparameters."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdem_ac.environments.base import Environment, resized, worst_overflow
from jaxdem_ac.environments.testing import check_shapes
from jaxdem_ac.models.structure import split_model
from jaxdem_ac.runs import checkpoint, claim, distributed, loggers
from jaxdem_ac.runs import run_dir as folder
from jaxdem_ac.runs import train as run
from jaxdem_ac.runs.config import TrainConfig
from jaxdem_ac.runs.devices import choose_devices, spread_runs
from jaxdem_ac.runs.run_dir import Metrics
from jaxdem_ac.runs.train import Report, TrainResult
from jaxdem_ac.trainers.ppo import ppo


@partial(jax.jit, static_argnames=("learner", "num_updates"))
def update_side_by_side(
    learner: ppo.Learner, states: ppo.LearnerState, num_updates: int
) -> tuple[ppo.LearnerState, dict[str, jax.Array]]:
    """Make `num_updates` updates in each of R runs; leaves ``(R, ...)``, metrics ``(R, num_updates)`` each."""
    return jax.vmap(lambda state: ppo.update_many(learner, state, num_updates))(states)


def train(config: TrainConfig, report: Report | None, *, overwrite: bool) -> TrainResult:
    """Make the runs of a configuration of many; as :func:`jaxdem_ac.runs.train.train`, which checks and resolves it.

    A run whose numbers stop being finite stays as it was before and is counted as diverged; the others go on.

    Raises
    ------
    FloatingPointError
        If that befalls all of them.
    """
    runs = config.members()
    learner, states = run.begin(*_problem(config, runs), _worst_overflow)
    states = _placed(config, states)
    jax.eval_shape(partial(update_side_by_side, learner, num_updates=1), states)
    run_dir = None if config.out is None else Path(config.out)
    many = _Many(config, runs, learner, states, [], {name: [] for name in runs})
    if run_dir is None:
        return _run(config, many, report)
    texts = {name: folder.config_text(each) for name, each in runs.items()}
    with claim.claimed(run_dir, overwrite, {".": folder.config_text(config), **texts}):
        return _run(config, many, report)


def resume(config: TrainConfig, report: Report | None) -> TrainResult:
    """Go on with the runs of a folder, all from the newest checkpoint that all of them have."""
    assert config.out is not None
    run_dir, runs = Path(config.out), config.members()
    learner, init = _problem(config, runs)
    states = init(learner)
    common = set.intersection(*(set(checkpoint.saved(run_dir / name)) for name in runs))
    if not common:
        raise FileNotFoundError(
            f"resume: runs side by side go on from a checkpoint that all have; got none in {str(run_dir)!r}. "
            "Train them again."
        )
    done, loaded = max(common), []
    for number, name in enumerate(runs):
        like = _template(learner, replace(_member(states, number), varied={}))
        _, state, environment_kw = checkpoint.load_learner(run_dir / name, like, done)
        loaded.append(state)
    learner = replace(learner, environment=run.with_fields(learner.environment, environment_kw))
    states = replace(_stacked(loaded), varied=states.varied)
    lines = {name: folder.lines_until(run_dir / name, done) for name in runs}
    together = folder.lines_until(run_dir, done)
    folder.rewrite_lines(run_dir, together)
    for name, own in lines.items():
        folder.rewrite_lines(run_dir / name, own)
    return _run(config, _Many(config, runs, learner, _placed(config, states), together, lines), report)


def _template(learner: ppo.Learner, state: ppo.LearnerState) -> Callable[[dict[str, Any]], Any]:
    """Return the function from changed fields of the environment to the shapes of a run's state."""

    def template(environment_kw: dict[str, Any]) -> Any:
        environment = run.with_fields(learner.environment, environment_kw)
        grown = partial(resized, environment, num_envs=learner.config.num_envs)
        return replace(
            jax.eval_shape(lambda: replace(state, env_state=None)), env_state=jax.eval_shape(grown, state.env_state)
        )

    return template


def _worst_overflow(environment: Environment, state: Any) -> jax.Array:
    """Return the largest overflow of a batch of states for each run, ``(R,)``; leaves ``(R, E, ...)``."""
    return jax.vmap(partial(worst_overflow, environment))(state)


def _problem(
    config: TrainConfig, runs: dict[str, TrainConfig]
) -> tuple[ppo.Learner, Callable[[ppo.Learner], ppo.LearnerState]]:
    """Return what all runs share, and the function from that to their first states, leaves ``(R, ...)``."""
    if jax.process_count() > 1:
        raise ValueError(
            f"train: runs side by side are made by one process; got {len(runs)} runs in {jax.process_count()}. "
            "Leave out --distributed, and use --devices all for the devices of one."
        )
    environment = checkpoint.build_environment(config)
    check_shapes(environment)
    models = [split_model(checkpoint.build_model(each, environment)) for each in runs.values()]
    # Where a number also switches a term on, one run that has it is enough.
    switches: dict[str, Any] = {name: max(values) for name, values in config.grid.items()}
    shared = replace(config.ppo, **switches)
    learner = ppo.Learner(environment, models[0][0], shared, run.num_updates(config, environment))
    keys = jnp.stack([jax.random.key(each.seed) for each in runs.values()])
    varied = {name: jnp.asarray([getattr(each.ppo, name) for each in runs.values()], float) for name in config.grid}

    def init(learner: ppo.Learner) -> ppo.LearnerState:
        states = jax.jit(jax.vmap(partial(ppo.init, learner)))(_stacked([state for _, state in models]), keys)
        return replace(states, varied=varied)

    return learner, init


def _placed(config: TrainConfig, states: ppo.LearnerState) -> ppo.LearnerState:
    devices = choose_devices(config.devices, states.num_updates.shape[0], what="the number of runs")
    return spread_runs(states, devices) if len(devices) > 1 else states


def _stacked(trees: list[Any]) -> Any:
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def _member(states: Any, number: int) -> Any:
    return jax.tree.map(lambda leaf: leaf[number], states)


class _Many:
    """Holds the newest states of many runs, and writes their checkpoints."""

    def __init__(
        self,
        config: TrainConfig,
        runs: dict[str, TrainConfig],
        learner: ppo.Learner,
        states: ppo.LearnerState,
        together: list[Metrics],
        lines: dict[str, list[Metrics]],
    ) -> None:
        self.config, self.runs, self.learner, self.states = config, runs, learner, states
        self.together = together
        """Reports of all runs together."""
        self.lines = lines
        """Reports of each run."""
        self.writers: dict[str, checkpoint.Writer] = {}
        self.last_save = time.monotonic()

    @property
    def run_dir(self) -> Path | None:
        """The folder of all; None in memory."""
        return None if self.config.out is None else Path(self.config.out)

    @property
    def diverged(self) -> np.ndarray:
        """Which runs have met a number that is not finite, ``(R,)``."""
        return np.asarray(self.states.bad_term) > 0

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Keep the files of checkpoints open; leaving waits until all are on the disk."""
        with ExitStack() as stack:
            if self.run_dir is not None:
                for name in self.runs:
                    self.writers[name] = stack.enter_context(checkpoint.Writer(self.run_dir / name))
            yield

    def update(self, num_updates: int) -> dict[str, np.ndarray]:
        """Make updates and return their metrics, ``(R, num_updates)``; with longer lists if they were too short."""
        while True:
            states, history = update_side_by_side(self.learner, self.states, num_updates)
            history = jax.device_get(history)
            overflow = np.max(np.asarray(history.pop("overflow", np.zeros((len(self.runs), 1)))), axis=1)
            overflow = float(np.max(np.where(np.asarray(states.bad_term) > 0, 0.0, overflow)))
            if overflow == 0:
                self.states = states
                return history
            environment = self.learner.environment.grown(overflow)
            self.learner = replace(self.learner, environment=environment)
            grow = partial(resized, environment, num_envs=self.config.ppo.num_envs)
            self.states = _placed(self.config, replace(self.states, env_state=jax.vmap(grow)(self.states.env_state)))

    def save(self) -> None:
        """Write a checkpoint of every run, if they have folders: each can be loaded, and resumed, by itself."""
        done = int(self.states.num_updates[0])
        for number, (name, writer) in enumerate(self.writers.items()):
            state = _member(replace(self.states, varied={}), number)
            own = self.lines[name]
            writer.save(
                done,
                run.policy_of(self.learner, state),
                state,
                run.changed_fields(self.config, self.learner.environment),
                run.score_of(own),
            )
        self.last_save = time.monotonic()

    def result(self) -> TrainResult:
        """Return what the runs leave."""
        members, environment = {}, self.learner.environment
        for number, (name, config) in enumerate(self.runs.items()):
            policy = run.policy_of(self.learner, _member(self.states, number))
            run_dir = None if self.run_dir is None else self.run_dir / name
            members[name] = TrainResult(config, run_dir, policy, environment, self.lines[name])
        alive = [name for name, diverged in zip(members, self.diverged, strict=True) if not diverged]
        best = max(alive, key=lambda name: _goodness(self.lines[name]))
        return TrainResult(self.config, self.run_dir, members[best].policy, environment, self.together, members)


def _goodness(lines: list[Metrics]) -> tuple[float, float]:
    reward = lines[-1]["reward"]
    return run.score_of(lines), -math.inf if reward is None else reward


def _run(config: TrainConfig, many: _Many, report: Report | None) -> TrainResult:
    """Make the updates that are left; whatever stops them, what has been learnt is kept."""
    opened = loggers.opened(config, many.run_dir, many.runs, many.together)
    with many.writing(), distributed.leaving_on_sigterm(), opened as log:
        try:
            _loop(config, many, report, log)
        except (KeyboardInterrupt, SystemExit):
            many.save()
            raise
    return many.result()


def _loop(config: TrainConfig, many: _Many, report: Report | None, log: loggers.Logs) -> None:
    """Update, report and save until the runs' end."""
    total, num = many.learner.num_updates, len(many.runs)
    chunk = min(config.report_every, total)
    per_update = config.ppo.num_envs * config.ppo.num_steps * many.learner.environment.num_particles
    start = time.monotonic() - (many.together[-1]["seconds"] if many.together else 0.0)
    for done in range(int(many.states.num_updates[0]) + chunk, total + 1, chunk):
        began = time.monotonic()
        history = many.update(chunk)
        now = time.monotonic()
        about: Metrics = {
            "update": done,
            "steps": done * per_update,
            "total_steps": total * per_update,
            "seconds": round(now - start, 3),
        }
        rate = chunk * per_update / (now - began)
        figures = [run.summarise({name: each[number] for name, each in history.items()}) for number in range(num)]
        for name, own in zip(many.runs, figures, strict=True):
            many.lines[name].append({**about, "agent_steps_per_second": round(rate, 1), **own})
        counts = {"runs": num, "diverged": int(many.diverged.sum())}
        going = [own for own, diverged in zip(figures, many.diverged, strict=True) if not diverged]
        metrics = {**about, "agent_steps_per_second": round(num * rate, 1), **counts, **_together(going or figures)}
        many.together.append(metrics)
        if many.run_dir is not None:
            for name, writer in many.writers.items():
                writer.check_there()
                folder.append_line(many.run_dir / name, many.lines[name][-1])
            folder.append_line(many.run_dir, metrics)
        for name in many.runs:
            log.write(many.lines[name][-1], name)
        log.write(metrics)
        if not going or done == total or now - many.last_save > run.SECONDS_BETWEEN_CHECKPOINTS:
            many.save()
        if not going:
            terms = sorted({ppo.TERMS[bad - 1] for bad in np.asarray(many.states.bad_term)})
            raise FloatingPointError(run.first_bad_number(", ".join(terms), done - chunk, done, many.run_dir))
        if report is not None:
            report(metrics)


def _together(figures: list[Metrics]) -> Metrics:
    """Return the mean of every figure over the runs, and its standard deviation as ``<figure>_spread``."""
    found: Metrics = {}
    for name in figures[0]:
        values = [own[name] for own in figures if own[name] is not None]
        found[name] = float(np.mean(values)) if values else None
        found[f"{name}_spread"] = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return found
