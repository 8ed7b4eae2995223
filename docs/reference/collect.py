"""Make the reference figures of an environment from a folder of many seeds.

``python docs/reference/collect.py RUN`` plays 128 episodes with the policy of every seed and writes all that the page
of the environment shows: ``docs/reference/<env>.json``, ``docs/pictures/<env>_curve.png``, and in
``docs/pictures/<env>.png`` an episode of the seed in the middle. RUN is what ``jaxdem-ac train --config
reference/<env>`` has written.
"""

import argparse
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np

import jaxdem_ac as ac
from jaxdem_ac._files import write_text
from jaxdem_ac.bench.machine import machine
from jaxdem_ac.runs.build import build_environment, with_training_defaults
from jaxdem_ac.runs.config import TrainConfig
from jaxdem_ac.runs.config_file import reference_names
from jaxdem_ac.runs.run_dir import read_config, read_metrics
from jaxdem_ac.trainers.evaluate import estimate
from jaxdem_ac.view.figures.style import BLUE, new_figure, save_figure

DOCS = Path(__file__).parents[1]
EPISODES, KEY = 128, 1_000
"""As `jaxdem-ac eval` plays them."""

Reports = Sequence[Mapping[str, Any]]


def command_of(config: TrainConfig) -> str:
    """Return the command that makes a run of that configuration, in its own folder."""
    shipped = f"reference/{config.env}"
    known = shipped in reference_names()
    if known and with_training_defaults(TrainConfig.from_file(shipped)) == replace(config, out=None):
        return shlex.join(["jaxdem-ac", "train", "--config", shipped, "--out", f"runs/{config.env}"])
    plain = with_training_defaults(TrainConfig(env=config.env, action_space=config.action_space)).to_dict()
    words = ["jaxdem-ac", "train", "--env", config.env, "--action-space", config.action_space]
    for name, value in config.to_dict().items():
        if name in ("env", "action_space", "out") or value == plain[name]:
            continue
        if isinstance(value, dict):
            changed = {key: each for key, each in value.items() if plain[name].get(key) != each}
            words += [word for key, each in changed.items() for word in ("--set", f"{name}.{key}={json.dumps(each)}")]
        else:
            words += [f"--{name.replace('_', '-')}", str(value)]
    return shlex.join([*words, "--out", f"runs/{config.env}"])


def curve_of(seeds: Sequence[Reports]) -> dict[str, list[float]]:
    """Return the success of runs as they learn: its mean over seeds, and the ends of its interval of 95 %.

    Parameters
    ----------
    seeds : sequence of reports
        With the same steps; two at least. The success of the evaluations in them counts, at the mode; where there are
        none that of the training's own episodes. Reports without are left out.
    """
    evaluated = any(line.get("eval_success") is not None for lines in seeds for line in lines)
    figure = "eval_success" if evaluated else "final_success"
    curve: dict[str, list[float]] = {"steps": [], "mean": [], "low": [], "high": []}
    for lines in zip(*seeds, strict=True):
        assert len({line["steps"] for line in lines}) == 1
        values = [line.get(figure) for line in lines]
        if None in values:
            continue
        found = estimate(np.asarray(values), 0.0, 1.0)
        for name, value in (("mean", found.mean), ("low", found.low), ("high", found.high)):
            curve[name].append(round(value, 4))
        curve["steps"].append(lines[0]["steps"])
    return curve


def checkpoint_of(run: Path) -> str:
    """Return which checkpoint of a run is shown: the best by evaluation, on episodes of its own, or else the last."""
    return "best" if read_config(run).eval_every else "last"


def success_of(run: Path) -> float:
    """Return the mean success of a run's policy at the end of an episode."""
    policy = ac.load_policy(run, checkpoint_of(run))
    evaluation = ac.evaluate(build_environment(read_config(run)), policy, jax.random.key(KEY), EPISODES)
    assert evaluation.success is not None
    return round(evaluation.success.mean, 4)


def draw(curve: Mapping[str, Sequence[float]], name: str, path: Path) -> None:
    """Draw a curve with its band."""
    figure = new_figure(5.0, 2.8)
    axis = figure.subplots()
    steps = np.asarray(curve["steps"]) / 1e6
    axis.fill_between(steps, curve["low"], curve["high"], color=BLUE, alpha=0.2, linewidth=0)
    axis.plot(steps, curve["mean"], color=BLUE, linewidth=1.5)
    axis.set_xlabel("agent-steps, millions")
    axis.set_ylabel(name)
    axis.set_ylim(-0.02, 1.02)
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)
    save_figure(figure, path, dpi=200)


def collect(run: Path, note: str = "", docs: Path = DOCS) -> Path:
    """Write the reference figures of an environment, and return the file.

    Parameters
    ----------
    run : Path
        Of many seeds.
    note : str
        What else there is to say of the machine, as that it had other work.
    docs : Path
        Where `reference` and `pictures` lie.
    """
    config = read_config(run)
    names = list(config.members())
    if len(names) < 2 or config.grid:
        raise SystemExit(f"collect: reference runs differ in their seeds; got {', '.join(names)}. Use --num-seeds 5.")
    seeds = [read_metrics(run / name) for name in names]
    curve, about = curve_of(seeds), machine()
    environment = build_environment(replace(config, num_seeds=1))
    found = {
        "command": command_of(config),
        "seeds": [each.seed for each in config.members().values()],
        "success": [success_of(run / name) for name in names],
        "curve": curve,
        "seconds": read_metrics(run)[-1]["seconds"],
        "machine": ", ".join(filter(None, [about["processor"], f"{about['cores']} cores", note])),
    }
    draw(curve, environment.success_name, docs / f"pictures/{config.env}_curve.png")
    middle = names[int(np.argsort(found["success"])[len(names) // 2])]
    picture = docs / f"pictures/{config.env}.png"
    ac.render(environment, ac.load_policy(run / middle, checkpoint_of(run / middle)), picture, key=jax.random.key(KEY))
    path = docs / f"reference/{config.env}.json"
    write_text(path, json.dumps(found, indent=1) + "\n")
    return path


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of many seeds")
    parser.add_argument("--note", default="", help="what else there is to say of the machine: 'beside other work'")
    print(f"wrote {collect(**vars(parser.parse_args()))}")
