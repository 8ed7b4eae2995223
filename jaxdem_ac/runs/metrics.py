"""Figures of reports: means over updates, and over runs side by side."""

import math
from pathlib import Path

import numpy as np

from jaxdem_ac.runs.run_dir import Metrics
from jaxdem_ac.trainers.base import ENDED

_INTERVAL = ("eval_success_low", "eval_success_high")


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
            # Over the episodes of one run: it says nothing of several.
            continue
        values = [own[name] for own in figures if own[name] is not None]
        found[name] = float(np.mean(values)) if values else None
        found[f"{name}_spread"] = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return found


def score_of(lines: list[Metrics]) -> tuple[bool, float]:
    """Return whether the last report's policy was evaluated, and its score, -inf without a report.

    That is its success, in the evaluation if there was one, else in the training: of a task without such a figure its
    reward.
    """
    last = lines[-1] if lines else {}
    for evaluated, names in ((True, ("eval_success", "eval_reward")), (False, ("final_success", "reward"))):
        score = next((last[name] for name in names if name in last), None)
        if score is not None:
            return evaluated, float(score)
    return False, -math.inf


def is_best(lines: list[Metrics]) -> bool:
    """Return whether the last report's policy was evaluated, and better than all that were before."""
    last = score_of(lines)
    # The first question is asked at every report, of very many at times.
    return last[0] and all(last > score_of([line]) for line in lines[:-1])


def goodness(lines: list[Metrics]) -> tuple[tuple[bool, float], float]:
    """Return the score of a run, and its last reward for runs of one score."""
    reward = lines[-1]["reward"] if lines else None
    return score_of(lines), -math.inf if reward is None else reward
