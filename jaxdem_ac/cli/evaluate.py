"""The command line, whole episodes and their figures: arguments in, words out."""

import itertools
import json
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

import jaxdem_ac as ac
from jaxdem_ac.cli.options import CHECKPOINT, PATH, complete_field, complete_names, complete_run, of_runs, trust_given
from jaxdem_ac.plugin.references import is_reference, trust_typed
from jaxdem_ac.registry import environments

if TYPE_CHECKING:
    from jaxdem_ac.runs.config import TrainConfig
    from jaxdem_ac.trainers.evaluate import Estimate, Evaluation
    from jaxdem_ac.trainers.seeds import SeedEstimate, SeedsEvaluation

    _Result = Evaluation | dict[str, SeedsEvaluation]
    _Row = tuple[str, Estimate | SeedEstimate | None, Estimate | SeedEstimate]


@click.command("eval")
@click.argument("runs", metavar="[RUN]...", nargs=-1, type=PATH, shell_complete=complete_run)
@CHECKPOINT
@click.option("--env", metavar="NAME", shell_complete=complete_names(environments),
    help="Play in that environment, as a training has it, where there is no RUN; --policy says who plays. With a RUN: "
    "trust its own environment, my_file.py:Class, which may have been moved.")  # fmt: skip
@click.option("--set", "assignments", multiple=True, metavar="FIELD=VALUE", shell_complete=complete_field,
    help="Set a keyword of --env, as env_kw.num_particles=32. Repeatable.")  # fmt: skip
@click.option("--policy", "baselines", multiple=True, type=click.Choice(["random", "scripted", "oracle"]),
    help="Who plays without any training, too: random actions, the task's own hand-written policy of what a particle "
    "observes, or its oracle, which knows the state. Repeatable.")  # fmt: skip
@click.option("--num-particles", type=int, metavar="N",
    help="Play with N particles at the density of the run, and its time limit.")  # fmt: skip
@click.option("--episodes", default=128, show_default=True, help="Whole episodes to play.")
@click.option("--seed", default=1_000, show_default=True, help="Of the episodes.")
@click.option("--sample", is_flag=True, help="Sample actions; else the policy's mode is played.")
@click.option("--no-baseline", is_flag=True, help="Leave out the untrained policy.")
@of_runs(besides="env")
def evaluate(
    runs: tuple[Path, ...],
    checkpoint: str | int,
    env: str | None,
    assignments: tuple[str, ...],
    baselines: tuple[str, ...],
    num_particles: int | None,
    episodes: int,
    seed: int,
    sample: bool,
    no_baseline: bool,
    as_json: bool,
) -> None:
    """Play whole episodes with a run's policy, and with the untrained one; or with policies that need no training.

    Success is the environment's figure at the end of an episode: for swarm_navigator the share of targets with a
    particle within one radius. Brackets are intervals of 95 % confidence over episodes. Of many seeds every one is
    played, and the mean over seeds and the interquartile mean (IQM) have intervals over seeds; of a grid, at each of
    its points. Several RUNs are played one after the other.
    """
    configs = {run: _configuration(run, env, assignments, baselines) for run in runs or (None,)}
    import jax

    from jaxdem_ac._checks import check_seed
    from jaxdem_ac.environments.baselines import BASELINES
    from jaxdem_ac.runs.build import build_environment
    from jaxdem_ac.runs.seeds import evaluate_members

    found = {}
    for run, config in configs.items():
        environment = build_environment(config)
        if num_particles is not None:
            environment = environment.with_num_particles(num_particles)
        play = partial(ac.evaluate, environment, key=jax.random.key(check_seed("eval", seed)), num_episodes=episodes)
        results: dict[str, _Result] = {}
        if run is not None:
            # A checkpoint that is not there shows before anything is played.
            for kind in ("after",) if no_baseline else ("after", "before"):
                points = evaluate_members(run, config, partial(play, sample=sample), checkpoint, kind == "before")
                results[kind] = points if config.is_many else next(iter(points[""].members.values()))
            results = dict(reversed(results.items()))
        for name in baselines:
            results[name] = play(BASELINES[name](environment), sample=sample or name == "random")
        if as_json:
            found[str(run)] = {
                name: {point: asdict(each) for point, each in of.items()} if isinstance(of, dict) else asdict(of)
                for name, of in results.items()
            }
            continue
        swarm = "" if num_particles is None else f" of {num_particles:,} particles"
        click.echo((f"{run}: " if len(configs) > 1 else "") + f"{episodes} episodes{swarm}", nl=False)
        _say(environment.success_name, results)
    if as_json:
        click.echo(json.dumps(found if len(found) > 1 else next(iter(found.values()))))


def _say(success_name: str, results: "dict[str, _Result]") -> None:
    """Print results in words: of many seeds each point of the grid, with every seed, then what needs no training."""
    from jaxdem_ac.trainers.seeds import FEWEST

    many = {kind: result for kind, result in results.items() if isinstance(result, dict)}
    click.echo(f"{' of each seed' if many else ''}, mean and interval of 95 % confidence:")
    rows: dict[str, list[_Row]] = {}
    for point, after in many.get("after", {}).items():
        rows[point] = [(name.partition(",")[0], each.success, each.reward) for name, each in after.members.items()]
        for kind, points in many.items():
            of = points[point]
            for what, name in (("mean", f"{kind}, mean over seeds"), ("iqm", f"{kind}, IQM over seeds")):
                success = None if of.success is None else getattr(of.success, what)
                rows[point].append((name, success, getattr(of.reward, what)))
    alone: list[_Row] = [
        (kind, each.success, each.reward) for kind, each in results.items() if not isinstance(each, dict)
    ]
    width = max(6, *(len(row[0]) for row in [*itertools.chain(*rows.values()), *alone]))
    for point, lines in rows.items():
        if point:
            click.echo(f"{point}:")
        _say_rows(lines, success_name, width)
    if any(of.num_seeds < FEWEST for of in many.get("after", {}).values()):
        click.echo(f"Of fewer than {FEWEST} seeds no interval over seeds is known. Train more of them, --num-seeds 8.")
    if rows and alone and "" not in rows:
        click.echo("without training:")
    _say_rows(alone, success_name, width)


def _say_rows(rows: "list[_Row]", success_name: str, width: int) -> None:
    """Print a line for each policy."""
    for name, success, reward in rows:
        figure = "" if success is None else f"  {success_name} {name:<{width}} {success} "
        click.echo(f"{figure or f'  {name:<{width}}'}  reward {reward}")


def _configuration(
    run: Path | None, env: str | None, assignments: tuple[str, ...], baselines: tuple[str, ...]
) -> "TrainConfig":
    """Return the configuration of what is played; only its environment counts where there is no run."""
    from jaxdem_ac.runs.build import with_training_defaults
    from jaxdem_ac.runs.config import TrainConfig, parse_assignments
    from jaxdem_ac.runs.run_dir import read_config

    if run is not None and is_reference(env):
        trust_typed("--env", str(env))
        env = None
    if (run is None) == (env is None):
        got = "neither" if run is None else "both"
        raise click.UsageError(f"eval: a RUN is played, or an --env by a --policy; got {got}. Name one of them.")
    if run is not None:
        if assignments:
            raise click.UsageError(
                "eval: a RUN is played as it was configured; got --set. Leave it out, or name an --env."
            )
        return read_config(run)
    assert env is not None
    trust_given({"env": env})
    if not baselines:
        raise click.UsageError("eval: in an --env a --policy plays; got none. Add --policy oracle, or name a RUN.")
    return with_training_defaults(TrainConfig(env=env).with_values(parse_assignments(assignments)))
