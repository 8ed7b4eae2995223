"""Registration of our classes in JaxDEM's registries, as soon as both are imported.

JaxDEM has no entry-point loader; a class is known to it once somebody registers it. :func:`install_hook`
makes that happen when ``jaxdem.rl`` is imported, by whomever, without importing it.
"""

import abc
import contextlib
import importlib
import sys
import threading
from collections.abc import Callable, Sequence
from functools import partial
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Protocol

from jaxdem_ac._messages import warn
from jaxdem_ac.plugin.jaxdem import HOST, import_host, is_importing
from jaxdem_ac.registry import Entry, Registry, action_spaces, environments, models, normalize_key
from jaxdem_ac.untrusted import attempt, attribute, one_line

if TYPE_CHECKING:
    from importlib.abc import Loader

    from _typeshed.importlib import MetaPathFinderProtocol


class Root(Protocol):
    """A base class of JaxDEM's that keeps a registry of its subclasses."""

    _registry: dict[str, type]

    def register(self, name: str) -> Callable[[type], type]:
        """Return a decorator that registers a class."""


PENDING_MODULES: set[str] = set()
"""Modules of plugins that discovery left for later, because they were being imported at that moment."""

_ROOTS = (("Model", models), ("ActionSpace", action_spaces), ("Environment", environments))
_running = False
_STAMP = "__registry_name__"


def register(*, replace: bool = False) -> None:
    """Put every model and action space, those of plugins included, into JaxDEM's registries.

    Each stands under ``ac.<name>``, the name that JaxDEM's checkpoints store, and under ``<name>`` too where JaxDEM has
    nothing there. ``isinstance`` against JaxDEM's base classes is true for them. It may be called any number of times;
    call it again to add what was put into our registries since.

    If this JaxDEM lacks what is needed or refuses a class, there is one RuntimeWarning; everything else is registered.

    Parameters
    ----------
    replace : bool
        Take the names of JaxDEM's own classes as well. A later call without it does not undo that.

    Raises
    ------
    ImportError, TypeError
        If JaxDEM cannot be imported, or `replace` is no flag.
    """
    if not isinstance(replace, bool):
        # Not above: JaxDEM may be imported where there is no NumPy yet, and this package with it.
        from jaxdem_ac._checks import check_flag

        check_flag("register", "replace", replace)
    remove_hook()
    try:
        rl = import_host("register")
    except ImportError:
        install_hook()
        raise
    global _running
    PENDING_MODULES.clear()
    _running = True
    try:
        problems = [problem for root, registry in _ROOTS for problem in _fill(rl, root, registry, replace)]
    finally:
        _running = False
    if PENDING_MODULES:
        sys.meta_path.insert(0, _Hook())
    if problems:
        warn(f"register: JaxDEM did not take everything; got {'; '.join(problems)}. Update JaxDEM and jaxdem-ac.")


def register_found() -> None:
    """Register what discovery has just found, if JaxDEM is imported and no registration is waiting for it."""
    if _is_ready() and not _running:
        _register_guarded()


def _register_guarded() -> None:
    """Register as :func:`register` does, with a warning in place of any error."""
    try:
        register()
    except Exception as error:
        warn(
            f"register: JaxDEM goes on without our classes; got {one_line(error)}. "
            "Call jaxdem_ac.register() to try again."
        )


def _fill(rl: ModuleType, root_name: str, registry: Registry, replace: bool) -> list[str]:
    """Put all of `registry` into the host's class of that name; return what went wrong, one phrase each."""
    # Its module has moved (`actionSpaces`, since 2026-06-12 `action_spaces`); `jaxdem.rl` exports it in both.
    root = getattr(rl, root_name, None)
    if root is None or not issubclass(type(root), abc.ABCMeta):
        return [f"{rl.__name__} has no class {root_name}"]
    # Not `hasattr`: every such class has the `register` of `abc` too.
    own = {name for base in root.__mro__ for name in vars(base)}
    missing = [name for name in ("register", "_registry") if name not in own]
    if missing:
        return [f"{root_name} has no {name}" for name in missing]
    problems = []
    for entry in registry.entries():
        _, error = attempt(partial(_put_entry, root, registry, entry, replace))
        if error is not None:
            problems.append(f"{entry.name}: {one_line(error)}")
    return problems


def _put_entry(root: Root, registry: Registry, entry: Entry, replace: bool) -> None:
    name, cls = entry.name.removeprefix(registry.prefix), entry.load()
    if registry is environments and getattr(cls, "host_class", None) is not None:
        # It was written for JaxDEM.
        cls = cls.host_class
    elif registry is environments:
        from jaxdem_ac.plugin.to_jaxdem import guest

        cls = guest(cls, f"ac.{name}")
    # `root.register` is the host's own: this is the one of `abc`.
    abc.ABCMeta.register(root, cls)  # type: ignore[arg-type]
    _put(root, f"ac.{name}", cls)
    holder = _holder(root, name)
    if holder is None:
        _put(root, name, cls)
    elif replace and holder.__module__.partition(".")[0] == "jaxdem":
        # The host has no public way to replace a class.
        for key in _keys(name) & root._registry.keys():
            root._registry[key] = cls


def _put(root: Root, name: str, cls: type) -> None:
    """Register `cls` under `name`, unless it stands there; it keeps the name it was first registered under.

    The host stamps a class with its name, which checkpoints store, and refuses a second one. So the stamp is
    taken off for the moment.
    """
    if _holder(root, name) is cls:
        return
    stamp = cls.__dict__.get(_STAMP)
    if stamp is not None:
        setattr(cls, _STAMP, None)
    try:
        root.register(name)(cls)
    finally:
        if stamp is not None:
            setattr(cls, _STAMP, stamp)


def registered_names() -> dict[str, list[str]]:
    """Return the names under which our classes, those of plugins included, stand in JaxDEM, by kind; it is imported."""
    rl, found = importlib.import_module(HOST), {}
    for root_name, registry in _ROOTS:
        root = getattr(rl, root_name, None)
        loaded = {entry.name: entry.load() for entry in registry.entries()} if hasattr(root, "_registry") else {}
        held = {f"{prefix}{name}": made for name, made in loaded.items() for prefix in (registry.prefix, "")}
        found[registry.kind] = [name for name, made in held.items() if _is_of(made, _holder(root, name))]
    return found


def _is_of(made: object, holder: type | None) -> bool:
    """Return whether a class in the host is one of ours, or its adapter."""
    return holder is not None and attribute(holder, "guest_of", holder) is attribute(made, "host_class", made)


def _holder(root: object, name: str) -> type | None:
    """Return the class that stands under `name` in the host's registry, if any."""
    classes: dict[str, type] = getattr(root, "_registry", {})
    return next((classes[key] for key in _keys(name) if key in classes), None)


def _keys(name: str) -> set[str]:
    """Return `name` as the host compares it: since 2026-06-12, and before, when ``_`` and ``-`` counted."""
    return {normalize_key(name), name.replace(" ", "").lower()}


def install_hook() -> None:
    """Register with JaxDEM now if ``jaxdem.rl`` is imported, otherwise once it is; never imports it."""
    if _is_ready():
        _register_guarded()
    elif not _hooks():
        sys.meta_path.insert(0, _Hook())


def _is_ready() -> bool:
    """Return whether ``jaxdem.rl`` is imported, to the end."""
    return HOST in sys.modules and not is_importing(HOST)


def _hooks() -> "list[MetaPathFinderProtocol]":
    # By name: after a reload of this module the class is another one.
    name = (_Hook.__module__, _Hook.__qualname__)
    return [finder for finder in sys.meta_path if (type(finder).__module__, type(finder).__qualname__) == name]


def remove_hook() -> None:
    """Have nothing follow the import of ``jaxdem.rl``, until :func:`install_hook` is called again."""
    for hook in _hooks():
        sys.meta_path.remove(hook)


class _Hook:
    """A finder that finds nothing itself: it has our registration follow the import of ``jaxdem.rl``."""

    def __init__(self) -> None:
        self._threads: set[int] = set()
        """Threads that are in :meth:`_ask_the_others`."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return what the other finders find for ``jaxdem.rl``, with our registration after it."""
        if fullname == HOST:
            spec = self._ask_the_others(fullname, path, target)
            if spec is not None:
                _register_after(spec.loader)
            return spec
        if _is_ready() and not any(map(is_importing, PENDING_MODULES)):
            # JaxDEM was being imported when this hook was installed, or its loader could not be wrapped, or a
            # plugin was being imported when JaxDEM was.
            _register_guarded()
            # Removing the hook moved the finder behind it out of the loop that is calling us.
            return self._ask_the_others(fullname, path, target)
        return None

    def _ask_the_others(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None
    ) -> ModuleSpec | None:
        thread = threading.get_ident()
        if thread in self._threads:
            # Another hook that works as this one does is asking us in turn.
            return None
        self._threads.add(thread)
        try:
            for finder in list(sys.meta_path):
                if finder is not self and hasattr(finder, "find_spec"):
                    spec = finder.find_spec(fullname, path, target)
                    if spec is not None:
                        return spec
            return None
        finally:
            self._threads.discard(thread)


class _ExecThenRegister:
    """The ``exec_module`` of a loader, followed by our registration once ``jaxdem.rl`` has run."""

    def __init__(self, loader: "Loader") -> None:
        self._loader = loader
        self._exec_module = loader.exec_module

    def __call__(self, module: ModuleType) -> None:
        self._exec_module(module)
        # Not another module of the same zip archive, nor a private copy that somebody made.
        if module is sys.modules.get(HOST):
            del self._loader.exec_module
            # The import system does this next; a plugin that says `jaxdem.rl.Model` needs it now.
            parent, _, child = HOST.rpartition(".")
            setattr(sys.modules[parent], child, module)
            _register_guarded()


def _register_after(loader: "Loader | None") -> None:
    """Wrap ``exec_module`` on the loader itself, so that it stays the type it is, with all it can do."""
    wrapped = isinstance(getattr(loader, "exec_module", None), _ExecThenRegister)
    if loader is None or isinstance(loader, type) or wrapped:
        return
    # Where this fails, the hook registers at the first import after that of `jaxdem.rl`.
    with contextlib.suppress(AttributeError):
        loader.exec_module = _ExecThenRegister(loader)  # type: ignore[method-assign]
