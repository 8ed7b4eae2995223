"""Ceilings of the tasks: policies that know the state do what the task asks for, on episodes that nobody has seen."""

import jax
import numpy as np

from jaxdem_ac.environments.baselines import BASELINES
from jaxdem_ac.runs.build import build_environment, with_training_defaults
from jaxdem_ac.runs.config import TrainConfig
from jaxdem_ac.trainers.evaluate import evaluate
from jaxdem_ac.verify.case import Check, Data, Figure, Outcome
from jaxdem_ac.view.figures.style import BLUE, GREY, ORANGE

TASKS = ("active_brownian", "collective_transport", "evacuation", "multi_navigator", "swarm_navigator", "swarm_roller")
EPISODES = 64
KEY = 20_000
"""Random key of the episodes: neither that of a training nor that of an evaluation of the documentation."""


def play() -> Outcome:
    """Compare success of oracles, scripted policies and random actions on episodes of their own, with its ceiling."""
    checks, found = [], {}
    for name in TASKS:
        environment = build_environment(with_training_defaults(TrainConfig(env=name)))
        made = {}
        for kind in ("random", "scripted", "oracle"):
            policy = BASELINES[kind](environment)
            success = evaluate(environment, policy, jax.random.key(KEY), EPISODES, sample=kind == "random").success
            assert success is not None
            made[kind] = success
        above = max(made[kind].mean for kind in ("random", "scripted")) - made["oracle"].mean
        ceiling = f"{name}: success of random and scripted policies beyond the oracle's"
        # 3 / n is a bound of 95 % on what has not been seen in n episodes, here the 128 of the documentation.
        checks += [
            Check(f"{name}: success of the oracle", made["oracle"].mean, 1.0, 3 / 128, "the whole task", "at least"),
            Check(ceiling, above, 0.0, 3 / EPISODES, "an oracle is a ceiling", "at most"),
        ]
        found[name] = {kind: [success.low, success.mean, success.high] for kind, success in made.items()}
    return Outcome(tuple(checks), {"success": found})


def draw(figure: Figure, data: Data) -> None:
    """Draw success with intervals of 95 % confidence."""
    axis = figure.subplots()
    for color, kind in ((GREY, "random"), (BLUE, "scripted"), (ORANGE, "oracle")):
        low, mean, high = np.array([found[kind] for found in data["success"].values()]).T
        axis.errorbar(mean, range(len(mean)), xerr=[mean - low, high - mean], fmt="o", color=color, label=kind)
    axis.set(
        yticks=range(len(data["success"])), yticklabels=list(data["success"]), xlabel="success", xlim=(-0.05, 1.05)
    )
    axis.legend(frameon=False, loc="center")
