"""Registration with JaxDEM and the import hook, over a stand-in for it; each program is its own process."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Host = Callable[..., Path]
Run = Callable[..., dict[str, Any]]

ORDERS = {
    "we come first": "install_hook(); import jaxdem.rl",
    "we come last": "import jaxdem.rl; install_hook()",
    "without its rl": "import jaxdem; install_hook(); import jaxdem.rl",
    "by a submodule": "install_hook(); from jaxdem.rl.models import Model",
    "hook twice": "install_hook(); install_hook(); import jaxdem.rl",
    "by hand": "register()",
    "by hand, with the hook": "install_hook(); register()",
    "hook and by hand": "install_hook(); import jaxdem.rl; register(); register()",
}

LOOK = """
from jaxdem.rl import ActionSpace, Model
result = [held(Model), held(ActionSpace)]
"""

MODELS = {
    "sharedactorcritic": "jaxdem:SharedActorCritic",
    "actorcritic": "jaxdem:ActorCritic",
    "ac.sharedactorcritic": "jaxdem_ac:SharedActorCritic",
    "ac.actorcritic": "jaxdem_ac:ActorCritic",
    "ac.perparticle": "jaxdem_ac:PerParticle",
}
SPACES = {
    "free": "jaxdem:Free",
    "box": "jaxdem:Box",
    "maxnorm": "jaxdem:MaxNorm",
    "ac.free": "jaxdem_ac:Free",
    "ac.box": "jaxdem_ac:Box",
    "ac.maxnorm": "jaxdem_ac:MaxNorm",
}


@pytest.mark.parametrize("layout", ["today", "old"])
@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS.keys())
def test_whatever_comes_first(host: Host, run: Run, layout: str, order: str) -> None:
    done = run(order + LOOK, host(layout))
    models, spaces = done["result"]
    assert MODELS.items() <= models.items()
    assert SPACES.items() <= spaces.items()
    assert done["warnings"] == []
    assert done["hooks"] == 0


@pytest.mark.parametrize("layout", ["today", "old"])
def test_what_the_host_sees(host: Host, run: Run, layout: str) -> None:
    program = """
from jaxdem_ac import registry

@registry.models.register("Brand_New")
class BrandNew:
    pass

install_hook()
import jaxdem.rl
from jaxdem.rl import ActionSpace, Model
ours, box = Model.create("ac.SharedActorCritic"), ActionSpace.create("ac.Box")
result = {
    "instances": [isinstance(ours, Model), isinstance(box, ActionSpace), isinstance(box, Model)],
    "subclass": issubclass(type(ours), Model),
    "stamps": [type(ours).__registry_name__, BrandNew.__registry_name__],
    "bare": [type(Model.create(name)).__name__ for name in ("Brand_New", "ac.Brand_New")],
}
"""
    new = {"today": "ac.brandnew", "old": "ac.brand_new"}[layout]
    assert run(program, host(layout))["result"] == {
        "instances": [True, True, False],
        "subclass": True,
        "stamps": ["ac.sharedactorcritic", new],
        "bare": ["BrandNew", "BrandNew"],
    }


@pytest.mark.parametrize("layout", ["today", "old"])
def test_replace_takes_the_names_of_jaxdem_only(host: Host, run: Run, layout: str) -> None:
    program = """
install_hook()
import jaxdem.rl
from jaxdem.rl import ActionSpace, Model
from jaxdem_ac import registry

@Model.register("Mine")
class Mine(Model):
    pass

@registry.models.register("Mine")
class Another:
    pass

result = []
for keywords in ({}, {"replace": True}, {}, {"replace": True}):
    register(**keywords)
    result.append({**held(Model), **held(ActionSpace)})
result.append(Model.create("SharedActorCritic").__registry_name__)
"""
    done = run(program, host(layout))
    untouched, *replaced, stamp = done["result"]
    names = [name for name in (*MODELS, *SPACES) if not name.startswith("ac.")]
    assert {untouched[name].partition(":")[0] for name in names} == {"jaxdem"}
    for held in replaced:
        assert held == replaced[0]
        assert {held[name].partition(":")[0] for name in names} == {"jaxdem_ac"}
        assert (held["mine"], held["ac.mine"]) == ("__main__:Mine", "__main__:Another")
    assert stamp == "ac.sharedactorcritic"
    assert done["warnings"] == []


def test_register_without_jaxdem_says_how_to_get_it(run: Run) -> None:
    # It may be installed where these tests run.
    program = """
class Nowhere:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "jaxdem":
            raise ModuleNotFoundError(f"No module named {name!r}")


sys.meta_path.insert(0, Nowhere())
install_hook()
try:
    register()
except ImportError as error:
    result = str(error)
"""
    done = run(program)
    assert done["result"].startswith("register: JaxDEM has to be importable; got ModuleNotFoundError: No module")
    assert done["result"].endswith('pip install "JaxDEM @ git+https://github.com/cdelv/JaxDEM" tqdm')
    assert "\n" not in done["result"]
    assert (done["warnings"], done["hooks"]) == ([], 1)


def test_a_broken_jaxdem_fails_as_it_does_without_us(host: Host, run: Run) -> None:
    program = """
install_hook()
result = []
for _ in range(2):
    try:
        import jaxdem.rl
    except Exception as error:
        result.append(repr(error))
try:
    register()
except ImportError as error:
    result.append([str(error), repr(error.__cause__)])
"""
    done = run(program, host(before="raise RuntimeError('its own\\nfault')"))
    *errors, (message, cause) = done["result"]
    assert errors == ["RuntimeError('its own\\nfault')"] * 2
    assert "got RuntimeError: its own fault." in message
    assert cause == errors[0]
    assert (done["warnings"], done["hooks"]) == ([], 1)


def test_the_second_try_of_a_failing_import_registers(host: Host, run: Run) -> None:
    before = "import json\nif json.first_try:\n    json.first_try = False\n    raise ImportError('once')"
    program = """
json.first_try = True
install_hook()
try:
    import jaxdem.rl
except ImportError:
    import jaxdem.rl
"""
    done = run(program + LOOK, host(before=before))
    assert MODELS.items() <= done["result"][0].items()
    assert (done["warnings"], done["hooks"]) == ([], 0)


INCOMPATIBLE = {
    "no Model": ("del Model", ["jaxdem.rl has no class Model"]),
    "no Environment": ("del Environment", ["jaxdem.rl has no class Environment"]),
    "no ActionSpace": ("del ActionSpace", ["jaxdem.rl has no class ActionSpace"]),
    "neither": ("del Model, ActionSpace", ["no class Model", "no class ActionSpace"]),
    "not a class": ("Model = None", ["jaxdem.rl has no class Model"]),
    "no register": (
        "import abc\nclass Model(abc.ABC): pass",
        ["Model has no register; Model has no _registry"],
    ),
    "another register": (
        "Model.register = lambda key: None",
        ["SharedActorCritic: TypeError", "ActorCritic: "],
    ),
    "name taken": (
        "Model.register('ac.ActorCritic')(Model)",
        ["ActorCritic: ValueError: ac.actorcritic is taken"],
    ),
    "two lines": (
        "def refuse(key):\n    raise OSError('two\\nlines')\nActionSpace.register = refuse",
        ["Box: OSError: two lines", "Free: ", "MaxNorm: "],
    ),
}


@pytest.mark.parametrize(("after", "parts"), INCOMPATIBLE.values(), ids=INCOMPATIBLE.keys())
def test_an_incompatible_jaxdem_is_imported_with_one_warning(
    host: Host, run: Run, after: str, parts: list[str]
) -> None:
    program = """
install_hook()
import jaxdem.rl
import jaxdem.rl.models
result = [held(getattr(jaxdem.rl, name)) if hasattr(getattr(jaxdem.rl, name, None), "_registry") else None
          for name in ("Model", "ActionSpace")]
"""
    done = run(program, host(after=after))
    (warning,) = done["warnings"]
    assert warning.startswith("register: JaxDEM did not take everything; got ")
    assert "\n" not in warning
    for part in parts:
        assert part in warning
    models, spaces = done["result"]
    if "Model" not in after:
        assert MODELS.items() <= models.items()
    if "ActionSpace" not in after:
        assert SPACES.items() <= spaces.items()
    assert done["hooks"] == 0


def test_one_of_ours_that_cannot_be_loaded_holds_up_no_other(host: Host, run: Run) -> None:
    program = """
del sys.modules["jaxdem_ac.models.actor_critic"].ActorCritic
install_hook()
import jaxdem.rl
"""
    done = run(program + LOOK, host())
    (warning,) = done["warnings"]
    assert "got ActorCritic: AttributeError: " in warning
    models, spaces = done["result"]
    assert "ac.actorcritic" not in models
    assert models["ac.sharedactorcritic"] == "jaxdem_ac:SharedActorCritic"
    assert SPACES.items() <= spaces.items()


PLUGIN = """
import jaxdem.rl
from jaxdem_ac.models.actor_critic import SharedActorCritic as Alias


class Derived(jaxdem.rl.Model):
    pass


@jaxdem.rl.Model.register("stamped")
class Stamped(jaxdem.rl.Model):
    pass


class Plain:
    pass
"""


@pytest.mark.parametrize("layout", ["today", "old"])
@pytest.mark.parametrize("order", ["import jaxdem.rl", "registry.models.names(); import jaxdem.rl"])
def test_plugins_come_along(host: Host, run: Run, tmp_path: Path, layout: str, order: str) -> None:
    information = tmp_path / "plugins" / "third_party-1.0.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: third-party\nVersion: 1.0\n")
    names = ("Alias", "Derived", "Stamped", "Plain")
    entries = "\n".join(f"{name} = third_party:{name}" for name in names)
    (information / "entry_points.txt").write_text(f"[jaxdem.models]\n{entries}\n")
    (tmp_path / "plugins" / "third_party.py").write_text(PLUGIN)
    program = f"""
from jaxdem_ac import registry
from jaxdem_ac.plugin import discovery
discovery.install()
install_hook()
{order}
from jaxdem.rl import Model
register()
result = [held(Model), {{cls.__name__: cls.__registry_name__ for cls in Model._registry.values()}},
          [repr(problem) for problem in registry.models.problems]]
"""
    done = run(program, host(layout), tmp_path / "plugins")
    held, stamps, problems = done["result"]
    assert problems == done["warnings"] == []
    assert MODELS.items() <= held.items()
    assert held["alias"] == held["ac.alias"] == "jaxdem_ac:SharedActorCritic"
    for name in ("Derived", "Stamped", "Plain"):
        assert held[name.lower()] == held[f"ac.{name.lower()}"] == f"third_party:{name}"
    # `Alias` is a second name of one of ours: the first that was registered stays in checkpoints.
    assert stamps["Derived"] == "ac.derived"
    assert stamps["Stamped"] == "stamped"
    assert stamps["Plain"] == "ac.plain"


ARRIVALS = {
    "we find it": "registry.models.names()",
    "it is imported": "import third_party; assert 'ac.late' not in jaxdem.rl.Model._registry; import colorsys",
    "imported, then we are asked": "import third_party; registry.action_spaces.names()",
    "imported, then by hand": "import third_party; register()",
    "after jaxdem": "import jaxdem.rl, third_party",
}


@pytest.mark.parametrize("arrival", ARRIVALS.values(), ids=ARRIVALS.keys())
def test_a_plugin_that_brings_jaxdem_in(host: Host, run: Run, tmp_path: Path, arrival: str) -> None:
    information = tmp_path / "plugins" / "third_party-1.0.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: third-party\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(
        "[jaxdem.models]\nLate = third_party:Late\nOther = other:Other\n"
        "[jaxdem.action_spaces]\nTwice = third_party:Twice\n"
    )
    (tmp_path / "plugins" / "third_party.py").write_text(
        "import jaxdem.rl\nimport wave\nclass Late(jaxdem.rl.Model): pass\nclass Twice: pass\n"
    )
    (tmp_path / "plugins" / "other.py").write_text("class Other: pass\n")
    program = f"""
from jaxdem_ac import registry
from jaxdem_ac.plugin import discovery
discovery.install()
install_hook()
import jaxdem
{arrival}
from jaxdem_ac.plugin.registration import PENDING_MODULES
assert not PENDING_MODULES
"""
    done = run(program + LOOK, host(), tmp_path / "plugins")
    models, spaces = done["result"]
    assert models["late"] == models["ac.late"] == "third_party:Late"
    assert models["other"] == "other:Other"
    assert spaces["twice"] == "third_party:Twice"
    assert MODELS.items() <= models.items()
    assert (done["warnings"], done["hooks"]) == ([], 0)


def test_a_jaxdem_that_imports_us_halfway(host: Host, run: Run) -> None:
    before = "from jaxdem_ac.plugin.registration import install_hook; install_hook()"
    done = run("import jaxdem.rl; import colorsys" + LOOK, host(before=before))
    assert MODELS.items() <= done["result"][0].items()
    assert (done["warnings"], done["hooks"]) == ([], 0)


def test_the_import_system_works_as_without_us(host: Host, run: Run) -> None:
    program = """
import importlib, importlib.resources, importlib.util, inspect, pkgutil
from importlib.machinery import SourceFileLoader
install_hook()
specs = [importlib.util.find_spec("jaxdem.rl") for _ in range(2)]
result = {
    "found only": ["jaxdem.rl" in sys.modules, hooks()],
    "spec": [type(spec.loader) is SourceFileLoader and spec.loader.is_package("jaxdem.rl") for spec in specs],
    "not there": importlib.util.find_spec("jaxdem.no_such_module") is None,
}
import jaxdem.rl
model = jaxdem.rl.Model
result |= {
    "loader": "exec_module" in vars(jaxdem.rl.__loader__),
    "resource": importlib.resources.files(jaxdem.rl).joinpath("notes.txt").read_text(),
    "data": pkgutil.get_data("jaxdem.rl", "notes.txt").decode(),
    "source": "import Model" in inspect.getsource(jaxdem.rl),
    "reload": importlib.reload(jaxdem.rl) is jaxdem.rl and jaxdem.rl.Model is model,
    "still there": "ac.actorcritic" in jaxdem.rl.Model._registry,
}
"""
    done = run(program, host())
    assert done["result"] == {
        "found only": [False, 1],
        "spec": [True, True],
        "not there": True,
        "loader": False,
        "resource": "a resource",
        "data": "a resource",
        "source": True,
        "reload": True,
        "still there": True,
    }
    assert (done["warnings"], done["hooks"]) == ([], 0)


def test_a_private_copy_is_left_alone(host: Host, run: Run) -> None:
    program = """
import importlib.util
install_hook()
spec = importlib.util.find_spec("jaxdem.rl")
copy = importlib.util.module_from_spec(spec)
spec.loader.exec_module(copy)
import jaxdem.rl
assert jaxdem.rl is sys.modules["jaxdem.rl"] is not copy
"""
    done = run(program + LOOK, host())
    assert MODELS.items() <= done["result"][0].items()
    assert (done["warnings"], done["hooks"]) == ([], 0)


def test_a_jaxdem_in_an_archive(host: Host, run: Run, tmp_path: Path) -> None:
    archive = shutil.make_archive(str(tmp_path / "packed"), "zip", host())
    program = """
import importlib.util
install_hook()
importlib.util.find_spec("jaxdem.rl")
import jaxdem.rl
result_loader = "exec_module" in vars(jaxdem.rl.__loader__)
"""
    done = run(program + LOOK + "result.append(result_loader)", Path(archive))
    models, spaces, wrapped = done["result"]
    assert MODELS.items() <= models.items()
    assert SPACES.items() <= spaces.items()
    assert wrapped is False
    assert (done["warnings"], done["hooks"]) == ([], 0)


ODD_LOADERS = {
    "a class": "class Loader:\n    create_module = staticmethod(lambda spec: None)\n"
    "    exec_module = staticmethod(run)\nloader = Loader",
    "with slots": "class Loader:\n    __slots__ = ()\n    create_module = lambda self, spec: None\n"
    "    exec_module = lambda self, module: run(module)\nloader = Loader()",
}


@pytest.mark.parametrize("loader", ODD_LOADERS.values(), ids=ODD_LOADERS.keys())
def test_a_loader_that_cannot_be_wrapped(host: Host, run: Run, loader: str) -> None:
    program = f"""
from importlib.machinery import ModuleSpec, PathFinder

def run(module):
    found = PathFinder.find_spec("jaxdem.rl", sys.modules["jaxdem"].__path__)
    module.__path__ = found.submodule_search_locations
    found.loader.exec_module(module)

{loader}

class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        return ModuleSpec(name, loader, is_package=True) if name == "jaxdem.rl" else None

sys.meta_path.insert(0, Finder)
install_hook()
import jaxdem.rl
import colorsys
"""
    done = run(program + LOOK, host())
    assert MODELS.items() <= done["result"][0].items()
    assert (done["warnings"], done["hooks"]) == ([], 0)


def test_other_hooks_are_left_alone(host: Host, run: Run) -> None:
    program = """
from jaxdem_ac.plugin.registration import _Hook

class Other(_Hook):
    pass

# A class of the same name, which is none of ours to remove.
Namesake = type("_Hook", (), {"find_spec": staticmethod(lambda *_: None)})
sys.meta_path.append(Namesake())
sys.meta_path.insert(0, Other())
install_hook()
sys.meta_path.append(Other())
import jaxdem.rl
"""
    done = run(program + LOOK, host())
    assert MODELS.items() <= done["result"][0].items()
    assert (done["warnings"], done["hooks"]) == ([], 1)


@pytest.mark.parametrize("first", ["jaxdem_ac", "jaxdem.rl"])
def test_importing_the_package_is_enough(host: Host, run: Run, first: str) -> None:
    second = {"jaxdem_ac": "jaxdem.rl", "jaxdem.rl": "jaxdem_ac"}[first]
    # As in a process that has imported nothing of ours yet, but for the classes that stand in.
    program = f"""
for name in [name for name in sys.modules if name == "jaxdem_ac" or name.startswith("jaxdem_ac.plugin")]:
    del sys.modules[name]
import {first}
import {second}
"""
    done = run(program + LOOK, host())
    assert MODELS.items() <= done["result"][0].items()
    assert (done["warnings"], done["hooks"]) == ([], 0)
