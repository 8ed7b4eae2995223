"""Progress that a training from Python shows by itself: in a terminal, in a notebook, and nothing elsewhere."""

import builtins
import io
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

import jaxdem_ac as ac
from jaxdem_ac import registry
from jaxdem_ac.environments.testing import Tracking
from jaxdem_ac.runs.progress import in_words, showing

LAST = {"steps": 256, "total_steps": 256, "agent_steps_per_second": 10.0, "reward": -0.5}


class Terminal(io.StringIO):
    """A standard output that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def in_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Let the standard output be a terminal; in a test, for pytest takes it back after a fixture."""
    made = Terminal()
    monkeypatch.setattr(sys, "stdout", made)
    for name, value in {"TERM": "xterm", "COLUMNS": "120"}.items():
        monkeypatch.setenv(name, value)
    return made


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Stand in a notebook, and keep what its cell shows, one after the other."""
    texts: list[str] = []

    class Handle:
        def update(self, data: dict[str, str], *, raw: bool) -> None:
            assert raw
            texts.append(data["text/plain"])

    def display(data: dict[str, str], *, raw: bool, display_id: bool) -> Handle:
        assert raw
        assert display_id
        texts.append(data["text/plain"])
        return Handle()

    package, module = ModuleType("IPython"), ModuleType("IPython.display")
    module.display = display  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", package)
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    monkeypatch.setattr(builtins, "get_ipython", type("ZMQInteractiveShell", (), {}), raising=False)
    return texts


@pytest.fixture
def config() -> Iterator[ac.TrainConfig]:
    """Give a short run in a task that compiles quickly."""
    ppo = ac.PPOConfig(num_envs=4, num_steps=8, num_minibatches=2, num_epochs=1)
    with registry.environments.temporarily("probe", Tracking):
        yield ac.TrainConfig(
            env="probe", env_kw={"length": 3}, model_kw={"architecture": [8]}, steps=64, report_every=1, ppo=ppo
        )


def test_a_terminal_has_a_live_line_unless_it_is_silenced(
    monkeypatch: pytest.MonkeyPatch, config: ac.TrainConfig
) -> None:
    terminal = in_terminal(monkeypatch)
    ac.train(config, None)
    assert terminal.getvalue() == ""
    result = ac.train(config)
    last = terminal.getvalue().splitlines()[-2]
    assert f"{result.metrics[-1]['steps']} of {result.metrics[-1]['total_steps']} steps" in last
    assert "compiling" in terminal.getvalue()


def test_a_function_takes_the_place_of_the_line(monkeypatch: pytest.MonkeyPatch, config: ac.TrainConfig) -> None:
    terminal = in_terminal(monkeypatch)
    reports: list[dict[str, Any]] = []
    result = ac.train(config, reports.append)
    assert reports == result.metrics
    assert terminal.getvalue() == ""


def test_nothing_is_printed_where_there_is_no_terminal(
    config: ac.TrainConfig, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # With it rich takes any output for a terminal's.
    monkeypatch.setenv("FORCE_COLOR", "1")
    ac.train(config)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("term", ["dumb", "unknown"])
def test_a_terminal_without_a_cursor_shows_nothing(monkeypatch: pytest.MonkeyPatch, term: str) -> None:
    terminal = in_terminal(monkeypatch)
    monkeypatch.setenv("TERM", term)
    with showing("live", "ppo") as report:
        assert report is None
    assert terminal.getvalue() == ""


def test_a_notebook_has_one_line_that_changes(shown: list[str]) -> None:
    with showing("live", "ppo") as report:
        assert report is not None
        for steps in range(200):
            report({**LAST, "steps": steps})
        report(LAST)
    assert "compiling" in shown[0]
    assert "0 of 256 steps" in shown[1]
    assert "256 of 256 steps" in shown[-1]
    # Not for every report, where these come fast.
    assert len(shown) < 100
    assert all("\n" not in text and len(text) <= 120 for text in shown)


def test_another_word_is_named() -> None:
    with pytest.raises(TypeError, match="'live' or None; got 'loud'"):
        ac.train(ac.TrainConfig(), "loud")  # type: ignore[arg-type]


def test_columns_behind_the_reward_are_the_algorithms() -> None:
    said = in_words({**LAST, "final_success": 0.5, "objective": 0.25, "moved": 1.5}, "shac")
    assert said.endswith("success 0.500  objective +0.2500  moved 1.5000")
    assert in_words({**LAST, "kl": 0.5}, "ppo").endswith("success     -  kl 0.5000  entropy     -")
