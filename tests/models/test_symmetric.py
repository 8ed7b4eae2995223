"""SymmetricActorCritic: the policy of a turned observation is the turned policy, for every element of the group."""

import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jaxdem_ac as ac
from jaxdem_ac.action_spaces.base import ActionBounds, ActionSpace
from jaxdem_ac.models.symmetric import SymmetricActorCritic, directions
from jaxdem_ac.models.testing import check_model
from jaxdem_ac.observation_layout import Block, as_layout

N = 8
LAYOUT = ["vector", "axial", "pseudoscalar", "scalar:2", f"lidar:{N}", f"lidar:{N}"]
SIZE = 7 + 2 * N
MIRROR = np.diag([1.0, -1.0])


def rotation(steps: int, sectors: int = N) -> np.ndarray:
    angle = 2 * math.pi * steps / sectors
    return np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])


def turned_observation(x: Any, steps: int, mirrored: bool) -> np.ndarray:
    """Return observations of LAYOUT after a mirror at the x axis, if at all, and a rotation."""
    vector, axial, pseudo, scalar, lidars = np.split(np.asarray(x), [2, 4, 5, 7], axis=-1)
    lidars = lidars.reshape(*lidars.shape[:-1], 2, N)
    if mirrored:
        vector, axial, pseudo, lidars = vector @ MIRROR, -axial @ MIRROR, -pseudo, lidars[..., ::-1]
    turn = rotation(steps).T
    lidars = np.roll(lidars, steps, axis=-1)
    parts = vector @ turn, axial @ turn, pseudo, scalar, lidars.reshape(*lidars.shape[:-2], -1)
    return np.concatenate(parts, axis=-1)


def turned_action(action: Any, steps: int, mirrored: bool, kind: str) -> np.ndarray:
    action = np.asarray(action)
    if kind == "pseudoscalar":
        return -action if mirrored else action
    if mirrored:
        action = action @ MIRROR * (-1 if kind == "axial" else 1)
    return action @ rotation(steps).T


def model_of(**options: Any) -> SymmetricActorCritic:
    small = {"architecture": (6, 5), "critic_architecture": (7,), "actor_scale": 1.0}
    options = {"observation_layout": LAYOUT, **small, **options}
    size = 1 if options.get("action_kind") == "pseudoscalar" else 2
    return SymmetricActorCritic(
        observation_space_size=SIZE, action_space_size=size, key=nnx.Rngs(options.pop("seed", 0)), **options
    )


@pytest.mark.parametrize("x64", [False, True], ids=["float32", "float64"])
@pytest.mark.parametrize("kind", ["vector", "axial", "pseudoscalar"])
@pytest.mark.parametrize("group", ["dihedral", "cyclic"])
def test_every_element_of_the_group_turns_the_policy(group: str, kind: str, x64: bool) -> None:
    with jax.enable_x64(x64):
        model = model_of(group=group, action_kind=kind, action_space="MaxNorm", actor_sigma_head=True)
        answer = jax.jit(lambda x: (lambda policy, value: (policy.mode(), policy.scale, value))(*model(x)))
        x = np.asarray(jax.random.normal(jax.random.key(1), (5, SIZE), float))
        mode, scale, value = answer(x)
        assert float(jnp.abs(mode).mean()) > 1e-2
        tolerance = 1e-13 if x64 else 3e-6
        for steps in range(N):
            for mirrored in (False, True)[: 2 if group == "dihedral" else 1]:
                new_mode, new_scale, new_value = answer(turned_observation(x, steps, mirrored))
                np.testing.assert_allclose(new_mode, turned_action(mode, steps, mirrored, kind), atol=tolerance)
                np.testing.assert_allclose(new_scale, scale, atol=1e-6)
                np.testing.assert_allclose(new_value, value, atol=1e-6)


def test_a_cyclic_policy_may_tell_left_from_right() -> None:
    model = model_of(group="cyclic")
    x = np.asarray(jax.random.normal(jax.random.key(1), (5, SIZE)))
    found, other = (np.asarray(model(each)[0].mode()) for each in (x, turned_observation(x, 0, True)))
    assert np.abs(other - turned_action(found, 0, True, "vector")).max() > 1e-2


def test_a_rotation_that_is_not_in_the_group_is_not_promised() -> None:
    """Half a sector turns vectors, but no reading can say so: the test of the group above can fail."""
    model = model_of()
    x = np.asarray(jax.random.normal(jax.random.key(1), (5, SIZE)))
    half = x.copy()
    half[:, :2] = x[:, :2] @ rotation(1, 2 * N).T
    mode = np.asarray(model(x)[0].mode())
    assert np.abs(np.asarray(model(half)[0].mode()) - mode @ rotation(1, 2 * N).T).max() > 1e-2


def test_directions_are_those_of_the_lidar() -> None:
    from jaxdem_ac.environments.sensing.lidar import azimuth_bin

    radial, across = directions(N)
    np.testing.assert_array_equal(azimuth_bin(*jnp.asarray(radial).T, N), np.arange(N))
    np.testing.assert_allclose(radial[:, 0] * across[:, 1] - radial[:, 1] * across[:, 0], 1.0)


@pytest.mark.parametrize("name", [name for name in ac.list_environments() if ":" not in name])
def test_tasks_say_what_they_observe(name: str) -> None:
    """A rotated state has the rotated observation, block by block, where the task is the same in a rotated frame."""
    environment = ac.make_environment(name)
    layout = as_layout(name, environment.observation_layout, environment.observation_size)
    assert sum(block.kind == "lidar" for block in layout) == len(environment.lidars)
    assert layout == as_layout(name, [[b.name, b.kind, b.size] for b in layout], environment.observation_size)


@pytest.mark.parametrize("name", ["swarm_navigator", "swarm_roller", "collective_transport"])
@pytest.mark.parametrize("mirrored", [False, True])
def test_a_policy_of_a_task_turns_with_the_box(name: str, mirrored: bool) -> None:
    """A quarter turn, or a mirror, of a whole square room turns what all particles do."""
    environment = ac.make_environment(name, num_particles=5)
    model = ac.make_model(
        "SymmetricActorCritic",
        observation_space_size=environment.observation_size,
        action_space_size=2,
        key=nnx.Rngs(3),
        observation_layout=environment.observation_layout,
        action_kind=environment.action_kind,
    )
    state = environment.reset(jax.random.key(5))
    for number in range(3):
        action = 0.5 * jax.random.normal(jax.random.key(number), (5, 2))
        state, _ = environment.step(state, action)
    blocks = environment.observation_layout
    turn = MIRROR if mirrored else rotation(1, 4)
    observed, start = [], 0
    for block in blocks:
        values = np.asarray(state.observation)[:, start : start + block.size]
        start += block.size
        if block.kind == "lidar":
            values = values[:, ::-1] if mirrored else np.roll(values, block.size // 4, axis=-1)
        elif block.kind == "vector":
            values = values @ turn.T
        elif block.kind == "axial":
            values = values @ turn.T * np.linalg.det(turn)
        elif block.kind == "pseudoscalar":
            values = values * np.linalg.det(turn)
        observed.append(values)
    mode, value = (np.asarray(each) for each in (lambda p, v: (p.mode(), v))(*model(state.observation)))
    new_mode, new_value = (np.asarray(e) for e in (lambda p, v: (p.mode(), v))(*model(np.concatenate(observed, -1))))
    sign = np.linalg.det(turn) if environment.action_kind == "axial" else 1.0
    np.testing.assert_allclose(new_mode, sign * mode @ turn.T, atol=2e-5)
    np.testing.assert_allclose(new_value, value, atol=2e-5)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"group": "cyclic"},
        {"actor_sigma_head": True, "initial_std": 0.2},
        {"architecture": (4,), "critic_architecture": ()},
        {"action_kind": "axial"},
        {"action_kind": "pseudoscalar"},
    ],
    ids=str,
)
def test_options_keep_to_the_contract(options: dict[str, Any]) -> None:
    def create(*, observation_space_size: int, **keywords: Any) -> SymmetricActorCritic:
        rest = observation_space_size - 2
        layout = ["vector", f"lidar:{rest}"]
        return SymmetricActorCritic(
            **{"observation_layout": layout, "observation_space_size": observation_space_size, **options, **keywords}
        )

    check_model(create, feed_forward=True, action_space_size=1 if "pseudoscalar" in options.values() else 2)


def test_layers_may_multiply_in_half_precision() -> None:
    x = jax.random.normal(jax.random.key(1), (5, SIZE))
    exact, rounded = (model_of(compute_dtype=name)(x) for name in (None, "bfloat16"))
    assert rounded[0].mode().dtype == rounded[1].dtype == jnp.float32
    np.testing.assert_allclose(rounded[0].mode(), exact[0].mode(), atol=0.05)
    assert np.abs(rounded[0].mode() - exact[0].mode()).max() > 1e-4


def test_it_can_be_one_of_each_particle() -> None:
    environment = ac.make_environment("swarm_navigator", num_particles=3)
    model = ac.make_model(
        "PerParticle",
        model="SymmetricActorCritic",
        sharing="independent",
        num_particles=3,
        observation_space_size=environment.observation_size,
        action_space_size=2,
        key=nnx.Rngs(0),
        observation_layout=[[b.name, b.kind, b.size] for b in environment.observation_layout],
    )
    policy, value = model(environment.reset(jax.random.key(0)).observation)
    assert policy.mode().shape == (3, 2)
    assert value.shape == (3, 1)


create = partial(model_of, seed=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"observation_layout": None}, "told by observation_layout; got none"),
        ({"observation_layout": ["vector", "lidar:8"]}, "hold all numbers of an observation; got 10 in"),
        ({"observation_layout": [f"scalar:{SIZE}"]}, "sectors, 3 or more; got none"),
        ({"observation_layout": "vector"}, "is a sequence of blocks; got 'vector'"),
        ({"observation_layout": ["vector:3"]}, "got 'vector:3'"),
        ({"observation_layout": [("a", "spinor", 2)]}, "got \\('a', 'spinor', 2\\)"),
        ({"observation_layout": ["lidar:11", "lidar:12"]}, "all lidars have as many sectors; got \\[11, 12\\]"),
        ({"group": "octahedral"}, "no such group; got 'octahedral'"),
        ({"action_kind": "tensor"}, "no such action_kind; got 'tensor'"),
        ({"architecture": ()}, "architecture has a layer"),
        ({"discrete": True}, "an action is a vector of the plane"),
        (
            {"action_space": ac.make_action_space("Box", x_min=-1.0, x_max=2.0)},
            "got Box for 8 sectors",
        ),
        (
            {"action_space": ac.make_action_space("Box", x_min=[-1.0, -2.0], x_max=[1.0, 2.0])},
            "got Box for 8 sectors",
        ),
    ],
    ids=lambda each: each if isinstance(each, str) else "-".join(each),
)
def test_what_it_refuses(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        create(**options)


def test_a_square_box_is_taken_where_sectors_have_its_symmetry() -> None:
    create(action_space=ac.make_action_space("Box", x_min=-2.0, x_max=2.0))
    with pytest.raises(ValueError, match="got Box for 6 sectors"):
        SymmetricActorCritic(
            observation_space_size=8,
            action_space_size=2,
            key=nnx.Rngs(0),
            observation_layout=["vector", "lidar:6"],
            action_space=ac.make_action_space("Box", x_min=-2.0, x_max=2.0),
        )


def test_the_first_policy_hardly_acts() -> None:
    """With a scale of 1 an untrained swarm would drive itself: its answer to a velocity is a multiple of it."""
    x = jax.random.normal(jax.random.key(1), (64, SIZE)) * 10
    plain = SymmetricActorCritic(
        observation_space_size=SIZE, action_space_size=2, key=nnx.Rngs(0), observation_layout=LAYOUT
    )
    still, driven = (float(np.abs(model(x)[0].mode()).max()) for model in (plain, model_of()))
    assert still < 0.5 < 3 < driven, (still, driven)
    assert plain.metadata["actor_scale"] == 0.01


class Swirl(ActionSpace):
    """A map of somebody else's that turns an action by its length: rotations commute with it, a mirror does not."""

    def __init__(self) -> None:
        super().__init__(event_ndims_in=1)

    def bounds(self, size: int) -> ActionBounds:
        return ActionBounds.of(-np.inf, np.inf, size)

    def _turned(self, x: jax.Array, way: float) -> tuple[jax.Array, jax.Array]:
        angle = way * jnp.sqrt(jnp.sum(x**2, axis=-1))
        cos, sin = jnp.cos(angle), jnp.sin(angle)
        turned = jnp.stack([cos * x[..., 0] - sin * x[..., 1], sin * x[..., 0] + cos * x[..., 1]], axis=-1)
        return turned, jnp.zeros(x.shape[:-1])

    def forward_and_log_det(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        return self._turned(x, 1.0)

    def inverse_and_log_det(self, y: jax.Array) -> tuple[jax.Array, jax.Array]:
        return self._turned(y, -1.0)

    def log_det_expectation(self, mean: jax.Array, std: jax.Array) -> jax.Array:
        return jnp.zeros(jnp.broadcast_shapes(mean.shape, std.shape)[:-1])


def test_the_symmetry_of_anybodys_action_space_is_tried() -> None:
    create(action_space=Swirl(), group="cyclic")
    with pytest.raises(ValueError, match="got Swirl for 8 sectors, dihedral"):
        create(action_space=Swirl())


def test_blocks_have_names() -> None:
    blocks = as_layout("here", [Block("speed", "vector", 2), "lidar:4", ("age", "scalar", 1)], 7)
    assert [block.name for block in blocks] == ["speed", "lidar", "age"]


def test_a_training_takes_the_layout_from_the_environment(tmp_path: Any) -> None:
    config = ac.TrainConfig(
        env="swarm_roller",
        env_kw={"num_particles": 2},
        model="SymmetricActorCritic",
        model_kw={"architecture": [4]},
        steps=64,
        ppo=ac.PPOConfig(num_envs=4, num_steps=4, num_minibatches=1),
        out=str(tmp_path / "run"),
    )
    result = ac.train(config)
    kept = ac.load_policy(tmp_path / "run")
    x = ac.make_environment("swarm_roller", num_particles=2).reset(jax.random.key(0)).observation
    np.testing.assert_array_equal(kept(x, jax.random.key(0)), result.policy(x, jax.random.key(0)))
