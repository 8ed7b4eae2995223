"""Pictures of a policy as it plays, of a recording, and of the engine alone."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxdem_ac as ac
from jaxdem_ac import dem
from jaxdem_ac.runs.recording import record_episode
from jaxdem_ac.view.episode import Episode
from jaxdem_ac.view.figures.options import Look
from jaxdem_ac.view.render import played_episode, render_particles, render_recorded

pytest.importorskip("matplotlib")

KEYWORDS = {"num_particles": 4, "physics_steps": 1, "max_steps": 6, "n_lidar_rays": 5}


def ahead(observation: Any, key: Any = None) -> Any:
    """Everybody pushes along x."""
    return jnp.broadcast_to(jnp.array([9.0, 0.0]), (*observation.shape[:-1], 2))


@pytest.fixture(scope="module")
def environment() -> Any:
    return ac.make_environment("swarm_navigator", **KEYWORDS)


@pytest.fixture(scope="module")
def recording() -> ac.Recording:
    return record_episode("swarm_navigator", KEYWORDS, ahead, seed=3)


def test_a_policy_is_played_to_the_end_and_drawn(environment: Any, tmp_path: Path) -> None:
    picture = ac.render(environment, ahead, tmp_path / "film.gif", forces=True, rays=1, size=120)
    assert picture.path.read_bytes()[:6] == b"GIF89a"
    assert picture._repr_html_().startswith('<img src="data:image/gif;base64,R0lGODlh')
    assert str(picture) == str(tmp_path / "film.gif")
    assert list(tmp_path.iterdir()) == [picture.path]


def test_a_recording_is_drawn_as_it_was_played(environment: Any, recording: ac.Recording, tmp_path: Path) -> None:
    played = played_episode(environment, ahead, jax.random.key(3), None)
    found = Episode.of_recording(recording)
    assert found.num_frames == played.num_frames == 7
    for name in ("position", "radius"):
        np.testing.assert_array_equal(getattr(found.particles, name), getattr(played.particles, name))
    for name in ("targets", "kinds", "box_low", "box_high", "success"):
        np.testing.assert_array_equal(getattr(found, name), getattr(played, name))
    assert found.success_name == "coverage"
    assert found.lidars == environment.lidars
    written = render_recorded(recording, tmp_path / "new" / "folder", ["png"], rays="all", frames=2)
    assert written == [tmp_path / "new" / "folder" / "episode.png"]
    assert written[0].read_bytes()[:4] == b"\x89PNG"


def test_spheres_of_the_engine_alone_are_drawn(tmp_path: Path) -> None:
    world = dem.World.create([0, 0, 0], [9, 9, 9], boundary="soft")
    spheres = dem.Particles.create(jnp.array([[2.0, 2.0, 0.9], [5.0, 5.0, 5.0]]))
    picture = render_particles(world, spheres, tmp_path / "spheres.png", forces=True, elevation=20.0)
    assert picture.path.read_bytes()[:4] == b"\x89PNG"


@pytest.mark.slow
def test_anybody_can_play(environment: Any) -> None:
    """Whatever `rollout` takes; past its end an episode is not drawn."""
    space = ac.make_action_space("MaxNorm", max_norm=1.0)
    sizes = {"observation_space_size": environment.observation_size, "action_space_size": environment.action_size}
    model = ac.make_model("SharedActorCritic", **sizes, key=jax.random.key(0), action_space=space)
    for policy in ("random", model):
        assert played_episode(environment, policy, jax.random.key(0), 9).num_frames == 7


@pytest.mark.parametrize(
    ("keywords", "error", "words"),
    [
        ({"path": "film.jpg"}, ValueError, "ends with .gif, .mp4 or .png; got path='film.jpg'"),
        ({"policy": "rand"}, ValueError, "acts or is 'random'; got 'rand'"),
        ({"decisions": 0}, ValueError, "decisions=0"),
        ({"force": True}, TypeError, "no such keyword; got 'force'. Did you mean 'forces'"),
        ({"every": 0}, ValueError, "every=0"),
        ({"fps": 0.0}, ValueError, r"fps=0\.0"),
        ({"elevation": 91.0}, ValueError, r"elevation=91\.0"),
        ({"rays": "some"}, ValueError, "rays='some'"),
    ],
)
def test_a_mistake_is_named_before_anything_is_played(
    environment: Any, keywords: dict[str, Any], error: type[Exception], words: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=words):
        ac.render(environment, **{"path": tmp_path / "film.gif", **keywords})
    assert not list(tmp_path.iterdir())


def test_what_a_task_does_not_have_cannot_be_drawn(recording: ac.Recording, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="from 0 to 3; got rays=4"):
        render_recorded(recording, tmp_path, ["gif"], rays=4)
    spheres = dem.Particles.create(jnp.zeros((1, 2)))
    with pytest.raises(ValueError, match="a property `lidars`"):
        render_particles(dem.World.create([0, 0], [1, 1]), spheres, tmp_path / "a.png", rays=0)
    with pytest.raises(ValueError, match="no learning curve"):
        render_recorded(recording, tmp_path, ["curve"])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("missing", ["imageio_ffmpeg", "matplotlib"])
def test_what_is_not_installed_is_one_error(
    recording: ac.Recording, missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, missing, None)
    with pytest.raises(ImportError, match=r'pip install "jaxdem-ac\[view\]"'):
        render_recorded(recording, tmp_path / "new", ["mp4"])
    assert not list(tmp_path.iterdir())


def test_options_are_checked_once() -> None:
    assert Look.of(rays="all", forces=True).rays == "all"
    with pytest.raises(ValueError, match="size=True"):
        Look.of(size=True)
