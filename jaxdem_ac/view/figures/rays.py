"""Lidars: what a particle senses in each of its sectors."""

from typing import Literal

import numpy as np

from jaxdem_ac.environments.sensing.lidar import Channel
from jaxdem_ac.view.episode import Episode
from jaxdem_ac.view.figures.camera import Camera, in_space
from jaxdem_ac.view.figures.style import INK, RAYS, Artist, Axes, Line2D

_ARC = 9


class Rays:
    """Rays of a lidar: one for each sector that senses something, ending in an arc at the distance it senses.

    One particle alone is marked by a ring. Where in the sector the thing is the lidar does not know, and the arc spans
    it all.
    """

    def __init__(self, axis: Axes, episode: Episode, camera: Camera, which: int | Literal["all"]) -> None:
        from matplotlib.collections import LineCollection
        from matplotlib.lines import Line2D

        self.episode, self.camera = episode, camera
        self.sensors = sensors_of(episode, which)
        alpha = 1.0 if len(self.sensors) == 1 else 0.5
        self.lidars: list[LineCollection] = []
        for number in range(len(episode.lidars)):
            lines = LineCollection([], colors=RAYS[number % len(RAYS)], alpha=alpha, zorder=7, capstyle="round")
            axis.add_collection(lines, autolim=False)
            self.lidars.append(lines)
        self.mark = axis.add_line(Line2D([], [], color=INK, linewidth=1.6, zorder=8)) if which != "all" else None
        self.artists: list[Artist] = [*self.lidars, *([self.mark] if self.mark is not None else [])]

    def draw(self, index: int) -> None:
        """Draw what is sensed in one frame; a recording does not hold what its last frame sees."""
        assert self.episode.observation is not None
        if self.mark is not None:
            self._surround(self.mark, self.sensors[0], index)
        if index >= len(self.episode.observation):
            for lines in self.lidars:
                lines.set_segments([])
            return
        observation = self.episode.observation[index]
        frame = self.episode.frame(index)
        for number, (channel, lines) in enumerate(zip(self.episode.lidars, self.lidars, strict=True)):
            shares = (number + 1) / (len(self.lidars) + 1)
            rays, arcs = [], []
            for sensor in self.sensors:
                centre = in_space(frame.position[sensor])
                found = sensed(channel, observation[sensor], float(frame.radius[sensor]), shares)
                if channel.turns:
                    assert self.episode.orientation is not None
                    ahead = _polar(np.ones(()), self.episode.orientation[index, sensor])
                    found = tuple(each @ np.array([ahead, [-ahead[1], ahead[0]]]) for each in found)
                rays += [self._seen(centre, line) for line in found[0]]
                arcs += [self._seen(centre, line) for line in found[1]]
            lines.set_segments(rays + arcs)
            lines.set_linewidth([0.7] * len(rays) + [2.2] * len(arcs))

    def _surround(self, mark: Line2D, sensor: int, index: int) -> None:
        """Put a ring around a particle, at a little distance: to touch it would be the rim of who is at a target."""
        frame = self.episode.frame(index)
        centre = self.camera.project(in_space(frame.position[sensor]))[..., :2]
        turn = np.linspace(0, 2 * np.pi, 49)
        mark.set_data(*(centre + 1.35 * frame.radius[sensor] * _polar(np.ones(()), turn)).T)

    def _seen(self, centre: np.ndarray, line: np.ndarray) -> np.ndarray:
        return self.camera.project(centre + in_space(line))[:, :2]


def sensors_of(episode: Episode, which: int | Literal["all"]) -> list[int]:
    """Return the particles whose lidar is drawn, by number; ValueError if there is no lidar, or no such particle."""
    if not episode.lidars or episode.observation is None:
        raise ValueError(
            "render: rays are those of a task that says where in an observation its lidars stand; got one that does "
            "not. Leave out rays, or give the environment a property `lidars`."
        )
    if episode.orientation is None and any(channel.turns for channel in episode.lidars):
        raise ValueError(
            "render: a lidar that turns is drawn with the orientation of its particle; got an episode without, as a "
            "recording is. Leave out rays, or render the run."
        )
    num = episode.observation.shape[1]
    if which == "all":
        return list(range(num))
    if not 0 <= which < num:
        raise ValueError(f"render: rays are of a particle from 0 to {num - 1}; got rays={which}. Choose one of them.")
    return [which]


def sensed(
    channel: Channel, observation: np.ndarray, radius: float, share: float = 0.5
) -> tuple[np.ndarray, np.ndarray]:
    """Return the rays and the arcs of one lidar, about its particle: ``(K, 2, 2)`` and ``(K, 9, 2)``, length.

    The observation, ``(O,)``, is of one particle, and rays begin at `radius`, length. `share` says where in its sector
    a ray is, from 0 to 1: those of two lidars should not hide each other.
    """
    reading = observation[channel.start : channel.start + channel.num_bins]
    sectors = np.flatnonzero(reading > 0)
    distance = channel.lidar_range * (1 - reading[sectors])
    step = 2 * np.pi / channel.num_bins
    middle = -np.pi + step * (sectors + share)
    ends = np.stack([np.minimum(radius, distance), distance], axis=1)
    along = -np.pi + step * (sectors[:, None] + np.linspace(0.06, 0.94, _ARC))
    return _polar(ends, middle[:, None]), _polar(distance[:, None], along)


def _polar(distance: np.ndarray, angle: np.ndarray) -> np.ndarray:
    distance, angle = np.broadcast_arrays(distance, angle)
    return np.stack([distance * np.cos(angle), distance * np.sin(angle)], axis=-1)
