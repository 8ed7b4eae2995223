"""Particle-swarm environments: a simulation, sensors and a reward; one task per file."""

from typing import TYPE_CHECKING

from jaxdem_ac.registry import environments

if TYPE_CHECKING:
    from jaxdem_ac.environments.base import Environment


def make_environment(name: str, /, **keywords: object) -> "Environment":
    """Return the environment registered under `name`, built with the keywords.

    Names are matched without regard to case, ``_``, ``-`` and spaces: ``"swarm_navigator"``, or a plugin's. For
    keywords see :class:`~jaxdem_ac.environments.tasks.swarm_navigator.SwarmNavigator`. Raises KeyError if there is no
    such name, and gives the nearest; TypeError if the class has no such keyword; ValueError if a value is out of its
    range.
    """
    return environments.create(name, **keywords)
