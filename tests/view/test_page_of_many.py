"""The page that compares runs: the figures of `eval`, bands over seeds, one player for all."""

import json
import re
from dataclasses import replace
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from support.command_line import assert_one_line, call
from support.made_recordings import made_recording
from support.parsed_page import Parsed, data_of

import jaxdem_ac as ac
from jaxdem_ac.runs.recording import record_run
from jaxdem_ac.view.curve_data import Run, curve_of, read_runs
from jaxdem_ac.view.report.curves import bands_section
from jaxdem_ac.view.report.pack import contacts_in
from jaxdem_ac.view.report.page import write_report


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train two points of three seeds each, of almost nothing."""
    out = tmp_path_factory.mktemp("runs") / "grid"
    ppo = ac.PPOConfig(num_envs=2, num_steps=4, num_minibatches=1, num_epochs=1)
    config = ac.TrainConfig(
        env="swarm_navigator", env_kw={"num_particles": 3, "physics_steps": 1, "max_steps": 3, "n_lidar_rays": 4},
        model_kw={"architecture": [4]}, steps=48, report_every=1, num_seeds=3, grid={"learning_rate": [0.001, 0.1]},
        ppo=ppo, out=str(out),
    )  # fmt: skip
    ac.train(config, None)
    return out


@pytest.fixture(scope="module")
def page(grid: Path) -> Path:
    return write_report(grid, eval_episodes=4, decisions=2)


def rows_of(text: str) -> list[list[str]]:
    """Return the cells of the table of scores, row by row."""
    table = text[text.index('id="scores-title"') :]
    rows = re.findall(r"<tr.*?</tr>", table[: table.index("</table>")], re.DOTALL)
    return [[unescape(cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)] for row in rows]


def test_its_table_has_the_figures_of_eval(page: Path, grid: Path) -> None:
    after, before = (ac.evaluate_run(grid, num_episodes=4, untrained=untrained) for untrained in (False, True))
    expected = [["policy", "coverage", "reward"]]
    for point, found in after.items():
        expected.append([f"grid, {point}"])
        expected += [[name.partition(",")[0], str(e.success), str(e.reward)] for name, e in found.members.items()]
        for kind, each in (("trained", found), ("untrained", before[point])):
            assert each.success is not None
            expected.append([f"{kind}, mean over seeds", str(each.success.mean), str(each.reward.mean)])
            expected.append([f"{kind}, IQM over seeds", str(each.success.iqm), str(each.reward.iqm)])
    assert rows_of(page.read_text()) == expected


def test_its_player_has_every_seed(page: Path, grid: Path) -> None:
    episodes = data_of(page)
    names = [f"grid, learning_rate={rate}, seed-{seed}" for rate in ("0.001", "0.1") for seed in range(3)]
    assert [each["run"] for each in episodes] == names
    assert {each["policy"] for each in episodes} == {"trained"}
    recording = record_run(grid / "seed-1,learning_rate=0.1", decisions=2)
    stored = episodes[4]["arrays"]["action"]
    low, high = (np.asarray(recording.action).reshape(-1, 2).min(0), np.asarray(recording.action).reshape(-1, 2).max(0))
    np.testing.assert_allclose(stored["low"], low, rtol=1e-6)
    np.testing.assert_allclose(np.asarray(stored["low"]) + 65_534 * np.asarray(stored["step"]), high, rtol=1e-5)
    # One script for all of them, and below the limit by far.
    assert page.read_text().count("class Player") == 1
    assert page.stat().st_size < 200_000


def test_its_bands_are_students(page: Path, grid: Path) -> None:
    text = page.read_text()
    figure = next(each for each in text.split("<figure")[1:] if "mean reward" in each)
    data = json.loads(unescape(re.findall(r'data-points="([^"]*)"', figure)[0]))
    runs = read_runs([grid])
    curve = curve_of(runs[0], "reward")
    assert curve is not None
    assert len(data) == 2 * len(curve.x)
    said = data[len(curve.x) - 1][3]
    mean, low, high = (float(number) for number in re.findall(r"-?\d[\d.e-]*(?=[\s,\]])", said + " ")[-3:])
    np.testing.assert_allclose((mean, low, high), (curve.mean[-1], curve.low[-1], curve.high[-1]), rtol=1e-3)
    assert said.startswith(f"{runs[0].name}: ")
    assert figure.count("<polygon") == figure.count("<polyline") == 2


def test_bands_lie_around_their_line() -> None:
    seeds = tuple(
        [{"steps": 10, "update": 1, "reward": value}, {"steps": 20, "update": 2, "reward": value}]
        for value in (0.0, 1.0, 2.0)
    )
    section = bands_section([Run("<three>", seeds), Run("one", seeds[:1])])
    assert "&lt;three&gt;" in section
    assert "<three>" not in section
    (band,) = re.findall(r'<polygon[^>]*points="([^"]*)"', section)
    heights = [float(pair.split(",")[1]) for pair in band.split()]
    three, one = (
        [float(p.split(",")[1]) for p in line.split()]
        for line in re.findall(r'<polyline[^>]*points="([^"]*)"', section)
    )
    # Student's interval of three seeds, 1 +- 4.303 / sqrt(3); the lone seed is at 0.
    scale = three[0] - one[0]
    np.testing.assert_allclose((heights[0] - three[0]) / -scale, 4.3027 / np.sqrt(3), rtol=0.01)
    assert bands_section([]) == ""


def test_what_runs_differ_in_is_told_apart(page: Path) -> None:
    text = page.read_text()
    differ = text[text.index("What they differ in") : text.index("What they share")]
    assert re.findall(r'<th scope="col">(.*?)</th>', differ) == ["run", "ppo.learning_rate"]
    assert "num_envs" in text[text.index("What they share") :]
    assert not {"learning_rate", "grid"} & set(Parsed(text[text.index("What they share") :]).texts)


def test_several_folders(grid: Path, tmp_path: Path) -> None:
    first, second = grid / "seed-0,learning_rate=0.001", grid / "seed-1,learning_rate=0.001"
    out = tmp_path / "two.html"
    result = call("report", first, second, "--out", out, "--eval-episodes", 2, "--episodes", 0)
    assert result.exit_code == 0, result.output
    rows = rows_of(out.read_text())
    assert [row[0] for row in rows[1:]] == [first.name, "trained", "untrained", second.name, "trained", "untrained"]
    assert data_of(out) == []
    assert_one_line(call("report", first, second), "got several runs", "Give --out FILE")


def test_a_run_has_its_untrained_policy_beside_it(grid: Path, tmp_path: Path) -> None:
    run = grid / "seed-1,learning_rate=0.1"
    path = write_report(run, tmp_path / "one.html", eval_episodes=4, episodes=2, decisions=2)
    trained, _, untrained, _ = data_of(path)
    # Weights stand in the first episode of a policy.
    assert ["network" in each["live"] for each in data_of(path)] == [True, False, True, False]
    assert trained["arrays"]["action"]["data"] != untrained["arrays"]["action"]["data"]
    # The same beginning.
    assert trained["seed"] == untrained["seed"] == 1_000
    found = json.loads(call("eval", run, "--episodes", "4", "--json").stdout)
    expected = [
        [
            kind,
            *(
                f"{each[name]['mean']:.3f} [{each[name]['low']:.3f}, {each[name]['high']:.3f}]"
                for name in ("success", "reward")
            ),
        ]
        for kind, each in (("trained", found["after"]), ("untrained", found["before"]))
    ]
    assert rows_of(path.read_text())[1:] == expected


def test_contacts_are_those_of_the_law() -> None:
    position = np.zeros((2, 3, 2), np.float32) + np.array([[1.5, 5.0], [3.0, 5.0], [8.0, 8.0]], np.float32)
    position[1, 1] += 1.0
    particles = replace(made_recording(3, 1).particles, position=position)
    world = ac.dem.World.create([0.0, 0.0], [10.0, 10.0], boundary="soft", stiffness=100.0)
    found = contacts_in(made_recording(3, 1, particles=particles, world=world))
    assert found.shape == (2, 1, 3)
    left, right, force = found[0, 0]
    assert {left, right} == {0.0, 1.0}
    # Discs of radius 1 at a distance of 1.5.
    np.testing.assert_allclose(force, 100 * 0.5, rtol=1e-5)
    assert np.isnan(found[1]).all()
