"""The wrappers for gymnasium: its checker, its own vector environments as the measure, and both views."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.wrapper_tasks import TracedWalk, steps

import jaxdem_ac as ac
from jaxdem_ac.environments.testing import Walk

gymnasium = pytest.importorskip("gymnasium")
BOX: dict[str, Any] = {"action_space": "Box", "action_space_kw": {"x_min": -2.0, "x_max": 2.0}}


def assert_same(mine: dict[str, Any], theirs: dict[str, Any]) -> None:
    """Assert that infos have the same layout and numbers."""
    assert mine.keys() == theirs.keys()
    for name, figure in theirs.items():
        if isinstance(figure, dict):
            assert_same(mine[name], figure)
        elif figure.dtype == object:
            for one, other in zip(mine[name], figure, strict=True):
                np.testing.assert_array_equal(one, other)
        else:
            assert mine[name].dtype == (bool if figure.dtype == bool else np.float32)
            np.testing.assert_allclose(mine[name], figure, rtol=1e-6)


@pytest.mark.parametrize("mode", ["SameStep", "NextStep"])
def test_swarms_are_stepped_as_gymnasium_steps_copies(mode: str) -> None:
    task = Walk(goal=4.0, length=3)
    swarms = ac.make_vector_env(task, 3, view="swarm", autoreset_mode=mode, **BOX)
    copies = gymnasium.vector.SyncVectorEnv([lambda: ac.make_gym_env(task, **BOX)] * 3, autoreset_mode=mode)
    for space in ("observation_space", "action_space", "single_observation_space", "single_action_space"):
        assert getattr(swarms, space) == getattr(copies, space)
    assert swarms.metadata["autoreset_mode"] == copies.metadata["autoreset_mode"]
    mine, theirs = swarms.reset(seed=0), copies.reset(seed=0)
    np.testing.assert_array_equal(mine[0], theirs[0])
    assert mine[1] == theirs[1] == {}
    rng, ends = np.random.default_rng(0), np.zeros(2)
    for _ in range(15):
        action = rng.uniform(0, 2, (3, 2)).astype(np.float32)
        mine, theirs = swarms.step(action), copies.step(action)
        for one, other in zip(mine[:4], theirs[:4], strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-6)
            assert one.dtype == (bool if other.dtype == bool else np.float32)
        assert_same(mine[4], theirs[4])
        ends += [mine[2].sum(), mine[3].sum()]
    assert ends.min() > 0, "both ways to end have been seen"


def test_every_particle_is_a_sub_environment() -> None:
    task = Walk(num_particles=2, length=2, random=True)
    particles, swarms = (ac.make_vector_env(task, 3, view=view, **BOX) for view in ("particle", "swarm"))
    assert (particles.num_envs, swarms.num_envs) == (6, 3)
    assert particles.single_observation_space.shape == (3,)
    assert swarms.single_observation_space.shape == (6,)
    seen, whole = particles.reset(seed=5)[0], swarms.reset(seed=5)[0]
    assert len(np.unique(seen[:, 0])) == 6, "all begin differently"
    begun = seen
    for count in range(4):
        np.testing.assert_array_equal(seen, whole.reshape(6, 3))
        begun = seen if count % 2 == 0 else begun
        action = steps(0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
        seen, reward, terminated, truncated, infos = particles.step(action)
        whole, mean, _, cut, _ = swarms.step(action.reshape(3, 2))
        np.testing.assert_allclose(reward, [0.1, 1.2, 0.3, 1.4, 0.5, 1.6], rtol=1e-6)
        np.testing.assert_allclose(mean, reward.reshape(3, 2).mean(1))
        assert not terminated.any()
        np.testing.assert_array_equal(truncated, np.repeat(cut, 2))
        assert truncated.all() == (count % 2 == 1)
        if truncated.all():
            last = np.stack(infos["final_obs"])
            np.testing.assert_array_equal(last[:, 1], [0, 1, 0, 1, 0, 1])
            np.testing.assert_allclose(last[:, 0] - begun[:, 0], 2 * action[:, 0], rtol=1e-5)
            np.testing.assert_array_equal(infos["_final_obs"], np.ones(6, bool))
            assert "success" not in infos
        else:
            np.testing.assert_array_equal(infos["_success"], np.ones(6, bool))


def test_a_seed_determines_all_episodes_that_follow() -> None:
    def play(seed: int | None) -> np.ndarray:
        env = ac.make_vector_env(Walk(length=2, random=True), 3, **BOX)
        seen = [env.reset(seed=seed)[0]]
        seen += [env.step(np.zeros((6, 1)))[0] for _ in range(5)]
        return np.stack(seen)

    first = play(3)
    np.testing.assert_array_equal(first, play(3))
    assert np.abs(first - play(4)).max() > 0.01
    assert np.abs(play(None) - play(None)).max() > 0.01
    # Episodes of 2 decisions: each begins somewhere else.
    assert len(np.unique(first[::2, :, 0])) == 18


@pytest.mark.parametrize("mode", ["SameStep", pytest.param("NextStep", marks=pytest.mark.slow)])
def test_fresh_episodes_with_lists_that_are_too_short(mode: str) -> None:
    short, ample = (
        ac.make_vector_env(Walk(length=2, random=True, room=room), 3, autoreset_mode=mode, **BOX) for room in (3, 64)
    )
    np.testing.assert_array_equal(short.reset(seed=1)[0], ample.reset(seed=1)[0])
    for _ in range(12):
        action = np.full((6, 1), 0.5, np.float32)
        one, other = short.step(action), ample.step(action)
        for mine, theirs in zip(one[:4], other[:4], strict=True):
            np.testing.assert_array_equal(mine, theirs)
        assert_same(one[4], other[4])
    assert short.swarms.environment.room > 3


@pytest.mark.filterwarnings("ignore:.*WARN")
def test_a_swarm_as_one_agent_passes_gymnasiums_checker() -> None:
    from gymnasium.utils.env_checker import check_env

    alone = ac.make_gym_env(Walk(num_particles=1))
    check_env(alone)
    assert (alone.observation_space.shape, alone.action_space.shape) == ((3,), (1,))
    env = ac.make_gym_env(Walk(), draw=lambda environment, state: jnp.full((2, 2, 3), environment.num_particles))
    check_env(env)
    np.testing.assert_array_equal(env.render(), np.full((2, 2, 3), 2))


def test_an_episode_of_one_agent() -> None:
    env = ac.make_gym_env(Walk(length=2), **BOX)
    with pytest.raises(RuntimeError, match=r"SwarmEnv\.step: an episode is under way; got none"):
        env.step(np.zeros(2, np.float32))
    env.reset(seed=0)
    assert env.step(np.float32([1, 0.5]))[1:4] == (1.25, False, False)
    seen, reward, terminated, truncated, info = env.step(np.float32([1, 0.5]))
    assert (reward, terminated, truncated, info) == (1.25, False, True, {"success": pytest.approx(0.015)})
    np.testing.assert_array_equal(seen, [2, 0, 3, 1, 1, 3])
    with pytest.raises(RuntimeError, match="an episode is under way"):
        env.step(np.zeros(2, np.float32))


@pytest.mark.parametrize("mode", ["SameStep", "NextStep"])
def test_gymnasiums_wrappers_count_episodes_right(mode: str) -> None:
    wrappers = gymnasium.wrappers.vector
    inner = ac.make_vector_env(Walk(length=3), 2, autoreset_mode=mode, **BOX)
    env = wrappers.RescaleAction(wrappers.RecordEpisodeStatistics(inner), np.float32(-1), np.float32(1))
    env.reset(seed=0)
    episodes = []
    for _ in range(8):
        # 1 is 2 in the environment, and no rounding puts it out of bounds.
        infos = env.step(np.ones((4, 1), np.float32))[4]
        episodes += [infos["episode"]] if "episode" in infos else []
    assert len(episodes) == 2
    for episode in episodes:
        np.testing.assert_array_equal(episode["l"], 3)
        np.testing.assert_array_equal(episode["r"], [6, 9, 6, 9])


def test_what_is_not_allowed_is_refused() -> None:
    env = ac.make_vector_env(Walk(), 2, **BOX)
    with pytest.raises(RuntimeError, match="Call reset"):
        env.step(steps(0, 0, 0, 0))
    env.reset(seed=0)
    with pytest.raises(ValueError, match=r"got particle_1 of swarm 1=\[nan\]"):
        env.step(steps(0, 0, 0, float("nan")))
    with pytest.raises(ValueError, match=r"got particle_0 of swarm 1=\[-3\.0\]"):
        env.step(steps(0, 0, -3, 0))
    with pytest.raises(ValueError, match=r"VectorSwarm\.step: actions are \(4, 1\); got shape \(4,\)"):
        env.step(np.zeros(4))
    with pytest.raises(ValueError, match=r"actions are numbers, \(4, 1\); got \['a'\]"):
        env.step(["a"])
    with pytest.raises(ValueError, match=r"reset_mask"):
        env.reset(options={"reset_mask": np.ones(4, bool)})
    np.testing.assert_array_equal(env.step(steps(1, 1, 1, 1))[0][:, 0], 1)
    with pytest.raises(ValueError, match=r"view is 'particle' or 'swarm'; got view='agents'"):
        ac.make_vector_env(Walk(), 2, view="agents")
    with pytest.raises(ValueError, match=r"autoreset_mode is 'SameStep' or 'NextStep'; got autoreset_mode='Disabled'"):
        ac.make_vector_env(Walk(), 2, autoreset_mode="Disabled")
    with pytest.raises(ValueError, match=r"make_vector_env: num_envs is a whole number from 1; got num_envs=0"):
        ac.make_vector_env(Walk(), 0)


def test_nothing_is_compiled_twice_and_all_is_the_callers_own() -> None:
    TracedWalk.traced.clear()
    env = ac.make_vector_env(TracedWalk(length=4), 5, **BOX)
    first = env.reset(seed=0)[0]
    returned = [env.step(np.full((10, 1), 0.5, np.float32)) for _ in range(9)]
    assert TracedWalk.traced == [64]
    np.testing.assert_array_equal(first[:, 0], 0)
    assert [float(seen[0, 0]) for seen, *_ in returned] == [0.5, 1, 1.5, 0, 0.5, 1, 1.5, 0, 0.5]
    assert returned[3][4]["final_obs"][0][0] == 2.0
    for array in returned[0][:4]:
        assert array.flags.writeable


@pytest.mark.parametrize("mode", ["SameStep", "NextStep"])
def test_what_is_written_into_a_result_changes_nothing_that_comes(mode: str) -> None:
    one, other = (ac.make_vector_env(Walk(length=2), 2, autoreset_mode=mode, **BOX) for _ in range(2))
    for env in (one, other):
        env.reset(seed=0)[0][:] = 99 if env is one else 0
    for _ in range(5):
        actions = np.full((4, 1), 0.5, np.float32)
        expected, found = other.step(actions), one.step(actions)
        for mine, theirs in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
            # An array of objects is compared one by one.
            np.testing.assert_array_equal(np.array([*mine]), np.array([*theirs]))
        actions[:] = 99
        for array in jax.tree.leaves(found):
            if isinstance(array, np.ndarray):
                array[:] = ~array if array.dtype == bool else 99
