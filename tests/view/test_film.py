"""Films and strips: what is drawn is as large as it is, where it is, and can be read again."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from jaxdem_ac import dem
from jaxdem_ac.environments.sensing.lidar import Channel
from jaxdem_ac.view.episode import FIXED, PASSIVE, Episode
from jaxdem_ac.view.figures.options import Look
from jaxdem_ac.view.figures.style import BLUE, ORANGE, rgb

pytest.importorskip("matplotlib")

from jaxdem_ac.view.figures.animation import Film, write_films, write_strip

STILL = Look(heading=False, size=400)


def alone(position: list[list[float]], **fields: Any) -> Episode:
    """Particles of the engine in a box of 20, 20 or 20, 20, 20."""
    dim = len(position[0])
    own = {name: fields.pop(name) for name in ("radius", "velocity") if name in fields}
    made = Episode.of_particles(
        dem.World.create([0.0] * dim, [20.0] * dim), dem.Particles.create(jnp.asarray(position), **own)
    )
    return Episode(**{**vars(made), **fields})


def moving(num: int) -> Episode:
    """One disc that crosses the box."""
    position = np.linspace([2.0, 5.0], [18.0, 5.0], num)[:, None]
    particles = dem.Particles.create(jnp.asarray(position[0]))
    made = vars(Episode.of_particles(dem.World.create([0, 0], [20, 20]), particles))
    frames = dem.Particles(
        **{name: np.repeat(leaf, num, axis=0) for name, leaf in vars(made["particles"]).items()}
        | {"position": position}
    )
    success = np.linspace(0, 1, num)
    return Episode(**{**made, "particles": frames, "decision_time": 0.5, "success": success})


def inked(pixels: np.ndarray) -> np.ndarray:
    return (pixels < 250).any(-1)


@pytest.mark.parametrize("dim", [2, 3])
def test_a_disc_is_as_large_as_its_particle(dim: int) -> None:
    empty, full = (Film(alone([[10.0] * dim], radius=radius), STILL).frame(0).astype(int) for radius in (1e-6, 4.0))
    changed = np.abs(full - empty).sum(-1) > 30
    film = Film(alone([[10.0] * dim], radius=4.0), STILL)
    axis = film.scene.layers[0].collection.axes
    scale = 400 / np.ptp(axis.get_xlim())
    assert changed.sum() == pytest.approx(np.pi * (4.0 * scale) ** 2, rel=0.04)
    rows, columns = np.nonzero(changed)
    assert np.ptp(rows) == pytest.approx(8.0 * scale, abs=3)
    assert np.ptp(columns) == pytest.approx(8.0 * scale, abs=3)


def test_the_nearer_sphere_covers_the_other() -> None:
    for near in (0, 1):
        film = Film(alone([[10.0, y, 10.0] for y in (5.0, 15.0)], radius=4.0, kinds=np.array([0, 1])),
            Look(heading=False, size=400, elevation=0.0, azimuth=-90.0 if near == 0 else 90.0))  # fmt: skip
        pixels = film.frame(0)
        height, width = pixels.shape[:2]
        # Species 0 is blue, 1 amber, and below both stands the legend.
        red, _, blue = pixels[(height - 27) // 2, width // 2].astype(int)
        assert (blue > red) == (near == 0)


def test_a_heading_points_where_the_particle_goes() -> None:
    discs = alone([[10.0, 10.0]], radius=4.0, velocity=jnp.array([[3.0, 0.0]]))
    with_line, without = (Film(discs, Look(heading=shown, size=400)).frame(0).astype(int) for shown in (True, False))
    rows, columns = np.nonzero(np.abs(with_line - without).sum(-1) > 60)
    assert columns.min() >= 198
    assert columns.max() == pytest.approx(200 + 4 * 400 / 20.6, abs=3)
    assert np.ptp(rows) < 8
    rest = alone([[10.0, 10.0]], radius=4.0)
    np.testing.assert_array_equal(*(Film(rest, Look(heading=shown, size=400)).frame(0) for shown in (True, False)))


def test_a_reached_target_is_told_without_colour() -> None:
    def drawn(target: float) -> tuple[int, int]:
        """Return how many pixels above the legend are black, and how many are of the ring's colour."""
        pixels = Film(alone([[5.0, 10.0]], targets=np.array([[[target, 14.0]]]), radius=5.0), STILL).frame(0)[:-27]
        return int((pixels < 50).all(-1).sum()), int((np.abs(pixels / 255 - rgb(ORANGE)).sum(-1) < 0.4).sum())

    (rim, whole_ring), (no_rim, dashes) = drawn(5.0), drawn(12.0)
    assert (rim > 100, no_rim) == (True, 0)
    assert whole_ring > 1.5 * dashes > 0


def test_forces_are_lines_between_centres_and_have_a_scale() -> None:
    touching = alone([[9.0, 10.0], [10.9, 10.0]])
    film = Film(touching, Look(heading=False, forces=True, size=400))
    pixels = film.frame(0)
    (row,) = {(pixels.shape[0] - 27) // 2}
    line = pixels[row - 3 : row + 4, 180:220].min(0)
    assert (line < 60).any()
    assert film.legend[-1].get_label() == "contact force 20000"


def labels_of(film: Film) -> list[str]:
    return [str(entry.get_label()) for entry in film.legend]


def test_a_legend_names_what_is_drawn() -> None:
    target = np.array([[[5.0, 10.0]]])
    assert labels_of(Film(alone([[5.0, 10.0]]), STILL)) == []
    assert labels_of(Film(alone([[5.0, 10.0]], targets=target), STILL)) == ["particle", "at a target", "target"]
    mixed = {"kinds": np.array([FIXED, 1, PASSIVE, 0])}
    film = Film(alone([[x, 10.0] for x in (3.0, 8.0, 13.0, 18.0)], **mixed), STILL)
    assert labels_of(film) == ["species 0", "species 1", "does not act by itself", "obstacle"]
    # Every disc has the colour that the legend gives its kind.
    drawn = film.frame(0)
    faces = film.scene.layers[0].collection.get_facecolor()[:, :3]
    named = {label: entry.get_markerfacecolor() for label, entry in zip(labels_of(film), film.legend, strict=True)}
    for face, label in zip(faces, ["obstacle", "species 1", "does not act by itself", "species 0"], strict=True):
        np.testing.assert_allclose(face, rgb(named[label]), atol=0.01)
        assert (np.abs(drawn[-27:] / 255 - face).sum(-1) < 0.02).any()


@pytest.mark.parametrize("width", [1.5, 3.0, 6.0])
def test_a_legend_has_as_many_rows_as_it_needs(width: float) -> None:
    episode = alone([[x, 10.0] for x in (3.0, 8.0, 13.0, 18.0)], kinds=np.array([FIXED, 1, PASSIVE, 0]))
    film = Film(episode, Look(heading=False, size=int(100 * width)))
    figure = film.canvas.figure
    box = figure.legends[0].get_window_extent()
    assert box.x0 >= -1
    assert box.x1 <= film.size[0] + 1
    axis = film.scene.layers[0].collection.axes
    assert box.y1 <= axis.get_window_extent().y0 + 1


def test_nothing_is_said_of_success_before_the_first_decision() -> None:
    episode = moving(3)
    assert episode.success is not None
    film = Film(Episode(**{**vars(episode), "success": np.array([np.nan, 0.25, 0.5])}), Look(size=300))
    said = []
    for number in range(3):
        film.frame(number)
        said.append(film.scene.success.get_text())
    assert said == ["", "success 25 %", "success 50 %"]


def test_a_particle_whose_rays_are_drawn_has_a_ring() -> None:
    fields = {"observation": np.zeros((1, 2, 4)), "lidars": (Channel("walls", 0, 4, 5.0),)}
    episode = alone([[5.0, 10.0], [15.0, 10.0]], **fields)
    one, every = (Film(episode, Look(heading=False, size=400, rays=rays)) for rays in (1, "all"))
    assert labels_of(one) == ["particle", "lidar of walls", "particle 1"]
    assert labels_of(every) == ["particle", "lidar of walls"]
    black = [(film.frame(0)[:-30] < 60).all(-1) for film in (one, every)]
    assert not black[1].any()
    rows, columns = np.nonzero(black[0])
    scale = 400 / 20.6
    assert columns.mean() == pytest.approx(15.3 * scale, abs=2)
    assert np.ptp(rows) == pytest.approx(2 * 1.35 * scale, abs=4)


def test_a_gif_holds_every_moment(tmp_path: Path) -> None:
    from PIL import Image

    path = tmp_path / "film.gif"
    assert write_films(moving(6), [path], Look(fps=10, size=200)) == 6
    with Image.open(path) as film:
        assert film.n_frames == 6
        assert film.size[0] == 200
        pauses = []
        for number in range(6):
            film.seek(number)
            pauses.append(film.info["duration"])
        last = np.asarray(film.convert("RGB"))
    assert pauses == [100, 100, 100, 100, 100, 1000]
    assert (last[60:100, 80:120] == 255).all()
    blue = np.abs(last / 255 - rgb(BLUE)).sum(-1) < 0.1
    assert np.nonzero(blue)[1].mean() == pytest.approx(18 / 20 * 200, abs=4)


def test_an_mp4_is_what_browsers_play(tmp_path: Path) -> None:
    ffmpeg = pytest.importorskip("imageio_ffmpeg").get_ffmpeg_exe()
    path = tmp_path / "film.mp4"
    episode, look = moving(6), Look(fps=10, size=201)
    write_films(episode, [path], look)
    film = Film(episode, look)
    width, height = film.size
    assert width % 2 == height % 2 == 0
    said = subprocess.run([ffmpeg, "-i", path], capture_output=True, text=True, close_fds=False).stderr
    for word in ("h264", "yuv420p", f"{width}x{height}", "10 fps"):
        assert word in said
    raw = subprocess.run(
        [ffmpeg, "-loglevel", "error", "-i", path, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"],
        capture_output=True, check=True, close_fds=False,
    ).stdout  # fmt: skip
    frames = np.frombuffer(raw, np.uint8).reshape(-1, height, width, 3).astype(int)
    # The last one stays for a second.
    assert len(frames) == 6 + 10
    for number in (0, 5, 15):
        assert np.abs(frames[number] - film.frame(min(number, 5))).mean() < 3


def test_what_ffmpeg_cannot_write_is_one_error_and_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "ffmpeg"
    broken.write_text(f"#!{sys.executable}\nimport sys\nsys.exit('no such codec')\n")
    broken.chmod(0o755)
    monkeypatch.setattr(
        "jaxdem_ac.view.figures.animation.require_ffmpeg", lambda: SimpleNamespace(get_ffmpeg_exe=lambda: str(broken))
    )
    (tmp_path / "out").mkdir()
    with pytest.raises(OSError, match="'no such codec'"):
        write_films(moving(3), [tmp_path / "out" / "film.mp4"], Look(size=100))
    assert not list((tmp_path / "out").iterdir())


def test_a_strip_has_a_panel_for_every_moment(tmp_path: Path) -> None:
    from PIL import Image

    path = tmp_path / "strip.png"
    write_strip(moving(6), path, Look(frames=3, heading=False))
    with Image.open(path) as strip:
        pixels = np.asarray(strip.convert("RGB"))
    blue = np.abs(pixels / 255 - rgb(BLUE)).sum(-1) < 0.02
    panels = np.array_split(blue, 3, axis=1)
    assert len(panels) == 3
    places = [np.nonzero(panel)[1].mean() / panel.shape[1] for panel in panels]
    np.testing.assert_allclose(places, [0.1, 0.5, 0.9], atol=0.08)
    assert inked(pixels[:40]).any(), "time and success stand above"
