"""Runs as a page shows them: their policies, seeds of a point of a grid together, and how good they are."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import jax

from jaxdem_ac.runs.build import build_environment
from jaxdem_ac.runs.config import TrainConfig
from jaxdem_ac.runs.recording import Recording, record_episode
from jaxdem_ac.runs.run_dir import read_config
from jaxdem_ac.runs.seeds import load_members, point_of
from jaxdem_ac.trainers.evaluate import evaluate
from jaxdem_ac.trainers.policy import Policy
from jaxdem_ac.trainers.seeds import SeedsEvaluation, together
from jaxdem_ac.view.curve_data import names_of

TRAINED, UNTRAINED = "trained", "untrained"


@dataclass(frozen=True)
class Group:
    """A run, or the seeds of one that was made of many; of a grid those of one of its points."""

    name: str
    """Name as that of its curve, :class:`~jaxdem_ac.view.curve_data.Run`."""
    folder: Path
    """Folder of the training; of many runs it holds those of the seeds."""
    configs: dict[str, TrainConfig]
    """Configuration of each seed, by the name of its run."""
    policies: dict[str, dict[str, Policy]]
    """Policies by "trained" and "untrained", then by the name of the run; empty where nothing plays."""
    scores: dict[str, SeedsEvaluation]
    """Evaluations by "trained" and "untrained"; empty where nothing is evaluated."""
    success_name: str
    """Name of the task's success."""

    @property
    def environment(self) -> str:
        """Name of the environment."""
        return next(iter(self.configs.values())).env


def read_groups(folders: Sequence[Path], checkpoint: str | int, plays: bool) -> list[Group]:
    """Return the groups in folders of runs, with their policies if something plays; nothing is evaluated yet.

    Raises FileNotFoundError and ValueError as :func:`~jaxdem_ac.load_policy`.
    """
    found: list[Group] = []
    # All are read before the first plays: one that is missing shows at once.
    for name, folder in zip(names_of(folders), folders, strict=True):
        config = read_config(folder)
        success_name = build_environment(config).success_name if plays else "success"
        policies: dict[str, dict[str, Policy]] = {}
        if plays:
            policies[TRAINED] = load_members(folder, config, checkpoint)
            policies[UNTRAINED] = load_members(folder, config, untrained=True)
        members = config.members() if config.is_many else {"": config}
        for point in dict.fromkeys(map(point_of, members)):
            configs = {member: each for member, each in members.items() if point_of(member) == point}
            own = {
                kind: dict(zip(configs, (each[name] for name in each if point_of(name) == point), strict=True))
                for kind, each in policies.items()
            }
            found.append(Group(f"{name}, {point}" if point else name, folder, configs, own, {}, success_name))
    return found


def evaluated(group: Group, num_episodes: int, seed: int, sample: bool) -> Group:
    """Return a group with the scores that :func:`~jaxdem_ac.evaluate_run` gives."""
    environment = build_environment(next(iter(group.configs.values())))
    play = partial(evaluate, environment, key=jax.random.key(seed), num_episodes=num_episodes, sample=sample)
    scores = {
        kind: together({name: play(policy) for name, policy in policies.items()})
        for kind, policies in group.policies.items()
    }
    return replace(group, scores=scores)


def episodes_of(
    groups: Sequence[Group], seeds: Sequence[int], decisions: int | None, sample: bool
) -> Iterator[tuple[dict[str, str], Recording, TrainConfig, Policy]]:
    """Give episodes one after the other, each with its run, policy and label, the run's configuration, and the policy.

    Of a single run both policies play, of several the trained one.
    """
    alone = is_single(groups)
    for group in groups if seeds else ():
        for member, config in group.configs.items():
            for kind in (TRAINED, UNTRAINED) if alone else (TRAINED,):
                run = "" if alone else ", ".join(filter(None, (group.name, member.partition(",")[0])))
                policy = group.policies[kind][member]
                play = partial(record_episode, config.env, dict(config.env_kw), policy)
                for seed in seeds:
                    names = {"run": run, "policy": kind, "label": f"seed {seed}"}
                    yield names, play(seed=seed, decisions=decisions, sample=sample), config, policy


def is_single(groups: Sequence[Group]) -> bool:
    """Return whether it is one run alone."""
    return len(groups) == 1 and len(groups[0].configs) == 1
