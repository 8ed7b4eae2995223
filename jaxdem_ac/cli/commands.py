"""The command line: arguments in, words out."""

import gc
import json
import os
import shutil
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import click

import jaxdem_ac as ac
from jaxdem_ac.cli.bench import bench
from jaxdem_ac.cli.evaluate import evaluate
from jaxdem_ac.cli.options import CHECKPOINT, PATH, of_runs
from jaxdem_ac.cli.options import RUN as _RUN
from jaxdem_ac.cli.plugin import plugin
from jaxdem_ac.cli.render import plot, record, render, replay, report
from jaxdem_ac.cli.train import train
from jaxdem_ac.cli.verify import verify
from jaxdem_ac.cli.words import in_options
from jaxdem_ac.doctor import about_backend, is_of_backend
from jaxdem_ac.plugin import references
from jaxdem_ac.plugin.discovery import unreadable_lists
from jaxdem_ac.registry import Entry, MissingKeywordError, Registry, suggest
from jaxdem_ac.untrusted import printable, summary

# Exit codes after SIGINT and SIGTERM.
_STOPPED = (130, 143)
# Objects between two looks of the garbage collector, for 700 of Python: imports and traces make millions that stay, and
# looking through them again and again took a tenth to a fifth of the time to a training's first update.
_OBJECTS_BETWEEN_LOOKS = 200_000
# What a user's mistake raises; anything else shows its traceback.
_MISTAKES = (ValueError, TypeError, KeyError, OSError, ImportError, FloatingPointError, OverflowError)


class _OneLineGroup(click.Group):
    """A group that says what is wrong in one line and exits with 2."""

    def main(self, *arguments: Any, **keywords: Any) -> NoReturn:
        """Run a command; return as click does."""
        keywords["standalone_mode"] = False
        try:
            with _warnings_in_one_line(), _stopped_by_ctrl_c(), references.scope():
                result = super().main(*arguments, **keywords)
                for sentence in references.unused():
                    click.echo(f"warning: {sentence}", err=True)
        except click.exceptions.NoArgsIsHelpError as error:
            click.echo(error.ctx.get_help() if error.ctx else error.format_message())
            sys.exit(2)
        except click.NoSuchOption as error:
            command = error.ctx.command_path if error.ctx else "jaxdem-ac"
            near = f"Did you mean {error.possibilities[0]!r}? " if error.possibilities else ""
            _fail(f"{command}: no such option; got {error.option_name!r}. {near}`{command} --help` lists all.")
        except click.ClickException as error:
            _fail(error.format_message())
        except (click.Abort, KeyboardInterrupt):
            click.echo("stopped.", err=True)
            sys.exit(130)
        except BrokenPipeError:
            sys.exit(141)
        except ConnectionAbortedError as error:
            click.echo(f"error: {in_options(str(error))}", err=True)
            # Python's own end would wait for the process that is gone, until JAX aborts it.
            os._exit(1)
        except _MISTAKES as error:
            if os.environ.get("JAXDEM_AC_DEBUG"):
                raise
            _fail(_about(error))
        except (RuntimeError, AssertionError) as error:
            if os.environ.get("JAXDEM_AC_DEBUG"):
                raise
            if is_of_backend():
                _fail(about_backend(error))
            if "RESOURCE_EXHAUSTED" not in str(error):
                raise
            reason = str(error).splitlines()[0].rstrip(".")
            _fail(f"memory: a device holds all of a run; got {reason}. Lower ppo.num_envs or env_kw.num_particles.")
        sys.exit(result if isinstance(result, int) else 0)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write what each command does: its whole first sentence, over as many lines as it takes."""
        commands = [(name, command.get_short_help_str(sys.maxsize)) for name, command in sorted(self.commands.items())]
        with formatter.section("Commands"):
            formatter.write_dl(commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that is asked for; of one that is not there the nearest is named."""
        if args[0] not in self.commands and not args[0].startswith("-") and not ctx.resilient_parsing:
            raise click.UsageError(f"no such command; got {args[0]!r}. {suggest(args[0], self.commands)}", ctx)
        return super().resolve_command(ctx, args)


def _about(error: Exception) -> str:
    """Return what is said of a mistake."""
    if isinstance(error, OSError) and error.strerror and error.filename:
        place = error.filename2 or error.filename
        return f"files: {place} has to be one to read or to write; got {error.strerror}. Give another path, or mend it."
    if isinstance(error, MissingKeywordError):
        kind = {"environment": "env"}.get(error.kind, error.kind.replace(" ", "_"))
        return f"{error}, on the command line --set {kind}_kw.{error.keyword}=..."
    # Of a KeyError, `str` is the representation.
    said = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    lists = {} if "; got " in said else unreadable_lists()
    if lists:
        # JAX dies of it wherever it is first used, with a message that names nobody.
        name, reason = next(iter(lists.items()))
        return f"{name}: its entry_points.txt can be read; got {reason}. Uninstall that package: JAX cannot start."
    return in_options(said)


@contextmanager
def _warnings_in_one_line() -> Iterator[None]:
    """Show a warning as a line, without the line of code that it comes from."""
    before = warnings.formatwarning
    warnings.formatwarning = lambda message, *_, **__: f"warning: {printable(' '.join(str(message).split()))}\n"
    try:
        yield
    finally:
        warnings.formatwarning = before


@contextmanager
def _stopped_by_ctrl_c() -> Iterator[None]:
    """Have Ctrl-C stop a command at any moment; main thread only.

    JAX has a callback of the garbage collector, which works often while a program is traced, and what is raised in such
    a callback Python drops: there Ctrl-C is sent again, a moment later.
    """
    usual = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if not usual or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        callbacks = [getattr(each, "__code__", None) for each in gc.callbacks]
        while frame is not None:
            if frame.f_code in callbacks:
                threading.Timer(0.1, os.kill, (os.getpid(), number)).start()
                return
            frame = frame.f_back
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _fail(message: str) -> NoReturn:
    """Say what is wrong in one line, and exit with 2."""
    click.echo("error: " + printable(" ".join(message.split())), err=True)
    sys.exit(2)


@click.group(cls=_OneLineGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(ac.__version__, prog_name="jaxdem-ac")
def main() -> None:
    """Train, evaluate and watch particle swarms; a plugin for JaxDEM.

    An error is one line. With JAXDEM_AC_DEBUG=1 in the environment it is a traceback.
    """


@main.command()
@_RUN
@click.argument("path", type=PATH)
@CHECKPOINT
@click.option("--sample", is_flag=True, help="Actions are sampled, with the data of a random key as second argument.")
@click.option("--jaxdem", is_flag=True, help="PATH is a new folder, for JaxDEM's CheckpointModelLoader.")
@of_runs()
def export(run: Path, path: Path, checkpoint: str | int, sample: bool, jaxdem: bool, as_json: bool) -> None:
    """Write a run's policy to one file, PATH, that needs only jax and flatbuffers to act.

    There: jax.export.deserialize(bytearray(path.read_bytes())).call(observation). A recurrent policy is called with
    (observation, start, carry), start being true where an episode begins, and returns (action, carry).
    """
    policy = ac.load_policy(run, checkpoint)
    about: dict[str, str | int] = {}
    if jaxdem:
        from jaxdem_ac.plugin.checkpoints import export_to_jaxdem

        written = export_to_jaxdem(policy, path)
    else:
        from jaxdem_ac.runs.export import export_policy

        written = export_policy(policy, path, sample=sample)
        about = {"bytes": written.stat().st_size}
    click.echo(json.dumps({"path": str(written), **about}) if as_json else f"wrote {written}")


@main.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_all(as_json: bool) -> None:
    """List models, action spaces, environments and algorithms, with where each comes from."""
    from jaxdem_ac.registry import HOSTED, REGISTRIES

    hosts = _of_host(HOSTED)
    table = [
        {"kind": registry.kind, "name": entry.name, "origin": entry.origin, "summary": summary(entry.load())}
        for registry in REGISTRIES
        for entry in [*registry.entries(), *hosts.get(registry.kind, [])]
    ]
    if as_json:
        click.echo(json.dumps(table))
        return
    width = {column: max(len(row[column]) for row in table) for column in ("kind", "name", "origin")}
    # On a terminal a row stays a line; elsewhere nothing is cut.
    columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for row in table:
        # On a terminal code needs no quotes.
        said = row["summary"].replace("``", "")
        line = "  ".join([*(f"{row[column]:<{width[column]}}" for column in width), said])
        click.echo(line if columns is None or len(line) <= columns else f"{line[: columns - 4]} ...")


def _of_host(registries: Sequence[Registry]) -> dict[str, list[Entry]]:
    """Return what JaxDEM has, by kind; nothing, and a warning, where it is there but cannot be imported."""
    from jaxdem_ac.plugin import jaxdem, names

    try:
        return {each.kind: names.entries(each) for each in registries} if jaxdem.is_there() else {}
    except ImportError as error:
        click.echo(f"warning: {error}", err=True)
        return {}


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(as_json: bool) -> None:
    """Show versions, devices, JaxDEM, registrations, extras, and what is broken; exit 1 if something is."""
    from jaxdem_ac.doctor import diagnose

    findings = diagnose()
    if as_json:
        click.echo(json.dumps(findings))
    else:
        width = max(len(name) for rows in findings.values() for name in rows)
        for section, rows in findings.items():
            click.echo(f"{section}:{'' if rows else ' none'}")
            for name, value in rows.items():
                click.echo(f"  {name:<{width}}  {value}")
    if findings["broken plugins"] or findings["faults"]:
        sys.exit(1)


@main.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]), metavar="SHELL")
def completion(shell: str) -> None:
    """Print the script that has a shell complete commands, options, names and runs.

    To have it always: eval "$(jaxdem-ac completion bash)" in ~/.bashrc, the same with zsh in ~/.zshrc, or
    jaxdem-ac completion fish | source in ~/.config/fish/config.fish.
    """
    from click.shell_completion import get_completion_class

    made = get_completion_class(shell)
    assert made is not None
    click.echo(made(main, {}, "jaxdem-ac", "_JAXDEM_AC_COMPLETE").source())


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

    if action != "status":
        getattr(switch, action)()
    status = switch.status()
    about, said = {"enabled": status.enabled, "path": str(status.path)}, "on" if status.enabled else "off"
    click.echo(json.dumps(about) if as_json else f"autoload is {said}: {status.path}")


for _command in (bench, evaluate, record, replay, plot, plugin, render, report, train, verify):
    main.add_command(_command)


def program() -> None:
    """Be the program ``jaxdem-ac``: as :func:`main`, but when it has been stopped, gone at once.

    One of several processes says goodbye to the others, as Python's own end has it do: they would be aborted.
    """
    gc.set_threshold(_OBJECTS_BETWEEN_LOOKS)
    try:
        main()
    except SystemExit as end:
        jax = sys.modules.get("jax")
        if end.code in _STOPPED and not (jax is not None and jax.distributed.is_initialized()):
            # Everything is written. A Python that ends by itself would take XLA apart in the middle of a compilation,
            # which is a segmentation fault.
            for stream in (sys.stdout, sys.stderr):
                with suppress(OSError, ValueError):
                    stream.flush()
            os._exit(end.code)
        raise
