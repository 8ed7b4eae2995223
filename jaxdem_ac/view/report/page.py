"""A run as one HTML file that needs nothing else: summary, curves, a player of its episodes, configuration."""

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template

import numpy as np

from jaxdem_ac._files import as_path, write_bytes
from jaxdem_ac._types import Json
from jaxdem_ac.observation_layout import as_layout
from jaxdem_ac.plugin.references import short_name
from jaxdem_ac.runs.checkpoint import load_policy
from jaxdem_ac.runs.config import TrainConfig
from jaxdem_ac.runs.recording import Recording, record_episode
from jaxdem_ac.runs.run_dir import REPORT, Metrics, read_metrics, single
from jaxdem_ac.view.figures import style
from jaxdem_ac.view.report.curves import curves_section, written
from jaxdem_ac.view.report.pack import Shown, pack_episode

LIMIT = 5_000_000
"""Bytes that a page may have."""

_SCRIPTS = ("data.js", "scene.js", "blocks.js", "numbers.js", "player.js", "curves.js", "main.js")
# Tables of what is kept, and what else is written once the episodes are known.
_MARGIN, _MARGIN_EACH = 8_000, 6_000

_LIGHT = {
    "particle": style.BLUE, "there": style.GREEN, "target": style.ORANGE, "fixed": style.GREY,
    "passive": style.YELLOW,
    "species": (style.BLUE, style.AMBER, style.PURPLE, style.SKY, style.YELLOW, style.GREY),
}  # fmt: skip
_DARK = {
    "particle": style.SKY, "there": style.GREEN, "target": style.ORANGE, "fixed": style.SILVER,
    "passive": style.YELLOW,
    "species": (style.SKY, style.AMBER, style.PURPLE, style.BLUE, style.YELLOW, style.SILVER),
}  # fmt: skip


def write_report(
    run_dir: str | Path | None,
    out: str | Path | None = None,
    *,
    recordings: Sequence[str | Path] = (),
    checkpoint: str | int = "last",
    episodes: int = 3,
    seed: int = 1_000,
    decisions: int | None = None,
    sample: bool = False,
) -> Path:
    """Write the page of a run, or of recordings alone, whole or not at all; return its path.

    Parameters
    ----------
    run_dir : path, optional
        The run's folder.
    out : path, optional
        The file; ``report.html`` in the run's folder if left out.
    recordings : sequence of path
        Files to show, in place of episodes that are played now.
    checkpoint : "last", "best" or int
        As for :func:`~jaxdem_ac.runs.checkpoint.load_policy`.
    episodes : int
        How many to play with the run's policy; 0 for a page without a player.
    seed : int
        Of the first one; the others have the seeds that follow.
    decisions : int, optional
        How many at most in each; whole episodes if left out.
    sample : bool
        Whether actions are sampled.

    Raises
    ------
    FileNotFoundError
        If the folder holds no run, or a file no recording.
    ValueError
        If there is nothing to show or nowhere to write, or an episode does not fit into :data:`LIMIT`.
    """
    if isinstance(episodes, bool) or not isinstance(episodes, int) or episodes < 0:
        raise ValueError(f"report: episodes is a whole number from 0; got episodes={episodes!r}. Raise it.")
    if run_dir is None and not recordings:
        raise ValueError("report: a page is of a run or of recordings; got neither. Give run_dir, or recordings.")
    config = None if run_dir is None else single(run_dir)
    metrics = [] if run_dir is None else read_metrics(run_dir)
    path = _target(run_dir, out)
    chosen: Iterator[tuple[str, Recording]] = iter(())
    # One in memory at a time.
    if recordings:
        chosen = ((Path(file).name, Recording.load(file)) for file in recordings)
    elif run_dir is not None and config is not None and episodes:
        play = partial(record_episode, config.env, dict(config.env_kw), load_policy(run_dir, checkpoint))
        chosen = (
            (f"seed {number}", play(seed=number, decisions=decisions, sample=sample))
            for number in range(seed, seed + episodes)
        )
    count = len(recordings) or episodes
    room = LIMIT - len(_encoded(_page(config, metrics, []))) - _MARGIN - _MARGIN_EACH * count
    packed: list[Shown] = []
    for label, recording in chosen:
        packed.append(_episode(recording, label, room / (count - len(packed)), config))
        room -= len(json.dumps(packed[-1]))
    page = _encoded(_page(config, metrics, packed))
    assert len(page) <= LIMIT
    write_bytes(path, page)
    return path


def _target(run_dir: str | Path | None, out: str | Path | None) -> Path:
    """Return the file to write, or raise ValueError if it cannot be one."""
    if run_dir is None and out is None:
        raise ValueError("report: without a run the file has no place; got no out. Give one.")
    path = as_path("report", "run_dir", run_dir) / REPORT if out is None else as_path("report", "out", out)
    if path.is_dir() or not path.parent.is_dir():
        raise ValueError(f"report: out is a file in a folder that is there; got out={str(path)!r}. Choose another.")
    return path


def _episode(recording: Recording, label: str, room: float, config: TrainConfig | None) -> Shown:
    """Return an episode for the player, with its figures for the summary."""
    success = np.asarray(recording.success)
    success_name, layout = _of_task(recording)
    said = {
        "label": label,
        "success_name": success_name,
        "final_success": float(success[-1]) if np.isfinite(success[-1]) else None,
        "mean_reward": _mean(np.asarray(recording.reward)),
        "layout": layout,
    }
    return {**said, **pack_episode(recording, room - len(_json(said)), _species(recording, config))}


def _mean(numbers: np.ndarray) -> float | None:
    mean = float(numbers.mean(dtype=float))
    return mean if np.isfinite(mean) else None


def _of_task(recording: Recording) -> tuple[str, list[Json] | None]:
    """Return the name of the task's success, and [name, kind, size] of an observation's blocks if they are known.

    A recording outlives the package that its environment came from, and the layout that an observation had then.
    """
    unknown = (ImportError, KeyError, OSError, TypeError, ValueError, AttributeError)
    name = "success"
    try:
        environment = recording.environment()
        name = environment.success_name
        layout = getattr(environment, "observation_layout", None)
        blocks = () if layout is None else as_layout("report", layout, recording.observation.shape[-1])
    except unknown:
        return name, None
    return name, [[block.name, block.kind, block.size] for block in blocks] or None


def _species(recording: Recording, config: TrainConfig | None) -> list[int] | None:
    """Return the species of the particles that act, where there are several."""
    named = recording.env_kw.get("species") or (config.model_kw.get("species") if config is not None else None)
    if not isinstance(named, list | tuple) or not all(isinstance(each, int) for each in named):
        return None
    return list(named) if len(named) == recording.action.shape[1] and len(set(named)) > 1 else None


def _page(config: TrainConfig | None, metrics: Sequence[Metrics], episodes: Sequence[Shown]) -> str:
    style_text, script = _style(), _script()
    policy = (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style_text)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    named = {each["env"] for each in episodes} if config is None else {config.env}
    heading = ", ".join(sorted(map(short_name, named)))
    sections = [
        _summary(config, metrics, episodes),
        _asset("player.html") if episodes else "",
        curves_section(metrics),
        _configuration(config) if config is not None else "",
        _kept(episodes) if episodes else "",
    ]
    return Template(_asset("page.html")).substitute(
        policy=escape(policy),
        title=escape(f"{heading} - jaxdem-ac"),
        style=style_text,
        heading=escape(heading),
        lead=escape(_lead(config)),
        sections="\n".join(section for section in sections if section),
        footer="Written by jaxdem-ac. This file loads nothing from anywhere.",
        data=_json({"episodes": list(episodes)}),
        script=script,
    )


def _asset(name: str) -> str:
    return (files("jaxdem_ac.view.report") / "assets" / name).read_text(encoding="utf-8")


def _script() -> str:
    return '(() => {\n"use strict";\n' + "\n".join(map(_asset, _SCRIPTS)) + "})();"


def _style() -> str:
    dark = f"@media (prefers-color-scheme: dark) {{\n:root {{\n{_variables(_DARK)}\n}}\n}}"
    return f"{_asset('page.css')}:root {{\n{_variables(_LIGHT)}\n}}\n{dark}\n"


def _variables(colours: Mapping[str, str | Sequence[str]]) -> str:
    plain = {name: colour for name, colour in colours.items() if name != "species"}
    plain |= {f"species-{number}": colour for number, colour in enumerate(colours["species"])}
    return "\n".join(f"--{name}: {colour};" for name, colour in plain.items())


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _json(value: Json) -> str:
    """Return JSON that no text in it can end the element of."""
    return json.dumps(value, allow_nan=False).replace("<", "\\u003c")


def _lead(config: TrainConfig | None) -> str:
    if config is None:
        return "Recorded episodes"
    sharing = f", {config.model_kw['sharing']}" if "sharing" in config.model_kw else ""
    space = short_name(config.action_space)
    return f"{short_name(config.model)}{sharing}, actions in {space}, seed {config.seed}"


def _summary(config: TrainConfig | None, metrics: Sequence[Metrics], episodes: Sequence[Shown]) -> str:
    facts: dict[str, str] = {}
    if metrics:
        last = metrics[-1]
        named = {"final_success": f"{_named(episodes)} at the end of an episode", "reward": "reward of a decision"}
        facts |= {text: written(last[name]) for name, text in named.items() if last.get(name) is not None}
        evaluated = next((line for line in reversed(metrics) if line.get("eval_success_low") is not None), None)
        if evaluated is not None:
            facts[f"{_named(episodes)} of the last evaluation, by the policy's mode"] = (
                f"{evaluated['eval_success']:.3f} [{evaluated['eval_success_low']:.3f}, "
                f"{evaluated['eval_success_high']:.3f}]"
            )
        facts["agent-steps"] = f"{last['steps']:,}"
        if "seconds" in last:
            facts["training, seconds"] = f"{last['seconds']:,.0f}"
        if "agent_steps_per_second" in last:
            facts["agent-steps per second at its end"] = written(last["agent_steps_per_second"])
    if config is not None and "num_particles" in config.env_kw:
        facts["particles"] = str(config.env_kw["num_particles"])
    cards = "\n".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in facts.items())
    said = f'<dl class="cards">\n{cards}\n</dl>' if facts else ""
    if config is not None and not metrics:
        said += "\n<p>This run has made no report yet.</p>"
    if not said:
        return ""
    return f'<section aria-labelledby="summary-title">\n<h2 id="summary-title">Summary</h2>\n{said}\n</section>'


def _named(episodes: Sequence[Shown]) -> str:
    return str(episodes[0]["success_name"]) if episodes else "success"


def _configuration(config: TrainConfig) -> str:
    """Return every field of the configuration, those of a kind in a table of their own."""
    stored = config.to_dict()
    groups: dict[str, Mapping[str, Json]] = {
        "run": {name: value for name, value in stored.items() if not isinstance(value, Mapping)}
    }
    groups |= {name: value for name, value in stored.items() if isinstance(value, Mapping) and value}
    tables = "\n".join(_group(name, values) for name, values in groups.items())
    return (
        '<section aria-labelledby="config-title">\n<h2 id="config-title">Configuration</h2>\n'
        f'<div class="groups">\n{tables}\n</div>\n</section>'
    )


def _group(name: str, values: Mapping[str, Json]) -> str:
    rows = "\n".join(
        f'<tr><th scope="row">{escape(str(key))}</th>'
        f"<td>{escape(value if isinstance(value, str) else json.dumps(value))}</td></tr>"
        for key, value in values.items()
    )
    return f"<table>\n<caption>{escape(name)}</caption>\n<tbody>\n{rows}\n</tbody></table>"


def _kept(episodes: Sequence[Shown]) -> str:
    """Return what is said about the numbers in the page: how many are there, and how far off they may be."""
    tables = "\n".join(_kept_of(episode) for episode in episodes)
    return (
        '<section aria-labelledby="kept-title">\n<h2 id="kept-title">What this page holds</h2>\n'
        f"<p>Numbers are stored in steps, so that a page stays below {LIMIT / 1e6:.0f} MB. Where not everything fits, "
        "fewer decisions are kept, and the numbers say of which one they are. A moment between two frames is "
        f'interpolated.</p>\n<div class="groups">\n{tables}\n</div>\n</section>'
    )


def _kept_of(episode: Shown) -> str:
    rows = []
    for name in ("position", "action", "value", "reward", "observation"):
        packed = episode["arrays"].get(name)
        if packed is None:
            said = "left out: no room" if name in episode["left_out"] else "not recorded"
            rows.append(f'<tr><th scope="row">{name}</th><td colspan="2">{said}</td></tr>')
            continue
        kept, total = packed["shape"][0], packed["total"]
        share = f"all {total}" if kept == total else f"{kept} of {total}"
        rows.append(f'<tr><th scope="row">{name}</th><td>{share}</td><td>{max(packed["step"]) / 2:.1g}</td></tr>')
    figures = [f"{episode['decisions']} decisions"]
    if episode["final_success"] is not None:
        figures.append(f"{episode['success_name']} {episode['final_success']:.3f} at its end")
    if episode["mean_reward"] is not None:
        figures.append(f"mean reward {episode['mean_reward']:+.4g}")
    return (
        f"<table>\n<caption>{escape(episode['label'])}: {escape(', '.join(figures))}</caption>\n"
        '<thead><tr><th scope="col">what</th><th scope="col">frames kept</th><th scope="col">largest error</th></tr>'
        "</thead>\n<tbody>\n" + "\n".join(rows) + "\n</tbody></table>"
    )


def _encoded(page: str) -> bytes:
    # A name out of JSON may hold half a surrogate pair, which UTF-8 cannot.
    return page.encode("utf-8", "xmlcharrefreplace")
