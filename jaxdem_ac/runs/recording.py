"""An episode on the disk: every frame of it, and what was seen, done and gained."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, TypedDict, Unpack

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxdem_ac._checks import check_count, check_seed
from jaxdem_ac._files import as_path, parse_json, written
from jaxdem_ac._messages import check_kind
from jaxdem_ac.dem.particles import Particles
from jaxdem_ac.dem.world import World
from jaxdem_ac.environments import make_environment
from jaxdem_ac.environments.base import Environment
from jaxdem_ac.models.structure import Model
from jaxdem_ac.runs.build import build_baseline
from jaxdem_ac.runs.checkpoint import load_policy
from jaxdem_ac.runs.digest import digest_of, digest_of_text
from jaxdem_ac.runs.recording_checks import check_recording, read_world
from jaxdem_ac.runs.run_dir import single
from jaxdem_ac.trainers.policy import PolicyFn, Privileged
from jaxdem_ac.trainers.rollout import play_episode
from jaxdem_ac.untrusted import one_line

FORMAT = 1
EPISODE = "episode.npz"

# Arrays of a recording that are its own, beside those of particles and world.
_TEXTS = ("env", "env_kw", "seed", "decision_time")
_ARRAYS = ("targets", "observation", "action", "reward", "value", "success")
# Only where a task has one, and not in files that were written before there was one.
_TARGET_RADIUS = "target_radius"
# Springs of contacts are not kept.
_OF_PARTICLES = tuple(item.name for item in fields(Particles) if item.name != "springs")


@dataclass(frozen=True)
class Recording:
    """One episode, or its beginning: T decisions and T + 1 frames, with what it takes to play it again."""

    env: str
    """The environment's name."""
    env_kw: dict[str, object]
    """Keywords of the environment."""
    seed: int
    """Seed of the random key that it was played with."""
    decision_time: float
    """Time between two frames."""
    particles: Particles
    """Leaves ``(T + 1, B, ...)``; the first N of them act."""
    world: World | None
    """Box, material and time step; None of an environment that shows none."""
    targets: Array
    """``(T + 1, M, dim)``, length."""
    observation: Array
    """Observation before each decision, ``(T, N, O)``."""
    action: Array
    """``(T, N, D)``."""
    reward: Array
    """``(T, N)``."""
    value: Array
    """The policy's value before each decision, ``(T, N)``."""
    success: Array
    """The task's figure after each decision, ``(T,)``; NaN of one that has none."""
    target_radius: Array | None = None
    """Distance within which a target is reached, ``(M,)``, length; None where that is a particle's own radius."""

    def __post_init__(self) -> None:
        """Raise TypeError or ValueError unless everything fits together."""
        check_recording(self)

    @property
    def num_decisions(self) -> int:
        """T."""
        return self.action.shape[0]

    def frame(self, number: int) -> Particles:
        """Return the particles of a frame, 0 to T, leaves ``(B, ...)``; raises TypeError or IndexError for another."""
        if isinstance(number, bool) or not isinstance(number, int | np.integer):
            raise TypeError(f"Recording.frame: a frame is a whole number; got {number!r:.60}. Pass an int.")
        if not 0 <= number <= self.num_decisions:
            raise IndexError(
                f"Recording.frame: frames are 0 to {self.num_decisions}; got {number}. Choose one of them."
            )
        return jax.tree.map(lambda leaf: leaf[number], self.particles)

    def environment(self) -> Environment:
        """Return the environment that was played, from the registry."""
        made: Environment = make_environment(self.env, **self.env_kw)
        return made

    def save(self, path: str | Path) -> Path:
        """Write it as NumPy's ``.npz``, whole or not at all, texts as JSON under ``about``; return the path."""
        path = as_path("Recording.save", "path", path)
        about = {"format": FORMAT, **{name: getattr(self, name) for name in _TEXTS}}
        arrays: dict[str, Any] = {name: np.asarray(getattr(self, name)) for name in _ARRAYS}
        arrays |= {f"particles.{name}": np.asarray(getattr(self.particles, name)) for name in _OF_PARTICLES}
        if self.target_radius is not None:
            arrays[_TARGET_RADIUS] = np.asarray(self.target_radius)
        if self.world is not None:
            numbers, about["world"] = self.world.parts()
            arrays |= {f"world.{name}": np.asarray(number) for name, number in numbers.items()}
        about["digest"] = _digest(about, arrays)
        with written(path) as draft, draft.open("wb") as file:
            np.savez_compressed(file, about=np.array(json.dumps(about)), **arrays)
        return path

    @classmethod
    def load(cls, path: str | Path) -> "Recording":
        """Return the recording in a file; FileNotFoundError for none, ValueError for damage or another version."""
        path = as_path("Recording.load", "path", path)
        if not path.is_file():
            raise FileNotFoundError(f"load: a recording is a file; got {str(path)!r}. Make one: jaxdem-ac record RUN.")
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in stored.files}
            about = parse_json(str(arrays.pop("about")))
            if not isinstance(about, dict) or about.get("format") != FORMAT:
                got = about.get("format") if isinstance(about, dict) else type(about).__name__
                raise ValueError(f"this version reads format {FORMAT}, got {got}")
            # Files of before have none.
            if about.pop("digest", None) not in (None, _digest(about, arrays)):
                raise ValueError("damaged: other numbers than were written")
            return _recording_of(about, arrays)
        except KeyError as error:
            got = f"nothing under the name {error.args[0]!r}" if error.args else "no such name"
        except Exception as error:
            got = one_line(error).removeprefix("ValueError: ")
        raise ValueError(
            f"load: {str(path)!r} is not a recording of this version; got {got}. Make it again: jaxdem-ac record."
        )


def _recording_of(about: dict[str, Any], arrays: dict[str, Any]) -> Recording:
    """Return the recording that a file's text and arrays make, or raise whatever is wrong with them."""
    found: dict[str, Any] = {name: about[name] for name in _TEXTS}
    particles = Particles(**{name: arrays[f"particles.{name}"] for name in _OF_PARTICLES})
    kept = {name: arrays[name] for name in _ARRAYS}
    kept |= {name: arrays[name] for name in (_TARGET_RADIUS,) if name in arrays}
    world = read_world(about["world"], arrays) if "world" in about else None
    # Checked as they stand in the file, before JAX makes its own types of them.
    made = Recording(**found, particles=particles, world=world, **kept)
    # NaN stands there for what a task or a policy has not.
    with jax.debug_nans(False):
        ours: dict[str, Any] = {name: jnp.asarray(array) for name, array in kept.items()}
    return replace(made, particles=jax.tree.map(jnp.asarray, particles), **ours)


def _digest(about: Mapping[str, object], arrays: Mapping[str, np.ndarray]) -> str:
    """Return the digest of all that a recording says."""
    return digest_of_text([about, {name: digest_of(array) for name, array in sorted(arrays.items())}])


def record_episode(
    env: str,
    env_kw: Mapping[str, object],
    policy: Model | PolicyFn | Privileged,
    *,
    seed: int = 1_000,
    decisions: int | None = None,
    sample: bool = False,
) -> Recording:
    """Play an episode and return its recording.

    `env` names a registered environment, so that a file can, and `policy` is as in
    :func:`~jaxdem_ac.trainers.rollout.play_episode`; `seed` is of the random key. There are `decisions` at most, an
    episode's length if left out; it ends where the episode does. Raises ValueError if `decisions` is below 1, TypeError
    if states of the environment have no particles.
    """
    check_kind("record: env_kw is a dict of keywords", env_kw, dict, "Pass one.")
    seed = check_seed("record", seed)
    environment = make_environment(env, **env_kw)
    length = environment.episode_length if decisions is None else check_count("record", "decisions", decisions)
    played = play_episode(environment, policy, jax.random.key(seed), length, sample)
    states, timestep = played.states, played.timestep
    if not hasattr(states, "particles"):
        raise TypeError(f"record: a frame shows particles; got {type(states).__name__} without any. Record another.")
    ends = np.asarray(timestep.terminated | timestep.truncated)
    length = int(np.argmax(ends)) + 1 if ends.any() else length
    first = jax.tree.map(lambda leaf: leaf[0], states)
    nowhere = jnp.zeros((*states.particles.position.shape[:1], 0, states.particles.position.shape[-1]))
    frames = {"particles": states.particles, "targets": getattr(states, "targets", nowhere)}
    decided = {
        "observation": states.observation[:-1],
        "action": played.action,
        "reward": timestep.reward,
        "value": played.value,
        "success": timestep.info.get("success", np.full(len(ends), np.nan, np.float32)),
    }
    return Recording(
        env,
        dict(env_kw),
        seed,
        environment.decision_time,
        world=environment.world(first) if hasattr(environment, "world") else None,
        **jax.tree.map(lambda leaf: leaf[: length + 1], frames),
        **jax.tree.map(lambda leaf: leaf[:length], decided),
        target_radius=getattr(first, "target_radius", None),
    )


class Played(TypedDict, total=False):
    """Options of :func:`record_episode`, as others pass them on."""

    seed: int
    decisions: int | None
    sample: bool


def record_run(
    run_dir: str | Path, checkpoint: str | int = "last", baseline: str | None = None, **options: Unpack[Played]
) -> Recording:
    """Return an episode of a run's policy, or of a baseline, in its environment; options as in :func:`record_episode`.

    Raises as :func:`~jaxdem_ac.runs.checkpoint.load_policy`.
    """
    config = single(run_dir)
    policy = load_policy(run_dir, checkpoint) if baseline is None else build_baseline(config, baseline)
    return record_episode(config.env, dict(config.env_kw), policy, **options)
