"""Grids: what is in them, what they are made of, and what is no grid."""

import pytest

import jaxdem_ac as ac
from jaxdem_ac.bench.cases import SHARINGS, STAGES, Axes, Case, check, grid, namesake, same_density, size_of


def test_the_short_grid_has_everything_once() -> None:
    cases = grid(Axes())
    assert len(set(cases)) == len(cases)
    assert {case.stage for case in cases} == set(STAGES)
    assert {case.env for case in cases} == set(ac.list_environments())
    assert {case.model for case in cases} == {*ac.list_models(), None}
    assert {case.sharing for case in cases} == {*SHARINGS, None}
    assert {case.dtype for case in cases} == {"float32", "bfloat16"}
    assert all((case.model is None) == (case.stage == "environment") for case in cases)


def test_the_long_grid_is_larger_where_there_is_an_accelerator() -> None:
    here, there = (grid(Axes(), long=True, platform=name) for name in ("cpu", "gpu"))
    assert max(case.num_particles for case in here) == 65_536
    assert max(case.num_particles for case in there) == 1_048_576
    assert set(grid(Axes())) <= set(here) | set(there)
    assert {(case.model, case.env) for case in here} >= {(case.model, case.env) for case in grid(Axes())}


def test_named_axes_make_a_full_grid() -> None:
    axes = Axes(
        stages=["update"],
        models=["ActorCritic", "per_particle"],
        num_particles=[4, 8],
        num_envs=[2],
        dtypes=["float32", "bfloat16"],
        sharings=["shared", "independent"],
    )
    cases = grid(axes)
    assert len(cases) == 2 * 2 * (1 + 2)
    assert {case.model for case in cases} == {"ActorCritic", "PerParticle"}
    assert {case.sharing for case in cases if case.model == "ActorCritic"} == {None}
    assert grid(Axes(num_particles=[4])) == [
        Case(stage=stage, num_particles=4, **({"model": None} if stage == "environment" else {})) for stage in STAGES
    ]
    assert [case.stage for case in grid(Axes(stages=["rollout"]))] == ["rollout"] * 2


def test_those_that_take_turns_stand_together() -> None:
    cases = grid(Axes(), long=True)
    groups = [(case.stage, *size_of(case)) for case in cases]
    borders = [one for one, other in zip([None, *groups], groups, strict=False) if one != other]
    assert len(borders) == len(set(groups))


@pytest.mark.parametrize("name", ac.list_environments())
@pytest.mark.parametrize("num_particles", [16, 1024])
def test_density_is_kept(name: str, num_particles: int) -> None:
    usual = ac.make_environment(name)
    kept = same_density(name, num_particles)
    assert kept
    for length, value in kept.items():
        assert value**2 / num_particles == pytest.approx(getattr(usual, length) ** 2 / usual.num_particles)
    # So many do not fit into the usual room.
    assert ac.make_environment(name, num_particles=num_particles, **kept).num_particles == num_particles


def test_a_case_is_a_configuration() -> None:
    config = Case(stage="update", num_particles=256, num_envs=4, dtype="bfloat16").config({"ppo.num_epochs": 1})
    assert config.env_kw["num_particles"] == 256
    assert config.ppo.num_envs == 4
    assert config.ppo.num_envs * config.ppo.num_steps * 256 == 65_536
    assert config.ppo.num_epochs == 1
    assert config.model_kw == {"compute_dtype": "bfloat16"}
    halves = Case(stage="update", model="PerParticle", sharing="species", num_particles=5).config()
    assert halves.model_kw["species"] == [0, 0, 1, 1, 1]
    for num_particles in (1, 65_536):
        ppo = Case(stage="update", num_particles=num_particles, num_envs=1).config().ppo
        assert 8 <= ppo.num_steps <= 64


def test_those_of_one_task_take_turns() -> None:
    assert namesake("jaxdem:swarm_navigator") == namesake("swarm_navigator") == "swarm_navigator"
    ours, theirs = (Case(stage="environment", env=env) for env in ("swarm_navigator", "jaxdem:SwarmNavigator"))
    assert size_of(ours) == size_of(theirs)


@pytest.mark.parametrize(
    ("axes", "words"),
    [
        ({"stages": ["polcy"]}, "Did you mean 'policy'"),
        ({"dtypes": ["float16"]}, "got 'float16'"),
        ({"sharings": ["alone"]}, "got 'alone'"),
        ({"num_particles": [0]}, "num_particles=0"),
        ({"num_envs": [4, -1]}, "num_envs=-1"),
        ({"models": ["ActorCritic"], "sharings": ["species"]}, "only PerParticle has sharings"),
    ],
)
def test_what_is_no_grid(axes: dict[str, list[str]], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Axes(**axes)
    with pytest.raises(KeyError, match="Did you mean 'swarm_navigator'"):
        Axes(envs=["swarm_navigater"])


def test_mistakes_are_found_before_anything_is_measured() -> None:
    with pytest.raises(ValueError, match="num_epochs=0"):
        check(grid(Axes()), {"ppo.num_epochs": 0}, models=False)
    with pytest.raises(ValueError, match="Use the axis num_envs"):
        check(grid(Axes()), {"ppo.num_envs": 3}, models=False)
    with pytest.raises(TypeError, match="Did you mean 'architecture'"):
        check(grid(Axes(num_envs=[2])), {"model_kw.architectur": [3]}, models=True)
    check(grid(Axes()), {}, models=False)
