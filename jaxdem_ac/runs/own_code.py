"""Classes of a user's own code in the configuration of a run: what config.json keeps, so that they are found again."""

import hashlib
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

from jaxdem_ac._messages import warn
from jaxdem_ac.plugin.references import Reference, is_reference, keep, kept_class
from jaxdem_ac.registry import Registry, action_spaces, environments, models

if TYPE_CHECKING:
    from jaxdem_ac.runs.config import TrainConfig

CODE = "code"
"""Key of config.json under which stands where the user's own classes are, by field: absent if there are none."""
FIELDS = {"env": environments, "model": models, "action_space": action_spaces}
"""Fields that name a class, and the registries that find it."""


class ClassField:
    """A field of a configuration that is the name of a class; given the class itself, it is that of the class."""

    def __init__(self, registry: Registry, default: str) -> None:
        self._registry, self._default, self._name = registry, default, ""

    def __set_name__(self, owner: type, name: str) -> None:
        """Note which field it is."""
        self._name = name

    def __get__(self, instance: object, owner: type | None = None) -> str:
        """Return the name; of the class of configurations the default."""
        return self._default if instance is None else instance.__dict__[self._name]

    def __set__(self, instance: object, value: str | type) -> None:
        """Keep a name, or that of a class; raises TypeError if it is neither, or the class is of another kind."""
        if isinstance(value, type):
            value = keep(self._registry, value)
        elif not isinstance(value, str):
            raise TypeError(
                f"TrainConfig: {self._name} is a name; got {type(value).__name__}. Pass a string, or a class."
            )
        instance.__dict__[self._name] = value


ENV = ClassField(environments, "swarm_navigator")
MODEL = ClassField(models, "SharedActorCritic")
ACTION_SPACE = ClassField(action_spaces, "MaxNorm")


def _own(config: "TrainConfig") -> dict[str, Reference]:
    """Return the references of a configuration's classes that stand in no distribution, by field."""
    found = {}
    for field, registry in FIELDS.items():
        name = getattr(config, field)
        if is_reference(name):
            found[field] = Reference.parse(registry.kind, name)
        elif registry.has_own(name):
            found[field] = Reference.of(registry.get(name))
    return found


def places(config: "TrainConfig") -> dict[str, dict[str, str]]:
    """Return where a configuration's own classes are, by field, as config.json keeps it.

    A file stands there with its path, its digest, and the path from the run's folder: of a project that is moved or
    copied as a whole the last still holds.
    """
    found = {}
    for field, reference in _own(config).items():
        if not reference.lasts:
            continue
        place = {"class": reference.qualname, "file" if reference.is_file else "module": reference.place}
        if reference.is_file:
            # Without its file a class may still be at hand.
            with suppress(OSError):
                place["sha256"] = _digest(reference.place)
        if reference.is_file and config.out is not None:
            # On another drive of Windows there is no such path.
            with suppress(ValueError):
                place["from_run"] = Path(os.path.relpath(reference.place, Path(config.out).resolve())).as_posix()
        found[field] = place
    return found


def with_places(values: Mapping[str, Any], code: object, folder: Path) -> dict[str, Any]:
    """Return the fields of a stored configuration with references to where its own classes are now.

    `code` is what :func:`places` gave, `folder` where config.json lies. Nothing is imported, and nothing is trusted; a
    file that has changed since is named in a warning. Raises ValueError if `code` is something else.
    """
    found, changed = dict(values), set()
    if not isinstance(code, Mapping) or not all(field in FIELDS and _is_place(code[field]) for field in code):
        raise ValueError(
            f"load: {CODE} of {folder / 'config.json'} says in which file or module a class is; got {code!r:.200}. "
            "Restore it as the run left it."
        )
    for field, place in code.items():
        name = found.get(field)
        if isinstance(name, str) and not is_reference(name) and name in FIELDS[field]:
            # Registered in this process too, or installed since.
            continue
        where = place.get("file") or place["module"]
        if "file" in place and "from_run" in place and (folder / place["from_run"]).is_file():
            where = str((folder / place["from_run"]).resolve())
        found[field] = f"{where}:{place['class']}"
        if "sha256" in place and Path(where).is_file() and _digest(where) != place["sha256"]:
            changed.add(where)
    if changed:
        warn(
            f"load: a run is looked at with the code that it was trained with; {', '.join(sorted(changed))} has "
            f"changed since, and {folder} may come to other figures. Bring the file back, or train again.",
            UserWarning,
        )
    return found


def _digest(file: str) -> str:
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()[:32]


def _is_place(place: object) -> bool:
    """Return whether it is what :func:`places` gives for a field."""
    texts = isinstance(place, Mapping) and all(isinstance(each, str) for each in [*place.keys(), *place.values()])
    return texts and isinstance(place, Mapping) and "class" in place and bool({"file", "module"} & place.keys())


def announce(config: "TrainConfig") -> None:
    """Say how a run with classes of a script is found again, or that it is read only with them at hand."""
    if config.out is None:
        return
    # Not a reference that was typed: it is known how that is found.
    own = {field: each for field, each in _own(config).items() if kept_class(getattr(config, field)) is not None
           or not is_reference(getattr(config, field))}  # fmt: skip
    for field, reference in own.items():
        if not reference.lasts and is_reference(getattr(config, field)):
            warn(
                f"train: {field} {reference} cannot be imported from elsewhere; {config.out!r} is read only where the "
                f"class is at hand. Define it in a file; or call jaxdem_ac.trust({reference.qualname.split('.')[-1]}) "
                "before load_policy.",
                UserWarning,
            )
    if own and all(each.lasts for each in own.values()):
        print(f"in the shell: jaxdem-ac eval {quote(str(config.out))} --trust", file=sys.stderr)
