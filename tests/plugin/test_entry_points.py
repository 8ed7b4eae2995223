"""Discovery, over distributions made on disk: each test has a registry of its own."""

import importlib
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from jaxdem_ac import registry as registries
from jaxdem_ac.plugin import discovery
from jaxdem_ac.registry import Problem, Registry
from jaxdem_ac.untrusted import class_name, one_line, printable, summary

GROUP = "test.models"
ROOT = Path(__file__).resolve().parents[2]

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Return a function that puts a distribution on the path: metadata, entry points and one module."""

    def put(distribution: str, entries: str, source: str = "", group: str = GROUP, folder: str = "site") -> None:
        site = tmp_path / folder
        information = site / f"{distribution.replace('-', '_')}-1.0.dist-info"
        information.mkdir(parents=True)
        (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
        (information / "entry_points.txt").write_text(f"[{group}]\n{entries}\n")
        module = distribution.replace("-", "_")
        (site / f"{module}.py").write_text(source)
        monkeypatch.syspath_prepend(site)
        monkeypatch.delitem(sys.modules, module, raising=False)

    return put


@pytest.fixture
def registry() -> Registry:
    registry = Registry("model", GROUP)
    registry.add("Builtin", "collections:OrderedDict")
    registry.on_first_use(discovery.discover)
    return registry


def test_a_plugin_is_found_by_name(install: Install, registry: Registry) -> None:
    install("good-plugin", "My_Model = good_plugin:MyModel", "class MyModel: pass")
    assert registry.names() == ["Builtin", "My_Model"]
    cls = registry.get("mymodel")
    assert (cls.__module__, cls.__name__) == ("good_plugin", "MyModel")
    assert registry.find("my-model").origin == "good-plugin"
    assert registry.problems == []


def test_built_in_names_are_answered_without_discovery(install: Install, registry: Registry) -> None:
    install("loud-plugin", "Loud = loud_plugin:Loud", "raise RuntimeError('imported')")
    assert registry.get("Builtin").__name__ == "OrderedDict"
    assert registry.problems == []


BROKEN = {
    "missing module": ("Bad = no_such_module_anywhere:Bad", "", "ModuleNotFoundError: No module named"),
    "failing import": (
        "Bad = bad_plugin:Bad",
        "raise RuntimeError('two\\nlines')",
        "RuntimeError: two lines",
    ),
    "missing class": (
        "Bad = bad_plugin:Bad",
        "",
        "AttributeError: module 'bad_plugin' has no attribute 'Bad'",
    ),
    "exit on import": ("Bad = bad_plugin:Bad", "raise SystemExit(3)", "SystemExit: 3"),
    "syntax error": ("Bad = bad_plugin:Bad", "class Bad(:", "SyntaxError: "),
    "no class": (
        "Bad = bad_plugin:Bad",
        "Bad = print",
        "TypeError: a plugin is a class; got bad_plugin:Bad of",
    ),
    "built-in's name": (
        "built_in = bad_plugin:Bad",
        "class Bad: pass",
        "ValueError: Registry.add: the model name",
    ),
    "no name": ("ac. = bad_plugin:Bad", "class Bad: pass", "ValueError: Registry.add: a model needs a name"),
}


@pytest.mark.parametrize(("entry", "source", "error"), BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_plugin_is_skipped_with_one_warning(
    install: Install, registry: Registry, entry: str, source: str, error: str
) -> None:
    install("bad-plugin", entry, source)
    install("good-plugin", "Good = good_plugin:Good", "class Good: pass")
    with pytest.warns(RuntimeWarning) as record:
        names = registry.names()
    assert names == ["Builtin", "Good"]
    (problem,) = registry.problems
    name = entry.partition(" =")[0]
    assert (problem.group, problem.name, problem.origin) == (GROUP, name, "bad-plugin")
    assert problem.error.startswith(error)
    assert "\n" not in problem.error
    (message,) = [str(warning.message) for warning in record]
    for part in (repr(name), "bad-plugin", error, "`jaxdem-ac doctor`"):
        assert part in message
    assert registry.get("Builtin").__name__ == "OrderedDict"


def test_ctrl_c_is_not_swallowed_and_discovery_goes_on_afterwards(install: Install, registry: Registry) -> None:
    # The signal may reach another thread first, and this one a little later.
    press = "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\nfor _ in range(200): time.sleep(0.05)"
    install("a-plugin", "First = a_plugin:First", "class First: pass")
    install("slow-plugin", "Slow = slow_plugin:Slow", press)
    # A shell starts what it puts into the background with Ctrl-C ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            registry.names()
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert registry.problems == []
    (Path(sys.path[0]) / "slow_plugin.py").write_text("class Slow: pass")
    importlib.invalidate_caches()
    assert registry.names() == ["Builtin", "First", "Slow"]


ESCAPES = "\\x1b[31mred\\u202e\\x07"
STRANGE = {
    "empty value": ("Bad =", "", "ValueError: an entry point is a reference, module:Class; got ''"),
    "no reference": ("Bad = not a reference!", "", "ValueError: an entry point is a reference"),
    "interrupt of its own": ("Bad = bad_plugin:Bad", "raise KeyboardInterrupt", "KeyboardInterrupt"),
    "generator's end": ("Bad = bad_plugin:Bad", "raise GeneratorExit", "GeneratorExit"),
    "base exception": ("Bad = bad_plugin:Bad", "class E(BaseException): pass\nraise E('x')", "E: x"),
    "message that raises": (
        "Bad = bad_plugin:Bad",
        "class E(Exception):\n def __str__(self): raise E\nraise E",
        "E: its message cannot be read",
    ),
    "escapes in a message": ("Bad = bad_plugin:Bad", f"raise ValueError('{ESCAPES}')", f"ValueError: {ESCAPES}"),
    "escapes in a name": ("Bad\x1b[31m = bad_plugin:Bad", "class Bad: pass", "ValueError: Registry.add: a model needs"),
    "instance without a class": (
        "Bad = bad_plugin:Bad",
        "class C:\n @property\n def __class__(self): raise SystemExit\nBad = C()",
        "TypeError: a plugin is a class; got bad_plugin:Bad of type C",
    ),
}


@pytest.mark.parametrize(("entry", "source", "error"), STRANGE.values(), ids=STRANGE.keys())
def test_one_broken_plugin_breaks_no_other_whatever_it_does(
    install: Install, registry: Registry, entry: str, source: str, error: str
) -> None:
    install("bad-plugin", entry, source)
    install("good-plugin", "Good = good_plugin:Good", "class Good: pass")
    with pytest.warns(RuntimeWarning) as record:
        assert registry.names() == ["Builtin", "Good"]
    (problem,) = registry.problems
    assert problem.origin == "bad-plugin"
    assert problem.error.startswith(error)
    (message,) = [str(warning.message) for warning in record]
    assert "bad-plugin" in message
    assert message.isprintable()
    assert problem.name.isprintable()


METACLASSES = {
    "unhashable": "__hash__ = None",
    "unequal": "def __eq__(self, other): raise SystemExit\n __hash__ = type.__hash__",
    "unnamed": "__name__ = property(lambda self: 1 / 0)",
    "unshown": "def __repr__(self): raise GeneratorExit",
    "closed": "def __getattribute__(self, name): raise RuntimeError(name)",
    "docless": "__doc__ = property(lambda self: 1 / 0)",
}


@pytest.mark.parametrize("body", METACLASSES.values(), ids=METACLASSES.keys())
def test_a_class_whose_metaclass_refuses_everything_stands_beside_the_others(
    install: Install, registry: Registry, body: str
) -> None:
    source = f"class M(type):\n {body}\nclass Odd(metaclass=M): pass"
    install("a-plugin", "Odd = a_plugin:Odd", source)
    install("b-plugin", "Odd = b_plugin:Odd\nGood = b_plugin:Good", f"{source}\nclass Good: pass")
    with pytest.warns(RuntimeWarning, match=r"of b-plugin: skipped; got .*taken by 'Odd' of a-plugin; got 'Odd' of b"):
        assert registry.names() == ["Builtin", "Good", "Odd"]
    discovery.discover(registry)
    assert registry.name_of(registry.get("Good")) == "Good"
    assert registry.name_of(registry.get("Odd")) == "Odd"
    assert summary(registry.get("Odd")) == ""
    assert class_name(registry.get("Odd")) == "Odd"


@pytest.mark.parametrize("text", ["3", "b'x'", "None", "'  \\n '", "property(lambda self: 1)"])
def test_a_docstring_that_is_none(text: str) -> None:
    assert summary(eval(f"type('C', (), {{'__doc__': {text}}})")) == ""


def test_foreign_text_is_shown_without_control_characters() -> None:
    class Plugin:
        __doc__ = "  First \x1b]0;title\x07\u202eline.\r\nSecond."

    assert summary(Plugin) == "First \\x1b]0;title\\x07\\u202eline."
    assert printable("\u2066a\ud800\x9b1m\u2028 \u00e9") == "\\u2066a\\ud800\\x9b1m\\u2028 \u00e9"
    assert one_line(ValueError("a\n\x1bb.")) == "ValueError: a \\x1bb"


@pytest.mark.parametrize("content", [b"\xff\xfe[test.models]", b"[test.models]\nno sign of equality", b"\xff"])
def test_a_list_that_cannot_be_read_is_told_with_its_distribution(
    install: Install, registry: Registry, tmp_path: Path, content: bytes
) -> None:
    install("bad-list", "")
    install("good-plugin", "Good = good_plugin:Good", "class Good: pass")
    (tmp_path / "site" / "bad_list-1.0.dist-info" / "entry_points.txt").write_bytes(content)
    with pytest.warns(RuntimeWarning, match=r"plugin 'entry_points.txt' \(test.models\) of bad-list: skipped"):
        assert registry.names() == ["Builtin", "Good"]
    assert list(discovery.unreadable_lists()) == ["bad-list"]


@pytest.mark.parametrize("first", ["a-plugin", "b-plugin"])
def test_of_two_plugins_the_same_one_wins(install: Install, registry: Registry, first: str) -> None:
    order = [first] + [name for name in ("a-plugin", "b-plugin") if name != first]
    for name in order:
        module = name.replace("-", "_")
        install(name, f"Twice = {module}:Twice", "class Twice: pass", folder=f"site-{name}")
    with pytest.warns(RuntimeWarning, match=r"plugin 'Twice' \(test.models\) of b-plugin: skipped"):
        assert registry.find("twice").origin == "a-plugin"
    (problem,) = registry.problems
    assert problem.origin == "b-plugin"
    assert "is taken by 'Twice' of a-plugin" in problem.error


def test_a_distribution_installed_twice_counts_once(install: Install, registry: Registry) -> None:
    install("plugin", "Good = plugin:Good", "class Good: pass", folder="wheel")
    install("plugin", "Good = plugin:Good", "class Good: pass", folder="editable")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert registry.names() == ["Builtin", "Good"]
    assert registry.problems == []


def test_our_own_entries_are_passed_over(install: Install, registry: Registry) -> None:
    for folder in ("wheel", "editable"):
        # The second stands in no registry of this version: an older one announced it.
        install("jaxdem-ac", "Builtin = collections:OrderedDict\nGone = jaxdem_ac.gone:Gone", folder=folder)
    install("repackaged", "Builtin = collections:OrderedDict")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert registry.names() == ["Builtin"]
    assert registry.find("Builtin").target == "collections:OrderedDict"


def test_an_unreadable_list_hides_no_other(install: Install, registry: Registry) -> None:
    install("a-broken-list", "this line is no entry")
    install("b-broken-list", "nor is this", group="of.somebody.else")
    install("good-plugin", "Good = good_plugin:Good", "class Good: pass")
    with pytest.warns(RuntimeWarning) as record:
        assert registry.names() == ["Builtin", "Good"]
    assert len(record) == 1
    (problem,) = registry.problems
    assert (problem.name, problem.origin) == ("entry_points.txt", "a-broken-list")


def test_where_warnings_are_errors_nothing_is_lost(install: Install, registry: Registry) -> None:
    install("a-broken", "Bad = a_broken:Bad", "raise OSError")
    install("good-plugin", "Good = good_plugin:Good", "class Good: pass")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(RuntimeWarning, match="'Bad'"):
            registry.names()
    assert registry.names() == ["Builtin", "Good"]
    assert len(registry.problems) == 1


def test_discovering_again_adds_nothing(install: Install, registry: Registry) -> None:
    install("bad-plugin", "Bad = bad_plugin:Bad", "Bad = 1")
    install("good-plugin", "Good = good_plugin:Good", "class Good: pass")
    with pytest.warns(RuntimeWarning):
        entries = registry.entries()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        discovery.discover(registry)
    assert registry.entries() == entries
    assert registry.problems == [
        Problem(GROUP, "Bad", "bad-plugin", "TypeError: a plugin is a class; got bad_plugin:Bad of type int")
    ]


def test_install_reaches_every_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    fresh = tuple(Registry(registry.kind, registry.group) for registry in registries.REGISTRIES)
    asked: list[Registry] = []
    monkeypatch.setattr(discovery, "REGISTRIES", fresh)
    monkeypatch.setattr(discovery, "discover", asked.append)
    discovery.install()
    assert asked == []
    for registry in fresh:
        assert registry.names() == []
        assert registry.names() == []
    assert asked == list(fresh)


def test_a_plugin_that_is_being_imported_is_asked_again(
    install: Install, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    names: list[list[str]] = []
    monkeypatch.setattr(registries, "ask", lambda: names.append(registry.names()), raising=False)
    waiting: set[str] = set()
    monkeypatch.setattr(discovery, "PENDING_MODULES", waiting)
    install("plugin", "Late = plugin:Late", "from jaxdem_ac import registry; registry.ask()\nclass Late: pass")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        importlib.import_module("plugin")
        assert names == [["Builtin"]]
        assert waiting == {"plugin"}
        assert registry.names() == ["Builtin", "Late"]
    assert registry.problems == []


def test_nothing_heavy_is_imported() -> None:
    code = (
        "import sys, jaxdem_ac.plugin.discovery as e; e.install();"
        "print(sorted({'jax', 'numpy', 'importlib.metadata', 'jaxdem'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"
