"""A value that sees all particles, in no order, and a policy that does not."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import Array

import jaxdem_ac as ac

SIZES = {"observation_space_size": 3, "action_space_size": 2}
NUM = 5


def make(**keywords: Any) -> Any:
    return ac.make_model("ActorCritic", **SIZES, key=0, **{"centralised_critic": True, **keywords})


def observations(*leading: int) -> Array:
    return jnp.asarray(np.random.default_rng(0).normal(size=(*leading, 3)), jnp.float32)


def test_the_value_sees_everybody_and_the_policy_itself() -> None:
    model = make(critic_scale=1.0)

    def answers(x: Array) -> tuple[Array, Array]:
        policy, value = model(x)
        return policy.distribution.loc, value[..., 0]

    of_policy, of_value = jax.jacfwd(answers)(observations(NUM))
    for here in range(NUM):
        for there in range(NUM):
            assert (jnp.abs(of_value[here, there]).max() > 1e-5).all()
            assert (jnp.abs(of_policy[here, :, there]).max() > 1e-5) == (here == there)


@pytest.mark.parametrize("leading", [(), (4,), (2, 4), (300,)])
def test_the_order_of_the_others_does_not_count(leading: tuple[int, ...]) -> None:
    model, x = make(critic_scale=1.0), observations(*leading, NUM)
    order = np.random.default_rng(1).permutation(NUM)
    value, permuted = model(x)[1], model(x[..., order, :])[1]
    assert value.shape == (*leading, NUM, 1)
    np.testing.assert_allclose(permuted, value[..., order, :], rtol=1e-4, atol=1e-5)


def test_a_batch_is_each_swarm_by_itself() -> None:
    model, x = make(critic_scale=1.0), observations(300, NUM)
    one_by_one = jnp.stack([model(swarm)[1] for swarm in x[:3]])
    np.testing.assert_allclose(model(x)[1][:3], one_by_one, rtol=1e-4, atol=1e-5)


def test_it_is_the_network_it_says() -> None:
    model, x = make(pool_architecture=(6, 4), critic_architecture=(7,), activation="tanh"), observations(NUM)

    def layer(linear: Any, rows: np.ndarray) -> np.ndarray:
        return rows @ np.asarray(linear.kernel[...], np.float64) + np.asarray(linear.bias[...], np.float64)

    first, _, second, _ = model.pool.layers
    pool = np.tanh(layer(second, np.tanh(layer(first, np.asarray(x))))).mean(0)
    seen = np.concatenate([x, np.broadcast_to(pool, (NUM, 4))], axis=1)
    hidden, _, head = model.critic.layers
    np.testing.assert_allclose(model(x)[1], layer(head, np.tanh(layer(hidden, seen))), atol=1e-6)


def test_a_critic_carries_over_to_a_larger_swarm_and_to_one() -> None:
    model = make(critic_scale=1.0)
    twice = jnp.concatenate([observations(NUM), observations(NUM)])
    np.testing.assert_allclose(model(twice)[1][:NUM], model(observations(NUM))[1], rtol=1e-4, atol=1e-5)
    alone = observations()
    np.testing.assert_allclose(model(alone)[1], model(alone[None])[1][0], rtol=1e-5)


def test_half_precision_stays_inside() -> None:
    policy, value = make(compute_dtype="bfloat16")(observations(NUM))
    assert value.dtype == policy.distribution.loc.dtype == jnp.float32


def test_metadata_builds_it_again() -> None:
    model = make(pool_architecture=(6,))
    again = ac.make_model("ActorCritic", key=0, **model.metadata)
    np.testing.assert_array_equal(again(observations(NUM))[1], model(observations(NUM))[1])


def test_a_host_without_an_axis_of_particles_is_told() -> None:
    with pytest.raises(ValueError, match=r"sequence=True.*flattens it away"):
        make()(observations(4, NUM), sequence=True)


def test_a_pool_has_a_layer() -> None:
    with pytest.raises(ValueError, match="a pool has a layer"):
        make(pool_architecture=())


def test_species_have_critics_that_see_all_and_actors_that_do_not() -> None:
    species = [0, 1, 1, 0, 1]
    model = ac.make_model(
        "PerParticle",
        **SIZES,
        key=0,
        model="ActorCritic",
        sharing="species",
        species=species,
        centralised_critic=True,
        critic_scale=1.0,
    )
    x = observations(4, NUM)
    policy, value = model(x)
    graphdef, parameters = nnx.split(model.sets)
    for kind in (0, 1):
        own = nnx.merge(graphdef, jax.tree.map(lambda leaf, kind=kind: leaf[kind], parameters))
        alone, own_value = own(x)
        members = np.flatnonzero(np.asarray(species) == kind)
        np.testing.assert_allclose(value[:, members], own_value[:, members], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(
            policy.distribution.loc[:, members], alone.distribution.loc[:, members], rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize("keywords", [{"sharing": "independent", "num_particles": 3}, {"num_species": 2}])
def test_one_critic_of_all_for_each_particle_is_refused(keywords: dict[str, Any]) -> None:
    keywords = {"sharing": "species", **keywords}
    with pytest.raises(ValueError, match="a centralised critic is shared"):
        ac.make_model("PerParticle", **SIZES, key=0, model="ActorCritic", centralised_critic=True, **keywords)
