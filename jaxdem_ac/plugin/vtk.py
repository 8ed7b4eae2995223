"""Recorded frames as JaxDEM's State and System, and as files for ParaView, by JaxDEM's own writer."""

import importlib
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp

from jaxdem_ac._files import as_path, check_empty, make_folder
from jaxdem_ac.plugin.jaxdem import JaxDEMState, JaxDEMSystem, import_host
from jaxdem_ac.plugin.state import as_state, as_system

if TYPE_CHECKING:
    from jaxdem_ac.runs.recording import Recording


def as_jaxdem(recording: "Recording", frame: int) -> tuple[JaxDEMState, JaxDEMSystem]:
    """Return JaxDEM's State and System of one frame of a recording, 0 to T.

    Raises IndexError if there is no such frame, ValueError if the recording shows no world, ImportError if JaxDEM
    cannot be imported.
    """
    particles = recording.frame(frame)
    if recording.world is None:
        raise ValueError(
            f"replay: a recording shows its box and material; got one of {recording.env!r}, which does not. Give the "
            "environment a method `world(state)`, or for one of JaxDEM's use its own state and system."
        )
    system = as_system(recording.world, particles)
    steps = round(frame * recording.decision_time / float(system.dt))
    system.step_count = jnp.asarray(steps, system.step_count.dtype)
    system.time = jnp.asarray(frame * recording.decision_time, system.time.dtype)
    return as_state(particles), system


def write_vtk(recording: "Recording", directory: str | Path) -> Path:
    """Write every frame by JaxDEM's own VTK writer; return the folder.

    ParaView opens what JaxDEM names there. Targets, where a task has them, are spheres in a folder of their own,
    ``targets``. The folder is not there yet, or empty: JaxDEM's writer would delete what it holds. Raises
    FileExistsError if it holds something, ImportError if JaxDEM cannot be imported.
    """
    directory = as_path("render", "directory", directory)
    check_empty("render: frames go to an empty folder", directory)
    import_host("render")
    writers = importlib.import_module("jaxdem.writers")
    frames = [as_jaxdem(recording, number) for number in range(recording.num_decisions + 1)]
    state, system = jax.tree.map(lambda *leaves: jnp.stack([jnp.asarray(leaf) for leaf in leaves]), *frames)
    _write(writers, state, system, directory)
    if recording.targets.shape[1]:
        radius = jnp.mean(recording.particles.radius[0])
        shown = [
            type(frames[0][0]).create(pos=targets, rad=jnp.full(len(targets), radius)) for targets in recording.targets
        ]
        targets = jax.tree.map(lambda *leaves: jnp.stack(leaves), *shown)
        _write(writers, targets, system, directory / "targets")
    return directory


def _write(writers: ModuleType, state: JaxDEMState, system: JaxDEMSystem, directory: Path) -> None:
    make_folder(directory)
    writer = writers.VTKWriter(directory=directory, clean=False)
    writer.save(state, system, trajectory=True)
    writer.close()
