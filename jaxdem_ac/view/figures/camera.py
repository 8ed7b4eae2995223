"""Camera without perspective, so that sizes stay true."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Camera:
    """An orthographic camera; a plane is seen from above."""

    elevation: float
    """Angle above the plane of x and y, degrees."""
    azimuth: float
    """Around the last axis, from x towards y, degrees."""

    @property
    def axes(self) -> np.ndarray:
        """Unit vectors to the right, up, and towards the camera, ``(3, 3)``, a row each."""
        tilt, turn = np.radians([self.elevation, self.azimuth])
        up, ahead = np.sin(tilt), np.cos(tilt)
        return np.array(
            [
                [-np.sin(turn), np.cos(turn), 0.0],
                [-up * np.cos(turn), -up * np.sin(turn), ahead],
                [ahead * np.cos(turn), ahead * np.sin(turn), up],
            ]
        )

    def project(self, points: np.ndarray) -> np.ndarray:
        """Return points or vectors ``(..., 2 or 3)`` as they are seen, ``(..., 3)``: right, up, and how near."""
        return in_space(points) @ self.axes.T


ABOVE = Camera(90.0, -90.0)


def in_space(points: np.ndarray) -> np.ndarray:
    """Return points ``(..., 2 or 3)`` with three coordinates, those of a plane at height 0."""
    if points.shape[-1] == 3:
        return points
    return np.concatenate([points, np.zeros_like(points[..., :1])], axis=-1)
