"""Policies that go on in the page: its physics, senses and networks against the Python ones, in node."""

import json
import shutil
import subprocess
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from support.made_recordings import made_recording

import jaxdem_ac as ac
from jaxdem_ac.dem import World
from jaxdem_ac.models.heads import ACTIVATIONS
from jaxdem_ac.runs.recording import Recording
from jaxdem_ac.trainers.policy import Policy
from jaxdem_ac.trainers.running_statistics import Normalizer
from jaxdem_ac.view.report.document import asset
from jaxdem_ac.view.report.live import CannotPlayError, beginning, live_of, network_of

# So narrow that discs touch each other and the walls all the time.
NARROW = {"num_particles": 9, "physics_steps": 20, "min_box_size": 9.0, "max_box_size": 9.0, "box_padding": 2.0,
          "radius": [0.6, 1.0], "mass": [1.0, 2.0], "n_lidar_rays": 8, "observe_sizes": True}  # fmt: skip
TASKS = {
    "swarm_navigator": ("SymmetricActorCritic", "MaxNorm", {"architecture": (8, 6)}),
    "multi_navigator": ("SharedActorCritic", "Box", {"architecture": (16, 8), "normalized": True}),
}
NAMES = ("position", "velocity", "force", "targets", "radius", "mass")

PLAY = """
const start = Object.fromEntries(given.names.map((name, i) => [name, floats(given.start[i])]));
const discs = new Discs(given.task, given.box, start);
const network = policyOf(given.network);
const found = { position: [], velocity: [], observation: [], action: [], success: [] };
for (let decision = 0; decision < given.decisions; decision++) {
  const seen = Array.from({ length: discs.count }, (_, i) => discs.observe(i));
  const action = seen.map((each) => Array.from(network(each)));
  discs.decide(Float64Array.from(action.flat()));
  found.observation.push(seen.map((each) => Array.from(each)));
  found.action.push(action);
  found.success.push(discs.success());
  for (const name of ["position", "velocity"]) found[name].push(Array.from(discs[name]));
}
console.log(JSON.stringify(found));
"""


def in_node(script: str, given: Any) -> Any:
    """Return what a script writes that has the page's network and physics, and something given."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("needs node on the path")
    text = "".join(map(asset, ("network.js", "physics.js"))) + f"const given = {json.dumps(given)};\n" + script
    return json.loads(subprocess.run([node, "-"], input=text, capture_output=True, text=True, check=True).stdout)


def made_policy(environment: Any, model: str, space: str, normalized: bool = False, **keywords: Any) -> Policy:
    """Return a policy of random weights that pushes hard."""
    size = environment.observation_size
    if model == "SymmetricActorCritic":
        keywords["observation_layout"] = environment.observation_layout
    built = ac.make_model(
        model, key=nnx.Rngs(3), observation_space_size=size, action_space_size=2, actor_scale=3.0,
        action_space=ac.make_action_space(space, **environment.action_space_defaults.get(space, {})), **keywords,
    )  # fmt: skip
    # Of deviations that have no rounding in either precision.
    mean, std = jnp.linspace(-0.5, 0.5, size), 2.0 ** (jnp.arange(size) % 3)
    return Policy.of(built, environment, Normalizer(jnp.ones(()), mean, std**2) if normalized else None)


def in_double(tree: Any) -> Any:
    """Return a pytree in float64; inside `jax.enable_x64`."""
    return jax.tree.map(lambda leaf: leaf.astype(np.float64) if leaf.dtype == np.float32 else leaf, tree)


def crowd(env: str) -> Recording:
    """Return a recording whose first frame is discs on a grid, that move, and targets."""
    environment = ac.make_environment(env, **NARROW)
    random = np.random.default_rng(5)
    grid = np.stack(np.meshgrid(*[np.arange(3) * 3.0 + 1.5] * 2), -1).reshape(9, 2)
    made = made_recording(9, 1, environment.observation_size, env=env, env_kw=NARROW,
                          world=World.create([-1.0, -1.0], [10.0, 10.0]))  # fmt: skip
    numbers = {
        "position": grid + random.uniform(-0.4, 0.4, (9, 2)), "velocity": random.normal(0, 4, (9, 2)),
        "force": random.normal(0, 4, (9, 2)), "radius": random.uniform(0.6, 1, 9), "mass": random.uniform(1, 2, 9),
    }  # fmt: skip
    frames = {name: np.stack([each, each]).astype(np.float32) for name, each in numbers.items()}
    targets = random.uniform(0, 9, (9, 2)).astype(np.float32)
    return replace(made, particles=replace(made.particles, **frames), targets=np.stack([targets, targets]))


def played_here(recording: Recording, policy: Policy, decisions: int) -> dict[str, np.ndarray]:
    assert recording.world is not None
    box = {"low": recording.world.box_low.tolist(), "high": recording.world.box_high.tolist()}
    given = {**beginning(recording, recording.environment()), "network": network_of(policy), "box": box}
    found = {
        name: np.array(each) for name, each in in_node(PLAY, {**given, "names": NAMES, "decisions": decisions}).items()
    }
    return {name: each.reshape(decisions, 9, -1) if name != "success" else each for name, each in found.items()}


def played_in_double(recording: Recording, policy: Policy, decisions: int) -> dict[str, np.ndarray]:
    """Return the same episode, from the same numbers of single precision, by the environment in float64."""
    assert recording.world is not None
    with jax.enable_x64(True):
        environment, acting = recording.environment(), in_double(policy)
        start = {name: getattr(recording.particles, name, recording.targets)[0] for name in NAMES}
        box = {"box_low": recording.world.box_low, "box_high": recording.world.box_high}
        state = environment.make_state(**in_double({**start, **box}))  # type: ignore[attr-defined]

        def decide(before: Any, _: None) -> tuple[Any, dict[str, Any]]:
            action = acting(before.observation)
            after, timestep = environment.step(before, action)
            now = {"position": after.particles.position, "velocity": after.particles.velocity}
            return after, {**now, "observation": before.observation, "action": action, **timestep.info}

        found = jax.tree.map(np.asarray, jax.jit(lambda: jax.lax.scan(decide, state, length=decisions)[1])())
    assert found["position"].dtype == np.float64
    return dict(found)


@pytest.mark.filterwarnings("ignore::jaxdem_ac.dem.time_step.TimeStepWarning")
@pytest.mark.parametrize("env", TASKS)
def test_it_plays_as_python_does(env: str) -> None:
    model, space, keywords = TASKS[env]
    recording = crowd(env)
    policy = made_policy(recording.environment(), model, space, **keywords)
    here, there = played_here(recording, policy, 20), played_in_double(recording, policy, 20)
    # Something has happened: discs were hit, and cover other targets than before.
    assert (np.abs(np.diff(there["velocity"], axis=0)).max(axis=(1, 2)) > 4).sum() > 4
    for name, numbers in here.items():
        # Roundings of double precision; each contact enlarges what those before have left of them.
        np.testing.assert_allclose(numbers[0], there[name][0], rtol=0, atol=1e-12, err_msg=name)
        np.testing.assert_allclose(numbers, there[name], rtol=0, atol=1e-8, err_msg=name)


ANSWER = """
const network = policyOf(given.network);
console.log(JSON.stringify(given.rows.map((row) => Array.from(network(Float64Array.from(row))))));
"""


@pytest.mark.parametrize(
    ("model", "space", "keywords"),
    [
        ("SymmetricActorCritic", "Free", {"architecture": (5,), "group": "cyclic"}),
        ("ActorCritic", "MaxNorm", {"actor_architecture": (6, 5), "centralised_critic": True, "activation": "tanh"}),
    ],
)
def test_networks_answer_as_pythons_do(model: str, space: str, keywords: dict[str, Any]) -> None:
    environment = ac.make_environment("swarm_navigator", num_particles=2, n_lidar_rays=6)
    policy = made_policy(environment, model, space, **keywords)
    rows = np.random.default_rng(0).normal(size=(4, environment.observation_size))
    found = in_node(ANSWER, {"network": network_of(policy), "rows": rows.tolist()})
    with jax.enable_x64(True):
        np.testing.assert_allclose(found, in_double(policy)(jnp.asarray(rows)), rtol=0, atol=1e-12)


def test_every_activation_is_known() -> None:
    x = np.array([-7.5, -2.0, -0.3, 0.0, 0.4, 1.5, 6.5])
    entries = "Object.entries(ACTIVATIONS).map(([name, activation]) => [name, given.map(activation)])"
    found = in_node(f"console.log(JSON.stringify(Object.fromEntries({entries})))", x.tolist())
    # One of two names of the same function is the one that a file has.
    assert found.keys() == ACTIVATIONS.keys() - {"swish"}
    with jax.enable_x64(True):
        for name, numbers in found.items():
            np.testing.assert_allclose(numbers, ACTIVATIONS[name](jnp.asarray(x)), rtol=1e-12, atol=1e-14, err_msg=name)


def test_it_says_what_does_not_run() -> None:
    navigator = ac.make_environment("swarm_navigator", num_particles=2, n_lidar_rays=4)
    linear = partial(made_policy, navigator, "SharedActorCritic", architecture=())
    refused = {
        "it knows MaxNorm, Box and Free in full precision, and this policy acts in Discrete": linear("Discrete"),
        "and this policy computes in bfloat16": linear("Free", compute_dtype="bfloat16"),
        "does not know the network's activation": linear("Free", activation=jnp.sin),
        "a recording holds no policy": None,
        "a function has no weights": lambda observation, key: observation,
    }
    for said, policy in refused.items():
        with pytest.raises(CannotPlayError, match=said):
            network_of(policy)
    with pytest.raises(CannotPlayError, match="it knows SwarmNavigator and MultiNavigator, and not Evacuation"):
        beginning(made_recording(), ac.make_environment("evacuation", num_particles=2))


def test_weights_that_are_too_long_are_left_out() -> None:
    recording, environment = made_recording(2), ac.make_environment("swarm_navigator", num_particles=2, n_lidar_rays=4)
    policy = made_policy(environment, "SharedActorCritic", "Free", architecture=())
    found = live_of(recording, environment, policy, again=False, room=4_000)
    assert isinstance(found, dict)
    assert "network" in found
    assert "network" not in live_of(recording, environment, policy, again=True, room=4_000)
    assert live_of(recording, environment, policy, again=True, room=400) == "its weights do not fit beside the episodes"
