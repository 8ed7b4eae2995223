"""What all tests share: how hypothesis draws, and where JAX runs."""

import os
import sys
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

# JAX compiles inside a first example: no example is timed, and none is called slow.
settings.register_profile(
    "repeatable",
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=25,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("explore", deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))

# Subprocesses inherit it: no test depends on what accelerator stands in a machine.
os.environ.setdefault("JAX_PLATFORMS", "cpu")


@pytest.fixture(autouse=True, scope="module")
def few_programs() -> Iterator[None]:
    """Compiled programs of all tests together need more memory maps than a process may have."""
    yield
    if "jax" in sys.modules:
        sys.modules["jax"].clear_caches()
