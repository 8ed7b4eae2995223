"""Configurations in files: YAML or JSON, the user's own or those that come with the package."""

import json
import re
from collections.abc import Hashable, Mapping
from importlib import resources
from pathlib import Path
from typing import ClassVar

import yaml

from jaxdem_ac._files import DEEPEST, as_path, is_deep, parse_json
from jaxdem_ac._types import Json
from jaxdem_ac.registry import suggest
from jaxdem_ac.runs.own_code import CODE, with_places

REFERENCE = "reference"
"""Names of configurations that come with the package begin with it: ``reference/swarm_navigator``."""


def reference_names() -> list[str]:
    """Return the sorted names of the configurations that come with the package."""
    files = resources.files("jaxdem_ac.runs").joinpath(REFERENCE).iterdir()
    return sorted(f"{REFERENCE}/{each.name.removesuffix('.yaml')}" for each in files if each.name.endswith(".yaml"))


def read_values(path: str | Path) -> Mapping[str, Json]:
    """Return what a file says, as `TrainConfig.from_dict` takes it; numbers as ``1e-3`` are numbers.

    The file is ``.json``, a run's config.json too, or YAML; `path` may be one of :func:`reference_names`. Raises
    FileNotFoundError if it is neither, ValueError if it is not YAML or JSON, sets a field twice, or is no mapping.
    """
    path = as_path("config", "path", path)
    text = _text(path)
    values = _from_json(path, text) if str(path).endswith(".json") else _from_yaml(path, text)
    if not isinstance(values, dict):
        raise ValueError(
            f"config: {path} is a mapping of fields to values; got {type(values).__name__}. Write steps: 1000000, say."
        )
    if values.keys() - {CODE} == {"format", "config"} and isinstance(values["config"], dict):
        return with_places(values["config"], values[CODE], path.parent) if CODE in values else values["config"]
    return values


def _text(path: Path) -> str:
    names = reference_names()
    if not path.exists() and str(path) in names:
        return resources.files("jaxdem_ac.runs").joinpath(f"{path}.yaml").read_text(encoding="utf-8")
    try:
        return path.read_text(encoding="utf-8")
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


def _from_json(path: Path, text: str) -> Json:
    def once(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
        values = dict(pairs)
        if len(values) < len(pairs):
            twice = next(name for number, (name, _) in enumerate(pairs) if name in dict(pairs[:number]))
            raise ValueError(f"config: {path} sets a field once; got {twice!r} twice. Leave one out.")
        return values

    try:
        return parse_json(text, once)
    except json.JSONDecodeError as error:
        raise ValueError(f"config: {path} is JSON; got {error.msg!r} at line {error.lineno}. Mend it.") from None
    except ValueError as error:
        raise error if str(error).startswith("config: ") else _unread(path, "JSON", error) from None


def _from_yaml(path: Path, text: str) -> Json:
    try:
        # A subclass of the safe loader: it makes numbers, strings, lists and mappings, and nothing else.
        values = yaml.load(text, _Loader)
        if is_deep(values):
            raise RecursionError
        return values
    except RecursionError:
        raise _unread(path, "YAML", f"nested deeper than {DEEPEST} lists and mappings") from None
    except _TwiceError as error:
        raise ValueError(
            f"config: {path} sets a field once; got {error.problem} twice, again at line {_line(error)}. Leave one out."
        ) from None
    except yaml.MarkedYAMLError as error:
        raise ValueError(f"config: {path} is YAML; got {error.problem!r} at line {_line(error)}. Mend it.") from None
    except (yaml.YAMLError, ValueError) as error:
        raise _unread(path, "YAML", error) from None


def _unread(path: Path, kind: str, reason: object) -> ValueError:
    return ValueError(f"config: {path} is {kind}; got {str(reason).splitlines()[0]!r}. Mend it.")


def _line(error: yaml.MarkedYAMLError) -> int | str:
    mark = error.problem_mark or error.context_mark
    return "?" if mark is None else mark.line + 1


class _TwiceError(yaml.constructor.ConstructorError):
    """A key that stands twice in one mapping."""


class _Loader(yaml.SafeLoader):
    """The safe loader for the core schema of YAML 1.2, without mappings that say two things of one key.

    PyYAML reads YAML 1.1, where 010 is 8, 1:30 is 90, 1e-3 is a string, and `no` is false.
    """

    yaml_implicit_resolvers: ClassVar[dict[str, list[tuple[str, re.Pattern[str]]]]] = {}

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, object]:
        """Return a mapping of different keys."""
        seen = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                raise _TwiceError(problem=repr(key.value), problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)

    def construct_int(self, node: yaml.ScalarNode) -> int:
        """Return a whole number: 0o10 and 0x10 are octal and hexadecimal, 010 is ten."""
        text = self.construct_scalar(node)
        base = {"0o": 8, "0x": 16}.get(text[:2], 10)
        return int(text if base == 10 else text[2:], base)

    def construct_float(self, node: yaml.ScalarNode) -> float:
        """Return a number."""
        return float(self.construct_scalar(node).lower().replace(".inf", "inf").replace(".nan", "nan"))


# YAML 1.2.2, section 10.3.2; and of 1.1 `<<`, which merges mappings, and 4_000_000, in our own files too.
_DIGITS = "[0-9](_?[0-9])*"
_CORE = {
    "null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    "bool": (r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    "int": (rf"[-+]?{_DIGITS}|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    "float": (
        rf"[-+]?(\.{_DIGITS}|{_DIGITS}(\.({_DIGITS})?)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
    "merge": (r"<<", ["<"]),
}
for _name, (_pattern, _first) in _CORE.items():
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_name}", re.compile(rf"(?:{_pattern})\Z"), _first)
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_int)
_Loader.add_constructor("tag:yaml.org,2002:float", _Loader.construct_float)
