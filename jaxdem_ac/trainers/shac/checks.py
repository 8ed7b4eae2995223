"""Checks that slopes can be taken: through an environment, and in the actions of a model."""

import warnings
from dataclasses import fields, is_dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.custom_derivatives import SymbolicZero

from jaxdem_ac._types import PyTree
from jaxdem_ac.action_spaces.distributions import SquashedGaussian
from jaxdem_ac.dem.time_step import TimeStepWarning
from jaxdem_ac.environments.base import Environment
from jaxdem_ac.models import recurrent
from jaxdem_ac.models.structure import Distribution
from jaxdem_ac.trainers.shac.state import SHACProblem

EMBEDDED, GIVEN_CONTACTS = "embedded", "embedded_given_contacts"


def gaussian(distribution: Distribution) -> SquashedGaussian:
    """Return a Gaussian through an action space, whose draws follow its parameters; TypeError for all else."""
    if not isinstance(distribution, SquashedGaussian):
        raise TypeError(
            "shac: a policy is a Gaussian through an action space, whose actions follow its parameters; got "
            f"{type(distribution).__name__}. Choose another model, or algorithm='ppo'."
        )
    return distribution


def differentiable(problem: SHACProblem) -> Environment:
    """Return the environment of which windows are: with softer contacts, or such without slopes, if that is asked for.

    Raises ValueError if its task has no stiffness to soften, or refuses a softer one.
    """
    environment, config = problem.environment, problem.config
    if config.softening != 1:
        if not is_dataclass(environment) or "stiffness" not in {item.name for item in fields(environment)}:
            raise ValueError(
                f"shac: contacts are softened in a task that has a stiffness; got softening={config.softening:g} for "
                f"{type(environment).__name__}. Leave shac.softening out."
            )
        with warnings.catch_warnings():
            # Nobody has asked for that stiffness, and its contacts are better resolved than the task's.
            warnings.simplefilter("ignore", TimeStepWarning)
            try:
                environment = replace(environment, stiffness=environment.stiffness / config.softening)
            except ValueError as error:
                raise ValueError(
                    f"shac: a task can have contacts that are softer by softening={config.softening:g}; got: {error} "
                    "Lower shac.softening."
                ) from error
    if config.contacts == "keep" or not hasattr(environment, "engine"):
        return environment
    return replace(environment, engine=GIVEN_CONTACTS)  # type: ignore[type-var]


def check_differentiable(problem: SHACProblem, model_state: PyTree) -> None:
    """Raise ValueError unless a run can take slopes through its environment, with its model.

    The model is feed-forward, contacts that slopes stop at are those of the embedded engine, contacts to soften have a
    stiffness, and a decision has a derivative in its action. Nothing is computed: one decision is traced.
    """
    environment, config = problem.environment, problem.config
    _, carry = recurrent.split_carry(
        problem.graphdef, model_state, environment.num_particles, environment.observation_size
    )
    if jax.tree.leaves(carry):
        raise ValueError(
            "shac: its models are feed-forward; got a recurrent one. Choose another model, or algorithm='ppo'."
        )
    engine = getattr(environment, "engine", EMBEDDED)
    if config.contacts == "stop" and engine != EMBEDDED:
        raise ValueError(
            f"shac: slopes stop at the contacts of the embedded engine; got contacts='stop' on engine={engine!r}. Set "
            "shac.contacts=keep, or leave the engine out."
        )
    check_slopes(differentiable(problem))


def check_slopes(environment: Environment) -> None:
    """Raise ValueError if a decision has no derivative in its action, or nothing that is seen or gained has one."""
    where = f"shac: {type(environment).__name__}"
    follows = []

    @jax.custom_jvp
    def probe(value: Array) -> Array:
        return value

    @partial(probe.defjvp, symbolic_zeros=True)
    def rule(primals: tuple[Array], tangents: tuple[Any]) -> tuple[Array, Array]:
        follows.append(not isinstance(tangents[0], SymbolicZero))
        return primals[0], tangents[0]

    def worth(state: PyTree, action: Array) -> Array:
        _, timestep = environment.step(state, action)
        return jnp.sum(probe(timestep.reward)) + jnp.sum(probe(timestep.observation))

    state = jax.eval_shape(environment.reset, jax.eval_shape(partial(jax.random.key, 0)))
    action = jax.eval_shape(lambda: jnp.zeros((environment.num_particles, environment.action_size)))
    try:
        jax.eval_shape(jax.grad(worth, argnums=1), state, action)
    except (NotImplementedError, TypeError, ValueError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ValueError(
            f"{where}: a decision has a derivative in its action; got none: {reason:.200} Train it with "
            "algorithm='ppo'."
        ) from error
    if not any(follows):
        raise ValueError(
            f"{where}: what is seen or gained depends on the action by more than choices; got no derivative. Train it "
            "with algorithm='ppo'."
        )
