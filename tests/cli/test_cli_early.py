"""What commands refuse before they compute: a folder that is taken, devices that are not there."""

import json
import os
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest

import jaxdem_ac as ac
from jaxdem_ac.runs import lock


def shell(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the program as a process of its own."""
    code = (
        "import sys; from jaxdem_ac import cli\n"
        "try: cli.main(sys.argv[1:])\nfinally: print('jax' in sys.modules, file=sys.stdout)"
    )
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, env={**os.environ, **environment},
        check=False,
    )  # fmt: skip


@pytest.mark.parametrize("option", ["--out", "--resume"])
def test_a_folder_that_is_taken_is_refused_before_jax_is_loaded(option: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"format": 3, "config": ac.TrainConfig().to_dict()}))
    with lock.held(tmp_path) if option == "--resume" else nullcontext():
        done = shell("train", option, str(tmp_path))
    assert (done.returncode, done.stdout) == (2, "False\n")
    assert done.stderr.count("\n") == 1
    assert ("holds a run" if option == "--out" else f"process {os.getpid()} on") in done.stderr


def test_a_backend_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    for name, command in (("cpuu", ["train", "--out", str(tmp_path / "run")]), ("cuda", ["bench", "--repeats", "3"])):
        done = shell(*command, JAX_PLATFORMS=name)
        assert done.returncode == 2, done.stderr
        assert done.stderr.count("\n") == 1
        assert f"Unset JAX_PLATFORMS, which is '{name}'" in done.stderr
    found = shell("doctor", "--json", JAX_PLATFORMS="cpuu")
    faults = json.loads(found.stdout.splitlines()[0])["faults"]
    assert found.returncode == 1
    assert list(faults) == ["devices"]
    assert "JAX_PLATFORMS, which is 'cpuu'" in faults["devices"]
    assert not (tmp_path / "run").exists()
