"""Configurations in files: YAML or JSON, the user's own or those that come with the package."""

import json
import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from jaxdem_ac.registry import suggest

REFERENCE = "reference"
"""Names of configurations that come with the package begin with it: ``reference/swarm_navigator``."""


def reference_names() -> list[str]:
    """Return the sorted names of the configurations that come with the package."""
    files = resources.files("jaxdem_ac.trainers").joinpath(REFERENCE).iterdir()
    return sorted(f"{REFERENCE}/{each.name.removesuffix('.yaml')}" for each in files if each.name.endswith(".yaml"))


def read_values(path: str | Path) -> Mapping[str, Any]:
    """Return what a file says, as `TrainConfig.from_dict` takes it; numbers as ``1e-3`` are numbers.

    Parameters
    ----------
    path : path
        A file, ``.json`` or YAML; a run's config.json too; or a name of :func:`reference_names`.

    Raises
    ------
    FileNotFoundError
        If there is neither a file nor a name; the message gives the nearest name and all.
    ValueError
        If it is not YAML or JSON, with the line; sets a field twice; or is no mapping.
    """
    text = _text(path)
    values = _from_json(path, text) if str(path).endswith(".json") else _from_yaml(path, text)
    if not isinstance(values, dict):
        raise ValueError(
            f"config: {path} is a mapping of fields to values; got {type(values).__name__}. Write steps: 1000000, say."
        )
    if values.keys() == {"format", "config"} and isinstance(values["config"], dict):
        return values["config"]
    return values


def _text(path: str | Path) -> str:
    names = reference_names()
    if not Path(path).exists() and str(path) in names:
        return resources.files("jaxdem_ac.trainers").joinpath(f"{path}.yaml").read_text(encoding="utf-8")
    try:
        return Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise FileNotFoundError(
            f"config: a configuration is a file, or comes with the package; got {str(path)!r}, which is neither. "
            f"{suggest(str(path), names)}"
        ) from None
    except UnicodeDecodeError as error:
        raise ValueError(
            f"config: {path} is text in UTF-8; got {error.reason} at byte {error.start}. Mend it."
        ) from None
    except OSError as error:
        raise type(error)(f"config: {path} is a file that can be read; got {error.strerror}. Give another.") from None


def _from_json(path: str | Path, text: str) -> Any:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        values = dict(pairs)
        if len(values) < len(pairs):
            twice = next(name for number, (name, _) in enumerate(pairs) if name in dict(pairs[:number]))
            raise ValueError(f"config: {path} sets a field once; got {twice!r} twice. Leave one out.")
        return values

    try:
        return json.loads(text, object_pairs_hook=once)
    except json.JSONDecodeError as error:
        raise ValueError(f"config: {path} is JSON; got {error.msg!r} at line {error.lineno}. Mend it.") from None


def _from_yaml(path: str | Path, text: str) -> Any:
    try:
        # A subclass of the safe loader: it makes numbers, strings, lists and mappings, and nothing else.
        return yaml.load(text, _Loader)
    except _TwiceError as error:
        raise ValueError(
            f"config: {path} sets a field once; got {error.problem} twice, again at line {_line(error)}. Leave one out."
        ) from None
    except yaml.MarkedYAMLError as error:
        raise ValueError(f"config: {path} is YAML; got {error.problem!r} at line {_line(error)}. Mend it.") from None
    except (yaml.YAMLError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"config: {path} is YAML; got {reason!r}. Mend it.") from None


def _line(error: yaml.MarkedYAMLError) -> int | str:
    mark = error.problem_mark or error.context_mark
    return "?" if mark is None else mark.line + 1


class _TwiceError(yaml.constructor.ConstructorError):
    """A key that stands twice in one mapping."""


class _Loader(yaml.SafeLoader):
    """The safe loader, with numbers as ``1e-3``, and without mappings that say two things of one key."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Return a mapping of different keys."""
        seen = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                raise _TwiceError(problem=repr(key.value), problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


# In YAML 1.1, which PyYAML reads, a number with an exponent needs a point and a sign: 1e-3 would be a string.
_EXPONENT = re.compile(r"[-+]?(\d[\d_]*(\.\d*)?|\.\d+)[eE][-+]?\d+$")
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _EXPONENT, list("-+.0123456789"))
