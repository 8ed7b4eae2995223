"""Pictures of an episode: moving ones, and a row of stills."""

from pathlib import Path
from typing import Any

import numpy as np

from jaxdem_ac.view.style import BLUE, GREEN, GREY, ORANGE, new_figure, save_figure


def animate(states: Any, success: np.ndarray, path: Path, *, decision_time: float, max_frames: int = 150) -> int:
    """Draw an episode as an animated GIF.

    Particles are discs of their true size, in another colour where their centre is on a target; obstacles are grey;
    targets are rings of one radius, or of their own where the states have `target_radius`. A task without targets may
    say itself whom to show in the other colour. What is in space is seen from above.

    Parameters
    ----------
    states : pytree
        The environment's states, leaves ``(T + 1, ...)``, with `particles`, `box_low` and `box_high`, and where there
        are such things `targets`, ``(T + 1, M, dim)``, or `highlight`, ``(T + 1, N)`` of bool.
    success : array, (T,)
        The success figure after each decision.
    path : Path
        Of the picture; written whole or not at all.
    decision_time : float, time
        Between two states.
    max_frames : int
        Longer episodes are thinned out evenly, the last state always kept.

    Returns
    -------
    int
        How many frames were drawn.

    Raises
    ------
    TypeError
        If the states lack what is drawn.
    """
    from PIL import Image

    episode = _Episode(states, success, decision_time)
    width, height = episode.size
    figure = new_figure(5.0, 5.0 * height / width + 0.35)
    scene = _Scene(figure.subplots(), episode)
    frames = []
    for index in episode.moments(max_frames):
        scene.draw(index)
        figure.canvas.draw()
        pixels = np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()
        frames.append(Image.fromarray(pixels).convert("P", palette=Image.Palette.ADAPTIVE, colors=64))
    temporary = path.with_name(f".{path.name}.part")
    try:
        frames[0].save(
            temporary,
            format="GIF",
            save_all=True,
            append_images=[*frames[1:], *[frames[-1]] * 15],
            duration=60,
            loop=0,
            optimize=False,
        )
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return len(frames)


def draw_moments(states: Any, success: np.ndarray, path: Path, *, decision_time: float, num_moments: int = 3) -> None:
    """Draw moments of an episode side by side as a PNG, the first and the last among them.

    Parameters
    ----------
    states, success, path, decision_time
        As in :func:`animate`.
    num_moments : int
        At least 1.
    """
    episode = _Episode(states, success, decision_time)
    width, height = episode.size
    chosen = episode.moments(num_moments)
    figure = new_figure(3.0 * len(chosen), 3.0 * height / width + 0.3)
    for axis, index in zip(np.ravel(figure.subplots(1, len(chosen))), chosen, strict=True):
        _Scene(axis, episode).draw(index)
    save_figure(figure, path)


class _Episode:
    """What a picture needs of an episode's states."""

    def __init__(self, states: Any, success: np.ndarray, decision_time: float) -> None:
        for name in ("particles", "box_low", "box_high"):
            if not hasattr(states, name):
                raise TypeError(
                    "render: a picture shows a state's particles, box_low and box_high, and targets or highlight where "
                    f"it has them; got {type(states).__name__} without {name}. Give the state of the environment such "
                    "a field."
                )
        self.position = np.asarray(states.particles.position)[..., :2]
        nothing = np.zeros((*self.position.shape[:1], 0, 2))
        self.targets = np.asarray(getattr(states, "targets", nothing))[..., :2]
        self.highlight = np.asarray(getattr(states, "highlight", np.zeros(self.position.shape[:2], bool)))
        self.radius = np.asarray(states.particles.radius)[0]
        self.fixed = np.asarray(states.particles.fixed)[0]
        reach = getattr(states, "target_radius", None)
        self.reach = None if reach is None else np.asarray(reach)[0]
        self.low, self.high = np.asarray(states.box_low)[0, :2], np.asarray(states.box_high)[0, :2]
        self.success = success
        self.decision_time = decision_time

    @property
    def size(self) -> np.ndarray:
        """Width and height of the box."""
        return self.high - self.low

    def moments(self, most: int) -> np.ndarray:
        """Return which states to draw, evenly spread, the last one always among them."""
        last = len(self.position) - 1
        spread = np.linspace(0, last, min(most, last + 1)) if most > 1 else np.array([last])
        return np.unique(spread.round().astype(int))


class _Scene:
    """One panel, redrawn for every frame."""

    def __init__(self, axis: Any, episode: _Episode) -> None:
        from matplotlib.collections import EllipseCollection
        from matplotlib.patches import Rectangle

        self.axis, self.episode = axis, episode
        (width, height), low, high = episode.size, episode.low, episode.high
        axis.set_xlim(low[0] - 0.3, high[0] + 0.3)
        axis.set_ylim(low[1] - 0.3, high[1] + 0.3)
        axis.set_aspect("equal")
        axis.set_axis_off()
        axis.add_patch(Rectangle(tuple(low), width, height, fill=False, edgecolor=GREY, linewidth=1.2))
        targets, radius, reach = episode.targets[0], episode.radius, episode.reach

        def discs(size: np.ndarray, offsets: np.ndarray, **style: Any) -> Any:
            return EllipseCollection(
                size, size, 0 * size, units="xy", offsets=offsets, transOffset=axis.transData, **style
            )

        # How near a particle, or whoever is meant by a target of its own reach, has to come.
        self.reach = radius[:, None] if reach is None else reach[None]
        ring = 2 * np.broadcast_to(radius[~episode.fixed].mean() if reach is None else reach, len(targets))
        self.targets = discs(ring, targets, facecolors="none", edgecolors=ORANGE, linewidths=1.2, linestyles="--")
        self.particles = discs(2 * radius, episode.position[0], linewidths=0.8, edgecolors="white")
        axis.add_collection(self.particles)
        axis.add_collection(self.targets)
        self.title = axis.set_title("", fontsize=10, family="monospace", loc="left")

    def draw(self, index: int) -> None:
        """Put everything where it is in one state."""
        episode = self.episode
        position, targets = episode.position[index], episode.targets[index]
        distance = np.linalg.norm(position[:, None] - targets[None], axis=-1)
        there = (distance <= self.reach).any(axis=1) | episode.highlight[index]
        self.particles.set_offsets(position)
        self.particles.set_facecolors(np.where(episode.fixed, GREY, np.where(there, GREEN, BLUE)).tolist())
        self.targets.set_offsets(targets)
        success = float(episode.success[index - 1]) if index else float("nan")
        shown = "   -" if np.isnan(success) else f"{success:4.0%}"
        self.title.set_text(f"time {index * episode.decision_time:6.2f}   success {shown}")
