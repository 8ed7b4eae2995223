"""Scores of runs: how good their reports say that they are."""

import math
from collections.abc import Sequence

from jaxdem_ac.runs.run_dir import Metrics

SUCCESS = "eval_success"
"""A report's figure: the success of the policy's mode in an evaluation."""


def score_of(lines: list[Metrics]) -> tuple[bool, float]:
    """Return whether the last report's policy was evaluated, and its success or else reward; -inf without one."""
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


def best_line(lines: Sequence[Metrics]) -> Metrics | None:
    """Return the first of the reports with the best evaluated success; None without any."""
    evaluated = [line for line in lines if line.get(SUCCESS) is not None]
    return max(evaluated, key=lambda line: line[SUCCESS]) if evaluated else None


def has_risen(figures: Metrics, lines: Sequence[Metrics]) -> bool:
    """Return whether an evaluation is better than all in the reports before it."""
    best, success = best_line(lines), figures.get(SUCCESS)
    return success is not None and (best is None or success > best[SUCCESS])


def has_fallen(figures: Metrics, lines: Sequence[Metrics], at_end: bool) -> bool:
    """Return whether an evaluation has fallen from the best in the reports before it.

    On the way where the two intervals do not meet: the best of many is better by chance too, and a policy that is as
    good as it often lies below its interval. At the end of a run where it lies below that interval.
    """
    best, success = best_line(lines), figures.get(SUCCESS)
    if success is None or best is None:
        return False
    return bool((success if at_end else figures[f"{SUCCESS}_high"]) < best[f"{SUCCESS}_low"])
