"""The command ``train``: options from the configuration, progress while it runs, and how it ended."""

import ast
import inspect
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import MISSING, fields, replace
from pathlib import Path
from shlex import quote
from typing import Any, get_args

import click

import jaxdem_ac as ac
from jaxdem_ac.cli.compile_cache import turn_off, with_compile_cache
from jaxdem_ac.cli.options import (
    CLASS_FIELDS,
    PATH,
    TRUST,
    Completion,
    complete_checkpoint,
    complete_configuration,
    complete_field,
    complete_names,
    complete_run,
    complete_words,
    number_or,
    trust_given,
)
from jaxdem_ac.plugin.references import is_reference, short_name, trust_typed
from jaxdem_ac.registry import action_spaces, algorithms, environments, models
from jaxdem_ac.runs import claim
from jaxdem_ac.runs.config import Log, TrainConfig, parse_assignments
from jaxdem_ac.runs.progress import in_words, live_line
from jaxdem_ac.runs.run_dir import CONFIG, Metrics, is_reached, read_config
from jaxdem_ac.runs.untrained import place, played

# A training from the command line is always kept, though one from Python need not be.
_DEFAULT_OUT = "runs/ENV-SEED"


def _whole(text: str) -> int:
    """Return a whole number, which may be written as 4e6."""
    try:
        return int(text)
    except ValueError:
        pass
    try:
        number = float(text)
    except ValueError:
        number = 0.5
    if not number.is_integer():
        raise click.BadParameter(f"{text!r} is not a whole number.")
    return int(number)


_TYPES: dict[str, Callable[[str], float | str]] = {
    "devices": number_or("all", neither="a whole number nor 'all'"),
    "stop_at_success": float,
    "init_checkpoint": number_or("best", "last", neither="'best' nor 'last' nor a number of updates"),
}
# Options that are not called as their field is.
_OPTIONS = {"init_checkpoint": "--checkpoint"}
_METAVARS = {"init_from": "RUN", "init_checkpoint": "best|last|N"}
_COMPLETIONS: dict[str, Completion] = {
    "env": complete_names(environments),
    "model": complete_names(models),
    "algorithm": complete_names(algorithms),
    "action_space": complete_names(action_spaces),
    "init_from": complete_run,
    "init_checkpoint": complete_checkpoint,
    "log": complete_words(get_args(Log)),
    "out": lambda _, __, incomplete: [click.shell_completion.CompletionItem(incomplete, type="dir")],
}


def _config_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add an option for every plain field of TrainConfig, and --set for all that lies deeper."""
    documentation = _field_documentation(TrainConfig)
    for item in reversed(fields(TrainConfig)):
        if item.default is MISSING or item.name == "algorithm_config":
            continue
        repeated = isinstance(item.default, tuple)
        default = "none" if repeated or item.default is None else item.default
        default = _DEFAULT_OUT if item.name == "out" else default
        command = click.option(
            _OPTIONS.get(item.name, f"--{item.name.replace('_', '-')}"),
            item.name,
            type=_TYPES.get(item.name) or (_whole if isinstance(item.default, int) else str),
            default=None,
            multiple=repeated,
            help=f"{documentation[item.name]}  [default: {default}]",
            metavar=_METAVARS.get(item.name, item.name.upper()),
            shell_complete=_COMPLETIONS.get(item.name),
        )(command)
    return command


def _field_documentation(cls: type) -> dict[str, str]:
    """Return the text under every field of a dataclass, so that options repeat nothing."""
    body = ast.parse(inspect.getsource(cls)).body[0]
    assert isinstance(body, ast.ClassDef)
    texts: dict[str, str] = {}
    for field, following in zip(body.body, body.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(following, ast.Expr):
            assert isinstance(field.target, ast.Name)
            assert isinstance(following.value, ast.Constant)
            texts[field.target.id] = str(following.value.value)
    return texts


@click.command()
@click.option("--config", "file", metavar="FILE", shell_complete=complete_configuration,
    help="A configuration, YAML or JSON, or one that comes with the package, as reference/swarm_navigator. "
    "Options, then --set, change it.")  # fmt: skip
@_config_options
@click.option(
    "--set", "assignments", multiple=True, metavar="FIELD=VALUE", shell_complete=complete_field,
    help="Set any field, as ppo.learning_rate=3e-4, env_kw.num_particles=32, action_space_kw.max_norm=2. Repeatable.",
)  # fmt: skip
@click.option("--overwrite", is_flag=True, help="Delete the run that the folder already holds.")
@click.option("--resume", "resumed", type=PATH, metavar="RUN", shell_complete=complete_run,
    help="Go on with the run in that folder, as it was configured; only --steps, then its new length in all, and "
    "--devices may change.")  # fmt: skip
@click.option("--distributed", is_flag=True, help="One of several processes, which the scheduler has started.")
@click.option("--coordinator", metavar="HOST:PORT", help="Where there is no scheduler: where process 0 is reached.")
@click.option("--num-processes", type=int, metavar="NUMBER", help="And how many processes there are.")
@click.option("--process-id", type=int, metavar="NUMBER", help="And which one this is, from 0.")
@TRUST
@with_compile_cache
@click.option("--quiet", is_flag=True, help="Plain lines instead of a live one.")
@click.option("--json", "as_json", is_flag=True, help="Print the last report as JSON.")
def train(
    file: str | None,
    assignments: tuple[str, ...],
    overwrite: bool,
    resumed: Path | None,
    distributed: bool,
    coordinator: str | None,
    num_processes: int | None,
    process_id: int | None,
    quiet: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Train a policy.

    The run is kept in one folder, --out: config.json, metrics.jsonl, checkpoints/. Stopped by Ctrl-C or SIGTERM it
    saves what it has learnt; --resume goes on.
    """
    first = True
    if distributed or (coordinator, num_processes, process_id) != (None, None, None):
        turn_off(click.get_current_context())
        from jaxdem_ac.runs.distributed import connect

        first = connect(coordinator, num_processes, process_id)
    show = {"silent": as_json or not first, "plain": quiet}
    chosen = {name: value for name, value in options.items() if value not in (None, ())}
    alone = not (distributed or coordinator)
    already = False
    if resumed is not None:
        # They say where a class of the run's own is, and change nothing.
        for name in [name for name in CLASS_FIELDS if is_reference(chosen.get(name))]:
            trust_typed(f"--{name.replace('_', '-')}", chosen.pop(name))
        if chosen.keys() - {"devices", "steps"} or assignments or overwrite or file:
            raise ValueError(
                "train: --resume goes on with a run as it was configured; got other options. "
                "Leave out all but --steps and --devices."
            )
        # Before JAX is imported, if it is read in this process alone.
        with claim.reopened(resumed) if alone else nullcontext():
            algorithm = read_config(resumed).algorithm
        made: list[Metrics] = []

        def told(metrics: Metrics) -> None:
            made.append(metrics)
            report(metrics)

        with _stoppable(resumed, first), _progress(algorithm, **show) as report:
            result = ac.resume(resumed, told, devices=chosen.get("devices"), steps=chosen.get("steps"))
        already = not made
    else:
        config = _configuration(file, chosen, assignments)
        if alone:
            # Before JAX is imported. Of several processes the first may be in the folder already.
            claim.check(Path(config.out or ""), overwrite, [".", *(config.members() if config.is_many else [])])
        with (
            _stoppable(config.out, first, _version(Path(config.out or ""))),
            _progress(config.algorithm, **show) as report,
        ):
            untrained = None if show["silent"] else report
            if untrained is not None and (figures := played(place(config))) is not None:
                untrained(figures)
                untrained = None
            result = ac.train(config, report, overwrite=overwrite, untrained=untrained)
    if first:
        _say_end(result, as_json, already)


def _configuration(file: str | None, chosen: dict[str, Any], assignments: Sequence[str]) -> TrainConfig:
    """Return what a file says, changed by options and then by assignments."""
    config = TrainConfig() if file is None else TrainConfig.from_file(file)
    assigned = parse_assignments(assignments)
    trust_given(chosen)
    trust_given(assigned)
    config = replace(config, **chosen).with_values(assigned)
    return config if config.out is not None else replace(config, out=f"runs/{short_name(config.env)}-{config.seed}")


def _say_end(result: "ac.TrainResult", as_json: bool, already: bool) -> None:
    """Say how a training ended, or that it had ended already."""
    # Somebody may have removed metrics.jsonl of a run that had ended.
    last = result.metrics[-1] if result.metrics else None
    if as_json:
        click.echo(json.dumps(last))
    elif last is None:
        click.echo(f"nothing was left to train; kept in {result.run_dir}")
    elif already:
        run, at = quote(str(result.run_dir)), f"{last['steps']:,} agent-steps"
        further = f"To go on: jaxdem-ac train --resume {run} --steps {2 * last['steps']}"
        if is_reached(result.config, result.metrics):
            at += f" and an evaluated success of {last['eval_success']:.3f}"
            further = f"From its policy: jaxdem-ac train --config {run}/config.json --init-from {run} --out ANOTHER"
        click.echo(f"nothing was trained: the run had ended already, at {at}; kept in {result.run_dir}. {further}")
    else:
        why = ""
        if is_reached(result.config, result.metrics):
            why = f"stopped at an evaluated success of {last['eval_success']:.3f}; "
        click.echo(f"trained {last['steps']:,} agent-steps in {last['seconds']:.1f} s; {why}kept in {result.run_dir}")


def _version(run: Path) -> object:
    """Return what tells the config.json of a run from that of another; None if there is none."""
    try:
        found = (run / CONFIG).stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


@contextmanager
def _stoppable(run: str | Path | None, first: bool, old: object = None) -> Iterator[None]:
    """Say how to go on with a run that is stopped; where its config.json is still the `old` one, it is another run."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit) as stop:
        folder = Path(run or "")
        own = run is not None and _version(folder) not in (None, old)
        if first and own and any(any(folder.glob(f"{each}checkpoints/[0-9]*")) for each in ("", "seed-*/")):
            again = f"jaxdem-ac train --resume {quote(str(run))}"
            click.echo(f"stopped; what was learnt is kept. To go on: {again}", err=True)
            raise SystemExit(130 if isinstance(stop, KeyboardInterrupt) else stop.code) from None
        raise


@contextmanager
def _progress(algorithm: str, silent: bool, plain: bool) -> Iterator[Callable[[Metrics], None]]:
    """Give a function that shows an algorithm's report: on a live line in a terminal, in a line of its own else."""
    if silent:
        yield lambda _: None
        return
    from rich.console import Console

    console = Console()
    if plain or not console.is_terminal or console.is_dumb_terminal:
        yield lambda metrics: click.echo(in_words(metrics, algorithm))
        return
    with live_line(console, algorithm) as report:
        yield report
