"""Learning curves: means, bands, and what is common to seeds."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from scipy import stats
from support import command_line

from jaxdem_ac.view.learning_curves import Run, curve_of, plot_learning_curve, read_runs
from jaxdem_ac.view.report.curves import curves_section


def reports(rewards: list[float | None], step: int = 100, **more: Any) -> list[dict[str, Any]]:
    return [
        {"update": number, "steps": step * number, "seconds": 2.0 * number, "reward": reward, "entropy": 1.0, **more}
        for number, reward in enumerate(rewards, start=1)
    ]


def write(folder: Path, lines: list[dict[str, Any]]) -> Path:
    folder.mkdir(parents=True)
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def call(*arguments: Any) -> Result:
    return command_line.call("plot", *arguments)


def test_the_band_of_three_seeds_is_students_interval() -> None:
    values = np.array([[1.0, 2.0], [2.0, 5.0], [6.0, 2.0]])
    curve = curve_of(Run("a", tuple(reports(list(own)) for own in values)), "reward")
    assert curve is not None
    np.testing.assert_array_equal(curve.x, [100, 200])
    np.testing.assert_allclose(curve.mean, values.mean(0))
    low, high = stats.t.interval(0.95, 2, loc=values.mean(0), scale=stats.sem(values))
    np.testing.assert_allclose([curve.low, curve.high], [low, high])


def test_the_band_of_two_is_from_the_lower_to_the_higher_and_one_has_none() -> None:
    two = curve_of(Run("a", (reports([1.0, 7.0]), reports([3.0, 5.0]))), "reward")
    assert two is not None
    np.testing.assert_array_equal([two.low, two.mean, two.high], [[1, 5], [2, 6], [3, 7]])
    one = curve_of(Run("a", (reports([1.0, 7.0]),)), "reward")
    assert one is not None
    np.testing.assert_array_equal(one.low, one.high)


def test_a_share_stays_one() -> None:
    seeds = tuple(reports([0.0], final_success=success) for success in (0.0, 0.1, 1.0))
    curve = curve_of(Run("a", seeds), "final_success")
    assert curve is not None
    assert (curve.low[0], curve.high[0]) == (0.0, 1.0)


def test_seeds_of_different_reports_meet_where_all_have_data() -> None:
    fine, coarse = reports([1.0, 2.0, 3.0, 4.0, 5.0]), reports([None, 20.0, 40.0], step=150)
    curve = curve_of(Run("a", (fine, coarse)), "reward")
    assert curve is not None
    # The coarse one begins at 300, its first number, and is interpolated at 400; the fine one at 450.
    np.testing.assert_array_equal(curve.x, [300, 400, 450])
    np.testing.assert_allclose(curve.low, [3.0, 4.0, 4.5])
    np.testing.assert_allclose(curve.high, [20.0, 20.0 + 20 * 100 / 150, 40.0])
    assert curve_of(Run("a", (fine, reports([None]))), "reward") is None
    seconds = curve_of(Run("a", (fine,)), "reward", "seconds")
    assert seconds is not None
    np.testing.assert_array_equal(seconds.x, [2, 4, 6, 8, 10])


def test_a_grid_is_a_run_for_each_point(tmp_path: Path) -> None:
    for seed in (0, 1):
        for rate in ("0.001", "0.003"):
            write(tmp_path / "grid" / f"seed-{seed},learning_rate={rate}", reports([float(seed)]))
    write(tmp_path / "one", reports([1.0]))
    runs = read_runs([tmp_path / "grid", tmp_path / "one"])
    assert [(run.name, len(run.seeds)) for run in runs] == [
        ("grid, learning_rate=0.001", 2),
        ("grid, learning_rate=0.003", 2),
        ("one", 1),
    ]


def test_runs_of_one_name_are_told_apart(tmp_path: Path) -> None:
    folders = [write(tmp_path / name / "nav", reports([1.0])) for name in "ab"]
    assert [run.name for run in read_runs(folders)] == [str(folder) for folder in folders]


def test_plot_draws_runs_side_by_side(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    for seed in range(3):
        write(tmp_path / "seeds" / f"seed-{seed}", reports([seed + 1.0, seed + 2.0], final_success=0.5))
    one = write(tmp_path / "one", reports([5.0]))
    result = call(tmp_path / "seeds", one, "--out", tmp_path / "plot.png", "--x", "seconds", "--json")
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert Path(said["path"]).read_bytes()[:4] == b"\x89PNG"
    seeds, alone = said["runs"]
    assert seeds["reward"]["mean"] == 3.0
    assert (alone["seeds"], "success" in alone) == (1, False)
    assert call(one).exit_code == 0
    assert (one / "learning_curve.png").is_file()


def test_what_cannot_be_drawn_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    empty = write(tmp_path / "empty", [])
    broken = write(tmp_path / "broken", [{"reward": 1.0}, {"reward": 2.0}])
    for folder, words in (("nothing", "holds metrics.jsonl"), ("empty", "at least one report"), ("broken", "line 1")):
        result = call(tmp_path / folder)
        assert (result.exit_code, result.stdout) == (2, "")
        assert words in result.stderr
        assert len(result.stderr.splitlines()) == 1
    assert not (empty / "learning_curve.png").exists()
    assert not (broken / "learning_curve.png").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["RUN", "--recording", "a.npz"], "one of them"),
        (["RUN", "--format", "bmp"], "format='bmp'"),
        (["RUN", "--format", ","], "got no format"),
        (["RUN", "--rays", "x"], "neither a particle's number nor 'all'"),
        (["RUN", "--vtk", "frames", "--forces"], "--vtk does without --forces"),
        (["--recording", "a.npz", "--seed", "3"], "--recording does without --seed"),
        (["--recording", "a.npz"], "a recording is a file"),
    ],
)
def test_a_mistake_in_render_is_one_line(arguments: list[str], words: str, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    result = command_line.call("render", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert words in result.stderr


def test_one_report_is_a_point_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    drawn: list[Any] = []
    monkeypatch.setattr("jaxdem_ac.view.learning_curves.save_figure", lambda figure, path, dpi: drawn.append(figure))
    for rewards in ([1.0], [1.0, 2.0]):
        plot_learning_curve(reports(list(rewards)), tmp_path / "curve.png", "a run")
    for figure, words in zip(drawn, (["one report"], []), strict=True):
        axis = figure.axes[0]
        assert [text.get_text() for text in axis.texts] == words
        assert axis.lines[0].get_marker() == "o"
    assert "one report: 1" in curves_section(reports([1.0]))
    assert "one report" not in curves_section(reports([1.0, 2.0]))
