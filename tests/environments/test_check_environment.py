"""Every point of the contract that an environment breaks is named, and what to do."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array

import jaxdem_ac as ac
from jaxdem_ac.environments.base import Environment, Timestep
from jaxdem_ac.environments.testing import check_environment, check_shapes, environment_checks
from jaxdem_ac.registry import environments

ROOT = Path(__file__).parents[2]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class WalkState:
    observation: Array
    place: Array
    count: Array
    extra: Any = None


@dataclass(frozen=True, kw_only=True)
class Walk(Environment):
    """Three walkers, who are what they see."""

    num_particles: int = 3
    length: int = 4
    observation_size: int = 2
    action_size: ClassVar[int] = 2
    decision_time: ClassVar[float] = 1.0

    @property
    def episode_length(self) -> int:
        return self.length

    def reset(self, key: Array) -> WalkState:
        place = jax.random.normal(key, (3, 2))
        return WalkState(place, place, jnp.zeros((), jnp.int32))

    def step(self, state: WalkState, action: Array) -> Any:
        self.check_action(action)
        place = state.place + action
        new = WalkState(place, place, state.count + 1)
        return new, Timestep(
            observation=place,
            reward=-jnp.sum(place**2, axis=-1),
            terminated=jnp.zeros((), bool),
            truncated=new.count >= self.length,
            info={"success": jnp.exp(-jnp.mean(place**2))},
        )


def bent(bend: Callable[[WalkState, Timestep], Any], **attributes: Any) -> Environment:
    """Return a walk whose steps return something else."""

    def step(self: Any, state: WalkState, action: Array) -> Any:
        return bend(*Walk.step(self, state, action))

    made: type[Walk] = dataclass(frozen=True, kw_only=True)(type("Bent", (Walk,), {"step": step, **attributes}))
    return made()


def same(state: WalkState, timestep: Timestep) -> Any:
    return state, timestep


def test_what_keeps_to_it_passes() -> None:
    check_environment(Walk())
    check_environment(bent(lambda s, t: (s, replace(t, terminated=s.count >= 3, info={"late": s.count > 1}))))


def test_lists_that_are_not_built_yet_break_nothing() -> None:
    task = ac.make_environment("swarm_navigator", num_particles=50, max_steps=4, physics_steps=2)
    assert task.reset(jax.random.key(0)).vicinity.contacts is not None
    dict(environment_checks(task))["finite"]()


@dataclass(kw_only=True)
class Thawed(Walk.__mro__[1]):  # type: ignore[misc]
    num_particles: int = 3
    observation_size = action_size = episode_length = decision_time = 1
    reset = step = None


class NoDataclass(Environment):
    num_particles = 3
    observation_size = action_size = episode_length = decision_time = 1
    reset = step = None  # type: ignore[assignment]


@dataclass(frozen=True, kw_only=True)
class Windy(Walk):
    wind: Any = field(default_factory=lambda: np.zeros(2))


SHAPES: dict[str, tuple[Any, type[Exception], str]] = {
    "no environment": (object(), TypeError, r"object: an environment is a .*Environment; got object\. Subclass"),
    "not frozen": (Thawed(), TypeError, r"Thawed: an environment is a frozen dataclass"),
    "no dataclass": (NoDataclass(), TypeError, r"NoDataclass: an environment is a frozen dataclass"),
    "an array as a field": (Windy(), TypeError, r"got wind of type ndarray\. Make arrays in reset"),
    "size of observations": (
        Walk(observation_size=3),
        ValueError,
        r"Walk\.reset: observation of the state has shape \(3, 3\); got shape \(3, 2\)",
    ),
    "nothing to see": (
        bent(same, reset=lambda self, key: {"place": jnp.zeros((3, 2))}),
        TypeError,
        r"observation of the state is an array of shape \(3, 2\); got NoneType",
    ),
    "one reward for all": (
        bent(lambda s, t: (s, replace(t, reward=jnp.sum(t.reward)))),
        ValueError,
        r"Bent\.step: reward has shape \(3,\); got shape \(\)",
    ),
    "a column of rewards": (
        bent(lambda s, t: (s, replace(t, reward=t.reward[:, None]))),
        ValueError,
        r"reward has shape \(3,\); got shape \(3, 1\)",
    ),
    "whole rewards": (
        bent(lambda s, t: (s, replace(t, reward=t.reward.astype(int)))),
        TypeError,
        r"reward is of type float; got int32",
    ),
    "an end for each": (
        bent(lambda s, t: (s, replace(t, terminated=t.reward > 0))),
        ValueError,
        r"terminated has shape \(\); got shape \(3,\)",
    ),
    "an end as a number": (
        bent(lambda s, t: (s, replace(t, truncated=1.0 * t.truncated))),
        TypeError,
        r"truncated is of type bool; got float32",
    ),
    "no info": (bent(lambda s, t: (s, replace(t, info=None))), TypeError, r"info is a dict of figures; got NoneType"),
    "success for each": (
        bent(lambda s, t: (s, replace(t, info={"success": t.reward}))),
        ValueError,
        r"info\['success'\] has shape \(\); got shape \(3,\)",
    ),
    "a state that changes type": (
        bent(lambda s, t: (replace(s, count=1.0 * s.count), t)),
        TypeError,
        r"got state\.count = float32\[\] after a reset's int32\[\]",
    ),
    "a state that grows": (
        bent(lambda s, t: (replace(s, extra=t.reward), t)),
        TypeError,
        r"got state\.extra = float32\[3\] after a reset's nothing",
    ),
    "a state of another class": (
        bent(lambda s, t: ((s.observation, s.place, s.count), t)),
        TypeError,
        r"a state keeps its fields",
    ),
    "no state": (bent(lambda s, t: t), TypeError, r"returns a state and a Timestep; got Timestep"),
    "no timestep": (bent(lambda s, t: (s, (t.reward,))), TypeError, r"returns a state and a Timestep; got tuple"),
}


@pytest.mark.parametrize(("environment", "error", "words"), SHAPES.values(), ids=SHAPES.keys())
def test_a_shape_or_type_is_named(environment: Any, error: type[Exception], words: str) -> None:
    for check in (check_shapes, check_environment):
        with pytest.raises(error, match=words) as raised:
            check(environment)
        assert str(raised.value).endswith(".")


def unlucky(self: Any, key: Array) -> WalkState:
    place = jnp.asarray(np.random.default_rng().normal(size=(3, 2)), float)
    return WalkState(place, place, jnp.zeros((), jnp.int32))


def tolerant(self: Any, state: WalkState, action: Array) -> Any:
    return Walk.step(self, state, jnp.zeros((3, 2)) + jnp.sum(action))


PLAYS: dict[str, tuple[Environment, type[Exception], str]] = {
    "no episode": (Walk(length=0), ValueError, r"Walk: episode_length is a whole number from 1; got episode_length=0"),
    "not a number": (
        bent(lambda s, t: (s, replace(t, reward=jnp.where(s.count > 2, jnp.nan, t.reward)))),
        ValueError,
        r"every number is finite; got NaN or infinity in \.reward",
    ),
    "success above 1": (
        bent(lambda s, t: (s, replace(t, info={"success": 1.0 * s.count}))),
        ValueError,
        r"info\['success'\] is between 0 and 1; got 4",
    ),
    "two observations": (
        bent(lambda s, t: (s, replace(t, observation=2 * t.observation))),
        ValueError,
        r"the timestep's observation is the state's",
    ),
    "no time limit": (
        bent(lambda s, t: (s, replace(t, truncated=jnp.zeros((), bool)))),
        ValueError,
        r"after episode_length=4 decisions; got truncated not in 4",
    ),
    "too early": (
        bent(lambda s, t: (s, replace(t, truncated=s.count >= 2))),
        ValueError,
        r"after episode_length=4 decisions; got truncated after 2",
    ),
    "chance that is not the key's": (bent(same, reset=unlucky), ValueError, r"Bent\.reset: "),
    "any action": (bent(same, step=tolerant), ValueError, r"an action of another shape than \(3, 2\) is refused"),
    "advice that does not fit": (
        bent(same, training_defaults={"lenght": 3}),
        TypeError,
        r"Bent\.training_defaults: no such keyword; got 'lenght'\. Did you mean 'length'",
    ),
    "advice on an action space": (
        bent(same, action_space_defaults={"MaxNorm": {"max_norm": -1.0}}),
        ValueError,
        r"max_norm is a finite number above 0",
    ),
}


@pytest.mark.parametrize(("environment", "error", "words"), PLAYS.values(), ids=PLAYS.keys())
def test_what_shows_only_in_play_is_named(environment: Any, error: type[Exception], words: str) -> None:
    check_shapes(environment)
    with pytest.raises(error, match=words) as raised:
        check_environment(environment)
    assert str(raised.value).endswith(".")


@pytest.mark.parametrize("several", [{}, {"num_seeds": 2}], ids=["one", "two"])
def test_a_training_begins_with_it(several: dict[str, Any]) -> None:
    environment = bent(lambda s, t: (s, replace(t, reward=jnp.sum(t.reward))))
    words = r"Bent\.step: reward has shape \(3,\); got shape \(\)"
    with environments.temporarily("bent", type(environment)), pytest.raises(ValueError, match=words):
        ac.train(ac.TrainConfig(env="bent", steps=1, **several))


def test_every_point_has_a_name_and_is_called_alone() -> None:
    environment = bent(lambda s, t: (s, replace(t, info={"success": 1.0 * s.count})))
    checks = dict(environment_checks(environment))
    assert " ".join(checks) == (
        "shapes finite success observation time_limit eager_reset key eager_step batch action_shape advice"
    )
    for name, check in checks.items():
        if name == "success":
            with pytest.raises(ValueError, match="between 0 and 1"):
                check()
        else:
            check()
    # Where the shapes are wrong, every point says so.
    for _, check in environment_checks(Walk(observation_size=3)):
        with pytest.raises(ValueError, match=r"has shape \(3, 3\)"):
            check()
    with pytest.raises(ValueError, match="num_decisions is a whole number from 1; got num_decisions=0"):
        environment_checks(environment, num_decisions=0)


OURS = """
import sys
import jaxdem_ac.action_spaces.testing, jaxdem_ac.environments.testing, jaxdem_ac.models.testing
assert "pytest" not in sys.modules
"""


def test_pytest_is_imported_by_tests_only() -> None:
    subprocess.run([sys.executable, "-c", OURS], check=True)


THREE_LINES = """
from jaxdem_ac.environments.testing import Counting, Discounting, Toy, parametrize_with_checks

class Broken(Toy):
    def next_observation(self, state, time):
        return state.observation / 0

@parametrize_with_checks(Counting(), Broken(length=2))
def test_contract(check):
    check()
"""


def test_an_author_sees_every_point_as_a_test(tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text(THREE_LINES)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", "test_mine.py"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    told = dict(line.split()[:2] for line in done.stdout.splitlines() if line.startswith("test_mine.py::"))
    assert len(told) == 22
    assert {name for name, how in told.items() if how == "FAILED"} == {"test_mine.py::test_contract[Broken-finite]"}
    assert "every number is finite; got NaN" in done.stdout
