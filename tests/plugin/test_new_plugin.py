"""A plugin that was begun by the command: its tests pass, it is found by name, and what breaks in it is told."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from support.command_line import assert_one_line, call
from support.example_programs import run

from jaxdem_ac.plugin import check as plugin_check
from jaxdem_ac.plugin.new import write_plugin


@pytest.mark.parametrize("name", ["1st", "my.flock", "class", "none", "../up", ""])
def test_a_name_that_is_none_is_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="a name has letters, digits, - and _"):
        write_plugin(name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "there"), [("jaxdem-ac", "__init__.py"), ("random", "random.py"), ("timestep", "Timestep")]
)
def test_a_name_that_something_else_has_is_refused(name: str, there: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"names of their own; got '{name}', and there is .*{there}"):
        write_plugin(name, tmp_path / "new")
    assert not list(tmp_path.iterdir())


def test_what_is_there_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert_one_line(call("plugin", "new", "Swarm-Roller"), "there is 'swarm_roller'")
    (tmp_path / "my-flock").mkdir()
    (tmp_path / "my-flock/notes").write_text("mine")
    assert_one_line(call("plugin", "new", "my-flock"), "'my-flock', which is there")
    assert [entry.name for entry in tmp_path.rglob("*")] == ["my-flock", "notes"]


def test_it_has_a_distribution_with_an_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = call("plugin", "new", "My-flock", "--json")
    assert json.loads(result.stdout) == {"path": "My-flock"}
    files = {str(path.relative_to(tmp_path / "My-flock")) for path in tmp_path.rglob("*") if path.is_file()}
    assert files == {
        "pyproject.toml", "README.md", "src/my_flock/__init__.py", "src/my_flock/environment.py",
        "tests/test_my_flock.py",
    }  # fmt: skip
    assert 'my_flock = "my_flock.environment:MyFlock"' in (tmp_path / "My-flock/pyproject.toml").read_text()
    assert "$" not in "".join((tmp_path / "My-flock" / name).read_text() for name in files)
    # Its class is read as a file of one's own, and keeps to the contract.
    monkeypatch.syspath_prepend(tmp_path / "My-flock/src")
    from my_flock.environment import MyFlock  # type: ignore[import-not-found]

    from jaxdem_ac.environments.testing import check_environment

    check_environment(MyFlock(num_particles=3, max_steps=60))
    for module in [name for name in sys.modules if name.startswith("my_flock")]:
        monkeypatch.delitem(sys.modules, module)


@pytest.mark.slow
def test_it_installs_and_passes_its_own_tests(tmp_path: Path) -> None:
    folder, installed = write_plugin("my-flock", tmp_path / "begun"), tmp_path / "installed"
    options = ["--quiet", "--disable-pip-version-check", "--no-index", "--no-deps", "--no-build-isolation"]
    run(["-m", "pip", "install", *options, "--target", str(installed), str(folder)], tmp_path)
    assert "passed" in run(["-m", "pytest", "-q", str(folder / "tests")], tmp_path, installed)
    checked = json.loads(run(["-m", "jaxdem_ac.cli", "plugin", "check", "--json"], tmp_path, installed))
    assert {each["name"] for each in checked} == {"my_flock"}
    assert {each["origin"] for each in checked} == {"my-flock"}
    assert len(checked) > 8
    assert all(each["error"] is None for each in checked)


@pytest.fixture
def announced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have distributions that announce an action space that is right, a broken one, and one that is not there."""
    from jaxdem_ac.action_spaces.box import Box
    from jaxdem_ac.action_spaces.free import Free
    from jaxdem_ac.action_spaces.max_norm import MaxNorm
    from jaxdem_ac.registry import Problem, Registry

    class Doubled(Free):
        def forward_and_log_det(self, x: Any) -> Any:
            return 2 * x, 0 * x

        def inverse_and_log_det(self, y: Any) -> Any:
            return y / 2, 0 * y

    fresh = Registry("action space", "nobody.action_spaces")
    fresh.add("Mine", "jaxdem_ac.action_spaces.box:Box")
    for name, cls, origin in (("Good", MaxNorm, "a-plugin"), ("Bad", Doubled, "b-plugin"), ("Bare", Box, "c")):
        fresh.add(name, cls, origin)
    fresh.problems.append(Problem("nobody.action_spaces", "Gone", "b-plugin", "ModuleNotFoundError: gone"))
    monkeypatch.setattr(plugin_check, "REGISTRIES", (fresh,))
    monkeypatch.setattr(plugin_check, "action_spaces", fresh)


@pytest.mark.usefixtures("announced")
def test_what_is_broken_is_told_and_the_rest_is_checked() -> None:
    result = call("plugin", "check", "--json")
    assert result.exit_code == 1
    found = {(each["name"], each["point"]): each["error"] for each in json.loads(result.stdout)}
    assert [point for name, point in found if name == "Good"] == [
        "map", "log_det", "inverse", "far_out", "expectation", "metadata",
    ]  # fmt: skip
    wrong = {key: error for key, error in found.items() if error is not None}
    assert set(wrong) == {("Bad", "log_det"), ("Gone", "loads")}
    assert "the log-determinant is that of the derivative" in wrong["Bad", "log_det"]
    assert [point for name, point in found if name == "Bare"] == ["not checked, for it needs x_min:"]
    # Ours are nobody's plugin.
    assert "Mine" not in {name for name, _ in found}


@pytest.mark.usefixtures("announced")
def test_one_distribution_is_chosen() -> None:
    result = call("plugin", "check", "a-plugin")
    assert result.exit_code == 0
    assert result.stdout.startswith("action space Good of a-plugin:\n  map           ok\n")
    assert "Bad" not in result.stdout
    assert_one_line(call("plugin", "check", "a-plugim"), "'a-plugim', which announces none", "Did you mean 'a-plugin'")


def test_nothing_is_installed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugin_check, "REGISTRIES", ())
    result = call("plugin", "check")
    assert (result.exit_code, result.stdout.count("\n")) == (0, 1)
