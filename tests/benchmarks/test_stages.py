"""What is timed is computed: every call anew, all of it, and with lists that are long enough."""

import time
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np
import pytest
from support.bench_fixtures import SMALL

from jaxdem_ac.bench import stages
from jaxdem_ac.bench.cases import STAGES, Case
from jaxdem_ac.bench.stages import build, wrong_with
from jaxdem_ac.environments.testing.toys import RandomEnvironment

CASE = Case(stage="update", num_particles=3, num_envs=2)


def built(stage: str, env: str, **settings: Any) -> stages.Built:
    return build(stage, replace(CASE, stage=stage, env=env).config({**SMALL, **settings}), time.perf_counter)


@pytest.mark.parametrize("stage", [*list(STAGES)[:-1], pytest.param("training", marks=pytest.mark.slow)])
def test_every_call_computes_something_else(stage: str, noise: str) -> None:
    made = built(stage, noise)
    outputs = [made.side.call(key) for key in jax.random.split(jax.random.key(1), 3)]
    assert len({float(output[0]["digest"]) for output in outputs}) == 3
    assert all(wrong_with(output) is None for output in outputs)
    assert (made.side.decisions, made.side.num_particles) == (2 * 8, 3)
    assert (made.side.physics_steps is None) == (stage in ("policy", "update"))
    assert made.memory_bytes > 0
    assert made.compile_seconds > 0
    # One product at least for each decision of each particle, but for the environment.
    products = 2 * 8 * 2 * 8 * 3
    assert made.work().flops > (0 if stage == "environment" else products)


def test_a_call_goes_on_from_where_the_last_one_ended(noise: str) -> None:
    made, key = built("rollout", noise), jax.random.key(1)
    one, other = (made.side.call(key)[1].observation for _ in range(2))
    assert not np.array_equal(one, other)


def test_sensing_is_not_optimised_away() -> None:
    made = built("environment", "swarm_navigator", **{"env_kw.n_lidar_rays": 5, "model_kw.architecture": []})
    assert "/lidar/" in made.text()
    assert "/dem.advance/" in made.text()


@dataclass(frozen=True, kw_only=True)
class Crowded(RandomEnvironment):
    """A random environment whose lists are too short until they are four times as long."""

    room: float = 1.0

    @property
    def overflow(self) -> float:
        return 0.0 if self.room >= 4 else 4 / self.room

    def with_capacity(self, overflow: float) -> "Crowded":
        return replace(self, room=min(overflow, 2.0) * self.room)


def test_lists_that_are_too_short_are_made_longer(quick: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "build_environment", lambda config: Crowded())
    assert wrong_with(built("rollout", quick).side.call(jax.random.key(1))) is None
    monkeypatch.setattr(stages, "MOST_TRIES", 2)
    with pytest.raises(OverflowError, match="long enough after 2 tries"):
        built("rollout", quick)


@pytest.mark.parametrize(
    ("figures", "words"),
    [
        ({"digest": 1.0, "overflow": 2.0}, "2 times as long"),
        ({"digest": float("nan")}, "not finite"),
        ({"digest": 1.0, "bad_term": 2}, "first in reward"),
    ],
)
def test_a_wrong_result_is_no_result(figures: dict[str, Any], words: str) -> None:
    assert words in str(wrong_with((figures, None)))
