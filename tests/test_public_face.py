"""The names that users rely on."""

import importlib.metadata
import subprocess
import sys
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
    *("oracle_policy", "scripted_policy", "trust", "verify"),
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
    assert {"Free", "Box", "MaxNorm", "Discrete"} <= set(ac.list_action_spaces())
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
    assert set(groups["jaxdem.models"]) == {"SharedActorCritic", "ActorCritic", "SymmetricActorCritic", "PerParticle"}
    assert set(groups["jaxdem.action_spaces"]) == {"Free", "Box", "MaxNorm", "Discrete"}
    for group, entries in groups.items():
        for name, value in entries.items():
            loaded = importlib.metadata.EntryPoint(name=name, value=value, group=group).load()
            assert normalize_key(loaded.__name__) == normalize_key(name)


# Deep paths that how-tos and examples name, with something that is read from each.
DEEP = {
    "jaxdem_ac.action_spaces.base": "ActionSpace",
    "jaxdem_ac.action_spaces.expectations": "expected_log_cosh",
    "jaxdem_ac.action_spaces.testing": "check_action_space",
    "jaxdem_ac.environments.base": "Environment",
    "jaxdem_ac.environments.checks": "check_number",
    "jaxdem_ac.environments.placement": "jittered_grid",
    "jaxdem_ac.environments.sensing.lidar": "lidar",
    "jaxdem_ac.environments.sensing.neighbor_lists": "Surroundings",
    "jaxdem_ac.environments.testing": "check_environment",
    "jaxdem_ac.models.base": "ActorCriticBase",
    "jaxdem_ac.models.heads": "Dense",
    "jaxdem_ac.models.recurrent": "Carry",
    "jaxdem_ac.plugin.species": "with_species",
    "jaxdem_ac.plugin.vtk": "write_vtk",
    "jaxdem_ac.registry": "environments",
    "jaxdem_ac.runs.export": "load_exported",
    "jaxdem_ac.runs.recording": "Recording",
    "jaxdem_ac.trainers.evaluate": "evaluate",
    "jaxdem_ac.view.render": "render",
}

# Paths of before, which are the new modules for one version.
MOVED = {
    "action_spaces.contract": "action_spaces.testing",
    "action_spaces.log_cosh": "action_spaces.expectations",
    "action_spaces.squashed": "action_spaces.distributions",
    "environments.contract": "environments.testing",
    "environments.lidar": "environments.sensing.lidar",
    "environments.surroundings": "environments.sensing.neighbor_lists",
    "plugin.replay": "runs.compare_engines",
    "runs.devices": "runs.distributed",
    "trainers.checkpoint": "runs.checkpoint",
    "trainers.config": "runs.config",
    "trainers.export": "runs.export",
    "trainers.recording": "runs.recording",
    "trainers.run": "runs.train",
}


@pytest.mark.parametrize("module", DEEP)
def test_a_path_that_pages_name_is_there(module: str) -> None:
    assert hasattr(importlib.import_module(module), DEEP[module])


def test_old_paths_are_the_new_modules_and_say_so() -> None:
    program = (
        "import importlib, warnings\n"
        f"for old, new in {MOVED}.items():\n"
        "    with warnings.catch_warnings(record=True) as caught:\n"
        "        warnings.simplefilter('always')\n"
        "        was = importlib.import_module(f'jaxdem_ac.{old}')\n"
        "    assert was is importlib.import_module(f'jaxdem_ac.{new}'), old\n"
        "    assert any(new in str(item.message) for item in caught), old\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_benchs_noise_is_a_random_environment() -> None:
    from jaxdem_ac.environments.testing import RandomEnvironment

    sys.modules.pop("jaxdem_ac.bench.noise", None)
    with pytest.warns(DeprecationWarning, match="Import RandomEnvironment"):
        assert importlib.import_module("jaxdem_ac.bench.noise").Noise is RandomEnvironment


COMMANDS = {"autoload", "bench", "completion", "doctor", "eval", "export", "list", "record", "render", "replay"}
COMMANDS |= {"report", "train", "verify"}


def test_every_command_is_there() -> None:
    from jaxdem_ac.cli import main

    assert set(main.list_commands(None)) >= COMMANDS  # type: ignore[arg-type]


def test_functions_of_a_batch_are_still_found_in_their_place_of_before() -> None:
    from jaxdem_ac.environments import base, batching, capacity

    with pytest.warns(DeprecationWarning, match="Import it from jaxdem_ac.environments.batching"):
        assert base.reset_batch is batching.reset_batch
    with pytest.warns(DeprecationWarning, match="capacity"):
        assert base.pad_state is capacity.pad_state
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = base.nothing
