"""Training from configuration to policy, in memory or in a folder; one run, or many side by side."""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

import jax
import numpy as np

from jaxdem_ac._files import as_path, write_text
from jaxdem_ac.plugin.references import check_not_loading
from jaxdem_ac.runs import checkpoint, claim, distributed, loggers
from jaxdem_ac.runs.build import steps_per_update, with_training_defaults
from jaxdem_ac.runs.config import TrainConfig, run_path
from jaxdem_ac.runs.distributed import Devices
from jaxdem_ac.runs.init_from import with_source
from jaxdem_ac.runs.own_code import announce
from jaxdem_ac.runs.progress import Report as Report
from jaxdem_ac.runs.progress import showing
from jaxdem_ac.runs.run_batch import RunBatch, bad_terms, first_bad_number, summarise
from jaxdem_ac.runs.run_batch import TrainResult as TrainResult
from jaxdem_ac.runs.run_dir import CONFIG, Metrics, config_text, is_reached, read_config
from jaxdem_ac.runs.untrained import place

SECONDS_BETWEEN_CHECKPOINTS = 60.0


def train(
    config: TrainConfig,
    report: Report | Literal["live"] | None = "live",
    *,
    overwrite: bool = False,
    untrained: Report | None = None,
) -> TrainResult:
    """Train a policy.

    Parameters
    ----------
    config : TrainConfig
    report : callable or "live", optional
        Called with the metrics of every report, as they are written to metrics.jsonl; in the first of several
        processes. "live" shows them on one line, in a terminal and in a notebook, and nothing elsewhere; None shows
        nothing.
    overwrite : bool
        Whether a run that is in the folder already may be deleted.
    untrained : callable, optional
        Called once with the evaluation, by its mode, of the policy that the run begins with, before the first update
        is compiled. It is in no report. Without `eval_every` or with `init_from` there is none.

    Raises
    ------
    BlockingIOError, FileExistsError
        If another process trains in the folder; if it holds a run, or files of a run's names that are something else's.
    FileNotFoundError
        If there is no run at `config.init_from`.
    FloatingPointError
        If a number stops being finite; the message names the first. What was learnt before is kept in the folder.
    ImportError
        If `config.log` names a log whose package is not installed.
    OverflowError
        If the environment's lists of neighbours are too short, and it cannot lengthen them.
    ConnectionAbortedError
        If another process of the run is gone.
    KeyError, TypeError, ValueError
        If the configuration names or sets what is not there, or does not fit the policy that it begins from.
    """
    if not isinstance(config, TrainConfig):
        raise TypeError(f"train: config is a TrainConfig; got {type(config).__name__}. Build one.")
    _check_report(report)
    keep_at = None if untrained is None else place(config)
    config = with_training_defaults(with_source(config))
    loggers.check(config)
    run_dir = run_path(config)
    if run_dir is not None and not jax.distributed.is_initialized():
        # Before anything is built. Of several processes the first may be here already.
        claim.check(run_dir, overwrite, [".", *(config.members() if config.is_many else [])])
    # Whatever is wrong with the configuration shows here, before a folder is touched.
    runs = RunBatch(config, untrained is not None)
    if untrained is not None and (figures := runs.untrained(keep_at)) is not None:
        untrained(figures)
    runs.begin()
    with ExitStack() as stack:
        if run_dir is not None:
            texts = {name or ".": config_text(member) for name, member in runs.members.items()}
            claimed = claim.claimed(run_dir, overwrite, {**texts, ".": config_text(config)})
            distributed.in_first(partial(stack.enter_context, claimed))
            distributed.in_first(partial(announce, config))
        return _run(runs, report)


def _check_report(report: object) -> None:
    check_not_loading("train")
    if report is not None and report != "live" and not callable(report):
        got = repr(report) if isinstance(report, str) else type(report).__name__
        raise TypeError(f"train: report is a function of metrics, 'live' or None; got {got}. Pass print, say.")


def resume(
    run_dir: str | Path,
    report: Report | Literal["live"] | None = "live",
    *,
    devices: Devices | None = None,
    steps: int | None = None,
) -> TrainResult:
    """Go on with a run from its newest checkpoint to the end it was configured for, or to another one.

    On the same devices and version, the end is bit-equal to that of a run that was never stopped; with other `steps`
    and a constant schedule, to that of a run which had those from the beginning, unless it went back at its first end.
    The result has the reports from before too; a run that has ended is returned as it is.

    Parameters
    ----------
    run_dir : path
        The run's folder, wherever it lies now.
    report : callable or "live", optional
        As for :func:`train`.
    devices : int or "all", optional
        Over how many to spread the environments from now on; as configured if left out.
    steps : int, optional
        New length of the whole run in agent-steps, what has been trained included, which its config.json keeps; as
        configured if left out. A schedule of the learning rate that is not constant is from now on that of the new
        length, at the place where the run stands: a linear one that had come to 0 halfway goes on from half the rate.

    Raises
    ------
    BlockingIOError
        If another process trains it.
    FileNotFoundError
        If the folder holds no run, or no checkpoint.
    ValueError
        If the run is of another version, or its checkpoint does not fit its configuration; if more has been trained
        than `steps`, or the run was complete at `stop_at_success`.
    """
    _check_report(report)
    run_dir = as_path("resume", "run_dir", run_dir)
    with ExitStack() as stack:
        distributed.in_first(partial(stack.enter_context, claim.reopened(run_dir)))
        config = replace(read_config(run_dir), out=str(run_dir))
        if steps is not None:
            config = replace(config, steps=steps)
        if devices is not None:
            config = replace(config, devices=devices)
        loggers.check(config)
        runs = RunBatch(config)
        runs.load(run_dir)
        if steps is not None:
            _check_longer(runs, steps)
            distributed.in_first(partial(_keep_steps, run_dir, list(runs.members), steps))
        return _run(runs, report)


def _check_longer(runs: RunBatch, steps: int) -> None:
    """Raise ValueError unless a run may have a new length."""
    done = runs.num_updates * steps_per_update(runs.config, runs.environment)
    if is_reached(runs.config, runs.reports):
        came_to = runs.reports[-1]["eval_success"]
        raise ValueError(
            f"resume: a run that has reached its stop_at_success is complete; got steps={steps} for "
            f"{str(runs.run_dir)!r}, which came to {came_to:.3f}. Begin another run from it with init_from."
        )
    if steps < done:
        raise ValueError(
            f"resume: steps are those of the whole run, no fewer than it has made; got steps={steps}, and {done} are "
            "made. Raise it."
        )


def _keep_steps(run_dir: Path, names: Sequence[str], steps: int) -> None:
    """Write a new length into config.json of a run, and first into those of runs side by side."""
    for folder in dict.fromkeys([*(run_dir / name for name in names), run_dir]):
        write_text(folder / CONFIG, config_text(replace(read_config(folder), steps=steps)))


def _run(runs: RunBatch, report: Report | Literal["live"] | None) -> TrainResult:
    """Make the updates that are left; whatever stops them, what has been learnt is kept."""
    first, many = jax.process_index() == 0, runs.config.is_many
    with ExitStack() as stack:
        stack.enter_context(distributed.explaining(runs.run_dir))
        if runs.run_dir is not None:
            for name in runs.members:
                runs.writers[name] = stack.enter_context(checkpoint.Writer(runs.run_dir / name))
        signals = stack.enter_context(distributed.asked_to_end())
        members = runs.members if many else {}
        opened = loggers.opened(runs.config, runs.run_dir if first else None, members, runs.reports)
        log = stack.enter_context(opened)
        shown = stack.enter_context(showing(report if first else None, runs.config.algorithm))
        try:
            _loop(runs, shown, signals, log)
        except (KeyboardInterrupt, SystemExit):
            # Several processes save together, in the loop, or not at all.
            if jax.process_count() == 1:
                runs.save()
            raise
    return runs.result()


def _loop(runs: RunBatch, report: Report | None, signals: distributed.Signals, log: loggers.Logs) -> None:
    """Update, evaluate, report and save until the runs' end: of their steps, or at the success that is enough."""
    config, total = runs.config, runs.problem.num_updates
    chunk, per_update = runs.chunk, steps_per_update(config, runs.environment)
    start = time.monotonic() - (runs.reports[-1]["seconds"] if runs.reports else 0.0)
    done, reached = runs.num_updates, is_reached(config, runs.reports)
    while done < total and not reached:
        before, began = done, time.monotonic()
        done += chunk - done % chunk
        state, histories = runs.update(done - before)
        figures = [summarise(history) for history in histories]
        now, learner = time.monotonic(), (state, runs.learner[1])
        if config.eval_every and (done // chunk % config.eval_every == 0 or done == total):
            evaluated = [own | found for own, found in zip(figures, runs.evaluate(state), strict=True)]
            learner, figures = runs.settle(state, evaluated, done == total)
        about: Metrics = {
            "update": done,
            "steps": done * per_update,
            "total_steps": total * per_update,
            "seconds": round(now - start, 3),
        }
        metrics = runs.report(about, figures, (done - before) * per_update / (now - began), learner[0])
        reached = distributed.by_first(is_reached(config, runs.reports))
        runs.write_reports(log)
        # An interruption until here leaves the state of the report before: this one is made again.
        runs.learner = learner
        # A run whose numbers stop being finite stays as it was before; the others go on.
        bad = bad_terms(runs.state)
        ended = bool(np.all(bad))
        due, asked = signals.agree(now - runs.last_save > SECONDS_BETWEEN_CHECKPOINTS)
        if ended or due or asked or done == total or reached or runs.has_improved:
            runs.save()
        if ended:
            terms = ", ".join(sorted({runs.algorithm.terms[number - 1] for number in bad}))
            raise FloatingPointError(first_bad_number(terms, before, done, runs.run_dir, config.section))
        if report is not None:
            report(metrics)
        if asked and done < total and not reached:
            distributed.leave(asked)
