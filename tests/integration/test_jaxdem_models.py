"""Our models and action spaces in JaxDEM: registries, trainer, checkpoints, and equality with its own."""

import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.jaxdem

SIZES = {"observation_space_size": 5, "action_space_size": 3}

SPACES: dict[str, dict[str, Any]] = {
    "Free": {},
    "Box": {"x_min": jnp.array([-1.0, -0.5, 0.0]), "x_max": jnp.array([1.0, 2.0, 0.3]), "width": 0.7},
    "MaxNorm": {"max_norm": 6.0},
}

SETTINGS: dict[str, tuple[str, dict[str, Any]]] = {
    "shared": ("SharedActorCritic", {}),
    "shared, sigma head": ("SharedActorCritic", {"actor_sigma_head": True}),
    "shared, other layers": (
        "SharedActorCritic",
        {"architecture": [7, 11], "activation": nnx.relu, "in_scale": 0.3, "actor_scale": 0.2},
    ),
    "separate": ("ActorCritic", {}),
    "separate, sigma head": ("ActorCritic", {"actor_sigma_head": True, "critic_scale": 0.5}),
    "separate, other layers": (
        "ActorCritic",
        {"actor_architecture": [9], "critic_architecture": [4, 8], "activation": jnp.tanh},
    ),
    "separate, other layers, sigma head": (
        "ActorCritic",
        {"actor_architecture": [9, 6], "critic_architecture": [4], "actor_sigma_head": True},
    ),
}

each_setting = pytest.mark.parametrize(("name", "keywords"), SETTINGS.values(), ids=SETTINGS.keys())
each_space = pytest.mark.parametrize("space", SPACES)


def _pair(rl: ModuleType, name: str, space: str | None, seed: int = 3, **keywords: Any) -> tuple[Any, Any]:
    """Return JaxDEM's model and ours, made with equal keys."""
    made = []
    for prefix in ("", "ac."):
        chosen = dict(keywords)
        if space is not None:
            chosen["action_space"] = rl.ActionSpace.create(f"{prefix}{space}", **SPACES[space])
        made.append(rl.Model.create(f"{prefix}{name}", **SIZES, key=nnx.Rngs(seed), **chosen))
    return made[0], made[1]


def _parameters(model: nnx.Module) -> dict[tuple[Any, ...], np.ndarray]:
    flat = nnx.to_flat_state(nnx.state(model, nnx.Param))
    return {path: np.asarray(variable[...]) for path, variable in flat}


def _load_by_name(ours: nnx.Module, theirs: nnx.Module) -> None:
    names = nnx.to_flat_state(nnx.state(ours, nnx.Param)).paths
    flat = []
    for path, variable in nnx.to_flat_state(nnx.state(theirs, nnx.Param)):
        if path[0] == "_actor_sigma":
            # So named until 2026-06-12, when JaxDEM's models held a sigma head whether asked for or not.
            path = ("actor_sigma", "net", *path[1:])
            if path not in names:
                continue
        flat.append((path, variable))
    nnx.update(ours, nnx.from_flat_state(flat))


def _has_parameters_of_today(model: nnx.Module) -> bool:
    return not hasattr(model, "_actor_sigma")


def _assert_same_parameters(one: nnx.Module, other: nnx.Module) -> None:
    ones, others = _parameters(one), _parameters(other)
    assert list(ones) == list(others)
    for path, value in ones.items():
        np.testing.assert_array_equal(value, others[path], err_msg=str(path))


OBSERVATION = np.random.default_rng(0).normal(size=(4, 6, 5)).astype(np.float32)


def test_ours_stand_under_names_of_their_own(rl: ModuleType) -> None:
    import jaxdem_ac.action_spaces.max_norm as max_norm
    import jaxdem_ac.models.actor_critic as actor_critic

    model = rl.Model.create("ac.SharedActorCritic", **SIZES, key=nnx.Rngs(0))
    space = rl.ActionSpace.create("ac.MaxNorm")
    assert type(model) is actor_critic.SharedActorCritic
    assert type(space) is max_norm.MaxNorm
    assert isinstance(model, rl.Model)
    assert isinstance(space, rl.ActionSpace)
    assert issubclass(actor_critic.ActorCritic, rl.Model)
    assert model.type_name == "ac.sharedactorcritic"


def test_jaxdems_own_names_stay_its_own(rl: ModuleType) -> None:
    for root, names in ((rl.Model, ("SharedActorCritic", "ActorCritic")), (rl.ActionSpace, SPACES)):
        for name in names:
            assert root._registry[name.lower()].__module__.startswith("jaxdem.")


@each_setting
@each_space
def test_equal_keys_give_equal_models(rl: ModuleType, name: str, keywords: dict[str, Any], space: str) -> None:
    theirs, ours = _pair(rl, name, space, **keywords)
    if _has_parameters_of_today(theirs):
        _assert_same_parameters(theirs, ours)
    else:
        _load_by_name(ours, theirs)
    key = jax.random.key(5)
    for sequence in (False, True):
        (their_policy, their_value) = theirs(OBSERVATION, sequence=sequence)
        (our_policy, our_value) = ours(OBSERVATION, sequence=sequence, initial_carry=None, done=None)
        np.testing.assert_allclose(our_value, their_value, rtol=1e-5, atol=1e-6)
        for part in ("loc", "scale_diag"):
            np.testing.assert_allclose(
                getattr(our_policy.distribution, part),
                getattr(their_policy.distribution, part),
                rtol=1e-5,
                atol=1e-6,
            )
        action, log_prob = their_policy.sample_and_log_prob(seed=key)
        our_action, our_log_prob = our_policy.sample_and_log_prob(seed=key)
        np.testing.assert_allclose(our_action, action, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(our_log_prob, log_prob, rtol=1e-4, atol=1e-4)
        # Its inverse clips, and 1 - tanh(x)**2 loses its digits: compared where neither happens.
        calm = np.abs(their_policy.bijector.inverse(action)).max(-1) < 2.5
        assert calm.mean() > 0.5
        np.testing.assert_allclose(
            our_policy.log_prob(action)[calm], their_policy.log_prob(action)[calm], rtol=1e-4, atol=1e-4
        )


@pytest.mark.parametrize("name", ["SharedActorCritic", "ActorCritic"])
def test_equal_keys_give_equal_discrete_models(rl: ModuleType, name: str) -> None:
    theirs, ours = _pair(rl, name, None, discrete=True)
    if _has_parameters_of_today(theirs):
        _assert_same_parameters(theirs, ours)
    else:
        _load_by_name(ours, theirs)
    (their_policy, their_value), (our_policy, our_value) = theirs(OBSERVATION), ours(OBSERVATION)
    np.testing.assert_allclose(our_value, their_value, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(our_policy.logits, their_policy.logits, rtol=1e-5, atol=1e-6)
    actions = np.arange(24).reshape(4, 6) % 3
    np.testing.assert_allclose(our_policy.log_prob(actions), their_policy.log_prob(actions), rtol=1e-5)
    np.testing.assert_allclose(our_policy.entropy(), their_policy.entropy(), rtol=1e-5)


@each_setting
def test_its_parameters_load_into_ours_by_name(rl: ModuleType, name: str, keywords: dict[str, Any]) -> None:
    theirs, _ = _pair(rl, name, "MaxNorm", seed=1, **keywords)
    _, ours = _pair(rl, name, "MaxNorm", seed=2, **keywords)
    _load_by_name(ours, theirs)
    if _has_parameters_of_today(theirs):
        _assert_same_parameters(theirs, ours)
    np.testing.assert_allclose(ours(OBSERVATION)[1], theirs(OBSERVATION)[1], rtol=1e-5, atol=1e-6)


@each_space
def test_its_model_takes_our_action_space(rl: ModuleType, space: str) -> None:
    ours = rl.ActionSpace.create(f"ac.{space}", **SPACES[space])
    model = rl.Model.create("SharedActorCritic", **SIZES, key=nnx.Rngs(0), action_space=ours)
    policy, _ = model(OBSERVATION)
    assert model.action_space is ours
    assert np.isfinite(policy.entropy()).all()
    assert policy.entropy().shape == (4, 6)


def _trainer(
    rl: ModuleType, name: str, task: str = "singleNavigator", *, num: int | None = None, **keywords: Any
) -> Any:
    environment = rl.Environment.create(task, **({} if num is None else {"N": num}))
    model = rl.Model.create(
        name,
        observation_space_size=environment.observation_space_size,
        action_space_size=environment.action_space_size,
        key=nnx.Rngs(0),
        **keywords,
    )
    return rl.Trainer.create(
        "PPO",
        env=environment,
        model=model,
        key=jax.random.key(0),
        num_envs=4,
        num_epochs=3,
        num_steps_epoch=8,
        num_minibatches=2,
    )


@pytest.mark.parametrize(("name", "space"), [("ac.SharedActorCritic", "MaxNorm"), ("ac.ActorCritic", "Box")])
def test_its_trainer_trains_ours(rl: ModuleType, tmp_path: Path, name: str, space: str) -> None:
    keywords = {"Box": {"x_min": -1.0, "x_max": 1.0}, "MaxNorm": {}}[space]
    trainer = _trainer(rl, name, action_space=rl.ActionSpace.create(f"ac.{space}", **keywords))
    before = _parameters(trainer.model)
    trainer = trainer.train(trainer, verbose=False, log=False, directory=tmp_path)
    after = _parameters(trainer.model)
    assert type(trainer.model).__module__.startswith("jaxdem_ac.")
    assert list(after) == list(before)
    assert all(np.isfinite(value).all() for value in after.values())
    for path, value in after.items():
        assert not np.array_equal(value, before[path]), path


def test_its_trainer_trains_a_choice_of_forces(rl: ModuleType, tmp_path: Path) -> None:
    space = rl.ActionSpace.create("ac.Discrete", n=4, max_norm=3.0)
    trainer = _trainer(rl, "ac.SharedActorCritic", action_space=space)
    before = _parameters(trainer.model)
    trainer = trainer.train(trainer, verbose=False, log=False, directory=tmp_path)
    changed = {path for path, value in _parameters(trainer.model).items() if not np.array_equal(value, before[path])}
    # A choice has no deviation.
    assert set(before) - changed == {path for path in before if "log_std" in str(path)}
    seen = jnp.zeros((5, trainer.env.observation_space_size))
    action = trainer.model(seen)[0].sample(seed=jax.random.key(0))
    assert (np.abs(np.asarray(action)[:, None] - space.actions(2)).sum(-1).min(-1) == 0).all()
    with pytest.raises(NotImplementedError, match="a choice, and no map of numbers"):
        _trainer(rl, "SharedActorCritic", action_space=space).model(seen)[0].sample(seed=jax.random.key(0))


@pytest.mark.parametrize("name", ["SharedActorCritic", "ActorCritic"])
@pytest.mark.parametrize("space", [*SPACES, "its own", "discrete"])
def test_its_checkpoints_keep_ours_bit_for_bit(rl: ModuleType, tmp_path: Path, name: str, space: str) -> None:
    import jaxdem

    keywords: dict[str, Any] = {"actor_sigma_head": space == "Box", "activation": "relu"}
    if space == "discrete":
        keywords["discrete"] = True
    elif space == "its own":
        keywords["action_space"] = rl.ActionSpace.create("Box", **SPACES["Box"])
    else:
        keywords["action_space"] = rl.ActionSpace.create(f"ac.{space}", **SPACES[space])
    model = rl.Model.create(f"ac.{name}", **SIZES, key=nnx.Rngs(7), **keywords)
    writer = jaxdem.CheckpointModelWriter(directory=tmp_path, clean=False)
    writer.save(model, step=3)
    writer.checkpointer.wait_until_finished()
    loaded = jaxdem.CheckpointModelLoader(directory=tmp_path).load()
    assert type(loaded) is type(model)
    assert loaded.metadata == model.metadata
    _assert_same_parameters(model, loaded)
    (policy, value), (loaded_policy, loaded_value) = model(OBSERVATION), loaded(OBSERVATION)
    np.testing.assert_array_equal(loaded_value, value)
    action = policy.sample(seed=jax.random.key(0))
    np.testing.assert_array_equal(loaded_policy.log_prob(action), policy.log_prob(action))


def test_its_trainer_trains_a_symmetric_policy_of_its_navigator(rl: ModuleType, tmp_path: Path) -> None:
    """The layout is told by hand; what has learnt is as equivariant as before, and its checkpoint keeps it."""
    import jaxdem

    size = rl.Environment.create("swarmNavigator", N=4).observation_space_size
    rays = (size - 2) // 2
    trainer = _trainer(
        rl,
        "ac.SymmetricActorCritic",
        "swarmNavigator",
        num=4,
        observation_layout=["vector", f"lidar:{rays}", f"lidar:{rays}"],
        architecture=(4, 4),
        action_space=rl.ActionSpace.create("ac.MaxNorm"),
    )
    before = _parameters(trainer.model)
    trained = trainer.train(trainer, verbose=False, log=False, directory=tmp_path / "train").model
    after = _parameters(trained)
    assert any(not np.array_equal(after[path], before[path]) for path in after)
    x = np.asarray(jax.random.normal(jax.random.key(1), (5, size)))
    velocity, lidars = x[:, :2], x[:, 2:].reshape(5, 2, rays)
    mirror = np.diag([1.0, -1.0])
    turned = np.concatenate([velocity @ mirror, lidars[..., ::-1].reshape(5, -1)], axis=-1)
    mode, mirrored = (np.asarray(trained(jnp.asarray(each))[0].mode()) for each in (x, turned))
    np.testing.assert_allclose(mirrored, mode @ mirror, atol=1e-5)
    writer = jaxdem.CheckpointModelWriter(directory=tmp_path / "kept", clean=False)
    writer.save(trained, step=1)
    writer.checkpointer.wait_until_finished()
    loaded = jaxdem.CheckpointModelLoader(directory=tmp_path / "kept").load()
    assert loaded.metadata == trained.metadata
    np.testing.assert_array_equal(loaded(jnp.asarray(x))[0].mode(), mode)


PROGRAMS = {
    "we come first": "import jaxdem_ac; import jaxdem.rl",
    "we come last": "import jaxdem.rl; import jaxdem_ac",
}


@pytest.mark.usefixtures("rl")
@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS.keys())
def test_importing_both_is_enough_and_replacing_is_asked_for(program: str) -> None:
    code = f"""
{program}
from flax import nnx
from jaxdem.rl import ActionSpace, Model

def modules():
    make = dict(observation_space_size=2, action_space_size=2, key=nnx.Rngs(0))
    models = [type(Model.create(name, **make)) for name in ("ac.ActorCritic", "ActorCritic")]
    spaces = [type(ActionSpace.create(name)) for name in ("ac.MaxNorm", "MaxNorm")]
    return [cls.__module__.partition(".")[0] for cls in models + spaces]

print(*modules())
jaxdem_ac.register(replace=True)
jaxdem_ac.register()
print(*modules())
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])}
    done = subprocess.run(
        [sys.executable, "-W", "error:::jaxdem_ac", "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["jaxdem_ac jaxdem jaxdem_ac jaxdem", " ".join(["jaxdem_ac"] * 4)]


def test_a_policy_per_species_learns_in_jaxdems_trainer(rl: ModuleType, tmp_path: Path) -> None:
    """Its loss sees no particles; the species is the last number of what each has observed."""
    from jaxdem_ac.plugin.species import with_species

    plain = rl.Environment.create("multiNavigator", N=4)
    species = [0, 1, 1, 0]
    environment = with_species(plain, species)
    assert environment.observation_space_size == plain.observation_space_size + 1
    assert type(with_species(plain, species)) is type(environment)
    state = environment.reset(environment, jax.random.key(0))
    np.testing.assert_array_equal(state.observation(state)[:, -1], species)
    with pytest.raises(ValueError, match="2 for num_particles=4"):
        with_species(plain, [0, 1])
    model = rl.Model.create(
        "ac.PerParticle",
        observation_space_size=environment.observation_space_size,
        action_space_size=environment.action_space_size,
        key=nnx.Rngs(0),
        action_space=rl.ActionSpace.create("ac.MaxNorm", max_norm=5.0),
        sharing="species",
        num_species=2,
        architecture=(8,),
    )
    before = jax.tree.map(jnp.copy, nnx.state(model.sets, nnx.Param))
    trainer = rl.Trainer.create(
        "PPO", env=environment, model=model, num_envs=4, num_steps_epoch=4, num_minibatches=2, num_epochs=2
    )
    trainer = trainer.train(trainer, verbose=False, log=False, directory=tmp_path)
    trained, *_ = nnx.merge(trainer.graphdef, trainer.graphstate)
    after = nnx.state(trained.sets, nnx.Param)
    for old, new in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True):
        assert old.shape[0] == 2
        assert all(bool((old[kind] != new[kind]).any()) for kind in (0, 1))


def test_its_own_models_and_action_spaces_stand_under_a_prefix(rl: ModuleType) -> None:
    import jaxdem_ac as ac
    from jaxdem_ac.plugin import names
    from jaxdem_ac.registry import action_spaces, models

    assert [entry.name for entry in names.entries(action_spaces)] == ["jaxdem:Box", "jaxdem:Free", "jaxdem:MaxNorm"]
    assert {entry.origin for entry in names.entries(models)} == {"JaxDEM"}
    model = ac.make_model("jaxdem:lstm_actor_critic", **SIZES, key=0, action_space=ac.make_action_space("jaxdem:Free"))
    assert type(model) is rl.Model._registry["lstmactorcritic"]
    assert "jaxdem:LSTMActorCritic" not in ac.list_models()
    with pytest.raises(KeyError, match="Did you mean 'LSTMActorCritic'"):
        ac.make_model("jaxdem:LSTMActorCrtic", **SIZES, key=0)
    # Another prefix is a module, which nothing imports unasked.
    with pytest.raises(PermissionError, match="brax:x"):
        ac.make_model("brax:x", **SIZES, key=0)
