"""The command line, the page of a run: arguments in, words out."""

import json
from pathlib import Path

import click

from jaxdem_ac.cli.compile_cache import with_compile_cache
from jaxdem_ac.cli.options import CHECKPOINT, PATH, complete_run, own_code


@click.command()
@click.argument("runs", metavar="[RUN]...", nargs=-1, type=PATH, shell_complete=complete_run)
@click.option("--out", type=PATH, help="The file.  [default: RUN/report.html; of several RUNs it has to be given]")
@CHECKPOINT
@click.option("--episodes", type=int,
    help="Whole ones to show: of one run with its policy and with the untrained one, of each of several with its own; "
    "0 for none.  [default: 3 of one run, 1 of each of several]")  # fmt: skip
@click.option("--eval-episodes", default=128, show_default=True,
    help="Whole ones that each policy is evaluated in, as by `eval`; 0 for none.")  # fmt: skip
@click.option("--seed", default=1_000, show_default=True,
    help="Of the first episode to show, the next seeds being the others', and of the evaluation.")  # fmt: skip
@click.option("--decisions", default=None, type=int, help="How many at most in each.  [default: whole episodes]")
@click.option("--sample", is_flag=True, help="Sample actions; else the policy's mode is played.")
@click.option("--recording", "recordings", multiple=True, type=PATH, metavar="FILE",
    help="Show this instead, from `record`; may be given again. Needs no RUN where --out is given.")  # fmt: skip
@own_code()
@with_compile_cache
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def report(
    runs: tuple[Path, ...],
    out: Path | None,
    checkpoint: str | int,
    episodes: int | None,
    eval_episodes: int,
    seed: int,
    decisions: int | None,
    sample: bool,
    recordings: tuple[Path, ...],
    as_json: bool,
) -> None:
    """Write one HTML file of a run, or of several beside each other: scores, curves, a player, configuration.

    A RUN of many seeds or of a grid is compared by its points: each curve is a mean over seeds in Student's interval of
    95 % confidence, and scores are those of `eval`. The page needs no network and no other file, and has less than
    5 MB: where not every number fits, it says which are kept.
    """
    from jaxdem_ac.view.report.page import write_report

    written = write_report(
        runs, out, recordings=recordings, checkpoint=checkpoint, episodes=episodes, seed=seed, decisions=decisions,
        sample=sample, eval_episodes=eval_episodes,
    )  # fmt: skip
    size = written.stat().st_size
    click.echo(json.dumps({"path": str(written), "bytes": size}) if as_json else f"wrote {written}, {size:,} bytes")
