"""What all tests share: how hypothesis draws, and where JAX runs."""

import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path

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
# And nothing is left in the cache folder of who runs them.
os.environ.setdefault("JAX_ENABLE_COMPILATION_CACHE", "0")
# Tracing and lowering are most of the time; where each operation stands in the code is noted for nobody here.
os.environ.setdefault("JAX_TRACEBACK_IN_LOCATIONS_LIMIT", "0")
# Tracing makes many objects and few that are garbage: looking for it at every 700th is a tenth of the time.
gc.set_threshold(50_000)


@pytest.fixture(autouse=True, scope="module")
def few_programs() -> Iterator[None]:
    """Compiled programs of all tests together need more memory maps than a process may have."""
    yield
    if "jax" in sys.modules:
        sys.modules["jax"].clear_caches()


SLOW_CASES = Path(__file__).with_name("slow_cases.txt")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the cases of slow_cases.txt: `make slow` runs them; of each a cheaper relative is in `make test`."""
    slow = set(SLOW_CASES.read_text(encoding="utf-8").splitlines())
    for item in items:
        if item.nodeid in slow:
            item.add_marker(pytest.mark.slow)
    # Where all tests are collected, a name that none has is one that has changed.
    if config.args == config.getini("testpaths") and not config.option.keyword:
        unknown = slow - {item.nodeid for item in items}
        if unknown:
            raise pytest.UsageError(f"slow_cases.txt names tests that are there; got {sorted(unknown)[:3]}.")
