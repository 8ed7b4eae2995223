"""Runs as one HTML file that needs nothing else: scores, curves, a player of episodes, configuration."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from jaxdem_ac._checks import check_count, check_seed
from jaxdem_ac._files import as_path, write_bytes
from jaxdem_ac._types import Json
from jaxdem_ac.environments.base import Environment
from jaxdem_ac.observation_layout import as_layout
from jaxdem_ac.plugin.references import short_name
from jaxdem_ac.runs.config import TrainConfig
from jaxdem_ac.runs.recording import Recording
from jaxdem_ac.runs.run_dir import REPORT, read_metrics
from jaxdem_ac.trainers.policy import Policy
from jaxdem_ac.view.curve_data import Run, read_runs
from jaxdem_ac.view.report import sections
from jaxdem_ac.view.report.curves import bands_section, curves_section
from jaxdem_ac.view.report.document import asset, document, in_page
from jaxdem_ac.view.report.groups import Group, episodes_of, evaluated, is_single, read_groups
from jaxdem_ac.view.report.live import live_of
from jaxdem_ac.view.report.pack import Shown, pack_episode

LIMIT = 5_000_000
"""Bytes that a page may have."""

# Tables of what is kept, and what else is written once the episodes are known.
_MARGIN, _MARGIN_EACH = 8_000, 6_000


def write_report(
    run_dir: str | Path | Sequence[str | Path] | None,
    out: str | Path | None = None,
    *,
    recordings: Sequence[str | Path] = (),
    checkpoint: str | int = "last",
    episodes: int | None = None,
    seed: int = 1_000,
    decisions: int | None = None,
    sample: bool = False,
    eval_episodes: int = 128,
) -> Path:
    """Write the page of a run, of several beside each other, or of recordings; return its path.

    It is written whole or not at all. A folder of many seeds or of a grid is several runs. Raises FileNotFoundError if
    a folder holds no run, or a file no recording; ValueError if there is nothing to show or nowhere to write, or an
    episode does not fit into :data:`LIMIT`.

    Parameters
    ----------
    run_dir : path or sequence of path, optional
        Folders of runs.
    out : path, optional
        The file; ``report.html`` in the run's folder if left out, which is possible where there is one folder.
    recordings : sequence of path
        Files to show, in place of episodes that are played now and evaluated.
    checkpoint : "last", "best" or int
        As for :func:`~jaxdem_ac.runs.checkpoint.load_policy`, of every run.
    episodes : int, optional
        How many to play: with the policy of a single run, and the same ones with the untrained one, 3 if left out; with
        that of each of several runs, 1 if left out. 0 for a page without a player.
    seed : int
        Of the first one, the others having the seeds that follow, and of the evaluation.
    decisions : int, optional
        How many at most in each that is shown; whole episodes if left out.
    sample : bool
        Whether actions are sampled.
    eval_episodes : int
        How many each policy is evaluated in, as by :func:`~jaxdem_ac.runs.seeds.evaluate_run`; 0 for none.
    """
    for name, number in (("episodes", episodes), ("eval_episodes", eval_episodes)):
        if number is not None:
            check_count("report", name, number, least=0)
    if eval_episodes == 1:
        raise ValueError("report: an interval needs 2 episodes; got eval_episodes=1. Raise it, or pass 0.")
    check_seed("report", seed)
    folders = _folders(run_dir)
    if not folders and not recordings:
        raise ValueError("report: a page is of a run or of recordings; got neither. Give run_dir, or recordings.")
    path = _target(folders, out)
    groups = read_groups(folders, checkpoint, plays=not recordings and bool(eval_episodes or episodes != 0))
    alone = is_single(groups)
    if not recordings and eval_episodes:
        groups = [evaluated(group, eval_episodes, seed, sample) for group in groups]
    page_of = _page_around(groups, eval_episodes, sample)
    chosen: Iterator[tuple[dict[str, str], Recording, TrainConfig | None, Policy | None]]
    if recordings:
        count, chosen = len(recordings), _recorded(recordings, groups)
    else:
        each = (3 if alone else 1) if episodes is None else episodes
        count = each * (2 if alone else sum(len(group.configs) for group in groups))
        chosen = episodes_of(groups, range(seed, seed + each), decisions, sample)
    room = LIMIT - len(page_of([])) - _MARGIN - _MARGIN_EACH * count
    packed: list[Shown] = []
    # One in memory at a time.
    for names, recording, config, policy in chosen:
        # Weights stand in the first episode of a policy that has room for them.
        again = any(
            isinstance(each["live"], dict) and all(each[name] == names[name] for name in ("run", "policy"))
            for each in packed
        )
        packed.append(_episode(recording, names, room / (count - len(packed)), config, policy, again))
        room -= len(json.dumps(packed[-1]))
    page = page_of(packed)
    assert len(page) <= LIMIT
    write_bytes(path, page)
    return path


def _folders(run_dir: str | Path | Sequence[str | Path] | None) -> list[Path]:
    given = [] if run_dir is None else run_dir if isinstance(run_dir, list | tuple) else [run_dir]
    return [as_path("report", "run_dir", folder) for folder in given]


def _target(folders: Sequence[Path], out: str | Path | None) -> Path:
    """Return the file to write, or raise ValueError if it cannot be one."""
    if len(folders) != 1 and out is None:
        got = "several runs" if folders else "no run"
        raise ValueError(f"report: a page of one run stands in its folder; got {got}, and no out. Give one.")
    path = folders[0] / REPORT if out is None else as_path("report", "out", out)
    if path.is_dir() or not path.parent.is_dir():
        if out is None:
            # A folder that is not there is told as by every command.
            return path
        raise ValueError(f"report: out is a file in a folder that is there; got out={str(path)!r}. Choose another.")
    return path


def _recorded(
    files: Sequence[str | Path], groups: Sequence[Group]
) -> Iterator[tuple[dict[str, str], Recording, TrainConfig | None, None]]:
    """Give recordings, with the configuration of the run if there is one alone."""
    config = next(iter(groups[0].configs.values())) if is_single(groups) else None
    names = [Path(file).name for file in files]
    if len(set(names)) < len(names):
        names = list(map(str, files))
    for name, file in zip(names, files, strict=True):
        yield {"run": "", "policy": "", "label": name}, Recording.load(file), config, None


def _page_around(groups: Sequence[Group], eval_episodes: int, sample: bool) -> Callable[[Sequence[Shown]], bytes]:
    """Return what makes a page of episodes; all else in it is read once, here."""
    alone = is_single(groups)
    config = next(iter(groups[0].configs.values())) if alone else None
    metrics = read_metrics(groups[0].folder) if alone else []
    scores = sections.scores(groups, eval_episodes, sample)
    compared = bool(groups) and not alone
    curves = bands_section(_in_order(groups)) if compared else curves_section(metrics)
    lead = sections.lead_of_many(groups) if compared else sections.lead_of(config)
    stored = sections.differences(groups) if compared else sections.configuration(config.to_dict()) if config else ""

    def page(episodes: Sequence[Shown]) -> bytes:
        environments = {group.environment for group in groups} or {each["env"] for each in episodes}
        success_name = str(episodes[0]["success_name"]) if episodes else "success"
        summary = "" if compared else sections.summary(config, metrics, success_name)
        player, kept = (asset("player.html"), sections.kept(episodes, LIMIT)) if episodes else ("", "")
        found = [summary, scores, player, curves, stored, kept]
        return document(", ".join(sorted(map(short_name, environments))), lead, found, episodes)

    return page


def _in_order(groups: Sequence[Group]) -> list[Run]:
    """Return the reports of groups, in their order."""
    found = {run.name: run for run in read_runs(list(dict.fromkeys(group.folder for group in groups)))}
    return [found[group.name] for group in groups]


def _episode(
    recording: Recording,
    names: dict[str, str],
    room: float,
    config: TrainConfig | None,
    policy: Policy | None,
    again: bool,
) -> Shown:
    """Return an episode for the player, with its figures for the summary; `again` if the page has its weights."""
    success = np.asarray(recording.success)
    environment, success_name, layout = _of_task(recording)
    said = {
        **names,
        "success_name": success_name,
        "final_success": float(success[-1]) if np.isfinite(success[-1]) else None,
        "mean_reward": _mean(np.asarray(recording.reward)),
        "layout": layout,
        "live": live_of(recording, environment, policy, again=again, room=0.2 * room),
    }
    return {**said, **pack_episode(recording, room - len(in_page(said)), _species(recording, config))}


def _mean(numbers: np.ndarray) -> float | None:
    mean = float(numbers.mean(dtype=float))
    return mean if np.isfinite(mean) else None


def _of_task(recording: Recording) -> tuple[Environment | None, str, list[Json] | None]:
    """Return the task, the name of its success, and [name, kind, size] of an observation's blocks, if they are known.

    A recording outlives the package that its environment came from, and the layout that an observation had then.
    """
    unknown = (ImportError, KeyError, OSError, TypeError, ValueError, AttributeError)
    environment, name = None, "success"
    try:
        environment = recording.environment()
        name = environment.success_name
        layout = getattr(environment, "observation_layout", None)
        blocks = () if layout is None else as_layout("report", layout, recording.observation.shape[-1])
    except unknown:
        return environment, name, None
    return environment, name, [[block.name, block.kind, block.size] for block in blocks] or None


def _species(recording: Recording, config: TrainConfig | None) -> list[int] | None:
    """Return the species of the particles that act, where there are several."""
    named = recording.env_kw.get("species") or (config.model_kw.get("species") if config is not None else None)
    if not isinstance(named, list | tuple) or not all(isinstance(each, int) for each in named):
        return None
    return list(named) if len(named) == recording.action.shape[1] and len(set(named)) > 1 else None
