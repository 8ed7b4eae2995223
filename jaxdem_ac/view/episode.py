"""Episodes as pictures need them, as NumPy arrays, from a run, a recording or a live rollout."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import jax
import numpy as np
from numpy.typing import ArrayLike

from jaxdem_ac._types import PyTree
from jaxdem_ac.dem.particles import Particles
from jaxdem_ac.dem.world import World
from jaxdem_ac.environments.base import Environment
from jaxdem_ac.environments.sensing.lidar import Channel
from jaxdem_ac.environments.swarm import SwarmEnvironment
from jaxdem_ac.runs.recording import Recording

# Kinds of those that do not act, beside the species of those that do.
FIXED, PASSIVE = -1, -2


@dataclass(frozen=True)
class Episode:
    """T + 1 frames of B particles, and M targets."""

    particles: PyTree
    """Particles whose leaves are NumPy's, ``(T + 1, B, ...)``."""
    box_low: np.ndarray
    """Lower corner of the box, ``(2,)`` or ``(3,)``, length; ``(2,)`` too for particles that stand on a floor."""
    box_high: np.ndarray
    """Upper corner of the box, in the same shape, length."""
    kinds: np.ndarray
    """The species of each particle, `FIXED` or `PASSIVE`; ``(B,)`` of int."""
    decision_time: float = 0.0
    """Time between two frames."""
    success: np.ndarray | None = None
    """The task's figure in each frame, ``(T + 1,)``, NaN where it is unknown."""
    success_name: str = "success"
    """Name of the success in the task."""
    targets: np.ndarray | None = None
    """``(T + 1, M, dim)``, length."""
    target_radius: np.ndarray | None = None
    """Distance within which a target is reached, ``(M,)``, length; a particle's own radius if left out."""
    target_reached: np.ndarray | None = None
    """``(T + 1, M)`` of bool, where the task says itself which targets are reached."""
    highlight: np.ndarray | None = None
    """``(T + 1, B)`` of bool, where the task says itself whom to show as being there."""
    orientation: np.ndarray | None = None
    """``(T + 1, B)``, angle in the plane, where a task has one: the heading is along it, else along the velocity."""
    observation: np.ndarray | None = None
    """``(T + 1, N, O)``; of a recording ``(T, N, O)``."""
    lidars: tuple[Channel, ...] = ()
    """Places of the lidars' readings in an observation."""
    world: World | None = None
    """The box's material."""

    @classmethod
    def of_states(
        cls,
        environment: Environment,
        states: PyTree,
        success: ArrayLike | None = None,
        species: Sequence[int] | None = None,
    ) -> Self:
        """Return the episode of an environment's states, or raise TypeError if they lack what is drawn.

        Parameters
        ----------
        environment : Environment
        states : pytree
            Leaves ``(T + 1, ...)``, with `particles`, `box_low` and `box_high`, and where there are such things
            `targets`, `target_radius`, `reached`, `highlight` and `orientation`.
        success : array, (T,), optional
            After each decision.
        species : sequence of int, (N,), optional
            The environment's own if left out.
        """
        _check_drawable(states)
        first = jax.tree.map(lambda leaf: leaf[0], states)
        particles = jax.tree.map(np.asarray, states.particles)
        frames, num = particles.position.shape[:2]
        targets, reached = _optional(states, "targets"), _optional(states, "reached")
        matches = targets is not None and reached is not None and reached.shape == targets.shape[:2]
        highlight, orientation = _optional(states, "highlight"), _optional(states, "orientation")
        return cls(
            particles=particles,
            kinds=kinds_of(environment, particles.fixed[0], species),
            targets=targets,
            target_reached=reached if matches else None,
            highlight=highlight,
            orientation=orientation if orientation is not None and orientation.shape == (frames, num) else None,
            observation=np.asarray(states.observation),
            success=None if success is None else np.append(np.nan, np.asarray(success, float)),
            **_constants(environment, first),
        )

    @classmethod
    def of_recording(cls, recording: Recording) -> Self:
        """Return the recorded episode; what never changes in it is the environment's.

        Raises KeyError if there is no environment of that name any more, TypeError if its states lack what is drawn.
        """
        environment = recording.environment()
        first = environment.reset(jax.random.split(jax.random.key(recording.seed))[0])
        _check_drawable(first)
        particles = jax.tree.map(np.asarray, recording.particles)
        constants = _constants(environment, first)
        if recording.world is not None:
            dim = len(constants["box_low"])
            constants["world"] = recording.world
            constants["box_low"] = np.asarray(recording.world.box_low)[:dim]
            constants["box_high"] = np.asarray(recording.world.box_high)[:dim]
        return cls(
            particles=particles,
            kinds=kinds_of(environment, particles.fixed[0]),
            targets=np.asarray(recording.targets),
            observation=np.asarray(recording.observation),
            success=np.append(np.nan, np.asarray(recording.success)),
            **constants,
        )

    @classmethod
    def of_particles(cls, world: World, particles: Particles, time_step: float = 0.0) -> Self:
        """Return frames of the engine: one, leaves ``(B, ...)``, or some, ``(T + 1, B, ...)``, `time_step` apart."""
        alone = np.ndim(particles.position) == 2
        frames: PyTree = jax.tree.map(lambda leaf: np.asarray(leaf)[None] if alone else np.asarray(leaf), particles)
        return cls(
            particles=frames,
            box_low=np.asarray(world.box_low),
            box_high=np.asarray(world.box_high),
            kinds=np.where(frames.fixed[0], FIXED, 0),
            decision_time=time_step,
            world=world,
        )

    @property
    def num_frames(self) -> int:
        """T + 1."""
        return len(self.particles.position)

    @property
    def in_space(self) -> bool:
        """Whether particles have three coordinates."""
        return self.particles.position.shape[-1] == 3

    def frame(self, index: int) -> PyTree:
        """Return the particles of one frame, leaves ``(B, ...)``."""
        return jax.tree.map(lambda leaf: leaf[index], self.particles)

    def moments(self, most: int, every: int | None = None) -> list[int]:
        """Return which frames to draw, the last one always among them: evenly spread, or every so many."""
        last = self.num_frames - 1
        if every is not None:
            return sorted({*range(0, last + 1, every), last})
        spread = np.linspace(0, last, min(most, last + 1)) if most > 1 else np.array([last])
        return sorted({int(moment) for moment in spread.round()})

    def arrived(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return who is at a target, or is highlighted, ``(B,)``, and which targets are reached, ``(M,)``; of bool."""
        there = np.zeros(len(self.kinds), bool) if self.highlight is None else self.highlight[index].copy()
        if self.targets is None or not self.targets.shape[1]:
            return there, np.zeros(0, bool)
        who, where = self._near_targets(index)
        if self.target_reached is None:
            reached = np.zeros(self.targets.shape[1], bool)
            reached[where] = True
        else:
            reached = self.target_reached[index]
        there[who[reached[where]]] = True
        return there, reached

    def _near_targets(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return who is within reach of which target, ``(K,)`` each."""
        from scipy.spatial import cKDTree

        assert self.targets is not None
        target, radius = self.targets[index], self.particles.radius[index]
        position = self.particles.position[index][:, : target.shape[-1]]
        widest = float((radius if self.target_radius is None else self.target_radius).max())
        pairs = cKDTree(position).sparse_distance_matrix(cKDTree(target), 1.001 * widest, output_type="ndarray")
        who, where = pairs["i"], pairs["j"]
        reach = radius[who] if self.target_radius is None else self.target_radius[where]
        near = pairs["v"] <= reach
        return who[near], where[near]


def kinds_of(environment: Environment, fixed: np.ndarray, species: Sequence[int] | None = None) -> np.ndarray:
    """Return the kind of each particle, ``(B,)``; of a task of this package the first N of them act."""
    species = getattr(environment, "species", None) if species is None else species
    num, acting = len(fixed), environment.num_particles
    kinds = np.full(num, PASSIVE if isinstance(environment, SwarmEnvironment) else 0)
    kinds[:acting] = 0 if species is None or len(species) != acting else species
    return np.where(fixed, FIXED, kinds)


def _constants(environment: Environment, first: PyTree) -> dict[str, Any]:
    """Return what stays as it is over an episode, from its first state."""
    radius = _optional(first, "target_radius")
    return {
        "box_low": np.asarray(first.box_low),
        "box_high": np.asarray(first.box_high),
        "target_radius": radius,
        "decision_time": environment.decision_time,
        "success_name": environment.success_name,
        "lidars": tuple(getattr(environment, "lidars", ())),
        "world": environment.world(first) if hasattr(environment, "world") else None,
    }


def _optional(state: object, name: str) -> np.ndarray | None:
    value = getattr(state, name, None)
    return None if value is None else np.asarray(value)


def _check_drawable(states: object) -> None:
    for name in ("particles", "box_low", "box_high"):
        if not hasattr(states, name):
            raise TypeError(
                "render: a picture shows a state's particles, box_low and box_high, and targets or highlight where "
                f"it has them; got {type(states).__name__} without {name}. Give the state of the environment such "
                "a field."
            )
