"""The wrapper for PettingZoo: its own tests, and that nothing is lost, invented or let through on the way."""

import sys
import warnings
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.wrapper_tasks import TINY, TracedWalk, steps

import jaxdem_ac as ac
from jaxdem_ac.action_spaces.base import ActionBounds
from jaxdem_ac.action_spaces.free import Free
from jaxdem_ac.environments.testing import Walk
from jaxdem_ac.environments.wrappers.pettingzoo_env import ParallelSwarm

pettingzoo_test = pytest.importorskip("pettingzoo.test")

BOX: dict[str, Any] = {"action_space": "Box", "action_space_kw": {"x_min": -2.0, "x_max": 2.0}}


def walk(**keywords: Any) -> ParallelSwarm:
    return ac.make_parallel_env(Walk(**keywords), **BOX)


def moves(*sizes: float) -> dict[str, np.ndarray]:
    return {f"particle_{index}": size for index, size in enumerate(steps(*sizes))}


@pytest.fixture(scope="module")
def swarm() -> ParallelSwarm:
    return ac.make_parallel_env("multi_navigator", **TINY)


def test_it_passes_pettingzoos_own_tests(swarm: ParallelSwarm) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pettingzoo_test.parallel_api_test(swarm, num_cycles=20)
        pettingzoo_test.parallel_seed_test(lambda: ac.make_parallel_env("multi_navigator", **TINY), num_cycles=5)


@pytest.mark.filterwarnings("ignore:.*WARN")
def test_the_same_swarm_as_one_agent_passes_gymnasiums_checker() -> None:
    # Here, for it is the same compiled program.
    from gymnasium.utils.env_checker import check_env

    check_env(ac.make_gym_env("multi_navigator", **TINY))


def test_a_step_is_the_environments_own(swarm: ParallelSwarm) -> None:
    seen, infos = swarm.reset(seed=3)
    environment, state = swarm.swarms.environment, swarm.swarms.first_state()
    np.testing.assert_array_equal(np.stack(list(seen.values())), state.observation)
    assert infos == {agent: {} for agent in swarm.agents}
    actions = {agent: swarm.action_space(agent).sample() / 2 for agent in swarm.agents}
    _, timestep = environment.step(state, jnp.asarray(list(actions.values())))
    observations, rewards, terminations, truncations, infos = swarm.step(actions)
    for index, agent in enumerate(swarm.possible_agents):
        np.testing.assert_allclose(observations[agent], timestep.observation[index], atol=1e-5)
        assert rewards[agent] == pytest.approx(float(timestep.reward[index]), abs=1e-5)
        assert (terminations[agent], truncations[agent]) == (False, False)
        assert infos[agent] == {"success": float(timestep.info["success"])}
        assert swarm.observation_space(agent).contains(observations[agent])
    np.testing.assert_array_equal(swarm.state(), np.concatenate(list(observations.values())))
    assert swarm.state_space.contains(swarm.state())


def test_a_time_limit_truncates_everybody_and_no_agent_is_left() -> None:
    env = walk(length=2)
    assert (env.agents, env.max_num_agents) == ([], 2)
    env.reset(seed=0)
    _, _, terminated, truncated, _ = env.step(moves(1, 1))
    assert not any(terminated.values())
    assert not any(truncated.values())
    assert env.agents == ["particle_0", "particle_1"]
    seen, rewards, terminated, truncated, infos = env.step(moves(1, 0.5))
    assert env.agents == []
    assert terminated == {"particle_0": False, "particle_1": False}
    assert truncated == {"particle_0": True, "particle_1": True}
    assert rewards == {"particle_0": 1.0, "particle_1": 1.5}
    assert [list(each) for each in seen.values()] == [[2, 0, 3], [1.5, 1, 3]]
    assert [type(value) for value in (rewards["particle_0"], infos["particle_0"]["success"])] == [float, float]
    with pytest.raises(RuntimeError, match=r"an episode is under way; got none\. Call reset"):
        env.step(moves(1, 1))
    env.reset()
    assert len(env.agents) == 2


def test_the_end_of_the_task_terminates_everybody() -> None:
    env = walk(goal=1.5)
    env.reset(seed=0)
    _, _, terminated, truncated, _ = env.step(moves(2, 0))
    assert terminated == {"particle_0": True, "particle_1": True}
    assert truncated == {"particle_0": False, "particle_1": False}
    assert env.agents == []


def test_episodes_depend_on_the_seed_alone() -> None:
    def beginnings(env: ParallelSwarm, *seeds: int | None) -> list[float]:
        return [float(env.reset(seed=seed)[0]["particle_0"][0]) for seed in seeds]

    one, other = walk(random=True), walk(random=True)
    np.random.seed(0)  # noqa: NPY002
    first = beginnings(one, 7, None, None)
    np.random.seed(1)  # noqa: NPY002
    assert beginnings(other, None, 5, 7, None, None)[2:] == first
    assert len(set(first + beginnings(other, 8, 2**40))) == 5
    assert beginnings(walk(random=True), None) != beginnings(walk(random=True), None)


@pytest.mark.parametrize(
    ("actions", "error", "message"),
    [
        ({"particle_0": [1.0]}, KeyError, r"no action of particle_1\. Give"),
        ({**moves(1, 1), "particle_9": [1.0]}, KeyError, r"no such agent; got 'particle_9'\. Did you mean"),
        (moves(1, float("nan")), ValueError, r"finite and in its space, \[-2\.0\] to \[2\.0\]; got particle_1=\[nan\]"),
        (moves(2.01, 1), ValueError, r"got particle_0=\[2\.0\d*\]\. Clip it"),
        ({**moves(1, 1), "particle_1": np.zeros(2)}, ValueError, r"an action is \(1,\); got particle_1: shape \(2,\)"),
        ({**moves(1, 1), "particle_0": None}, ValueError, r"got particle_0"),
        ({**moves(1, 1), "particle_0": "left"}, ValueError, r"got particle_0: 'left'"),
    ],
)
def test_an_action_that_is_not_allowed_is_refused_by_name(actions: Any, error: Any, message: str) -> None:
    env = walk()
    env.reset(seed=0)
    before = env.state()
    with pytest.raises(error, match=message):
        env.step(actions)
    np.testing.assert_array_equal(env.state(), before)
    assert env.step(moves(1, 1))[0]["particle_0"][0] == 1.0


def test_a_ball_shortens_the_corners_of_its_box_and_nothing_else() -> None:
    env = ac.make_parallel_env("multi_navigator", **TINY)
    box = env.action_space("particle_0")
    np.testing.assert_array_equal([box.low, box.high], [[-10, -10], [10, 10]])

    def led_to(*action: float) -> np.ndarray:
        env.reset(seed=1)
        return env.step(dict.fromkeys(env.agents, np.asarray(action, np.float32)))[0]["particle_2"]

    # An action changes what is seen, the velocity, in proportion.
    np.testing.assert_allclose(led_to(10, 10), led_to(50**0.5, 50**0.5), atol=1e-7)
    assert np.abs(led_to(10, 10) - led_to(7, 7)).max() > 1e-5
    assert np.abs(led_to(6, 6) - led_to(7, 7)).max() > 1e-5


def test_what_the_environment_advises_is_taken_unless_told() -> None:
    env = ac.make_parallel_env("multi_navigator")
    assert (env.max_num_agents, env.swarms.environment.physics_steps) == (16, 50)
    assert env.metadata["name"] == "multi_navigator"
    assert ac.make_parallel_env("multi_navigator", num_particles=3).max_num_agents == 3
    assert ac.make_parallel_env("multi_navigator", advised=False).max_num_agents == 64
    assert ac.make_parallel_env(Walk(num_particles=5)).max_num_agents == 5
    free = ac.make_parallel_env("multi_navigator", action_space="Free").action_space("particle_0")
    assert not free.is_bounded()
    own = ac.make_action_space("Box", x_min=[-1.0, -2.0], x_max=3.0)
    box = ac.make_parallel_env("multi_navigator", action_space=own).action_space("particle_0")
    np.testing.assert_array_equal([box.low, box.high], [[-1, -2], [3, 3]])


def test_bad_keywords_are_refused() -> None:
    with pytest.raises(TypeError, match=r"make_parallel_env: keywords go with the name.*got length with a Walk"):
        ac.make_parallel_env(Walk(), length=3)
    with pytest.raises(TypeError, match=r"environment multi_navigator: no such keyword; got 'num_particle'"):
        ac.make_parallel_env("multi_navigator", num_particle=3)
    with pytest.raises(TypeError, match=r"an environment is a name or a .*; got a int"):
        ac.make_parallel_env(3)
    with pytest.raises(ValueError, match=r"an action of Walk has 1 components; got an action space for 2"):
        ac.make_parallel_env(Walk(), action_space=ac.make_action_space("Box", x_min=[0.0, 0.0], x_max=1.0))
    with pytest.raises(TypeError, match=r"action_space_kw goes with the name.*got eps with a Free"):
        ac.make_parallel_env(Walk(), action_space=ac.make_action_space("Free"), action_space_kw={"eps": 1e-3})
    with pytest.raises(TypeError, match=r"an action space says its bounds; got Walk, which does not"):
        ac.make_parallel_env(Walk(), action_space=Walk())


class Forward(Free):
    """Somebody else's action space, of components above 0."""

    def bounds(self, size: int) -> ActionBounds:
        return ActionBounds.of(0.0, np.inf, size)


def test_an_action_space_of_somebody_else_says_its_bounds() -> None:
    swarm = ac.make_parallel_env("multi_navigator", **TINY, action_space=Forward())
    swarm.reset(seed=0)
    space = swarm.action_space(swarm.agents[0])
    np.testing.assert_array_equal(space.low, [0.0, 0.0])
    np.testing.assert_array_equal(space.high, [np.inf, np.inf])
    with pytest.raises(ValueError, match=r"every action is finite and in its space, \[0\.0, 0\.0\] to \[inf, inf\]"):
        swarm.step({agent: np.array([-1.0, 0.0], np.float32) for agent in swarm.agents})


def test_lists_that_are_too_short_grow_and_nothing_is_lost() -> None:
    short, ample = walk(room=3, random=True), walk(random=True)
    for seed in range(4):
        for env in (short, ample):
            env.reset(seed=seed)
        while ample.agents:
            np.testing.assert_array_equal(short.state(), ample.state())
            one, other = short.step(moves(0.5, -1)), ample.step(moves(0.5, -1))
            assert one[1:] == other[1:]
    assert short.swarms.environment.room > 3


def test_nothing_is_compiled_twice() -> None:
    task = TracedWalk(length=1_000, num_particles=3)
    env = ac.make_parallel_env(task, **BOX)
    task.traced.clear()
    for seed in range(3):
        env.reset(seed=seed)
        for _ in range(5):
            env.step(moves(1, 1, 1))
    again = ac.make_parallel_env(replace(task), **BOX)
    again.reset()
    again.step(moves(0, 0, 0))
    assert task.traced == [64]


def test_what_is_returned_is_the_callers_own() -> None:
    env = walk()
    first, _ = env.reset(seed=0)
    kept = first["particle_0"].copy()
    seen = env.step(moves(1, 1))[0]
    np.testing.assert_array_equal(first["particle_0"], kept)
    seen["particle_0"] += 5
    env.step(moves(1, 1))
    assert env.state()[0] == 2.0


def test_what_is_written_into_an_observation_an_action_or_a_picture_changes_nothing_else() -> None:
    canvas = np.zeros((2, 2, 3), np.uint8)
    env = ac.make_parallel_env(Walk(), action_space="Free", draw=lambda environment, state: canvas)
    seen, infos = env.reset(seed=0)
    state = env.state()
    seen["particle_0"][:] = 99
    infos["particle_0"]["mine"] = 1
    np.testing.assert_array_equal(env.state(), state)
    actions = moves(1, 2)
    seen, _, _, _, infos = env.step(actions)
    state = env.state()
    seen["particle_1"][:] = 99
    actions["particle_0"][:] = 99
    infos["particle_0"]["success"] = 99.0
    assert infos["particle_1"]["success"] < 1
    np.testing.assert_array_equal(env.state(), state)
    np.testing.assert_array_equal(np.asarray(env.swarms.state.observation)[0, :, 0], [1, 2])
    env.render()[:] = 7  # type: ignore[index]
    assert not canvas.any()
    env.state()[:] = 99
    np.testing.assert_array_equal(env.state(), state)


@pytest.mark.parametrize("seed", ["1", 1.5, -1, True], ids=str)
def test_a_seed_that_is_none(seed: Any) -> None:
    for env in (walk(), ac.make_gym_env(Walk()), ac.make_vector_env(Walk())):
        with pytest.raises(ValueError, match=r"reset: seed is a whole number from 0; got seed="):
            env.reset(seed=seed)
        env.reset(seed=0)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("bad", ["0.5", True, 1j, None, 1e39, object()], ids=lambda bad: type(bad).__name__)
def test_what_is_no_number_is_no_action(bad: Any) -> None:
    one, many, few = walk(), ac.make_gym_env(Walk(), action_space="Free"), ac.make_vector_env(Walk())
    for env in (one, many, few):
        env.reset(seed=0)
    with pytest.raises(ValueError, match=r"got particle_0"):
        one.step({**moves(1, 1), "particle_0": [bad]})
    for env in (many, few):
        with pytest.raises(ValueError, match=r"step: (actions are numbers|every action is finite)"):
            env.step(np.full(env.action_space.shape, bad))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"actions are a dict, one of each agent; got NoneType"):
        one.step(None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("keywords", "word"),
    [
        ({"advised": "no"}, "advised is true or false"),
        ({"draw": 3}, "draw is a function"),
        ({"draw": lambda state: state}, r"draw is a function \(environment, state\)"),
        ({"action_space_kw": [1]}, "action_space_kw is a dict"),
        ({"action_space": 3}, "an action space says its bounds; got int"),
    ],
)
def test_an_option_of_another_type(keywords: dict[str, Any], word: str) -> None:
    with pytest.raises(TypeError, match=word):
        ac.make_parallel_env(Walk(), **keywords)
    for name in ("view", "autoreset_mode"):
        with pytest.raises(ValueError, match=rf"{name} is '"):
            ac.make_vector_env(Walk(), **{name: []})


def test_a_picture_is_drawn_by_who_brings_a_brush() -> None:
    def draw(environment: Walk, state: Any) -> Any:
        return jnp.full((4, 5, 3), jnp.sum(state.observation[:, 0])).astype(int)

    env = ac.make_parallel_env(Walk(), draw=draw)
    assert (env.render_mode, env.metadata["render_modes"]) == ("rgb_array", ["rgb_array"])
    with pytest.raises(RuntimeError, match=r"ParallelSwarm\.render: an episode is under way; got none"):
        env.render()
    env.reset(seed=0)
    env.step(moves(1, 0.5))
    env.step(moves(1, 0.5))
    picture = env.render()
    assert picture is not None
    assert (picture.shape, picture.dtype, int(picture[0, 0, 0])) == ((4, 5, 3), np.uint8, 3)
    assert (walk().render_mode, walk().render()) == (None, None)


@pytest.mark.parametrize("name", ["make_parallel_env", "make_vector_env", "make_gym_env"])
def test_a_library_that_is_not_there_is_asked_for(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    library = "pettingzoo" if name == "make_parallel_env" else "gymnasium"
    for module in ("pettingzoo_env", "gymnasium_vector_env", "gymnasium_env"):
        monkeypatch.delitem(sys.modules, f"jaxdem_ac.environments.wrappers.{module}", raising=False)
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ImportError, match=rf'{name}: it needs {library}.*pip install "jaxdem-ac\[gym\]"'):
        getattr(ac, name)(Walk())


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["swarm_navigator", "collective_transport", "evacuation", "swarm_roller", "active_brownian"]
)
@pytest.mark.filterwarnings("ignore:.*WARN")
def test_every_environment_passes_the_libraries_own_tests(name: str) -> None:
    from gymnasium.utils.env_checker import check_env

    few = {"num_particles": 4, "physics_steps": 2, "max_steps": 40}
    pettingzoo_test.parallel_api_test(ac.make_parallel_env(name, **few), num_cycles=30)
    pettingzoo_test.parallel_seed_test(lambda: ac.make_parallel_env(name, **few), num_cycles=5)
    check_env(ac.make_gym_env(name, **few))


@pytest.mark.slow
def test_a_real_list_grows_and_nothing_is_lost() -> None:
    sizes = {"num_particles": 64, "physics_steps": 5, "max_steps": 50}
    short = ac.make_parallel_env("multi_navigator", neighbor_room=0.05, **sizes)
    ample = ac.make_parallel_env("multi_navigator", **sizes)
    for env in (short, ample):
        env.reset(seed=0)
    key = jax.random.key(0)
    for count in range(10):
        np.testing.assert_allclose(short.state(), ample.state(), atol=1e-4)
        force = np.asarray(5 * jax.random.normal(jax.random.fold_in(key, count), (64, 2))).clip(-10, 10)
        for env in (short, ample):
            env.step(dict(zip(env.agents, force, strict=True)))
    assert short.swarms.environment.neighbor_room > 0.05
