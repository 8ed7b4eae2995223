"""Classes outside the registries in Python: given as classes, or by reference once they are trusted."""

import json
import pickle
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from support.own_code import NAMES, SETTINGS, SOURCE, imports

import jaxdem_ac as ac
from jaxdem_ac import registry
from jaxdem_ac.environments.tasks.multi_navigator import MultiNavigator
from jaxdem_ac.plugin import from_jaxdem, references
from jaxdem_ac.runs.own_code import announce
from jaxdem_ac.runs.run_dir import config_text, read_config

TINY = ac.TrainConfig().with_values(SETTINGS)


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    path = [*sys.path]
    with references.scope():
        yield
    sys.path[:] = path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "my_tasks.py"
    made.write_text(SOURCE)
    return made


@dataclass(frozen=True, kw_only=True)
class Herd(MultiNavigator):
    """Navigators, in a module that can be imported."""


def test_a_reference_has_to_be_trusted(file: Path) -> None:
    for make in (ac.make_environment, ac.make_action_space):
        with pytest.raises(PermissionError, match=r"once you trust it.*call jaxdem_ac.trust\("):
            make(f"{file}:Flock")
    with pytest.raises(PermissionError):
        ac.make_model(f"{file}:Net", observation_space_size=4, action_space_size=2, key=0)
    assert imports(file) == 0
    ac.trust(f"{file}:Flock")
    assert ac.make_environment(f"{file}:Flock", num_particles=3).num_particles == 3
    # One class is trusted, not all that the file holds.
    with pytest.raises(PermissionError):
        ac.make_action_space(f"{file}:Space")
    assert imports(file) == 1


def test_a_scope_ends() -> None:
    with references.scope():
        references.trust_everything()
        assert registry.environments.get(f"{__name__}:Herd") is Herd
    with pytest.raises(PermissionError):
        registry.environments.get(f"{__name__}:Herd")


def test_a_second_load_gives_the_same_class(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(file.parent)
    ac.trust("my_tasks.py:Flock")
    cls = registry.environments.get("my_tasks.py:Flock")
    for name in ("./my_tasks.py:Flock", f"{file}:Flock", f"{file.parent}/../{file.parent.name}/my_tasks.py:Flock"):
        assert registry.environments.get(name) is cls
    made = ac.make_environment("my_tasks.py:Flock", num_particles=3)
    assert made == ac.make_environment(f"{file}:Flock", num_particles=3)
    assert pickle.loads(pickle.dumps(made)) == made
    assert imports(file) == 1
    # A script that has imported it by name has that one.
    monkeypatch.syspath_prepend(file.parent)
    (file.parent / "my_other.py").write_text(SOURCE)
    import my_other  # type: ignore[import-not-found]

    ac.trust("my_other.py:Flock")
    assert registry.environments.get("my_other.py:Flock") is my_other.Flock


def test_a_symbolic_link_is_the_file_that_it_leads_to(file: Path) -> None:
    link = file.with_name("linked.py")
    link.symlink_to(file)
    ac.trust(f"{link}:Flock")
    assert registry.environments.get(f"{file}:Flock") is registry.environments.get(f"{link}:Flock")


@pytest.mark.parametrize("wrong", [3, None, Path("f.py")])
def test_only_references_and_classes_are_trusted(wrong: Any) -> None:
    with pytest.raises(TypeError, match="trust: code is a reference or a class"):
        ac.trust(wrong)


@pytest.mark.parametrize("wrong", ["swarm_navigator", "a:b c", "a b:C", "f.py:", "f.py:3", "f\n.py:C", "a/b:C"])
def test_a_text_that_is_no_reference_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"trust: a class outside the registries is file\.py:Class"):
        ac.trust(wrong)


def test_names_of_the_registries_stay_names() -> None:
    assert not references.is_reference("swarm_navigator")
    assert not references.is_reference("jaxdem:three_gears")
    assert not references.is_reference(None)
    assert references.short_name("a/b.py:Flock") == "Flock"
    assert references.short_name("jaxdem:three_gears") == "jaxdem:three_gears"


@pytest.mark.parametrize("field", NAMES)
def test_a_class_of_another_kind_is_refused(field: str) -> None:
    with pytest.raises(TypeError, match=r"is a class on .*; got the class dict"):
        replace(TINY, **{field: dict})
    with pytest.raises(TypeError, match=f"TrainConfig: {field} is a name; got int"):
        replace(TINY, **{field: 3})


def test_a_registered_class_is_kept_by_its_name() -> None:
    assert replace(TINY, env=MultiNavigator).env == "multi_navigator"


def test_a_class_object_trains_and_is_found_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = replace(TINY, env=Herd, out=tmp_path / "run")
    assert config.env.endswith(":Herd")
    assert ac.TrainConfig.from_dict(config.to_dict()) == config
    result = ac.train(config)
    assert isinstance(result.environment, Herd)
    assert f"in the shell: jaxdem-ac eval {tmp_path / 'run'} --trust" in capsys.readouterr().err
    observation = result.environment.reset(__import__("jax").random.key(0)).observation
    policy = ac.load_policy(tmp_path / "run")
    assert (policy(observation) == result.policy(observation)).all()
    with references.scope():
        references._trust.known.clear()
        with pytest.raises(PermissionError, match="Herd"):
            ac.load_policy(tmp_path / "run")


def test_a_class_of_a_function_trains_and_says_that_it_has_to_be_at_hand(tmp_path: Path) -> None:
    @dataclass(frozen=True, kw_only=True)
    class Local(MultiNavigator):
        """Navigators."""

    config = replace(TINY, env=Local, out=tmp_path / "run")
    with pytest.warns(UserWarning, match=r"only where the class is at hand.*jaxdem_ac.trust\(Local\)"):
        ac.train(config)
    assert "code" not in json.loads((tmp_path / "run/config.json").read_text())
    ac.load_policy(tmp_path / "run")
    references._trust.known.clear()
    references.trust_everything()
    with pytest.raises(
        PermissionError, match=r"found where it is at hand.*Define it, then call jaxdem_ac.trust\(Local\)"
    ):
        ac.load_policy(tmp_path / "run")
    ac.trust(Local)
    ac.load_policy(tmp_path / "run")


def test_a_name_that_a_script_registers_is_found_by_its_class(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    registry.environments.register("own_herd")(Herd)
    try:
        config = replace(TINY, env="own_herd", out=tmp_path)
        (tmp_path / "config.json").write_text(config_text(config))
        assert read_config(tmp_path) == config
        announce(config)
        assert "--trust" in capsys.readouterr().err
    finally:
        registry.environments.forget("own_herd")
    stored = json.loads((tmp_path / "config.json").read_text())
    assert stored["config"]["env"] == "own_herd"
    assert stored["code"]["env"]["class"] == "Herd"
    found = read_config(tmp_path)
    assert references.Reference.parse("", found.env) == references.Reference.of(Herd)
    with pytest.raises(PermissionError):
        registry.environments.get(found.env)
    ac.trust(found.env)
    assert registry.environments.get(found.env) is Herd


SCRIPT = f"""{SOURCE}
import jaxdem_ac as ac

if __name__ == "__main__":
    config = ac.TrainConfig().with_values({SETTINGS})
    from dataclasses import replace
    ac.train(replace(config, env=Flock, model=Net, action_space=Space, out="run"))
"""


def test_a_script_that_trains_its_own_classes_is_evaluated_from_the_shell(file: Path) -> None:
    file.write_text(SCRIPT)
    program = [sys.executable, file.name]
    told = subprocess.run(program, cwd=file.parent, capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    assert "jaxdem-ac eval run --trust" in told.stderr
    stored = json.loads((file.parent / "run/config.json").read_text())
    assert {field: stored["config"][field] for field in NAMES} == {f: f"{file}:{name}" for f, name in NAMES.items()}
    command = [sys.executable, "-m", "jaxdem_ac.cli", "eval", "run", "--episodes", "2", "--trust"]
    told = subprocess.run(command, cwd=file.parent, capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    assert imports(file) == 2


def test_a_class_written_for_jaxdem_stands_as_its_own_do(monkeypatch: pytest.MonkeyPatch) -> None:
    class Host:
        class Environment:
            @classmethod
            def Create(cls, N: int = 3) -> object:
                """Make it."""

    class Native(Host.Environment):
        """JaxDEM's."""

    monkeypatch.setitem(sys.modules, "jaxdem.rl", Host)  # type: ignore[arg-type]
    ac.trust(Native)
    made = registry.environments.get(str(references.Reference.of(Native)))
    assert made.host_class is Native
    assert made.__signature__ == from_jaxdem.hosted("Native", Native).__signature__  # type: ignore[attr-defined, arg-type]
