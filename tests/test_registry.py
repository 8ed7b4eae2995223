"""Names to classes: the host's rules for keys, clashes, near misses, and loading only what is asked for."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from jaxdem_ac import registry
from jaxdem_ac.registry import Entry, Registry, check_keywords, normalize_key, suggest


class One:
    def __init__(self, size: int = 1, *, color: str = "red") -> None:
        self.size, self.color = size, color


class Two:
    pass


@pytest.fixture
def things() -> Registry:
    made = Registry("thing", "jaxdem.things")
    made.add("OneThing", One)
    return made


@pytest.mark.parametrize(
    ("spelling", "key"),
    [
        ("SharedActorCritic", "sharedactorcritic"),
        ("shared_actor-critic", "sharedactorcritic"),
        (" Max Norm ", "maxnorm"),
        ("ac.MaxNorm", "ac.maxnorm"),
    ],
)
def test_keys_are_compared_as_the_host_compares_them(spelling: str, key: str) -> None:
    assert normalize_key(spelling) == key


@pytest.mark.parametrize("spelling", ["OneThing", "onething", "one_thing", "ONE-THING", "One Thing", "ac.OneThing"])
def test_any_spelling_finds_the_class(things: Registry, spelling: str) -> None:
    assert spelling in things
    assert things.get(spelling) is One
    assert things.find(spelling).name == "OneThing"


def test_names_are_sorted_as_they_are_spelled(things: Registry) -> None:
    for name in ("zebra", "Apple", "banana_tree"):
        things.add(name, Two)
    assert things.names() == ["Apple", "banana_tree", "OneThing", "zebra"]


def test_a_second_class_under_a_name_clashes(things: Registry) -> None:
    with pytest.raises(ValueError, match=r"'one_thing' is taken by 'OneThing'"):
        things.add("one_thing", Two)
    assert things.get("OneThing") is One


def test_the_same_class_again_changes_nothing(things: Registry) -> None:
    things.add("one-thing", One)
    assert things.names() == ["OneThing"]


@pytest.mark.parametrize("name", ["", " ", "-", "ac."])
def test_an_empty_name_is_refused(things: Registry, name: str) -> None:
    with pytest.raises(ValueError, match="needs a name"):
        things.add(name, Two)


def test_a_miss_gives_the_nearest_and_the_list(things: Registry) -> None:
    things.add("Other", Two)
    with pytest.raises(KeyError) as raised:
        things.get("OneThink")
    message = raised.value.args[0]
    assert message == "thing: no such name; got 'OneThink'. Did you mean 'OneThing'? Choose one of: OneThing, Other."


def test_a_far_miss_gives_the_list_only(things: Registry) -> None:
    with pytest.raises(KeyError) as raised:
        things.get("zzz")
    assert raised.value.args[0] == "thing: no such name; got 'zzz'. Choose one of: OneThing."


@pytest.mark.parametrize("name", [None, 3, One])
def test_a_name_is_a_string(things: Registry, name: Any) -> None:
    with pytest.raises(TypeError, match=f"the name is a string; got {type(name).__name__}"):
        things.find(name)


def test_suggest_names_an_empty_list() -> None:
    assert suggest("x", []) == "Choose one of: (none)."


def test_the_decorator_registers_for_this_process(things: Registry) -> None:
    @things.register("my_thing")
    class Mine:
        pass

    assert things.get("MyThing") is Mine
    assert things.name_of(Mine) == "my_thing"
    assert things.name_of(Two) is None


def test_a_class_stands_there_for_a_while(things: Registry) -> None:
    things.add("Other", Two)
    with things.temporarily("one_thing", Two) as made:
        assert things.get("OneThing") is made is Two
    assert things.get("OneThing") is One
    with pytest.raises(ZeroDivisionError), things.temporarily("new", Two):
        raise ZeroDivisionError
    assert things.names() == ["OneThing", "Other"]


def test_a_name_that_is_forgotten_is_free(things: Registry) -> None:
    things.forget("one-thing")
    assert "OneThing" not in things
    things.add("OneThing", Two)
    assert things.get("OneThing") is Two
    things.add_source("host", lambda name: Entry(name, Two, "host"))
    for name, words in (("one_thin", "no such name"), ("host:two", "a name without a host")):
        with pytest.raises(KeyError, match=words):
            things.forget(name)


def test_create_passes_keywords(things: Registry) -> None:
    made = things.create("one_thing", size=3, color="blue")
    assert (made.size, made.color) == (3, "blue")


def test_create_refuses_an_unknown_keyword_with_the_nearest(things: Registry) -> None:
    with pytest.raises(TypeError, match=r"thing OneThing: no such keyword; got 'colour'. Did you mean 'color'"):
        things.create("one_thing", colour="blue")


def test_create_says_what_is_needed(things: Registry) -> None:
    class Needy:
        def __init__(self, low: float, high: float, width: float = 1.0, *rest: float, **more: float) -> None: ...

    things.register("needy")(Needy)
    with pytest.raises(TypeError, match=r"^thing needy: it needs low and high; got width\. Pass low=\.\.\.") as raised:
        things.create("needy", width=2.0)
    assert str(raised.value).endswith("Pass low=...")
    with pytest.raises(TypeError, match=r"it needs high; got low\."):
        things.create("needy", low=2.0)
    assert isinstance(things.create("needy", low=0.0, high=1.0, other=3.0), Needy)


def test_a_metaclass_does_not_hide_keywords() -> None:
    class Hides(type):
        def __call__(cls, *arguments: Any, **keywords: Any) -> Any:
            return super().__call__(*arguments, **keywords)

    class Hidden(metaclass=Hides):
        def __init__(self, size: int) -> None:
            self.size = size

    with pytest.raises(TypeError, match="Did you mean 'size'"):
        check_keywords("here", Hidden, ["sise"])
    check_keywords("here", Hidden, ["size"])


def test_a_class_that_takes_any_keyword_is_left_alone() -> None:
    def takes_all(**keywords: Any) -> None: ...

    check_keywords("here", takes_all, ["whatever"])


def test_plugins_are_looked_for_once_and_only_where_needed(things: Registry) -> None:
    calls = []

    def discover(found: Registry) -> None:
        calls.append(found)
        found.add("Plugged", Two, origin="elsewhere")

    things.on_first_use(discover)
    things.get("OneThing")
    assert calls == []
    assert things.get("plugged") is Two
    assert things.names() == ["OneThing", "Plugged"]
    assert things.find("plugged").origin == "elsewhere"
    assert calls == [things]


def test_a_reference_is_loaded_when_asked_for() -> None:
    entry = Entry("decoder", "json.decoder:JSONDecoder", "here")
    assert entry.load() is json.JSONDecoder


@pytest.mark.parametrize("each", registry.REGISTRIES, ids=lambda each: each.kind)
def test_every_built_in_class_loads_and_knows_its_name(each: Registry) -> None:
    own = [entry for entry in each.entries() if entry.origin == "jaxdem-ac"]
    assert own
    for entry in own:
        assert each.name_of(entry.load()) == entry.name


def imported_by(program: str) -> set[str]:
    """Return the top-level modules that stand in sys.modules after a program in a process of its own."""
    end = "; import sys, json; print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    done = subprocess.run(
        [sys.executable, "-c", program + end],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


HEAVY = {
    "jax",
    "jaxlib",
    "flax",
    "distrax",
    "optax",
    "orbax",
    "numpy",
    "matplotlib",
    "tensorflow_probability",
    "jaxdem",
}


@pytest.mark.parametrize(
    "program",
    [
        "import jaxdem_ac",
        "import jaxdem_ac as ac; ac.list_models(); ac.list_environments(); ac.list_action_spaces()",
        "from click.testing import CliRunner; from jaxdem_ac.cli import main; "
        "assert CliRunner().invoke(main, ['--help']).exit_code == 0",
        "from click.testing import CliRunner; from jaxdem_ac.cli import main; "
        "assert CliRunner().invoke(main, ['train', '--help']).exit_code == 0",
    ],
    ids=["import", "list", "help", "train help"],
)
def test_nothing_heavy_is_imported(program: str) -> None:
    modules = imported_by(program)
    assert "jaxdem_ac" in modules
    assert modules & HEAVY == set()


def test_the_engine_needs_neither_distrax_nor_flax() -> None:
    modules = imported_by("import jaxdem_ac as ac; ac.dem.World")
    assert "jax" in modules
    assert modules & {"distrax", "flax", "optax", "orbax", "matplotlib"} == set()
