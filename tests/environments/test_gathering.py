"""A task of eighty lines on the base of the package's own: what a third party gets for it."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import gathering
from support.gathering import Gathering

import jaxdem_ac as ac
from jaxdem_ac.environments.testing import check_environment
from jaxdem_ac.registry import environments
from jaxdem_ac.runs.build import initial_policy


def test_it_is_short() -> None:
    assert len(Path(gathering.__file__).read_text().splitlines()) <= 80


def test_it_keeps_the_contract() -> None:
    check_environment(Gathering())


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"side": 0.0}, r"Gathering: side is above 0; got side=0.0"),
        ({"drag": -1.0}, r"Gathering: drag is at least 0; got drag=-1.0"),
        ({"max_steps": 2.5}, r"Gathering: max_steps is a whole number from 1; got max_steps=2.5"),
        ({"radius": -1.0}, r"Gathering: radius is above 0"),
        ({"dt": float("nan")}, r"Gathering: dt is a finite number"),
        ({"neighbor_room": 0}, r"Gathering: neighbor_room is above 0"),
    ],
)
def test_a_field_keeps_to_its_annotation(keywords: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Gathering(**keywords)


def test_its_force_is_what_moves_it() -> None:
    """A free disc under a constant force and drag: ``v = F / drag (1 - exp(-drag t / m))``, as the engine steps it."""
    task = Gathering(num_particles=1, side=64.0)
    state = task.reset(jax.random.key(0))
    state, timestep = task.step(state, jnp.array([[2.0, 0.0]]))
    velocity = 0.0
    kick = 0.5 * task.dt
    force = 0.0
    for _ in range(task.physics_steps):
        half = velocity + kick * force
        force = 4.0 - velocity
        velocity = half + kick * force
    np.testing.assert_allclose(state.particles.velocity, [[velocity, 0.0]], rtol=1e-5)
    assert float(timestep.info["success"]) in (0.0, 1.0)


def test_it_trains_and_is_evaluated_by_name() -> None:
    with environments.temporarily("gathering", Gathering):
        numbers = ac.PPOConfig(num_envs=8, num_steps=20, num_minibatches=4)
        config = ac.TrainConfig(env="gathering", env_kw={"num_particles": 4}, steps=8 * 20 * 4 * 40, ppo=numbers)
        result = ac.train(config)
        assert result.metrics[-1]["reward"] > result.metrics[0]["reward"] + 0.1
        before, after = (
            ac.evaluate(result.environment, policy, jax.random.key(1), 16).success
            for policy in (initial_policy(result.config), result.policy)
        )
        assert before is not None
        assert after is not None
        assert after.low > before.high
