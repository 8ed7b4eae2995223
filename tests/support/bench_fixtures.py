"""What the tests of the bench share: an environment of random numbers, and limits that nobody waits for."""

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import pytest

from jaxdem_ac.bench import stages, suite
from jaxdem_ac.bench.cases import STAGES
from jaxdem_ac.bench.machine import Limits
from jaxdem_ac.environments.testing.toys import RandomEnvironment
from jaxdem_ac.registry import environments

SMALL = {"model_kw.architecture": [8], "ppo.num_steps": 8, "ppo.num_epochs": 1, "ppo.num_minibatches": 2}
LIMITS = Limits({"float32": 1e11, "bfloat16": 1e11}, 1e10)


@pytest.fixture
def noise(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Register noise as an environment, and give its name."""
    monkeypatch.setattr(suite, "measure_limits", lambda dtypes: LIMITS)
    with environments.temporarily("noise", RandomEnvironment):
        yield "noise"


@pytest.fixture
def quick(noise: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Have every stage be one small product, and give the environment's name."""

    def program(environment: Any, config: Any) -> stages.Program:
        def function(held: jax.Array, stays: jax.Array, key: jax.Array) -> Any:
            held = held + jax.random.uniform(key)
            overflow = jnp.asarray(getattr(environment, "overflow", 0.0))
            return held, ({"digest": jnp.sum(held @ stays), "overflow": overflow}, held)

        return stages.Program(function, jnp.ones((4, 4)), jnp.ones((4, 4)))

    for name in STAGES:
        monkeypatch.setitem(stages.PROGRAMS, name, program)
    return noise
