"""The examples and the README's code, run as a user would run them."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def run(code: list[str], cwd: Path) -> str:
    done = subprocess.run([sys.executable, *code], cwd=cwd, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.slow
def test_train_a_swarm(tmp_path: Path) -> None:
    output = run([str(ROOT / "examples/01_train_a_swarm.py"), "--steps", "40000"], tmp_path)
    assert "after one decision: (16, 50) (16,)" in output
    assert re.search(r"targets covered at the end of an episode: 0\.\d{3} \[", output)


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("jaxdem") is None, reason="JaxDEM is not installed")
def test_models_by_name_in_jaxdem(tmp_path: Path) -> None:
    output = run([str(ROOT / "examples/02_models_by_name_in_jaxdem.py"), "--epochs", "2"], tmp_path)
    assert "trained SharedActorCritic in JaxDEM's PPO; action space MaxNorm" in output


@pytest.mark.slow
def test_policies_per_species(tmp_path: Path) -> None:
    output = run([str(ROOT / "examples/03_policies_per_species.py"), "--steps", "20000"], tmp_path)
    assert re.search(r"goals reached: 0\.\d{3} \[", output)
    assert re.search(r"light: -?\d+% of the push, at the load \d+% of the time", output)
    assert (tmp_path / "two_species.png").stat().st_size > 10_000


@pytest.mark.slow
def test_quickstart_of_the_readme(tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    quickstart = blocks[0].replace("steps=4_000_000", "steps=20_000")
    assert "steps=20_000" in quickstart
    script = tmp_path / "quickstart.py"
    script.write_text(quickstart + "\nassert trajectory.reward.shape == (100, 8, 16)\n")
    assert re.search(r"\d\.\d{3} \[", run([str(script)], tmp_path))
    assert (tmp_path / "runs/first/config.json").is_file()
