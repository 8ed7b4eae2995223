"""The command line, plugins of others: arguments in, words out."""

import json
import sys
from dataclasses import asdict
from pathlib import Path

import click

from jaxdem_ac.cli.options import PATH


@click.group()
def plugin() -> None:
    """Begin a plugin of your own, and check those that are installed."""


@plugin.command()
@click.argument("name")
@click.option("--out", type=PATH, help="The folder, a new one.  [default: NAME]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def new(name: str, out: Path | None, as_json: bool) -> None:
    """Write a plugin called NAME: a distribution with an environment, its test and its entry point.

    What it does is a beginning that works; its tests pass. Install it with pip install -e NAME.
    """
    from jaxdem_ac.plugin.new import write_plugin

    folder = write_plugin(name, out)
    said = f"wrote {folder}. Next: pip install -e {folder}; jaxdem-ac plugin check; python -m pytest {folder}"
    click.echo(json.dumps({"path": str(folder)}) if as_json else said)


@plugin.command()
@click.argument("distributions", nargs=-1, metavar="[DISTRIBUTION]...")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def check(distributions: tuple[str, ...], as_json: bool) -> None:
    """Check all that installed plugins announce, point by point of its contract; exit 1 if something is broken.

    Environments, action spaces, models and algorithms are built with their defaults.
    """
    from jaxdem_ac.plugin.check import check_plugins

    found, told = [], ""
    for each in check_plugins(distributions):
        found.append(each)
        if as_json:
            continue
        head = f"{each.kind} {each.name} of {each.origin}:"
        if head != told:
            click.echo(head)
            told = head
        click.echo(f"  {each.point:<13} {'ok' if each.error is None else each.error}")
    if as_json:
        click.echo(json.dumps([asdict(each) for each in found]))
    elif not found:
        click.echo("no plugin is installed: no other distribution announces a name.")
    if any(each.error is not None for each in found):
        sys.exit(1)
