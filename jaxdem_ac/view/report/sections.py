"""Sections of a page: summary, scores, what runs differ in, configuration, and what is kept of episodes."""

import json
from collections.abc import Iterator, Mapping, Sequence
from html import escape

from jaxdem_ac._types import Json
from jaxdem_ac.plugin.references import short_name
from jaxdem_ac.runs.config import TrainConfig
from jaxdem_ac.runs.run_dir import Metrics
from jaxdem_ac.trainers.evaluate import Estimate
from jaxdem_ac.trainers.seeds import FEWEST, SeedEstimate
from jaxdem_ac.view.report.elements import heads, row, section, written
from jaxdem_ac.view.report.groups import Group
from jaxdem_ac.view.report.pack import Shown

_Figure = Estimate | SeedEstimate
_Row = tuple[str, _Figure | None, _Figure]

_MISSING = {"contact": "none, or unknown"}


def lead_of(config: TrainConfig | None) -> str:
    """Return what stands below the heading of a single run, or of recordings."""
    if config is None:
        return "Recorded episodes"
    sharing = f", {config.model_kw['sharing']}" if "sharing" in config.model_kw else ""
    space = short_name(config.action_space)
    return f"{short_name(config.model)}{sharing}, actions in {space}, seed {config.seed}"


def lead_of_many(groups: Sequence[Group]) -> str:
    """Return what stands below the heading where runs are compared."""
    runs = sum(len(group.configs) for group in groups)
    named = ", ".join(group.name for group in groups)
    return f"{runs} runs: {named}" if len(groups) <= 6 else f"{runs} runs, {len(groups)} groups"


def summary(config: TrainConfig | None, metrics: Sequence[Metrics], success_name: str) -> str:
    """Return the cards of a single run; an empty text where there is nothing to say."""
    facts: dict[str, str] = {}
    if metrics:
        last = metrics[-1]
        named = {"final_success": f"{success_name} at the end of an episode", "reward": "reward of a decision"}
        facts |= {text: written(last[name]) for name, text in named.items() if last.get(name) is not None}
        evaluated = next((line for line in reversed(metrics) if line.get("eval_success_low") is not None), None)
        if evaluated is not None:
            facts[f"{success_name} of the last evaluation, by the policy's mode"] = (
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
    return section("summary", "Summary", said) if said else ""


def scores(groups: Sequence[Group], num_episodes: int, sample: bool) -> str:
    """Return the table of how good policies are, as ``jaxdem-ac eval`` has it, or an empty text."""
    if not any(group.scores for group in groups):
        return ""
    alone = len(groups) == 1
    # Tasks may name their figures differently.
    name = groups[0].success_name if len({group.success_name for group in groups}) == 1 else "success"
    bodies = "\n".join(_score_body(group, "" if alone else group.name) for group in groups)
    acting = "with sampled actions" if sample else "by the policy's mode"
    said = f"{num_episodes} episodes {acting}, the same for all. Brackets are intervals of 95 % confidence"
    many = any(len(group.configs) > 1 for group in groups)
    said += ": of a seed over episodes, of a mean over seeds." if many else " over episodes."
    if many and any(1 < len(group.configs) < FEWEST for group in groups):
        said += f" Of fewer than {FEWEST} seeds no interval over seeds is known."
    return section(
        "scores", "Evaluation",
        '<div class="scroll whole" tabindex="0" role="region" aria-labelledby="scores-title">\n<table class="plain">\n'
        f'<thead>{heads(["policy", name, "reward"])}</thead>\n{bodies}\n</table></div>\n<p class="fine">{said}</p>',
    )  # fmt: skip


def _score_body(group: Group, title: str) -> str:
    head = f'<tr><th scope="rowgroup" colspan="3">{escape(title)}</th></tr>\n' if title else ""
    rows = "\n".join(
        row(name, ["-" if success is None else success, reward], kind)
        for kind, (name, success, reward) in _score_rows(group)
    )
    return f"<tbody>{head}{rows}</tbody>"


def _score_rows(group: Group) -> Iterator[tuple[str, _Row]]:
    """Give the rows of a group, each with its class: of one run both policies, of many every seed and their means."""
    if len(group.configs) == 1:
        for kind, found in group.scores.items():
            (only,) = found.members.values()
            yield "", (kind, only.success, only.reward)
        return
    for kind, found in group.scores.items():
        if kind == "trained":
            for member, each in found.members.items():
                yield "", (member.partition(",")[0], each.success, each.reward)
        for what, name in (("mean", "mean"), ("iqm", "IQM")):
            success = None if found.success is None else getattr(found.success, what)
            yield ' class="over"', (f"{kind}, {name} over seeds", success, getattr(found.reward, what))


def differences(groups: Sequence[Group]) -> str:
    """Return what groups differ in as a table, and the configuration that they share."""
    stored = {group.name: _flat(_of_group(group)) for group in groups}
    names = list(dict.fromkeys(name for each in stored.values() for name in each))
    shared: dict[str, Json] = {}
    varied = []
    for name in names:
        values = [each.get(name) for each in stored.values()]
        if any(value != values[0] for value in values):
            varied.append(name)
            continue
        head, _, tail = name.partition(".")
        if tail:
            own = shared.setdefault(head, {})
            assert isinstance(own, dict)
            own[tail] = values[0]
        else:
            shared[head] = values[0]
    common = configuration(shared, "What they share" if len(groups) > 1 else "Configuration")
    if not varied:
        return common
    rows = "\n".join(row(group, (escape(_text(each.get(name))) for name in varied)) for group, each in stored.items())
    table = (
        '<div class="scroll" tabindex="0" role="region" aria-labelledby="differ-title"><table class="plain">\n'
        f"<thead>{heads(['run', *varied])}</thead>\n<tbody>\n{rows}\n</tbody></table></div>"
    )
    return section("differ", "What they differ in", table) + "\n" + common


def _of_group(group: Group) -> dict[str, Json]:
    """Return the configuration of a group as JSON has it, with all its seeds."""
    stored = next(iter(group.configs.values())).to_dict()
    for name in ("out", "num_seeds", "grid", "devices"):
        del stored[name]
    return {**stored, "seed": ", ".join(str(config.seed) for config in group.configs.values())}


def _flat(stored: Mapping[str, Json]) -> dict[str, Json]:
    """Return fields inside fields under dotted names."""
    flat: dict[str, Json] = {}
    for name, value in stored.items():
        flat |= {f"{name}.{key}": each for key, each in value.items()} if isinstance(value, Mapping) else {name: value}
    return flat


def _text(value: Json) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def configuration(stored: Mapping[str, Json], title: str = "Configuration") -> str:
    """Return every field of a configuration, those of a kind in a table of their own."""
    groups: dict[str, Mapping[str, Json]] = {
        "run": {name: value for name, value in stored.items() if not isinstance(value, Mapping)}
    }
    groups |= {name: value for name, value in stored.items() if isinstance(value, Mapping) and value}
    tables = "\n".join(_group(name, values) for name, values in groups.items())
    return section("config", title, f'<div class="groups">\n{tables}\n</div>')


def _group(name: str, values: Mapping[str, Json]) -> str:
    rows = "\n".join(row(str(key), [escape(_text(value))]) for key, value in values.items())
    return f"<table>\n<caption>{escape(name)}</caption>\n<tbody>\n{rows}\n</tbody></table>"


def kept(episodes: Sequence[Shown], limit: int) -> str:
    """Return what is said about the numbers in the page: how many are there, and how far off they may be."""
    tables = "\n".join(_kept_of(episode) for episode in episodes)
    return section(
        "kept", "What this page holds",
        f"<p>Numbers are stored in steps, so that a page stays below {limit / 1e6:.0f} MB. Where not everything fits, "
        "fewer decisions are kept, and the numbers say of which one they are. A moment between two frames is "
        f'interpolated.</p>\n<div class="groups">\n{tables}\n</div>',
    )  # fmt: skip


def _kept_of(episode: Shown) -> str:
    rows = []
    for name in ("position", "contact", "action", "value", "reward", "observation"):
        packed = episode["arrays"].get(name)
        if packed is None:
            said = "left out: no room" if name in episode["left_out"] else _MISSING.get(name, "not recorded")
            rows.append(f'<tr><th scope="row">{name}</th><td colspan="2">{said}</td></tr>')
            continue
        kept, total = packed["shape"][0], packed["total"]
        # Of a contact the force is what may be off; numbers of particles are exact.
        largest = packed["step"][2] if name == "contact" else max(packed["step"])
        share = f"all {total}" if kept == total else f"{kept} of {total}"
        rows.append(row(name, [share, f"{largest / 2:.1g}"]))
    figures = [f"{episode['decisions']} decisions"]
    if episode["final_success"] is not None:
        figures.append(f"{episode['success_name']} {episode['final_success']:.3f} at its end")
    if episode["mean_reward"] is not None:
        figures.append(f"mean reward {episode['mean_reward']:+.4g}")
    return (
        f"<table>\n<caption>{escape(name_of(episode))}: {escape(', '.join(figures))}</caption>\n"
        f"<thead>{heads(['what', 'frames kept', 'largest error'])}</thead>\n<tbody>\n"
        + "\n".join(rows)
        + "\n</tbody></table>"
    )


def name_of(episode: Shown) -> str:
    """Return what an episode is called among those of a page."""
    return ", ".join(filter(None, (episode["run"], episode["policy"], episode["label"])))
