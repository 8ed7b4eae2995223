"""The player in a real browser without a screen."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.in_browser import ask, complaints, media, numbers_in, point_at, press, text, wait
from support.made_recordings import made_recording

import jaxdem_ac as ac
from jaxdem_ac import Recording
from jaxdem_ac.view.report.page import write_report

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def recordings() -> list[Recording]:
    """Three episodes: one as usual, one in space with species, and one of which little was recorded."""
    nothing = np.full((20, 5), np.nan, np.float32)
    bare = made_recording(
        5, 20, seed=3, value=nothing, success=nothing[:, 0], world=None, targets=np.zeros((21, 0, 2), np.float32)
    )
    return [made_recording(6, 40, 9), made_recording(4, 30, dim=3, env_kw={"species": [0, 0, 1, 1]}), bare]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory, recordings: list[Recording]) -> Path:
    folder = tmp_path_factory.mktemp("page")
    files = [each.save(folder / f"{number}.npz") for number, each in enumerate(recordings)]
    return write_report(None, folder / "page.html", recordings=files)


@pytest.fixture
def player(browser: Any, page: Path) -> Iterator[Any]:
    """Open the page, its player stopped at its beginning; afterwards nothing was complained of or asked for."""
    media(browser, "light", "reduce")
    browser.get("about:blank")
    for log in ("browser", "performance"):
        browser.get_log(log)
    browser.get(page.as_uri())
    wait(lambda: browser.execute_script("return window.jaxdemPlayer?.episode"))
    yield browser
    assert complaints(browser) == []
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = {m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"}
    assert {url for url in asked if not url.startswith("data:")} == {page.as_uri()}


def colour_of(browser: Any, particle: int) -> str:
    """Return the colour that most of a particle has on the canvas, as #RRGGBB."""
    return str(
        browser.execute_script(
            """
            const { scene, episode } = window.jaxdemPlayer;
            const [x, y] = window.jaxdemPlayer.positionOnScreen(arguments[0]);
            const reach = 0.5 * scene.scale * episode.radii[arguments[0]];
            const ratio = window.devicePixelRatio;
            const found = {};
            for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1], [0.7, 0.7], [-0.7, -0.7]]) {
              const at = [ratio * (x + reach * dx), ratio * (y + reach * dy)].map(Math.round);
              const [r, g, b] = scene.context.getImageData(...at, 1, 1).data;
              const name = `#${[r, g, b].map((part) => part.toString(16).padStart(2, "0")).join("")}`;
              found[name] = (found[name] ?? 0) + 1;
            }
            return Object.keys(found).reduce((a, b) => (found[a] >= found[b] ? a : b)).toUpperCase();
            """,
            particle,
        )
    )


def assert_shows(browser: Any, recording: Recording, stored: dict[str, Any], particle: int, frame: int) -> None:
    """Assert that the panel's numbers are the recording's, within half a step and the digits that are written."""
    expected = {
        "position": recording.particles.position[frame, particle],
        "action": recording.action[frame, particle],
        "value": recording.value[frame, particle, None],
        "reward": recording.reward[frame, particle, None],
    }
    shown = {name: numbers_in(text(browser, f"dd[data-name={name}]")) for name in expected}
    expected["observation"] = recording.observation[frame, particle]
    items = browser.execute_script("return [...document.querySelectorAll('#observation li')].map((i) => i.textContent)")
    shown["observation"] = numbers_in(",".join(items))
    for name, numbers in expected.items():
        step = np.array(stored["arrays"][name]["step"])
        # As many digits as a step allows are written, five at most.
        written = np.maximum(10.0 ** -np.ceil(-np.log10(step)), 1e-5)
        assert shown[name].shape == numbers.shape, name
        assert (np.abs(shown[name] - np.asarray(numbers)) <= step / 2 + written / 2 + 1e-7).all(), name
    assert text(browser, "#who").startswith(f"Particle {particle}")


def test_it_opens_without_a_complaint_and_asks_for_nothing(player: Any) -> None:
    assert player.title == "made_up - jaxdem-ac"
    assert not player.execute_script("return document.getElementById('problem').checkVisibility()")
    assert ask(player, "player.playing") is False
    assert text(player, "#clock").startswith("time 0.00")


def test_it_plays_by_itself_where_motion_is_welcome(player: Any) -> None:
    media(player, "light")
    player.refresh()
    wait(lambda: ask(player, "player?.frame > 3"))
    assert text(player, "#play") == "Pause"
    assert int(text(player, "#clock").split("decision ")[1].split()[0]) > 0
    wait(lambda: ask(player, "player.time === 40 && !player.playing"))
    assert text(player, "#clock").startswith("time 4.00 \u00b7 decision 40 of 40")


def test_play_and_pause(player: Any) -> None:
    press(player, "SPACE")
    wait(lambda: ask(player, "player.frame >= 3"))
    assert ask(player, "player.playing") is True
    press(player, "SPACE")
    stopped = ask(player, "player.time")
    time.sleep(0.2)
    assert ask(player, "player.time") == stopped == int(stopped)
    press(player, "ENTER", "#play")
    assert ask(player, "player.playing") is True


def test_keys_step_and_choose(player: Any) -> None:
    for key in ("ARROW_RIGHT", "ARROW_RIGHT", "ARROW_RIGHT", "ARROW_LEFT"):
        press(player, key)
    assert ask(player, "player.time") == 2
    press(player, "END")
    assert ask(player, "player.time") == 40
    assert text(player, "dl#facts") == ""
    press(player, "ARROW_UP")
    press(player, "ARROW_UP")
    assert text(player, "#who") == "Particle 1, kept"
    assert "last frame" in text(player, "dd[data-name=decision]")
    press(player, "HOME")
    press(player, "ARROW_DOWN")
    assert text(player, "#who") == "Particle 0, kept"
    # What was said of the last frame may still stand there.
    said = wait(lambda: "particle 0" in text(player, "#live").lower() and text(player, "#live"))
    for name in ("action", "value", "reward", "observation"):
        assert name in said.lower()
    press(player, "ESCAPE")
    assert text(player, "#who") == "No particle chosen"


def test_the_slider_scrubs_and_says_where_it_is(player: Any) -> None:
    press(player, "END", "#scrub")
    press(player, "ARROW_LEFT", "#scrub")
    assert ask(player, "player.time") == 39
    said = player.execute_script("return document.getElementById('scrub').getAttribute('aria-valuetext')")
    assert said == "time 3.90, decision 39 of 40, success 0.97"


@pytest.mark.parametrize(("particle", "frame"), [(0, 0), (3, 17), (5, 39)])
def test_a_hover_shows_the_recordings_numbers(
    player: Any, recordings: list[Recording], particle: int, frame: int
) -> None:
    ask(player, f"player.goTo({frame})")
    point_at(player, particle)
    wait(lambda: text(player, "#who") == f"Particle {particle}")
    assert_shows(player, recordings[0], ask(player, "player.episodes[0]"), particle, frame)
    ask(player, f"player.goTo({frame - 1 if frame else 1})")
    assert_shows(player, recordings[0], ask(player, "player.episodes[0]"), particle, frame - 1 if frame else 1)


def test_a_click_keeps_a_particle_and_another_lets_go(player: Any) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    point_at(player, 2)
    ActionChains(player).click().perform()
    assert text(player, "#who") == "Particle 2, kept"
    assert player.execute_script("return document.getElementById('chosen').value") == "2"
    ActionChains(player).click().perform()
    assert player.execute_script("return document.getElementById('chosen').value") == ""


def test_a_number_chooses_a_particle(player: Any) -> None:
    player.find_element("id", "chosen").send_keys("4")
    assert text(player, "#who") == "Particle 4, kept"


def test_colours_say_who_is_there_in_light_and_dark(player: Any, recordings: list[Recording]) -> None:
    ask(player, "player.goTo(40)")
    position, targets = np.asarray(recordings[0].particles.position)[40], np.asarray(recordings[0].targets)[39]
    there = (np.linalg.norm(position[:, None] - targets, axis=-1) <= 1).any(axis=1)
    assert ask(player, "[...player.episode.there]") == there.tolist()
    one, other = int(np.argmax(there)), int(np.argmin(there))
    light = [colour_of(player, particle) for particle in (one, other)]
    ground = player.execute_script("return getComputedStyle(document.documentElement).backgroundColor")
    media(player, "dark", "reduce")
    wait(lambda: [colour_of(player, particle) for particle in (one, other)] == ["#009E73", "#56B4E9"])
    assert light == ["#009E73", "#0072B2"]
    for kind, colour in (("there", "rgb(0, 158, 115)"), ("particle", "rgb(86, 180, 233)")):
        swatch = f"getComputedStyle(document.querySelector('#legend .{kind}:not(.tick)')).backgroundColor"
        assert player.execute_script(f"return {swatch}") == colour
    tick = "getComputedStyle(document.querySelector('#legend .tick'), '::after').borderTopColor"
    drawn = "player.scene.colours.ground"
    assert player.execute_script(f"return {tick}") == "rgb(20, 23, 27)"
    assert ask(player, drawn) == "#14171b"
    assert player.execute_script("return getComputedStyle(document.documentElement).backgroundColor") != ground


def test_what_an_episode_has_not_is_left_out(player: Any, recordings: list[Recording]) -> None:
    from selenium.webdriver.support.select import Select

    episode = Select(player.find_element("id", "episode"))
    episode.select_by_index(1)
    wait(lambda: ask(player, "player.episode.decisions === 30"))
    ask(player, "player.keep(3)")
    assert_shows(player, recordings[1], ask(player, "player.episodes[1]"), 3, 0)
    assert "seen from above" in text(player, "#legend")
    assert "species 1" in text(player, "#legend")
    assert colour_of(player, 3) == "#E69F00"
    episode.select_by_index(2)
    wait(lambda: ask(player, "player.episode.decisions === 20"))
    ask(player, "player.goTo(5), player.keep(3)")
    assert text(player, "dd[data-name=value]") == "not recorded"
    assert "target" not in text(player, "#legend")
    assert not player.execute_script("return document.getElementById('strip').checkVisibility()")


def test_an_observation_is_shown_in_blocks(browser: Any, tmp_path: Path) -> None:
    environment = ac.make_environment("swarm_navigator", num_particles=4, n_lidar_rays=6)
    recording = made_recording(
        4, 5, environment.observation_size, env="swarm_navigator", env_kw={"num_particles": 4, "n_lidar_rays": 6}
    )
    path = write_report(None, tmp_path / "blocks.html", recordings=[recording.save(tmp_path / "blocks.npz")])
    browser.get(path.as_uri())
    wait(lambda: browser.execute_script("return window.jaxdemPlayer?.episode"))
    assert text(browser, "#hint").startswith("Point at a particle, or choose one with the arrow keys")
    ask(browser, "player.pause(), player.goTo(2), player.keep(1)")
    names = browser.execute_script("return [...document.querySelectorAll('#blocks dt')].map((i) => i.textContent)")
    assert names == [block.name for block in environment.observation_layout]
    velocity = numbers_in(text(browser, ".block.vector dd").strip("()"))
    np.testing.assert_allclose(velocity, np.asarray(recording.observation)[2, 1, :2], atol=1e-3)
    drawn = browser.execute_script(
        "return [...document.querySelectorAll('#blocks path')].map((i) => i.getAttribute('d'))"
    )
    assert [path.count("M") for path in drawn] == [2, 6, 6]
    assert not browser.execute_script("return document.getElementById('observation').checkVisibility()")
    press(browser, "ENTER", "#every summary")
    wait(lambda: browser.execute_script("return document.getElementById('observation').checkVisibility()"))


def test_nothing_is_wider_than_a_telephone(player: Any) -> None:
    metrics = {"width": 400, "height": 800, "deviceScaleFactor": 2, "mobile": False}
    player.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        ask(player, "player.keep(1)")
        root = "document.documentElement"
        assert player.execute_script(f"return {root}.scrollWidth <= {root}.clientWidth && {root}.clientWidth <= 400")
        wait(
            lambda: player.execute_script("const c = document.getElementById('canvas'); return c.width > c.clientWidth")
        )
        assert player.execute_script("const c = document.getElementById('canvas'); return c.width / c.clientWidth") == 2
    finally:
        player.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_a_thousand_particles_for_five_hundred_frames_are_smooth(browser: Any, tmp_path: Path) -> None:
    recording = made_recording(1_000, 499, 50)
    path = write_report(None, tmp_path / "large.html", recordings=[recording.save(tmp_path / "large.npz")])
    assert path.stat().st_size < 5_000_000
    media(browser, "light", "reduce")
    browser.get(path.as_uri())
    wait(lambda: browser.execute_script("return window.jaxdemPlayer?.episode"))
    ask(browser, "player.keep(7), player.goTo(250)")
    assert f"Particle {7}" in text(browser, "#who")
    kept = ask(browser, "player.episode.observation.at")
    before = max(frame for frame in kept if frame <= 250)
    assert text(browser, "#seen-title") == f"Observation of decision {before}, the last one kept"
    items = browser.execute_script("return [...document.querySelectorAll('#observation li')].map((i) => i.textContent)")
    seen = np.asarray(recording.observation)[before, 7]
    np.testing.assert_allclose(numbers_in(",".join(items)), seen, atol=0.5 / 254 + 0.0005 + 1e-6)
    ask(browser, "player.drawTimes.length = 0, player.play()")
    wait(lambda: ask(browser, "player.drawTimes.length > 100"))
    ask(browser, "player.pause()")
    assert float(np.median(ask(browser, "player.drawTimes"))) < 12


def test_trails_and_forces_are_drawn_on_request(player: Any) -> None:
    picture = "return document.getElementById('canvas').toDataURL()"
    contacts = "[...Array(41).keys()].map((f) => Number.isFinite(player.episode.contact.get(f, 0, 2)))"
    frame = 1 + ask(player, contacts)[1:].index(True)
    # They walk no farther than their own radius, and trails lie below them.
    ask(player, f"player.episode.radii.fill(0.05), player.goTo({frame})")
    bare = player.execute_script(picture)
    drawn = set()
    for name in ("trails", "forces"):
        assert not player.find_element("id", name).is_selected()
        press(player, "SPACE", f"#{name}")
        drawn.add(player.execute_script(picture))
        press(player, "SPACE", f"#{name}")
        assert player.execute_script(picture) == bare
    assert len(drawn | {bare}) == 3
