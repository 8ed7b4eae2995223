"""Rollback: a run whose evaluation has fallen goes back to what its best policy had learnt."""

from collections.abc import Sequence
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np

from jaxdem_ac._types import PyTree
from jaxdem_ac.runs.run_dir import REJECTED, Metrics
from jaxdem_ac.runs.scores import SUCCESS, best_line
from jaxdem_ac.trainers.base import StateT


def learnt(state: StateT) -> StateT:
    """Return a training state without its environments and carries, which a rollback leaves as they are."""
    found: StateT = replace(state, env_state=None, carry=None)  # type: ignore[type-var]
    return found


def chosen(runs: np.ndarray, ours: PyTree, others: PyTree) -> PyTree:
    """Return the floating leaves of `ours` for some runs, ``(R,)``, and else those of `others`.

    Leaves are ``(R, ...)``; `runs` is ``()`` for a single run without that axis. Leaves of other types, counters and
    random keys, are those of `others`: a schedule goes on, and no random number is drawn twice.
    """

    def choose(ours: jax.Array, others: jax.Array) -> jax.Array:
        if not jnp.issubdtype(others.dtype, jnp.floating):
            return others
        return jnp.where(runs.reshape(runs.shape + (1,) * (others.ndim - runs.ndim)), ours, others)

    return jax.tree.map(choose, ours, others)


def rejected(figures: Metrics, lines: Sequence[Metrics]) -> Metrics:
    """Return the figures of a report with a rollback: evaluations are those of the policy that the run goes back to."""
    best = best_line(lines) or {}
    evaluated = {name: value for name, value in best.items() if name.startswith("eval_")}
    return {**figures, **evaluated, REJECTED: figures[SUCCESS]}
