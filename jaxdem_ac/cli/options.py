"""Options that commands share, and their shell completion, without a heavy import."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from jaxdem_ac._files import as_path
from jaxdem_ac.cli.compile_cache import with_compile_cache
from jaxdem_ac.plugin.discovery import known_names
from jaxdem_ac.plugin.references import is_reference, trust, trust_everything, trust_typed
from jaxdem_ac.registry import Registry, keywords_of
from jaxdem_ac.runs.config import TrainConfig, field_paths
from jaxdem_ac.runs.own_code import FIELDS

Completion = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]

# A shell waits for the answer: of a large folder the first runs have to do.
_MOST_FOLDERS = 2_000
# What a model or an environment has from the run.
_NOT_SET = {"key", "action_space", "observation_space_size", "action_space_size"}


def complete_names(registry: Registry) -> Completion:
    """Return a completion of the names in a registry; lists with commas are completed at their end."""

    def complete(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
        before, comma, begun = incomplete.rpartition(",")
        return _items((f"{before}{comma}{name}" for name in known_names(registry)), f"{before}{comma}{begun}")

    return complete


def complete_words(words: Iterable[str]) -> Completion:
    """Return a completion of words."""
    return lambda _, __, incomplete: _items(words, incomplete)


def complete_checkpoint(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete best, last, and the checkpoints of the run that stands on the line, if it does so already."""
    # Of a line that ends with an option click has not told arguments apart yet.
    given = [tuple(ctx.args), *(ctx.params.get(name) for name in ("run", "runs", "init_from"))]
    runs = [Path(run) for each in given if each for run in (each if isinstance(each, tuple) else (each,))]
    numbers = sorted({number for run in runs for number in _checkpoints(run)})
    return _items(["best", "last", *map(str, numbers)], incomplete)


def _checkpoints(run: Path) -> Iterator[int]:
    """Give the numbers of a run's checkpoints, or of those of the runs in its folder."""
    with suppress(OSError):
        for pattern in ("checkpoints/*", "seed-*/checkpoints/*"):
            yield from (int(entry.name) for entry in run.glob(pattern) if entry.name.isdecimal())


def complete_configuration(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete configurations that come with the package, or files."""
    from jaxdem_ac.runs.config_file import reference_names

    # The first word decides in bash: files, unless names follow.
    return [CompletionItem(incomplete, type="file"), *_items(reference_names(), incomplete)]


def complete_field(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the field of an assignment; below env_kw, model_kw and action_space_kw what the class there takes."""
    if "=" in incomplete:
        return []
    head, dot, _tail = incomplete.partition(".")
    name = head.removesuffix("_kw")
    words: list[str] = []
    if dot and name != head and name in FIELDS:
        # None where a name is unknown, or a class cannot be loaded.
        with suppress(Exception):
            known = keywords_of(FIELDS[name].get(str(ctx.params.get(name) or getattr(TrainConfig, name))))
            words = [f"{head}.{keyword}=" for keyword in known if keyword not in _NOT_SET]
    else:
        paths = field_paths(str(ctx.params.get("algorithm") or "ppo"))
        words = [path.replace("<keyword>", "") if "<" in path else f"{path}=" for path in paths]
    return _items(words, incomplete)


def complete_run(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete folders of runs, up to three below the folder that is typed; all folders if there are none."""
    start = Path(incomplete) if incomplete.endswith("/") else Path(incomplete).parent
    found = _items((str(folder) for folder in _runs(start)), incomplete.removeprefix("./"))
    return found or [CompletionItem(incomplete, type="dir")]


def _runs(start: Path) -> Iterator[Path]:
    """Give the folders of runs below a folder, those nearest first."""
    level, seen = [start], 0
    for _ in range(3):
        below: list[Path] = []
        for folder in level:
            below += _folders(folder)
            seen += len(below)
            if seen > _MOST_FOLDERS:
                return
        yield from (each for each in below if (each / "config.json").is_file())
        level = below


def _folders(folder: Path) -> list[Path]:
    try:
        return sorted(each for each in folder.iterdir() if each.is_dir() and not each.name.startswith("."))
    except OSError:
        return []


def _items(words: Iterable[str], incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(word) for word in words if word.lower().startswith(incomplete.lower())]


class PathType(click.Path):
    """A path of a command line, with ``~`` as the home folder; an option as ``--out=~/run`` no shell expands."""

    def __init__(self, *, dir_okay: bool = True, file_okay: bool = True) -> None:
        super().__init__(path_type=Path, dir_okay=dir_okay, file_okay=file_okay)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return a path."""
        try:
            value = as_path("jaxdem-ac", (param and param.name) or "path", value)
        except (TypeError, ValueError) as error:
            raise click.UsageError(str(error), ctx) from None
        return super().convert(value, param, ctx)


PATH = PathType()
"""A file or a folder."""
FILE = PathType(dir_okay=False)
FOLDER = PathType(file_okay=False)


def number_or(*words: str, neither: str) -> Callable[[str], int | str]:
    """Return the type of an option that is a whole number or a word; `neither` says what another text is not."""

    def convert(text: str) -> int | str:
        if text in words:
            return text
        try:
            return int(text)
        except ValueError:
            raise click.BadParameter(f"{text!r} is neither {neither}.") from None

    return convert


Command = TypeVar("Command", bound=Callable[..., object])


# In these a name of a class may stand; of a PerParticle the model of each set is one.
CLASS_FIELDS = ("env", "model", "action_space", "model_kw.model")


def trust_given(values: Mapping[str, object]) -> None:
    """Trust references among the values of fields that are typed: they are asked for."""
    for field in CLASS_FIELDS:
        if is_reference(values.get(field)):
            # One that is malformed is told where it is looked for.
            with suppress(ValueError):
                trust(str(values[field]))


def _trust_all(_: click.Context, __: click.Parameter, given: bool) -> None:
    if given:
        trust_everything()


def _find_there(ctx: click.Context, parameter: click.Parameter, value: str | None) -> None:
    if value is None:
        return
    option = parameter.opts[0]
    if not is_reference(value):
        raise click.UsageError(
            f"{ctx.command.name}: {option} says where a class of the run's own is, as my_file.py:Flock; got {value!r}. "
            "A run is played as it was configured: leave it out.",
            ctx,
        )
    trust_typed(option, value)


TRUST = click.option(
    "--trust", is_flag=True, expose_value=False, callback=_trust_all,
    help="Import code outside the registries that a file names: an environment, a model or an action space of yours.",
)  # fmt: skip


def of_runs(besides: str = "") -> Callable[[Command], Command]:
    """Return what adds --trust to a command, options that say where a run's own classes are, the cache, and --json."""

    def add(command: Command) -> Command:
        command = click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)
        command = with_compile_cache(command)
        for name, what in (("action-space", "action space"), ("model", "model"), ("env", "environment")):
            if name != besides:
                command = click.option(
                    f"--{name}", metavar="REFERENCE", expose_value=False, callback=_find_there,
                    help=f"Trust the run's own {what}, my_file.py:Class, which may have been moved.",
                )(command)  # fmt: skip
        return TRUST(command)

    return add


CHECKPOINT = click.option(
    "--checkpoint", default="last", show_default=True, metavar="best|last|N",
    type=number_or("best", "last", neither="'best' nor 'last' nor a number of updates"),
    shell_complete=complete_checkpoint,
    help="Which policy of the run: that of the best success, in evaluations if it has any, the newest, or that after N "
    "updates.",
)  # fmt: skip
RUN = click.argument("run", type=PATH, shell_complete=complete_run)
PLAYED = ("checkpoint", "baseline", "seed", "decisions", "sample")
"""Names of the options that :func:`with_episode` adds."""


def with_episode(command: Command) -> Command:
    """Add options that say who plays an episode, and how."""
    for option in (
        click.option("--sample", is_flag=True, help="Sample actions; else the policy's mode is played."),
        click.option("--decisions", default=None, type=int, help="How many at most.  [default: one episode]"),
        click.option("--seed", default=1_000, show_default=True, help="Of the episode."),
        click.option("--policy", "baseline", type=click.Choice(["scripted", "oracle"]), help="Who plays instead of the "
            "run's policy: the task's own hand-written policy, or one that knows the state."),
        CHECKPOINT,
    ):  # fmt: skip
        command = option(command)
    return command
