"""Conformance checks for environments, and tasks of known value, to be called from a plugin's tests.

The checks are for authors of environments, the tasks for authors of models, action spaces and learning algorithms.
They are without physics, so that they compile in a moment, and of each something is known:

===================================================================  ==================================================
:class:`ConstantReward`, :class:`RewardIsObservation`,               the value of every observation
:class:`TeamReward`, :class:`Discounting`
:class:`ActionMatters`, :class:`Tracking`, :class:`Recalling`        the best action; the last needs a memory
:class:`Counting`                                                    the time, which is what is seen
:class:`Walk`                                                        every number, both ends, lists that are too short
:class:`Breaking`                                                    the decision at which a number is not finite
:class:`RandomEnvironment`                                           nothing: it has any shapes, for what is timed
===================================================================  ==================================================
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
