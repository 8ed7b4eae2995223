"""Parameters that particles do not share: each has its own, and only its own."""

import json
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jaxdem_ac as ac
from jaxdem_ac.models.per_particle import species_as_feature

SIZES: dict[str, Any] = {"observation_space_size": 5, "action_space_size": 2, "action_space": "MaxNorm"}
SPECIES = [0, 2, 1, 0, 0, 2]
WAYS = {
    "shared": {"sharing": "shared"},
    "species": {"sharing": "species", "species": SPECIES},
    "independent": {"sharing": "independent", "num_particles": 6},
}
MODELS: dict[str, dict[str, Any]] = {
    "SharedActorCritic": {"architecture": (8,)},
    "ActorCritic": {"actor_architecture": (8,), "critic_architecture": (7, 6), "actor_sigma_head": True},
}
each_way = pytest.mark.parametrize("way", WAYS)
each_model = pytest.mark.parametrize("model", MODELS)


def build(way: str, model: str = "SharedActorCritic", key: int = 0, **keywords: Any) -> Any:
    return ac.make_model("PerParticle", key=key, model=model, **SIZES, **WAYS[way], **{**MODELS[model], **keywords})


def set_of(model: Any, number: int, name: str) -> Any:
    """Return one of the sets as an actor-critic of its own."""
    alone = ac.make_model(name, key=9, **SIZES, **MODELS[name])
    stacked = nnx.to_pure_dict(nnx.state(model.sets, nnx.Param))
    state = nnx.state(alone, nnx.Param)
    nnx.replace_by_pure_dict(state, jax.tree.map(lambda leaf: leaf[number], stacked))
    nnx.update(alone, state)
    return alone


@each_model
@each_way
@pytest.mark.parametrize("batch", [(), (3,), (2, 3)])
def test_each_particle_acts_with_its_own_set(way: str, model: str, batch: tuple[int, ...]) -> None:
    together = build(way, model)
    x = jax.random.normal(jax.random.key(1), (*batch, 6, 5))
    policy, value = jax.jit(lambda state, x: _read(nnx.merge(nnx.graphdef(together), state)(x)))(nnx.state(together), x)
    owner = {"shared": [0] * 6, "species": SPECIES, "independent": range(6)}[way]
    for particle, number in enumerate(owner):
        expected, expected_value = _read(set_of(together, number, model)(x[..., particle, :]))
        np.testing.assert_allclose(value[..., particle, :], expected_value, atol=1e-5)
        for one, other in zip(policy, expected, strict=True):
            np.testing.assert_allclose(
                one[..., particle, :], jnp.broadcast_to(other, one[..., particle, :].shape), atol=1e-5
            )


def _read(answer: Any) -> Any:
    policy, value = answer
    return (policy.mode(), policy.distribution.loc, policy.distribution.scale_diag), value


@pytest.mark.parametrize("way", ["species", "independent"])
def test_sets_are_drawn_apart(way: str) -> None:
    kernel = np.asarray(build(way).sets.actor_mu.kernel[...])
    assert len({each.tobytes() for each in kernel}) == len(kernel)


@pytest.mark.parametrize("way", ["species", "independent"])
def test_no_particle_touches_parameters_of_others(way: str) -> None:
    together = build(way)
    graphdef, state = nnx.split(together)
    x = jax.random.normal(jax.random.key(1), (4, 6, 5))

    def of_particle(state: Any, particle: int) -> jax.Array:
        policy, value = nnx.merge(graphdef, state)(x)
        return jnp.sum(policy.raw_log_prob(jnp.ones((4, 6, 2)))[:, particle]) + jnp.sum(value[:, particle])

    owner = {"species": SPECIES, "independent": range(6)}[way]
    gradient_of = jax.jit(jax.grad(of_particle), static_argnums=1)
    for particle, number in enumerate(owner):
        gradient = nnx.to_pure_dict(nnx.split_state(gradient_of(state, particle), nnx.Param, ...)[0])
        size = [np.abs(leaf).reshape(together.num_sets, -1).sum(axis=1) for leaf in jax.tree.leaves(gradient)]
        touched = np.sum(size, axis=0) > 0
        assert touched.tolist() == [each == number for each in range(together.num_sets)]


def test_species_as_the_last_number_of_an_observation() -> None:
    """As a host sees it that flattens particles away and shuffles them."""
    axis = build("species")
    feature = ac.make_model(
        "PerParticle",
        key=0,
        **{**SIZES, "observation_space_size": 6},
        sharing="species",
        num_species=3,
        architecture=(8,),
    )
    x = jax.random.normal(jax.random.key(1), (4, 6, 5))
    rows = species_as_feature(x, SPECIES).reshape(24, 6)
    order = jax.random.permutation(jax.random.key(2), 24)
    expected, expected_value = axis(x)
    found, value = feature(rows[order])
    np.testing.assert_allclose(found.mode(), expected.mode().reshape(24, 2)[order], atol=1e-5)
    np.testing.assert_allclose(value, expected_value.reshape(24, 1)[order], atol=1e-5)


@pytest.mark.parametrize("species", [2.0, -1.0, np.nan, 1e12])
def test_a_species_that_there_is_none_of_answers_with_nan(species: float) -> None:
    sizes = {**SIZES, "observation_space_size": 6}
    model = ac.make_model("PerParticle", key=0, **sizes, sharing="species", num_species=2, architecture=(8,))
    rows = jnp.ones((3, 6)).at[:, -1].set(jnp.array([0.0, species, 1.0]))
    policy, value = model(rows)
    known = np.array([True, False, True])
    for answer in (policy.distribution.loc, policy.distribution.scale_diag, value):
        np.testing.assert_array_equal(np.isfinite(answer).all(-1), known)


def test_a_species_that_is_observed_is_not_normalised() -> None:
    model_kw = {"sharing": "species", "num_species": 2, "architecture": [8]}
    config = ac.TrainConfig(env="multi_navigator", model="PerParticle", model_kw=model_kw, steps=64)
    config = config.with_values({"ppo.num_envs": 4, "ppo.num_steps": 4, "ppo.normalize_observation": True})
    with pytest.raises(ValueError, match="a species that is a number of the observation is not normalised"):
        ac.train(config, None)


def test_a_model_that_constrains_action_spaces_does_so_here_too() -> None:
    layout = {"observation_layout": ["vector", "lidar:8"], "architecture": (4, 4)}
    sizes = {"observation_space_size": 10, "action_space_size": 2}
    build = partial(ac.make_model, "PerParticle", key=0, model="SymmetricActorCritic", **sizes, **layout)
    box = ac.make_action_space("Box", x_min=[0.0, -1.0], x_max=[1.0, 5.0])
    with pytest.raises(ValueError, match="an action space has the symmetries of the model; got Box"):
        build(action_space=box)
    with pytest.raises(ValueError, match="a choice among actions has none; got Discrete"):
        build(action_space=ac.make_action_space("Discrete"))
    assert build(action_space=ac.make_action_space("MaxNorm", max_norm=2.0)).num_sets == 1


def test_metadata_has_blocks_as_json() -> None:
    environment = ac.make_environment("swarm_navigator", num_particles=3)
    layout = environment.observation_layout
    sizes = {"observation_space_size": environment.observation_size, "action_space_size": 2}
    one = ac.make_model("PerParticle", key=0, model="SymmetricActorCritic", observation_layout=layout, **sizes)
    again = ac.make_model("PerParticle", key=0, **json.loads(json.dumps(one.metadata)))
    assert again.metadata == one.metadata
    for here, there in zip(jax.tree.leaves(nnx.state(one)), jax.tree.leaves(nnx.state(again)), strict=True):
        np.testing.assert_array_equal(here, there)


@each_model
@each_way
def test_metadata_builds_the_same_again(way: str, model: str) -> None:
    one = build(way, model)
    other = ac.make_model("PerParticle", key=0, **one.metadata)
    for here, there in zip(jax.tree.leaves(nnx.state(one)), jax.tree.leaves(nnx.state(other)), strict=True):
        np.testing.assert_array_equal(here, there)
    assert other.metadata == one.metadata


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"sharing": "specis"}, "Did you mean 'species'"),
        ({"sharing": "independent"}, "needs num_particles"),
        ({"sharing": "species"}, "needs species"),
        ({"sharing": "species", "species": [0, 2]}, "none left out"),
        ({"sharing": "species", "species": [0, 1], "num_particles": 3}, "2 for 3 particles"),
        ({"sharing": "shared", "species": [0, 1]}, "only sharing='species'"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(keywords: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ac.make_model("PerParticle", key=0, **SIZES, **keywords)


def test_observations_without_the_particle_axis_are_refused() -> None:
    with pytest.raises(ValueError, match=r"N = 6; got shape \(7, 5\)"):
        build("species")(jnp.zeros((7, 5)))
    with pytest.raises(ValueError, match="5 numbers on its last axis"):
        build("species")(jnp.zeros((6, 4)))


@pytest.mark.parametrize("keywords", [{"sharing": "independent"}, {"sharing": "species", "species": [0, 0, 1, 1]}])
def test_a_training_keeps_the_particle_axis(keywords: dict[str, Any], tmp_path: Any) -> None:
    config = ac.TrainConfig(
        env="multi_navigator",
        env_kw={"num_particles": 4, "max_steps": 100},
        model="PerParticle",
        model_kw={**keywords, "architecture": [8]},
        steps=4 * 4 * 8 * 2,
        ppo=ac.PPOConfig(num_envs=4, num_steps=8, num_minibatches=2, num_epochs=1),
        out=str(tmp_path / "run"),
    )
    result = ac.train(config)
    kernel = np.asarray(result.policy.model.sets.actor_mu.kernel[...])
    first = ac.make_model(
        "PerParticle",
        observation_space_size=result.environment.observation_size,
        action_space_size=2,
        key=0,
        num_particles=4,
        **config.model_kw,
    )
    moved = np.abs(kernel - np.asarray(first.sets.actor_mu.kernel[...])).reshape(len(kernel), -1).max(axis=1)
    assert (moved > 0).all()
    observation = jax.random.normal(jax.random.key(0), (3, 4, result.environment.observation_size))
    np.testing.assert_array_equal(ac.load_policy(tmp_path / "run")(observation), result.policy(observation))
