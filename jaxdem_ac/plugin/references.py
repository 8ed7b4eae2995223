"""Classes of a user's own code, outside the registries: ``my_file.py:Flock``, ``my_package.tasks:Flock``.

A text may come from anybody's file, and importing what it names runs that code. So a reference is found only once it
is trusted: typed as an option of the command line, or given to :func:`trust`. A class itself needs no import.
"""

import hashlib
import importlib
import importlib.util
import pkgutil
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from jaxdem_ac.registry import HOSTED, Entry, Registry, action_spaces, environments, models, suggest
from jaxdem_ac.untrusted import attempt, attribute, class_name, one_line, printable

ORIGIN = "your code"
"""Origin of a class that a reference names, in place of a distribution."""

_LOCALS = "<locals>"
_BASES = {
    environments.kind: "jaxdem_ac.environments.base:Environment",
    models.kind: "flax.nnx:Module",
    action_spaces.kind: "jaxdem_ac.action_spaces.base:ActionSpace",
}
_OPTIONS = {models.kind: "--model", action_spaces.kind: "--action-space", environments.kind: "--env"}


@dataclass(frozen=True)
class Reference:
    """A class in a file or in a module."""

    place: str
    """The file, an absolute path; or the module's dotted name."""
    is_file: bool
    """Whether it is in a file."""
    qualname: str
    """The class's name there, with dots if it stands within another."""

    def __str__(self) -> str:
        """Return it as a user writes it."""
        return f"{self.place}:{self.qualname}"

    @classmethod
    def parse(cls, where: str, text: str) -> "Reference":
        """Return what a text names, or raise ValueError; the path of a file counts from the working directory."""
        place, colon, qualname = text.rpartition(":")
        named = bool(colon) and all(part.isidentifier() or part == _LOCALS for part in qualname.split("."))
        if named and text.isprintable():
            if place.endswith(".py"):
                return cls(str(Path(place).expanduser().resolve()), True, qualname)
            if all(part.isidentifier() for part in place.split(".")):
                return cls(place, False, qualname)
        raise ValueError(
            f"{where}: a class outside the registries is file.py:Class or package.module:Class; got {text!r:.200}. "
            "Write my_file.py:Flock, say."
        )

    @classmethod
    def of(cls, target: type) -> "Reference":
        """Return where a class was defined, as far as that can be said: see :attr:`lasts`."""
        name, qualname = (str(attribute(target, each, "")) for each in ("__module__", "__qualname__"))
        module = sys.modules.get(name)
        file, spec = attribute(module, "__file__", None), attribute(module, "__spec__", None)
        if name == "__main__" and spec is not None:
            # `python -m package.module`
            name = str(spec.name)
        alone = "." not in name and not hasattr(module, "__path__") and "site-packages" not in str(file)
        if alone and type(file) is str and file.endswith(".py") and Path(file).is_file():
            return cls(str(Path(file).resolve()), True, qualname)
        return cls(name, False, qualname)

    @property
    def lasts(self) -> bool:
        """Whether another process can find it: not if it was defined at a prompt, in a notebook or in a function."""
        return self.place != "__main__" and _LOCALS not in self.qualname


@dataclass
class _Trust:
    """Code that may be imported in this process."""

    known: dict[Reference, type | None]
    """References, with the class where there is one already."""
    typed: dict[Reference, str]
    """References that options give for what a file names, with the option, until they have been of use."""
    everything: bool = False


_trust = _Trust({}, {})
_loading: list[str] = []


def install() -> None:
    """Have every registry find references here."""
    for registry in HOSTED:
        registry.on_reference(partial(find, registry))


def is_reference(name: object) -> bool:
    """Return whether a name is meant for code outside the registries, well-formed or not."""
    return isinstance(name, str) and environments.is_reference(name)


def short_name(name: str) -> str:
    """Return a name for titles and folders: of a reference its class alone."""
    return name.rpartition(":")[2] if is_reference(name) else name


def trust(code: str | type) -> None:
    """Allow a class outside the registries to be imported, for this process.

    What a run, a configuration or a recording names is somebody's text until then, and is not imported. A file that has
    been moved is found by its name and its class: trust it where it is now.

    Parameters
    ----------
    code : str or type
        ``"my_file.py:Flock"``, the path from the working directory; ``"my_package.tasks:Flock"``; or the class itself,
        defined anew in a notebook, say: of two with one name the newer counts.

    Raises
    ------
    TypeError, ValueError
        If it is neither text nor a class, or the text is no reference.
    """
    if isinstance(code, type):
        _trust.known[Reference.of(code)] = code
    elif isinstance(code, str):
        _trust.known.setdefault(Reference.parse("trust", code), None)
    else:
        raise TypeError(f"trust: code is a reference or a class; got {type(code).__name__}. Pass 'my_file.py:Flock'.")


def trust_typed(option: str, text: str) -> None:
    """Trust what an option of the command line says for a name in a file; see :func:`unused`."""
    reference = Reference.parse(option, text)
    trust(text)
    _trust.typed[reference] = option


def trust_everything() -> None:
    """Allow all that is named to be imported, until :func:`scope` ends."""
    _trust.everything = True


def unused() -> list[str]:
    """Return a sentence for each option of the command line that has been of no use."""
    return [f"{option} {reference} was not needed: nothing names that class." for reference, option in
            _trust.typed.items()]  # fmt: skip


@contextmanager
def scope() -> Iterator[None]:
    """Forget in the end what has been trusted inside: a command is trusted once."""
    global _trust
    before, _trust = _trust, _Trust(dict(_trust.known), {})
    try:
        yield
    finally:
        _trust = before


def keep(registry: Registry, cls: type) -> str:
    """Return the name of a class, registered or a reference, trusted from now; TypeError if it is of another kind."""
    # A plugin may have it.
    registry.names()
    name = registry.name_of(cls)
    if name is not None:
        return name
    _checked(registry, class_name(cls), cls)
    trust(cls)
    return str(Reference.of(cls))


def kept_class(name: str) -> type | None:
    """Return the class that this process has been given for a reference, or None."""
    return _trust.known.get(Reference.parse("trust", name)) if is_reference(name) else None


def check_not_loading(where: str) -> None:
    """Raise RuntimeError while a user's file is imported for a class: a script is not run for that."""
    if _loading:
        raise RuntimeError(
            f"{where}: a file that is imported for its class trains nothing; got {_loading[-1]}, which begins a "
            'training. Put what it does as a script under: if __name__ == "__main__":'
        )


def find(registry: Registry, name: str) -> Entry:
    """Return the entry of the class that a reference names.

    Raises
    ------
    ValueError, TypeError
        If it is no reference, or the class is of another kind than the registry's.
    PermissionError
        If it is not trusted; nothing has been imported then.
    FileNotFoundError, ImportError, KeyError
        If there is no such file; if its code cannot be imported, with the line; if there is no such class, with the
        nearest.
    """
    reference = _permitted(registry, Reference.parse(registry.kind, name))
    _trust.typed.pop(reference, None)
    found = _trust.known.get(reference) or _class_of(registry, reference, _module_of(registry, reference))
    return Entry(name, _checked(registry, str(reference), found), ORIGIN)


def _permitted(registry: Registry, reference: Reference) -> Reference:
    """Return what may be imported in answer to a reference, or raise; nothing is imported here."""
    if _trust.known.get(reference) is not None:
        return reference
    kind, option = registry.kind, _OPTIONS[registry.kind]
    if not reference.lasts:
        raise PermissionError(
            f"{kind}: a class of a notebook, a prompt or a function is found where it is at hand; got "
            f"{str(reference)!r}. Define it, then call jaxdem_ac.trust({reference.qualname.rpartition('.')[2]})."
        )
    path = Path(reference.place)
    if reference.is_file and not path.is_file():
        moved = [each for each in _trust.known if each.is_file and each.qualname == reference.qualname]
        moved = [each for each in moved if Path(each.place).name == path.name and Path(each.place).is_file()]
        if len(moved) == 1:
            return moved[0]
        got = "a folder" if path.is_dir() else "no such file"
        raise FileNotFoundError(
            f"{kind}: the file of a class is there; got {got} at {str(path)!r}, for {reference.qualname}. Give it "
            f"where it is now: jaxdem_ac.trust('FOLDER/{path.name}:{reference.qualname}') in Python, {option} "
            f"FOLDER/{path.name}:{reference.qualname} on the command line."
        )
    if reference in _trust.known or _trust.everything:
        return reference
    raise PermissionError(
        f"{kind}: code outside the registries is imported once you trust it; got {str(reference)!r}. Look at it, then "
        f"call jaxdem_ac.trust({str(reference)!r}) in Python, or add --trust on the command line."
    )


def _module_of(registry: Registry, reference: Reference) -> ModuleType:
    """Return the module of a trusted reference, imported once in a process."""
    found = _imported(reference)
    if found is not None:
        return found
    # Last: what is installed is not shadowed by files that lie about.
    folder = str(Path(reference.place).parent if reference.is_file else Path.cwd())
    if folder not in sys.path:
        sys.path.append(folder)
    importlib.invalidate_caches()
    load = partial(_load_file if reference.is_file else importlib.import_module, reference.place)
    _loading.append(str(reference))
    try:
        module, error = attempt(load)
    finally:
        _loading.pop()
    if error is not None:
        advice, missing = "Mend it.", error.name if isinstance(error, ModuleNotFoundError) else None
        if missing and not reference.is_file and f"{reference.place}.".startswith(f"{missing}."):
            advice = "Install that package, or work in the folder where it lies; a file is written my_file.py:Flock."
        told = _told(error, reference)
        raise ImportError(
            f"{registry.kind}: the code of {reference.qualname} can be imported; got {told}. {advice}"
        ) from error
    made: ModuleType = module
    return made


def _imported(reference: Reference) -> ModuleType | None:
    """Return the module of a reference if it has been imported, under whatever name."""
    if not reference.is_file:
        return sys.modules.get(reference.place)
    for module in [sys.modules.get(_name_of(reference.place)), *list(sys.modules.values())]:
        file = attribute(module, "__file__", None)
        # Cheap first: of a thousand modules one is asked where it really lies.
        alike = type(file) is str and Path(file).name == Path(reference.place).name
        if alike and str(Path(str(file)).resolve()) == reference.place:
            return module
    return None


def _name_of(path: str) -> str:
    """Return the name of a file's module: the same one always, and nobody else's."""
    return f"_own_{Path(path).stem}_{hashlib.sha256(path.encode()).hexdigest()[:12]}"


def _load_file(path: str) -> ModuleType:
    name = _name_of(path)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Before it runs: dataclasses look there for their module.
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _told(error: BaseException, reference: Reference) -> str:
    """Return an error, and the line of the user's code that it comes from."""
    said = one_line(error)
    frames = [each for each in traceback.extract_tb(error.__traceback__) if not each.filename.startswith("<frozen")]
    # The deepest line of the user's, not of a library that it calls.
    own = [each for each in frames if reference.is_file and each.filename == reference.place]
    own = own or [each for each in frames if not _is_library(each.filename)]
    lines = [(each.filename, each.lineno, each.line or "") for each in own[-1:]]
    if isinstance(error, SyntaxError) and error.filename:
        said, lines = f"SyntaxError: {error.msg}", [(error.filename, error.lineno, str.strip(error.text or ""))]
    return "".join(f"line {number} of {file}, `{printable(text)}`: " for file, number, text in lines) + said


def _is_library(file: str) -> bool:
    return "site-packages" in file or file.startswith(
        (str(Path(__file__).parents[1]), str(Path(importlib.__file__).parent))
    )


def _class_of(registry: Registry, reference: Reference, module: ModuleType) -> object:
    """Return what a reference names in its module."""
    found: Any = module
    for part in reference.qualname.split("."):
        found = attribute(found, part, None)
    if found is None:
        own = {each: value for each, value in vars(module).items() if issubclass(type(value), type)}
        names = [each for each, value in own.items() if attribute(value, "__module__", "") == module.__name__]
        raise KeyError(
            f"{registry.kind}: {reference.place} has no such class; got {reference.qualname!r}. "
            f"{suggest(reference.qualname, names)}"
        )
    return found


def _checked(registry: Registry, where: str, found: object) -> Any:
    """Return a class of the registry's kind, or raise TypeError."""
    base = pkgutil.resolve_name(_BASES[registry.kind])
    if not issubclass(type(found), type):
        got = f"a {class_name(type(found))}"
    else:
        cls: Any = found
        got = f"the class {class_name(cls)}"
        host = sys.modules.get("jaxdem.rl")
        if registry is environments and host is not None and issubclass(cls, host.Environment):
            from jaxdem_ac.plugin.from_jaxdem import hosted

            return hosted(class_name(cls), cls)
        if issubclass(cls, base):
            return cls
    raise TypeError(
        f"{registry.kind}: {where} is a class on {base.__module__}.{base.__qualname__}; got {got}. Name another."
    )
