"""Our environments as JaxDEM's: one adapter, made from any environment of ours."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache

import jax
import jax.numpy as jnp
from jax import Array

from jaxdem_ac._types import PyTree
from jaxdem_ac.dem.world import World
from jaxdem_ac.environments.base import Environment
from jaxdem_ac.plugin.jaxdem import NativeEnvironment, import_host
from jaxdem_ac.plugin.state import as_state, as_system
from jaxdem_ac.registry import check_keywords

OWN_CLASS = "own_class"


def environment_class(name: str, bases: tuple[type, ...], members: dict[str, object]) -> type:
    """Return a class of JaxDEM environments, a pytree whose structure differs from that of every other class.

    The first of `bases` is an environment of JaxDEM; the ``__annotations__`` of `members` are the class's own fields.

    jaxlib (0.10.2) takes the structures of two dataclasses for equal if their static fields are, whichever their
    classes. Their hashes differ, so that it shows only where both meet in a cache: a compiled function that has seen an
    environment then returns, for a few in a thousand of cached programs, that single one in place of the vectorised one
    that JaxDEM makes of it. Here the class is itself a static field.
    """
    annotations = {**dict(members.get("__annotations__", {})), OWN_CLASS: type}  # type: ignore[call-overload]
    static = field(default=None, repr=False, compare=False, metadata={"static": True})
    made: type = dataclass(slots=True)(
        type(name, bases, {**members, "__annotations__": annotations, OWN_CLASS: static})
    )
    # JaxDEM's wrappers copy every field to a class that they derive: this one answers for itself.
    setattr(made, OWN_CLASS, property(type, lambda self, value: None))
    return jax.tree_util.register_dataclass(made)


@cache
def guest(cls: type[Environment], name: str) -> type[NativeEnvironment]:
    """Return the class of JaxDEM environments that an environment of ours, whose states have `particles`, is there.

    Its `Create` takes the keywords of ours, and ``N`` for ``num_particles`` as JaxDEM's own do. One step is one
    decision. After each, `state` and `system` show the particles in their box; what else the task keeps is in
    ``env_params``. An episode that has ended stays so until its reset; a list of neighbours that was too short is shown
    as ``system.collider.overflow`` from then on. Raises ImportError if JaxDEM cannot be imported.
    """

    def create(made: type[NativeEnvironment], /, **keywords: object) -> NativeEnvironment:
        return _created(made, f"environment {name}", cls, keywords)

    base = import_host("register").Environment
    # JaxDEM's wrappers change functions of the class itself, and before 2026-06-12 none that it inherits.
    names = {
        "__doc__": cls.__doc__,
        "__module__": __name__,
        "__annotations__": {"task": Environment},
        "task": field(metadata={"static": True}),
        "guest_of": cls,
        "Create": classmethod(create),
        "reset": staticmethod(_reset),
        "step": staticmethod(_step),
        "observation": staticmethod(lambda env: env.env_params["state"].observation),
        "reward": staticmethod(lambda env: env.env_params["reward"]),
        "done": staticmethod(lambda env: env.env_params["done"]),
        "info": staticmethod(lambda env: env.env_params["info"]),
        "max_num_agents": property(lambda env: env.task.num_particles),
        "observation_space_size": property(lambda env: env.task.observation_size),
        "action_space_size": property(lambda env: env.task.action_size),
        "action_space_shape": property(lambda env: (env.task.action_size,)),
    }
    return environment_class(cls.__name__, (base,), names)


def _created(
    made: Callable[..., NativeEnvironment], where: str, cls: type[Environment], keywords: dict[str, object]
) -> NativeEnvironment:
    """Return an environment of JaxDEM at the beginning of an episode, always the same one."""
    if "N" in keywords:
        if "num_particles" in keywords:
            raise TypeError(f"{where}: N and num_particles are one number; got both. Leave one out.")
        keywords["num_particles"] = keywords.pop("N")
    check_keywords(where, cls, keywords)
    task = cls(**keywords)
    state = task.reset(jax.random.key(0))
    missing = [each for each in ("particles", "box_low", "box_high") if not hasattr(state, each)]
    if missing:
        raise TypeError(
            f"{where}: JaxDEM shows particles in a box; got a state without {', '.join(missing)}. Give "
            f"{type(state).__name__} these fields."
        )
    _, timestep = jax.eval_shape(task.step, state, jnp.zeros((task.num_particles, task.action_size)))
    nothing = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), timestep)
    env_params = {"state": state, "reward": nothing.reward, "done": nothing.terminated, "info": nothing.info}
    # A task that has no world has its box.
    world = task.world(state) if hasattr(task, "world") else World.create(state.box_low, state.box_high)
    system = as_system(world, state.particles)
    env = made(state=as_state(state.particles), system=system, env_params=env_params, task=task)
    return _shown(env, state)


def _reset(env: NativeEnvironment, key: Array) -> NativeEnvironment:
    state = env.task.reset(key)
    kept = {name: jax.tree.map(jnp.zeros_like, env.env_params[name]) for name in ("reward", "done", "info")}
    return _shown(replace(env, env_params={"state": state, **kept}), state)


def _step(env: NativeEnvironment, action: Array) -> NativeEnvironment:
    task, before = env.task, env.env_params
    state, timestep = task.step(before["state"], action.reshape(task.num_particles, task.action_size))
    env_params = {
        "state": state,
        "reward": timestep.reward,
        "done": before["done"] | timestep.terminated | timestep.truncated,
        "info": timestep.info,
    }
    return _shown(replace(env, env_params=env_params), state)


def _shown(env: NativeEnvironment, state: PyTree) -> NativeEnvironment:
    """Return the environment with the particles of `state` in its State, and their box in its System."""
    like = env.system
    box = {"box_size": state.box_high - state.box_low, "anchor": state.box_low}
    # A task in the plane draws no height: what stands there stays.
    box = {name: _as(side := getattr(like.domain, name), side.at[: len(new)].set(new)) for name, new in box.items()}
    short = jnp.asarray(env.env_params["info"].get("overflow", 0)) > 0
    steps = getattr(state, "step_count", like.step_count)
    system = replace(
        like,
        domain=replace(like.domain, **box),
        collider=replace(like.collider, overflow=like.collider.overflow | short),
        step_count=_as(like.step_count, steps),
        time=_as(like.time, steps * like.dt),
    )
    return replace(env, state=as_state(state.particles), system=system)


def _as(like: Array, value: Array) -> Array:
    return jnp.asarray(value, jnp.asarray(like).dtype)
