"""The stages of training as programs that can be timed: compiled, with all that they compute handed out."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array
from jax.stages import Traced

from jaxdem_ac._types import PyTree
from jaxdem_ac.bench.cost import Work, count, quickly
from jaxdem_ac.bench.measure import Side
from jaxdem_ac.environments.base import Environment
from jaxdem_ac.environments.batching import reset_batch
from jaxdem_ac.environments.testing.toys import RandomEnvironment
from jaxdem_ac.models import recurrent
from jaxdem_ac.models.policy import sample_raw, to_action
from jaxdem_ac.runs.build import build_environment, build_model
from jaxdem_ac.runs.config import TrainConfig
from jaxdem_ac.trainers.ppo import ppo
from jaxdem_ac.trainers.ppo.collect import collect
from jaxdem_ac.trainers.ppo.loss import Batch
from jaxdem_ac.trainers.ppo.state import TERMS, PPOProblem
from jaxdem_ac.trainers.rollout import Decision, random_action, unroll

Made = TypeVar("Made")
# The state that a call of a learner leaves, its figures, and what else it has made.
Called = tuple[ppo.PPOState, tuple[dict[str, Array], PyTree]]

WITHOUT_PHYSICS = ("policy", "update")
# How often lists of neighbours are made longer before a row is given up.
MOST_TRIES = 4


@dataclass(frozen=True)
class Program:
    """The function of one call."""

    function: Callable[[PyTree, PyTree, Array], tuple[PyTree, PyTree]]
    """Function of what the last call left, what stays, and a random key; returns what it leaves, and figures."""
    held: PyTree
    """First argument of the first call."""
    stays: PyTree = None
    """The same for every call."""
    parts: tuple[str, ...] = ()
    """Stages whose work adds up to this one's; none if it is counted by itself."""


@dataclass
class Built:
    """A program that is compiled and warm."""

    side: Side
    """Function to be timed."""
    compile_seconds: float
    """Trace and compilation."""
    memory_bytes: int
    """Arguments, results and temporaries, as XLA lays them out."""
    num_steps: int
    """T."""
    text: Callable[[], str]
    """The compiled program."""
    traced: Traced = field(repr=False)
    """Program as JAX has traced it."""
    parts: tuple[str, ...] = ()
    """Names of its parts, as :class:`Program` has them."""

    def work(self) -> Work:
        """Return what one call does; compiles parts of the program again to count them."""
        return count(self.traced.jaxpr)


def build(stage: str, config: TrainConfig, clock: Callable[[], float]) -> Built:
    """Return a stage of a training, compiled, with neighbour lists that are long enough, or raise OverflowError."""
    environment = build_environment(config)
    for _ in range(MOST_TRIES):
        built = _compiled(stage, environment, config, clock)
        figures = built.side.call(jax.random.key(0))[0]
        if not float(figures.get("overflow", 0)) > 0:
            return built
        environment = environment.with_capacity(float(figures["overflow"]))
    raise OverflowError(
        f"bench: lists of neighbours are long enough after {MOST_TRIES} tries; got overflow. Spread out."
    )


def _compiled(stage: str, environment: Environment, config: TrainConfig, clock: Callable[[], float]) -> Built:
    program = PROGRAMS[stage](environment, config)
    began = clock()
    traced = jax.jit(program.function).trace(program.held, program.stays, jax.random.key(0))
    compiled = traced.lower().compile()
    seconds = clock() - began
    memory = compiled.memory_analysis()
    held = [program.held]

    def call(key: Array) -> PyTree:
        held[0], output = compiled(held[0], program.stays, key)
        return output

    side = Side(
        call,
        decisions=config.ppo.num_envs * config.ppo.num_steps,
        num_particles=environment.num_particles,
        physics_steps=None if stage in WITHOUT_PHYSICS else getattr(environment, "physics_steps", 1),
        verify=wrong_with,
    )
    size = memory.argument_size_in_bytes + memory.output_size_in_bytes + memory.temp_size_in_bytes
    return Built(
        side,
        seconds,
        int(size - memory.alias_size_in_bytes),
        config.ppo.num_steps,
        compiled.as_text,
        traced,
        program.parts,
    )


def wrong_with(output: PyTree) -> str | None:
    """Return what is wrong with what a call returned."""
    figures = {name: np.asarray(value) for name, value in output[0].items()}
    if float(figures.get("overflow", 0)) > 0:
        return f"lists of neighbours had to be {float(figures['overflow']):.3g} times as long: contacts were lost"
    if int(figures.get("bad_term", 0)):
        return f"a number is not finite, first in {TERMS[int(figures['bad_term']) - 1]}"
    if not np.isfinite(figures["digest"]):
        return "a number is not finite"
    return None


def _environment(environment: Environment, config: TrainConfig) -> Program:
    """Play random actions; observations and rewards are summed."""
    num_envs, num_steps = config.ppo.num_envs, config.ppo.num_steps

    def play(state: PyTree, _: None, key: Array) -> tuple[PyTree, PyTree]:
        def act(observation: Array, carry: PyTree, key: Array | None) -> tuple[Array, PyTree, None]:
            assert key is not None
            return random_action(key, environment, num_envs), carry, None

        def record(decision: Decision) -> tuple[Array, Array]:
            timestep = decision.timestep
            overflow = jnp.max(timestep.info.get("overflow", jnp.zeros(())))
            return jnp.sum(timestep.observation) + jnp.sum(timestep.reward), overflow

        keys = jax.random.split(key, num_steps)
        (state, _), (digests, overflow) = unroll(environment, act, (state, ()), keys, record, lambda carry, _: carry)
        return state, ({"digest": jnp.sum(digests), "overflow": jnp.max(overflow)}, None)

    return Program(play, once(reset_batch, environment, jax.random.split(jax.random.key(config.seed), num_envs)))


def once(function: Callable[..., Made], made_for: Hashable, *arguments: PyTree) -> Made:
    """Return ``function(made_for, *arguments)``, compiled as what runs a single time."""
    made: Made = jax.jit(partial(function, made_for)).lower(*arguments).compile(quickly())(*arguments)
    return made


def _learner(environment: Environment, config: TrainConfig, playing: Environment) -> tuple[PPOProblem, ppo.PPOState]:
    """Return a learner of the environment's model, and its state at the beginning of a run in another environment."""
    graphdef, model_state = nnx.split(build_model(config, environment))
    learner = ppo.Problem(playing, graphdef, config.ppo, num_updates=1_000_000, backend=jax.default_backend())
    return learner, once(ppo.init, learner, model_state, jax.random.key(config.seed))


def _policy(environment: Environment, config: TrainConfig) -> Program:
    """Draw actions, and look at their log-probabilities and values, of random observations, others in every call."""
    learner, state = _learner(environment, config, RandomEnvironment.like(environment))
    num_steps = config.ppo.num_steps

    def act(state: ppo.PPOState, _: None, key: Array) -> Called:
        key_seen, key_steps = jax.random.split(key)
        shape = state.env_state.observation.shape
        seen = jax.random.uniform(key_seen, shape, float)

        model = learner.graphdef, (state.params, state.constants)

        def body(carry: tuple[Array, PyTree], key_step: Array) -> tuple[tuple[Array, PyTree], None]:
            digest, memory = carry
            # What is seen waits for what was done: nothing moves out of the loop.
            now, digest = jax.lax.optimization_barrier((seen, digest))  # type: ignore[no-untyped-call]
            distribution, value, memory = recurrent.step(*model, memory, now)
            raw_action, log_prob = sample_raw(distribution, key_step)
            action = to_action(distribution, raw_action)
            return (digest + jnp.sum(action) + jnp.sum(log_prob) + jnp.sum(value), memory), None

        begin = jnp.zeros((), seen.dtype), state.carry
        (digest, memory), _ = jax.lax.scan(body, begin, jax.random.split(key_steps, num_steps))
        return replace(state, carry=memory), ({"digest": digest}, None)

    return Program(act, state)


def _watched(state: ppo.PPOState, figures: dict[str, Array], digest: str) -> dict[str, Array]:
    """Return what :func:`wrong_with` looks at."""
    overflow = figures.get("overflow", jnp.zeros(()))
    return {"digest": figures[digest], "overflow": overflow, "bad_term": state.bad_term}


def _rollout(environment: Environment, config: TrainConfig) -> Program:
    """Make a batch as it is learnt from, with advantages, and hand out all of it."""
    learner, state = _learner(environment, config, environment)

    def play(state: ppo.PPOState, _: None, key: Array) -> Called:
        state, batch, figures = collect(learner, replace(state, key=key))
        return state, (_watched(state, figures, "reward"), batch)

    return Program(play, state)


def _update(environment: Environment, config: TrainConfig) -> Program:
    """Pass over one batch of random observations, in another order and from other parameters in every call."""
    learner, state = _learner(environment, config, RandomEnvironment.like(environment))
    _, batch, _ = once(collect, learner, state)

    def learn(state: ppo.PPOState, batch: Batch, key: Array) -> Called:
        state, terms = ppo.learn(learner, replace(state, key=key), batch)
        return state, ({"digest": terms["grad_norm"], "bad_term": state.bad_term}, terms)

    return Program(learn, state, batch)


def _training(environment: Environment, config: TrainConfig) -> Program:
    """Play a rollout and learn from it."""
    learner, state = _learner(environment, config, environment)

    def train(state: ppo.PPOState, _: None, key: Array) -> Called:
        state, metrics = ppo.update(learner, replace(state, key=key))
        return state, (_watched(state, metrics, "grad_norm"), metrics)

    return Program(train, state, parts=("rollout", "update"))


PROGRAMS: dict[str, Callable[[Environment, TrainConfig], Program]] = {
    "environment": _environment,
    "policy": _policy,
    "rollout": _rollout,
    "update": _update,
    "training": _training,
}
"""Makers of programs, by the names of the stages."""
