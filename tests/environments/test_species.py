"""Swarms of several kinds: sizes by species, and what a particle sees of its own."""

import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxdem_ac as ac

NAMES = ("swarm_navigator", "multi_navigator", "collective_transport", "evacuation", "swarm_roller", "active_brownian")
every_task = pytest.mark.parametrize("name", NAMES)
SPECIES = [0, 1, 1, 0, 2, 1]
SMALL: dict[str, Any] = {"num_particles": len(SPECIES), "physics_steps": 2}


@every_task
def test_each_kind_has_its_own_sizes_and_sees_them(name: str) -> None:
    environment = ac.make_environment(
        name, **SMALL, species=SPECIES, radius=[0.5, [0.6, 0.8], 1.0], mass=[1.0, 2.0, [3.0, 5.0]], observe_sizes=True
    )
    plain = ac.make_environment(name, **SMALL)
    assert environment.observation_size == plain.observation_size + 2
    state = jax.jit(environment.reset)(jax.random.key(0))
    for _ in range(2):
        radius, mass = (np.asarray(size)[: len(SPECIES)] for size in (state.particles.radius, state.particles.mass))
        kinds = np.asarray(SPECIES)
        np.testing.assert_allclose(radius[kinds == 0], 0.5)
        np.testing.assert_allclose(radius[kinds == 2], 1.0)
        assert ((radius[kinds == 1] >= 0.6) & (radius[kinds == 1] <= 0.8)).all()
        assert len(set(radius[kinds == 1])) == 3
        np.testing.assert_allclose(mass[kinds == 1], 2.0)
        assert ((mass[kinds == 2] >= 3.0) & (mass[kinds == 2] <= 5.0)).all()
        assert state.observation.shape == (len(SPECIES), environment.observation_size)
        np.testing.assert_array_equal(state.observation[:, -2:], np.column_stack([radius, mass]))
        state, timestep = environment.step(state, jnp.zeros((len(SPECIES), environment.action_size)))
        np.testing.assert_array_equal(timestep.observation, state.observation)
    assert hash(environment) == hash(ac.make_environment(name, **json.loads(json.dumps(_fields(environment)))))


def _fields(environment: Any) -> dict[str, Any]:
    names = ("num_particles", "physics_steps", "species", "radius", "mass", "observe_sizes")
    return {field: getattr(environment, field) for field in names}


@every_task
def test_one_number_is_for_all_kinds_and_nothing_is_seen_unasked(name: str) -> None:
    environment = ac.make_environment(name, **SMALL, species=SPECIES, radius=0.7)
    state = environment.reset(jax.random.key(1))
    np.testing.assert_allclose(state.particles.radius[: len(SPECIES)], 0.7)
    assert environment.observation_size == ac.make_environment(name, **SMALL).observation_size


def test_make_state_takes_the_middle_of_each_kind() -> None:
    environment = ac.make_environment("multi_navigator", num_particles=3, species=[0, 1, 1], radius=[0.5, [0.6, 0.8]])
    place = jnp.asarray([[0.0, 0.0], [5.0, 0.0], [0.0, 5.0]])
    state = environment.make_state(position=place, targets=place, box_low=[-9, -9], box_high=[9, 9])
    np.testing.assert_allclose(state.particles.radius, [0.5, 0.7, 0.7])


@pytest.mark.parametrize(
    ("keywords", "said"),
    [
        ({"species": [0, 1]}, "2 for num_particles=4"),
        ({"species": [0, 0, 2, 2]}, r"none left out.*\[0, 0, 2, 2\]"),
        ({"species": [0, 0, 0.5, 1]}, "whole number"),
        ({"species": 3}, "whole number"),
        ({"species": [0, 0, 1, 1], "radius": [0.5, 0.6, 0.7]}, "2 species radius has an entry for each"),
        ({"species": [0, 0, 1, 1], "radius": [0.5, [0.9, 0.6]]}, "Swap the ends"),
        ({"species": [0, 0, 1, 1], "mass": [1.0, -1.0]}, r"mass\[1\] is above 0"),
        ({"radius": [0.5, 0.6, 0.7]}, "Give both ends"),
    ],
)
def test_bad_species_and_sizes_are_named(keywords: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        ac.make_environment("swarm_navigator", num_particles=4, **keywords)


def test_observe_sizes_is_a_flag() -> None:
    with pytest.raises(TypeError, match="observe_sizes is true or false"):
        ac.make_environment("evacuation", observe_sizes=1)


def test_a_policy_of_species_takes_those_of_its_environment() -> None:
    from jaxdem_ac.runs.build import build_environment, build_model

    config = ac.TrainConfig(
        env="multi_navigator",
        env_kw={"num_particles": 4, "species": [0, 1, 1, 0]},
        model="PerParticle",
        model_kw={"sharing": "species"},
    )
    model = build_model(config, build_environment(config))
    assert model.species == (0, 1, 1, 0)
    assert model.num_sets == 2
