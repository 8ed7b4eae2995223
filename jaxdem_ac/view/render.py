"""Pictures of a run, of a policy as it plays, of a recording, and of the engine alone."""

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Unpack

import jax
import numpy as np
from jax import Array

from jaxdem_ac._checks import as_real, check_count, check_flag, check_key, check_seed
from jaxdem_ac._files import as_path, check_empty, make_folder
from jaxdem_ac.dem.particles import Particles
from jaxdem_ac.dem.world import World
from jaxdem_ac.environments.base import Environment, check_is_environment
from jaxdem_ac.models.structure import Model
from jaxdem_ac.plugin.references import short_name
from jaxdem_ac.runs.build import build_baseline, build_environment
from jaxdem_ac.runs.checkpoint import load_policy
from jaxdem_ac.runs.recording import Played, Recording, record_run
from jaxdem_ac.runs.run_dir import read_metrics, single
from jaxdem_ac.trainers.policy import PolicyFn, Privileged, as_policy
from jaxdem_ac.trainers.rollout import play_episode, random_action
from jaxdem_ac.view.episode import Episode
from jaxdem_ac.view.figures.animation import require_ffmpeg, write_films, write_strip
from jaxdem_ac.view.figures.options import Look
from jaxdem_ac.view.figures.style import require_matplotlib
from jaxdem_ac.view.learning_curves import plot_learning_curve

FORMATS = {"gif": "episode.gif", "mp4": "episode.mp4", "png": "episode.png", "curve": "learning_curve.png"}
"""Formats of pictures, and the names of their files."""


@dataclass(frozen=True)
class Picture:
    """A file that shows itself in a notebook."""

    path: Path
    """Path of the file."""

    def __fspath__(self) -> str:
        return str(self.path)

    def __str__(self) -> str:
        return str(self.path)

    def _repr_html_(self) -> str:
        data = base64.b64encode(self.path.read_bytes()).decode()
        if self.path.suffix == ".mp4":
            return f'<video controls loop autoplay muted src="data:video/mp4;base64,{data}"></video>'
        return f'<img src="data:image/{self.path.suffix[1:]};base64,{data}">'


def render(
    environment: Environment,
    policy: Model | PolicyFn | Privileged | Literal["random"] = "random",
    path: str | Path = "episode.gif",
    *,
    key: Array | None = None,
    decisions: int | None = None,
    sample: bool = False,
    **look: object,
) -> Picture:
    """Play an episode and draw it; no run is needed. In a notebook the Picture that is returned shows itself.

    Particles are discs of their true size, their species told apart by colours for every eye, with a line to where they
    go and a dark rim where they are at a target; targets are dashed rings, solid once reached; obstacles are grey.
    Spheres are seen by a camera without perspective.

    Parameters
    ----------
    environment : Environment
    policy : nnx.Module, Policy, callable or "random"
        As :func:`~jaxdem_ac.trainers.rollout.rollout` takes it.
    path : path
        ``.gif`` and ``.mp4`` are films, ``.png`` is a strip of moments. Written whole or not at all.
    key : Array, optional
        Random key; that of seed 0 if left out.
    decisions : int, optional
        At most so many; the film ends where the episode does. One episode's if left out.
    sample : bool
        Whether actions are sampled; else they are the policy's mode.
    **look
        Fields of :class:`~jaxdem_ac.view.figures.options.Look`: ``forces=True``, ``rays=3``, ``fps=30``, ...

    Raises
    ------
    ImportError, TypeError, ValueError
        If the extra ``view`` is not installed; if there is no such option, or the environment's states lack what is
        drawn; if an option is out of its range, or the path ends otherwise.
    """
    options, target = Look.of(**look), _checked_path(path)
    check_is_environment("render", environment)
    key = jax.random.key(0) if key is None else key
    check_key("render", key)
    episode = played_episode(environment, policy, key, decisions, sample=sample)
    return _draw(episode, target, options)


def render_recording(recording: Recording, path: str | Path, **look: object) -> Picture:
    """Draw what has been recorded; as :func:`render`."""
    _check_kind("recording", recording, Recording)
    options, target = Look.of(**look), _checked_path(path)
    return _draw(Episode.of_recording(recording), target, options)


def render_particles(
    world: World, particles: Particles, path: str | Path, *, time_step: float = 0.0, **look: object
) -> Picture:
    """Draw one frame of the engine, or ``(T + 1, B, ...)``, `time_step` apart, as :func:`render` does."""
    _check_kind("world", world, World)
    _check_kind("particles", particles, Particles)
    step = as_real(time_step)
    if step is None or not 0 <= step < math.inf:
        raise ValueError(f"render: time_step is a number from 0; got time_step={time_step!r:.60}. Pass a float.")
    options, target = Look.of(**look), _checked_path(path)
    return _draw(Episode.of_particles(world, particles, time_step), target, options)


def render_run(
    run_dir: str | Path,
    *,
    out: str | Path | None = None,
    formats: Sequence[str] = ("gif", "png", "curve"),
    checkpoint: str | int = "last",
    baseline: str | None = None,
    seed: int = 1_000,
    decisions: int | None = None,
    sample: bool = False,
    **look: object,
) -> list[Path]:
    """Draw an episode of a run's policy, and its learning curve, into a folder; return the files that were written.

    Parameters
    ----------
    run_dir : path
        The run's folder.
    out : path, optional
        Where pictures go, made if it is not there; the run's folder if left out.
    formats : sequence of {"gif", "mp4", "png", "curve"}
        What is written: episode.gif, episode.mp4, episode.png, learning_curve.png.
    checkpoint : "last", "best" or int
        As for :func:`~jaxdem_ac.runs.checkpoint.load_policy`.
    baseline : "scripted" or "oracle", optional
        Plays instead of the run's policy.
    seed : int
        Of the episode.
    decisions, sample, **look
        As in :func:`render`.

    Raises
    ------
    FileNotFoundError, ImportError, ValueError
        If the folder holds no run; if the extra ``view`` is not installed; if an option is out of its range, or the run
        has no reports.
    """
    options, files, seed = Look.of(**look), _files(formats), check_seed("render", seed)
    run_dir = as_path("render", "run_dir", run_dir)
    folder = run_dir if out is None else as_path("render", "out", out)
    config = single(run_dir)
    reports = read_metrics(run_dir)
    episode = None
    if files.keys() - {"curve"}:
        environment = build_environment(config)
        policy = load_policy(run_dir, checkpoint) if baseline is None else build_baseline(config, baseline)
        species: Any = getattr(environment, "species", None) or config.model_kw.get("species")
        key = jax.random.key(seed)
        episode = played_episode(environment, policy, key, decisions, sample=sample, species=species)
    make_folder(folder)
    if episode is not None:
        draw_all(episode, folder, files, options)
    if "curve" in files:
        title = f"{short_name(config.env)}, {short_name(config.model)}, seed {config.seed}"
        plot_learning_curve(reports, folder / files["curve"], title)
    return [folder / name for name in files.values()]


def render_recorded(
    recording: Recording, folder: str | Path, formats: Sequence[str] = ("gif", "png"), **look: object
) -> list[Path]:
    """Draw what has been recorded into a folder; as :func:`render_run`."""
    _check_kind("recording", recording, Recording)
    options, files, folder = Look.of(**look), _files(formats), as_path("render", "folder", folder)
    if "curve" in files:
        raise ValueError("render: a recording has no learning curve; got format='curve'. Leave it out, or name a run.")
    episode = Episode.of_recording(recording)
    make_folder(folder)
    draw_all(episode, folder, files, options)
    return [folder / name for name in files.values()]


def draw_all(episode: Episode, folder: Path, files: dict[str, str], look: Look) -> None:
    """Write an episode's pictures, the films together: frames are drawn once."""
    films = [folder / files[name] for name in ("gif", "mp4") if name in files]
    if films:
        write_films(episode, films, look)
    if "png" in files:
        write_strip(episode, folder / files["png"], look)


def played_episode(
    environment: Environment,
    policy: Model | PolicyFn | Privileged | str,
    key: Array,
    decisions: int | None,
    *,
    sample: bool = False,
    species: Sequence[int] | None = None,
) -> Episode:
    """Return what is drawn of an episode played to its end; ValueError if `decisions` or `policy` is no such thing."""
    length = environment.episode_length if decisions is None else decisions
    check_count("render", "decisions", length)
    sample = check_flag("render", "sample", sample) or isinstance(policy, str)
    played = play_episode(environment, _acting(policy, environment), key, length, sample)
    timestep = played.timestep
    ends = np.asarray(timestep.terminated | timestep.truncated)
    length = int(np.argmax(ends)) + 1 if ends.any() else length
    states = jax.tree.map(lambda leaf: leaf[: length + 1], played.states)
    success = timestep.info.get("success")
    return Episode.of_states(environment, states, None if success is None else success[:length], species)


def _acting(policy: Model | PolicyFn | Privileged | str, environment: Environment) -> PolicyFn | Privileged:
    """Return `policy` as something that acts."""
    if not isinstance(policy, str):
        return as_policy("render", policy, environment)
    if policy != "random":
        raise ValueError(f"render: policy acts or is 'random'; got {policy!r}. Build one with make_model.")

    def anything(observation: Array, key: Array | None) -> Array:
        assert key is not None, "random actions are sampled"
        return random_action(key, environment, 1)[0]

    return anything


def _check_kind(name: str, value: object, kind: type) -> None:
    if not isinstance(value, kind):
        raise TypeError(
            f"render: {name} is a {kind.__name__}; got {name}={value!r:.60}. Pass one, and render(environment) to play."
        )


def _files(formats: Sequence[str]) -> dict[str, str]:
    """Return the names of the files of formats, which are checked with what they need."""
    if isinstance(formats, str) or not np.iterable(formats):
        raise TypeError(f"render: formats are a sequence of names; got formats={formats!r:.60}. Pass ['gif'], say.")
    for name in formats:
        if not isinstance(name, str) or name not in FORMATS:
            raise ValueError(f"render: a format is one of {', '.join(FORMATS)}; got format={name!r}. Choose some.")
    if not formats:
        raise ValueError(f"render: something is drawn; got no format. Choose some of {', '.join(FORMATS)}.")
    require_matplotlib()
    if "mp4" in formats:
        require_ffmpeg()
    return {name: file for name, file in FORMATS.items() if name in formats}


def _checked_path(path: str | Path) -> Path:
    """Return a path whose ending says what is drawn."""
    path = as_path("render", "path", path)
    if path.suffix not in (".gif", ".mp4", ".png"):
        raise ValueError(f"render: path ends with .gif, .mp4 or .png; got path={str(path)!r}. Name such a file.")
    _files([path.suffix[1:]])
    return path


def _draw(episode: Episode, path: Path, look: Look) -> Picture:
    draw_all(episode, path.parent, {path.suffix[1:]: path.name}, look)
    return Picture(path)


def render_vtk(
    run_dir: str | Path,
    directory: str | Path,
    checkpoint: str | int = "last",
    baseline: str | None = None,
    **options: Unpack[Played],
) -> Path:
    """Record an episode of a run's policy, write its frames for ParaView by JaxDEM's writer, and return the folder.

    Checkpoint and baseline are as for :func:`render_run`, options as for
    :func:`~jaxdem_ac.runs.recording.record_episode`. Raises FileExistsError if the folder holds something, ImportError
    if JaxDEM cannot be imported.
    """
    from jaxdem_ac.plugin.jaxdem import import_host
    from jaxdem_ac.plugin.vtk import write_vtk

    check_empty("render: frames go to an empty folder", as_path("render", "directory", directory))
    import_host("render")
    return write_vtk(record_run(run_dir, checkpoint, baseline, **options), directory)
