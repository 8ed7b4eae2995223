"""Completion of --set in a shell: fields of a configuration, and keywords of the classes that it names."""

from collections.abc import Iterable
from contextlib import suppress

import click
from click.shell_completion import CompletionItem

from jaxdem_ac.cli.options import complete_words
from jaxdem_ac.registry import Registry, action_spaces, environments, keywords_of, models
from jaxdem_ac.runs.config import field_paths

# Of keywords whose class an option names.
_CLASSES: dict[str, tuple[str, Registry]] = {
    "env_kw": ("env", environments),
    "model_kw": ("model", models),
    "action_space_kw": ("action_space", action_spaces),
}
_DEFAULTS = {"model": "SharedActorCritic", "action_space": "MaxNorm", "env": "swarm_navigator"}
# What a model or an environment has from the run.
_NOT_SET = {"key", "action_space", "observation_space_size", "action_space_size"}


def complete_field(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the field of an assignment; below env_kw, model_kw and action_space_kw what the class there takes."""
    if "=" in incomplete:
        return []
    head, dot, _ = incomplete.partition(".")
    if dot and head in _CLASSES:
        words: Iterable[str] = (f"{head}.{keyword}=" for keyword in _keywords(ctx, *_CLASSES[head]))
    else:
        words = (path.replace("<keyword>", "") if "<" in path else f"{path}=" for path in field_paths(_algorithm(ctx)))
    return complete_words(words)(ctx, parameter, incomplete)


def _algorithm(ctx: click.Context) -> str:
    return str(ctx.params.get("algorithm") or "ppo")


def _keywords(ctx: click.Context, option: str, registry: Registry) -> list[str]:
    """Return the keywords of a class; none where its name is unknown or it cannot be loaded."""
    with suppress(Exception):
        names = keywords_of(registry.get(str(ctx.params.get(option) or _DEFAULTS[option])))
        return [name for name in names if name not in _NOT_SET]
    return []
