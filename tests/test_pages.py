"""Words of the pages: backticks are closed, quoted errors are what the program says, and the first page is short."""

import json
import re
import shlex
from pathlib import Path

import jax
import pytest
from support.command_line import call

import jaxdem_ac as ac

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").rglob("*.md"))]
MOST_WORDS = 900


def unbalanced(text: str) -> list[str]:
    """Return the paragraphs and lines of a table in which a backtick opens and none closes."""
    text = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"^ {4}.*$", "", text, flags=re.MULTILINE)
    # A heading, a line of a table and an item of a list are paragraphs too.
    parts = re.split(r"\n\s*\n|\n(?=[|#*]|\d+\. )", text)
    return [part for part in parts if re.search("`", re.sub(r"(`+)(?!`).+?(?<!`)\1(?!`)", "", part, flags=re.DOTALL))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_backtick_of_a_page_is_closed(page: Path) -> None:
    assert unbalanced(page.read_text()) == []


def test_a_backtick_that_is_not_closed_is_found() -> None:
    assert unbalanced("`a` and\n``b` c``\n\n* `d\n* e`\n\n    `f\n") == ["* `d", "* e`"]


def quotes(text: str) -> list[tuple[str, str]]:
    """Return the calls of a page and the errors that it says they end in."""
    return re.findall(r"^ {4}(?:\$|>>>) (.*)\n {4}((?:error|\w+Error): .*)$", text, flags=re.MULTILINE)


def test_a_quoted_error_is_what_the_program_says() -> None:
    found = [quote for page in PAGES for quote in quotes(page.read_text())]
    assert len(found) >= 3
    environment = ac.make_environment("swarm_navigator")
    model = ac.make_model(
        "ActorCritic",
        observation_space_size=environment.observation_size,
        action_space_size=environment.action_size,
        key=jax.random.key(0),
    )
    for done, said in found:
        if done.startswith("jaxdem-ac "):
            result = call(*shlex.split(done)[1:])
            assert (result.exit_code, result.stderr.strip()) == (2, said)
        else:
            with pytest.raises(Exception) as error:  # noqa: PT011 (its class and words are compared below)
                eval(done, {"ac": ac, "jax": jax, "model": model})
            assert f"{type(error.value).__name__}: {error.value}" == said


def test_the_readme_is_one_page_with_a_line_for_each_task() -> None:
    text = README.read_text()
    assert len(text.split()) <= MOST_WORDS
    for name in ac.list_models():
        assert f"`{name}`" in text
    rows = dict(
        re.findall(r"^\| !\[(\w+)\]\(.*?\) \| .* (\| [\d.]+ \| [\d.]+ \| [\d.]+ \|)$", text, flags=re.MULTILINE)
    )
    assert sorted(rows) == ac.list_environments()
    for name, figures in rows.items():
        learnt = json.loads((ROOT / f"docs/reference/{name}.json").read_text())["success"]
        baselines = json.loads((ROOT / f"docs/reference/baselines/{name}.json").read_text())
        random, oracle = (baselines[kind]["success"]["mean"] for kind in ("random", "oracle"))
        assert figures == f"| {random:.3f} | {sum(learnt) / len(learnt):.3f} | {oracle:.3f} |"
