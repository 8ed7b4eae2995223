"""The command line, whole episodes and their figures: arguments in, words out."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

import jaxdem_ac as ac
from jaxdem_ac.cli.options import CHECKPOINT, PATH, complete_names, complete_run, own_code, trust_given
from jaxdem_ac.plugin.references import is_reference, trust_typed
from jaxdem_ac.registry import environments

if TYPE_CHECKING:
    from jaxdem_ac.runs.config import TrainConfig


@click.command("eval")
@click.argument("run", type=PATH, required=False, shell_complete=complete_run)
@CHECKPOINT
@click.option("--env", metavar="NAME", shell_complete=complete_names(environments),
    help="Play in that environment, as a training has it, where there is no RUN; --policy says who plays. With a RUN: "
    "trust its own environment, my_file.py:Class, which may have been moved.")  # fmt: skip
@click.option("--set", "assignments", multiple=True, metavar="FIELD=VALUE",
    help="Set a keyword of --env, as env_kw.num_particles=32. Repeatable.")  # fmt: skip
@click.option("--policy", "baselines", multiple=True, type=click.Choice(["random", "scripted", "oracle"]),
    help="Who plays without any training, too: random actions, the task's own hand-written policy of what a particle "
    "observes, or its oracle, which knows the state. Repeatable.")  # fmt: skip
@click.option(
    "--num-particles",
    type=int,
    metavar="N",
    help="Play with N particles at the density of the run, and its time limit.",
)
@click.option("--episodes", default=128, show_default=True, help="Whole episodes to play.")
@click.option("--seed", default=1_000, show_default=True, help="Of the episodes.")
@click.option("--sample", is_flag=True, help="Sample actions; else the policy's mode is played.")
@click.option("--no-baseline", is_flag=True, help="Leave out the untrained policy.")
@own_code(besides="env")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def evaluate(
    run: Path | None,
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
    particle within one radius. Brackets are intervals of 95 % confidence over episodes.
    """
    config = _configuration(run, env, assignments, baselines)
    import jax

    from jaxdem_ac.environments.baselines import BASELINES
    from jaxdem_ac.runs.build import build_environment, initial_policy

    environment = build_environment(config)
    if num_particles is not None:
        environment = environment.with_num_particles(num_particles)
    policies = {} if run is None or no_baseline else {"before": initial_policy(config)}
    if run is not None:
        policies["after"] = ac.load_policy(run, checkpoint)
    policies |= {name: BASELINES[name](environment) for name in baselines}
    results = {
        name: ac.evaluate(environment, policy, jax.random.key(seed), episodes, sample=sample or name == "random")
        for name, policy in policies.items()
    }
    if as_json:
        click.echo(json.dumps({name: asdict(result) for name, result in results.items()}))
        return
    swarm = "" if num_particles is None else f" of {num_particles:,} particles"
    click.echo(f"{episodes} episodes{swarm}, mean and interval of 95 % confidence:")
    width = max(6, *map(len, results))
    for name, result in results.items():
        success = "" if result.success is None else f"  {environment.success_name} {name:<{width}} {result.success} "
        click.echo(f"{success or f'  {name:<{width}}'}  reward {result.reward}")


def _configuration(
    run: Path | None, env: str | None, assignments: tuple[str, ...], baselines: tuple[str, ...]
) -> "TrainConfig":
    """Return the configuration of what is played; only its environment counts where there is no run."""
    from jaxdem_ac.runs.build import with_training_defaults
    from jaxdem_ac.runs.config import TrainConfig, parse_assignments
    from jaxdem_ac.runs.run_dir import single

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
        return single(run)
    assert env is not None
    trust_given({"env": env})
    if not baselines:
        raise click.UsageError("eval: in an --env a --policy plays; got none. Add --policy oracle, or name a RUN.")
    return with_training_defaults(TrainConfig(env=env).with_values(parse_assignments(assignments)))
