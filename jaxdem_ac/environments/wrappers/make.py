"""Doors for the trainers of others: an environment as PettingZoo's and as gymnasium's classes."""

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from jaxdem_ac._checks import check_flag, check_function
from jaxdem_ac.environments.base import Environment
from jaxdem_ac.environments.checks import check_whole
from jaxdem_ac.environments.wrappers.host_vector_env import Draw, HostVectorEnv, action_bounds
from jaxdem_ac.registry import environments

if TYPE_CHECKING:
    from gymnasium.vector import AutoresetMode

    from jaxdem_ac.environments.wrappers.gymnasium_env import SwarmEnv
    from jaxdem_ac.environments.wrappers.gymnasium_vector_env import VectorSwarm
    from jaxdem_ac.environments.wrappers.pettingzoo_env import ParallelSwarm


def make_parallel_env(
    environment: str | Environment,
    /,
    *,
    action_space: object = "MaxNorm",
    action_space_kw: Mapping[str, object] | None = None,
    advised: bool = True,
    draw: Draw | None = None,
    **keywords: object,
) -> "ParallelSwarm":
    """Return an environment as a ``pettingzoo.ParallelEnv``: its particles are the agents.

    Raises ImportError if the library is not installed, and says how to get it; KeyError, TypeError or ValueError if a
    name is unknown, a keyword does not fit, or an action space is none that gymnasium has spaces for.

    Parameters
    ----------
    environment : str or Environment
        A name, as :func:`~jaxdem_ac.environments.make_environment` takes it, or an environment that has been made.
    action_space : str or ActionSpace
        Which actions are allowed: ``"MaxNorm"``, a ball, which is the default of ``ac.train`` too; ``"Box"``;
        ``"Free"``; or ``"Discrete"``, the number of one of its actions. gymnasium has no ball: an action in a corner of
        the box around it is shortened to it, its direction kept. What is outside of the box is refused.
    action_space_kw : mapping, optional
        Keywords of an action space given by its name; what is not here the environment advises.
    advised : bool
        Whether a name is taken with the keywords that its environment advises for training, `training_defaults`, where
        `keywords` say nothing else: what ``ac.train`` does. If False, with the defaults of its constructor.
    draw : callable, optional
        What `render` returns: a function of an environment and the state of its swarm to a picture.
    **keywords
        Of an environment given by its name.
    """
    here, chosen = "make_parallel_env", (action_space, action_space_kw, advised)
    wrapper: type[ParallelSwarm] = _wrapper(here, "pettingzoo_env.ParallelSwarm")
    return wrapper(_swarms(here, environment, 1, chosen, keywords, draw), draw)


def make_vector_env(
    environment: str | Environment,
    /,
    num_envs: int = 1,
    *,
    view: str = "particle",
    autoreset_mode: "str | AutoresetMode" = "SameStep",
    action_space: object = "MaxNorm",
    action_space_kw: Mapping[str, object] | None = None,
    advised: bool = True,
    **keywords: object,
) -> "VectorSwarm":
    """Return E swarms side by side as a ``gymnasium.vector.VectorEnv``, for trainers that know one agent.

    Errors and all other parameters are those of :func:`make_parallel_env`; ValueError, too, for another `num_envs`,
    `view` or `autoreset_mode` than these.

    Parameters
    ----------
    num_envs : int
        E, how many swarms, as everywhere in this package.
    view : str
        ``"particle"``: each particle is a sub-environment, E * N in all, the particles of the first swarm first; a
        trainer learns one policy that all share. ``"swarm"``: each swarm is one, its observation ``(N * O,)``, its
        action ``(N * D,)``, its reward the mean over the particles.
    autoreset_mode : str or gymnasium.vector.AutoresetMode
        ``"SameStep"``: the step that ends an episode returns the next one's first observation, and the last one in
        ``infos["final_obs"]``. ``"NextStep"``: the step after it resets, and its action does not count.
    """
    here, chosen = "make_vector_env", (action_space, action_space_kw, advised)
    wrapper: type[VectorSwarm] = _wrapper(here, "gymnasium_vector_env.VectorSwarm")
    return wrapper(_swarms(here, environment, num_envs, chosen, keywords), view, autoreset_mode)


def make_gym_env(
    environment: str | Environment,
    /,
    *,
    action_space: object = "MaxNorm",
    action_space_kw: Mapping[str, object] | None = None,
    advised: bool = True,
    draw: Draw | None = None,
    **keywords: object,
) -> "SwarmEnv":
    """Return one swarm as a ``gymnasium.Env`` with one agent, who sees and moves all particles.

    Its observation is ``(N * O,)``, its action ``(N * D,)``, its reward the mean over the particles. With one particle,
    ``num_particles=1``, that is the particle's own task.

    Parameters
    ----------
    environment, action_space, action_space_kw, advised, draw, **keywords
        As in :func:`make_parallel_env`.

    Returns
    -------
    SwarmEnv

    Raises
    ------
    ImportError
        If gymnasium is not installed; the message says how to get it.
    KeyError, TypeError, ValueError
        As in :func:`make_parallel_env`.
    """
    here, chosen = "make_gym_env", (action_space, action_space_kw, advised)
    wrapper: type[SwarmEnv] = _wrapper(here, "gymnasium_env.SwarmEnv")
    return wrapper(_swarms(here, environment, 1, chosen, keywords, draw), draw)


def _swarms(
    where: str,
    environment: str | Environment,
    num_envs: int,
    chosen: tuple[object, Mapping[str, object] | None, bool],
    keywords: Mapping[str, object],
    draw: Draw | None = None,
) -> HostVectorEnv:
    """Return the swarms behind a wrapper, from its options."""
    check_whole(where, num_envs=num_envs)
    action_space, action_space_kw, advised = chosen
    check_flag(where, "advised", advised)
    if draw is not None:
        check_function(where, "draw", draw, "environment", "state")
    if action_space_kw is not None and not isinstance(action_space_kw, Mapping):
        raise TypeError(
            f"{where}: action_space_kw is a dict of keywords; got action_space_kw={action_space_kw!r:.60}. Pass one."
        )
    if isinstance(environment, str):
        # What makes a host's environment advises nothing.
        advice = getattr(environments.get(environment), "training_defaults", {}) if advised else {}
        environment = environments.create(environment, **{**advice, **keywords})
    elif keywords:
        raise TypeError(
            f"{where}: keywords go with the name of an environment; got {', '.join(keywords)} with a "
            f"{type(environment).__name__}. Set them where it is made."
        )
    if not isinstance(environment, Environment):
        raise TypeError(
            f"{where}: an environment is a name or a jaxdem_ac.environments.base.Environment; got a "
            f"{type(environment).__name__}. Make one with make_environment(name, ...)."
        )
    return HostVectorEnv(environment, num_envs, action_bounds(where, environment, action_space, action_space_kw or {}))


def _wrapper(where: str, path: str) -> Any:
    """Return a class of this folder, whose library may not be installed; the message says how to get it."""
    module, _, name = path.partition(".")
    try:
        return getattr(importlib.import_module(f"jaxdem_ac.environments.wrappers.{module}"), name)
    except ImportError as error:
        if error.name is None or error.name.partition(".")[0] not in ("gymnasium", "pettingzoo"):
            raise
        raise ImportError(
            f'{where}: it needs {error.name}, which is not installed: pip install "jaxdem-ac[gym]".'
        ) from None
