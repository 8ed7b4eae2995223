"""Scores of runs: how good their reports say that they are."""

import math

from jaxdem_ac.runs.run_dir import FALLEN, Metrics

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


def is_evaluated(figures: Metrics) -> bool:
    """Return whether figures have the success of an evaluation whose numbers were finite."""
    return figures.get(SUCCESS) is not None


def has_risen(figures: Metrics, best: Metrics) -> bool:
    """Return whether an evaluation is better than the best before it, whose figures are empty if there is none."""
    return is_evaluated(figures) and (not is_evaluated(best) or bool(figures[SUCCESS] > best[SUCCESS]))


def has_fallen(figures: Metrics, best: Metrics, at_end: bool = False) -> bool:
    """Return whether an evaluation has fallen from the best before it, whose figures are empty if there is none.

    On the way where the two intervals do not meet: the best of many is better by chance too, and a policy that is as
    good as it often lies below its interval. At the end of a run where it lies below that interval. What could not be
    evaluated has fallen.
    """
    if not is_evaluated(best) or not is_evaluated(figures):
        return is_evaluated(best)
    return bool(figures[SUCCESS if at_end else f"{SUCCESS}_high"] < best[f"{SUCCESS}_low"])


def fallen_in_a_row(lines: list[Metrics]) -> int:
    """Return how many evaluations in a row had fallen by the last report with one."""
    return next((line[FALLEN] for line in reversed(lines) if FALLEN in line), 0)
