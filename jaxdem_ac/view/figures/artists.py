"""Layers of a scene, each redrawn for every frame: discs, rings around targets, headings, forces."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from jaxdem_ac.view.episode import FIXED, Episode
from jaxdem_ac.view.figures.camera import Camera, in_space
from jaxdem_ac.view.figures.contacts import Contacts
from jaxdem_ac.view.figures.legend import FADED, WIDEST, disc_color
from jaxdem_ac.view.figures.style import GREEN, INK, ORANGE, Artist, Axes, mixed, rgb

_LIGHT = np.array([-0.6, 0.8])


class Layer(Protocol):
    """A part of a picture that is drawn."""

    @property
    def artists(self) -> Sequence[Artist]:
        """Matplotlib's, below those of the next layer."""

    def draw(self, index: int) -> None:
        """Put everything where it is in one frame."""


class Discs:
    """Particles at their true size; spheres shaded, in the order of their depth."""

    def __init__(self, axis: Axes, episode: Episode, camera: Camera, scale: float, pale: bool) -> None:
        from matplotlib.collections import EllipseCollection

        self.episode, self.camera = episode, camera
        kinds = sorted(set(episode.kinds[episode.kinds >= 0].tolist()))
        self.several = len(kinds) > 1
        self.colors = np.array([rgb(disc_color(int(kind))) for kind in episode.kinds])
        self.pale = FADED if pale else 0.0
        points = float(np.median(episode.particles.radius[0])) * scale
        self.shades = _shades(int(np.clip(points, 3, 9)) if episode.in_space else 1)
        self.width = min(0.8, 0.12 * points)
        self.collection: Any = EllipseCollection(
            [],
            [],
            [],
            units="xy",
            offsets=np.zeros((0, 2)),
            transOffset=axis.transData,
            zorder=3,
            linewidths=self.width,
        )
        axis.add_collection(self.collection, autolim=False)
        self.artists = [self.collection]

    def draw(self, index: int) -> None:
        """Put every particle where it is, the nearest last."""
        episode, particles = self.episode, self.episode.particles
        there, _ = episode.arrived(index)
        seen = self.camera.project(particles.position[index])
        order = np.argsort(seen[:, 2], kind="stable")
        radius, size, shift, tone = particles.radius[index][order], *self.shades.T
        colored = there & (episode.kinds != FIXED) & (not self.several)
        colors = np.where(colored[:, None], rgb(GREEN), self.colors)
        colors = mixed(colors, 1.0, self.pale)[order][:, None]
        shaded = np.where(tone[:, None] < 0, colors * (1 + tone[:, None]), mixed(colors, 1.0, tone[:, None]))
        centre = seen[order, None, :2] + (radius[:, None] * shift)[..., None] * _LIGHT
        diameter = (2 * radius[:, None] * size).ravel()
        self.collection.set_widths(diameter)
        self.collection.set_heights(diameter)
        self.collection.set_angles(0 * diameter)
        self.collection.set_offsets(centre.reshape(-1, 2))
        self.collection.set_facecolor(shaded.reshape(-1, 3))
        # A dark rim marks who is at a target, in print and to every eye. The other rims are white between flat discs;
        # behind a force's line each disc's own.
        there, edges, rim = there[order], shaded.copy(), shaded[:, 0]
        rim = mixed(rim, rgb(INK), 0.35) if self.pale else 0.7 * rim if episode.in_space else np.ones_like(rim)
        edges[:, 0] = np.where(there[:, None], rgb(INK), rim)
        self.collection.set_edgecolor(edges.reshape(-1, 3))
        widths = np.full(shaded.shape[:2], 0.0 if episode.in_space else self.width)
        widths[:, 0] = np.where(there, 2 * self.width, self.width)
        self.collection.set_linewidth(widths.ravel())


class Rings:
    """Targets: dashed, and solid once they are reached. Those on the floor of a space lie on it, below all spheres."""

    def __init__(self, axis: Axes, episode: Episode, camera: Camera) -> None:
        from matplotlib.collections import LineCollection

        self.episode, self.camera = episode, camera
        self.targets = np.zeros((episode.num_frames, 0, 2)) if episode.targets is None else episode.targets
        self.artists: list[Artist] = []
        self.drawn: tuple[np.ndarray, np.ndarray] | None = None
        if not self.targets.shape[1]:
            return
        lies = episode.in_space and self.targets.shape[-1] == 2
        turn = np.linspace(0, 2 * np.pi, 49)
        ring = np.column_stack([np.cos(turn), np.sin(turn)])
        self.ring = camera.project(ring)[:, :2] if lies else ring
        radius = episode.target_radius
        if radius is None:
            radius = np.mean(episode.particles.radius[0], where=episode.kinds >= 0)
        self.radius = np.broadcast_to(radius, self.targets.shape[1:2])
        self.collection: Any = LineCollection([], colors=ORANGE, zorder=2 if lies else 4)
        axis.add_collection(self.collection, autolim=False)
        self.artists.append(self.collection)

    def draw(self, index: int) -> None:
        """Put every ring where its target is; few tasks move them, and rings are slow to make."""
        if not self.artists:
            return
        _, reached = self.episode.arrived(index)
        targets, drawn = self.targets[index], self.drawn
        self.drawn = (targets, reached)
        if drawn is None or not np.array_equal(drawn[0], targets):
            centre = self.camera.project(targets)[:, None, :2]
            self.collection.set_segments(list(centre + self.radius[:, None, None] * self.ring))
        if drawn is not None and np.array_equal(drawn[1], reached):
            return
        self.collection.set_linestyle(["-" if is_reached else (0, (3.0, 2.0)) for is_reached in reached])
        self.collection.set_linewidth(np.where(reached, 1.8, 1.1))


class Headings:
    """A line from each centre to the rim, along the orientation or the velocity; none for who rests."""

    def __init__(self, axis: Axes, episode: Episode, camera: Camera, scale: float, pale: bool) -> None:
        from matplotlib.lines import Line2D

        self.episode, self.camera = episode, camera
        speed = np.linalg.norm(episode.particles.velocity, axis=-1)[:, episode.kinds != FIXED]
        self.rest = 0.02 * float(np.quantile(speed, 0.95)) if speed.size else 0.0
        width = min(1.6, 0.25 * float(np.median(episode.particles.radius[0])) * scale)
        colors = [disc_color(int(kind)) for kind in episode.kinds]
        # White or dark ink, whichever is easier to see on a disc.
        bright = {color: rgb(color) @ [0.2126, 0.7152, 0.0722] >= 0.5 for color in colors}
        self.colors = np.array([color if pale else INK if bright[color] else "#FFFFFF" for color in colors])
        # One broken line for each colour: a collection of lines would take ten times as long.
        self.lines = {
            color: Line2D([], [], color=color, linewidth=width, zorder=5, solid_capstyle="butt")
            for color in sorted(set(self.colors))
        }
        for line in self.lines.values():
            axis.add_line(line)
        self.artists = list(self.lines.values())

    def draw(self, index: int) -> None:
        """Turn every line to where its particle goes."""
        episode, particles = self.episode, self.episode.particles
        position, radius = in_space(particles.position[index]), particles.radius[index]
        way, shown = self._ways(index)
        shown = shown & (episode.kinds != FIXED)
        centre = self.camera.project(position)
        if episode.in_space:
            shown = shown & ~_hidden(centre, radius)
        tip = centre + self.camera.project(way) * radius[:, None]
        broken = np.stack([centre, tip, np.full_like(tip, np.nan)], axis=1)[..., :2]
        for color, line in self.lines.items():
            points = broken[shown & (self.colors == color)].reshape(-1, 2)
            line.set_data(points[:, 0], points[:, 1])

    def _ways(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return unit vectors, ``(B, dim)``, and who has one, ``(B,)``."""
        if self.episode.orientation is not None:
            angle = self.episode.orientation[index]
            return np.column_stack([np.cos(angle), np.sin(angle)]), np.isfinite(angle)
        velocity = self.episode.particles.velocity[index]
        speed = np.linalg.norm(velocity, axis=-1)
        return velocity / np.where(speed > 0, speed, 1.0)[:, None], speed > self.rest


class Forces:
    """Contact forces as lines whose width is proportional to them; the scale stands in the legend."""

    def __init__(self, axis: Axes, camera: Camera, contacts: dict[int, Contacts], full: float) -> None:
        from matplotlib.collections import LineCollection

        self.camera, self.contacts, self.full = camera, contacts, full
        self.collection: Any = LineCollection([], colors=INK, zorder=6, capstyle="round")
        axis.add_collection(self.collection, autolim=False)
        self.artists = [self.collection]

    def draw(self, index: int) -> None:
        """Draw the contacts of one frame."""
        found = self.contacts[index]
        self.collection.set_segments(list(self.camera.project(found.lines)[..., :2]))
        share = found.force / (self.full or 1.0)
        self.collection.set_linewidth(WIDEST * np.minimum(share, 1.5))


def nice(values: np.ndarray) -> float:
    """Return 1, 2 or 5 times a power of ten near what 95 % of the values stay below; 0 where there is none."""
    if not values.size:
        return 0.0
    top = float(np.quantile(values, 0.95))
    power = 10.0 ** np.floor(np.log10(top))
    return float(power * max(step for step in (1, 2, 5) if step <= top / power + 1e-9))


def _shades(num: int) -> np.ndarray:
    """Return the discs in each other as which a sphere is drawn, ``(num, 3)``, from its dark rim to the light.

    How large each is and how far it is shifted, in radii, and how much darker (below 0) or lighter. One alone is flat.
    """
    if num == 1:
        return np.array([[1.0, 0.0, 0.0]])
    step = np.linspace(0.0, 1.0, num)
    return np.column_stack([1.0 - 0.85 * step, 0.36 * step, -0.32 + 0.85 * step**1.3])


def _hidden(seen: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """Return whose centre a nearer sphere covers, ``(B,)``."""
    from scipy.spatial import cKDTree

    pairs = cKDTree(seen[:, :2]).query_pairs(float(radius.max()), output_type="ndarray")
    both = np.concatenate([pairs, pairs[:, ::-1]])
    behind, before = both.T
    covers = np.linalg.norm(seen[behind, :2] - seen[before, :2], axis=-1) < radius[before]
    hidden = np.zeros(len(seen), bool)
    hidden[behind[covers & (seen[before, 2] > seen[behind, 2])]] = True
    return hidden
