"""The command line, what is drawn, recorded, played again and shown on a page: arguments in, words out."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from jaxdem_ac.cli.options import CHECKPOINT, FILE, PATH, PLAYED, RUN, complete_run, number_or, of_runs, with_episode


@click.command()
@click.argument("run", type=PATH, required=False)
@click.option("--recording", type=PATH, metavar="FILE", help="Draw what `record` has written instead.")
@click.option("--format", "formats", metavar="LIST", help="Of gif, mp4, png (moments side by side) and curve, with "
    "commas.  [default: gif,png,curve; of a recording gif,png]")  # fmt: skip
@click.option("--out", type=PATH, metavar="FOLDER", help="Where pictures go.  [default: RUN]")
@click.option("--forces", is_flag=True, help="Show contact forces, as wide as they are large.")
@click.option("--rays", metavar="PARTICLE", type=number_or("all", neither="a particle's number nor 'all'"),
    help="Show what a particle's lidars sense, by its number from 0, or of 'all'.")  # fmt: skip
@click.option("--heading/--no-heading", default=True, show_default=True, help="A line to where a particle goes.")
@with_episode
@click.option("--every", type=int, help="Draw every so many decisions.  [default: 150 frames at most]")
@click.option("--fps", default=20.0, show_default=True, help="Frames of a film in a second.")
@click.option("--size", default=600, show_default=True, help="Width of a film, pixels.")
@click.option("--frames", default=3, show_default=True, help="Moments side by side in the PNG.")
@click.option("--elevation", default=35.0, show_default=True, help="Of the camera in space, degrees; 90 looks down.")
@click.option("--azimuth", default=-60.0, show_default=True, help="Of the camera in space, degrees.")
@click.option("--vtk", type=PATH, metavar="FOLDER",
    help="Write frames for ParaView there instead, by JaxDEM's own writer.")  # fmt: skip
@of_runs()
@click.pass_context
def render(
    context: click.Context,
    /,
    run: Path | None,
    recording: Path | None,
    formats: str | None,
    out: Path | None,
    vtk: Path | None,
    as_json: bool,
    **look: Any,
) -> None:
    """Draw an episode of a run's policy, and its learning curve.

    Writes episode.gif, episode.png and learning_curve.png into the run's folder; a film as an MP4, too, if asked for.
    """
    if (run is None) == (recording is None):
        raise click.UsageError("render: what is drawn is RUN or --recording FILE, one of them. Name it.")
    from jaxdem_ac.view.render import render_recorded, render_run, render_vtk

    played: Any = {name: look.pop(name) for name in PLAYED}
    chosen: Any = {} if formats is None else {"formats": [name.strip() for name in formats.split(",") if name.strip()]}
    if vtk is not None:
        _only(context, "--vtk", {"run", "vtk", "as_json", *played})
        assert run is not None
        written = [render_vtk(run, vtk, **played)]
    elif run is not None:
        written = render_run(run, out=out, **chosen, **played, **look)
    else:
        assert recording is not None
        _only(context, "--recording", {"recording", "formats", "out", "as_json", *look})
        from jaxdem_ac.runs.recording import Recording

        folder = recording.parent if out is None else out
        written = render_recorded(Recording.load(recording), folder, **chosen, **look)
    paths = [str(path) for path in written]
    click.echo(json.dumps(paths) if as_json else f"wrote {', '.join(paths)}")


def _only(context: click.Context, option: str, names: set[str]) -> None:
    """Raise unless what was given on the command line is among `names`."""
    for parameter in context.command.params:
        name = str(parameter.name)
        # Options that trust take part in all.
        mistaken = parameter.expose_value and name not in names
        if mistaken and context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"render: {option} does without {parameter.opts[0]}; got both. Leave one out.")


@click.command()
@click.argument("runs", type=PATH, nargs=-1, required=True, metavar="RUN...")
@click.option("--out", type=FILE, metavar="FILE",
    help="The picture.  [default: RUN/learning_curve.png; of several runs ./learning_curves.png]")  # fmt: skip
@click.option("--x", type=click.Choice(["steps", "seconds"]), default="steps", show_default=True,
    help="What stands along it: agent-steps, or wall-clock time.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def plot(runs: tuple[Path, ...], out: Path | None, x: str, as_json: bool) -> None:
    """Draw success, reward and entropy of runs as they learn, in one figure.

    A folder of many seeds is a mean and its band: Student's interval of 95 % confidence for the mean over seeds, or of
    two seeds from the lower to the higher. Seeds of different lengths are drawn as far as all of them have come.
    """
    from jaxdem_ac.view.learning_curves import last_figures, plot_runs, read_runs

    found = read_runs(runs)
    if out is None:
        out = runs[0] / "learning_curve.png" if len(runs) == 1 else Path("learning_curves.png")
    plot_runs(found, out, x=x)
    about = {"path": str(out), "runs": [last_figures(run) for run in found]}
    click.echo(json.dumps(about) if as_json else f"wrote {out}")


@click.command()
@RUN
@with_episode
@click.option("--out", type=FILE, help="The file.  [default: RUN/episode.npz]")
@of_runs()
def record(run: Path, out: Path | None, as_json: bool, **played: Any) -> None:
    """Record an episode of a run's policy: every frame, what was seen, done and gained.

    The file is NumPy's, and jaxdem_ac.Recording.load reads it.
    """
    from jaxdem_ac.runs.recording import EPISODE, record_run

    recording = record_run(run, **played)
    written = recording.save(run / EPISODE if out is None else out)
    about = {"path": str(written), "decisions": recording.num_decisions}
    click.echo(json.dumps(about) if as_json else f"wrote {written}, {recording.num_decisions} decisions")


@click.command()
@click.argument("source", type=PATH, metavar="RUN_OR_RECORDING", shell_complete=complete_run)
@click.option("--engine", default="jaxdem", show_default=True, help="What moves the particles the second time.")
@click.option("--decisions", default=50, show_default=True, help="How many to play action by action.")
@click.option("--episodes", default=64, show_default=True, help="Whole ones that a run's policy plays; 0 for none.")
@click.option("--seed", default=1_000, show_default=True, help="Of the episodes.")
@of_runs()
def replay(source: Path, engine: str, episodes: int, as_json: bool, **options: int) -> None:
    """Play a run, or a recording, on another engine, and say how far apart the two go.

    First the recorded actions, from the recorded first frame; then, of a run, whole episodes of its policy. Brackets
    are intervals of 95 % confidence.
    """
    from jaxdem_ac.runs import compare_engines

    found = compare_engines.replay(source, engine, episodes=episodes, **options)
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
@of_runs()
def report(runs: tuple[Path, ...], out: Path | None, as_json: bool, **options: Any) -> None:
    """Write one HTML file of a run, or of several beside each other: scores, curves, a player, configuration.

    A RUN of many seeds or of a grid is compared by its points: each curve is a mean over seeds in Student's interval of
    95 % confidence, and scores are those of `eval`. The page needs no network and no other file, and has less than
    5 MB: where not every number fits, it says which are kept.
    """
    from jaxdem_ac.view.report.page import write_report

    written = write_report(runs, out, **options)
    size = written.stat().st_size
    click.echo(json.dumps({"path": str(written), "bytes": size}) if as_json else f"wrote {written}, {size:,} bytes")
