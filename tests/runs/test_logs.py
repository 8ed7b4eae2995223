"""Logs beside metrics.jsonl, read back: TensorBoard's event files, and what a stand-in for W&B is told."""

import json
import sys
import types
import warnings
from pathlib import Path
from typing import Any

import pytest
from support.event_files import curve, events

import jaxdem_ac as ac
from jaxdem_ac.runs import loggers


def report(steps: int, reward: float | None = 0.5) -> dict[str, Any]:
    return {"steps": steps, "total_steps": 100, "update": steps // 10, "reward": reward, "final_success": None}


@pytest.fixture
def config(tmp_path: Path) -> ac.TrainConfig:
    return ac.TrainConfig(out=str(tmp_path), log=["tensorboard"], seed=3)


class FakeRun:
    """What W&B's `init` returns."""

    def __init__(self, **keywords: Any) -> None:
        self.keywords = keywords
        self.id = keywords["id"] or "new"
        self.logged: list[tuple[int, dict[str, float]]] = []
        self.finished = False

    def log(self, figures: dict[str, float], step: int) -> None:
        if figures.get("reward") == 13:
            raise ConnectionError("no route\nto host")
        self.logged.append((step, figures))

    def finish(self) -> None:
        self.finished = True


@pytest.fixture
def wandb(monkeypatch: pytest.MonkeyPatch) -> list[FakeRun]:
    """Put a stand-in for W&B in its place, and return the runs that it makes."""
    runs: list[FakeRun] = []
    module = types.ModuleType("wandb")
    module.__file__ = "wandb/__init__.py"
    module.init = lambda **keywords: runs.append(FakeRun(**keywords)) or runs[-1]  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "wandb", module)
    return runs


def test_figures_come_back_from_event_files(config: ac.TrainConfig, tmp_path: Path) -> None:
    with loggers.opened(config, tmp_path, {}, []) as log:
        log.write(report(10, 0.25))
        log.write(report(20, None))
        # On the disk at once: somebody is watching.
        assert curve(tmp_path / "tensorboard", "update") == [(10, 1.0), (20, 2.0)]
    assert curve(tmp_path / "tensorboard", "reward") == [(10, 0.25)]
    assert curve(tmp_path / "tensorboard", "steps") == curve(tmp_path / "tensorboard", "final_success") == []
    (text,) = [
        value for event in events(tmp_path / "tensorboard") for value in event.summary.value if value.tensor.string_val
    ]
    assert text.tag.startswith("config")
    assert json.loads(text.tensor.string_val[0]) == config.to_dict()


def test_steps_that_are_made_again_count_once(config: ac.TrainConfig, tmp_path: Path) -> None:
    before = [report(10), report(20)]
    with loggers.opened(config, tmp_path, {}, []) as log:
        for line in [*before, report(30, 1.0)]:
            log.write(line)
    with loggers.opened(config, tmp_path, {}, before) as log:
        log.write(report(30, 2.0))
        log.write(report(40))
    assert curve(tmp_path / "tensorboard", "reward") == [(10, 0.5), (20, 0.5), (30, 2.0), (40, 0.5)]
    assert len(list((tmp_path / "tensorboard").iterdir())) == 2


def test_each_of_many_runs_has_events_of_its_own(config: ac.TrainConfig, tmp_path: Path) -> None:
    members = ac.TrainConfig(**{**config.to_dict(), "ppo": config.ppo, "num_seeds": 2}).members()
    for name in members:
        (tmp_path / name).mkdir()
    with loggers.opened(config, tmp_path, members, []) as log:
        for number, name in enumerate(members):
            log.write(report(10, float(number)), name)
        log.write(report(10))
    for folder, reward in (("seed-3", 0.0), ("seed-4", 1.0), (".", 0.5)):
        assert curve(tmp_path / folder / "tensorboard", "reward") == [(10, reward)]


def test_weights_and_biases_is_told_and_goes_on_with_its_run(
    wandb: list[FakeRun], config: ac.TrainConfig, tmp_path: Path
) -> None:
    config = ac.TrainConfig(out=str(tmp_path), log=["wandb"])
    with loggers.opened(config, tmp_path, {}, []) as log:
        log.write(report(10), "seed-0")
        log.write(report(10))
    with loggers.opened(config, tmp_path, {}, [report(10)]) as log:
        log.write(report(20))
    first, second = wandb
    assert first.keywords == {
        "project": "jaxdem-ac", "dir": str(tmp_path), "config": config.to_dict(), "resume": "allow", "id": None
    }  # fmt: skip
    assert first.logged == [
        (10, {"seed-0/update": 1.0, "seed-0/reward": 0.5}), (10, {"update": 1.0, "reward": 0.5})
    ]  # fmt: skip
    assert second.keywords["id"] == first.id == "new"
    assert second.logged == [(20, {"update": 2.0, "reward": 0.5})]
    assert first.finished
    assert second.finished


def test_a_log_that_fails_is_warned_of_once_and_left(wandb: list[FakeRun], tmp_path: Path) -> None:
    config = ac.TrainConfig(out=str(tmp_path), log=["wandb", "tensorboard"])
    with loggers.opened(config, tmp_path, {}, []) as log:
        log.write(report(10, 12.0))
        with pytest.warns(RuntimeWarning, match=r"log 'wandb' failed and is left.*ConnectionError: no route to host\."):
            log.write(report(20, 13.0))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            log.write(report(30, 13.0))
    assert curve(tmp_path / "tensorboard", "reward") == [(10, 12.0), (20, 13.0), (30, 13.0)]
    assert len(wandb[0].logged) == 1


def test_a_log_that_cannot_be_opened_is_warned_of(config: ac.TrainConfig, tmp_path: Path) -> None:
    (tmp_path / "tensorboard").write_text("mine")
    with pytest.warns(RuntimeWarning, match="'tensorboard' failed"), loggers.opened(config, tmp_path, {}, []) as log:
        log.write(report(10))
    assert (tmp_path / "tensorboard").read_text() == "mine"


@pytest.mark.parametrize("package", [None, types.ModuleType("wandb")], ids=["missing", "a mere folder"])
def test_a_missing_package_is_told_before_anything_is_done(
    package: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", package)
    with pytest.raises(ImportError, match=r'"jaxdem-ac\[wandb\]"'):
        ac.train(ac.TrainConfig(out=str(tmp_path / "run"), log=["wandb"]))
    assert list(tmp_path.iterdir()) == []


def test_a_log_needs_a_folder() -> None:
    with pytest.raises(ValueError, match=r"got log=\['tensorboard'\] and out=None. Set out"):
        ac.train(ac.TrainConfig(log=["tensorboard"]))


def test_other_processes_open_none(wandb: list[FakeRun]) -> None:
    with loggers.opened(ac.TrainConfig(out="nowhere", log=["wandb"]), None, {}, []) as log:
        log.write(report(10))
    assert wandb == []
