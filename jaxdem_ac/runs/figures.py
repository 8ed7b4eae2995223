"""Figures of an evaluation, as a report has them."""

import numpy as np

from jaxdem_ac._messages import warn
from jaxdem_ac.runs.run_dir import Metrics
from jaxdem_ac.trainers.estimate import estimate


def figures_of(prefix: str, success: np.ndarray | None, reward: np.ndarray, all_ended: bool) -> Metrics:
    """Return the figures of one way to play, whose names begin with a prefix.

    Success at the end, None for a task without, and mean reward of E episodes are ``(E,)``. Where a number is not
    finite, or an episode has not ended, each figure is None, and there is a warning.
    """
    sound = all_ended and bool(np.isfinite(reward).all() and (success is None or np.isfinite(success).all()))
    if not sound:
        reason = "a number that is NaN or infinite" if all_ended else "an episode that does not end"
        warn(
            f"train: evaluations are whole episodes of finite numbers; got {reason}. The report has no figures of "
            "it, and training goes on. Give the environment a time limit, or look at its rewards.",
            level=4,
        )
    found: Metrics = {f"{prefix}_reward": float(reward.mean()) if sound else None}
    if success is not None:
        share = estimate(success, 0.0, 1.0) if sound else None
        found[f"{prefix}_success"] = share and share.mean
        if prefix == "eval":
            found |= {"eval_success_low": share and share.low, "eval_success_high": share and share.high}
    return found
