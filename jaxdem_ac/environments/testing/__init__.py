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

from jaxdem_ac.environments.testing.conformance import check_environment as check_environment
from jaxdem_ac.environments.testing.conformance import check_shapes as check_shapes
from jaxdem_ac.environments.testing.conformance import environment_checks as environment_checks
from jaxdem_ac.environments.testing.conformance import parametrize_with_checks as parametrize_with_checks
from jaxdem_ac.environments.testing.toys import ActionMatters as ActionMatters
from jaxdem_ac.environments.testing.toys import Breaking as Breaking
from jaxdem_ac.environments.testing.toys import ConstantReward as ConstantReward
from jaxdem_ac.environments.testing.toys import Counting as Counting
from jaxdem_ac.environments.testing.toys import Discounting as Discounting
from jaxdem_ac.environments.testing.toys import RandomEnvironment as RandomEnvironment
from jaxdem_ac.environments.testing.toys import Recalling as Recalling
from jaxdem_ac.environments.testing.toys import RewardIsObservation as RewardIsObservation
from jaxdem_ac.environments.testing.toys import TeamReward as TeamReward
from jaxdem_ac.environments.testing.toys import Toy as Toy
from jaxdem_ac.environments.testing.toys import ToyState as ToyState
from jaxdem_ac.environments.testing.toys import Tracking as Tracking
from jaxdem_ac.environments.testing.toys import Walk as Walk
from jaxdem_ac.environments.testing.toys import WalkState as WalkState
