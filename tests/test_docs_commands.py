"""The commands in the documentation: each has a name, options and fields that exist."""

import re
import shlex
from pathlib import Path

import click
import pytest
from support.command_line import check_call

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def commands_of(page: Path) -> list[str]:
    """Return the calls of `jaxdem-ac` in a page: in its listings, and in the code of its sentences."""
    text = re.sub(r"```python\n.*?```", "", page.read_text(), flags=re.DOTALL)
    listed = re.findall(r"^(?: {4}|\$ ).*?\bjaxdem-ac (.*)$", text.replace("\\\n", " "), flags=re.MULTILINE)
    spoken = re.findall(r"(?<!`)`jaxdem-ac ([^`]+)`", re.sub(r"\n(?=\S)", " ", text))
    return [*listed, *spoken]


@pytest.mark.parametrize("page", [page for page in PAGES if commands_of(page)], ids=lambda page: page.stem)
def test_commands_in_a_page_exist(page: Path) -> None:
    for call in commands_of(page):
        words = shlex.split(call.partition(" | ")[0], comments=True)
        try:
            check_call(words)
        except (click.ClickException, KeyError, ValueError) as error:
            pytest.fail(f"{page.name}: jaxdem-ac {call}: {error}")


def test_a_command_that_does_not_exist_is_found() -> None:
    for wrong in ("tarin", "train --sed 3", "train --set ppo.gama=1", "train --env evacuation --set env_kw.gapp=2"):
        with pytest.raises((click.ClickException, KeyError, ValueError, AssertionError)):
            check_call(wrong.split())
