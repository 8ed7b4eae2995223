"""Policies that go on in the page: a task's numbers, a network's weights, and how an episode begins."""

import base64
import json
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxdem_ac._types import Json
from jaxdem_ac.action_spaces.box import Box
from jaxdem_ac.action_spaces.free import Free
from jaxdem_ac.action_spaces.max_norm import MaxNorm
from jaxdem_ac.environments.base import Environment
from jaxdem_ac.environments.tasks.multi_navigator import MultiNavigator
from jaxdem_ac.environments.tasks.navigator import Navigator
from jaxdem_ac.environments.tasks.swarm_navigator import SwarmNavigator
from jaxdem_ac.models.actor_critic import ActorCritic, SharedActorCritic
from jaxdem_ac.models.heads import Dense, activation_name
from jaxdem_ac.models.symmetric import SymmetricActorCritic, mirrored, mirrored_heads, parity
from jaxdem_ac.runs.recording import Recording
from jaxdem_ac.trainers.policy import Policy

TASKS = (SwarmNavigator, MultiNavigator)
MODELS = (SymmetricActorCritic, SharedActorCritic, ActorCritic)
ACTION_SPACES = (MaxNorm, Box, Free)
# Fields of a task that the page knows under the same names.
_NUMBERS = ("observe_sizes", "lidar_range", "physics_steps", "dt", "stiffness")


class CannotPlayError(ValueError):
    """A policy that the page cannot play; its text says why, as the end of a sentence."""


def live_of(recording: Recording, environment: Environment | None, policy: object, *, again: bool, room: float) -> Json:
    """Return the data that a page plays an episode on with, or the end of a sentence that says why it cannot.

    The environment is None where it is not known any more, the policy in a recording from a file. With `again` the page
    has the policy's weights already; `room` is how many bytes the data may take.
    """
    try:
        network, played = network_of(policy), beginning(recording, environment)
    except CannotPlayError as error:
        return str(error)
    if len(json.dumps([network, played])) > room:
        return "its weights do not fit beside the episodes"
    return played if again else {**played, "network": network}


def beginning(recording: Recording, environment: Environment | None) -> dict[str, Json]:
    """Return a task's numbers, and the first frame of an episode in full single precision.

    Raises CannotPlayError if the page does not know the task.
    """
    if not isinstance(environment, Navigator) or type(environment) not in TASKS:
        name = "this task" if environment is None else type(environment).__name__
        raise CannotPlayError(f"it knows {_named(TASKS)}, and not {name}")
    shared, particles = isinstance(environment, SwarmNavigator), recording.particles
    first = (particles.position, particles.velocity, particles.force, recording.targets)
    sizes = (particles.radius, particles.mass)
    task = {
        "shared": shared,
        "velocity": 0 if shared else 4,
        "observed": environment.observation_size,
        "sectors": environment.n_lidar_rays,
        "drag": environment.friction,
        **{name: getattr(environment, name) for name in _NUMBERS},
    }
    return {"task": task, "start": [_encoded([each[0]]) for each in (*first, *sizes)]}


def network_of(policy: object) -> dict[str, Json]:
    """Return the network that a policy's mean action comes from, with its weights in single precision.

    Raises CannotPlayError if the page does not know the model, its action space or its activation.
    """
    if not isinstance(policy, Policy):
        raise CannotPlayError("a recording holds no policy" if policy is None else "a function has no weights")
    model = policy.model
    if type(model) not in MODELS:
        raise CannotPlayError(f"it knows {_named(MODELS)}, and not {type(model).__name__}")
    assert isinstance(model, MODELS)
    space = model.action_space
    if type(space) not in ACTION_SPACES or model.compute_dtype is not None:
        got = f"computes in {model.compute_dtype}" if space is not None else "is discrete"
        got = f"acts in {type(space).__name__}" if space is not None and model.compute_dtype is None else got
        raise CannotPlayError(f"it knows {_named(ACTION_SPACES)} in full precision, and this policy {got}")
    assert isinstance(space, ACTION_SPACES)
    try:
        activation = activation_name(model.activation).rpartition(".")[2]
    except TypeError:
        raise CannotPlayError("it does not know the network's activation") from None
    normalizer = None
    if policy.normalizer is not None:
        mean, std = (np.asarray(each, float).tolist() for each in (policy.normalizer.mean, policy.normalizer.std))
        normalizer = {"mean": mean, "std": std}
    # In single precision a space keeps clear of its bound by 8 roundings at least.
    keywords = {**space.metadata}
    if isinstance(space, MaxNorm):
        keywords["eps"] = max(space.eps, 8 * 2.0**-23)
    shape, weights = _symmetric(model) if isinstance(model, SymmetricActorCritic) else _dense(model)
    return {
        **shape,
        "activation": activation,
        "action_space": type(space).__name__,
        "action_space_kw": keywords,
        "normalizer": normalizer,
        "weights": _encoded(weights),
    }


def _dense(model: SharedActorCritic | ActorCritic) -> tuple[dict[str, Json], list[Array]]:
    torso = model.network if isinstance(model, SharedActorCritic) else model.actor_torso
    layers = [layer for layer in (*torso.layers, model.actor_mu) if isinstance(layer, Dense)]
    widths = [model.observation_space_size, *(layer.out_features for layer in layers)]
    weights = [array[...] for layer in layers for array in (layer.kernel, layer.bias) if array is not None]
    return {"kind": "dense", "widths": widths}, weights


def _symmetric(model: SymmetricActorCritic) -> tuple[dict[str, Json], list[Array]]:
    """Return the shape and the weights, a kernel and its mirror image side by side."""
    if model.action_kind != "vector" or any(block.kind == "axial" for block in model.layout):
        raise CannotPlayError("it knows forces and velocities, and this policy turns something")
    taps, copies = np.arange(model.num_sectors), model.num_copies
    first = model.first[...]
    signs = jnp.asarray(parity(model.layout), first.dtype)[:, None]
    weights = [jnp.concatenate([first, first[-taps] * signs][:copies], axis=-1)]
    weights.append(jnp.tile(model.biases[0][...], copies))
    for own, pool, bias in zip(model.own, model.pool, model.biases[1:], strict=True):
        weights += [mirrored(own[...]), mirrored(pool[...]), jnp.tile(bias[...], copies)]
    # A sum of weights does not fit into single precision.
    with jax.enable_x64(True):
        heads = np.asarray(mirrored_heads(model.mean[...].astype(float))).tolist()
    shape: dict[str, Json] = {
        "kind": "symmetric",
        "sectors": model.num_sectors,
        "channels": first.shape[1],
        "blocks": [[block.name, block.kind, block.size] for block in model.layout],
        "widths": [copies * width for width in model.architecture],
        "heads": heads,
    }
    return shape, weights


def _encoded(arrays: Sequence[Array]) -> str:
    """Return numbers after each other as single precision, little-endian, in base64."""
    return base64.b64encode(b"".join(np.asarray(array).astype("<f4").tobytes() for array in arrays)).decode()


def _named(classes: Sequence[type]) -> str:
    return ", ".join(cls.__name__ for cls in classes[:-1]) + f" and {classes[-1].__name__}"
