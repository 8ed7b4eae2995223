"""Pages with a choice of runs and policies, and curves of several, in a real browser without a screen."""

from pathlib import Path
from typing import Any

import pytest
from support.in_browser import ask, complaints, opened, wait

import jaxdem_ac as ac
from jaxdem_ac.view.report.page import write_report

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the page of two seeds of almost no training, and that of one of them."""
    folder = tmp_path_factory.mktemp("compared")
    config = ac.TrainConfig(
        env="evacuation", env_kw={"num_particles": 8, "physics_steps": 5, "max_steps": 40}, steps=64, num_seeds=2,
        ppo=ac.PPOConfig(num_envs=2, num_steps=4, num_minibatches=1, num_epochs=1), out=str(folder / "seeds"),
    )  # fmt: skip
    ac.train(config, None)
    pages = {"many": write_report(folder / "seeds", eval_episodes=2)}
    return {**pages, "one": write_report(folder / "seeds" / "seed-1", eval_episodes=2, episodes=2, sample=True)}


def seen(browser: Any, *names: str) -> list[bool]:
    return [bool(browser.find_element("id", name).is_displayed()) for name in names]


def test_a_run_is_chosen_where_there_are_several(browser: Any, compared: dict[str, Path]) -> None:
    from selenium.webdriver.support.select import Select

    opened(browser, compared["many"])
    assert seen(browser, "run", "policy", "episode") == [True, False, True]
    ask(browser, "player.goTo(2)")
    Select(browser.find_element("id", "run")).select_by_visible_text("seeds, seed-1")
    wait(lambda: ask(browser, "player.episode.run") == "seeds, seed-1")
    # At the same moment, to compare.
    assert ask(browser, "player.frame") == 2
    metrics = {"width": 390, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    root = "document.documentElement"
    try:
        assert browser.execute_script(f"return {root}.scrollWidth <= {root}.clientWidth")
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert complaints(browser) == []


def test_the_nearest_curve_says_whose_it_is(browser: Any, compared: dict[str, Path]) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    opened(browser, compared["many"])
    figure = browser.find_element("css selector", "figure.curve")
    browser.execute_script("arguments[0].scrollIntoView()", figure)
    ActionChains(browser).move_to_element(figure.find_element("tag name", "svg")).perform()
    assert "seeds: " in figure.find_element("class name", "reading").text
    assert "agent-steps" in figure.find_element("class name", "reading").text


def test_trained_and_untrained_are_one_choice_away(browser: Any, compared: dict[str, Path]) -> None:
    from selenium.webdriver.support.select import Select

    opened(browser, compared["one"])
    assert seen(browser, "run", "policy", "episode") == [False, True, True]
    Select(browser.find_element("id", "episode")).select_by_visible_text("seed 1001")
    wait(lambda: ask(browser, "player.episode.seed") == 1_001)
    ask(browser, "player.goTo(7), player.keep(3)")
    Select(browser.find_element("id", "policy")).select_by_visible_text("untrained")
    wait(lambda: ask(browser, "player.episode.policy") == "untrained")
    assert ask(browser, "[player.episode.seed, player.frame, player.kept]") == [1_001, 7, 3]
