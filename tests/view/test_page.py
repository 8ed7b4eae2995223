"""The page: one file that loads nothing, whatever a run is called, and all of it or none."""

import base64
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import pytest
from click.testing import CliRunner
from support.made_recordings import made_recording
from support.parsed_page import Parsed, data_of

from jaxdem_ac import TrainConfig
from jaxdem_ac.cli import main
from jaxdem_ac.runs.run_dir import config_text
from jaxdem_ac.view.report import groups, page
from jaxdem_ac.view.report.page import LIMIT, write_report

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&\ud800"
TINY = {"num_particles": 4, "physics_steps": 1, "max_steps": 3, "n_lidar_rays": 5}
REPORT = {"update": 1, "steps": 64, "seconds": 2.0, "reward": 0.25, "final_success": 0.5, "entropy": 1.5}


def made_run(folder: Path, lines: tuple[dict[str, Any], ...] = (REPORT,), **config: Any) -> Path:
    """Return the folder of a run that was never trained."""
    folder.mkdir()
    chosen = {"env": "swarm_navigator", "env_kw": TINY, **config}
    (folder / "config.json").write_text(config_text(TrainConfig(**chosen)))
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the page of a run whose policy pushes everybody along x."""
    run = made_run(tmp_path_factory.mktemp("runs") / "nav")

    def push(observation: Any, key: Any = None) -> Any:
        return jnp.broadcast_to(jnp.array([1.0, 0.0]), (*observation.shape[:-1], 2))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(groups, "load_members", lambda *_, **__: {"seed-0": push})
        return write_report(run, episodes=2, seed=7, eval_episodes=4)


def test_it_plays_a_runs_episodes(played: Path) -> None:
    assert played.name == "report.html"
    first, second, *untrained = data_of(played)
    assert (first["label"], second["label"]) == ("seed 7", "seed 8")
    assert [(each["policy"], each["label"]) for each in untrained] == [("untrained", "seed 7"), ("untrained", "seed 8")]
    assert (first["decisions"], first["acting"], first["env"]) == (3, 4, "swarm_navigator")
    assert first["success_name"] == "coverage"
    assert first["arrays"]["position"]["data"] != second["arrays"]["position"]["data"]
    assert "value" not in first["arrays"]
    assert first["live"] == "a function has no weights"


def test_weights_stand_in_the_first_episode_that_has_room_for_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []

    def live_of(*_: Any, again: bool, room: float) -> Any:
        asked.append(again)
        return "its network does not fit" if len(asked) == 1 else {}

    monkeypatch.setattr(page, "live_of", live_of)
    monkeypatch.setattr(page, "_recorded", lambda files, _: (
        ({"run": "", "policy": "trained", "label": each}, made_recording(), None, None) for each in files
    ))  # fmt: skip
    write_report((), tmp_path / "page.html", recordings=["a", "b", "c"])
    assert asked == [False, False, True]


def test_it_says_what_the_run_is_and_reached(played: Path) -> None:
    said = " ".join(Parsed(played.read_text()).texts)
    for words in (
        "swarm_navigator",
        "SharedActorCritic",
        "num_particles",
        "learning_rate",
        "coverage at the end",
        "0.5",
    ):
        assert words in said
    assert "not recorded" in said


def test_it_loads_nothing_and_allows_nothing(played: Path) -> None:
    text = played.read_text()
    assert not re.search(r"https?:|//[a-z]|@import|\bsrc=|url\(", re.sub(r'"data": "[^"]*"', "", text))
    found = Parsed(text)
    assert [attrs["href"] for tag, attrs in found.tags if "href" in attrs] == ["data:,", "#player"]
    policy = next(attrs["content"] for tag, attrs in found.tags if attrs.get("http-equiv"))
    assert policy is not None
    assert policy.startswith("default-src 'none'; ")
    for raw in (found.raw["script"][1], found.raw["style"][0]):
        assert f"'sha256-{base64.b64encode(hashlib.sha256(raw.encode()).digest()).decode()}'" in policy
    assert not any("style" in attrs or any(name.startswith("on") for name in attrs) for _, attrs in found.tags)


def test_every_control_has_a_name(played: Path) -> None:
    found = Parsed(played.read_text())
    controls = [attrs for tag, attrs in found.tags if tag in ("canvas", "input", "select")]
    labels = sum(tag == "label" for tag, _ in found.tags)
    assert sum("aria-label" in attrs for attrs in controls) + labels == len(controls) == 9
    ids = [attrs["id"] for _, attrs in found.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    for _, attrs in found.tags:
        for name in ("aria-labelledby", "aria-describedby"):
            assert attrs.get(name) is None or attrs[name] in ids


def test_hostile_names_stay_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = {"env": HOSTILE, "model": HOSTILE, "action_space": HOSTILE}
    run = made_run(tmp_path / "run", **names, model_kw={HOSTILE: HOSTILE}, env_kw={"species": HOSTILE})
    monkeypatch.setattr(page.Recording, "load", lambda file: made_recording(env=HOSTILE))
    path = write_report(run, recordings=[HOSTILE.replace("/", "")])
    found = Parsed(path.read_text())
    assert [tag for tag, _ in found.tags].count("script") == 2
    assert "img" not in [tag for tag, _ in found.tags]
    assert data_of(path)[0]["env"] == HOSTILE
    assert data_of(path)[0]["label"] == HOSTILE.replace("/", "")


def test_a_page_of_a_large_swarm_stays_below_its_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page.Recording, "load", lambda file: made_recording(1_000, 99, 8, seed=int(file)))
    monkeypatch.setattr(page, "LIMIT", 1_000_000)
    path = write_report(None, tmp_path / "large.html", recordings=["0", "1", "2"])
    assert 700_000 < path.stat().st_size <= 1_000_000
    assert [episode["arrays"]["position"]["shape"][1] for episode in data_of(path)] == [1_000] * 3
    assert " of 99" in path.read_text()
    assert LIMIT == 5_000_000


@pytest.mark.parametrize("lines", [(), ({"update": 1, "steps": 64, "reward": float("nan"), "kl": "much"},)])
def test_a_run_with_nothing_to_draw_yet_has_a_page(tmp_path: Path, lines: tuple[dict[str, Any], ...]) -> None:
    path = write_report(made_run(tmp_path / "run", lines), episodes=0, eval_episodes=0)
    found = Parsed(path.read_text())
    assert "canvas" not in [tag for tag, _ in found.tags]
    assert "Learning curves" not in " ".join(found.texts)
    assert "Configuration" in " ".join(found.texts)


def test_species_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page.Recording, "load", lambda file: made_recording(3, env_kw={"species": [0, 1, 1]}))
    assert data_of(write_report(None, tmp_path / "a.html", recordings=["x"]))[0]["species"] == [0, 1, 1]
    monkeypatch.setattr(page.Recording, "load", lambda file: made_recording(3, env_kw={"species": [1, 1, 1]}))
    assert data_of(write_report(None, tmp_path / "a.html", recordings=["x"]))[0]["species"] is None


def test_all_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = made_run(tmp_path / "run")
    (run / "report.html").write_text("before")

    def full(self: Path, target: Path) -> Path:
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        with pytest.raises(OSError, match="no space"):
            write_report(run, episodes=0, eval_episodes=0)
    with pytest.raises(FileNotFoundError, match="a recording is a file"):
        write_report(run, recordings=[tmp_path / "none.npz"])
    assert (run / "report.html").read_text() == "before"
    assert sorted(entry.name for entry in run.iterdir()) == ["config.json", "metrics.jsonl", "report.html"]


@pytest.mark.parametrize(
    ("keywords", "words"),
    [
        ({"run_dir": None}, "got neither. Give run_dir, or recordings"),
        ({"run_dir": None, "recordings": ["a.npz"]}, "got no run, and no out. Give one"),
        ({"run_dir": ["run", "run"]}, "got several runs, and no out. Give one"),
        ({"run_dir": "run", "eval_episodes": 1}, "an interval needs 2 episodes; got eval_episodes=1"),
        ({"run_dir": "run", "episodes": -1}, "episodes is a whole number from 0; got episodes=-1"),
        ({"run_dir": "run", "out": "."}, "out is a file in a folder that is there"),
        ({"run_dir": "run", "out": "not/there.html"}, "out is a file in a folder that is there"),
        ({"run_dir": "elsewhere"}, "a run folder holds config.json"),
    ],
)
def test_mistakes_are_told(
    keywords: dict[str, Any], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made_run(Path("run"))
    with pytest.raises((ValueError, FileNotFoundError), match=re.escape(words)):
        write_report(**keywords)
    assert not list(tmp_path.rglob("*.html"))


def test_the_command(tmp_path: Path) -> None:
    recording = made_recording().save(tmp_path / "made.npz")
    out = tmp_path / "page.html"
    result = CliRunner().invoke(main, ["report", "--recording", str(recording), "--out", str(out), "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == {"path": str(out), "bytes": out.stat().st_size}
    assert data_of(out)[0]["label"] == "made.npz"
    wrong = CliRunner().invoke(main, ["report", str(tmp_path)])
    assert (wrong.exit_code, wrong.stdout, wrong.stderr.count("\n")) == (2, "", 1)
    assert wrong.stderr.startswith("error: load: a run folder holds config.json")
