"""Particle-swarm environments: a simulation, sensors and a reward; one task per file."""

from typing import TYPE_CHECKING

from jaxdem_ac.registry import environments

if TYPE_CHECKING:
    from jaxdem_ac.environments.base import Environment


def make_environment(name: str, /, **keywords: object) -> "Environment":
    """Return the environment registered under `name`.

    Parameters
    ----------
    name : str
        ``"swarm_navigator"`` or a plugin's, matched without regard to case, ``_``, ``-`` and spaces.
    **keywords
        What the class takes: see :class:`~jaxdem_ac.environments.tasks.swarm_navigator.SwarmNavigator`.

    Returns
    -------
    Environment

    Raises
    ------
    KeyError
        If there is no such name; the message gives the nearest.
    TypeError
        If the class has no such keyword.
    ValueError
        If a value is out of its range.
    """
    return environments.create(name, **keywords)
