"""Means over episodes, with intervals of confidence."""

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Estimate:
    """A mean over episodes and its interval of 95 % confidence."""

    mean: float
    """Mean over episodes."""
    low: float
    """Lower end of the interval."""
    high: float
    """Upper end of the interval."""

    def __str__(self) -> str:
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}]"


def student_t(degrees: int, confidence: float = 0.95) -> float:
    """Return the two-sided quantile of Student's t distribution."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, 0.5 + confidence / 2))


def estimate(samples: np.ndarray, low: float = -math.inf, high: float = math.inf) -> Estimate:
    """Return the mean of independent samples ``(n,)``, n >= 2, and Student's interval for it.

    All samples lie between `low` and `high` by their nature. Where all n are equal, they say no more than that another
    value is rarer than ``3 / n``, the rule of three: the interval is as wide as that share of the range.
    """
    samples = np.asarray(samples, np.float64)
    mean = float(samples.mean())
    spread = student_t(len(samples) - 1) * float(samples.std(ddof=1)) / math.sqrt(len(samples))
    # The mean of equal samples may be rounded, and their deviation not quite 0.
    if np.ptp(samples) == 0 and math.isfinite(high - low):
        spread = min(1.0, 3 / len(samples)) * (high - low)
    return Estimate(mean, max(low, mean - spread), min(high, mean + spread))
