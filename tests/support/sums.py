"""Sums over particles that a simulation keeps."""

import numpy as np

from jaxdem_ac.dem import Particles


def momentum(particles: Particles) -> np.ndarray:
    """Return the momentum of all particles together, ``(dim,)``."""
    return np.sum(np.asarray(particles.mass)[:, None] * np.asarray(particles.velocity), axis=0)
