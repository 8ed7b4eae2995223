"""An episode's scene: its box, its layers, and in the corners time and success."""

from functools import partial

import numpy as np

from jaxdem_ac.view.episode import Episode
from jaxdem_ac.view.figures.artists import Discs, Forces, Headings, Layer, Rings, nice
from jaxdem_ac.view.figures.camera import Camera, in_space
from jaxdem_ac.view.figures.contacts import Contacts, contacts_of
from jaxdem_ac.view.figures.legend import foot_of, legend_of
from jaxdem_ac.view.figures.options import Look
from jaxdem_ac.view.figures.rays import Rays
from jaxdem_ac.view.figures.style import GREY, INK, Artist, Axes, Figure

LABEL = 0.27
"""Height of the line above a scene, inches."""


class Stage:
    """The common ground of the panels of a picture: point of view, size, legend, and contacts of each frame."""

    def __init__(self, episode: Episode, look: Look, moments: list[int]) -> None:
        self.episode, self.look = episode, look
        self.camera = look.camera(episode.in_space)
        low, high = _extent(episode, self.camera)
        self.low, self.size = low, high - low
        self.contacts: dict[int, Contacts] = {}
        if look.forces:
            if episode.world is None:
                raise ValueError(
                    "render: contact forces are those of the engine's law in the box that an environment's "
                    "world(state) returns; got an environment without it. Leave out forces."
                )
            self.contacts = {index: contacts_of(episode.world, episode.frame(index)) for index in moments}
        forces = [found.force for found in self.contacts.values()]
        self.full_force = nice(np.concatenate(forces)) if forces else 0.0
        self.legend = legend_of(episode, look, self.full_force)

    @property
    def head(self) -> float:
        """Height of the line that says time and success, inches; 0 where there is neither."""
        return LABEL if self.episode.decision_time or self.episode.success is not None else 0.0

    def foot(self, width: float) -> float:
        """Return how high the legend is in a picture of a width, both in inches; 0 where it is empty."""
        return foot_of(self.legend, width)

    def height(self, width: float) -> float:
        """Return how high a scene of that width is, in the same unit."""
        return float(width * self.size[1] / self.size[0])


class Scene:
    """One panel of a figure."""

    def __init__(self, figure: Figure, stage: Stage, left: float, bottom: float, width: float) -> None:
        """Add it to a figure, at a place in inches."""
        across, up = figure.get_size_inches()
        height = stage.height(width)
        axis = figure.add_axes((left / across, bottom / up, width / across, height / up))
        axis.set_axis_off()
        axis.set_xlim(stage.low[0], stage.low[0] + stage.size[0])
        axis.set_ylim(stage.low[1], stage.low[1] + stage.size[1])
        self.episode = stage.episode
        _draw_box(axis, stage.episode, stage.camera)
        self.layers = _layers(axis, stage, scale=72 * width / stage.size[0])
        line = (bottom + height + 0.45 * LABEL) / up
        words = partial(figure.text, y=line, s="", fontsize=9, color=INK, va="center")
        margin = 0.06
        self.time = words((left + margin) / across, ha="left")
        self.success = words((left + width - margin) / across, ha="right")

    @property
    def artists(self) -> list[Artist]:
        """All that changes, in the order of drawing."""
        found = [artist for layer in self.layers for artist in layer.artists]
        return [*sorted(found, key=lambda artist: artist.get_zorder()), self.time, self.success]

    def draw(self, index: int) -> None:
        """Put everything where it is in one frame."""
        episode = self.episode
        for layer in self.layers:
            layer.draw(index)
        self.time.set_text(f"t = {index * episode.decision_time:.2f} time units" if episode.decision_time else "")
        if episode.success is not None:
            value = float(episode.success[index])
            # Before the first decision it is unknown.
            self.success.set_text("" if np.isnan(value) else f"{episode.success_name} {100 * value:.0f} %")


def _layers(axis: Axes, stage: Stage, scale: float) -> list[Layer]:
    episode, look, camera = stage.episode, stage.look, stage.camera
    layers: list[Layer] = [Discs(axis, episode, camera, scale, pale=look.forces), Rings(axis, episode, camera)]
    if look.heading:
        layers.append(Headings(axis, episode, camera, scale, pale=look.forces))
    if look.forces:
        layers.append(Forces(axis, camera, stage.contacts, stage.full_force))
    if look.rays is not None:
        layers.append(Rays(axis, episode, camera, look.rays))
    return layers


def _corners(episode: Episode) -> np.ndarray:
    """Return the corners of the box, ``(2, 2, 2, 3)``: low or high along each axis. A floor has no height."""
    low, high = in_space(episode.box_low), in_space(episode.box_high)
    sides = np.stack(np.meshgrid(*[[0, 1]] * 3, indexing="ij"), axis=-1)
    corners: np.ndarray = np.where(sides, high, low)
    return corners


def _extent(episode: Episode, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """Return the corners of the picture: the box, and in space who stands higher than it; with a margin."""
    points = camera.project(_corners(episode).reshape(-1, 3))[:, :2]
    low, high = points.min(0), points.max(0)
    if episode.in_space and len(episode.box_low) == 2:
        seen = camera.project(episode.particles.position)[..., :2]
        radius = episode.particles.radius[..., None]
        low = np.minimum(low, (seen - radius).min((0, 1)))
        high = np.maximum(high, (seen + radius).max((0, 1)))
    margin = 0.015 * (high - low).max()
    return low - margin, high + margin


def _draw_box(axis: Axes, episode: Episode, camera: Camera) -> None:
    """Draw the edges of the box, those in front thinner and above the particles."""
    from matplotlib.collections import LineCollection

    corners = camera.project(_corners(episode))
    depth = corners[..., 2]
    nearest = [int(place) for place in np.unravel_index(np.argmax(depth), depth.shape)]
    whole = episode.in_space and len(episode.box_low) == 3
    back, front = [], []
    for axis_number in range(3 if whole else 2):
        starts, ends = (np.take(corners, side, axis_number).reshape(-1, 3) for side in (0, 1))
        others = [number for number in range(3) if number != axis_number]
        touched = np.array([(a, b) == tuple(nearest[other] for other in others) for a in (0, 1) for b in (0, 1)])
        edges = np.stack([starts, ends], axis=1)[..., :2]
        front += list(edges[touched & whole])
        back += list(edges[~(touched & whole)])
    axis.add_collection(LineCollection(back, colors=GREY, linewidths=1.2, zorder=1, capstyle="round"), autolim=False)
    axis.add_collection(LineCollection(front, colors=GREY, linewidths=0.6, zorder=8, capstyle="round"), autolim=False)
