"""Conformance checks for environments, and tasks of known value, to be called from a plugin's tests.

The checks are for authors of environments, the tasks for authors of models, action spaces and learning algorithms.
They are without physics, so that they compile in a moment, and of each something is known:

* the value of every observation: `ConstantReward`, `RewardIsObservation`, `TeamReward`, `Discounting`;
* the best action: `ActionMatters`, `Tracking`, and `Recalling`, which needs a memory;
* the time, which is what is seen: `Counting`;
* every number, with both ways to end and lists that may be too short: `Walk`;
* the decision at which a number is not finite: `Breaking`;
* nothing but the shapes, for what is timed: `RandomEnvironment`.
"""

from jaxdem_ac.environments.testing.conformance import (
    check_environment,
    check_shapes,
    environment_checks,
    parametrize_with_checks,
)
from jaxdem_ac.environments.testing.toys import (
    ActionMatters,
    Breaking,
    ConstantReward,
    Counting,
    Discounting,
    RandomEnvironment,
    Recalling,
    RewardIsObservation,
    TeamReward,
    Toy,
    ToyState,
    Tracking,
    Walk,
    WalkState,
)

__all__ = [
    "ActionMatters",
    "Breaking",
    "ConstantReward",
    "Counting",
    "Discounting",
    "RandomEnvironment",
    "Recalling",
    "RewardIsObservation",
    "TeamReward",
    "Toy",
    "ToyState",
    "Tracking",
    "Walk",
    "WalkState",
    "check_environment",
    "check_shapes",
    "environment_checks",
    "parametrize_with_checks",
]
