"""The command ``train``: options from the configuration, progress while it runs, and how it ended."""

import ast
import inspect
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import MISSING, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

import click

import jaxdem_ac as ac
from jaxdem_ac.cli.options import (
    CLASS_FIELDS,
    PATH,
    TRUST,
    Completion,
    complete_configuration,
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
from jaxdem_ac.runs.run_dir import Metrics, is_reached, read_config

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions
    from rich.text import Text

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
    "init_checkpoint": complete_words(["best", "last"]),
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
    "--set", "assignments", multiple=True, metavar="FIELD=VALUE",
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
        total = _stored(resumed, alone).steps
        with _stoppable(resumed, first), _progress(total, **show) as report:
            made = _Counted(report)
            result = ac.resume(resumed, made, devices=chosen.get("devices"), steps=chosen.get("steps"))
        already = made.count == 0
    else:
        config = _configuration(file, chosen, assignments)
        if alone:
            # Before JAX is imported. Of several processes the first may be in the folder already.
            claim.check(Path(config.out or ""), overwrite, [".", *(config.members() if config.is_many else [])])
        with _stoppable(config.out, first), _progress(config.steps, **show) as report:
            result = ac.train(config, report, overwrite=overwrite)
    if first:
        _say_end(result, as_json, already)


class _Counted:
    """A function that shows reports, and how many it has been told."""

    def __init__(self, report: Callable[[Metrics], None]) -> None:
        self._report = report
        self.count = 0

    def __call__(self, metrics: Metrics) -> None:
        self.count += 1
        self._report(metrics)


def _stored(run: Path, alone: bool) -> TrainConfig:
    """Return the configuration of a run that goes on; before JAX is imported, if that is in this process alone."""
    with claim.reopened(run) if alone else nullcontext():
        return read_config(run)


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
        run, at = result.run_dir, f"{last['steps']:,} agent-steps"
        further = f"To go on: jaxdem-ac train --resume {run} --steps {2 * last['steps']}"
        if is_reached(result.config, result.metrics):
            at += f" and an evaluated success of {last['eval_success']:.3f}"
            further = f"From its policy: jaxdem-ac train --config {run}/config.json --init-from {run} --out ANOTHER"
        click.echo(f"nothing was trained: the run had ended already, at {at}; kept in {run}. {further}")
    else:
        why = ""
        if is_reached(result.config, result.metrics):
            why = f"stopped at an evaluated success of {last['eval_success']:.3f}; "
        click.echo(f"trained {last['steps']:,} agent-steps in {last['seconds']:.1f} s; {why}kept in {result.run_dir}")


@contextmanager
def _stoppable(run: str | Path | None, first: bool) -> Iterator[None]:
    """Say how to go on with a run that is stopped."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit) as stop:
        kept = run is not None and any(any(Path(run).glob(f"{each}checkpoints/[0-9]*")) for each in ("", "*/"))
        if first and kept:
            click.echo(f"stopped; what was learnt is kept. To go on: jaxdem-ac train --resume {run}", err=True)
            raise SystemExit(130 if isinstance(stop, KeyboardInterrupt) else stop.code) from None
        raise


@contextmanager
def _progress(total: int, silent: bool, plain: bool) -> Iterator[Callable[[Metrics], None]]:
    """Give a function that shows a report: on a live line in a terminal, as a line of its own elsewhere."""
    if silent:
        yield lambda _: None
        return
    from rich.console import Console
    from rich.live import Live

    console = Console()
    if plain or not console.is_terminal or console.is_dumb_terminal:
        yield lambda metrics: click.echo("  ".join(part.wide for part in _parts(metrics, 0.0)))
        return
    line = _Line(total)
    with Live(line, console=console, refresh_per_second=4):
        yield line.report


class _Line:
    """The live line: a bar and the newest figures, never longer than the terminal is wide."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._metrics: Metrics | None = None
        self._since = time.monotonic()

    def report(self, metrics: Metrics) -> None:
        """Show a report from now on."""
        # An evaluation stays in sight until the next.
        evaluated = {name: value for name, value in (self._metrics or {}).items() if name.startswith("eval_")}
        self._metrics, self._since = {**evaluated, **metrics}, time.monotonic()

    def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> Iterator["Text"]:
        """Draw it."""
        from rich.text import Text

        # The last column is left free: a cursor behind it wraps in some terminals.
        width, seconds = options.max_width - 1, time.monotonic() - self._since
        if self._metrics is None:
            text = fitted([_Part(0, f"compiling ...  {_clock(seconds)}", "compiling")], width)
            done = 0.0
        else:
            text = fitted(_parts(self._metrics, seconds), width)
            done = self._metrics["steps"] / self._metrics["total_steps"]
        yield Text(_bar(done, width - len(text) - 2, "#-" if options.ascii_only else "━╌") + text, no_wrap=True)


class _Part(NamedTuple):
    """A figure of a report."""

    rank: int
    """Rank of the figure; where room is short, the largest rank is left out first."""
    wide: str
    short: str


def fitted(parts: Sequence[_Part], width: int) -> str:
    """Return figures in one line of at most `width` columns: in full, or abbreviated, or the foremost of them."""
    line = "  ".join(part.wide for part in parts)
    kept = list(parts)
    while len(line) > width and kept:
        line = " ".join(part.short for part in kept)
        kept.remove(max(kept, key=lambda part: part.rank))
    return line[:width]


def _bar(done: float, width: int, signs: str) -> str:
    """Return a bar of at most 20 columns and two blanks, or nothing where there is no room."""
    width = min(width, 20)
    full = round(done * width)
    return "" if width < 5 else signs[0] * full + signs[1] * (width - full) + "  "


def _parts(metrics: Metrics, seconds: float) -> list[_Part]:
    """Return the figures of a report that was made some seconds ago."""
    steps, total, rate = metrics["steps"], metrics["total_steps"], metrics["agent_steps_per_second"]
    left = _clock(max(0.0, (total - steps) * metrics.get("runs", 1) / max(rate, 0.1) - seconds))
    parts = [
        _Part(0, f"{steps:>{len(f'{total:,}')},} of {total:,} steps", f"{_short(steps)}/{_short(total)}"),
        _Part(4, f"{rate:>7,.0f} agent-steps/s", f"{_short(rate)}/s"),
        _Part(3, f"{left} left", f"{left} left"),
        _figure(1, "reward", metrics.get("reward"), "+.4f", "+.3f"),
        _figure(2, "success", metrics.get("final_success"), ".3f", ".2f", metrics.get("final_success_spread")),
        *_evaluated(metrics),
        _figure(5, "kl", metrics.get("kl"), ".4f", ".3f"),
        _figure(6, "entropy", metrics.get("entropy"), "+.2f", "+.1f"),
    ]
    if metrics.get("diverged"):
        diverged = f"{metrics['diverged']} of {metrics['runs']} diverged"
        parts.insert(0, _Part(0, diverged, diverged))
    return parts


def _evaluated(metrics: Metrics) -> list[_Part]:
    """Return the success of an evaluation, by mode and sampled, of a task without such a figure the reward, if any."""
    for what, wide, short in (("success", ".3f", ".2f"), ("reward", "+.4f", "+.3f")):
        name = f"eval_{what}"
        if name in metrics:
            spread = metrics.get(f"{name}_spread")
            sampled = metrics.get(f"eval_sampled_{what}")
            return [
                _figure(2, "evaluated", metrics[name], wide, short, spread),
                _figure(7, "sampled", sampled, wide, short),
            ]
    return []


def _figure(rank: int, name: str, value: float | None, wide: str, short: str, spread: float | None = None) -> _Part:
    """Return a figure, with its spread over runs side by side; a dash where there is none."""
    if value is None:
        return _Part(rank, f"{name} {'-':>{len(format(0.0, wide))}}", f"{name} -")
    around = "" if spread is None else f" ± {spread:.3f}"
    return _Part(rank, f"{name} {value:{wide}}{around}", f"{name} {value:{short}}")


def _clock(seconds: float) -> str:
    """Return a time as ``1:02:03`` or ``2:03``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _short(number: float) -> str:
    """Return a number with three digits, ``1.31M``."""
    for limit, sign in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= 0.9995 * limit:
            return f"{number / limit:.3g}{sign}"
    return f"{number:.3g}"
