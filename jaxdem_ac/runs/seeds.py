"""Evaluation of a run folder: of one run, of many seeds, and of each point of a grid."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import jax

from jaxdem_ac._checks import check_seed
from jaxdem_ac._files import as_path
from jaxdem_ac._messages import warn
from jaxdem_ac.runs.build import build_environment, initial_policy
from jaxdem_ac.runs.checkpoint import load_policy
from jaxdem_ac.runs.config import TrainConfig
from jaxdem_ac.runs.init_from import load_source
from jaxdem_ac.runs.run_dir import read_config, read_metrics
from jaxdem_ac.trainers.evaluate import Evaluation, evaluate
from jaxdem_ac.trainers.policy import Policy
from jaxdem_ac.trainers.seeds import SeedsEvaluation, together


def evaluate_run(
    run_dir: str | Path,
    *,
    checkpoint: str | int = "last",
    num_episodes: int = 128,
    seed: int = 1_000,
    sample: bool = False,
    num_particles: int | None = None,
    untrained: bool = False,
) -> dict[str, SeedsEvaluation]:
    """Play whole episodes with the policy of every seed in a run's folder; return results by the point of the grid.

    All seeds play the same episodes, so that an interval over seeds says what the seed of a training changes. A point
    is ``"learning_rate=0.001"``; without a grid the only name is ``""``.

    Parameters
    ----------
    run_dir : path
        The folder of a training: of one run, many seeds or a grid.
    checkpoint : "last", "best" or int
        Of each run, as for :func:`~jaxdem_ac.runs.checkpoint.load_policy`.
    num_episodes : int
        Of each policy; at least 2.
    seed : int
        Of the episodes.
    sample : bool
        Whether actions are sampled; else they are the policy's mode.
    num_particles : int, optional
        Size of another swarm of the same density, in which they play; that of the training if left out.
    untrained : bool
        Whether the policies play that the runs started from: those of `init_from`, or networks with random parameters.

    Raises
    ------
    FileNotFoundError, FloatingPointError, TypeError, ValueError
        As :func:`~jaxdem_ac.runs.checkpoint.load_policy` and :func:`~jaxdem_ac.trainers.evaluate.evaluate`.
    """
    run_dir = as_path("evaluate_run", "run_dir", run_dir)
    key = jax.random.key(check_seed("evaluate_run", seed))
    config = read_config(run_dir)
    environment = build_environment(config)
    if num_particles is not None:
        environment = environment.with_num_particles(num_particles)
    play = partial(evaluate, environment, key=key, num_episodes=num_episodes, sample=sample)
    return evaluate_members(run_dir, config, play, checkpoint, untrained)


def evaluate_members(
    run_dir: Path,
    config: TrainConfig,
    play: Callable[[Policy], Evaluation],
    checkpoint: str | int = "last",
    untrained: bool = False,
) -> dict[str, SeedsEvaluation]:
    """Return what `play` makes of each seed's policy, by the point of the grid; `config` is the folder's."""
    points: dict[str, dict[str, Evaluation]] = {}
    for name, policy in load_members(run_dir, config, checkpoint, untrained).items():
        points.setdefault(point_of(name), {})[name] = play(policy)
    return {point: together(members) for point, members in points.items()}


def load_members(
    run_dir: Path, config: TrainConfig, checkpoint: str | int = "last", untrained: bool = False
) -> dict[str, Policy]:
    """Return the policy of every seed, by the name of its run; as :func:`evaluate_members`.

    Runs that have diverged are named in one warning: of each the last policy is kept whose numbers were finite.
    """
    names = [name if config.is_many else "." for name in config.members()]
    diverged = [name for name in names if not untrained and (read_metrics(run_dir / name) or [{}])[-1].get("diverged")]
    if diverged:
        warn(
            f"load: {len(diverged)} of {len(names)} runs in {str(run_dir)!r} diverged; theirs is the last policy whose "
            f"numbers were finite: {'; '.join(diverged)}."
        )
    if untrained:
        return policies_before(config)
    return {name: load_policy(run_dir / (name if config.is_many else "."), checkpoint) for name in config.members()}


def policies_before(config: TrainConfig) -> dict[str, Policy]:
    """Return the policies that runs begin with, by name: that of `init_from`, or the networks of their seeds.

    Where that run is gone, or its checkpoint, they are the networks of their seeds, and a warning says so.
    """
    if config.init_from is not None:
        try:
            return dict.fromkeys(config.members(), load_source(config, build_environment(config)))
        except (FileNotFoundError, ValueError) as error:
            warn(
                f"load: a run's policy before its training is that of init_from; got {config.init_from!r}, which no "
                f"longer has it, so that it is a network with random parameters. {error}"
            )
    return {name: initial_policy(member) for name, member in config.members().items()}


def point_of(name: str) -> str:
    """Return the point of the grid in the name of a run: of "seed-0,learning_rate=0.001" what follows the comma."""
    return name.partition(",")[2]
