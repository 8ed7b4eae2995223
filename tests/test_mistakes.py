"""Mistakes with public functions and commands: each is one line that says what to do, and leaves nothing behind."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from click.testing import CliRunner

import jaxdem_ac as ac
from jaxdem_ac import dem
from jaxdem_ac._files import write_text
from jaxdem_ac.cli import main
from jaxdem_ac.runs.run_dir import read_config, read_metrics

NAN = float("nan")
KEY = jax.random.key(0)
GRID = [[1.0, 1.0], [4.0, 1.0], [1.0, 4.0], [4.0, 4.0]]
SIZES: dict[str, Any] = {"observation_space_size": 12, "action_space_size": 2}
ENVIRONMENTS = (
    "swarm_navigator",
    "multi_navigator",
    "collective_transport",
    "evacuation",
    "swarm_roller",
    "active_brownian",
)


def environment(name: str = "swarm_navigator") -> Any:
    return ac.make_environment(name, num_particles=4)


def state(**keywords: Any) -> Any:
    return environment().make_state(
        **{"position": GRID, "targets": GRID, "box_low": [0.0, 0.0], "box_high": [9.0, 9.0], **keywords}
    )


def world(**keywords: Any) -> dem.World:
    return dem.World.create([0.0, 0.0], [9.0, 9.0], **keywords)


def discs(**keywords: Any) -> dem.Particles:
    return dem.Particles.create(GRID, **keywords)


MISTAKES: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "model: name": (lambda: ac.make_model("ActorCritc", key=KEY, **SIZES), KeyError, "'ActorCritic'"),
    "model: no key": (lambda: ac.make_model("ActorCritic", key=None, **SIZES), TypeError, "jax.random.key"),
    "model: keys": (lambda: ac.make_model("ActorCritic", key=jax.random.split(KEY), **SIZES), TypeError, "(2,)"),
    "model: flag for a key": (lambda: ac.make_model("ActorCritic", key=True, **SIZES), TypeError, "key=True"),
    "space: name": (lambda: ac.make_action_space("MaxNrom"), KeyError, "'MaxNorm'"),
    "space: text": (lambda: ac.make_action_space("Box", x_min="a", x_max=1), TypeError, "x_min='a'"),
    "space: NaN": (lambda: ac.make_action_space("Box", x_min=NAN, x_max=1), ValueError, "x_min=nan"),
    "environment: name": (lambda: ac.make_environment("evacuaton"), KeyError, "'evacuation'"),
    "environment: keyword": (lambda: ac.make_environment("evacuation", gab=1), TypeError, "'gap'"),
    "environment: NaN": (lambda: ac.make_environment("evacuation", radius=NAN), ValueError, "radius=nan"),
    "state: rows": (lambda: state(position=GRID[:3]), ValueError, "(3, 2)"),
    "state: NaN": (lambda: state(targets=np.full((4, 2), NAN)), ValueError, "targets"),
    "state: text": (lambda: state(position="x"), TypeError, "position"),
    "state: box": (lambda: state(box_high=[-1.0, 9.0]), ValueError, "Swap the corners"),
    "step: rows": (lambda: environment().check_action(jnp.zeros((3, 2))), ValueError, "(3, 2)"),
    "step: a list": (lambda: environment().check_action([[0.0, 0.0]] * 4), TypeError, "jnp.asarray"),
    "step: no state": (lambda: environment().step(None, jnp.zeros((4, 2))), TypeError, "NoneType"),
    "step: what step returns": (lambda: environment().check_state((1, 2)), TypeError, "tuple"),
    "step: another's state": (
        lambda: environment().check_state(SimpleNamespace(observation=jnp.zeros((5, 3)))), ValueError, "(5, 3)"
    ),
    "rollout: environment": (lambda: ac.rollout("evacuation", "random", KEY, 2), TypeError, "make_environment"),
    "rollout: word": (lambda: ac.rollout(environment(), "randm", KEY, 2), ValueError, "'randm'"),
    "rollout: model": (lambda: ac.rollout(environment(), None, KEY, 2), TypeError, "make_model"),
    "rollout: key": (lambda: ac.rollout(environment(), "random", 0, 2), TypeError, "key=0"),
    "rollout: steps": (lambda: ac.rollout(environment(), "random", KEY, 0), ValueError, "num_steps=0"),
    "evaluate: environment": (lambda: ac.evaluate(None, lambda o, k: o, KEY), TypeError, "NoneType"),
    "evaluate: word": (lambda: ac.evaluate(environment(), "random", KEY), TypeError, "load_policy"),
    "evaluate: key": (lambda: ac.evaluate(environment(), lambda o, k: o, None), TypeError, "key=None"),
    "train: a dict": (lambda: ac.train({"env": "evacuation"}), TypeError, "TrainConfig"),
    "train: report": (lambda: ac.train(ac.TrainConfig(), report=3), TypeError, "report is a function"),
    "resume: report": (lambda: ac.resume("nowhere", report=3), TypeError, "report is a function"),
    "resume: nothing there": (lambda: ac.resume("nowhere"), FileNotFoundError, "nowhere"),
    "load: nothing there": (lambda: ac.load_policy("nowhere"), FileNotFoundError, "nowhere"),
    "recording: nothing there": (lambda: ac.Recording.load("nowhere.npz"), FileNotFoundError, "nowhere.npz"),
    "world: NaN": (lambda: world(dt=NAN), ValueError, "dt"),
    "world: corners": (lambda: dem.World.create([1.0, 1.0], [0.0, 0.0]), ValueError, "Swap the corners"),
    "world: boundary": (lambda: world(boundary="periodc"), ValueError, "'periodic'"),
    "discs: shape": (lambda: dem.Particles.create(jnp.zeros((3, 4))), ValueError, "(3, 4)"),
    "discs: complex": (lambda: dem.Particles.create(jnp.zeros((3, 2), complex)), TypeError, "real"),
    "discs: text": (lambda: discs(fixed="yes"), TypeError, "fixed"),
    "discs: radius": (lambda: discs(radius=-1), ValueError, "radius=-1"),
    "simulate: swapped": (lambda: dem.simulate(discs(), world(), 1), TypeError, "Particles and World"),
    "simulate: nothing": (lambda: dem.simulate(None, discs(), 1), TypeError, "NoneType"),
    "simulate: steps": (lambda: dem.simulate(world(), discs(), -1), ValueError, "num_steps=-1"),
}  # fmt: skip


def said(error: BaseException) -> str:
    return str(error.args[0]) if isinstance(error, KeyError) else str(error)


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_line_that_says_what_to_do(name: str) -> None:
    mistake, kind, word = MISTAKES[name]
    with pytest.raises(kind) as raised:
        mistake()
    text = said(raised.value)
    assert "\n" not in text
    assert "; got" in text
    assert word in text
    assert text.endswith(".")


@pytest.mark.parametrize("name", ENVIRONMENTS)
@pytest.mark.parametrize("key", [0, None, np.zeros(2), jax.random.split(KEY, 3)], ids=["int", "none", "floats", "keys"])
def test_a_reset_without_a_key(name: str, key: Any) -> None:
    with pytest.raises(TypeError, match=r"\.reset: key is one random key; got .*Pass jax\.random\.key"):
        environment(name).reset(key)


@pytest.mark.parametrize("key", [KEY, jax.random.PRNGKey(0)], ids=["new", "old"])
def test_both_kinds_of_keys_are_keys(key: Any) -> None:
    environment().check_key(key)
    jax.eval_shape(environment().reset, key)
    jax.eval_shape(jax.vmap(environment().reset), jax.random.split(key, 3))


CONFIG = json.dumps({"format": 3, "config": ac.TrainConfig().to_dict()})


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "not a run's configuration"),
        ("{", "not a run's configuration"),
        ("[1]", "not a run's configuration"),
        ("\xff", "not a run's configuration"),
        ('{"format": 3}', "not a run's configuration"),
        ('{"format": 3, "config": null}', "not a run's configuration"),
        (CONFIG.replace('"format": 3', '"format": 2'), "format=2"),
        (CONFIG.replace('"seed"', '"sead"'), "Did you mean 'seed'"),
    ],
)
def test_a_damaged_configuration(text: str, word: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(text, encoding="latin-1")
    with pytest.raises(ValueError, match=word) as raised:
        read_config(tmp_path)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("line", ["{", "3", '{"steps": 3}', '{"update": 3}'])
def test_damaged_metrics(line: str, tmp_path: Path) -> None:
    good = '{"steps": 3, "update": 1}'
    (tmp_path / "metrics.jsonl").write_text(f"{good}\n{line}\n{good}\n")
    with pytest.raises(ValueError, match=r"every line of .* is a report; got line 2"):
        read_metrics(tmp_path)


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OSError, match=r"'.*/file/run/config\.json' has to be writable; got Not a directory\. Choose"):
        write_text(tmp_path / "file" / "run" / "config.json", "text")
    with pytest.raises(OSError, match=r"has to be writable; got Is a directory"):
        write_text(tmp_path, "text")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("strerror", ["Read-only file system", "No space left on device"])
def test_an_error_of_the_system_is_one_line_in_the_shell(strerror: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError(30, strerror, "there/episode.npz")

    monkeypatch.setattr(ac, "train", fail)
    result = CliRunner().invoke(main, ["train"])
    assert result.exit_code == 2
    assert result.stderr == (
        f"error: files: there/episode.npz has to be one to read or to write; got {strerror}. Give another path, or "
        "mend it.\n"
    )
