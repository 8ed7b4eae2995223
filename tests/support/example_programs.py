"""Programs in processes of their own, and the plugin of the example, installed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLUGIN = ROOT / "examples/06_third_party_plugin"


def run(code: list[str], cwd: Path, installed: Path | None = None) -> str:
    """Run Python in a process of its own, with what is installed in a folder, and return what it prints."""
    paths = [
        *([installed] if installed else []),
        ROOT,
        *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)),
    ]
    done = subprocess.run(
        [sys.executable, *code],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths)), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the plugin of the example, without a network, and return the folder."""
    folder = tmp_path_factory.mktemp("installed")
    options = ["--quiet", "--disable-pip-version-check", "--no-index", "--no-deps", "--no-build-isolation"]
    run(["-m", "pip", "install", *options, "--target", str(folder), str(PLUGIN)], folder)
    return folder
