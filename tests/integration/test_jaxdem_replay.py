"""Runs on JaxDEM's engine, in its files for ParaView, and policies in its checkpoints."""

import json
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

import jaxdem_ac as ac
from jaxdem_ac.runs.recording import record_run

pytestmark = pytest.mark.jaxdem

PPO = ac.PPOConfig(num_envs=4, num_steps=8, num_minibatches=2, num_epochs=1)


@pytest.fixture(scope="module")
def run(rl: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    del rl
    folder = tmp_path_factory.mktemp("runs") / "nav"
    keywords = {"num_particles": 4, "physics_steps": 5, "max_steps": 40}
    ac.train(ac.TrainConfig(env="swarm_navigator", env_kw=keywords, steps=256, ppo=PPO, out=str(folder)))
    return folder


def command(*words: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "jaxdem_ac.cli", *words, "--json"],
        capture_output=True,
        text=True,
        env={**os.environ},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_run_goes_the_same_way_in_jaxdem(run: Path) -> None:
    """Action by action, and in whole episodes: on its engine, and in its own environment of the same task."""
    found = command("replay", str(run), "--decisions", "6", "--episodes", "4")
    assert len(found["position"]) == 6
    assert max(found["position"]) < 1e-4
    assert max(found["reward"]) < 1e-4
    assert list(found["evaluations"]) == ["embedded", "jaxdem", "JaxDEM's environment"]
    embedded, jaxdem = found["evaluations"]["embedded"], found["evaluations"]["jaxdem"]
    assert jaxdem["success"]["mean"] == pytest.approx(embedded["success"]["mean"], abs=1e-6)
    assert jaxdem["reward"]["mean"] == pytest.approx(embedded["reward"]["mean"], abs=1e-4)
    assert found["differences"]["jaxdem"][1] <= 0 <= found["differences"]["jaxdem"][2]


def test_what_changed_since_its_recording_is_said_so(run: Path, tmp_path: Path) -> None:
    from dataclasses import replace

    from jaxdem_ac.runs.compare_engines import replay

    recording = record_run(run, decisions=3)
    moved = replace(recording.particles, position=recording.particles.position + 0.1)
    with pytest.raises(ValueError, match="begins as it was recorded"):
        replay(replace(recording, particles=moved).save(tmp_path / "e.npz"))
    # Other actions lead elsewhere: the comparison can fail.
    found = replay(replace(recording, action=recording.action + 50.0).save(tmp_path / "e.npz"))
    assert found.position[-1] > 1e-3


def test_a_frame_becomes_its_state_and_system(run: Path) -> None:
    from jaxdem_ac.plugin.vtk import as_jaxdem

    recording = record_run(run, decisions=4)
    state, system = as_jaxdem(recording, 3)
    frame = recording.frame(3)
    np.testing.assert_array_equal(state.pos, frame.position)
    np.testing.assert_array_equal(state.vel, frame.velocity)
    assert float(system.time) == pytest.approx(3 * recording.decision_time)
    assert int(system.step_count) == 15
    np.testing.assert_allclose(system.domain.box_size, [40.0, 40.0])
    # It goes on from there by itself.
    after, _ = system.step(state, system)
    np.testing.assert_allclose(after.pos, frame.position + 2e-3 * frame.velocity, atol=1e-3)


def test_frames_for_paraview_are_its_own(run: Path, tmp_path: Path) -> None:
    vtk = pytest.importorskip("vtk")
    folder = tmp_path / "frames"
    command("render", str(run), "--vtk", str(folder), "--decisions", "3")
    spheres = sorted(folder.glob("batch_*/spheres_*.vtp"))
    assert len(spheres) == 4
    reader = vtk.vtkXMLPolyDataReader()
    reader.SetFileName(str(spheres[-1]))
    reader.Update()
    points = reader.GetOutput()
    recording = record_run(run, decisions=3)
    found = np.array([points.GetPoint(number)[:2] for number in range(points.GetNumberOfPoints())])
    np.testing.assert_allclose(found, recording.particles.position[-1], atol=1e-5)
    assert len(list(folder.glob("targets/batch_*/spheres_*.vtp"))) == 4
    assert list(folder.glob("*spheres.pvd"))
    before = sorted(folder.rglob("*"))
    done = subprocess.run(
        [sys.executable, "-m", "jaxdem_ac.cli", "render", str(run), "--vtk", str(folder)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "frames go to an empty folder" in done.stderr
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize(
    "name", ["SharedActorCritic", "ActorCritic", "LSTMActorCritic", "MinGRUActorCritic", "ac.ActorCritic"]
)
@pytest.mark.parametrize("space", ["Free", "Box", "MaxNorm"])
def test_its_checkpoints_are_our_policies(rl: ModuleType, tmp_path: Path, name: str, space: str) -> None:
    from jaxdem.writers import CheckpointModelWriter

    if "".join(name.split("_")).lower() not in rl.Model._registry:
        pytest.skip(f"this JaxDEM has no {name}")
    keywords: dict[str, Any] = {
        "Free": {},
        "Box": {"x_min": jnp.array([-1.0, 0.0]), "x_max": jnp.array([1.0, 3.0])},
        "MaxNorm": {"max_norm": 3.0},
    }[space]
    model = rl.Model.create(
        name,
        observation_space_size=5,
        action_space_size=2,
        key=nnx.Rngs(7),
        action_space=rl.ActionSpace.create(f"ac.{space}" if name.startswith("ac.") else space, **keywords),
    )
    shape = (3, 4, 5)
    model.reset(shape=shape)
    writer = CheckpointModelWriter(directory=tmp_path / "kept")
    writer.save(model, 5)
    writer.close()
    policy = ac.load_policy(tmp_path / "kept")
    observation = jax.random.normal(jax.random.key(0), shape)
    carry = policy.initial_carry(shape[:-1])
    for _ in range(2):
        distribution, value = model(observation)
        np.testing.assert_allclose(policy.value(observation, carry), value[..., 0], rtol=1e-5, atol=1e-6)
        action, carry = policy.step(observation, carry)
        raw = distribution.distribution
        expected = (
            distribution.bijector.forward(raw.mode()) if hasattr(distribution, "bijector") else distribution.mode()
        )
        np.testing.assert_allclose(action, expected, rtol=1e-4, atol=1e-5)


def test_our_policies_are_its_checkpoints(run: Path, tmp_path: Path) -> None:
    from jaxdem.writers import CheckpointModelLoader

    folder = Path(command("export", str(run), str(tmp_path / "there"), "--jaxdem")["path"])
    model, policy = CheckpointModelLoader(folder).load(), ac.load_policy(run)
    observation = jax.random.normal(jax.random.key(0), (3, policy.observation_size))
    distribution, value = model(observation)
    np.testing.assert_allclose(distribution.mode(), policy(observation), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(value[..., 0], policy.value(observation), rtol=1e-5, atol=1e-6)
    again = ac.load_policy(folder)
    np.testing.assert_allclose(again(observation), policy(observation), rtol=1e-6, atol=1e-6)


def test_a_policy_that_it_cannot_hold_is_refused(run: Path, tmp_path: Path) -> None:
    from dataclasses import replace

    from jaxdem_ac.plugin.checkpoints import export_to_jaxdem
    from jaxdem_ac.trainers.running_statistics import Normalizer

    policy = ac.load_policy(run)
    with pytest.raises(ValueError, match="normalize_observation=false"):
        export_to_jaxdem(replace(policy, normalizer=Normalizer.create(policy.observation_size)), tmp_path / "a")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("keep")
    with pytest.raises(FileExistsError, match="holds files"):
        export_to_jaxdem(policy, tmp_path / "full")
    assert (tmp_path / "full" / "mine").read_text() == "keep"
