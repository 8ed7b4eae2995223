"""Figures over seeds: closed forms of the interquartile mean, its bootstrap and Student's interval."""

import numpy as np
import pytest
from scipy import stats

from jaxdem_ac.trainers.evaluate import Estimate, Evaluation
from jaxdem_ac.trainers.seeds import bootstrap_interval, interquartile_mean, over_seeds, together


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([5.0], 5.0),
        ([0.0, 1.0, 5.0], 2.0),
        # One at either end of 4 to 7 scores, two of 8: the fraction of a quarter is rounded down.
        ([100.0, 2.0, 1.0, -100.0], 1.5),
        ([7.0, 1.0, 2.0, 3.0, 4.0, 5.0, 60.0], 4.2),
        ([8.0, 1.0, 7.0, 2.0, 6.0, 3.0, 5.0, 4.0], 4.5),
    ],
)
def test_an_interquartile_mean_by_hand(scores: list[float], expected: float) -> None:
    assert interquartile_mean(np.array(scores)) == pytest.approx(expected)


def test_an_interquartile_mean_is_the_trimmed_mean_of_scipy() -> None:
    random = np.random.default_rng(0)
    for shape in ((3,), (10,), (13,), (5, 4), (7, 3)):
        scores = random.normal(size=shape)
        assert interquartile_mean(scores) == pytest.approx(stats.trim_mean(scores, 0.25, axis=None))


def test_a_bootstrap_of_three_seeds_spans_them() -> None:
    # All draws are the least of three with probability 1/27, which is more than 2.5 %; so for the largest.
    assert bootstrap_interval(np.array([0.2, 0.9, 0.4])) == pytest.approx((0.2, 0.9))


def test_a_bootstrap_of_four_seeds_by_hand() -> None:
    # Of four draws k are 1, k of Binomial(4, 1/4): the middle two are 0 and 1 for k = 2, both 1 from k = 3, which has
    # a probability of 13/256 = 5.1 %; both are 0 up to k = 1.
    assert bootstrap_interval(np.array([0.0, 0.0, 0.0, 1.0])) == (0.0, 1.0)
    # Of twelve seeds with a single 1 the middle six are all 0 unless four draws are 1: 1.2 %.
    assert bootstrap_interval(np.array([0.0] * 11 + [1.0])) == (0.0, 0.0)


def test_a_bootstrap_of_many_seeds_is_as_wide_as_the_standard_error() -> None:
    scores = np.sort(np.random.default_rng(1).normal(size=400))
    low, high = bootstrap_interval(scores)
    # The standard error of a trimmed mean is that of the winsorized scores over the share that is kept (Tukey and
    # McLaughlin 1963).
    error = np.clip(scores, scores[100], scores[-101]).std(ddof=1) / (0.5 * np.sqrt(400))
    assert (high - low) / 2 == pytest.approx(1.96 * error, rel=0.05)
    assert low < interquartile_mean(scores) < high


def test_tasks_are_resampled_each_by_itself() -> None:
    # Each task has one score: nothing can change, whatever is drawn in it.
    assert bootstrap_interval(np.array([[0.0, 1.0]] * 3)) == (0.5, 0.5)


def test_an_interval_is_the_same_each_time_and_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = np.random.default_rng(2).uniform(size=6)
    first = bootstrap_interval(scores)
    assert bootstrap_interval(scores) == first
    monkeypatch.setattr("jaxdem_ac.trainers.seeds._CHUNK", 6 * 1_000)
    assert bootstrap_interval(scores) == pytest.approx(first)
    assert bootstrap_interval(scores, seed=1) == pytest.approx(first, abs=0.02)


def test_a_mean_over_seeds_has_students_interval() -> None:
    found = over_seeds(np.array([1.0, 2.0, 3.0]))
    assert found.mean.value == found.iqm.value == 2.0
    # t(2) = 4.3027 from a table, and the standard deviation is 1.
    assert found.mean.low == pytest.approx(2 - 4.3027 / np.sqrt(3), abs=1e-3)
    assert found.mean.high == pytest.approx(2 + 4.3027 / np.sqrt(3), abs=1e-3)
    assert (found.iqm.low, found.iqm.high) == (1.0, 3.0)
    assert str(found.iqm) == "2.000 [1.000, 3.000]"


@pytest.mark.parametrize("scores", [[0.5], [0.25, 0.75]])
def test_of_fewer_than_three_seeds_there_is_no_interval(scores: list[float]) -> None:
    found = over_seeds(np.array(scores), 0.0, 1.0)
    for figure in (found.mean, found.iqm):
        assert (figure.value, figure.low, figure.high) == (0.5, None, None)
        assert str(figure) == "0.500"
    with pytest.raises(ValueError, match="at least 3 seeds; got"):
        bootstrap_interval(np.array(scores))


@pytest.mark.parametrize(("scores", "words"), [([], "got shape"), ([[[1.0]]], "got shape"), ([1.0, np.nan], "finite")])
def test_scores_that_are_none_are_named(scores: list[float], words: str) -> None:
    for function in (interquartile_mean, bootstrap_interval, over_seeds):
        with pytest.raises(ValueError, match=words):
            function(np.array(scores))


def test_seeds_of_a_task_without_success() -> None:
    found = together({f"seed-{n}": Evaluation(None, Estimate(n, n - 1.0, n + 1.0), 8) for n in range(5)})
    assert (found.num_seeds, found.success) == (5, None)
    # Of 0 to 4 the middle three remain.
    assert (found.reward.mean.value, found.reward.iqm.value) == (2.0, 2.0)
    assert list(found.members) == ["seed-0", "seed-1", "seed-2", "seed-3", "seed-4"]
