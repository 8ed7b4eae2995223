"""The names that users rely on."""

import importlib.metadata
import tomllib
from pathlib import Path

import pytest

import jaxdem_ac as ac
from jaxdem_ac.registry import normalize_key

PUBLIC = {
    *("list_models", "list_action_spaces", "list_environments"),
    *("make_model", "make_action_space", "make_environment"),
    *("make_parallel_env", "make_vector_env", "make_gym_env"),
    *("register", "train", "load_policy", "evaluate", "rollout", "dem"),
    *("TrainConfig", "PPOConfig", "TrainResult", "Trajectory", "__version__"),
}


def test_every_public_name_is_there() -> None:
    assert set(ac.__all__) >= PUBLIC
    assert sorted(ac.__all__) == dir(ac)
    for name in ac.__all__:
        assert getattr(ac, name) is not None


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'make_modle'"):
        _ = ac.make_modle  # type: ignore[attr-defined]


def test_lists_are_sorted_and_hold_what_is_built_in() -> None:
    assert {"SharedActorCritic", "ActorCritic"} <= set(ac.list_models())
    assert {"Free", "Box", "MaxNorm"} <= set(ac.list_action_spaces())
    assert "swarm_navigator" in ac.list_environments()
    for names in (ac.list_models(), ac.list_action_spaces(), ac.list_environments()):
        assert names == sorted(names, key=str.lower)


def test_the_engines_face() -> None:
    assert {"Particles", "World", "simulate"} <= set(dir(ac.dem))


@pytest.mark.parametrize("spelling", ["swarm_navigator", "SwarmNavigator", "swarm-navigator", "Swarm Navigator"])
def test_an_environment_is_made_by_any_spelling(spelling: str) -> None:
    environment = ac.make_environment(spelling, num_particles=4)
    assert (environment.num_particles, environment.action_size) == (4, 2)


def test_an_unknown_environment_gets_the_nearest() -> None:
    with pytest.raises(KeyError, match=r"environment: no such name.*Did you mean 'swarm_navigator'"):
        ac.make_environment("swarm_navigater")


def test_an_unknown_action_space_gets_the_nearest() -> None:
    with pytest.raises(KeyError, match=r"action space: no such name.*Did you mean 'MaxNorm'"):
        ac.make_action_space("MaxNrom")


def test_the_version_is_the_one_that_is_packaged() -> None:
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    assert project["version"] == ac.__version__
    assert project["name"] == "jaxdem-ac"


def test_entry_points_name_classes_that_exist() -> None:
    path = Path(__file__).parents[1] / "pyproject.toml"
    groups = tomllib.loads(path.read_text())["project"]["entry-points"]
    assert set(groups["jaxdem.models"]) == {"SharedActorCritic", "ActorCritic", "PerParticle"}
    assert set(groups["jaxdem.action_spaces"]) == {"Free", "Box", "MaxNorm"}
    for group, entries in groups.items():
        for name, value in entries.items():
            loaded = importlib.metadata.EntryPoint(name=name, value=value, group=group).load()
            assert normalize_key(loaded.__name__) == normalize_key(name)
