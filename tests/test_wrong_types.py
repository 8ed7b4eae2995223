"""Arguments of another type, one at a time: each is refused in one line, and nothing is printed before it."""

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxdem_ac as ac
from jaxdem_ac.dem import Particles, World
from jaxdem_ac.trainers.policy import Policy
from jaxdem_ac.view.render import render_particles, render_recorded, render_recording

KEY = jax.random.key(0)
TINY = {"num_particles": 4, "physics_steps": 1, "max_steps": 4, "n_lidar_rays": 5}
ENVIRONMENT = ac.make_environment("swarm_navigator", **TINY)
SIZE = ENVIRONMENT.observation_size
GOOD = jnp.zeros((2, 4, SIZE))
NAN, HUGE, SMALL = float("nan"), 1e39, 1e-50
LONG = 10**400

NOTHING = [None, object(), 1j, "x", b"x", {}, NAN]
WHOLE = [*NOTHING, [], 1.5, True, 0, -1, np.float32(2)]
NUMBER = [*NOTHING, [], [1.0], True, HUGE, -HUGE, SMALL, LONG, np.complex64(1), np.array([1.0])]
BOUND = [*NOTHING, [], True, HUGE, -HUGE, SMALL, LONG, np.complex64(1), ["1"], [True]]
POSITIVE = [*NUMBER, 0, -1.0]
FLAG = [None, object(), 1, 0, 1.0, "yes", "", [], np.array([True])]
TABLE = [None, object(), 1j, "x", b"x", {}, [[1.0], [1.0, 2.0]], np.zeros(SIZE, complex), np.zeros(SIZE, bool)]
TABLE += [np.zeros(SIZE, object), np.zeros(SIZE, "U1"), ["1"] * SIZE, np.zeros(SIZE, "M8[s]"), LONG, jax.random.key(0)]
SHAPE = [1.0, [], [0.0] * (SIZE + 1), np.zeros((0, SIZE)), np.zeros((2, 0, SIZE)), np.zeros((SIZE, 3))]
OBSERVATION = [*TABLE, *SHAPE]
RANDOM_KEY = [object(), 0, 1.5, True, "x", [0, 1], np.zeros(2), jax.random.split(KEY)]
SPACE = [object(), 3, 1j, b"x", {}, [], True, jnp.tanh]
NAME = [None, object(), 3, 1j, b"x", {}, [], True]
WIDTHS = [object(), 1j, "42", 42, True, [0], [1.5], [None], [True], ["4"], [-1], {"a"}]
SPECIES = [object(), 1j, "0011", 3, [], [0.0, 1.0], [True, False], ["0", "1"], [1, 2], [-1, 0], [0, 2], {0, 1}, [None]]
ACTS = [object(), None, 3, 1j, b"x", "x", {}, lambda: 0, lambda observation: observation]

MODEL = {"observation_space_size": SIZE, "action_space_size": 2, "key": KEY}
SHARED: dict[str, list[Any]] = {
    "observation_space_size": WHOLE,
    "action_space_size": WHOLE,
    "key": [object(), None, 1.5, True, "x", np.zeros(2)],
    "in_scale": NUMBER,
    "actor_scale": NUMBER,
    "critic_scale": NUMBER,
    "initial_std": [*POSITIVE[1:], 1e-30, 1e30],
    "actor_sigma_head": FLAG,
    "discrete": FLAG,
    "activation": [object(), None, 3, b"x", {}, [], "os.system"],
    "compute_dtype": [object(), 3, "x", b"x", {}, [], True, jnp.float32],
    "action_space": SPACE,
}


def model(name: str) -> Callable[..., Any]:
    return lambda **keywords: ac.make_model(name, **{**MODEL, **keywords})


def space(name: str, **good: Any) -> Callable[..., Any]:
    return lambda **keywords: ac.make_action_space(name, **{**good, **keywords})


def grouped(**keywords: Any) -> Any:
    return ac.make_model("PerParticle", **{**MODEL, "architecture": (3,), **keywords})


def rollout(**keywords: Any) -> Any:
    good = {"environment": ENVIRONMENT, "model": "random", "key": KEY, "num_steps": 1, "num_envs": 1}
    return ac.rollout(**{**good, **keywords})


def evaluate(**keywords: Any) -> Any:
    return ac.evaluate(**{"environment": ENVIRONMENT, "policy": ahead, "key": KEY, "num_episodes": 2, **keywords})


def render(**keywords: Any) -> Any:
    return ac.render(**{"environment": ENVIRONMENT, "path": "nowhere/episode.gif", **keywords})


def particles(**keywords: Any) -> Any:
    good = {"world": World.create([0.0, 0.0], [1.0, 1.0]), "particles": Particles.create([[0.5, 0.5]], radius=0.1)}
    return render_particles(**{**good, "path": "nowhere/episode.png", **keywords})


def ahead(observation: Any, key: Any) -> Any:
    return jnp.zeros((*observation.shape[:-1], 2))


def acting(result: Callable[[Any], Any]) -> Callable[..., Any]:
    return lambda observation, key: result(observation)


def wrapper(make: Callable[..., Any]) -> Callable[..., Any]:
    return lambda **keywords: make(keywords.pop("environment", ENVIRONMENT), **keywords)


# A function of an observation that returns something else than an action.
RETURNS = {
    "nothing": lambda seen: None,
    "text": lambda seen: "x",
    "flags": lambda seen: jnp.zeros((*seen.shape[:-1], 2), bool),
    "complex": lambda seen: jnp.zeros((*seen.shape[:-1], 2), complex),
    "a number": lambda seen: 0.0,
    "one": lambda seen: jnp.zeros(2),
    "one swarm": lambda seen: jnp.zeros((4, 2)),
    "wide": lambda seen: jnp.zeros((*seen.shape[:-1], 3)),
    "narrow": lambda seen: jnp.zeros(seen.shape[:-1]),
    "more": lambda seen: jnp.zeros((seen.shape[0] + 1, *seen.shape[1:-1], 2)),
    "a dict": lambda seen: {"action": jnp.zeros((*seen.shape[:-1], 2))},
}
ACTS += [acting(result) for result in RETURNS.values()]
# Of one swarm alone, which a picture shows, that is right.
ALONE = [acts for acts in ACTS if acts is not ACTS[-len(RETURNS) + list(RETURNS).index("one swarm")]]

WRAPPER: dict[str, list[Any]] = {
    "environment": [object(), None, 3, b"x", {}, []],
    "action_space": [object(), None, 3, 1j, b"x", {}, []],
    "action_space_kw": [object(), 3, "x", b"x", [1]],
    "advised": FLAG,
}
PICTURE = {"heading": FLAG, "forces": FLAG, "size": WHOLE, "fps": [*NOTHING, True, 0], "rays": [1j, 1.5, True, "x", []]}

# A bound that single precision takes for 0 is one.
WIDE = [each for each in BOUND if each is not SMALL]
CALLS: dict[str, tuple[Callable[..., Any], dict[str, list[Any]]]] = {
    "SharedActorCritic": (model("SharedActorCritic"), {**SHARED, "architecture": WIDTHS}),
    "ActorCritic": (
        model("ActorCritic"),
        {**SHARED, "actor_architecture": WIDTHS, "critic_architecture": WIDTHS, "centralised_critic": FLAG,
         "pool_architecture": [*WIDTHS, []]},
    ),
    "PerParticle": (
        grouped,
        {**SHARED, "model": NAME, "sharing": NAME, "num_particles": WHOLE[1:], "centralised_critic": FLAG},
    ),
    "PerParticle of species": (
        lambda **keywords: grouped(sharing="species", **keywords), {"species": SPECIES, "num_species": WHOLE}
    ),
    "PerParticle of each": (lambda **keywords: grouped(sharing="independent", **keywords), {"num_particles": WHOLE}),
    "make_model": (lambda **keywords: ac.make_model(keywords["name"], **MODEL), {"name": NAME}),
    "make_action_space": (lambda **keywords: ac.make_action_space(keywords["name"]), {"name": NAME}),
    "make_environment": (lambda **keywords: ac.make_environment(keywords["name"]), {"name": NAME}),
    "Box": (
        space("Box", x_min=-1.0, x_max=1.0),
        {"x_min": WIDE, "x_max": WIDE, "width": POSITIVE, "eps": [*POSITIVE, 1, 2.0]},
    ),
    "MaxNorm": (space("MaxNorm"), {"max_norm": POSITIVE, "eps": [*POSITIVE, 1, 2.0]}),
    "rollout": (
        rollout,
        {"environment": [*NAME, "evacuation"], "model": ACTS, "key": RANDOM_KEY, "num_steps": WHOLE, "num_envs": WHOLE},
    ),
    "evaluate": (
        evaluate,
        {"environment": NAME, "policy": ACTS, "key": RANDOM_KEY, "num_episodes": [*WHOLE, 1], "sample": FLAG,
         "max_decisions": WHOLE},
    ),
    "render": (
        render,
        {"environment": NAME, "policy": ALONE, "key": RANDOM_KEY, "decisions": WHOLE[1:], "sample": FLAG, **PICTURE},
    ),
    "render_recording": (lambda recording: render_recording(recording, "nowhere/e.gif"), {"recording": NAME}),
    "render_recorded": (lambda recording: render_recorded(recording, "nowhere"), {"recording": NAME}),
    "render_particles": (particles, {"world": NAME, "particles": NAME, "time_step": [*NOTHING, True, -1.0, []]}),
    "make_parallel_env": (wrapper(ac.make_parallel_env), {**WRAPPER, "draw": [3, "x", lambda: 0]}),
    "make_gym_env": (wrapper(ac.make_gym_env), {**WRAPPER, "draw": [3, "x", lambda: 0]}),
    "make_vector_env": (
        wrapper(ac.make_vector_env), {**WRAPPER, "num_envs": WHOLE, "view": NAME, "autoreset_mode": NAME}
    ),
    "register": (ac.register, {"replace": FLAG}),
}  # fmt: skip


def cases() -> Iterator[Any]:
    for call, (function, arguments) in CALLS.items():
        for argument, values in arguments.items():
            yield pytest.param(function, argument, values, id=f"{call}, {argument}")


def refused(function: Callable[..., Any], *arguments: Any, **keywords: Any) -> str:
    """Return what is wrong with `keywords`, or what is not as it should be about the answer."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            function(*arguments, **keywords)
        except (TypeError, ValueError, KeyError) as error:
            said = str(error.args[0]) if isinstance(error, KeyError) else str(error)
            if "\n" in said or "got" not in said or not said.endswith(".") or ": " not in said:
                return f"{type(error).__name__}: {said}"
            return "; ".join(str(warning.message) for warning in caught if "pytype_aval" not in str(warning.message))
        except Exception as error:
            return f"{type(error).__name__}: {error}"
    return "taken as it is"


@pytest.mark.parametrize(("function", "argument", "values"), cases())
def test_an_argument_of_another_type_is_one_line(
    function: Callable[..., Any], argument: str, values: list[Any]
) -> None:
    found = {f"{index}: {value!r:.60}": refused(function, **{argument: value}) for index, value in enumerate(values)}
    assert {value: problem for value, problem in found.items() if problem} == {}


MODELS = {
    "SharedActorCritic": {"architecture": (3,)},
    "ActorCritic": {"actor_architecture": (3,), "centralised_critic": True},
    "PerParticle": {"sharing": "independent", "num_particles": 4, "architecture": (3,)},
}


@pytest.mark.parametrize("name", MODELS)
def test_an_observation_that_is_none_is_one_line(name: str) -> None:
    made = ac.make_model(name, **MODEL, **MODELS[name])
    policy = Policy.of(made, ENVIRONMENT)
    calls = {
        "model": made,
        "policy": policy,
        "value": policy.value,
        "step": lambda seen: policy.step(seen, policy.blank),
    }
    found = {
        f"{call}, {index}: {value!r:.60}": refused(function, value)
        for call, function in calls.items()
        for index, value in enumerate(OBSERVATION)
    }
    assert {value: problem for value, problem in found.items() if problem} == {}
    for key in RANDOM_KEY:
        assert not refused(policy, GOOD, key)
    for flag in FLAG:
        assert not refused(made, GOOD, sequence=flag)


def test_whole_numbers_are_seen_as_numbers() -> None:
    made = ac.make_model("SharedActorCritic", **MODEL, architecture=(3,))
    whole = np.arange(2 * SIZE).reshape(2, SIZE)
    np.testing.assert_array_equal(made(whole)[0].mode(), made(whole.astype(np.float32))[0].mode())
    np.testing.assert_array_equal(made(whole.tolist())[1], made(whole.astype(np.float32))[1])


@pytest.mark.parametrize("name", ac.list_environments())
def test_an_action_or_a_state_that_is_none_is_one_line(name: str) -> None:
    environment = ac.make_environment(name, num_particles=4)
    shape = (4, environment.action_size)
    state = jax.eval_shape(environment.reset, KEY)
    bad = [None, "x", b"x", 1j, [[0.0]], {}, object(), np.zeros((4, 3)), np.zeros(shape[1]), np.zeros((2, *shape))]
    bad += [np.zeros(shape, kind) for kind in (bool, complex, object, "U1", "M8[s]")]
    found = {f"{value!r:.60}": refused(environment.step, state, value) for value in bad}
    found |= {f"state {value!r:.60}": refused(environment.step, value, jnp.zeros(shape)) for value in [*NAME, "x"]}
    assert {value: problem for value, problem in found.items() if problem} == {}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_a_precision_holds_depends_on_it(dtype: str) -> None:
    large = {"MaxNorm": {"max_norm": 1e39}, "Box": {"x_min": -1.0, "x_max": 1.0, "width": 1e-39}}
    with jax.enable_x64(dtype == "float64"):
        for name, keywords in large.items():
            assert (not refused(ac.make_action_space, name, **keywords)) == (dtype == "float32")
        assert (not refused(model("SharedActorCritic"), in_scale=1e39)) == (dtype == "float32")
        assert not refused(model("SharedActorCritic"), in_scale=1e6, compute_dtype="float16")
