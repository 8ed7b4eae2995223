"""The command line, what is drawn: arguments in, words out."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from jaxdem_ac.cli.compile_cache import with_compile_cache
from jaxdem_ac.cli.options import BASELINE, CHECKPOINT, FILE, PATH, number_or, own_code

if TYPE_CHECKING:
    from jaxdem_ac.runs.recording import Played


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
@CHECKPOINT
@BASELINE
@click.option("--seed", default=1_000, show_default=True, help="Of the episode.")
@click.option("--decisions", default=None, type=int, help="How many at most.  [default: one episode]")
@click.option("--sample", is_flag=True, help="Sample actions; else the policy's mode is played.")
@click.option("--every", type=int, help="Draw every so many decisions.  [default: 150 frames at most]")
@click.option("--fps", default=20.0, show_default=True, help="Frames of a film in a second.")
@click.option("--size", default=600, show_default=True, help="Width of a film, pixels.")
@click.option("--frames", default=3, show_default=True, help="Moments side by side in the PNG.")
@click.option("--elevation", default=35.0, show_default=True, help="Of the camera in space, degrees; 90 looks down.")
@click.option("--azimuth", default=-60.0, show_default=True, help="Of the camera in space, degrees.")
@click.option("--vtk", type=PATH, metavar="FOLDER",
    help="Write frames for ParaView there instead, by JaxDEM's own writer.")  # fmt: skip
@own_code()
@with_compile_cache
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def render(
    context: click.Context,
    /,
    run: Path | None,
    recording: Path | None,
    checkpoint: str | int,
    baseline: str | None,
    formats: str | None,
    out: Path | None,
    seed: int,
    decisions: int | None,
    sample: bool,
    vtk: Path | None,
    as_json: bool,
    **look: object,
) -> None:
    """Draw an episode of a run's policy, and its learning curve.

    Writes episode.gif, episode.png and learning_curve.png into the run's folder; a film as an MP4, too, if asked for.
    """
    if (run is None) == (recording is None):
        raise click.UsageError("render: what is drawn is RUN or --recording FILE, one of them. Name it.")
    played: Played = {"seed": seed, "decisions": decisions, "sample": sample}
    if vtk is not None:
        _only(context, "--vtk", {"run", "vtk", "as_json", "checkpoint", "baseline", *played})
        assert run is not None
        from jaxdem_ac.view.render import render_vtk

        written = [render_vtk(run, vtk, checkpoint, baseline, **played)]
    else:
        written = _drawn(context, run, recording, formats, out, (checkpoint, baseline), played, look)
    if as_json:
        click.echo(json.dumps([str(path) for path in written]))
    else:
        click.echo("wrote " + ", ".join(str(path) for path in written))


def _drawn(
    context: click.Context,
    run: Path | None,
    recording: Path | None,
    formats: str | None,
    out: Path | None,
    whose: tuple[str | int, str | None],
    played: "Played",
    look: dict[str, Any],
) -> list[Path]:
    from jaxdem_ac.view.render import render_recorded, render_run

    chosen: dict[str, Any] = (
        {} if formats is None else {"formats": [name.strip() for name in formats.split(",") if name.strip()]}
    )
    if recording is None:
        assert run is not None
        return render_run(run, out=out, checkpoint=whose[0], baseline=whose[1], **chosen, **played, **look)
    _only(context, "--recording", {"recording", "formats", "out", "as_json", *look})
    from jaxdem_ac.runs.recording import Recording

    return render_recorded(Recording.load(recording), recording.parent if out is None else out, **chosen, **look)


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
    if as_json:
        click.echo(json.dumps({"path": str(out), "runs": [last_figures(run) for run in found]}))
    else:
        click.echo(f"wrote {out}")
