"""The command ``verify``: measured and expected numbers, one line for each."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from jaxdem_ac.cli.options import FOLDER, complete_words

if TYPE_CHECKING:
    from jaxdem_ac.verify import Result

_SIGNS = {"equal": "=", "at least": ">=", "at most": "<="}


def _complete_case(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    # The table of cases imports JAX: not while a command line is read.
    from jaxdem_ac.verify import CASES

    return complete_words(CASES)(ctx, parameter, incomplete)


@click.command()
@click.argument("names", metavar="[NAME]...", nargs=-1, shell_complete=_complete_case)
@click.option("--long", "long", is_flag=True, help="The long cases too: half an hour.")
@click.option("--figure", "figures", type=FOLDER, metavar="DIR", help="Write a PNG there for each case that has one.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: every check, and the numbers of the figures.")
def verify(names: tuple[str, ...], long: bool, figures: Path | None, as_json: bool) -> None:
    """Compare engine and tasks with closed forms and published results; exit 1 where one is not met.

    With NAMEs these cases are played, long or not; without, the short ones. A line has the measured number, the
    expected one, the difference that is let pass, and where the expected one comes from.
    """
    from jaxdem_ac.verify import run, select

    def say(result: "Result") -> None:
        if not as_json:
            click.echo(_words(result))

    chosen = select(names, long)
    results = run(names, long=long, figures=figures, tell=say)
    failed = [result.case.name for result in results if not result.passed]
    if as_json:
        click.echo(json.dumps({"passed": not failed, "cases": [result.to_dict() for result in results]}))
    else:
        click.echo(f"{len(chosen) - len(failed)} of {len(chosen)} cases passed" +
                   (f"; failed: {', '.join(failed)}." if failed else "."))  # fmt: skip
    if failed:
        sys.exit(1)


def _words(result: "Result") -> str:
    """Return a case's lines."""
    lines = [f"{result.case.name}: {_verdict(result.passed)}, {result.seconds:.1f} s. {result.case.compares}"]
    if result.error is not None:
        lines.append(f"  error  {result.error}")
    width = max((len(check.name) for check in result.checks), default=0)
    for check in result.checks:
        numbers = f"{check.measured:<10.6g} {_SIGNS[check.bound]:<2} {check.expected:<10.6g} +- {check.tolerance:<8.2g}"
        lines.append(f"  {_verdict(check.passed)}  {check.name:<{width}}  {numbers}  {check.source}")
    if result.figure is not None:
        lines.append(f"  wrote {result.figure}")
    return "\n".join(lines)


def _verdict(passed: bool) -> str:
    return "passed" if passed else "FAILED"
