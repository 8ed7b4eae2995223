"""Tests that need JaxDEM itself ask for `rl`, and are skipped where it is not installed."""

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from jaxdem_ac.plugin.registration import register

# Probe environments are those of the trainer's tests.
sys.path.append(str(Path(__file__).parents[1] / "trainers"))


@pytest.fixture(scope="session")
def rl() -> ModuleType:
    """Return ``jaxdem.rl`` with our classes in it. A broken JaxDEM fails here; only a missing one skips."""
    if importlib.util.find_spec("jaxdem") is None:
        pytest.skip("JaxDEM is not installed")
    module = importlib.import_module("jaxdem.rl")
    register()
    return module
