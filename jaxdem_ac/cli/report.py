"""The command line, the page of a run: arguments in, words out."""

import json
from pathlib import Path

import click

from jaxdem_ac.cli.options import CHECKPOINT, PATH, own_code


@click.command()
@click.argument("run", type=PATH, required=False)
@click.option("--out", type=PATH, help="The file.  [default: RUN/report.html]")
@CHECKPOINT
@click.option("--episodes", default=3, show_default=True, help="Whole ones that the run's policy plays; 0 for none.")
@click.option("--seed", default=1_000, show_default=True, help="Of the first one; the next seeds are the others'.")
@click.option("--decisions", default=None, type=int, help="How many at most in each.  [default: whole episodes]")
@click.option("--sample", is_flag=True, help="Sample actions; else the policy's mode is played.")
@click.option("--recording", "recordings", multiple=True, type=PATH, metavar="FILE",
    help="Show this instead, from `record`; may be given again. Needs no RUN where --out is given.")  # fmt: skip
@own_code()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def report(
    run: Path | None,
    out: Path | None,
    checkpoint: str | int,
    episodes: int,
    seed: int,
    decisions: int | None,
    sample: bool,
    recordings: tuple[Path, ...],
    as_json: bool,
) -> None:
    """Write one HTML file of a run: summary, learning curves, a player of episodes, configuration.

    It needs no network and no other file, and has less than 5 MB: where not every number fits, the page says which
    are kept.
    """
    from jaxdem_ac.view.report.page import write_report

    written = write_report(
        run, out, recordings=recordings, checkpoint=checkpoint, episodes=episodes, seed=seed, decisions=decisions,
        sample=sample,
    )  # fmt: skip
    size = written.stat().st_size
    click.echo(json.dumps({"path": str(written), "bytes": size}) if as_json else f"wrote {written}, {size:,} bytes")
