"""Rollback: a run whose evaluations have fallen goes back to what its best policy had learnt."""

import math
from dataclasses import replace
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from jaxdem_ac._types import PyTree
from jaxdem_ac.runs.run_dir import FALLEN, REJECTED, Metrics
from jaxdem_ac.runs.scores import SUCCESS, is_evaluated
from jaxdem_ac.trainers.base import StateT
from jaxdem_ac.trainers.schedule import is_place

Tree = TypeVar("Tree")


def chosen(runs: np.ndarray, ours: Tree, others: Tree) -> Tree:
    """Return the leaves of `ours`, ``(R, ...)``, for some runs, ``(R,)``, and else those of `others`.

    `runs` is ``()`` for a single run, whose leaves have no such axis.
    """
    if not runs.any() or runs.all():
        return ours if runs.all() else others
    found: Tree = jax.tree.map(
        lambda ours, others: jnp.where(runs.reshape(runs.shape + (1,) * (others.ndim - runs.ndim)), ours, others),
        ours,
        others,
    )
    return found


def gone_back(state: StateT, best: StateT) -> StateT:
    """Return a training state that goes on from its best one.

    Random keys, the number of updates and the place in a schedule are those of `state`: what follows is something else
    than what followed then. All else is as it was, what an optimizer has counted for its moments too: old moments with
    a new count are corrected as if they were long ones.
    """

    def choose(now: PyTree, then: PyTree) -> PyTree:
        return now if _goes_on(now) else then

    found: StateT = jax.tree.map(choose, state, best, is_leaf=_goes_on)
    return replace(found, num_updates=state.num_updates, bad_term=state.bad_term)  # type: ignore[type-var]


def _goes_on(node: PyTree) -> bool:
    """Return whether a part of a state stays in a rollback: a random key, or the place in a schedule."""
    is_key = isinstance(node, jax.Array) and jnp.issubdtype(node.dtype, jax.dtypes.prng_key)
    return is_key or is_place(node)


def rejected(figures: Metrics, best: Metrics) -> Metrics:
    """Return the figures of a report with a rollback: evaluations are those of the policy that the run goes back to."""
    evaluated = {name: value for name, value in best.items() if name.startswith("eval_")}
    return {**figures, **evaluated, REJECTED: figures[SUCCESS], FALLEN: 0}


def patience(rollback: int, lines: list[Metrics]) -> int:
    """Return how many evaluations in a row have to fall until a run goes back to its best once more.

    From some states the way up leads down first: it is twice as many each time that the run has gone back to this best.
    """
    count, best = 0, -math.inf
    for line in filter(is_evaluated, lines):
        count = count + 1 if line.get(REJECTED) is not None else 0 if line[SUCCESS] > best else count
        best = max(best, line[SUCCESS])
    return rollback * 2 ** min(count, 30)
