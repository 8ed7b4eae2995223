"""A new plugin: the files of a distribution with one environment and its test."""

import keyword
import re
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from string import Template

from jaxdem_ac._files import as_path, unwritable, write_text
from jaxdem_ac.plugin.discovery import known_names
from jaxdem_ac.registry import environments, normalize_key

# What is written, and of which template.
_FILES = {
    "pyproject.toml": "pyproject.toml.txt",
    "README.md": "README.md.txt",
    "src/{package}/__init__.py": "__init__.py.txt",
    "src/{package}/environment.py": "environment.py.txt",
    "tests/test_{package}.py": "test_plugin.py.txt",
}


def write_plugin(name: str, folder: str | Path | None = None) -> Path:
    """Write a plugin of an environment, ready to be installed and tested; return its folder.

    Parameters
    ----------
    name : str
        Of the distribution and the environment, as "my-flock": letters, digits, ``-`` and ``_``, a letter first.
    folder : path, optional
        Where; a new one called `name` in the current folder if left out.

    Raises
    ------
    FileExistsError, ValueError
        If the folder is there already, and not empty; if the name is none, or that of another environment or module.
    """
    package = re.sub(r"[-_]+", "_", name).lower()
    cls = "".join(part.capitalize() for part in package.split("_"))
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9]*([-_]+[A-Za-z0-9]+)*", name) or {package, cls} & {*keyword.kwlist}:
        raise ValueError(
            f"plugin new: a name has letters, digits, - and _, a letter first, and is no word of Python; got {name!r}. "
            "Choose another, my-flock say."
        )
    taken = {normalize_key(known): known for known in known_names(environments)}
    if normalize_key(package) in taken:
        raise ValueError(
            f"plugin new: an environment of its own has a name of its own; got {name!r}, and there is "
            f"{taken[normalize_key(package)]!r}. Choose another."
        )
    # A folder of that name has a specification too, without an origin.
    there = getattr(find_spec(package), "origin", None)
    if there is not None or re.search(rf"^from .* import .*\b{cls}\b", _text("environment.py.txt"), re.MULTILINE):
        raise ValueError(
            f"plugin new: a package and its class have names of their own; got {name!r}, and there is {there or cls}. "
            "Choose another, my-flock say."
        )
    path = Path(name) if folder is None else as_path("plugin new", "folder", folder)
    try:
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise FileExistsError(
                f"plugin new: a plugin begins in a new folder; got {str(path)!r}, which is there. Choose another."
            )
        words = {"name": package, "package": package, "distribution": package.replace("_", "-"), "cls": cls}
        for target, source in _FILES.items():
            place = path / target.format(package=package)
            place.parent.mkdir(parents=True, exist_ok=True)
            write_text(place, Template(_text(source)).substitute(words))
    except FileExistsError:
        raise
    except OSError as error:
        raise unwritable(path, error) from error
    return path


def _text(source: str) -> str:
    return (files("jaxdem_ac.plugin") / "scaffold" / source).read_text(encoding="utf-8")
