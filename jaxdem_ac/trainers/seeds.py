"""Figures over seeds: means and interquartile means with intervals of confidence.

The interquartile mean and its interval are those of R. Agarwal, M. Schwarzer, P. S. Castro, A. Courville and M. G.
Bellemare, "Deep reinforcement learning at the edge of the statistical precipice", NeurIPS 2021, arXiv:2108.13264, and
of the library rliable with its defaults.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from jaxdem_ac.trainers.estimate import estimate
from jaxdem_ac.trainers.evaluate import Evaluation

FEWEST = 3
"""Number of seeds below which no interval over seeds is given."""

_NUM_RESAMPLES = 50_000
# Of numbers that are resampled at once.
_CHUNK = 2**22


@dataclass(frozen=True)
class SeedEstimate:
    """A figure over seeds and its interval of 95 % confidence."""

    value: float
    """The figure."""
    low: float | None
    """Lower end of the interval; None for fewer than three seeds, of which none is known."""
    high: float | None
    """Upper end of the interval, or None."""

    def __str__(self) -> str:
        interval = "" if self.low is None or self.high is None else f" [{self.low:.3f}, {self.high:.3f}]"
        return f"{self.value:.3f}{interval}"


@dataclass(frozen=True)
class OverSeeds:
    """Two summaries of one score for each seed."""

    mean: SeedEstimate
    """The mean, with Student's interval."""
    iqm: SeedEstimate
    """The interquartile mean, with its bootstrap interval."""


@dataclass(frozen=True)
class SeedsEvaluation:
    """Results of the policies of several seeds."""

    num_seeds: int
    """Number of seeds."""
    members: dict[str, Evaluation]
    """Evaluation of each seed, by the name of its run."""
    success: OverSeeds | None
    """Success over seeds, the score of each being its mean over episodes; None where the task has no such figure."""
    reward: OverSeeds
    """Mean reward of a particle and decision over seeds."""


def interquartile_mean(scores: np.ndarray) -> float:
    """Return the mean without the lowest and the highest quarter of scores, ``(R,)`` or ``(R, M)``: R seeds, M tasks.

    Of n scores, ``floor(n / 4)`` are left out at either end, as by ``scipy.stats.trim_mean(scores, 0.25, axis=None)``:
    of fewer than four scores none is, and it is their mean. Raises ValueError if there are no scores, or one is not
    finite.
    """
    return float(_iqm(_checked("interquartile_mean", scores)[None])[0])


def bootstrap_interval(
    scores: np.ndarray, *, num_resamples: int = _NUM_RESAMPLES, seed: int = 0
) -> tuple[float, float]:
    """Return the interval of 95 % confidence of the interquartile mean, by the stratified percentile bootstrap.

    Scores are ``(R,)`` or ``(R, M)``, of R seeds in M tasks. Each resample draws R seeds with replacement, in each task
    by itself; the interval lies between the percentiles 2.5 and 97.5 of the interquartile means of all resamples. The
    same scores have the same interval, for one `seed` of the resampling. Of few seeds it is too narrow: with 5 normal
    scores it holds the truth in 89 % of all cases, with 10 in 94 %. Raises ValueError if there are fewer than three
    seeds, or a score is not finite.
    """
    scores = _checked("bootstrap_interval", scores)
    if len(scores) < FEWEST:
        raise ValueError(
            f"bootstrap_interval: an interval needs at least {FEWEST} seeds; got {len(scores)}. Train more of them."
        )
    random, found = np.random.default_rng(seed), []
    chunk = max(1, _CHUNK // scores.size)
    for start in range(0, num_resamples, chunk):
        number = min(chunk, num_resamples - start)
        drawn = random.integers(len(scores), size=(number, *scores.shape))
        found.append(_iqm(scores[drawn, np.arange(scores.shape[1])]))
    low, high = np.percentile(np.concatenate(found), [2.5, 97.5])
    return float(low), float(high)


def over_seeds(scores: np.ndarray, low: float = -np.inf, high: float = np.inf) -> OverSeeds:
    """Return the summaries of one score for each seed, ``(R,)``.

    All scores lie between `low` and `high` by their nature, as for :func:`~jaxdem_ac.trainers.estimate.estimate`.
    Raises ValueError if there are no scores, or one is not finite.
    """
    scores = _checked("over_seeds", scores)[:, 0]
    mean, iqm = float(scores.mean()), interquartile_mean(scores)
    if len(scores) < FEWEST:
        return OverSeeds(SeedEstimate(mean, None, None), SeedEstimate(iqm, None, None))
    student = estimate(scores, low, high)
    return OverSeeds(SeedEstimate(mean, student.low, student.high), SeedEstimate(iqm, *bootstrap_interval(scores)))


def together(members: Mapping[str, Evaluation]) -> SeedsEvaluation:
    """Return the evaluations of several seeds with their summaries."""
    successes = [each.success.mean for each in members.values() if each.success is not None]
    success = over_seeds(np.array(successes), 0.0, 1.0) if successes else None
    reward = over_seeds(np.array([each.reward.mean for each in members.values()]))
    return SeedsEvaluation(len(members), dict(members), success, reward)


def _checked(where: str, scores: np.ndarray) -> np.ndarray:
    """Return scores as ``(R, M)``."""
    scores = np.asarray(scores, np.float64)
    if scores.ndim not in (1, 2) or scores.size == 0:
        raise ValueError(
            f"{where}: scores are (R,), of R seeds, or (R, M), in M tasks; got shape {scores.shape}. Pass one."
        )
    if not np.isfinite(scores).all():
        raise ValueError(f"{where}: every score is finite; got NaN or infinity. Leave that seed out, and say so.")
    return scores.reshape(len(scores), -1)


def _iqm(scores: np.ndarray) -> np.ndarray:
    """Return the interquartile means ``(K,)`` of scores ``(K, R, M)``."""
    ordered = np.sort(scores.reshape(len(scores), -1), axis=-1)
    cut = ordered.shape[-1] // 4
    means: np.ndarray = ordered[:, cut : ordered.shape[-1] - cut].mean(-1)
    return means
