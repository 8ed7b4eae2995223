"""Calls of the command line in this process, and how a mistake is told there."""

from typing import Any

from click.testing import CliRunner, Result

from jaxdem_ac.cli import main


def call(*arguments: Any) -> Result:
    """Return what `jaxdem-ac` does with arguments."""
    return CliRunner().invoke(main, [*map(str, arguments)], prog_name="jaxdem-ac")


def assert_one_line(result: Result, *words: str) -> None:
    """Assert that a mistake is told in one line on stderr, with exit code 2."""
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("error: ")
    for word in words:
        assert word in lines[0]
