"""JaxDEM's own classes under our names: ``jaxdem:<name>`` wherever one of ours could stand."""

import re
from collections.abc import Callable
from functools import partial

from jaxdem_ac.plugin.jaxdem import import_host
from jaxdem_ac.registry import HOSTED, Entry, Registry, action_spaces, environments, models, normalize_key, suggest
from jaxdem_ac.untrusted import attribute, class_name, printable

PREFIX = "jaxdem"

# Where a word of a class's name ends.
_WORDS = re.compile(r"(?<=[a-z])(?=[A-Z0-9])")
_ROOTS = {models.kind: "Model", action_spaces.kind: "ActionSpace", environments.kind: "Environment"}


def install() -> None:
    """Have every registry find ``jaxdem:<name>`` in JaxDEM, which is imported when that is asked for."""
    for registry in HOSTED:
        registry.add_source(PREFIX, partial(find, registry))


def entries(registry: Registry) -> list[Entry]:
    """Return what stands in JaxDEM's registry of that kind and is not ours, by name; raises as :func:`import_host`."""
    root = getattr(import_host(registry.kind), _ROOTS[registry.kind])
    # By identity: a class of a plugin's may not be hashed or compared.
    ours = {id(attribute(made, "host_class", made)) for made in (entry.load() for entry in registry.entries())}
    classes = {
        _name(registry, key, cls): cls
        for key, cls in root._registry.items()
        if key and cls is not root and id(attribute(cls, "guest_of", cls)) not in ours
    }
    return [_entry(registry, name, classes[name]) for name in sorted(classes, key=str.lower)]


def find(registry: Registry, name: str) -> Entry:
    """Return the entry of JaxDEM's class under `name`; raises ImportError without JaxDEM, KeyError without a class."""
    known = {entry.name.removeprefix(f"{PREFIX}:"): entry for entry in entries(registry)}
    found = {normalize_key(each): entry for each, entry in known.items()}.get(normalize_key(name))
    if found is None:
        raise KeyError(f"{registry.kind}: JaxDEM has no such name; got {name!r}. {suggest(name, known)}")
    return found


def _name(registry: Registry, key: str, cls: type) -> str:
    """Return a class's name as it is typed; a key has lost its capitals, which the class's own name may still have.

    JaxDEM's ``BoxSpace`` is ``Box``, and its environments are spelt as ours are: ``ThreeGears`` is ``three_gears``.
    """
    name = class_name(cls)
    spelt = [name, name.removesuffix("Space")]
    if registry is environments and _package(cls) == PREFIX:
        spelt.insert(0, _WORDS.sub("_", name).lower())
    return next((each for each in spelt if normalize_key(each) == normalize_key(key)), printable(key))


def _package(cls: type) -> str:
    return printable(str(attribute(cls, "__module__", ""))).partition(".")[0]


def _entry(registry: Registry, name: str, cls: type) -> Entry:
    package = _package(cls)
    target: Callable[..., object] = cls
    if registry is environments:
        from jaxdem_ac.plugin.from_jaxdem import hosted

        target = hosted(name, cls)
    return Entry(f"{PREFIX}:{name}", target, "JaxDEM" if package == PREFIX else package)
