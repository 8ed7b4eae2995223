"""Options of a picture: its contents and its style."""

import math
from dataclasses import dataclass
from typing import Literal, Self

from jaxdem_ac._checks import as_real, check_count, check_flag
from jaxdem_ac.registry import check_keywords
from jaxdem_ac.view.figures.camera import ABOVE, Camera

LONGEST_FILM = 150
"""Frames, where nobody asks for more: a film of seven seconds."""


@dataclass(frozen=True)
class Look:
    """The options of a picture."""

    heading: bool = True
    """Whether a line from the centre to the rim shows where a particle goes, unless it rests."""
    forces: bool = False
    """Whether contact forces are shown, as wide as they are large."""
    rays: int | Literal["all"] | None = None
    """Particles whose lidar is shown: one by its number, or all."""
    every: int | None = None
    """Every how many decisions a frame is drawn; if left out a long film is thinned out to 150 frames."""
    fps: float = 20.0
    """Frames of a film in a second."""
    size: int = 600
    """Width of a film, pixels."""
    frames: int = 3
    """Moments in a strip, from the first to the last."""
    elevation: float = 35.0
    """Elevation of the camera above the floor, degrees; 90 looks down. In the plane there is no choice."""
    azimuth: float = -60.0
    """Azimuth of the camera around the vertical, degrees."""

    @classmethod
    def of(cls, **options: object) -> Self:
        """Return checked options; raise TypeError for one that there is not."""
        check_keywords("render", cls, options)
        return cls(**options)  # type: ignore[arg-type]

    def __post_init__(self) -> None:
        """Check every field, once."""
        for name in ("heading", "forces"):
            check_flag("render", name, getattr(self, name))
        for name, least in (("every", 1), ("size", 64), ("frames", 1)):
            value = getattr(self, name)
            if name == "every" and value is None:
                continue
            check_count("render", name, value, least)
        fps, elevation, azimuth = map(as_real, (self.fps, self.elevation, self.azimuth))
        if fps is None or not 0 < fps <= 100:
            raise ValueError(f"render: fps is above 0 and at most 100; got fps={self.fps!r}. Set it inside.")
        if elevation is None or not -90 <= elevation <= 90:
            raise ValueError(f"render: elevation is in [-90, 90]; got elevation={self.elevation!r}. Set it inside.")
        if azimuth is None or not math.isfinite(azimuth):
            raise ValueError(f"render: azimuth is a number of degrees; got azimuth={self.azimuth!r}. Set one.")
        whole = isinstance(self.rays, int) and not isinstance(self.rays, bool)
        if self.rays is not None and self.rays != "all" and not whole:
            raise ValueError(f"render: rays are of a particle's number, or 'all'; got rays={self.rays!r}. Give one.")

    def camera(self, in_space: bool) -> Camera:
        """Return where a picture is taken from."""
        return Camera(self.elevation, self.azimuth) if in_space else ABOVE
