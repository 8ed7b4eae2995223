"""The command line, what is recorded and played again: arguments in, words out."""

import json
from dataclasses import asdict
from pathlib import Path

import click

from jaxdem_ac.cli.compile_cache import with_compile_cache
from jaxdem_ac.cli.options import BASELINE, CHECKPOINT, FILE, PATH, RUN, complete_run, own_code


@click.command()
@RUN
@CHECKPOINT
@BASELINE
@click.option("--seed", default=1_000, show_default=True, help="Of the episode.")
@click.option("--decisions", default=None, type=int, help="How many at most.  [default: one episode]")
@click.option("--sample", is_flag=True, help="Sample actions; else the policy's mode is played.")
@click.option("--out", type=FILE, help="The file.  [default: RUN/episode.npz]")
@own_code()
@with_compile_cache
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def record(
    run: Path,
    checkpoint: str | int,
    baseline: str | None,
    seed: int,
    decisions: int | None,
    sample: bool,
    out: Path | None,
    as_json: bool,
) -> None:
    """Record an episode of a run's policy: every frame, what was seen, done and gained.

    The file is NumPy's, and jaxdem_ac.Recording.load reads it.
    """
    from jaxdem_ac.runs.recording import EPISODE, record_run

    recording = record_run(run, checkpoint, baseline, seed=seed, decisions=decisions, sample=sample)
    written = recording.save(run / EPISODE if out is None else out)
    if as_json:
        click.echo(json.dumps({"path": str(written), "decisions": recording.num_decisions}))
    else:
        click.echo(f"wrote {written}, {recording.num_decisions} decisions")


@click.command()
@click.argument("source", type=PATH, metavar="RUN_OR_RECORDING", shell_complete=complete_run)
@click.option("--engine", default="jaxdem", show_default=True, help="What moves the particles the second time.")
@click.option("--decisions", default=50, show_default=True, help="How many to play action by action.")
@click.option("--episodes", default=64, show_default=True, help="Whole ones that a run's policy plays; 0 for none.")
@click.option("--seed", default=1_000, show_default=True, help="Of the episodes.")
@own_code()
@with_compile_cache
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def replay(source: Path, engine: str, decisions: int, episodes: int, seed: int, as_json: bool) -> None:
    """Play a run, or a recording, on another engine, and say how far apart the two go.

    First the recorded actions, from the recorded first frame; then, of a run, whole episodes of its policy. Brackets
    are intervals of 95 % confidence.
    """
    from jaxdem_ac.runs import compare_engines as replaying

    found = replaying.replay(source, engine, decisions=decisions, episodes=episodes, seed=seed)
    differences = found.differences()
    if as_json:
        click.echo(json.dumps({**asdict(found), "differences": differences}))
        return
    last = len(found.position)
    click.echo("the same actions, largest difference after a decision:")
    click.echo("  decision     position       reward")
    for number in sorted({1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, last} & set(range(1, last + 1))):
        click.echo(f"  {number:>8}  {found.position[number - 1]:>11.3g}  {found.reward[number - 1]:>11.3g}")
    if not found.evaluations:
        return
    click.echo(f"the same policy, {episodes} whole episodes each:")
    for name, result in found.evaluations.items():
        click.echo(f"  {name:<21} success {result.success}   reward {result.reward}")
    for name, (mean, low, high) in differences.items():
        click.echo(f"  {name:<21} {mean:+.3f} [{low:+.3f}, {high:+.3f}] against embedded")
