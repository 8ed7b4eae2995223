"""Agent-steps per second of PPO on swarm_navigator, whole and its update alone, against JaxDEM's trainer.

Both sides play their own swarm_navigator with the same network, as many minibatches and one pass over a rollout, by
Adam. Each keeps the rest of its defaults: JaxDEM weights segments by priority and has an entropy bonus, of an entropy
that is not exact; the bonus of the exact one is a row of its own. A call is what each trainer compiles: here ten
updates, with JaxDEM one.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx

import jaxdem_ac as ac
from benchmarks.environments import room
from benchmarks.rows import absent, compared, going_on
from jaxdem_ac.bench.measure import Side
from jaxdem_ac.runs.config import TrainConfig
from jaxdem_ac.trainers.ppo import ppo
from jaxdem_ac.trainers.ppo.collect import collect
from jaxdem_ac.trainers.ppo.config import PPOConfig

# Particles, environments, decisions of a rollout.
CASES = ((64, 16, 64), (1024, 1, 16), (4096, 1, 4))
NUM_MINIBATCHES = 4
# In one compiled call, as `train` makes them; JaxDEM's trainer makes one.
UPDATES = TrainConfig().report_every
LARGEST_UPDATE = 1024


def ours(num_particles: int, num_envs: int, num_steps: int, **settings: Any) -> tuple[Side, Side]:
    """Return the sides of a whole update and of learning alone."""
    environment = ac.make_environment("swarm_navigator", num_particles=num_particles, **room(num_particles))
    model = ac.make_model(
        "SharedActorCritic",
        observation_space_size=environment.observation_size,
        action_space_size=environment.action_size,
        key=nnx.Rngs(0),
        action_space="MaxNorm",
    )
    graphdef, model_state = nnx.split(model)
    config = PPOConfig(
        num_envs=num_envs, num_steps=num_steps, num_minibatches=NUM_MINIBATCHES, num_epochs=1, **settings
    )
    learner = ppo.Problem(environment, graphdef, config, num_updates=1_000, backend=jax.default_backend())
    start = ppo.init(learner, model_state, jax.random.key(0))
    _, batch, _ = jax.jit(partial(collect, learner))(start)
    learn = jax.jit(partial(ppo.learn, learner))
    whole = going_on(lambda state, _: ppo.update_many(learner, state, UPDATES), start)
    update = going_on(lambda state, _: learn(state, batch), start)
    decisions = num_envs * num_steps
    return Side(whole, UPDATES * decisions, num_particles), Side(update, decisions, num_particles, None)


def jaxdem(num_particles: int, num_envs: int, num_steps: int) -> tuple[Side, Side] | None:
    """Return the same of JaxDEM's trainer; None where it is not installed."""
    try:
        import jaxdem.rl as rl
    except ImportError:
        return None
    environment = rl.Environment.create("swarm_navigator", N=num_particles, **room(num_particles))
    environment = environment.reset(environment, jax.random.key(0))
    model = rl.Model.create(
        "SharedActorCritic",
        observation_space_size=environment.observation_space_size,
        action_space_size=environment.action_space_size,
        key=nnx.Rngs(0),
        action_space=rl.ActionSpace.create("MaxNorm"),
    )
    trainer = rl.Trainer.create(
        "PPO",
        env=environment,
        model=model,
        key=jax.random.key(1),
        num_envs=num_envs,
        num_steps_epoch=num_steps,
        num_minibatches=NUM_MINIBATCHES,
        num_epochs=1_000,
        optimizer=optax.adam,
    )
    # Without its own jit, whose cache would not see that the rollout has been replaced.
    epoch = type(trainer).epoch.__wrapped__

    def play(trainer: Any) -> Any:
        return trainer.trajectory_rollout(
            trainer.env, trainer.graphdef, trainer.graphstate, trainer.key, num_steps, skip_frames=0
        )[-1]

    stored = jax.jit(play)(trainer)

    def learn(trainer: Any, stored: Any) -> Any:
        played = staticmethod(lambda env, graphdef, graphstate, key, *_, **__: (env, graphstate, key, stored))
        return _replaced(type(trainer), "trajectory_rollout", played, lambda: epoch(trainer, jnp.zeros((), int)))

    whole = jax.jit(lambda trainer: epoch(trainer, jnp.zeros((), int)))
    update = jax.jit(learn)
    # Of three results the first is the trainer, the last the metrics.
    sides = [lambda held, _: whole(held)[::2], lambda held, _: update(held, stored)[::2]]
    calls = [going_on(side, trainer) for side in sides]
    decisions = num_envs * num_steps
    return Side(calls[0], decisions, num_particles), Side(calls[1], decisions, num_particles, None)


def _replaced(cls: Any, name: str, value: Any, call: Callable[[], Any]) -> Any:
    """Return what `call` returns while an attribute of `cls` is another."""
    before = cls.__dict__.get(name)
    setattr(cls, name, value)
    try:
        return call()
    finally:
        delattr(cls, name) if before is None else setattr(cls, name, before)


def run(short: bool = False) -> list[dict[str, Any]]:
    """Return the rows. In short, ours alone is not measured: the suite of stages has it."""
    rows = []
    for case in CASES[:1] if short else CASES:
        about = {"suite": "training", "env": "swarm_navigator", "N": case[0], "E": case[1], "T": case[2]}
        theirs = jaxdem(*case) or (None, None)
        if short and theirs[0] is None:
            rows += [absent("JaxDEM", **about, stage=stage) for stage in ("training", "update")]
            continue
        whole, update = ours(*case)
        sides: dict[str, Side | None] = {"jaxdem-ac": whole}
        if not short:
            sides = {"jaxdem-ac, entropy bonus": ours(*case, entropy_coef=0.001)[0], **sides}
        rows += compared({**sides, "JaxDEM": theirs[0]}, **about, stage="training")
        if case[0] <= LARGEST_UPDATE:
            rows += compared({"jaxdem-ac": update, "JaxDEM": theirs[1]}, **about, stage="update")
    return rows
