"""Names to classes: one registry each for models, action spaces, environments, engines and algorithms.

Nothing heavy is imported here: a built-in entry is a reference, ``"module:attribute"``, that is loaded when
somebody asks for it.
"""

import importlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, cast

from jaxdem_ac.untrusted import attribute, class_name

if TYPE_CHECKING:
    from inspect import Parameter


Class = TypeVar("Class", bound=type)


def normalize_key(name: str) -> str:
    """Return `name` as registries compare it: lower case, without spaces, ``_`` and ``-``.

    The rule is JaxDEM's (``jaxdem.factory.Factory``), so that one spelling works in both. A dot stays.
    """
    return name.replace(" ", "").replace("_", "").replace("-", "").lower()


def suggest(name: str, choices: Iterable[str]) -> str:
    """Return the advice that ends an error about `name`: the nearest of `choices`, if any, and the sorted list."""
    import difflib

    choices = sorted(choices, key=str.lower)
    by_key = {normalize_key(choice): choice for choice in choices}
    near = difflib.get_close_matches(normalize_key(name), by_key, n=1, cutoff=0.6)
    hint = f"Did you mean {by_key[near[0]]!r}? " if near else ""
    return f"{hint}Choose one of: {', '.join(choices) or '(none)'}."


def check_known(
    rule: str, names: Iterable[object], choices: Iterable[str], error: type[Exception] = ValueError
) -> None:
    """Raise an error, which says a rule and what :func:`suggest` does, unless all names are among the choices."""
    known = list(choices)
    for name in names:
        if name not in known:
            raise error(f"{rule}; got {name!r}. {suggest(str(name), known)}")


class MissingKeywordError(TypeError):
    """A class was not given a keyword that it needs."""

    def __init__(self, message: str, kind: str, keyword: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.keyword = keyword


@dataclass(frozen=True)
class Entry:
    """One name of a registry."""

    name: str
    """The name as it is spelled to a user."""
    target: str | Callable[..., object]
    """The class, the reference ``"module:attribute"`` it is loaded from, or what makes an instance of a host's."""
    origin: str
    """The distribution that brings it."""
    own: bool = False
    """Whether a script has registered it: another process finds it by its reference only."""

    def load(self) -> Any:
        """Import the class if that has not happened yet, and return it."""
        if type(self.target) is str:
            module, _, attribute = self.target.partition(":")
            return getattr(importlib.import_module(module), attribute)
        return self.target


@dataclass(frozen=True)
class Problem:
    """A plugin that was skipped, and why."""

    group: str
    """The entry-point group it was found in."""
    name: str
    """The name it asked for."""
    origin: str
    """The distribution that brings it."""
    error: str
    """The error, in one line."""


Discover = Callable[["Registry"], None]
Source = Callable[[str], Entry]


class Registry:
    """Names to classes, compared as JaxDEM compares them, completed by plugins on first use.

    Parameters
    ----------
    kind : str
        What is registered, as errors name it: ``"model"``, ``"action space"``, ``"environment"``.
    group : str
        Entry-point group in which other distributions announce theirs.
    prefix : str
        An optional first part of a name that does not count (``"ac."``): in JaxDEM's registries our classes stand
        under it, and a name read from one of its checkpoints has to be found here too.
    """

    def __init__(self, kind: str, group: str, prefix: str = "ac.") -> None:
        self.kind = kind
        self.group = group
        self.prefix = prefix
        self.problems: list[Problem] = []
        self._entries: dict[str, Entry] = {}
        self._discover: Discover | None = None
        self._sources: dict[str, Source] = {}
        self._find_reference: Source | None = None

    def _key(self, name: str) -> str:
        return normalize_key(name).removeprefix(self.prefix)

    def add(
        self, name: str, target: str | Callable[..., object], origin: str = "jaxdem-ac", *, own: bool = False
    ) -> None:
        """Register `target` under `name`; raises ValueError if that is none, or another class stands under it."""
        if not isinstance(name, str) or not name.isprintable() or not self._key(name):
            raise ValueError(
                f"Registry.add: a {self.kind} needs a name, of printable characters; got name={name!r}. Give it one."
            )
        key = self._key(name)
        taken = self._entries.get(key)
        if taken is not None and not _is_same(taken.target, target):
            raise ValueError(
                f"Registry.add: the {self.kind} name {name!r} is taken by {taken.name!r} of {taken.origin}; got "
                f"{_shown(target)!r} of {origin}. Register it under another name."
            )
        self._entries.setdefault(key, Entry(name, target, origin, own))

    def register(self, name: str) -> Callable[[Class], Class]:
        """Return a class decorator that registers the class under `name` for this process."""

        def decorate(cls: Class) -> Class:
            self.add(name, cls, origin=cls.__module__.partition(".")[0], own=True)
            return cls

        return decorate

    @contextmanager
    def temporarily(self, name: str, cls: Class) -> Iterator[Class]:
        """Have `cls` stand under `name` inside a ``with`` block, in place of a class of that name; for tests."""
        key = self._key(name)
        before = self._entries.pop(key, None)
        try:
            self.add(name, cls, origin=cls.__module__.partition(".")[0])
            yield cls
        finally:
            self._entries.pop(key, None)
            if before is not None:
                self._entries[key] = before

    def forget(self, name: str) -> None:
        """Take a class out, so that a notebook can register it anew; raises as :meth:`find`, KeyError for a host's."""
        self.find(name)
        if self._entries.pop(self._key(name), None) is None:
            raise KeyError(
                f"{self.kind}: only a name without a host can be forgotten; got {name!r}. Choose one of: "
                f"{', '.join(self.names())}."
            )

    def add_source(self, prefix: str, find: Source) -> None:
        """Have names ``<prefix>:<name>`` be found by `find`, which raises KeyError where it has no such name."""
        self._sources[prefix] = find

    def on_reference(self, find: Source) -> None:
        """Have references, ``my_file.py:Flock``, be found by `find`."""
        self._find_reference = find

    def is_reference(self, name: str) -> bool:
        """Return whether a name is neither registered now nor a host's, and has a colon."""
        prefix, colon, _ = name.partition(":")
        return bool(colon) and normalize_key(prefix) not in self._sources and self._key(name) not in self._entries

    def has_own(self, name: str) -> bool:
        """Return whether a script has registered a class under `name` in this process; plugins are not looked for."""
        entry = self._entries.get(self._key(name))
        return entry is not None and entry.own

    def on_first_use(self, discover: Discover) -> None:
        """Have `discover` called once, before the first question that built-in names do not answer."""
        self._discover = discover

    def _complete(self) -> None:
        if self._discover is not None:
            discover, self._discover = self._discover, None
            try:
                discover(self)
            except KeyboardInterrupt:
                # Not to the end: the next question goes on.
                self._discover = discover
                raise

    def entries(self) -> list[Entry]:
        """Return every entry, sorted by name, those of plugins included."""
        self._complete()
        return sorted(self._entries.values(), key=lambda entry: entry.name.lower())

    def names(self) -> list[str]:
        """Return the sorted names, as they are spelled to a user."""
        return [entry.name for entry in self.entries()]

    def registered(self) -> list[str]:
        """Return the names that stand in it now; plugins are not looked for."""
        return [entry.name for entry in self._entries.values()]

    def __contains__(self, name: str) -> bool:
        if self._key(name) in self._entries:
            return True
        self._complete()
        return self._key(name) in self._entries

    def find(self, name: str) -> Entry:
        """Return the entry under `name`.

        Raises
        ------
        KeyError, TypeError
            If nothing is registered under it, with the nearest name and the list in the message; if it is no string.
        ImportError
            If its name asks for a host, as ``jaxdem:<name>`` does, that is not installed.
        PermissionError
            If it is a reference, ``my_file.py:Flock``, that nobody trusts: see
            :func:`jaxdem_ac.plugin.references.find`.
        """
        if not isinstance(name, str):
            raise TypeError(
                f"{self.kind}: the name is a string; got {type(name).__name__}. {suggest('', self.names())}"
            )
        prefix, colon, rest = name.partition(":")
        if colon and normalize_key(prefix) in self._sources:
            return self._sources[normalize_key(prefix)](rest)
        if self._find_reference is not None and self.is_reference(name):
            return self._find_reference(name)
        if name not in self:
            hint = f"Of a file say the class: {name}:Flock. " if name.endswith(".py") else ""
            raise KeyError(f"{self.kind}: no such name; got {name!r}. {hint}{suggest(name, self.names())}")
        return self._entries[self._key(name)]

    def get(self, name: str) -> Any:
        """Return the class under `name`, importing it if need be. Raises as :meth:`find` does."""
        return self.find(name).load()

    def name_of(self, cls: type) -> str | None:
        """Return the name under which `cls` itself is registered, or None."""
        parts = [attribute(cls, name, "") for name in ("__module__", "__qualname__")]
        reference = ":".join(part for part in parts if type(part) is str)
        for entry in self._entries.values():
            if entry.target is cls or _is_same(entry.target, reference):
                return entry.name
        return None

    def create(self, name: str, /, **keywords: object) -> Any:
        """Return an instance of the class under `name`.

        Raises KeyError if the name is unknown; TypeError if the class has no such keyword, with the nearest and the
        list in the message, or misses one it needs.
        """
        entry = self.find(name)
        cls = entry.load()
        check_keywords(f"{self.kind} {entry.name}", cls, keywords)
        needed = [
            each.name
            for each in _parameters(cls)
            if each.default is each.empty and each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)
        ]
        missing = [name for name in needed if name not in keywords]
        if missing:
            raise MissingKeywordError(
                f"{self.kind} {entry.name}: it needs {' and '.join(missing)}; got {', '.join(keywords) or 'nothing'}. "
                f"Pass {missing[0]}=...",
                self.kind,
                missing[0],
            )
        return cls(**keywords)


def _shown(target: object) -> str:
    """Return the reference or the name of a class, for messages; of a function that makes an instance, its kind."""
    if type(target) is str:
        return target
    return class_name(cast(type, target) if issubclass(type(target), type) else type(target))


def _is_same(one: object, other: object) -> bool:
    """Return whether two targets are one; classes are not compared, for a metaclass may do anything then."""
    return one is other or (type(one) is str and type(other) is str and one == other)


def check_keywords(where: str, function: Callable[..., object], keywords: Iterable[str]) -> None:
    """Raise TypeError, with the nearest name, if `function` does not take one of `keywords`."""
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in _parameters(function)):
        return
    check_known(f"{where}: no such keyword", keywords, keywords_of(function), TypeError)


def keywords_of(function: Callable[..., object]) -> list[str]:
    """Return the names of the keywords that a function or the constructor of a class takes."""
    named = [each for each in _parameters(function) if each.kind not in (each.VAR_KEYWORD, each.VAR_POSITIONAL)]
    return [each.name for each in named if each.kind is not each.POSITIONAL_ONLY]


def _parameters(function: Callable[..., object]) -> "list[Parameter]":
    """Return what a function or the constructor of a class takes."""
    import inspect

    # From the class itself, a metaclass such as flax's hides what it takes.
    made_by = function.__init__ if isinstance(function, type) else function  # type: ignore[misc]
    return [each for each in inspect.signature(made_by).parameters.values() if each.name != "self"]


models = Registry("model", "jaxdem.models")
models.add("SharedActorCritic", "jaxdem_ac.models.actor_critic:SharedActorCritic")
models.add("ActorCritic", "jaxdem_ac.models.actor_critic:ActorCritic")
models.add("SymmetricActorCritic", "jaxdem_ac.models.symmetric:SymmetricActorCritic")
models.add("PerParticle", "jaxdem_ac.models.per_particle:PerParticle")

action_spaces = Registry("action space", "jaxdem.action_spaces")
action_spaces.add("Free", "jaxdem_ac.action_spaces.free:Free")
action_spaces.add("Box", "jaxdem_ac.action_spaces.box:Box")
action_spaces.add("MaxNorm", "jaxdem_ac.action_spaces.max_norm:MaxNorm")
action_spaces.add("Discrete", "jaxdem_ac.action_spaces.discrete:Discrete")

environments = Registry("environment", "jaxdem.environments")
environments.add("multi_navigator", "jaxdem_ac.environments.tasks.multi_navigator:MultiNavigator")
environments.add("swarm_navigator", "jaxdem_ac.environments.tasks.swarm_navigator:SwarmNavigator")
environments.add("collective_transport", "jaxdem_ac.environments.tasks.collective_transport:CollectiveTransport")
environments.add("evacuation", "jaxdem_ac.environments.tasks.evacuation:Evacuation")
environments.add("active_brownian", "jaxdem_ac.environments.tasks.active_brownian:ActiveBrownian")
environments.add("swarm_roller", "jaxdem_ac.environments.tasks.swarm_roller:SwarmRoller")

engines = Registry("engine", "jaxdem.engines")
engines.add("embedded", "jaxdem_ac.dem.step:step")
engines.add("embedded_given_contacts", "jaxdem_ac.dem.step:step_with_given_contacts")
engines.add("jaxdem", "jaxdem_ac.plugin.state:step", origin="JaxDEM")

algorithms = Registry("algorithm", "jaxdem_ac.algorithms")
algorithms.add("ppo", "jaxdem_ac.trainers.ppo.ppo:PPO")
algorithms.add("shac", "jaxdem_ac.trainers.shac.shac:SHAC")

HOSTED = (models, action_spaces, environments)
"""Registries whose kinds JaxDEM has too."""
REGISTRIES = (*HOSTED, algorithms)
"""Registries that plugins add to."""


def list_algorithms() -> list[str]:
    """Return the sorted names of all learning algorithms, those of plugins included."""
    return algorithms.names()


def list_models() -> list[str]:
    """Return the sorted names of all models, those of plugins included."""
    return models.names()


def list_action_spaces() -> list[str]:
    """Return the sorted names of all action spaces, those of plugins included."""
    return action_spaces.names()


def list_environments() -> list[str]:
    """Return the sorted names of all environments, those of plugins included."""
    return environments.names()
