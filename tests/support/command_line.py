"""Calls of the command line in this process, and how a mistake is told there."""

from dataclasses import fields
from typing import Any

import click
from click.testing import CliRunner, Result

import jaxdem_ac as ac
from jaxdem_ac.cli import main
from jaxdem_ac.runs.config import TrainConfig, parse_assignments


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


def context_of(name: str, words: list[str], **options: Any) -> click.Context:
    """Return the context of a command below that of the program.

    Without that a command takes --help alone for its help, and keeps it so: the -h of the program would be gone.
    """
    parent = main.make_context("jaxdem-ac", [name], resilient_parsing=True)
    return main.commands[name].make_context(name, words, parent=parent, **options)


def check_call(words: list[str]) -> None:
    """Raise click's error unless a call has a command, options and fields that exist."""
    if words[0].startswith("-"):
        main.make_context("jaxdem-ac", words, resilient_parsing=True)
        return
    name, *rest = words
    context = context_of(name, list(rest), resilient_parsing=len(rest) < 1 or "--help" in rest)
    assignments = parse_assignments(context.params.get("assignments") or ())
    algorithm = context.params.get("algorithm")
    config = TrainConfig().with_values({**({"algorithm": algorithm} if algorithm else {}), **assignments})
    env = context.params.get("env") or config.env
    if name == "train" and env in ac.list_environments() and not env.startswith("jaxdem:"):
        from jaxdem_ac.registry import environments

        known = {field.name for field in fields(environments.find(env).load())}
        assert config.env_kw.keys() <= known, (env, config.env_kw)
