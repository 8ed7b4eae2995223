"""Actor-critic policies for particle swarms: a plugin for JaxDEM that also runs without it.

Nothing heavy is imported here: names are loaded when they are first used.
"""

import importlib
from typing import TYPE_CHECKING

from jaxdem_ac.plugin import discovery as _discovery
from jaxdem_ac.plugin import names as _names
from jaxdem_ac.plugin import references as _references
from jaxdem_ac.plugin import registration as _registration

if TYPE_CHECKING:
    from jaxdem_ac import dem as dem
    from jaxdem_ac import verify as verify
    from jaxdem_ac.action_spaces import make_action_space as make_action_space
    from jaxdem_ac.environments import make_environment as make_environment
    from jaxdem_ac.environments.baselines import oracle_policy as oracle_policy
    from jaxdem_ac.environments.baselines import scripted_policy as scripted_policy
    from jaxdem_ac.environments.wrappers.make import make_gym_env as make_gym_env
    from jaxdem_ac.environments.wrappers.make import make_parallel_env as make_parallel_env
    from jaxdem_ac.environments.wrappers.make import make_vector_env as make_vector_env
    from jaxdem_ac.models import make_model as make_model
    from jaxdem_ac.plugin.references import trust as trust
    from jaxdem_ac.plugin.registration import register as register
    from jaxdem_ac.registry import list_action_spaces as list_action_spaces
    from jaxdem_ac.registry import list_algorithms as list_algorithms
    from jaxdem_ac.registry import list_environments as list_environments
    from jaxdem_ac.registry import list_models as list_models
    from jaxdem_ac.runs.checkpoint import load_policy as load_policy
    from jaxdem_ac.runs.config import TrainConfig as TrainConfig
    from jaxdem_ac.runs.recording import Recording as Recording
    from jaxdem_ac.runs.seeds import evaluate_run as evaluate_run
    from jaxdem_ac.runs.train import TrainResult as TrainResult
    from jaxdem_ac.runs.train import resume as resume
    from jaxdem_ac.runs.train import train as train
    from jaxdem_ac.trainers.evaluate import evaluate as evaluate
    from jaxdem_ac.trainers.ppo.config import PPOConfig as PPOConfig
    from jaxdem_ac.trainers.rollout import Trajectory as Trajectory
    from jaxdem_ac.trainers.rollout import rollout as rollout
    from jaxdem_ac.view.render import render as render

__version__ = "0.1.0"

_HOMES = {
    "PPOConfig": "jaxdem_ac.trainers.ppo.config",
    "Recording": "jaxdem_ac.runs.recording",
    "TrainConfig": "jaxdem_ac.runs.config",
    "TrainResult": "jaxdem_ac.runs.train",
    "Trajectory": "jaxdem_ac.trainers.rollout",
    "evaluate": "jaxdem_ac.trainers.evaluate",
    "evaluate_run": "jaxdem_ac.runs.seeds",
    "list_action_spaces": "jaxdem_ac.registry",
    "list_algorithms": "jaxdem_ac.registry",
    "list_environments": "jaxdem_ac.registry",
    "list_models": "jaxdem_ac.registry",
    "load_policy": "jaxdem_ac.runs.checkpoint",
    "make_action_space": "jaxdem_ac.action_spaces",
    "make_environment": "jaxdem_ac.environments",
    "make_gym_env": "jaxdem_ac.environments.wrappers.make",
    "make_model": "jaxdem_ac.models",
    "make_parallel_env": "jaxdem_ac.environments.wrappers.make",
    "make_vector_env": "jaxdem_ac.environments.wrappers.make",
    "oracle_policy": "jaxdem_ac.environments.baselines",
    "register": "jaxdem_ac.plugin.registration",
    "render": "jaxdem_ac.view.render",
    "resume": "jaxdem_ac.runs.train",
    "rollout": "jaxdem_ac.trainers.rollout",
    "scripted_policy": "jaxdem_ac.environments.baselines",
    "train": "jaxdem_ac.runs.train",
    "trust": "jaxdem_ac.plugin.references",
}

# Rooms that are public as a whole.
_ROOMS = ("dem", "verify")

__all__ = ["__version__", *_ROOMS, *_HOMES]


def __getattr__(name: str) -> object:
    """Load a public name on first use (PEP 562)."""
    if name in _ROOMS:
        value: object = importlib.import_module(f"jaxdem_ac.{name}")
    elif name in _HOMES:
        value = getattr(importlib.import_module(_HOMES[name]), name)
    else:
        raise AttributeError(f"module 'jaxdem_ac' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(__all__)


_discovery.install()
_names.install()
_references.install()
_registration.install_hook()
