"""Discovery: the classes that other distributions announce as entry points.

A distribution announces a class in the group of a registry, ``jaxdem.models`` for one, as
``Name = "module:Class"``. A plugin that cannot be loaded is skipped with one warning and listed in
``Registry.problems``; it breaks nothing else.
"""

import re
import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from jaxdem_ac._messages import warn
from jaxdem_ac.plugin.jaxdem import HOST, is_importing
from jaxdem_ac.plugin.registration import PENDING_MODULES, register_found
from jaxdem_ac.registry import REGISTRIES, Problem, Registry, environments, normalize_key
from jaxdem_ac.untrusted import attempt, class_name, one_line, printable

if TYPE_CHECKING:
    from importlib.metadata import Distribution, EntryPoint

UNKNOWN = "(unknown)"
"""The name of a distribution whose metadata names none."""

_OURS = "jaxdem-ac"


def install() -> None:
    """Have every registry look for plugins at the first question that built-in names do not answer."""
    for registry in REGISTRIES:
        registry.on_first_use(_complete)


def discover(registry: Registry) -> None:
    """Add to `registry` the classes that installed distributions announce in its group.

    The order is fixed (distribution, name, reference): of two plugins that ask for one name the same one wins
    everywhere. Our own entries are passed over. A plugin that could not be loaded, is no class, or asks for a name that
    is taken, is skipped with one RuntimeWarning.
    """
    entries, problems = _announced(registry.group)
    known = {normalize_key(entry.name): entry.target for entry in registry.entries()}
    for entry in sorted(entries, key=lambda each: (_normalize(_name(each.dist)), each.name, each.value)):
        origin = _name(entry.dist)
        if _normalize(origin) == _OURS:
            continue
        _, error = attempt(partial(_add, registry, known, entry, origin))
        if error is not None:
            problems.append(Problem(registry.group, printable(entry.name), origin, one_line(error)))
    fresh = [problem for problem in dict.fromkeys(problems) if problem not in registry.problems]
    registry.problems.extend(fresh)
    # Last, because a warning may be made an error: by now every working plugin is in.
    for problem in fresh:
        warn(
            f"plugin {problem.name!r} ({problem.group}) of {problem.origin}: skipped; got {problem.error}. "
            "`jaxdem-ac doctor` lists it."
        )


def _add(registry: Registry, known: Mapping[str, object], entry: "EntryPoint", origin: str) -> None:
    """Add what an entry point announces, unless it is known or being imported; raises what its code does."""
    if entry.pattern.match(entry.value) is None:
        raise ValueError(f"an entry point is a reference, module:Class; got {entry.value!r}")
    target = known.get(normalize_key(entry.name))
    if type(target) is str and target == f"{entry.module}:{entry.attr}":
        return
    if is_importing(entry.module):
        # It imported JaxDEM, say, and its classes are not there yet: the next question asks again.
        PENDING_MODULES.add(entry.module)
        registry.on_first_use(_complete)
        return
    registry.add(entry.name, _load(entry, registry), origin)


def known_names(registry: Registry) -> list[str]:
    """Return the sorted names in a registry and those that plugins announce for it, loading none of them."""
    announced = [entry.name for entry in _announced(registry.group)[0] if entry.name.isprintable()]
    return sorted({normalize_key(name): name for name in [*announced, *registry.registered()]}.values(), key=str.lower)


def _complete(registry: Registry) -> None:
    discover(registry)
    # JaxDEM may be there already, brought by a plugin or since the one that was waiting began.
    register_found()


def unreadable_lists() -> dict[str, str]:
    """Return the distributions whose entry_points.txt cannot be read, and why: JAX cannot start beside one."""
    from importlib import metadata

    found = {}
    for distribution in metadata.distributions():
        _, error = attempt(lambda each=distribution: list(each.entry_points))  # type: ignore[misc]
        if error is not None:
            found[_name(distribution)] = one_line(error)
    return found


def _announced(group: str) -> "tuple[list[EntryPoint], list[Problem]]":
    """Return the entry points of `group`, and a problem for each distribution whose list cannot be read."""
    from importlib import metadata

    entries: dict[str, list[EntryPoint]] = {}
    problems = []
    # One at a time: a list that is unreadable makes `metadata.entry_points` fail as a whole.
    for distribution in metadata.distributions():
        try:
            found = list(distribution.entry_points.select(group=group))
        except Exception as error:
            # It may be about the group, too, if its text cannot be read.
            text, unread = attempt(lambda each=distribution: each.read_text("entry_points.txt"))  # type: ignore[misc]
            if unread is not None or group in (text or ""):
                problems.append(Problem(group, "entry_points.txt", _name(distribution), one_line(error)))
            continue
        if found:
            # Of a distribution that is installed twice the first counts, as it does for `import`.
            entries.setdefault(_normalize(_name(distribution)), found)
    return [entry for found in entries.values() for entry in found], problems


def _load(entry: "EntryPoint", registry: Registry) -> Callable[..., object]:
    loaded = entry.load()
    if not issubclass(type(loaded), type):
        raise TypeError(f"a plugin is a class; got {entry.value} of type {class_name(type(loaded))}.")
    rl = sys.modules.get(HOST)
    if registry is environments and rl is not None and issubclass(loaded, rl.Environment):
        # Written for JaxDEM: here it stands as its own environments do.
        from jaxdem_ac.plugin.from_jaxdem import hosted

        return hosted(entry.name, loaded)
    return loaded


def _name(distribution: "Distribution | None") -> str:
    """Return the name of a distribution as it may be shown."""
    name, _ = attempt(lambda: distribution and distribution.metadata["Name"])
    return printable(str(name)) if name else UNKNOWN


def _normalize(name: str) -> str:
    """Return the name of a distribution as the package index compares it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()
