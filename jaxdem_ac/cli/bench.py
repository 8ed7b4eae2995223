"""The command ``bench``: arguments in, words out."""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from jaxdem_ac.cli.options import FILE, FOLDER, PATH, trust_given

if TYPE_CHECKING:
    from rich.table import Table

    from jaxdem_ac.bench.suite import Report, Row

Value = TypeVar("Value", str, int)
Command = TypeVar("Command", bound=Callable[..., object])


def _split(kind: Callable[[str], Value]) -> Callable[..., list[Value] | None]:
    """Return a callback that takes lists with commas, repeated or not; None where nothing was given."""

    def callback(_: click.Context, parameter: click.Parameter, values: Sequence[str]) -> list[Value] | None:
        found = []
        for text in (part.strip() for value in values for part in value.split(",")):
            try:
                found.append(kind(text))
            except ValueError:
                raise click.BadParameter(f"{text!r} is not a whole number.", param=parameter) from None
        return list(dict.fromkeys(found)) or None

    return callback


def _axis(name: str, variable: str, kind: type[str] | type[int], text: str) -> Callable[[Command], Command]:
    return click.option(name, variable, multiple=True, metavar="LIST", callback=_split(kind), help=text)


@click.command()
@_axis("--env", "envs", str, "Environments, separated by commas, as all lists here.  [default: swarm_navigator]")
@_axis("--model", "models", str, "Models.  [default: SharedActorCritic]")
@_axis("--num-particles", "num_particles", int, "N; the density is kept.  [default: 64]")
@_axis("--num-envs", "num_envs", int, "Environments that are stepped together.  [default: 16]")
@_axis("--stages", "stages", str, "Of environment, policy, rollout, update, training.  [default: all]")
@_axis("--dtype", "dtypes", str, "In which models multiply: float32, bfloat16.  [default: float32]")
@_axis("--sharing", "sharings", str, "Of PerParticle: shared, species, independent.  [default: independent]")
@click.option(
    "--short/--long", "short", default=None, help="With no axis named: a grid of a few minutes, or the whole."
)
@click.option("--repeats", default=7, show_default=True, help="Timings of each row.")
@click.option("--set", "assignments", multiple=True, metavar="FIELD=VALUE",
    help="Set any field, as for train: ppo.num_epochs=1, env_kw.physics_steps=10. Repeatable.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--out", type=FILE, metavar="FILE", help="Write the JSON there too.")
@click.option("--compare", "compared", nargs=2, type=PATH, metavar="OLD NEW",
    help="Measure nothing: say what got slower between two files; exit 1 if something did.")  # fmt: skip
@click.option("--profile", type=FOLDER, metavar="DIR",
    help="Write a trace of each row there, for Perfetto or TensorBoard.")  # fmt: skip
def bench(
    short: bool | None,
    repeats: int,
    assignments: tuple[str, ...],
    as_json: bool,
    out: Path | None,
    compared: tuple[Path, Path] | None,
    profile: Path | None,
    **axes: Any,
) -> None:
    """Measure agent-steps per second on this machine, stage by stage.

    Axes that are named make a full grid; with none, a preset is measured. Exit code 1 if a row fails.
    """
    if compared:
        if any(value is not None for value in axes.values()) or assignments or out or profile or short is not None:
            raise ValueError("bench: --compare measures nothing; got other options too. Leave out all but --json.")
        _compare(*compared, as_json)
        return
    from jaxdem_ac.bench.cases import Axes, check, grid
    from jaxdem_ac.bench.compare import write
    from jaxdem_ac.bench.measure import check_repeats
    from jaxdem_ac.bench.suite import failed, run
    from jaxdem_ac.runs.config import parse_assignments

    for field in ("env", "model"):
        for name in axes[f"{field}s"] or ():
            trust_given({field: name})
    asked = Axes(**axes)
    if not asked.is_preset and short is not None:
        raise ValueError("bench: --short and --long are grids of their own; got axes too. Leave out one or the other.")
    check_repeats(repeats)
    settings = parse_assignments(assignments)
    trust_given(settings)
    import jax

    cases = grid(asked, long=short is False, platform=jax.default_backend())
    check(cases, settings, models=not asked.is_preset)
    if out is not None:
        out.touch()
    with _progress(len(cases), silent=as_json) as tell:
        report = run(
            cases,
            settings=settings,
            repeats=repeats,
            profile=profile,
            tell=tell,
            keep=(lambda report: None) if out is None else (lambda report: write(report, out)),
        )
    click.echo(json.dumps(report) if as_json else _words(report), nl=as_json)
    bad = failed(report["rows"])
    if bad:
        click.echo(f"error: {len(bad)} of {len(cases)} rows failed.", err=True)
        sys.exit(1)


@contextmanager
def _progress(total: int, silent: bool) -> Iterator[Callable[["Row"], None]]:
    """Give a function that is told every row: a bar on a terminal, nothing elsewhere."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    if silent or not console.is_terminal:
        yield lambda row: None
        return
    columns = BarColumn(20), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}")
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("the machine's limits ...", total=total)

        def tell(row: "Row") -> None:
            bar.update(task, advance=1, description=f"{row['stage']} {row['env']}: {_rate(row)}")

        yield tell


def _words(report: "Report") -> str:
    """Return a report as text: a table, what failed, and what the columns mean."""
    from rich.table import Table

    machine, limits = report["machine"], report["limits"]
    table = Table(box=None, pad_edge=False)
    table.add_column("stage")
    table.add_column("environment, model")
    for name in ("N x E", "agent-steps/s", "quartiles", "decisions/s", "physics/s", "compile", "memory", "FLOPs",
                 "bytes", "ratio"):  # fmt: skip
        table.add_column(name, justify="right", no_wrap=True)
    for row in report["rows"]:
        table.add_row(row["stage"], _what(row), f"{row['N']:,} x {row['E']}", *_figures(row))
    flops = ", ".join(f"{dtype} {number / 1e9:,.0f}" for dtype, number in limits["flops"].items())
    lines = [
        f"{machine['device']}, {machine['processor']}, {machine['cores']} cores; jax {report['versions']['jax']}; "
        f"commit {report['commit'] or 'unknown'}",
        f"limits, measured: {flops} GFLOP/s in products, {limits['bytes'] / 1e9:.1f} GB/s in copies",
        "",
        _rendered(table).rstrip("\n"),
        "",
        "An agent-step is a decision of one particle; physics/s are steps of the engine; all environments are counted.",
        "Memory is what XLA lays out for arguments, results and temporaries. FLOPs and bytes are those XLA counts, as",
        "shares of the limits: bytes that stay in a cache may pass 100 %. Ratios are to the first row of the same",
        "stage, task and size, in turns.",
    ]
    lines += [f"failed: {row['stage']} {_what(row)} {row['N']} x {row['E']}: {row['error']}" for row in report["rows"]
              if row["status"] == "failed"]  # fmt: skip
    return "\n".join(lines) + "\n"


def _rendered(table: "Table") -> str:
    """Return a table as text, as wide as it is where there is no terminal."""
    from rich.console import Console

    terminal = sys.stdout.isatty()
    console = Console(width=None if terminal else 200)
    with console.capture() as captured:
        console.print(table)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


def _what(row: "Row") -> str:
    parts = [row["env"], row.get("model"), row.get("sharing"), row.get("dtype")]
    return ", ".join(part for part in parts if part is not None and part != "float32")


def _figures(row: "Row") -> list[str]:
    if row["status"] == "failed":
        return ["failed", *[""] * 8]
    low, high = row["agent_steps_quartiles"]
    speeds = [_short(row[f"{unit}_per_second"]) for unit in ("decisions", "physics_steps")]
    shares = ["-" if row.get(name) is None else f"{row[name]:.1%}" for name in ("compute_share", "bandwidth_share")]
    ratio = f"{row['ratio']:.2f} [{', '.join(f'{x:.2f}' for x in row['ratio_quartiles'])}]" if "ratio" in row else ""
    compiled, memory = f"{row['compile_seconds']:.1f} s", f"{row['memory_bytes'] / 2**20:,.0f} MiB"
    return [_rate(row), f"{_short(low)}, {_short(high)}", *speeds, compiled, memory, *shares, ratio]


def _rate(row: "Row") -> str:
    return "failed" if row["status"] == "failed" else _short(row["agent_steps_per_second"])


def _short(number: float | None) -> str:
    """Return a number with three digits, ``1.63e6``."""
    if number is None:
        return "-"
    if number < 1e4:
        return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"
    digits, _, exponent = f"{number:.2e}".partition("e")
    return f"{digits}e{int(exponent)}"


def _compare(old: Path, new: Path, as_json: bool) -> None:
    """Say what got slower, and exit with 1 if something did."""
    from dataclasses import asdict

    from rich.table import Table

    from jaxdem_ac.bench.compare import TOLERANCE, compare, read

    found = compare(read(old), read(new))
    if as_json:
        click.echo(json.dumps(asdict(found)))
    else:
        table = Table(
            "verdict", "stage", "environment, model", "N x E", "old", "new", "ratio", box=None, pad_edge=False
        )
        for row in found.rows:
            ratio = "-" if row["ratio"] is None else f"{row['ratio']:.2f}"
            size = f"{row['N']:,} x {row['E']}"
            table.add_row(row["verdict"], row["stage"], _what(row), size, _short(row["old"]), _short(row["new"]), ratio)
        click.echo(_rendered(table))
        for note in found.notes:
            click.echo(note)
        click.echo(
            f"{len(found.slower)} of {len(found.rows)} rows got slower: by more than {found.allowed:.0%} in the median "
            f"({TOLERANCE:.0%}, and what the machine's own limits lost), with quartiles apart."
        )
    if found.slower:
        sys.exit(1)
