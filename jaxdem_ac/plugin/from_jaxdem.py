"""JaxDEM's environments as ours: one adapter around any environment that is registered there."""

import inspect
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
from jax import Array

from jaxdem_ac.dem.particles import Particles
from jaxdem_ac.environments.base import Environment, Timestep, compiled
from jaxdem_ac.environments.checks import check_whole
from jaxdem_ac.plugin.jaxdem import NativeEnvironment
from jaxdem_ac.plugin.jaxpr_analysis import depends_on, unchanged
from jaxdem_ac.plugin.state import as_particles
from jaxdem_ac.registry import check_keywords, normalize_key
from jaxdem_ac.untrusted import one_line

Success = Callable[[NativeEnvironment], Array]

Carry = tuple[NativeEnvironment, Array, Array]

LONGEST = 2**31 - 2
"""The largest count of steps that JaxDEM's clock holds."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class JaxDEMEnvironmentState:
    """An environment of JaxDEM between two decisions."""

    env: NativeEnvironment
    """The environment itself; in a batch its leaves are ``(E, ...)``."""
    observation: Array
    """``(N, O)``."""
    count: Array
    """Decisions of this episode, ``()``."""

    @property
    def particles(self) -> Particles:
        """The spheres of its State, ``(B, ...)``: agents may have several."""
        return as_particles(self.env.state)

    @property
    def targets(self) -> Array:
        """Objectives, ``(M, dim)``, length; none where the environment keeps none under that name."""
        position = self.env.state.pos
        return self.env.env_params.get("objective", jnp.zeros((*position.shape[:-2], 0, position.shape[-1])))

    @property
    def box_low(self) -> Array:
        """Lower corner of its domain, ``(dim,)``, length."""
        return self.env.system.domain.anchor

    @property
    def box_high(self) -> Array:
        """Upper corner of its domain, ``(dim,)``, length."""
        return self.env.system.domain.anchor + self.env.system.domain.box_size


@dataclass(frozen=True)
class JaxDEMEnvironment(Environment[JaxDEMEnvironmentState]):
    """An environment of JaxDEM under our interface.

    An action is held for `physics_steps` of its steps, and the reward of a decision is the sum of theirs. An episode
    that ends within a decision ends at that step. Where nothing but the clock ends it, that is a time limit; anything
    else is the task's own end.
    """

    name: str
    """Name in JaxDEM's registry."""
    cls: type[NativeEnvironment]
    """Class of the environment in JaxDEM."""
    keywords: tuple[tuple[str, object], ...]
    """Keywords of its `Create`."""
    physics_steps: int = 1
    """Steps of JaxDEM for which an action is held; JaxDEM's trainer calls one less ``skip_frames``."""
    max_decisions: int | None = None
    """A time limit of our own, in decisions; for environments that have none."""
    success: Success | None = None
    """Function from the environment to its success, between 0 and 1, ``()``. Without it, that of JaxDEM's navigators
    and rollers is known here, and an environment's own ``info["success"]`` is taken."""

    def __post_init__(self) -> None:
        where = f"environment jaxdem:{self.name}"
        check_whole(where, physics_steps=self.physics_steps)
        if self.max_decisions is not None:
            check_whole(where, max_decisions=self.max_decisions)
        try:
            self.cls.observation(_copy(self._template))
        except Exception as error:
            raise ValueError(
                f"{where}: JaxDEM's own reset makes a state; got {one_line(error)}. Choose other keywords, or another "
                "version of JaxDEM."
            ) from error

    @cached_property
    def _template(self) -> NativeEnvironment:
        """The environment after a reset: not a field, for arrays have no place in what is compared and hashed."""
        with jax.ensure_compile_time_eval():
            return self.cls.reset(self.cls.Create(**dict(self.keywords)), jax.random.key(0))

    @property
    def num_particles(self) -> int:  # type: ignore[override]
        """N, its agents."""
        return int(self._template.max_num_agents)

    @property
    def observation_size(self) -> int:
        """JaxDEM's ``observation_space_size``."""
        return int(self._template.observation_space_size)

    @property
    def action_size(self) -> int:
        """JaxDEM's ``action_space_size``."""
        return int(self._template.action_space_size)

    @property
    def decision_time(self) -> float:
        """`physics_steps` times its ``dt``."""
        return self.physics_steps * float(self._template.system.dt)

    @property
    def episode_length(self) -> int:
        """Decisions until the time limit; raises ValueError if there is none."""
        limits = [] if self.max_decisions is None else [self.max_decisions]
        if self._last_step is not None:
            limits.append(-(-self._last_step // self.physics_steps))
        if not limits:
            raise ValueError(
                f"environment jaxdem:{self.name}: a time limit is needed for this; got none. Set max_decisions."
            )
        return min(limits)

    @cached_property
    def ends_by_clock(self) -> bool:
        """Whether its `done` looks at nothing but its clock and what its step never changes."""
        cls, env = self.cls, self._template
        action = jnp.zeros((self.num_particles, self.action_size))
        with jax.ensure_compile_time_eval():
            looked_at = depends_on(lambda given: cls.done(_copy(given)), env)
            constant = unchanged(lambda given: cls.step(_copy(given), action), env)
            paths = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_flatten_with_path(env)[0]]
        clock = [path in (".system.step_count", ".system.time") for path in paths]
        relevant = [i for i, is_looked_at in enumerate(looked_at) if is_looked_at and not constant[i]]
        return bool(relevant) and all(clock[i] for i in relevant)

    @cached_property
    def _last_step(self) -> int | None:
        """The first of its steps after which the clock alone ends an episode, or None."""
        env, system = self._template, self._template.system
        if not self.ends_by_clock:
            return None

        def ended(count: int) -> bool:
            moved = replace(
                system,
                step_count=jnp.asarray(count, system.step_count.dtype),
                time=jnp.asarray(count * system.dt, system.time.dtype),
            )
            return bool(self.cls.done(replace(env, system=moved)))

        with jax.ensure_compile_time_eval():
            if not ended(LONGEST):
                return None
            return bisect_left(range(LONGEST), True, lo=1, key=ended)

    @compiled
    def reset(self, key: Array) -> JaxDEMEnvironmentState:
        """Return its state after its own reset."""
        return self._seen(self.cls.reset(_copy(self._template), key), jnp.zeros((), jnp.int32))

    def _seen(self, env: NativeEnvironment, count: Array) -> JaxDEMEnvironmentState:
        return JaxDEMEnvironmentState(env, self.cls.observation(_copy(env)), count)

    @compiled
    def step(self, state: JaxDEMEnvironmentState, action: Array) -> tuple[JaxDEMEnvironmentState, Timestep]:
        """Return the state and the timestep after one decision; `action`, ``(N, D)``, is as its own step takes it."""
        self.check_state(state)
        self.check_action(action)
        cls = self.cls

        def one(carry: Carry, _: None) -> tuple[Carry, None]:
            env, reward, ended = carry
            after = cls.step(_copy(env), action)
            self._check_classes(after, env)
            # What an ended episode would do goes unseen.
            after = jax.tree.map(lambda new, old: jnp.where(ended, old, new), after, env)
            reward = reward + jnp.where(ended, 0.0, cls.reward(_copy(after)))
            return (after, reward, ended | cls.done(_copy(after))), None

        start = state.env, jnp.zeros((self.num_particles,)), jnp.zeros((), bool)
        with jax.named_scope("jaxdem"):
            (env, reward, ended), _ = jax.lax.scan(one, start, None, self.physics_steps)
        new = self._seen(env, state.count + 1)
        info = {name: figure for name, figure in cls.info(_copy(env)).items() if jnp.shape(figure) == ()}
        success = self.success or _SUCCESS.get(normalize_key(self.name))
        if success is not None:
            info["success"] = jnp.asarray(success(env), float)
        cut = jnp.zeros((), bool) if self.max_decisions is None else new.count >= self.max_decisions
        return new, Timestep(
            observation=new.observation,
            reward=reward,
            terminated=jnp.zeros((), bool) if self.ends_by_clock else ended,
            truncated=cut | ended if self.ends_by_clock else cut & ~ended,
            info={**info, "overflow": _overflow(env)},
        )

    def _check_classes(self, after: NativeEnvironment, before: NativeEnvironment) -> None:
        """Raise TypeError if JAX took what it had compiled for other classes.

        In jaxlib 0.10.2 structures of two dataclasses with the same fields compare equal whatever their classes, so
        that its caches mix up JaxDEM's integrators, domains and wrapped environments once in a while.
        """
        if str(jax.tree.structure(after)) != str(jax.tree.structure(before)):
            raise TypeError(
                f"environment jaxdem:{self.name}: a step keeps the classes of its parts; got another's, for JAX "
                "confuses dataclasses with equal fields. Call jax.clear_caches() before you build it, or give it a "
                "process of its own."
            )

    def overflow_of(self, state: JaxDEMEnvironmentState) -> Array:
        """Return 2 if its collider had too little room, ``()``: it does not say how much is missing; else 0."""
        return _overflow(state.env)

    def with_capacity(self, overflow: float) -> NoReturn:
        """Raise OverflowError: JaxDEM says that a list was too short, and its environment sets how long it is."""
        raise OverflowError(
            f"environment jaxdem:{self.name}: JaxDEM's collider holds every contact; got its overflow. Give the "
            "environment a collider with more room, or fewer particles."
        )


def _overflow(env: NativeEnvironment) -> Array:
    return jnp.where(env.system.collider.overflow, 2.0, 0.0)


def _copy(env: NativeEnvironment) -> NativeEnvironment:
    """Return the same environment in an object of its own: JaxDEM's functions write to the one that they get."""
    return jax.tree.map(lambda leaf: leaf, env)


def _share_at_own_objective(env: NativeEnvironment) -> Array:
    """Return the share of agents whose centre is within one radius of their objective."""
    distance = jnp.linalg.norm(env.state.pos - env.env_params["objective"], axis=-1)
    return jnp.mean((distance <= env.state.rad).astype(float))


def _coverage(env: NativeEnvironment) -> Array:
    """Return the share of objectives with an agent's centre within one radius."""
    offset = env.env_params["objective"][:, None] - env.state.pos[None]
    near = jnp.linalg.norm(offset, axis=-1) <= env.state.rad[None]
    return jnp.mean(jnp.any(near, axis=1).astype(float))


_OWN = ("singlenavigator", "singleroller", "multinavigator", "multiroller", "singleroller3d")
_SUCCESS: dict[str, Success] = {
    **dict.fromkeys(_OWN, _share_at_own_objective),
    **dict.fromkeys(("swarmnavigator", "swarmroller", "swarmroller3d"), _coverage),
}


def hosted(name: str, cls: type[NativeEnvironment]) -> Callable[..., JaxDEMEnvironment]:
    """Return what makes an environment of ours of a class of JaxDEM's.

    It takes the keywords of the class's `Create` (and ``num_particles`` where that takes ``N``), and those of
    :class:`JaxDEMEnvironment`.
    """
    options = ("physics_steps", "max_decisions", "success")
    parameters = inspect.signature(cls.Create).parameters
    variable = [each for each in parameters.values() if each.kind is each.VAR_KEYWORD]
    named = [each for each in parameters.values() if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)]
    taken = [each.replace(kind=each.KEYWORD_ONLY) for each in named]
    more = (*options, "num_particles") if "N" in parameters else options
    taken += [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None) for name in more]

    def make(**keywords: Any) -> JaxDEMEnvironment:
        check_keywords(f"environment jaxdem:{name}", make, keywords)
        if "num_particles" in keywords and "N" in parameters:
            keywords["N"] = keywords.pop("num_particles")
        own = {option: keywords.pop(option) for option in options if option in keywords}
        frozen = tuple((key, tuple(value) if isinstance(value, list) else value) for key, value in keywords.items())
        return JaxDEMEnvironment(name, cls, frozen, **own)

    make.__doc__ = cls.__doc__
    make.host_class = cls  # type: ignore[attr-defined]
    make.__signature__ = inspect.Signature([*taken, *variable])  # type: ignore[attr-defined]
    return make
