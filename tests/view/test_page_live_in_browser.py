"""Policies that go on in the page, in a real browser without a screen."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.in_browser import ask, complaints, media, opened, press, text, wait
from test_page import made_run
from test_page_live import made_policy

import jaxdem_ac as ac
from jaxdem_ac.runs.recording import record_episode
from jaxdem_ac.trainers.policy import Policy
from jaxdem_ac.view.report import groups
from jaxdem_ac.view.report.page import write_report

pytestmark = pytest.mark.slow

ENV_KW = {"num_particles": 8, "physics_steps": 20, "max_steps": 600}


@pytest.fixture(scope="module")
def policy() -> Policy:
    environment = ac.make_environment("swarm_navigator", **ENV_KW)
    return made_policy(environment, "SymmetricActorCritic", "MaxNorm", architecture=(6,))


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory, policy: Policy) -> Path:
    run = made_run(tmp_path_factory.mktemp("live") / "nav", env_kw=ENV_KW)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(groups, "load_members", lambda *_, **__: {"seed-0": policy})
        return write_report(run, eval_episodes=0, episodes=1)


@pytest.fixture
def live(browser: Any, page: Path) -> Any:
    """Open the page, the policy running in it from the first frame, stopped there."""
    opened(browser, page)
    ask(browser, "document.getElementById('here').click(), player.pause()")
    assert ask(browser, "player.episode.isLive && player.frame === 0")
    return browser


def test_from_the_first_frame_it_is_the_recording(live: Any, policy: Policy) -> None:
    recording = record_episode("swarm_navigator", ENV_KW, policy, seed=1_000)
    for frame in range(1, 21):
        press(live, "ENTER", "#forth")
        shown = np.array(ask(live, "[...player.episode.x].map((x, i) => [x, player.episode.y[i]])"))
        difference = np.abs(shown - np.asarray(recording.particles.position)[frame]).max()
        # Of single precision on the recording's side, which contacts enlarge.
        assert difference < (1e-5 if frame == 1 else 1e-3), (frame, difference)
    assert text(live, "#clock").startswith("time 0.80 \u00b7 decision 20, played here \u00b7 coverage ")
    assert text(live, "dl#facts") == ""
    press(live, "ENTER", "#here")
    wait(lambda: text(live, "#here") == "Run the policy here")
    assert ask(live, "player.frame") == 0
    assert complaints(live) == []


def place(browser: Any, target: int) -> np.ndarray:
    return np.array(ask(browser, f"[0, 1].map((c) => player.episode.targets.get(0, {target}, c))"))


def test_keys_move_a_target(live: Any) -> None:
    before = place(live, 1)
    for key in ("t", "t"):
        live.find_element("id", "canvas").send_keys(key)
    press(live, "ARROW_UP")
    press(live, "ARROW_LEFT")
    np.testing.assert_allclose(place(live, 1) - before, [-0.5, 0.5], atol=1e-12)
    assert text(live, "#here-said") == f"Target 1 at {before[0] - 0.5:.1f}, {before[1] + 0.5:.1f}."
    press(live, "ESCAPE")
    press(live, "HOME")
    press(live, "END")
    press(live, "ARROW_RIGHT")
    assert ask(live, "[player.here.target, player.frame]") == [-1, 1]
    assert complaints(live) == []


@pytest.mark.parametrize("width", [1280, 390])
def test_a_target_is_dragged_and_the_swarm_sees_it(live: Any, width: int) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    live.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        canvas = live.find_element("id", "canvas")
        live.execute_script("arguments[0].scrollIntoView()", canvas)
        # To where nothing else is: the observations of the next decision know of it.
        x, y = ask(
            live, "player.scene.toScreen(player.episode.targets.get(0, 0, 0), player.episode.targets.get(0, 0, 1))"
        )
        before, seen = place(live, 0), ask(live, "player.episode.observed.map((each) => [...each])")
        chain = ActionChains(live).move_to_element_with_offset(
            canvas, int(x - canvas.size["width"] / 2), int(y - canvas.size["height"] / 2)
        )
        chain.click_and_hold().move_by_offset(30, -20).release().perform()
        scale = ask(live, "player.scene.scale")
        np.testing.assert_allclose(place(live, 0) - before, [30 / scale, 20 / scale], atol=1.5 / scale)
        assert ask(live, "player.kept") == -1
        press(live, "ENTER", "#forth")
        assert ask(live, "player.episode.observed.map((each) => [...each])") != seen
        root = "document.documentElement"
        assert live.execute_script(f"return {root}.scrollWidth <= {root}.clientWidth")
    finally:
        live.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert complaints(live) == []


def test_a_finger_drags_a_target_and_scrolls_elsewhere(live: Any) -> None:
    canvas = live.find_element("id", "canvas")
    live.execute_script("arguments[0].scrollIntoView()", canvas)
    live.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": True})
    try:
        at = "player.scene.toScreen(player.episode.targets.get(0, 2, 0), player.episode.targets.get(0, 2, 1))"
        left, top = ask(live, "[player.canvas.getBoundingClientRect().left, player.canvas.getBoundingClientRect().top]")
        x, y = ask(live, at)
        before, scrolled = place(live, 2), ask(live, "window.scrollY")
        for kind, dx, dy in (("touchStart", 0, 0), ("touchMove", 20, -20), ("touchMove", 40, -40), ("touchEnd", 0, 0)):
            points = [] if kind == "touchEnd" else [{"x": left + x + dx, "y": top + y + dy}]
            live.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        scale = ask(live, "player.scene.scale")
        np.testing.assert_allclose(place(live, 2) - before, [40 / scale, 40 / scale], atol=1.5 / scale)
        assert ask(live, "window.scrollY") == scrolled
    finally:
        live.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": False})
    assert complaints(live) == []


def test_from_a_later_frame_it_goes_on(browser: Any, page: Path) -> None:
    opened(browser, page)
    ask(browser, "player.goTo(12)")
    place, speed = (
        "[player.episode.x[3], player.episode.y[3]]",
        "[0, 1].map((c) => player.episode.observation.get({}, 3, c))",
    )
    before = np.array([*ask(browser, place), *ask(browser, speed.format("player.episode.observation.before(12)"))])
    ask(browser, "document.getElementById('here').click(), player.pause()")
    np.testing.assert_allclose([*ask(browser, place), *ask(browser, speed.format(0))], before, atol=1e-9)
    media(browser, "dark", "reduce")
    ask(browser, "player.play()")
    wait(lambda: ask(browser, "player.frame > 2"))
    ask(browser, "document.getElementById('here').click()")
    wait(lambda: ask(browser, "!player.episode.isLive && player.frame === 12"))
    assert complaints(browser) == []
