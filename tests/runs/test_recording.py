"""Episodes on the disk."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdem_ac import Recording, dem
from jaxdem_ac.runs.recording import record_episode

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


def test_a_law_comes_back_with_its_own_numbers(recording: Recording, tmp_path: Path) -> None:
    assert recording.world is not None
    for law in (dem.Hertz(0.2), dem.Hertz(), dem.CundallStrack(0.5)):
        path = replace(recording, world=replace(recording.world, law=law)).save(tmp_path / "episode.npz")
        world = Recording.load(path).world
        assert world is not None
        assert world.law == law


@dataclass(frozen=True)
class Soft(dem.Hertz):
    """A law of somebody else's, with a field that JSON does not have."""

    name = "my_soft"
    shape: Any = np.tanh


def test_a_law_of_ones_own_loses_no_recording(recording: Recording, tmp_path: Path) -> None:
    assert recording.world is not None
    path = replace(recording, world=replace(recording.world, law=Soft())).save(tmp_path / "episode.npz")
    with pytest.raises(ValueError, match=r"law is 'viscous_coulomb', .* or a ContactLaw; got law='my_soft'"):
        Recording.load(path)


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


def changed(path: Path, change: Any) -> None:
    """Rewrite a file with what `change` makes of its text and its arrays."""
    with np.load(path) as stored:
        arrays: dict[str, Any] = {name: stored[name] for name in stored.files}
    about = json.loads(str(arrays.pop("about")))
    # Else its digest would say so first.
    del about["digest"]
    text = change(about, arrays)
    np.savez(path, about=np.array(text if isinstance(text, str) else json.dumps(about)), **arrays)


def put(name: str, make: Any) -> Any:
    """Return a change of one array."""
    return lambda about, arrays: arrays.update({name: make(arrays[name])})


def say(name: str, value: Any) -> Any:
    """Return a change of one entry of the text."""
    return lambda about, arrays: about.update({name: value})


def holed(array: np.ndarray) -> np.ndarray:
    array = array.copy()
    array.flat[0] = np.nan
    return array


DEEP = "[" * 200_000
FRAMES = ("targets", "observation", "action", "reward", "value", "success")
DAMAGED: dict[str, tuple[Any, str]] = {
    "keywords in a list": (say("env_kw", [1]), "env_kw is a dict"),
    "keywords in a text": (say("env_kw", "x"), "env_kw is a dict"),
    "name that is none": (say("env", 3), "env is a name; got int"),
    "seed": (say("seed", 1.5), "seed is a whole number; got seed=1.5"),
    "seed of many bits": (say("seed", 2**70), "64 bits"),
    "time in words": (say("decision_time", "x"), "decision_time is a number above 0; got decision_time='x'"),
    "no time": (say("decision_time", 0), "decision_time is a number above 0"),
    "time that is no number": (say("decision_time", float("nan")), "decision_time=nan"),
    "flag for a time": (say("decision_time", True), "decision_time=True"),
    "deep text": (lambda about, arrays: '{"format": 1, "env": ' + DEEP, "nested deeper than 100"),
    "list for a text": (lambda about, arrays: "[1]", "reads format 1, got list"),
    "boundary": (
        lambda about, arrays: about["world"].update(boundary="os.system"), "boundary is .*got boundary='os.system'"
    ),
    "world in a list": (say("world", [1]), "world holds its settings; got list"),
    "unknown field of a world": (lambda about, arrays: about["world"].update(gate=1), "no such field; got 'gate'"),
    "flag of a world": (lambda about, arrays: about["world"].update(damped="no"), "damped is true or false"),
    "time step of a world": (put("world.dt", np.negative), "dt is in"),
    "stiffness of a world": (put("world.stiffness", lambda each: each * np.nan), "stiffness"),
    "world in space": (put("world.box_low", lambda each: np.zeros(3, np.float32)), "box_low and box_high"),
    "scalar action": (put("action", lambda each: np.float32(1.0)), r"action has shape \(any, any, any\)"),
    "complex actions": (put("action", lambda each: each + 0j), "action is an array of real numbers; got complex64"),
    "actions of text": (put("action", lambda each: each.astype(str)), "action is an array of real numbers"),
    "short actions": (put("action", lambda each: each[:-1]), r"particles.position has shape \(3, any, any\)"),
    "no frames": (
        lambda about, arrays: arrays.update({name: arrays[name][:0] for name in FRAMES}), "action has shape .*got"
    ),
    "flags for rewards": (put("reward", lambda each: each > 0), "reward is an array of real numbers; got bool"),
    "whole rewards": (put("reward", lambda each: each.astype(int)), "reward is an array of real numbers; got int64"),
    "hole in the rewards": (put("reward", holed), "every number of reward is finite"),
    "hole in the actions": (put("action", holed), "every number of action is finite"),
    "hole in what was seen": (put("observation", holed), "every number of observation is finite"),
    "hole in a position": (put("particles.position", holed), "every number of particles.position is finite"),
    "endless value": (put("value", lambda each: np.full_like(each, np.inf)), "every number of value is finite"),
    "wide reward": (put("reward", lambda each: each[:, :, None]), r"reward has shape \(3, 4\)"),
    "observation of others": (put("observation", lambda each: each[:, :2]), r"observation has shape \(3, 4, any\)"),
    "negative radius": (put("particles.radius", np.negative), "every particles.radius is above 0; got"),
    "no mass": (put("particles.mass", np.zeros_like), "every particles.mass is above 0; got"),
    "whole fixed": (put("particles.fixed", lambda each: each.astype(int)), "particles.fixed is an array of bool"),
    "four coordinates": (put("particles.position", lambda each: np.zeros((4, 4, 4))), "two or three coordinates"),
    "spin": (put("particles.torque", lambda each: each[..., 0]), r"particles.torque has shape \(4, 28, 1\)"),
    "near target": (put("target_radius", np.negative), "every target_radius is above 0"),
    "no array": (lambda about, arrays: arrays.pop("reward"), "nothing under the name 'reward'"),
    "no seed": (lambda about, arrays: about.pop("seed"), "nothing under the name 'seed'"),
}  # fmt: skip


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", DAMAGED)
def test_a_file_that_makes_no_sense_is_refused_in_one_line(name: str, recording: Recording, tmp_path: Path) -> None:
    change, word = DAMAGED[name]
    path = recording.save(tmp_path / "episode.npz")
    changed(path, change)
    with pytest.raises(ValueError, match=word) as raised:
        Recording.load(path)
    text = str(raised.value)
    assert text.startswith(f"load: {str(path)!r} is not a recording of this version; got ")
    assert text.endswith("Make it again: jaxdem-ac record.")
    assert text.isprintable()


def test_a_recording_that_is_made_is_checked_as_one_that_is_read(recording: Recording) -> None:
    for name, bad, kind in (
        ("env_kw", [1], TypeError),
        ("decision_time", "x", ValueError),
        ("action", recording.action + 0j, TypeError),
        ("reward", recording.reward[:1], ValueError),
        ("particles", None, TypeError),
        ("world", "soft", ValueError),
        ("target_radius", jnp.ones(99), ValueError),
    ):
        with pytest.raises(kind, match=rf"^recording: {name}"):
            replace(recording, **{name: bad})
    for number in ("0", 1.0, True, None):
        with pytest.raises(TypeError, match="a frame is a whole number"):
            recording.frame(number)  # type: ignore[arg-type]


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
