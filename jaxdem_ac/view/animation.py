"""Animations of an episode."""

from pathlib import Path
from typing import Any

import numpy as np

from jaxdem_ac.view.style import BLUE, GREEN, GREY, ORANGE, new_figure


def animate(states: Any, success: np.ndarray, path: Path, *, decision_time: float, max_frames: int = 150) -> int:
    """Draw an episode as an animated GIF.

    Particles are discs of their true size, in another colour where their centre is on a target; obstacles are grey;
    targets are rings of one radius, or of their own where the states have `target_radius`. What is in space is seen
    from above.

    Parameters
    ----------
    states : pytree
        The environment's states, leaves ``(T + 1, ...)``, with `particles`, `targets`, `box_low` and `box_high`.
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
    """
    from PIL import Image

    position = np.asarray(states.particles.position)[..., :2]
    radius = np.asarray(states.particles.radius)
    fixed = np.asarray(states.particles.fixed)
    targets = np.asarray(states.targets)[..., :2]
    reach = getattr(states, "target_radius", None)
    reach = None if reach is None else np.asarray(reach)[0]
    last = len(position) - 1
    chosen = np.unique(np.linspace(0, last, min(max_frames, last + 1)).round().astype(int))
    box = np.asarray(states.box_low)[0, :2], np.asarray(states.box_high)[0, :2]
    scene = _Scene(*box, radius[0], fixed[0], reach, targets[0])
    frames = []
    for index in chosen:
        share = float(success[index - 1]) if index else float("nan")
        scene.draw(position[index], targets[index], index * decision_time, share)
        frames.append(Image.fromarray(scene.pixels()).convert("P", palette=Image.Palette.ADAPTIVE, colors=64))
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


class _Scene:
    """One figure, redrawn for every frame."""

    def __init__(
        self,
        box_low: np.ndarray,
        box_high: np.ndarray,
        radius: np.ndarray,
        fixed: np.ndarray,
        reach: np.ndarray | None,
        targets: np.ndarray,
    ) -> None:
        from matplotlib.collections import EllipseCollection
        from matplotlib.patches import Rectangle

        width, height = box_high - box_low
        self.figure = new_figure(5.0, 5.0 * height / width + 0.35)
        self.axis = self.figure.subplots()
        self.axis.set_xlim(box_low[0] - 0.3, box_high[0] + 0.3)
        self.axis.set_ylim(box_low[1] - 0.3, box_high[1] + 0.3)
        self.axis.set_aspect("equal")
        self.axis.set_axis_off()
        self.axis.add_patch(Rectangle(tuple(box_low), width, height, fill=False, edgecolor=GREY, linewidth=1.2))
        self.fixed = fixed

        def discs(size: np.ndarray, offsets: np.ndarray, **style: Any) -> Any:
            return EllipseCollection(
                size, size, 0 * size, units="xy", offsets=offsets, transOffset=self.axis.transData, **style
            )

        # How near a particle, or whoever is meant by a target of its own reach, has to come.
        self.reach = radius[:, None] if reach is None else reach[None]
        ring = 2 * np.broadcast_to(radius[~fixed].mean() if reach is None else reach, len(targets))
        self.targets = discs(ring, targets, facecolors="none", edgecolors=ORANGE, linewidths=1.2, linestyles="--")
        self.particles = discs(2 * radius, targets[:1].repeat(len(radius), 0), linewidths=0.8, edgecolors="white")
        self.axis.add_collection(self.particles)
        self.axis.add_collection(self.targets)
        self.title = self.axis.set_title("", fontsize=10, family="monospace", loc="left")

    def draw(self, position: np.ndarray, targets: np.ndarray, time: float, success: float) -> None:
        """Put everything where it is in one frame."""
        distance = np.linalg.norm(position[:, None] - targets[None], axis=-1)
        there = (distance <= self.reach).any(axis=1)
        self.particles.set_offsets(position)
        self.particles.set_facecolors(np.where(self.fixed, GREY, np.where(there, GREEN, BLUE)).tolist())
        self.targets.set_offsets(targets)
        shown = "   -" if np.isnan(success) else f"{success:4.0%}"
        self.title.set_text(f"time {time:6.2f}   success {shown}")

    def pixels(self) -> np.ndarray:
        """Return the figure as RGB."""
        self.figure.canvas.draw()
        return np.asarray(self.figure.canvas.buffer_rgba())[..., :3].copy()
