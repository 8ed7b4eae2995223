"""Alias of :class:`jaxdem_ac.environments.testing.RandomEnvironment` for one version."""

import warnings

from jaxdem_ac.environments.testing.toys import RandomEnvironment as Noise
from jaxdem_ac.environments.testing.toys import RandomState as NoiseState

__all__ = ["Noise", "NoiseState"]

warnings.warn(
    "jaxdem_ac.bench.noise has moved, and goes in the next version. "
    "Import RandomEnvironment from jaxdem_ac.environments.testing.",
    DeprecationWarning,
    stacklevel=2,
)
