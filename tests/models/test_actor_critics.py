"""Both actor-critics: shapes, parameters, interface, and what they say of bad input."""

import copy
import json
import math
import pickle
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import Array

import jaxdem_ac as ac
from jaxdem_ac.action_spaces.distributions import Categorical, SquashedGaussian
from jaxdem_ac.models.heads import with_lean_slope

OBSERVATION_SIZE, ACTION_SIZE = 7, 3
SIZES = {"observation_space_size": OBSERVATION_SIZE, "action_space_size": ACTION_SIZE}
NAMES = ("SharedActorCritic", "ActorCritic")
SMALL: dict[str, dict[str, Any]] = {
    "SharedActorCritic": {"architecture": (8, 5)},
    "ActorCritic": {"actor_architecture": (8, 5), "critic_architecture": (6,)},
}
NO_LAYERS: dict[str, dict[str, Any]] = {
    "SharedActorCritic": {"architecture": ()},
    "ActorCritic": {"actor_architecture": (), "critic_architecture": ()},
}
SPACES: dict[str, tuple[str, dict[str, Any]]] = {
    "free": ("Free", {}),
    "box": ("Box", {"x_min": -1.0, "x_max": 2.0}),
    "box, per component": ("Box", {"x_min": [-1.0, 0.0, 5.0], "x_max": [1.0, 0.1, 9.0], "width": 0.4}),
    "max norm": ("MaxNorm", {"max_norm": 2.5, "eps": 1e-4}),
}
both_models = pytest.mark.parametrize("name", NAMES)
every_space = pytest.mark.parametrize(("space", "space_keywords"), SPACES.values(), ids=SPACES.keys())
with_and_without_sigma_head = pytest.mark.parametrize("sigma_head", [False, True])


def make(name: str, key: int = 0, **keywords: Any) -> Any:
    return ac.make_model(name, **{**SIZES, "key": key, **SMALL[name], **keywords})


def observations(*batch: int) -> Array:
    return jnp.asarray(np.random.default_rng(0).normal(size=(*batch, OBSERVATION_SIZE)), jnp.float32)


def parameters(model: Any) -> dict[str, np.ndarray]:
    flat = nnx.to_flat_state(nnx.state(model, nnx.Param))
    return {".".join(map(str, path)): np.asarray(leaf[...]) for path, leaf in flat}


def assert_equal_parameters(one: Any, other: Any) -> None:
    ours, theirs = parameters(one), parameters(other)
    assert ours.keys() == theirs.keys()
    for path, value in ours.items():
        np.testing.assert_array_equal(value, theirs[path], err_msg=path)


@both_models
@with_and_without_sigma_head
@pytest.mark.parametrize("batch", [(), (3,), (2, 3), (2, 3, 4)])
def test_leading_axes_broadcast(name: str, sigma_head: bool, batch: tuple[int, ...]) -> None:
    distribution, value = make(name, actor_sigma_head=sigma_head, action_space="MaxNorm")(observations(*batch))
    assert isinstance(distribution, SquashedGaussian)
    assert distribution.distribution.loc.shape == (*batch, ACTION_SIZE)
    assert distribution.distribution.scale_diag.shape == (*batch, ACTION_SIZE)
    assert distribution.batch_shape == batch
    assert value.shape == (*batch, 1)


@both_models
def test_the_hosts_arguments_change_nothing(name: str) -> None:
    model, x = make(name), observations(2, 3)
    distribution, value = model(x)
    for keywords in ({"sequence": True}, {"sequence": False}, {"initial_carry": None, "done": jnp.zeros(2)}):
        other, other_value = model(x, **keywords)
        np.testing.assert_array_equal(other.mode(), distribution.mode())
        np.testing.assert_array_equal(other_value, value)


@both_models
def test_no_layers_are_two_linear_maps(name: str) -> None:
    model, x = make(name, **NO_LAYERS[name]), observations(4)
    weights = parameters(model)
    critic = "critic." if name == "SharedActorCritic" else "critic.layers.0."
    distribution, value = model(x)
    np.testing.assert_allclose(distribution.mode(), x @ weights["actor_mu.kernel"], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(value, x @ weights[f"{critic}kernel"], rtol=1e-5, atol=1e-6)


@both_models
def test_the_network_is_the_one_it_says(name: str) -> None:
    model, x = make(name, activation="tanh", actor_sigma_head=True), np.asarray(observations(4))
    weights = parameters(model)

    def dense(prefix: str, x: np.ndarray) -> np.ndarray:
        return x @ weights[f"{prefix}.kernel"] + weights[f"{prefix}.bias"]

    torso = "network" if name == "SharedActorCritic" else "actor_torso"
    features = np.tanh(dense(f"{torso}.layers.2", np.tanh(dense(f"{torso}.layers.0", x))))
    std = np.log1p(np.exp(dense("actor_sigma.net.layers.0", features)))
    if name == "SharedActorCritic":
        expected = dense("critic", features)
    else:
        expected = dense("critic.layers.2", np.tanh(dense("critic.layers.0", x)))
    distribution, value = model(jnp.asarray(x))
    np.testing.assert_allclose(distribution.distribution.loc, dense("actor_mu", features), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(distribution.distribution.scale_diag, std, rtol=1e-4)
    np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-5)


@both_models
def test_the_default_architecture_is_three_layers_of_42(name: str) -> None:
    model = ac.make_model(name, **SIZES, key=0)
    torso = model.network if name == "SharedActorCritic" else model.actor_torso
    assert [layer.out_features for layer in torso.layers if isinstance(layer, nnx.Linear)] == [42, 42, 42]
    if name == "ActorCritic":
        widths = [layer.out_features for layer in model.critic.layers if isinstance(layer, nnx.Linear)]
        assert widths == [42, 42, 42, 1]
    assert model.in_scale == math.sqrt(2)
    assert (model.actor_scale, model.critic_scale, model.actor_sigma_head) == (1.0, 0.01, False)
    assert model.activation is jax.nn.gelu


def gram(kernel: np.ndarray) -> np.ndarray:
    """Return the smaller of both Gram matrices: scale**2 times the identity for an orthogonal kernel."""
    return kernel.T @ kernel if kernel.shape[0] >= kernel.shape[1] else kernel @ kernel.T


@both_models
def test_kernels_are_orthogonal_with_their_scales(name: str) -> None:
    scales = {"in_scale": 1.7, "actor_scale": 0.6, "critic_scale": 0.03}
    model = make(name, actor_sigma_head=True, **scales)
    last_critic = "critic.kernel" if name == "SharedActorCritic" else "critic.layers.2.kernel"
    for path, value in parameters(model).items():
        if not path.endswith("kernel"):
            continue
        scale = scales["in_scale"]
        if path == "actor_mu.kernel":
            scale = scales["actor_scale"]
        elif path == last_critic or path.startswith("actor_sigma"):
            scale = scales["critic_scale"]
        np.testing.assert_allclose(gram(value), scale**2 * np.eye(min(value.shape)), atol=1e-5 * scale**2, err_msg=path)


@both_models
@with_and_without_sigma_head
def test_biases_and_deviations_start_where_they_should(name: str, sigma_head: bool) -> None:
    model = make(name, actor_sigma_head=sigma_head)
    weights = parameters(model)
    for path, value in weights.items():
        if path.endswith("bias"):
            np.testing.assert_array_equal(value, -1.0 if path.startswith("actor_sigma") else 0.0, err_msg=path)
    np.testing.assert_array_equal(model.actor_sigma.log_std[...], np.zeros((1, ACTION_SIZE)))
    assert ("actor_sigma.net.layers.0.bias" in weights) is sigma_head


@both_models
def test_a_learned_deviation_starts_at_one_and_is_the_same_everywhere(name: str) -> None:
    model = make(name)
    np.testing.assert_array_equal(model(observations(5))[0].distribution.scale_diag, 1.0)
    model.actor_sigma.log_std[...] = jnp.asarray([[0.5, 0.0, -1.0]])
    found = model(observations(5))[0].distribution.scale_diag
    np.testing.assert_allclose(found, np.tile(np.exp([0.5, 0.0, -1.0]), (5, 1)), rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "architecture", "features"),
    [
        ("SharedActorCritic", {"architecture": (11, 4)}, 4),
        ("SharedActorCritic", {"architecture": ()}, OBSERVATION_SIZE),
        ("ActorCritic", {"actor_architecture": (11, 4), "critic_architecture": (9,)}, 4),
        ("ActorCritic", {"actor_architecture": (), "critic_architecture": (9,)}, OBSERVATION_SIZE),
        ("ActorCritic", {"actor_architecture": (20,), "critic_architecture": ()}, 20),
    ],
)
def test_the_sigma_head_sits_on_the_actors_features(name: str, architecture: dict[str, Any], features: int) -> None:
    model = make(name, actor_sigma_head=True, **architecture)
    assert parameters(model)["actor_sigma.net.layers.0.kernel"].shape == (features, ACTION_SIZE)
    distribution, value = model(observations(2))
    assert distribution.distribution.scale_diag.shape == (2, ACTION_SIZE)
    assert value.shape == (2, 1)


def draw_orthogonals(seed: int, layers: list[tuple[int, int, float]]) -> list[np.ndarray]:
    """Return kernels drawn one after another: a linear layer takes a key for its kernel, then one for its bias."""
    rngs, kernels = nnx.Rngs(seed), []
    for inputs, outputs, scale in layers:
        kernels.append(np.asarray(nnx.initializers.orthogonal(scale)(rngs.params(), (inputs, outputs), jnp.float32)))
        rngs.params()
    return kernels


@pytest.mark.parametrize(
    ("name", "paths", "shapes"),
    [
        (
            "SharedActorCritic",
            ["network.layers.0", "network.layers.2", "actor_mu", "actor_sigma.net.layers.0", "critic"],
            [(7, 8, 1.5), (8, 5, 1.5), (5, 3, 0.8), (5, 3, 0.02), (5, 1, 0.02)],
        ),
        (
            "ActorCritic",
            [
                *("actor_torso.layers.0", "actor_torso.layers.2", "critic.layers.0", "critic.layers.2"),
                *("actor_mu", "actor_sigma.net.layers.0"),
            ],
            [(7, 8, 1.5), (8, 5, 1.5), (7, 6, 1.5), (6, 1, 0.02), (5, 3, 0.8), (5, 3, 0.02)],
        ),
    ],
)
@with_and_without_sigma_head
def test_parameters_are_drawn_in_the_hosts_order(
    name: str, paths: list[str], shapes: list[tuple[int, int, float]], sigma_head: bool
) -> None:
    if not sigma_head:
        skipped = paths.index("actor_sigma.net.layers.0")
        paths, shapes = ([item for i, item in enumerate(each) if i != skipped] for each in (paths, shapes))
    scales = {"in_scale": 1.5, "actor_scale": 0.8, "critic_scale": 0.02}
    model = make(name, key=nnx.Rngs(5), actor_sigma_head=sigma_head, **scales)
    weights = parameters(model)
    assert {f"{path}.kernel" for path in paths} == {path for path in weights if path.endswith("kernel")}
    for path, expected in zip(paths, draw_orthogonals(5, shapes), strict=True):
        np.testing.assert_array_equal(weights[f"{path}.kernel"], expected, err_msg=path)


@both_models
def test_equal_keys_give_equal_parameters_and_others_do_not(name: str) -> None:
    assert_equal_parameters(make(name, key=3), make(name, key=nnx.Rngs(3)))
    one, other = parameters(make(name, key=3)), parameters(make(name, key=4))
    assert not np.array_equal(one["actor_mu.kernel"], other["actor_mu.kernel"])


@both_models
@every_space
def test_metadata_is_json_and_builds_the_same_again(name: str, space: str, space_keywords: dict[str, Any]) -> None:
    model = make(
        name, action_space=ac.make_action_space(space, **space_keywords), activation=nnx.relu, actor_sigma_head=True
    )
    stored = json.loads(json.dumps(model.metadata))
    again = ac.make_model(model.type_name, key=0, **stored)
    assert type(again) is type(model)
    assert again.metadata == model.metadata
    assert again.action_space.same_as(model.action_space)
    assert_equal_parameters(again, model)
    x = observations(3)
    np.testing.assert_array_equal(again(x)[0].mode(), model(x)[0].mode())


@both_models
def test_metadata_names_what_was_set(name: str) -> None:
    stored = make(name, in_scale=1.1, discrete=True).metadata
    assert stored["in_scale"] == 1.1
    assert stored["discrete"] is True
    assert stored["activation"] == "jax.nn.gelu"
    assert "action_space_type" not in stored
    for option, widths in SMALL[name].items():
        assert stored[option] == list(widths)


def test_metadata_of_what_no_file_can_name_is_refused() -> None:
    with pytest.raises(TypeError, match="only a known function"):
        _ = make("SharedActorCritic", activation=lambda x: x).metadata


@pytest.mark.parametrize("activation", ["gelu", "jax.nn.gelu", "flax.nnx.gelu", "nnx.gelu", nnx.gelu, jax.nn.gelu])
def test_an_activation_is_a_function_or_a_known_name(activation: Any) -> None:
    assert make("SharedActorCritic", activation=activation).activation is jax.nn.gelu


def test_of_a_gelu_nothing_but_its_slope_is_kept() -> None:
    """Its values are those of jax.nn.gelu to the last bit, slopes and curvatures those of float64."""
    x = jnp.concatenate([jnp.linspace(-12, 12, 4_001), jnp.array([-1e30, 1e30])])
    lean = with_lean_slope(jax.nn.gelu)
    np.testing.assert_array_equal(lean(x), jax.nn.gelu(x))
    kept = jax.tree.leaves(jax.vjp(lean, x)[1])
    assert [leaf.shape for leaf in kept if leaf.ndim] == [x.shape]
    inner = np.asarray(x[:-2])
    with jax.enable_x64(True):
        exact = np.asarray(inner, np.float64)
        expected, curved = (
            jax.vmap(slope)(exact) for slope in (jax.grad(jax.nn.gelu), jax.grad(jax.grad(jax.nn.gelu)))
        )
    # In the tails 1 - tanh(x)**2 is a difference of two ones, by JAX's own rule too.
    np.testing.assert_allclose(jax.vmap(jax.grad(lean))(inner), expected, atol=1e-5)
    np.testing.assert_allclose(jax.vmap(jax.grad(jax.grad(lean)))(inner), curved, atol=2e-4)
    own = np.abs(jax.vmap(jax.grad(jax.nn.gelu))(inner) - expected).max()
    assert np.abs(jax.vmap(jax.grad(lean))(inner) - expected).max() <= 1.5 * own
    assert with_lean_slope(jnp.tanh) is jnp.tanh


@pytest.mark.parametrize(
    "activation", ["os.system", "evil_module.gelu", "jax.nn.initializers.zeros", "builtins.eval", ""]
)
def test_a_name_that_is_not_known_is_refused_without_an_import(
    activation: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "evil_module.py").write_text("gelu = print")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match="no such name") as raised:
        make("SharedActorCritic", activation=activation)
    assert repr(activation) in str(raised.value)
    assert "gelu" in str(raised.value)
    assert "evil_module" not in sys.modules


def test_the_nearest_activation_is_suggested() -> None:
    with pytest.raises(ValueError, match="Did you mean 'gelu'"):
        make("SharedActorCritic", activation="gellu")


@both_models
@pytest.mark.parametrize("size", ["observation_space_size", "action_space_size"])
@pytest.mark.parametrize(("value", "error"), [(0, ValueError), (-1, ValueError), (1.5, TypeError), (True, TypeError)])
def test_a_bad_size_is_named(name: str, size: str, value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=rf"{name}: {size} .*got {size}={value}"):
        make(name, **{size: value})


@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("SharedActorCritic", "architecture"),
        ("ActorCritic", "actor_architecture"),
        ("ActorCritic", "critic_architecture"),
    ],
)
@pytest.mark.parametrize(
    ("value", "error"),
    [("abc", TypeError), (42, TypeError), ([0], ValueError), ([4, -1], ValueError), ([4.5], TypeError)],
)
def test_a_bad_architecture_is_named(name: str, option: str, value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=rf"{name}: .*{option}"):
        make(name, **{option: value})


@both_models
@pytest.mark.parametrize("option", ["in_scale", "actor_scale", "critic_scale"])
def test_a_scale_that_is_not_finite_is_named(name: str, option: str) -> None:
    with pytest.raises(ValueError, match=rf"{option} is a finite number; got {option}=nan"):
        make(name, **{option: math.nan})


@both_models
def test_bounds_of_another_length_than_the_action_are_refused(name: str) -> None:
    space = ac.make_action_space("Box", x_min=[0.0, 0.0], x_max=1.0)
    with pytest.raises(ValueError, match=r"Box is for actions of 2 numbers; got action_space_size=3"):
        make(name, action_space=space)


@both_models
def test_an_observation_of_the_wrong_width_is_refused_with_both_numbers(name: str) -> None:
    model = make(name)
    with pytest.raises(ValueError, match=rf"{name}: .*{OBSERVATION_SIZE} numbers.*got 4, in shape \(2, 4\)"):
        model(jnp.ones((2, 4)))
    with pytest.raises(ValueError, match="got a scalar"):
        model(jnp.ones(()))
    with pytest.raises(ValueError, match="got 4"):
        jax.jit(lambda x: model(x)[1])(jnp.ones((2, 4)))


def test_an_unknown_model_gets_the_nearest() -> None:
    with pytest.raises(KeyError, match=r"'SharedActorCritc'.*Did you mean 'SharedActorCritic'.*ActorCritic"):
        ac.make_model("SharedActorCritc", **SIZES, key=0)


def test_an_unknown_keyword_gets_the_nearest() -> None:
    with pytest.raises(TypeError, match=r"'architectur'.*Did you mean 'architecture'"):
        ac.make_model("SharedActorCritic", **SIZES, key=0, architectur=(4,))


@pytest.mark.parametrize("space", [3, jnp.tanh, {"type": "Box"}])
def test_an_action_space_that_is_none_is_refused(space: Any) -> None:
    with pytest.raises(TypeError, match="action_space is a distrax bijector"):
        make("ActorCritic", action_space=space)


@both_models
@with_and_without_sigma_head
def test_compiled_equals_eager_in_one_trace(name: str, sigma_head: bool) -> None:
    model, x = make(name, actor_sigma_head=sigma_head, action_space="MaxNorm"), observations(4, 3)
    graphdef, state = nnx.split(model)
    traces = []

    @jax.jit
    def apply(state: Any, x: Array) -> tuple[Array, Array, Array]:
        traces.append(None)
        distribution, value = nnx.merge(graphdef, state)(x)
        return distribution.mode(), distribution.entropy(), value

    for _ in range(3):
        compiled = apply(state, x)
        x = x + 0.1
    distribution, value = model(x - 0.1)
    for one, two in zip(compiled, (distribution.mode(), distribution.entropy(), value), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-5)
    assert len(traces) == 1


@both_models
def test_vmap_over_particles_equals_broadcasting(name: str) -> None:
    model, x = make(name, actor_sigma_head=True, action_space="MaxNorm"), observations(5)

    def apply(x: Array) -> tuple[Array, Array]:
        distribution, value = model(x)
        return distribution.mode(), value

    for one, two in zip(jax.vmap(apply)(x), apply(x), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-6)


@both_models
@with_and_without_sigma_head
def test_gradients_flow_to_every_parameter_that_matters(name: str, sigma_head: bool) -> None:
    model, x = make(name, actor_sigma_head=sigma_head, action_space="MaxNorm"), observations(16)
    raw = jax.random.normal(jax.random.key(0), (16, ACTION_SIZE))
    graphdef, state = nnx.split(model)

    @jax.jit
    @jax.grad
    def gradient(state: Any) -> Array:
        distribution, value = nnx.merge(graphdef, state)(x)
        return jnp.sum(distribution.raw_log_prob(raw)) + jnp.sum(distribution.entropy()) + jnp.sum(value**2 + value)

    for path, leaf in nnx.to_flat_state(gradient(state)):
        values = np.asarray(leaf[...])
        assert np.isfinite(values).all(), path
        # The host's log_std stands beside a sigma head and is not used.
        unused = sigma_head and path[-1] in ("log_std", "_log_std")
        assert (np.abs(values).max() == 0) == unused, path


@both_models
@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_a_copy_is_the_same_model_and_its_own(name: str, duplicate: Any) -> None:
    model, x = make(name, action_space="MaxNorm"), observations(3)
    other = duplicate(model)
    before = np.asarray(model(x)[0].mode())
    np.testing.assert_array_equal(other(x)[0].mode(), before)
    assert_equal_parameters(other, model)
    other.actor_mu.kernel[...] = other.actor_mu.kernel[...] + 1.0
    np.testing.assert_array_equal(model(x)[0].mode(), before)


@both_models
def test_discrete_actions_are_categorical(name: str) -> None:
    distribution, value = make(name, discrete=True)(observations(2, 5))
    assert isinstance(distribution, Categorical)
    assert distribution.num_categories == ACTION_SIZE
    assert value.shape == (2, 5, 1)
    action, log_prob, _ = distribution.sample_raw_and_log_probs(seed=jax.random.key(0))
    assert action.shape == log_prob.shape == (2, 5)
    assert set(np.unique(action)) <= {0, 1, 2}


@both_models
def test_a_discrete_model_is_built_again_from_metadata(name: str) -> None:
    model = make(name, discrete=True)
    again = ac.make_model(name, key=0, **json.loads(json.dumps(model.metadata)))
    assert again.discrete
    assert_equal_parameters(again, model)


@both_models
def test_the_rest_of_the_hosts_interface_is_there(name: str) -> None:
    model = make(name, action_space="MaxNorm")
    before = parameters(model)
    assert model.carry is None
    assert model.reset((4, 3), mask=jnp.zeros(4, bool)) is None
    model.eval()
    model.train()
    assert model._log_std is model.actor_sigma.log_std
    assert model.type_name.startswith("ac.")
    assert model.action_space.metadata["max_norm"] == 1.0
    assert model.bij.event_ndims_in == 1
    after = parameters(model)
    assert all(np.array_equal(before[path], after[path]) for path in before)


@both_models
@every_space
def test_actions_are_inside_their_space(name: str, space: str, space_keywords: dict[str, Any]) -> None:
    model = make(name, action_space=ac.make_action_space(space, **space_keywords), actor_scale=50.0)
    distribution, _ = model(10 * observations(100))
    action = np.asarray(distribution.sample(seed=jax.random.key(0)), np.float64)
    assert np.isfinite(action).all()
    if space == "Box":
        assert (action >= np.float32(space_keywords["x_min"])).all()
        assert (action <= np.float32(space_keywords["x_max"])).all()
    elif space == "MaxNorm":
        assert (np.linalg.norm(action, axis=-1) <= space_keywords["max_norm"]).all()
    else:
        assert np.abs(action).max() > 10


@both_models
@with_and_without_sigma_head
def test_many_rows_are_answered_as_few_are(name: str, sigma_head: bool) -> None:
    """Hidden layers of many rows work in whole registers, with zeros that nobody may see."""
    model = ac.make_model(name, **SIZES, key=0, actor_sigma_head=sigma_head)
    many = observations(4, 1024)

    def total(parameters: Any, x: Array) -> Array:
        policy, value = nnx.merge(graphdef, parameters)(x)
        return jnp.mean(policy.distribution.loc**2) + jnp.mean(policy.scale) + jnp.mean(value**2)

    policy, value = model(many)
    few, few_values = model(many[2, :3])
    np.testing.assert_allclose(policy.distribution.loc[2, :3], few.distribution.loc, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(value[2, :3], few_values, rtol=1e-5, atol=1e-6)
    graphdef, state = nnx.split(model)
    whole = jax.grad(total)(state, many)
    parts = [jax.grad(total)(state, part) for part in many.reshape(32, 128, -1)]
    mean = jax.tree.map(lambda *leaves: sum(leaves) / len(leaves), *parts)
    for here, there in zip(jax.tree.leaves(whole), jax.tree.leaves(mean), strict=True):
        np.testing.assert_allclose(here, there, rtol=1e-3, atol=1e-6)


def test_an_activation_without_a_slope_at_zero_has_one_of_many_rows() -> None:
    """No number of the network is 0 here, but those that would fill whole registers."""

    def root(x: Array) -> Array:
        return jnp.sign(x) * jnp.sqrt(jnp.abs(x))

    model = ac.make_model("SharedActorCritic", **SIZES, key=0, activation=root, architecture=(20, 20))
    graphdef, state = nnx.split(model)

    def total(parameters: Any, x: Array) -> Array:
        policy, value = nnx.merge(graphdef, parameters)(x)
        return jnp.mean(policy.distribution.loc**2) + jnp.mean(value**2)

    for leaf in jax.tree.leaves(jax.grad(total)(state, observations(4, 1024))):
        assert np.isfinite(leaf).all()


@both_models
@with_and_without_sigma_head
def test_layers_may_multiply_in_half_precision(name: str, sigma_head: bool) -> None:
    keywords = {"actor_sigma_head": sigma_head, "action_space": "MaxNorm"}
    half = ac.make_model(name, **SIZES, key=0, compute_dtype="bfloat16", **keywords)
    full = ac.make_model(name, **SIZES, key=0, **keywords)
    assert_equal_parameters(half, full)
    x = observations(5, 4)
    policy, value = half(x)
    exact, exact_value = full(x)
    for here, there in ((policy.distribution.loc, exact.distribution.loc), (value, exact_value)):
        assert here.dtype == jnp.float32
        np.testing.assert_allclose(here, there, atol=0.05)
        assert (here != there).any()
    assert policy.log_prob(policy.sample(seed=jax.random.key(0))).dtype == jnp.float32
    gradient = nnx.grad(lambda model: jnp.mean(model(x)[1] ** 2))(half)
    assert {leaf.dtype for leaf in jax.tree.leaves(gradient)} == {jnp.dtype("float32")}
    again = ac.make_model(name, key=1, **half.metadata)
    assert again.compute_dtype == "bfloat16"


def test_an_unknown_compute_dtype_gets_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"compute_dtype.*'bfloat32'.*bfloat16"):
        ac.make_model("ActorCritic", **SIZES, key=0, compute_dtype="bfloat32")


@both_models
@with_and_without_sigma_head
@pytest.mark.parametrize("std", [0.05, 0.7, 3.0])
def test_the_deviation_starts_where_it_is_asked_to(name: str, sigma_head: bool, std: float) -> None:
    model = make(name, actor_sigma_head=sigma_head, initial_std=std)
    policy, _ = model(jnp.zeros((2, OBSERVATION_SIZE)))
    np.testing.assert_allclose(policy.distribution.scale_diag, std, rtol=1e-5)
    assert ac.make_model(name, key=1, **model.metadata).initial_std == std
    with pytest.raises(ValueError, match="initial_std is above 0"):
        make(name, initial_std=-std)
