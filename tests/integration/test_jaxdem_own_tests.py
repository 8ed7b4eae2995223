"""JaxDEM's own tests, run from a checkout of it: with us they end as they do without us, one by one.

The checkout is named by the environment variable JAXDEM_SOURCE; nothing of it is kept here.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from jaxdem_ac.plugin import autoload

ROOT = Path(__file__).resolve().parents[2]

FILES = ("test_ppo_math.py", "test_checkpoints.py", "test_public_api.py")
"""On the mathematics of PPO, checkpoints and the public interface; older checkouts have fewer."""

BEGINNINGS = {
    "imported": "import jaxdem_ac",
    "registered": "import jaxdem_ac; jaxdem_ac.register()",
    "by autoload": "",
}

# Looked at when all tests are done: what of ours was there.
PROBE = """
import json, os, sys
{beginning}


def pytest_sessionfinish():
    rl = sys.modules.get("jaxdem.rl")
    keys = [] if rl is None else [*rl.Model._registry, *rl.ActionSpace._registry]
    ours = sorted(key for key in keys if key.startswith("ac."))
    found = {{"host": rl and rl.__file__, "ours": ours, "imported": "jaxdem_ac" in sys.modules}}
    with open(os.environ["JAXDEM_AC_FOUND"], "w") as file:
        json.dump(found, file)
"""

SITE = "import site; site.addsitedir({folder!r})"

Outcomes = dict[str, list[tuple[str, str]]]

pytestmark = [
    pytest.mark.jaxdem,
    pytest.mark.slow,
    pytest.mark.skipif(
        "JAXDEM_SOURCE" not in os.environ, reason="JAXDEM_SOURCE names no checkout of JaxDEM, whose tests would be run"
    ),
]


def source() -> Path:
    return Path(os.environ["JAXDEM_SOURCE"]).resolve()


def outcomes(report: Path) -> Outcomes:
    """Return how each test ended, and on what kind of error."""
    ended: Outcomes = {}
    for case in ElementTree.parse(report).iter("testcase"):
        parts = [part for part in case if part.tag in ("failure", "error", "skipped")]
        reasons = [(part.tag, part.get("message", "").partition(":")[0]) for part in parts]
        ended[f"{case.get('classname')}::{case.get('name')}"] = reasons or [("passed", "")]
    return ended


def run(folder: Path, beginning: str = "", with_autoload: bool = False) -> tuple[Outcomes, dict[str, Any]]:
    """Run the tests in a process of their own; return how each ended, and what of ours was there."""
    files = [f"tests/{name}" for name in FILES if (source() / "tests" / name).is_file()]
    assert files, f"no tests in {source()}: is it a checkout of JaxDEM?"
    report, found, site = folder / "report.xml", folder / "found.json", folder / "site"
    site.mkdir()
    (site / "jaxdem_ac_probe.py").write_text(PROBE.format(beginning=beginning))
    if with_autoload:
        (folder / "pth").mkdir()
        autoload.enable(folder / "pth")
        (site / "sitecustomize.py").write_text(SITE.format(folder=str(folder / "pth")))
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    paths = [site, source(), ROOT, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "jaxdem_ac_probe", "-q"),
            *(f"--junitxml={report}", f"--basetemp={folder / 'base'}", *files),
        ],
        cwd=source(),
        env={
            **inherited,
            "PYTHONPATH": os.pathsep.join(map(str, paths)),
            "PYTHONDONTWRITEBYTECODE": "1",
            "JAXDEM_AC_FOUND": str(found),
        },
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )
    # 1: some test of theirs fails.
    assert done.returncode in (0, 1), done.stdout[-3000:] + done.stderr[-3000:]
    return outcomes(report), json.loads(found.read_text())


@pytest.fixture(scope="module")
def without_us(tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    """Return how JaxDEM's tests end where nothing of ours is imported."""
    ended, found = run(tmp_path_factory.mktemp("without"))
    assert not found["imported"], "this Python environment has autoload on: jaxdem-ac autoload --disable"
    assert Path(found["host"]).is_relative_to(source())
    assert sum(reasons == [("passed", "")] for reasons in ended.values()) > 50
    return ended


@pytest.mark.parametrize("way", BEGINNINGS)
def test_they_end_as_without_us(without_us: Outcomes, tmp_path: Path, way: str) -> None:
    with_us, found = run(tmp_path, BEGINNINGS[way], with_autoload=way == "by autoload")
    assert Path(found["host"]).is_relative_to(source())
    assert {"ac.sharedactorcritic", "ac.actorcritic", "ac.box", "ac.free", "ac.maxnorm"} <= set(found["ours"])
    assert with_us == without_us
