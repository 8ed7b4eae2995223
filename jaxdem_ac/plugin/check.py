"""Everything that installed plugins announce, point by point of its contract."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from jaxdem_ac._conformance import Check
from jaxdem_ac.plugin.discovery import UNKNOWN
from jaxdem_ac.registry import (
    REGISTRIES,
    Entry,
    MissingKeywordError,
    Registry,
    action_spaces,
    algorithms,
    environments,
    models,
    suggest,
)
from jaxdem_ac.untrusted import attempt, one_line

_OURS = "jaxdem-ac"


@dataclass(frozen=True)
class Checked:
    """One point of one class."""

    kind: str
    """Kind of class, as "environment"."""
    name: str
    """Name under which it was announced."""
    origin: str
    """The distribution that brings it."""
    point: str
    """Point of the contract, as :func:`~jaxdem_ac.environments.testing.environment_checks` and the like name it."""
    error: str | None
    """Fault in one line; None where there is none."""


def check_plugins(distributions: Sequence[str] = ()) -> Iterator[Checked]:
    """Check what distributions announce, one point after another; those of all that are installed if none is named.

    Classes are built with the defaults of their constructors; one that has none for a keyword is not checked. Raises
    ValueError if a distribution announces nothing.
    """
    found = {
        registry: [entry for entry in registry.entries() if entry.origin != _OURS and not entry.own]
        for registry in REGISTRIES
    }
    origins = {entry.origin for entries in found.values() for entry in entries}
    origins |= {problem.origin for registry in REGISTRIES for problem in registry.problems} - {UNKNOWN}
    for name in distributions:
        if name not in origins:
            raise ValueError(
                f"plugin check: an installed distribution announces a name; got {name!r}, which announces none. "
                f"{suggest(name, sorted(origins))}"
            )
    for registry, entries in found.items():
        for problem in registry.problems:
            if not distributions or problem.origin in distributions:
                yield Checked(registry.kind, problem.name, problem.origin, "loads", problem.error)
        for entry in entries:
            if not distributions or entry.origin in distributions:
                for point, error in _results(registry, entry):
                    yield Checked(registry.kind, entry.name, entry.origin, point, error)


def _results(registry: Registry, entry: Entry) -> Iterator[tuple[str, str | None]]:
    checks, error = attempt(partial(_checks_of, registry, entry.name))
    if isinstance(error, MissingKeywordError):
        yield f"not checked, for it needs {error.keyword}:", None
        return
    if error is not None:
        yield "builds", one_line(error)
        return
    for point, check in checks or []:
        _, error = attempt(check)
        yield point, None if error is None else one_line(error)


def _checks_of(registry: Registry, name: str) -> list[Check]:
    """Return the points of a class's contract, once it could be built."""
    # Each brings what it checks: a plugin of an action space needs no environment.
    if registry is environments:
        from jaxdem_ac.environments.testing import environment_checks

        return environment_checks(registry.create(name))
    if registry is action_spaces:
        from jaxdem_ac.action_spaces.testing import action_space_checks

        space = registry.create(name)
        return action_space_checks(space, getattr(space, "event_size", None) or 2)
    if registry is models:
        from flax import nnx

        from jaxdem_ac.models.testing import model_checks

        build: Callable[..., Any] = partial(registry.create, name)
        build(observation_space_size=4, action_space_size=2, key=nnx.Rngs(0))
        return model_checks(build)
    assert registry is algorithms
    from jaxdem_ac.trainers.base import check_algorithm

    return [("interface", partial(check_algorithm, name, registry.create(name)))]
