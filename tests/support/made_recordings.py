"""Recordings made up of random numbers, of any size and at once."""

from typing import Any

import numpy as np

from jaxdem_ac import Recording
from jaxdem_ac.dem import Particles, World


def made_recording(
    num: int = 5, decisions: int = 6, observed: int = 4, *, dim: int = 2, seed: int = 0, **changes: Any
) -> Recording:
    """Return walks with small steps, and numbers without any pattern, which nothing makes shorter."""
    random = np.random.default_rng(seed)
    frames = decisions + 1
    size = 3.0 * num**0.5
    walk = random.normal(0, 0.1, (frames, num, dim)).cumsum(axis=0, dtype=np.float32)
    position = (random.uniform(0, size, (num, dim)) + walk).astype(np.float32)
    spin = np.zeros((frames, num, 1 if dim == 2 else 3), np.float32)
    one = np.ones((frames, num), np.float32)
    particles = Particles(
        position, 0 * position, 0 * position, one, one, spin, spin, np.zeros((frames, num), bool)
    )  # fmt: skip
    fields: dict[str, Any] = {
        "env": "made_up",
        "env_kw": {},
        "seed": seed,
        "decision_time": 0.1,
        "particles": particles,
        "world": World.create([0.0] * dim, [size] * dim),
        "targets": np.tile(position[-1:, : num // 2], (frames, 1, 1)),
        "observation": random.random((decisions, num, observed), np.float32),
        "action": random.normal(size=(decisions, num, 2)).astype(np.float32),
        "reward": random.normal(size=(decisions, num)).astype(np.float32),
        "value": random.normal(size=(decisions, num)).astype(np.float32),
        "success": np.linspace(0, 1, decisions, dtype=np.float32),
    }
    return Recording(**{**fields, **changes})
