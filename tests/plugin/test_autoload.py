"""The opt-in file, in a folder of the test's and, end to end, in a virtual environment of its own."""

import os
import subprocess
import sysconfig
import venv
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from jaxdem_ac.plugin import autoload

ROOT = Path(__file__).resolve().parents[2]

Host = Callable[..., Path]
Environment = tuple[Path, Path]


def test_it_is_written_found_and_removed(tmp_path: Path) -> None:
    path = tmp_path / "jaxdem_ac_autoload.pth"
    assert autoload.status(tmp_path) == autoload.AutoloadStatus(enabled=False, path=path)
    assert autoload.disable(tmp_path) is None
    for _ in range(2):
        assert autoload.enable(tmp_path) == path
        assert list(tmp_path.iterdir()) == [path]
    assert path.read_text() == autoload.LINE
    assert autoload.status(tmp_path) == autoload.AutoloadStatus(enabled=True, path=path)
    assert autoload.disable(tmp_path) == path
    assert list(tmp_path.iterdir()) == []
    assert autoload.disable(tmp_path) is None


def test_the_default_is_site_packages() -> None:
    assert autoload.status().path.parent == Path(sysconfig.get_path("purelib"))


def test_it_is_one_line_that_python_runs() -> None:
    assert autoload.LINE.count("\n") == 1
    assert autoload.LINE.startswith("import sys; ")
    assert autoload.LINE.isascii()


def test_others_may_read_it(tmp_path: Path) -> None:
    previous = os.umask(0o022)
    try:
        assert autoload.enable(tmp_path).stat().st_mode & 0o777 == 0o644
    finally:
        os.umask(previous)


@pytest.mark.parametrize(("failing", "call"), [("replace", autoload.enable), ("unlink", autoload.disable)])
def test_without_permission_the_message_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str, call: Callable[[Path], Any]
) -> None:
    autoload.enable(tmp_path)

    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, failing, refuse)
    monkeypatch.setattr(Path, failing, refuse)
    with pytest.raises(PermissionError, match=r"has to be writable; got Permission denied\. Use a virtual") as error:
        call(tmp_path)
    assert str(tmp_path) in str(error.value)
    assert (tmp_path / autoload.FILE).read_text() == autoload.LINE


@pytest.mark.parametrize("call", [autoload.enable, autoload.disable])
def test_a_folder_that_is_none(tmp_path: Path, call: Callable[[Path], Any]) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"file has to be writable; got Not a directory\."):
        call(tmp_path / "file")


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """Return the folder of a virtual environment with nothing in it, and its site-packages."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True, with_pip=False)
    base = {"base": str(folder), "platbase": str(folder)}
    return folder, Path(sysconfig.get_path("purelib", "venv", vars=base))


def _python(environment: Environment, program: str, *options: str, path: Iterable[Path] = ()) -> tuple[str, str]:
    """Run a program in that environment; return what it wrote to the two streams."""
    python = environment[0] / ("Scripts" if os.name == "nt" else "bin") / "python"
    variables = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    variables["PYTHONPATH"] = os.pathsep.join(map(str, path))
    variables["PYTHONDONTWRITEBYTECODE"] = "1"
    done = subprocess.run(
        [python, *options, "-c", program],
        cwd=environment[0],
        env=variables,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip(), done.stderr.strip()


LOOK = "import sys, jaxdem; print('jaxdem_ac' in sys.modules)"


@pytest.fixture
def enabled(environment: Environment) -> Iterator[Environment]:
    # By the environment's own python, and into its own site-packages.
    program = "from jaxdem_ac.plugin import autoload; print(autoload.enable())"
    path, error = _python(environment, program, path=[ROOT])
    assert (path, error) == (str(environment[1] / autoload.FILE), "")
    yield environment
    assert autoload.disable(environment[1]) == Path(path)


def test_scripts_that_import_jaxdem_get_us(enabled: Environment, host: Host) -> None:
    start = "import sys; print('jaxdem_ac' in sys.modules, str(sys.meta_path).count('JaxdemAcAutoload'))"
    assert _python(enabled, start, path=[ROOT]) == ("False 1", "")
    assert _python(enabled, LOOK, path=[ROOT, host()]) == ("True", "")
    assert _python(enabled, LOOK, "-S", path=[ROOT, host()]) == ("False", "")


def test_our_classes_are_registered_in_them(enabled: Environment, host: Host) -> None:
    program = """
import sys, types

# In place of our modules, which need jax.
for name, attributes in {
    "models.actor_critic": ["SharedActorCritic", "ActorCritic"],
    "models.per_particle": ["PerParticle"],
    "models.symmetric": ["SymmetricActorCritic"],
    "action_spaces.free": ["Free"],
    "action_spaces.box": ["Box"],
    "action_spaces.max_norm": ["MaxNorm"],
    "action_spaces.discrete": ["Discrete"],
    "environments.tasks.active_brownian": ["ActiveBrownian"],
    "environments.tasks.collective_transport": ["CollectiveTransport"],
    "environments.tasks.evacuation": ["Evacuation"],
    "environments.tasks.multi_navigator": ["MultiNavigator"],
    "environments.tasks.swarm_navigator": ["SwarmNavigator"],
    "environments.tasks.swarm_roller": ["SwarmRoller"],
}.items():
    module = sys.modules[f"jaxdem_ac.{name}"] = types.ModuleType(name)
    vars(module).update({attribute: type(attribute, (), {}) for attribute in attributes})
    for attribute in attributes:
        # As what was written for JaxDEM is marked: an adapter needs jax.
        vars(module)[attribute].host_class = vars(module)[attribute]
from jaxdem.rl import ActionSpace, Model
print(*sorted(key for root in (ActionSpace, Model) for key in root._registry if key.startswith("ac.")))
"""
    names = ["actorcritic", "box", "discrete", "free", "maxnorm", "perparticle", "sharedactorcritic"]
    expected = " ".join(f"ac.{name}" for name in [*names, "symmetricactorcritic"])
    assert _python(enabled, program, path=[ROOT, host()]) == (expected, "")


def test_in_isolated_mode_whatever_other_files_come_after_it(enabled: Environment, host: Host) -> None:
    later = enabled[1] / "zz_paths.pth"
    later.write_text(f"{ROOT}\n{host()}\n")
    try:
        assert _python(enabled, LOOK, "-I") == ("True", "")
    finally:
        later.unlink()


def test_after_an_uninstall_the_line_is_inert(enabled: Environment, host: Host) -> None:
    assert _python(enabled, "print('started')") == ("started", "")
    assert _python(enabled, LOOK, path=[host()]) == ("False", "")


def test_where_we_are_broken_jaxdem_still_works(enabled: Environment, host: Host, tmp_path: Path) -> None:
    (tmp_path / "broken" / "jaxdem_ac").mkdir(parents=True)
    (tmp_path / "broken" / "jaxdem_ac" / "__init__.py").write_text("import no_such_module_anywhere")
    output, error = _python(enabled, LOOK, path=[tmp_path / "broken", host()])
    assert output == "False"
    assert error.count("RuntimeWarning") == 1
    assert "jaxdem_ac_autoload: ModuleNotFoundError" in error


def test_without_the_file_nothing_happens(environment: Environment, host: Host) -> None:
    assert _python(environment, LOOK, path=[ROOT, host()]) == ("False", "")
