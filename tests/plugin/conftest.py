"""A stand-in for JaxDEM, with as much of its registries as ours touch, and programs that import it."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]

FACTORY = """
import abc

IDEMPOTENT = {idempotent}


def normalize(key):
    key = key.replace(" ", "").lower()
    return key.replace("_", "").replace("-", "") if IDEMPOTENT else key


class Factory(abc.ABC):
    _registry = {{}}

    def __init_subclass__(cls, **keywords):
        super().__init_subclass__(**keywords)
        cls._registry = {{}}
        cls.__registry_name__ = None

    @classmethod
    def register(cls, key):
        def decorate(sub):
            k = normalize(key)
            if k in cls._registry and not (IDEMPOTENT and cls._registry[k] is sub):
                raise ValueError(f"{{k}} is taken")
            cls._registry[k] = sub
            if sub.__dict__.get("__registry_name__") not in (None, k):
                raise ValueError(f"{{sub}} has another name")
            sub.__registry_name__ = k
            return sub

        return decorate

    @classmethod
    def create(cls, key, **keywords):
        return cls._registry[normalize(key)](**keywords)
"""

ROOT_CLASS = """
from jaxdem.factory import Factory


class {root}(Factory):
    pass


for name in {names}:
    {root}.register(name)(type(name, ({root},), {{"__module__": __name__}}))
"""

SPACES = {"today": "action_spaces", "old": "actionSpaces"}
"""The layouts of JaxDEM: before 2026-06-12, and since."""

BEGIN = """
import json, sys, types, warnings

caught = []
warnings.simplefilter("always")
warnings.showwarning = lambda message, *_, **__: caught.append(str(message))


def stand_in():
    # Our classes without jax: that JaxDEM takes the true ones is tested where it is installed.
    from jaxdem_ac import registry

    for one in (registry.models, registry.action_spaces):
        for name in one.held():
            target = one.find(name).target
            if isinstance(target, str):
                module, _, attribute = target.partition(":")
                made = sys.modules.setdefault(module, types.ModuleType(module))
                setattr(made, attribute, type(attribute, (), {"__module__": module}))
    # An adapter around ours needs all of an environment.
    for name in registry.environments.held():
        registry.environments.forget(name)


def held(root):
    return {key: f"{cls.__module__.partition('.')[0]}:{cls.__name__}" for key, cls in root._registry.items()}


def hooks():
    return sum(type(finder).__name__ == "_Hook" for finder in sys.meta_path)


stand_in()
from jaxdem_ac.plugin.registration import remove_hook, install_hook, register

remove_hook()
"""

Host = Callable[..., Path]
Run = Callable[..., dict[str, Any]]


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """Return a function that writes the stand-in and returns the folder to import it from."""

    def write(layout: str = "today", before: str = "", after: str = "") -> Path:
        spaces = SPACES[layout]
        files = {
            "__init__.py": "",
            "factory.py": FACTORY.format(idempotent=layout == "today"),
            "rl/__init__.py": "\n".join(
                [
                    before,
                    "from .environments import Environment",
                    "from .models import Model",
                    f"from .{spaces} import ActionSpace",
                    after,
                ]
            ),
            "rl/environments/__init__.py": ROOT_CLASS.format(root="Environment", names=["swarm_navigator"]),
            "rl/models/__init__.py": ROOT_CLASS.format(root="Model", names=["SharedActorCritic", "ActorCritic"]),
            f"rl/{spaces}/__init__.py": ROOT_CLASS.format(root="ActionSpace", names=["Free", "Box", "MaxNorm"]),
            "rl/notes.txt": "a resource",
        }
        for name, text in files.items():
            path = tmp_path / "host" / "jaxdem" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path / "host"

    return write


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Return a function that runs a program in a process of its own.

    The answer is what the program leaves in ``result``, and the warnings and messages it caused.
    """

    def execute(program: str, *folders: Path) -> dict[str, Any]:
        path = os.pathsep.join(str(folder) for folder in (*folders, ROOT))
        end = "\nprint(json.dumps({'result': result, 'warnings': caught, 'hooks': hooks()}))"
        done = subprocess.run(
            [sys.executable, "-c", f"{BEGIN}\n{program}{end}"],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    return execute
