"""What is handed out: wheel and sdist, built and used where nothing of the development is."""

import json
import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.slow


def ran(*command: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        list(map(str, command)), cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Build both; return them by their ending."""
    pytest.importorskip("hatchling")
    out = tmp_path_factory.mktemp("dist")
    done = ran(sys.executable, "-m", "hatchling", "build", "-d", out, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return {path.suffix: path for path in out.iterdir()}


def test_both_hold_the_package_and_what_it_reads(built: dict[str, Path]) -> None:
    with zipfile.ZipFile(built[".whl"]) as wheel:
        inside = {name for name in wheel.namelist() if name.startswith("jaxdem_ac/")}
    there = {str(path.relative_to(ROOT)) for path in (ROOT / "jaxdem_ac").rglob("*") if path.is_file()}
    assert inside == {name for name in there if "__pycache__" not in name}
    with tarfile.open(built[".gz"]) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    assert inside <= names
    assert {"pyproject.toml", "README.md", "LICENSE", "tests/conftest.py"} <= names
    assert not {name for name in names if name.startswith(("runs/", ".ci/"))}


@pytest.mark.parametrize("ending", [".whl", ".gz"])
def test_it_works_in_an_environment_of_its_own(built: dict[str, Path], ending: str, tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", with_pip=False)
    python = tmp_path / "venv" / "bin" / "python"
    installed = ran(
        sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--disable-pip-version-check",
        built[ending], cwd=tmp_path,
    )  # fmt: skip
    if installed.returncode and any(
        word in installed.stderr for word in ("No matching distribution", "ConnectionError")
    ):
        pytest.skip("needs the package index")
    assert installed.returncode == 0, installed.stderr
    code = (
        "import importlib.util, json, jaxdem_ac\n"
        "from jaxdem_ac.runs.config_file import reference_names\n"
        "from jaxdem_ac.view.report.document import asset\n"
        "tools = [name for name in ('pytest', 'ruff', 'mypy', 'hypothesis') if importlib.util.find_spec(name)]\n"
        "print(json.dumps([jaxdem_ac.__file__, tools, reference_names(), len(asset('page.html'))]))"
    )
    done = ran(python, "-c", code, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    file, tools, references, length = json.loads(done.stdout)
    assert Path(file).is_relative_to(tmp_path / "venv")
    assert tools == []
    assert "reference/swarm_navigator" in references
    assert length > 100
    program = tmp_path / "venv" / "bin" / "jaxdem-ac"
    assert "swarm_navigator" in ran(program, "list", cwd=tmp_path).stdout
    small = ("--set", "env_kw.num_particles=3", "--set", "env_kw.physics_steps=1", "--episodes", "2", "--json")
    played = ran(program, "eval", "--env", "swarm_navigator", "--policy", "scripted", *small, cwd=tmp_path)
    assert played.returncode == 0, played.stderr
    assert 0 <= json.loads(played.stdout)["scripted"]["success"]["mean"] <= 1
