"""Episodes on the disk."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdem_ac import Recording
from jaxdem_ac.trainers.recording import record_episode

EVACUATION = {"num_particles": 4, "max_steps": 60}


def ahead(observation: Any, key: Any = None) -> Any:
    """Everybody pushes along x; a policy without a value."""
    return jnp.broadcast_to(jnp.array([1.0, 0.0]), (*observation.shape[:-1], 2))


@pytest.fixture(scope="module")
def recording() -> Recording:
    return record_episode("evacuation", EVACUATION, ahead, seed=3, decisions=9)


def test_it_ends_with_the_episode_and_holds_what_happened(recording: Recording) -> None:
    assert recording.num_decisions == 3
    assert recording.particles.position.shape[0] == 4
    environment = recording.environment()
    state = environment.reset(jax.random.split(jax.random.key(3))[0])
    for number in range(3):
        np.testing.assert_array_equal(recording.frame(number).position, state.particles.position)
        np.testing.assert_array_equal(recording.observation[number], state.observation)
        np.testing.assert_array_equal(recording.action[number], ahead(state.observation))
        state, timestep = environment.step(state, recording.action[number])
        np.testing.assert_allclose(recording.reward[number], timestep.reward, rtol=1e-5, atol=1e-7)
        assert float(recording.success[number]) == float(timestep.info["success"])
    assert bool(jnp.isnan(recording.value).all())
    assert recording.world is not None
    assert recording.world.boundary == "soft"


def test_a_file_gives_back_what_was_saved(recording: Recording, tmp_path: Path) -> None:
    path = recording.save(tmp_path / "episode.npz")
    again = Recording.load(path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["episode.npz"]
    assert (again.env, again.env_kw, again.seed) == ("evacuation", EVACUATION, 3)
    assert recording.target_radius is not None
    for found, expected in zip(
        jax.tree.leaves((again.particles, again.world, again.action, again.target_radius)),
        jax.tree.leaves((recording.particles, recording.world, recording.action, recording.target_radius)),
        strict=True,
    ):
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == expected.dtype
    assert again.world is not None
    assert (again.world.boundary, again.world.damped, again.world.rough) == ("soft", True, True)


def test_a_file_from_before_targets_had_a_radius_is_read(recording: Recording, tmp_path: Path) -> None:
    path = replace(recording, target_radius=None).save(tmp_path / "episode.npz")
    with np.load(path) as stored:
        assert "target_radius" not in stored.files
    assert Recording.load(path).target_radius is None


def test_what_is_no_recording_is_said_so(recording: Recording, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="jaxdem-ac record RUN"):
        Recording.load(tmp_path / "none.npz")
    path = recording.save(tmp_path / "episode.npz")
    whole = path.read_bytes()
    for damaged in (b"", b"text", whole[: len(whole) // 2]):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="is not a recording"):
            Recording.load(path)
    np.savez(path, about=np.array('{"format": 99}'))
    with pytest.raises(ValueError, match="reads format 1, got 99"):
        Recording.load(path)
    with pytest.raises(IndexError, match="frames are 0 to 3; got 4"):
        recording.frame(4)
    with pytest.raises(ValueError, match="decisions is a whole number"):
        record_episode("evacuation", EVACUATION, ahead, decisions=0)


def test_a_file_that_is_there_survives_a_failed_write(
    recording: Recording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = recording.save(tmp_path / "episode.npz")
    before = path.read_bytes()

    def fail(file: Any, **arrays: Any) -> None:
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(np, "savez_compressed", fail)
    with pytest.raises(OSError, match="disk full"):
        recording.save(path)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["episode.npz"]


def test_a_flipped_bit_is_damage_or_changes_nothing(recording: Recording, tmp_path: Path) -> None:
    """Of zip's own checks one is of each array; the digest is of all."""
    path, generator = recording.save(tmp_path / "episode.npz"), np.random.default_rng(0)
    whole, refused = path.read_bytes(), []
    for at in [*range(0, 60, 2), *generator.integers(len(whole), size=60), *range(len(whole) - 60, len(whole), 3)]:
        data = bytearray(whole)
        data[at] ^= 1 << generator.integers(8)
        path.write_bytes(data)
        try:
            found = Recording.load(path)
        except ValueError as error:
            refused.append(str(error))
        else:
            assert (found.env, found.env_kw, found.seed) == (recording.env, recording.env_kw, recording.seed)
            for name in ("particles", "world", "targets", "observation", "action", "reward", "value", "success"):
                jax.tree.map(np.testing.assert_array_equal, getattr(found, name), getattr(recording, name))
    assert len(refused) > 60
    assert all(said.startswith(f"load: {str(path)!r} is not a recording") and "\n" not in said for said in refused)


def test_other_numbers_than_were_written_are_refused_and_old_files_are_read(
    recording: Recording, tmp_path: Path
) -> None:
    path = recording.save(tmp_path / "episode.npz")
    with np.load(path) as stored:
        arrays = dict(stored)
    about = json.loads(str(arrays.pop("about")))
    np.savez(path, about=np.array(json.dumps(about)), **{**arrays, "reward": arrays["reward"] + 1})
    with pytest.raises(ValueError, match="damaged: other numbers than were written"):
        Recording.load(path)
    del about["digest"]
    np.savez(path, about=np.array(json.dumps(about)), **arrays)
    np.testing.assert_array_equal(Recording.load(path).reward, recording.reward)
