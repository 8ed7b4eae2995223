"""The short-horizon actor-critic: its slopes, what it learns where the optimum is known, and what it refuses."""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array
from support.compared import assert_equal
from support.recurrent_models import StepByStep

import jaxdem_ac as ac
from jaxdem_ac.environments.base import Timestep
from jaxdem_ac.environments.checks import Count
from jaxdem_ac.environments.testing import RandomEnvironment, Toy, ToyState, Tracking
from jaxdem_ac.models.structure import split_model
from jaxdem_ac.registry import environments, models
from jaxdem_ac.trainers.base import Problem
from jaxdem_ac.trainers.shac import window
from jaxdem_ac.trainers.shac.config import SHACConfig
from jaxdem_ac.trainers.shac.shac import init

MOVED, PRICE, GAMMA = 0.5, 0.25, 0.9


@dataclass(frozen=True, kw_only=True)
class Gliding(Toy):
    """A particle at x goes to ``x + a / 2``, at the cost ``x**2 + a**2 / 4`` of where it is and of its action.

    Who looks at one decision does not move; the best action is -K x, with K from Riccati's equation.
    """

    length: Count = 6
    ends_by: str = "time limit"

    def first_observation(self, key: Array) -> Array:
        """Return a place in [-1, 1)."""
        return jax.random.uniform(key, (self.num_particles, 1), float, minval=-1.0, maxval=1.0)

    def step(self, state: ToyState, action: Array) -> tuple[ToyState, Timestep]:
        """Return the state and the timestep after one decision."""
        place = state.observation + MOVED * action
        reward = -(state.observation[:, 0] ** 2) - PRICE * action[:, 0] ** 2
        state, timestep = super().step(state, action)
        return replace(state, observation=place), replace(timestep, observation=place, reward=reward)


def best_gain() -> float:
    cost = 1.0
    for _ in range(100):
        cost = 1 + GAMMA * cost - (GAMMA * cost * MOVED) ** 2 / (PRICE + GAMMA * cost * MOVED**2)
    return GAMMA * cost * MOVED / (PRICE + GAMMA * cost * MOVED**2)


def configured(env: str, updates: int, **changes: Any) -> ac.TrainConfig:
    numbers = SHACConfig(
        **{"num_envs": 16, "num_steps": 4, "learning_rate": 1e-2, "step_size": 0.3, **changes.pop("shac", {})}
    )
    given = {"action_space": "Free", "model_kw": {"architecture": [16]}, "report_every": 10}
    steps = updates * numbers.num_envs * numbers.num_steps * 2
    return ac.TrainConfig(env=env, algorithm="shac", algorithm_config=numbers, steps=steps, **{**given, **changes})


def problem_of(environment: Any, model: str = "SharedActorCritic", **numbers: Any) -> tuple[Problem[SHACConfig], Any]:
    made = ac.make_model(
        model,
        observation_space_size=environment.observation_size,
        action_space_size=environment.action_size,
        key=0,
        action_space=ac.make_action_space("Free"),
    )
    graphdef, model_state = split_model(made)
    model_state = jax.tree.map(lambda leaf: jnp.asarray(leaf, float), model_state)
    config = SHACConfig(**{"num_envs": 4, "num_steps": 6, **numbers})
    return Problem(environment, graphdef, config, 10), model_state


def test_slopes_are_those_of_differences_of_the_objective() -> None:
    """Through the policy's own answers, a reset within the window, and the critic at its end."""
    with jax.enable_x64(True):
        problem, model_state = problem_of(Gliding(length=4), num_envs=2, num_steps=6, remat=True)
        state = init(problem, model_state, jax.random.key(0))
        keys, shape = jax.random.split(jax.random.key(1), 6), (6, 2, 2, 1)
        objective = jax.jit(lambda nudge: window.play(problem, state, nudge, keys)[0])
        slope = jax.jit(jax.grad(objective))(jnp.zeros(shape))
        assert np.all(slope != 0)
        for number in range(6):
            step = jnp.zeros(shape).at[number].set(jax.random.normal(jax.random.key(2), shape[1:]))
            numeric = (objective(1e-4 * step) - objective(-1e-4 * step)) / 2e-4
            np.testing.assert_allclose(jnp.vdot(slope, step), numeric, rtol=1e-7)


def test_slopes_are_cut_and_fade_on_their_way_back() -> None:
    state = {"place": jnp.ones((2, 3)), "count": jnp.zeros(2, jnp.int32)}

    def worth(place: Array, factor: float, longest: float | None) -> Array:
        seen = window.fade_floats({**state, "place": place}, factor, longest)
        return jnp.sum(seen["place"] * jnp.array([[3.0, 0.0, 4.0], [0.0, 0.5, 0.0]]))

    slope = jax.grad(worth)
    np.testing.assert_allclose(slope(state["place"], 0.5, None), [[1.5, 0, 2], [0, 0.25, 0]])
    np.testing.assert_allclose(slope(state["place"], 1.0, 1.0), [[0.6, 0, 0.8], [0, 0.5, 0]], rtol=1e-6)
    # Of slopes whose square is no number of float32 the direction stays, and nothing of their neighbour changes.
    steep = jax.grad(lambda place: jnp.vdot(jnp.array([[3e25, 0, 4e25], [0, 0.5, 0]]), window.fade(place, 1.0, 1.0)))
    np.testing.assert_allclose(steep(state["place"]), [[0.6, 0, 0.8], [0, 0.5, 0]], rtol=1e-6)
    assert worth(state["place"], 0.5, 1.0) == 7.5


@pytest.mark.parametrize("numbers", [{"decay": 0.5}, {"max_state_slope": 1e-5}])
def test_slopes_fade_beyond_a_time_limit_as_at_the_end_of_a_window(numbers: dict[str, float]) -> None:
    """One decision, after which the episode ends by its time limit, or the window does."""

    def slope(length: int, **numbers: float) -> float:
        one = {"num_envs": 1, "num_steps": 1, "num_minibatches": 1, **numbers}
        problem, model_state = problem_of(Gliding(length=length, num_particles=1), **one)
        state = init(problem, model_state, jax.random.key(0))
        keys = jax.random.split(jax.random.key(1), 1)
        return float(jax.grad(lambda nudge: window.play(problem, state, nudge, keys)[0])(jnp.zeros((1, 1, 1, 1))).sum())

    np.testing.assert_allclose(slope(1, **numbers), slope(50, **numbers), rtol=1e-5)


def test_lengths_of_slopes() -> None:
    slope = jnp.array([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0]])
    np.testing.assert_allclose(
        window.slopes_of(SHACConfig(slopes="unit"), slope), [[0.6, 0.8], [0.6, 0.8], [0, 0]], rtol=1e-6
    )
    root_mean_square = np.sqrt((25 + 0.25) / 3)
    scaled = np.array([[0.6, 0.8], np.array([0.3, 0.4]) / root_mean_square, [0, 0]])
    np.testing.assert_allclose(window.slopes_of(SHACConfig(slopes="scaled"), slope), scaled, rtol=1e-6)
    # What is shorter than those before stays short, and what is longer is as long as it would be alone.
    running = SHACConfig(slopes="running")
    np.testing.assert_allclose(window.slopes_of(running, slope, jnp.log(10.0)), np.asarray(slope) / 10, rtol=1e-6)
    np.testing.assert_allclose(window.slopes_of(running, slope, jnp.log(0.1)), scaled, rtol=1e-6)


def test_the_running_length_is_a_geometric_mean() -> None:
    """Of the first fifty windows the mean itself; no window, without slopes or with infinite ones, is more than one."""
    lengths, found = np.geomspace(1e-3, 1e4, 50), jnp.zeros(())
    for number, length in enumerate(lengths):
        found = window.mean_log_slope(found, jnp.asarray(number), jnp.full((2, 3, 2), length / np.sqrt(2)))
    np.testing.assert_allclose(found, np.mean(np.log(lengths)), rtol=1e-5)
    for length, own in ((0.0, -20.0), (1e30, 20.0)):
        after = window.mean_log_slope(found, jnp.asarray(1000), jnp.full((2, 3, 2), length))
        np.testing.assert_allclose(after - found, 0.02 * (own - found), rtol=1e-5)


@pytest.mark.parametrize(
    ("model", "space", "space_kw"),
    [
        ("SharedActorCritic", "Free", {}),
        ("ActorCritic", "Box", {"x_min": -1.0, "x_max": 1.0}),
        ("SharedActorCritic", "MaxNorm", {}),
    ],
)
def test_it_finds_the_best_action(model: str, space: str, space_kw: dict[str, float]) -> None:
    """Of Tracking, the observation: a mean square distance of 0.005 of targets that spread by 0.2."""
    widths = {"actor_architecture": [16], "critic_architecture": [16]} if model == "ActorCritic" else None
    changes: dict[str, Any] = {"model": model, "action_space": space, "action_space_kw": space_kw}
    changes |= {"model_kw": widths} if widths else {}
    with environments.temporarily("tracking", Tracking):
        result = ac.train(configured("tracking", 60, **changes), None)
    assert ac.evaluate(Tracking(), result.policy, jax.random.key(0), 200).reward.mean > -0.005


@pytest.mark.parametrize("slopes", ["unit", "scaled", "running"])
def test_it_looks_beyond_the_window(slopes: str) -> None:
    """Windows of two decisions: what lies beyond is the critic's, whose worth is that of the best actions, -P x**2."""
    numbers = {"num_steps": 2, "num_envs": 32, "gamma": GAMMA, "gae_lambda": 0.9, "slopes": slopes}
    with environments.temporarily("gliding", Gliding):
        result = ac.train(configured("gliding", 200, shac=numbers), None)
    place = jnp.linspace(-0.8, 0.8, 5)[:, None]
    np.testing.assert_allclose(result.policy(place), -best_gain() * place, atol=0.15)


def leaves_of(result: ac.TrainResult) -> list[np.ndarray]:
    return [np.asarray(leaf) for leaf in jax.tree.leaves(result.policy.model_state)]


@pytest.mark.parametrize("slopes", ["scaled", "running"])
def test_a_resumed_run_ends_as_an_uninterrupted_one(tmp_path: Path, slopes: str) -> None:
    shac = {"slopes": slopes}
    with environments.temporarily("gliding", Gliding):
        whole = ac.train(configured("gliding", 40, out=str(tmp_path / "whole"), shac=shac), None)

        def stop(metrics: dict[str, Any]) -> None:
            if metrics["update"] == 20:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            ac.train(configured("gliding", 40, out=str(tmp_path / "stopped"), shac=shac), stop)
        resumed = ac.resume(tmp_path / "stopped", None)
        loaded = ac.load_policy(tmp_path / "stopped")
        begun = ac.train(configured("gliding", 10, init_from=str(tmp_path / "whole"), shac=shac), None)
    for one, other in zip(leaves_of(whole), leaves_of(resumed), strict=True):
        np.testing.assert_array_equal(one, other)
    observation = np.linspace(-1, 1, 6, dtype=np.float32).reshape(3, 2, 1)
    np.testing.assert_array_equal(loaded(observation), resumed.policy(observation))
    assert {"objective", "policy_loss", "value_loss", "slope"} <= resumed.metrics[-1].keys()
    assert begun.policy.return_normalizer is not None


def test_seeds_and_a_grid_side_by_side() -> None:
    with environments.temporarily("gliding", Gliding):
        together = ac.train(configured("gliding", 10, num_seeds=2, grid={"step_size": [0.1, 0.3]}), None)
        alone = ac.train(configured("gliding", 10, seed=1), None)
    for one, other in zip(leaves_of(alone), leaves_of(together.members["seed-1,step_size=0.3"]), strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-4, atol=2e-5)


@dataclass(frozen=True, kw_only=True)
class Rounding(Toy):
    """Actions count by their sign alone, through the host, which knows no derivative."""

    by_host: bool = False

    def reward(self, state: ToyState, action: Array) -> Array:
        """Return the sign of the action."""
        if not self.by_host:
            return jnp.sign(action[:, 0])
        like = jax.ShapeDtypeStruct(action[:, 0].shape, action.dtype)
        return jax.pure_callback(lambda action: np.sign(np.asarray(action)), like, action[:, 0])


@pytest.mark.parametrize(
    ("environment", "numbers", "message"),
    [
        (RandomEnvironment(), {}, r"shac: RandomEnvironment: what is seen or gained depends on the action.*'ppo'"),
        (
            ac.make_environment("evacuation", num_particles=2),
            {"softening": 1e9},
            r"shac: a task can have contacts .*softening=1e\+09; got: Evacuation: .*Lower shac.softening.",
        ),
        (Gliding(), {"softening": 2.0}, r"shac: contacts are softened in a task.*softening=2 for Gliding. Leave"),
        (Rounding(by_host=True), {}, r"shac: Rounding: a decision has a derivative in its action; got none: Pure call"),
    ],
)
def test_what_has_no_slopes_is_refused(environment: Any, numbers: dict[str, Any], message: str) -> None:
    problem, model_state = problem_of(environment, **numbers)
    with pytest.raises(ValueError, match=message):
        init(problem, model_state, jax.random.key(0))


def test_softened_windows_are_those_of_a_softer_task() -> None:
    """Of two discs that are about to meet: reward, slope and state after them; and not those of the task itself."""
    given = {"num_particles": 2, "physics_steps": 10, "min_box_size": 8.0, "max_box_size": 8.0}
    task = ac.make_environment("multi_navigator", **given)
    soft = ac.make_environment("multi_navigator", **given, stiffness=task.stiffness / 50)
    meeting = task.make_state(
        position=[[2.0, 4.0], [4.1, 4.2]],
        velocity=[[4.0, 0.0], [-4.0, 0.0]],
        targets=[[4.0, 4.0], [2.0, 4.0]],
        box_low=[-8.0, -8.0],
        box_high=[16.0, 16.0],
    )

    def played(environment: Any, softening: float) -> Any:
        problem, model_state = problem_of(environment, num_envs=1, num_steps=4, softening=softening)
        state = init(problem, model_state, jax.random.key(0))
        state = replace(state, env_state=jax.tree.map(lambda leaf: leaf[None], meeting))
        play = jax.jit(jax.grad(partial(window.play, problem, state), has_aux=True))
        return play(jnp.zeros((4, 1, 2, 2)), jax.random.split(jax.random.key(1), 4))

    softened, expected, hard = played(task, 50.0), played(soft, 1.0), played(task, 1.0)
    assert_equal(softened, expected)
    assert float(jnp.max(jnp.abs(softened[1][0].particles.velocity - hard[1][0].particles.velocity))) > 0.1


def test_recurrent_models_are_refused() -> None:
    with environments.temporarily("gliding", Gliding), models.temporarily("stepbystep", StepByStep):
        config = configured("gliding", 1, model="stepbystep", model_kw={})
        with pytest.raises(ValueError, match=r"shac: its models are feed-forward; got a recurrent one. Choose"):
            ac.train(config, None)


def test_contacts_of_another_engine_cannot_be_stopped() -> None:
    environment = ac.make_environment("multi_navigator", num_particles=2, engine="embedded_given_contacts")
    problem, model_state = problem_of(environment, contacts="stop")
    with pytest.raises(ValueError, match=r"shac: slopes stop at the contacts of the embedded engine; got contacts='st"):
        init(problem, model_state, jax.random.key(0))


@pytest.mark.parametrize(
    ("numbers", "error", "message"),
    [
        ({"gamma": 1.5}, ValueError, r"SHACConfig: gamma is in \[0, 1\]; got gamma=1.5"),
        ({"num_steps": 0}, ValueError, r"SHACConfig: num_steps is a whole number"),
        ({"max_state_slope": 0.0}, ValueError, r"SHACConfig: max_state_slope is above 0, or null"),
        ({"softening": 0.5}, ValueError, r"SHACConfig: softening is at least 1; got softening=0.5"),
        ({"target_rate": 0.0}, ValueError, r"SHACConfig: target_rate is in \(0, 1\]"),
        ({"contacts": "stpo"}, ValueError, r"SHACConfig: contacts is one of a few.*Did you mean 'stop'"),
        ({"remat": 1}, TypeError, r"SHACConfig: remat is true or false; got remat=1"),
        ({"num_envs": 3, "num_steps": 3, "num_minibatches": 4}, ValueError, r"num_minibatches divides"),
        ({"num_envs": 2**20, "num_steps": 2**12}, ValueError, r"fewer than 2\*\*31 decisions"),
    ],
)
def test_a_number_out_of_its_range_is_one_error(numbers: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        SHACConfig(**numbers)
