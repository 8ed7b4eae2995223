"""Environments both ways: ours in JaxDEM's trainers, JaxDEM's under ours."""

from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jaxdem_ac as ac
from jaxdem_ac.registry import normalize_key

pytestmark = pytest.mark.jaxdem

SMALL: dict[str, dict[str, Any]] = {
    "swarm_navigator": {"N": 6},
    "multi_navigator": {"num_particles": 6},
    "collective_transport": {"N": 6},
    "evacuation": {"N": 6, "max_steps": 60},
    "swarm_roller": {"N": 6},
    "active_brownian": {"N": 6},
}

# At 5d9c13a three fail in their own reset: a stale argument of the lidar.
STALE = {"swarmRoller", "swarmRoller3D", "swarmStacking3D"}


@pytest.fixture(autouse=True)
def no_mixed_classes() -> None:
    """In jaxlib 0.10.2 JAX's caches confuse dataclasses with equal fields, of which many come together here."""
    jax.clear_caches()


def guest(rl: ModuleType, name: str, **more: Any) -> Any:
    return rl.Environment.create(f"ac.{name}", **SMALL[name], **more)


def action_of(env: Any, seed: int = 0, batch: tuple[int, ...] = ()) -> jax.Array:
    shape = (*batch, env.max_num_agents, env.action_space_size)
    return jax.random.uniform(jax.random.key(seed), shape, float, minval=-1.0, maxval=1.0)


@pytest.mark.parametrize("name", SMALL)
def test_ours_is_the_same_task_there(rl: ModuleType, name: str) -> None:
    """Step by step what our interface says, and what JaxDEM reads of state and system is true."""
    env = guest(rl, name)
    task = env.task
    key = jax.random.key(5)
    env, state = env.reset(env, key), task.reset(key)
    assert isinstance(env, rl.Environment)
    for seed in range(3):
        action = action_of(env, seed)
        env = env.step(env, action)
        state, timestep = task.step(state, action)
        np.testing.assert_allclose(env.observation(env), timestep.observation, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(env.reward(env), timestep.reward, rtol=1e-4, atol=1e-6)
        assert env.info(env).keys() == timestep.info.keys()
    particles = state.particles
    for found, expected in (
        (env.state.pos, particles.position),
        (env.state.vel, particles.velocity),
        (env.state.rad, particles.radius),
        (env.state.mass, particles.mass),
        (env.system.domain.anchor[:2], state.box_low[:2]),
        (env.system.domain.box_size[:2], (state.box_high - state.box_low)[:2]),
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert int(env.system.step_count) == int(state.step_count) == 3 * task.physics_steps
    assert float(env.system.time) == pytest.approx(3 * task.decision_time, rel=1e-5)
    assert not bool(env.system.collider.overflow)
    assert env.observation(env).shape == (env.max_num_agents, env.observation_space_size)


def test_an_episode_that_has_ended_stays_so_until_its_reset(rl: ModuleType) -> None:
    env = guest(rl, "evacuation")
    env = env.reset(env, jax.random.key(0))
    ends = []
    for seed in range(5):
        env = env.step(env, action_of(env, seed))
        ends.append(bool(env.done(env)))
    assert ends == [False, False, True, True, True]
    env = env.reset_if_done(env, env.done(env), jax.random.key(1))
    assert not bool(env.done(env))
    assert int(env.system.step_count) == 0


def test_a_list_that_was_too_short_shows_as_overflow(rl: ModuleType) -> None:
    """From then on: JaxDEM's trainer looks at it once, at its end."""
    env = rl.Environment.create("ac.swarm_navigator", N=64, neighbor_room=0.05)
    env = env.reset(env, jax.random.key(0))
    env = env.step(env, action_of(env))
    assert bool(env.system.collider.overflow)
    assert bool(env.reset(env, jax.random.key(1)).system.collider.overflow)


def test_our_environments_are_not_taken_for_those_that_its_wrappers_make_of_them(rl: ModuleType) -> None:
    """jaxlib compares dataclasses by their static fields alone: JaxDEM's own is equal to its vectorised one."""
    from jaxdem_ac.plugin.species import with_species

    ours = guest(rl, "multi_navigator")
    for env in (
        ours,
        with_species(ours, [0, 1] * 3),
        with_species(rl.Environment.create("multiNavigator", N=2), [0, 1]),
    ):
        wrapped = [rl.clip_action_env(env), jax.tree.map(lambda leaf: leaf[0], rl.vectorise_env(env, n=2))]
        structures = [jax.tree.structure(each) for each in (env, *wrapped)]
        assert all(structures[i] != structures[j] for i in range(3) for j in range(i))
        assert type(env.step(env, action_of(env))) is type(env)
        assert {type(rl.unwrap(each)) for each in (env, *wrapped)} == {type(env)}


def test_its_wrappers_and_keywords_work(rl: ModuleType) -> None:
    env = guest(rl, "swarm_navigator", max_steps=7)
    assert env.task.num_particles == 6
    assert env.task.max_steps == 7
    clipped = rl.clip_action_env(env, min_val=-0.25, max_val=0.25)
    strong = clipped.step(clipped, jnp.full((6, 2), 9.0))
    weak = env.step(env, jnp.full((6, 2), 0.25))
    np.testing.assert_array_equal(strong.state.vel, weak.state.vel)
    assert type(rl.unwrap(clipped)) is type(env)
    many = rl.vectorise_env(jax.vmap(lambda _: env)(jnp.arange(3)))
    many = many.reset(many, jax.random.split(jax.random.key(0), 3))
    many = many.step(many, action_of(env, batch=(3,)))
    assert many.observation(many).shape == (3, 6, env.observation_space_size)
    assert many.info(many)["success"].shape == (3,)
    assert not np.array_equal(many.state.pos[0], many.state.pos[1])
    with pytest.raises(TypeError, match="Did you mean 'max_steps'"):
        guest(rl, "swarm_navigator", max_step=7)
    with pytest.raises(TypeError, match="N and num_particles are one number"):
        rl.Environment.create("ac.swarm_navigator", N=6, num_particles=6)


def test_names_that_jaxdem_has_stay_its_own(rl: ModuleType) -> None:
    assert rl.Environment.create("swarmNavigator", N=2).__class__.__module__.startswith("jaxdem.")
    assert rl.Environment.create("evacuation", N=2).max_num_agents == 2


@pytest.mark.parametrize("model", ["LSTMActorCritic", "SharedActorCritic", "ac.ActorCritic"])
def test_its_trainer_trains_in_ours(rl: ModuleType, tmp_path: Path, model: str) -> None:
    env = guest(rl, "swarm_navigator", physics_steps=5)
    made = rl.Model.create(
        model,
        observation_space_size=env.observation_space_size,
        action_space_size=env.action_space_size,
        key=nnx.Rngs(0),
        action_space=rl.ActionSpace.create("ac.MaxNorm", max_norm=6.0),
    )
    before = jax.tree.map(jnp.copy, nnx.state(made, nnx.Param))
    trainer = rl.Trainer.create(
        "PPO", env=env, model=made, num_envs=4, num_steps_epoch=4, num_minibatches=2, num_epochs=2, clip_actions=True
    )
    trainer = trainer.train(trainer, verbose=False, log=False, directory=tmp_path)
    after = nnx.state(nnx.merge(trainer.graphdef, trainer.graphstate)[0], nnx.Param)
    assert any(
        bool((old != new).any()) for old, new in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True)
    )
    assert bool((trainer.env.system.step_count > 0).all())


def hosted_names(rl: ModuleType) -> list[str]:
    return sorted(cls.__name__ for key, cls in rl.Environment._registry.items() if key and not hasattr(cls, "guest_of"))


def test_all_of_its_environments_play_here(rl: ModuleType) -> None:
    """Or say, with their name, why not."""
    played, failed = [], {}
    for name in hosted_names(rl):
        jax.clear_caches()
        try:
            environment = ac.make_environment(f"jaxdem:{name}", physics_steps=2)
        except ValueError as error:
            failed[name] = str(error)
            continue
        shape = (environment.num_particles, environment.action_size)
        _, timestep = environment.step(environment.reset(jax.random.key(0)), jnp.ones(shape))
        assert timestep.observation.shape == (environment.num_particles, environment.observation_size)
        assert bool(jnp.isfinite(timestep.reward).all())
        assert environment.ends_by_clock
        assert 0 < environment.episode_length < 10**6
        played.append(name)
    assert len(played) >= 7
    assert {name.lower() for name in failed} <= {name.lower() for name in STALE}
    for name, text in failed.items():
        # The name is spelt as `list` has it.
        assert normalize_key(text.removeprefix("environment jaxdem:").partition(":")[0]) == normalize_key(name)
        assert "sense_edges" in text


def test_a_decision_here_is_the_sum_of_its_steps_there(rl: ModuleType) -> None:
    """And an episode ends at its own step, in the middle of a decision."""
    environment = ac.make_environment("jaxdem:multi_navigator", num_particles=3, physics_steps=4, max_steps=5)
    assert environment.episode_length == 2
    state = environment.reset(jax.random.key(2))
    env, action, rewards = state.env, action_of(state.env), []
    for _ in range(6):
        env = env.step(env, action)
        rewards.append(env.reward(env))
    state, first = environment.step(state, action)
    state, second = environment.step(state, action)
    np.testing.assert_allclose(first.reward, sum(rewards[:4]), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(second.reward, sum(rewards[4:]), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(second.observation, env.observation(env), rtol=1e-5, atol=1e-6)
    assert (bool(first.truncated), bool(second.truncated), bool(second.terminated)) == (False, True, False)
    assert int(state.env.system.step_count) == 6


def test_what_ends_by_more_than_its_clock_terminates(rl: ModuleType) -> None:
    from jaxdem_ac.plugin.from_jaxdem import hosted

    plain = rl.Environment._registry["singlenavigator"]

    @jax.tree_util.register_dataclass
    @dataclass(slots=True)
    class GetsThere(plain):  # type: ignore[valid-type,misc]
        @staticmethod
        def done(env: Any) -> jax.Array:
            return plain.done(env) | (env.state.pos[0, 0] > 0)

    @jax.tree_util.register_dataclass
    @dataclass(slots=True)
    class Never(plain):  # type: ignore[valid-type,misc]
        @staticmethod
        def done(env: Any) -> jax.Array:
            return jnp.zeros((), bool)

    environment = hosted("GetsThere", GetsThere)(max_decisions=9)
    assert not environment.ends_by_clock
    assert environment.episode_length == 9
    _, timestep = environment.step(environment.reset(jax.random.key(0)), jnp.zeros((1, 2)))
    assert (bool(timestep.terminated), bool(timestep.truncated)) == (True, False)
    endless = hosted("Never", Never)()
    with pytest.raises(ValueError, match="Set max_decisions"):
        _ = endless.episode_length


def test_our_trainer_trains_in_its(rl: ModuleType, tmp_path: Path) -> None:
    """Time limits are bootstrapped, figures without success are reported, a run is kept and evaluated."""
    del rl
    ppo = ac.PPOConfig(num_envs=4, num_steps=8, num_minibatches=2, num_epochs=1)
    for name, keywords, with_success in (
        ("jaxdem:swarm_navigator", {"num_particles": 4, "max_steps": 20}, True),
        ("jaxdem:three_gears", {"max_steps": 20}, False),
    ):
        config = ac.TrainConfig(
            env=name, env_kw={**keywords, "physics_steps": 5}, steps=256, ppo=ppo, out=str(tmp_path / name[-5:])
        )
        result = ac.train(config)
        assert ("success" in result.metrics[-1]) is with_success
        assert result.run_dir is not None
        found = ac.evaluate(result.environment, ac.load_policy(result.run_dir), jax.random.key(0), 2)
        assert (found.success is not None) is with_success
        assert ac.rollout(result.environment, result.policy, jax.random.key(0), 6).truncated.any()


def test_unknown_names_and_keywords_of_its_are_explained(rl: ModuleType) -> None:
    del rl
    with pytest.raises(KeyError, match="Did you mean 'three_gears'"):
        ac.make_environment("jaxdem:three_gear")
    with pytest.raises(TypeError, match="Did you mean 'max_steps'"):
        ac.make_environment("jaxdem:three_gears", max_stepz=3)
    with pytest.raises(ValueError, match="physics_steps is a whole number"):
        ac.make_environment("jaxdem:single_navigator", physics_steps=0)


def test_a_plugins_environment_for_jaxdem_stands_in_both(rl: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Announced in our group, written for JaxDEM: there it is itself, here it is hosted."""
    from importlib import metadata

    from jaxdem_ac.plugin import discovery
    from jaxdem_ac.registry import Registry, environments

    plain = rl.Environment._registry["singlenavigator"]
    entry = metadata.EntryPoint("theirs", f"{plain.__module__}:{plain.__name__}", "jaxdem.environments")
    monkeypatch.setattr(discovery, "environments", registry := Registry("environment", "jaxdem.environments"))
    target = discovery._load(entry, registry)
    environment = target(max_decisions=3)
    assert environment.episode_length == 3
    assert target.host_class is plain
    assert environments is not registry


def test_a_step_that_changes_classes_is_refused(rl: ModuleType) -> None:
    """As JAX's caches make one do, when they take what was compiled for other dataclasses with these fields."""
    from dataclasses import fields

    from jaxdem_ac.plugin.from_jaxdem import hosted

    plain = rl.Environment._registry["singlenavigator"]

    @jax.tree_util.register_dataclass
    @dataclass(slots=True)
    class Confused(plain):  # type: ignore[valid-type,misc]
        @staticmethod
        def step(env: Any, action: jax.Array) -> Any:
            after = plain.step(env, action)
            return plain(**{each.name: getattr(after, each.name) for each in fields(after)})

    environment = hosted("Confused", Confused)()
    with pytest.raises(TypeError, match=r"Call jax\.clear_caches"):
        environment.step(environment.reset(jax.random.key(0)), jnp.zeros((1, 2)))
