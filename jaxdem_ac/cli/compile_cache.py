"""JAX's persistent compilation cache for the command line: a program that has been compiled is read from the disk.

It is set by environment variables before JAX is imported, so that a command that needs no JAX does not load it. A
user's own ``JAX_COMPILATION_CACHE_DIR`` and ``JAX_ENABLE_COMPILATION_CACHE=0`` are left as they are.

A compiled program has the instructions of its CPU, and JAX's own key does not say which they are: each kind of CPU and
each jaxlib has a folder of its own, so that machines which share a home do not share programs. JAX writes an entry in
place: one that another process is still writing, or that a crash cut short, cannot be decompressed, and is compiled
again with a warning.
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import click

from jaxdem_ac.runs.untrained import FOLDER, machine

Command = TypeVar("Command", bound=Callable[..., object])

# Small programs too: of a training's there are some forty, and together they take about as long as a large one.
_SETTINGS = {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0", "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1"}
_DIR, _SWITCH = "JAX_COMPILATION_CACHE_DIR", "JAX_ENABLE_COMPILATION_CACHE"
_OFF = ("0", "n", "no", "f", "false", "off")
_DAYS = 30


def cache_folder() -> Path:
    """Return the folder of programs for this machine, which may not be there yet."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    # What is no absolute path is no setting, by the XDG base directory specification.
    root = Path(base) if os.path.isabs(base) else Path.home() / ".cache"
    return root / "jaxdem-ac" / "compiled" / machine()


def turn_on(ctx: click.Context) -> None:
    """Set the cache for the rest of a command, unless its user has set one or none, or JAX is there already."""
    if "jax" in sys.modules or _DIR in os.environ or os.environ.get(_SWITCH, "").lower() in _OFF:
        return
    try:
        folder = cache_folder()
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or error
        click.echo(
            f"warning: compiled programs are kept in a folder that can be written; got {reason} for the cache folder. "
            "Set XDG_CACHE_HOME to another one, or pass --no-compile-cache.",
            err=True,
        )
        return
    _prune(folder.parent)
    added = {name: value for name, value in {**_SETTINGS, _DIR: str(folder)}.items() if name not in os.environ}
    os.environ.update(added)
    ctx.meta[__name__] = added
    ctx.call_on_close(lambda: turn_off(ctx))


def turn_off(ctx: click.Context) -> None:
    """Take back what was set.

    Several processes do so before JAX is imported: a program of theirs that comes from the disk may wait forever.
    """
    for name in ctx.meta.pop(__name__, {}):
        os.environ.pop(name, None)


def _prune(folder: Path) -> None:
    """Remove programs that nobody has read for a month."""
    oldest = time.time() - _DAYS * 86_400
    for entry in (*folder.glob("*/*-cache"), *folder.glob(f"*/{FOLDER}/*")):
        # Another process may do the same.
        with suppress(OSError):
            status = entry.stat()
            if max(status.st_atime, status.st_mtime) < oldest:
                entry.unlink()


def _chosen(ctx: click.Context, _: click.Parameter, without: bool) -> None:
    if not without and not ctx.resilient_parsing:
        turn_on(ctx)


def with_compile_cache(command: Command) -> Command:
    """Add --no-compile-cache to a command, and the cache where it is not given."""
    return click.option(
        "--no-compile-cache", is_flag=True, expose_value=False, callback=_chosen,
        help="Compile every program anew: else those of before are read from the user's cache folder.",
    )(command)  # fmt: skip
