"""Baselines: policies that nobody has trained, as ceilings and floors for those that have been."""

from collections.abc import Callable
from typing import Any

from jaxdem_ac.environments.base import Environment, check_is_environment
from jaxdem_ac.environments.baselines.policies import Oracle, RandomPolicy, Scripted


def oracle_policy(environment: Environment) -> Oracle:
    """Return the policy of a task that knows the state: what it reaches is possible, and a measure for who observes.

    `ac.evaluate`, `ac.rollout`, `ac.render` and recordings take it; in a loop of one's own it is
    ``action, carry = oracle.act(state, carry)``, beginning with ``oracle.initial_carry((num_particles,))``.

    Parameters
    ----------
    environment : Environment
        Of this package, or another whose class has an `oracle`.

    Raises
    ------
    TypeError
        If it is no environment, or its class has none.
    """
    return _made("oracle", environment, "Oracle")


def scripted_policy(environment: Environment) -> Scripted:
    """Return the best policy of a task that is written by hand, ``policy(observation, key) -> action``.

    Parameters
    ----------
    environment : Environment
        Of this package, or another whose class has one as `scripted`.

    Raises
    ------
    TypeError
        If it is no environment, or its class has none.
    """
    return _made("scripted", environment, "Scripted")


def _made(kind: str, environment: Environment, base: str) -> Any:
    where = f"{kind}_policy"
    check_is_environment(where, environment)
    maker = getattr(type(environment), kind, None)
    if maker is None:
        raise TypeError(
            f"{where}: the class of the task has one as `{kind}`; got {type(environment).__name__} without. Write a "
            f"subclass of {base} in jaxdem_ac.environments.baselines.policies, and set `{kind}` of the class to it."
        )
    return maker(environment)


BASELINES: dict[str, Callable[[Environment], Any]] = {
    "random": RandomPolicy,
    "scripted": scripted_policy,
    "oracle": oracle_policy,
}
"""Policies that need no training, by the names of the command line."""
