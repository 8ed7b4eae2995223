"""Runs that are made together, one or many: their state, reports and checkpoints."""

import time
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from jaxdem_ac._types import PyTree
from jaxdem_ac.environments.base import Environment
from jaxdem_ac.environments.capacity import pad_state, retry_on_overflow, worst_overflow
from jaxdem_ac.environments.testing.conformance import check_shapes
from jaxdem_ac.models.structure import split_model
from jaxdem_ac.runs import checkpoint, distributed, loggers, rollback
from jaxdem_ac.runs.build import algorithm_of, build_environment, build_model, num_updates, steps_per_update
from jaxdem_ac.runs.checkpoint import Fields
from jaxdem_ac.runs.config import TrainConfig, run_path
from jaxdem_ac.runs.distributed import choose_devices, spread, spread_runs
from jaxdem_ac.runs.evaluation import Evaluator
from jaxdem_ac.runs.init_from import load_source, with_parameters
from jaxdem_ac.runs.run_dir import FALLEN, REJECTED, Metrics, append_line, lines_until, rewrite_lines
from jaxdem_ac.runs.scores import fallen_in_a_row, goodness, has_fallen, has_risen, is_best, is_evaluated, score_of
from jaxdem_ac.trainers.base import ENDED, Problem, check_update, compiled_update
from jaxdem_ac.trainers.policy import Policy

AnyProblem = Problem[Any]
"""The problem of an algorithm of whatever configuration."""

Learner = tuple[PyTree, PyTree]

# What runs once is not worth the optimisation: half of the time that a first state took was spent on it.
_ONCE = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}

# Over the episodes of one run: they say nothing of several.
_INTERVAL = ("eval_success_low", "eval_success_high")


@dataclass(frozen=True)
class TrainResult:
    """The result of a training."""

    config: TrainConfig
    """Configuration as it ran, with the environment's training defaults filled in."""
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


class RunBatch:
    """R runs that are made together, by name; a single one is named "" and has no axis of its own.

    With `untrained` the policies that they begin with will be evaluated, if the configuration says so: the programs for
    it are compiled while models are built.
    """

    def __init__(self, config: TrainConfig, untrained: bool = False) -> None:
        self.config = config
        self.members = config.members() if config.is_many else {"": config}
        self.run_dir = run_path(config)
        if config.is_many and jax.process_count() > 1:
            raise ValueError(
                f"train: runs side by side are made by one process; got {len(self.members)} runs in "
                f"{jax.process_count()}. Use one process, and devices='all' for all that it has."
            )
        self.algorithm = algorithm_of(config)
        self._update = compiled_update(self.algorithm.optimization_level)
        self._configured = build_environment(config)
        check_shapes(self._configured)
        seeds = [member.seed for member in self.members.values()]
        self._evaluator = Evaluator(config, self._configured, seeds) if config.eval_every else None
        self._shows_untrained = untrained and config.init_from is None and jax.process_count() == 1
        if self._shows_untrained and self._evaluator is not None:
            self._evaluator.compile_resets()
        models = [split_model(build_model(member, self._configured)) for member in self.members.values()]
        self._model_states = [state for _, state in models]
        self._source: Policy | None = None
        hyperparameters, length = config.hyperparameters, num_updates(config, self._configured)
        self.problem: AnyProblem = Problem(
            self._configured, models[0][0], hyperparameters, length, jax.default_backend()
        )
        varied = {name: [getattr(own.hyperparameters, name) for own in self.members.values()] for name in config.grid}
        self._numbers = {name: jnp.asarray(values, float) for name, values in varied.items()}
        shared = ("the number of runs", len(self.members))
        if not config.is_many:
            shared = (f"{config.section}.num_envs", hyperparameters.num_envs)
        self._devices = choose_devices(config.devices, shared[1], what=shared[0])
        self.learner: Learner = (None, None)
        """Training state, and with `rollback` that of the best evaluation, else None. Both change at once."""
        self._best_figures: list[Metrics] | None = None
        self.lines: dict[str, list[Metrics]] = {name: [] for name in self.members}
        """Reports of each run."""
        # A single run's reports are those of all.
        self.reports: list[Metrics] = [] if config.is_many else self.lines[""]
        """Reports of all runs together."""
        self.writers: dict[str, checkpoint.Writer] = {}
        self.last_save = time.monotonic()

    @property
    def state(self) -> PyTree:
        """Training state of the last report."""
        return self.learner[0]

    @property
    def chunk(self) -> int:
        """Updates of one report, made in one compiled call."""
        return min(self.config.report_every, self.problem.num_updates)

    @property
    def environment(self) -> Environment:
        """The task, with lists of neighbours as long as they have become."""
        return self.problem.environment

    def _folder(self, name: str) -> Path:
        assert self.run_dir is not None
        return self.run_dir / name

    # How runs begin.

    def _initial_state(self, problem: AnyProblem) -> PyTree:
        keys = [jax.random.key(member.seed) for member in self.members.values()]

        def init(model_state: PyTree, key: Array) -> PyTree:
            state = self.algorithm.init(problem, model_state, key)
            return state if self._source is None else self.algorithm.with_normalizers(state, self._source)

        once = partial(jax.jit, compiler_options=_ONCE if jax.default_backend() == "cpu" else None)
        if not self.config.is_many:
            return once(init)(self._model_states[0], keys[0])
        return once(jax.vmap(init))(_stacked(self._model_states), jnp.stack(keys))

    def untrained(self, keep_at: Path | None) -> Metrics | None:
        """Return the evaluation of the policies that runs begin with, before they do; programs are kept in a file.

        None without evaluations, in several processes, or where policies come from another run.
        """
        if self._evaluator is None or not self._shows_untrained:
            return None
        policies = [
            self.algorithm.initial_policy(
                own.hyperparameters, nnx.merge(self.problem.graphdef, state), self.environment
            )
            for own, state in zip(self.members.values(), self._model_states, strict=True)
        ]
        total = self.problem.num_updates * steps_per_update(self.config, self.environment)
        figures = self._evaluator.untrained(policies, keep_at, total)
        return {"steps": 0, "total_steps": total, **(together(figures) if self.config.is_many else figures[0])}

    def begin(self) -> None:
        """Make the first state, with no overflow in its lists of neighbours: every growth goes back to such a one."""
        if self.config.init_from is not None:
            self._source = source = load_source(self.config, self._configured)
            self._model_states = [with_parameters(self.config, state, source) for state in self._model_states]

        def make(environment: Environment) -> tuple[AnyProblem, PyTree]:
            problem = replace(self.problem, environment=environment)
            return problem, self._initial_state(problem)

        def overflow(made: tuple[AnyProblem, PyTree]) -> float:
            worst = partial(worst_overflow, made[0].environment)
            return float(jnp.max((jax.vmap(worst) if self.config.is_many else worst)(made[1].env_state)))

        self.problem, state = retry_on_overflow(self.environment, make, overflow)[1]
        # Traced as the first call will be, which finds it done.
        first_call = self.algorithm, self.problem, self._numbers, state, self.chunk, self.config.is_many
        check_update(self.algorithm, *self._update.eval_shape(*first_call))
        distributed.check_alike(self.config, state)
        state = self._placed(state)
        self.learner = state, state if self.config.rollback else None
        self._model_states.clear()
        self._source = None

    def load(self, run_dir: Path) -> None:
        """Read the newest state that all runs have, and their reports until then."""
        number = checkpoint.newest_of_all(run_dir, list(self.members)) if self.config.is_many else None
        states = []
        for name in self.members:
            done, state, changed = checkpoint.load_learner(self._folder(name), self._template, number)
            states.append(state)
        self.problem = replace(self.problem, environment=_with_fields(self._configured, changed))
        distributed.check_alike(replace(self.config, out=None), states[0])
        state, best = _stacked(states) if self.config.is_many else states[0]
        self.learner = self._placed(state), None if best is None else self._placed(best)
        self._model_states.clear()
        for folder, lines in {**self.lines, "": self.reports}.items():
            lines[:] = lines_until(self._folder(folder), done)
            distributed.in_first(partial(rewrite_lines, self._folder(folder), lines))

    def _template(self, changed: Fields) -> tuple[PyTree, PyTree]:
        """Return the shapes of one run's state, in an environment with fields changed, and of its best one, if kept."""
        problem = replace(self.problem, environment=_with_fields(self._configured, changed))
        state = jax.eval_shape(partial(self.algorithm.init, problem), self._model_states[0], jax.random.key(0))
        return state, state if self.config.rollback else None

    def _placed(self, state: PyTree) -> PyTree:
        if len(self._devices) == 1:
            return state
        return (spread_runs if self.config.is_many else spread)(state, self._devices)

    # How they go on.

    def update(self, number: int) -> tuple[PyTree, list[dict[str, np.ndarray]]]:
        """Return the state after updates, in longer lists if need be, and figures of each run, ``(number,)``."""
        while True:
            state, figures = self._update(
                self.algorithm, self.problem, self._numbers, self.state, number, self.config.is_many
            )
            figures = jax.device_get(figures)
            each = [figures]
            if self.config.is_many:
                each = [{name: values[run] for name, values in figures.items()} for run in range(len(self.members))]
            overflows = [float(np.max(own.pop("overflow", 0))) for own in each]
            # NaN positions make the neighbour count meaningless: the lists are not made longer for them.
            sound = bad_terms(state) == 0
            overflow = float(np.max(np.where(sound, overflows, 0.0)))
            if overflow == 0:
                return state, each
            environment = self.environment.with_capacity(overflow)
            self.problem = replace(self.problem, environment=environment)
            grow = partial(pad_state, environment, num_envs=self.problem.config.num_envs)
            grow = jax.vmap(grow) if self.config.is_many else grow
            state, best = (
                None if old is None else self._placed(replace(old, env_state=grow(old.env_state)))
                for old in self.learner
            )
            self.learner = state, best

    def evaluate(self, state: PyTree) -> list[Metrics]:
        """Return the figures of an evaluation of each run, in a state."""
        assert self._evaluator is not None
        policies = [self.algorithm.policy(self.problem, self._member(run, state)) for run in range(len(self.members))]
        return self._evaluator([distributed.local(policy) for policy in policies])

    def settle(self, state: PyTree, figures: list[Metrics], at_end: bool) -> tuple[Learner, list[Metrics]]:
        """Return the learner to go on with after an evaluation, or to end with, and the figures of its policies.

        With `rollback` a run whose evaluations have fallen goes back to its best one.
        """
        best = self.learner[1]
        if best is None:
            return (state, None), figures
        if self._best_figures is None:
            # Played again, and not read: the same figures, whatever has become of the reports.
            known = [bool(self.config.init_from) or any(map(is_evaluated, own)) for own in self.lines.values()]
            found = self.evaluate(best) if any(known) else [{} for _ in known]
            self._best_figures = [own if is_known else {} for own, is_known in zip(found, known, strict=True)]
        pairs = list(zip(figures, self._best_figures, strict=True))
        risen, fallen, at_last = (
            [distributed.by_first(has(*pair)) for pair in pairs]
            for has in (has_risen, has_fallen, partial(has_fallen, at_end=True))
        )
        before = map(fallen_in_a_row, self.lines.values())
        counts = [1 + count if fell else 0 for fell, count in zip(fallen, before, strict=True)]
        enough = [rollback.patience(self.config.rollback, own) for own in self.lines.values()]
        each = zip(counts, enough, at_last, strict=True)
        back = [count >= most or (at_end and low) for count, most, low in each]
        shape = (len(pairs),) if self.config.is_many else ()
        best = rollback.chosen(np.reshape(risen, shape), state, best)
        state = rollback.chosen(np.reshape(back, shape), rollback.gone_back(state, best), state)
        self._best_figures = [own if rose else old for (own, old), rose in zip(pairs, risen, strict=True)]
        figures = [
            rollback.rejected(own, old) if goes else {**own, REJECTED: None, FALLEN: count}
            for (own, old), goes, count in zip(pairs, back, counts, strict=True)
        ]
        return (state, best), figures

    @property
    def has_improved(self) -> bool:
        """Whether the last evaluation of a run was its best."""
        return any(map(is_best, self.lines.values()))

    @property
    def num_updates(self) -> int:
        """Updates made."""
        return int(np.ravel(self.state.num_updates)[0])

    def report(self, about: Metrics, figures: list[Metrics], rate: float, state: PyTree) -> Metrics:
        """Add a report of each run on the way to a state, and of all together, which is returned."""
        diverged = bad_terms(state) > 0
        for own, lines, bad in zip(figures, self.lines.values(), diverged, strict=True):
            ended: Metrics = {"diverged": 1} if bad else {}
            lines.append({**about, "agent_steps_per_second": round(rate, 1), **own, **ended})
        if self.config.is_many:
            counts = {"runs": len(diverged), "diverged": int(diverged.sum())}
            going = [own for own, bad in zip(figures, diverged, strict=True) if not bad]
            about = {**about, "agent_steps_per_second": round(len(diverged) * rate, 1), **counts}
            self.reports.append({**about, **together(going or figures)})
        return self.reports[-1]

    def write_reports(self, log: loggers.Logs) -> None:
        """Write the newest reports to the folders and the logs."""
        for writer in self.writers.values():
            writer.check_there()
        newest = {name: lines[-1] for name, lines in self.lines.items()} | {"": self.reports[-1]}
        for name, metrics in newest.items():
            if self.run_dir is not None and jax.process_index() == 0:
                append_line(self._folder(name), metrics)
            log.write(metrics, name)

    # What they leave.

    def _member(self, number: int, state: PyTree) -> PyTree:
        return jax.tree.map(lambda leaf: leaf[number], state) if self.config.is_many else state

    def save(self) -> None:
        """Write a checkpoint of every run, if they have folders: each can be loaded, and resumed, by itself."""
        done, now, before = self.num_updates, self.environment, self._configured
        names = [item.name for item in fields(before)]  # type: ignore[arg-type]
        changed = {name: getattr(now, name) for name in names if getattr(now, name) != getattr(before, name)}
        for number, (name, writer) in enumerate(self.writers.items()):
            state, best = self._member(number, self.learner)
            policy = self.algorithm.policy(self.problem, state)
            lines = self.lines[name]
            evaluated, score = score_of(lines)
            own = evaluated and lines[-1]["update"] == done
            writer.save(done, policy, (state, best), changed, score, own)
        self.last_save = time.monotonic()

    def result(self) -> TrainResult:
        """Return what the runs leave."""
        results = {}
        for number, (name, member) in enumerate(self.members.items()):
            policy = distributed.local(self.algorithm.policy(self.problem, self._member(number, self.state)))
            run_dir = None if self.run_dir is None else self._folder(name)
            results[name] = TrainResult(member, run_dir, policy, self.environment, self.lines[name])
        if not self.config.is_many:
            return results[""]
        alive = [name for name, bad in zip(results, bad_terms(self.state), strict=True) if not bad]
        best = max(alive, key=lambda name: goodness(self.lines[name]))
        return TrainResult(self.config, self.run_dir, results[best].policy, self.environment, self.reports, results)


def _stacked(trees: list[PyTree]) -> PyTree:
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def _with_fields(environment: Environment, changed: Fields) -> Environment:
    """Return an environment with fields changed."""
    made: Environment = replace(environment, **changed) if changed else environment  # type: ignore[type-var]
    return made


def bad_terms(state: PyTree) -> np.ndarray:
    """Return the first term that was not finite, for each run 1 + its index, or 0, ``(R,)``."""
    return np.atleast_1d(np.asarray(state.bad_term))


def first_bad_number(term: str, before: int, after: int, run_dir: Path | None, section: str) -> str:
    """Return the error about a number that has stopped being finite."""
    kept = "" if run_dir is None else f" What was learnt before it is kept in {str(run_dir)!r}."
    return (
        f"train: every number is finite; got NaN or infinity first in {term!r}, between updates {before} and {after}."
        f"{kept} Lower {section}.learning_rate or {section}.max_grad_norm, or look at the environment if it is its "
        "observation or reward."
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


def together(figures: list[Metrics]) -> Metrics:
    """Return the mean of every figure over the runs, and its standard deviation as ``<figure>_spread``."""
    found: Metrics = {}
    for name in figures[0]:
        if name in _INTERVAL:
            continue
        values = [own[name] for own in figures if own[name] is not None]
        found[name] = float(np.mean(values)) if values else None
        found[f"{name}_spread"] = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return found
