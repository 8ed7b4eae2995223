"""The command line: arguments in, words out."""

import ast
import inspect
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import MISSING, asdict, fields, replace
from pathlib import Path
from typing import Any

import click

import jaxdem_ac as ac
from jaxdem_ac.cli_bench import bench
from jaxdem_ac.cli_replay import record, replay
from jaxdem_ac.cli_report import report
from jaxdem_ac.trainers.config import TrainConfig, parse_assignments

# A training from the command line is always kept, though one from Python need not be.
_DEFAULT_OUT = "runs/ENV-SEED"

# What a user's mistake raises; anything else shows its traceback.
_MISTAKES = (ValueError, TypeError, KeyError, OSError, ImportError, FloatingPointError, OverflowError)


class _OneLineGroup(click.Group):
    """A group that says what is wrong in one line and exits with 2."""

    def main(self, *arguments: Any, **keywords: Any) -> Any:
        """Run a command; return as click does."""
        keywords["standalone_mode"] = False
        try:
            result = super().main(*arguments, **keywords)
        except click.exceptions.NoArgsIsHelpError as error:
            click.echo(error.ctx.get_help() if error.ctx else error.format_message())
            sys.exit(2)
        except click.ClickException as error:
            _fail(error.format_message())
        except (click.Abort, KeyboardInterrupt):
            click.echo("stopped.", err=True)
            sys.exit(130)
        except BrokenPipeError:
            sys.exit(141)
        except ConnectionAbortedError as error:
            click.echo(f"error: {error}", err=True)
            # Python's own end would wait for the process that is gone, until JAX aborts it.
            os._exit(1)
        except _MISTAKES as error:
            if os.environ.get("JAXDEM_AC_DEBUG"):
                raise
            _fail(str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error))
        sys.exit(result if isinstance(result, int) else 0)


def _fail(message: str) -> None:
    """Say what is wrong in one line, and exit with 2."""
    click.echo("error: " + " ".join(message.split()), err=True)
    sys.exit(2)


@click.group(cls=_OneLineGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(ac.__version__, prog_name="jaxdem-ac")
def main() -> None:
    """Train, evaluate and watch particle swarms; a plugin for JaxDEM.

    An error is one line. With JAXDEM_AC_DEBUG=1 in the environment it is a traceback.
    """


def _count_or_all(text: str) -> int | str:
    """Return a whole number, or the word all."""
    if text == "all":
        return text
    try:
        return int(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is neither a whole number nor 'all'.") from None


_OPTION_TYPES: dict[str, Callable[[str], Any]] = {"devices": _count_or_all}


def _config_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add an option for every plain field of TrainConfig, and --set for all that lies deeper."""
    documentation = _field_documentation(TrainConfig)
    for item in reversed(fields(TrainConfig)):
        if item.default is MISSING:
            continue
        command = click.option(
            f"--{item.name.replace('_', '-')}",
            item.name,
            type=_OPTION_TYPES.get(item.name) or (int if isinstance(item.default, int) else str),
            default=None,
            help=f"{documentation[item.name]}  [default: {_DEFAULT_OUT if item.name == 'out' else item.default}]",
            metavar=item.name.upper(),
        )(command)
    return command


def _field_documentation(cls: type[Any]) -> dict[str, str]:
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


@main.command()
@_config_options
@click.option(
    "--set", "assignments", multiple=True, metavar="FIELD=VALUE",
    help="Set any field, as ppo.learning_rate=3e-4, env_kw.num_particles=32, action_space_kw.max_norm=2. Repeatable.",
)  # fmt: skip
@click.option("--overwrite", is_flag=True, help="Delete the run that the folder already holds.")
@click.option("--resume", "resumed", type=click.Path(path_type=Path), metavar="RUN",
    help="Go on with the run in that folder, as it was configured; only --devices may change.")  # fmt: skip
@click.option("--distributed", is_flag=True, help="One of several processes, which the scheduler has started.")
@click.option("--coordinator", metavar="HOST:PORT", help="Where there is no scheduler: where process 0 is reached.")
@click.option("--num-processes", type=int, metavar="NUMBER", help="And how many processes there are.")
@click.option("--process-id", type=int, metavar="NUMBER", help="And which one this is, from 0.")
@click.option("--quiet", is_flag=True, help="Plain lines instead of a progress bar.")
@click.option("--json", "as_json", is_flag=True, help="Print the last report as JSON.")
def train(
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
        from jaxdem_ac.trainers.processes import connect

        first = connect(coordinator, num_processes, process_id)
    chosen = {name: value for name, value in options.items() if value is not None}
    if resumed is not None:
        if chosen.keys() - {"devices"} or assignments or overwrite:
            raise ValueError(
                "train: --resume goes on with a run as it was configured; got other options. "
                "Leave out all but --devices."
            )
        _resume(resumed, chosen.get("devices"), first, quiet, as_json)
        return
    config = TrainConfig(**chosen).with_values(parse_assignments(assignments))
    if config.out is None:
        config = replace(config, out=f"runs/{config.env}-{config.seed}")
    with _progress(config.steps, silent=as_json or not first, plain=quiet) as report:
        result = ac.train(config, report, overwrite=overwrite)
    if first:
        _say_end(result, as_json)


def _resume(run: Path, devices: Any, first: bool, quiet: bool, as_json: bool) -> None:
    """Go on with a run and show how it does."""
    from jaxdem_ac.trainers.folder import read_config

    with _progress(read_config(run).steps, silent=as_json or not first, plain=quiet) as report:
        result = ac.resume(run, report, devices=devices)
    if first:
        _say_end(result, as_json)


def _say_end(result: Any, as_json: bool) -> None:
    """Say how a training ended."""
    last = result.metrics[-1]
    if as_json:
        click.echo(json.dumps(last))
    else:
        click.echo(f"trained {last['steps']:,} agent-steps in {last['seconds']:.1f} s; kept in {result.run_dir}")


@contextmanager
def _progress(total: int, silent: bool, plain: bool) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Give a function that shows a report: on a live bar in a terminal, as a line elsewhere."""
    if silent:
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console()
    if plain or not console.is_terminal:
        yield lambda metrics: click.echo(_describe(metrics, with_steps=True))
        return
    columns = (
        BarColumn(20), TextColumn("{task.percentage:>3.0f}%"), TimeRemainingColumn(), TextColumn("{task.description}"),
    )  # fmt: skip
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("compiling ...", total=total)

        def report(metrics: dict[str, Any]) -> None:
            bar.update(task, completed=metrics["steps"], total=metrics["total_steps"], description=_describe(metrics))

        yield report


def _describe(metrics: dict[str, Any], with_steps: bool = False) -> str:
    """Return a report in one line."""
    success, spread = metrics.get("final_success"), metrics.get("final_success_spread")
    parts = [f"{metrics['steps']:>12,} steps"] if with_steps else []
    parts.append(f"{metrics['agent_steps_per_second']:>9,.0f} agent-steps/s")
    parts.append(f"reward {metrics['reward']:+.4f}")
    parts.append("success     -" if success is None else f"success {success:.3f}")
    if spread is not None:
        parts[-1] += f" ± {spread:.3f}"
    parts.append(f"entropy {metrics['entropy']:+.2f}  kl {metrics['kl']:.4f}")
    if metrics.get("diverged"):
        parts.append(f"{metrics['diverged']} of {metrics['runs']} diverged")
    return "  ".join(parts)


_RUN = click.argument("run", type=click.Path(path_type=Path))


@main.command("eval")
@_RUN
@click.option("--episodes", default=128, show_default=True, help="Whole episodes to play.")
@click.option("--seed", default=1_000, show_default=True, help="Of the episodes.")
@click.option("--sample", is_flag=True, help="Sample actions; else the policy's mode is played.")
@click.option("--no-baseline", is_flag=True, help="Leave out the untrained policy.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def evaluate(run: Path, episodes: int, seed: int, sample: bool, no_baseline: bool, as_json: bool) -> None:
    """Play whole episodes with a run's policy, and with the untrained one.

    Success is the environment's figure at the end of an episode: for swarm_navigator the share of targets with a
    particle within one radius. Brackets are intervals of 95 % confidence over episodes.
    """
    import jax

    from jaxdem_ac.trainers.checkpoint import build_environment, initial_policy
    from jaxdem_ac.trainers.folder import single

    config = single(run)
    environment = build_environment(config)
    policies = {} if no_baseline else {"before": initial_policy(config)}
    policies["after"] = ac.load_policy(run)
    results = {
        name: ac.evaluate(environment, policy, jax.random.key(seed), episodes, sample=sample)
        for name, policy in policies.items()
    }
    if as_json:
        click.echo(json.dumps({name: asdict(result) for name, result in results.items()}))
        return
    click.echo(f"{episodes} episodes, mean and interval of 95 % confidence:")
    for name, result in results.items():
        success = "" if result.success is None else f"  {environment.success_name} {name:<6} {result.success} "
        click.echo(f"{success or f'  {name:<6}'}  reward {result.reward}")


@main.command()
@_RUN
@click.option("--seed", default=1_000, show_default=True, help="Of the episode.")
@click.option("--decisions", default=None, type=int, help="Length of the animation.  [default: one episode]")
@click.option("--sample", is_flag=True, help="Sample actions; else the policy's mode is played.")
@click.option("--vtk", type=click.Path(path_type=Path), metavar="FOLDER",
    help="Write frames for ParaView there instead, by JaxDEM's own writer.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def render(run: Path, seed: int, decisions: int | None, sample: bool, vtk: Path | None, as_json: bool) -> None:
    """Write episode.gif, episode.png and learning_curve.png into a run's folder."""
    if vtk is None:
        from jaxdem_ac.view.render import render_run

        written = render_run(run, seed=seed, decisions=decisions, sample=sample)
    else:
        from jaxdem_ac.plugin.vtk import render_vtk

        written = [render_vtk(run, vtk, seed=seed, decisions=decisions, sample=sample)]
    if as_json:
        click.echo(json.dumps([str(path) for path in written]))
    else:
        click.echo("wrote " + ", ".join(str(path) for path in written))


@main.command()
@_RUN
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--sample", is_flag=True, help="Actions are sampled, with the data of a random key as second argument.")
@click.option("--jaxdem", is_flag=True, help="PATH is a new folder, for JaxDEM's CheckpointModelLoader.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def export(run: Path, path: Path, sample: bool, jaxdem: bool, as_json: bool) -> None:
    """Write a run's policy to one file, PATH, that needs only jax and flatbuffers to act.

    There: jax.export.deserialize(bytearray(path.read_bytes())).call(observation). A recurrent policy is called with
    (observation, start, carry), start being true where an episode begins, and returns (action, carry).
    """
    policy = ac.load_policy(run)
    if jaxdem:
        from jaxdem_ac.plugin.checkpoints import export_to_jaxdem

        written = export_to_jaxdem(policy, path)
        click.echo(json.dumps({"path": str(written)}) if as_json else f"wrote {written}")
        return
    from jaxdem_ac.trainers.export import export_policy

    written = export_policy(policy, path, sample=sample)
    click.echo(json.dumps({"path": str(written), "bytes": written.stat().st_size}) if as_json else f"wrote {written}")


@main.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_all(as_json: bool) -> None:
    """List models, action spaces and environments, with where each comes from."""
    from jaxdem_ac.plugin import host
    from jaxdem_ac.registry import REGISTRIES

    table = [
        {"kind": registry.kind, "name": entry.name, "origin": entry.origin, "summary": _summary(entry)}
        for registry in REGISTRIES
        for entry in [*registry.entries(), *(host.entries(registry) if host.is_there() else [])]
    ]
    if as_json:
        click.echo(json.dumps(table))
        return
    width = {column: max(len(row[column]) for row in table) for column in ("kind", "name", "origin")}
    for row in table:
        click.echo("  ".join([*(f"{row[column]:<{width[column]}}" for column in width), row["summary"]]))


def _summary(entry: Any) -> str:
    """Return the first line of a class's docstring."""
    text = (entry.load().__doc__ or "").strip()
    return text.splitlines()[0] if text else ""


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(as_json: bool) -> None:
    """Show versions, devices, JaxDEM, registrations and broken plugins; exit 1 if a plugin is broken."""
    from jaxdem_ac.plugin.diagnosis import diagnose

    findings = diagnose()
    if as_json:
        click.echo(json.dumps(findings))
    else:
        for section, rows in findings.items():
            click.echo(f"{section}:")
            for name, value in rows.items():
                click.echo(f"  {name:<18} {value}")
    if findings["broken plugins"]:
        sys.exit(1)


@main.command()
@click.option("--enable", "action", flag_value="enable", help="Register in JaxDEM in every script of this environment.")
@click.option("--disable", "action", flag_value="disable", help="Take that back.")
@click.option("--status", "action", flag_value="status", default=True, help="Say which it is.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def autoload(action: str, as_json: bool) -> None:
    """Make the names selectable in JaxDEM without an import of jaxdem_ac, in the current Python environment.

    It writes one file, jaxdem_ac_autoload.pth, beside the installed packages; --disable removes it.
    """
    from jaxdem_ac.plugin import autoload as switch

    if action == "enable":
        switch.enable()
    elif action == "disable":
        switch.disable()
    status = switch.status()
    if as_json:
        click.echo(json.dumps({"enabled": status.enabled, "path": str(status.path)}))
    else:
        click.echo(f"autoload is {'on' if status.enabled else 'off'}: {status.path}")


main.add_command(bench)
main.add_command(record)
main.add_command(replay)
main.add_command(report)

if __name__ == "__main__":
    main()
