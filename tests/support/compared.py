"""Comparisons of trees of arrays and of reports."""

from collections.abc import Iterable, Mapping
from typing import Any

import jax
import numpy as np


def assert_equal(ours: Any, expected: Any) -> None:
    """Assert that two trees have the same structure and the same numbers, to the last bit."""
    jax.tree.map(np.testing.assert_array_equal, ours, expected)


def untimed(metrics: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return reports without what depends on the time they took."""
    timed = ("seconds", "agent_steps_per_second")
    return [{name: value for name, value in line.items() if name not in timed} for line in metrics]
