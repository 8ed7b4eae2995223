"""Tiny models with a memory, of the host's interface and not of its code."""

from typing import Any

import distrax
import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from jaxdem_ac.action_spaces import make_action_space
from jaxdem_ac.action_spaces.distributions import as_vector_bijector

FEATURES = 16


class StepByStep(nnx.Module):
    """A gated recurrent unit that knows single steps only, and names no carry."""

    def __init__(
        self, observation_space_size: int, action_space_size: int, key: nnx.Rngs, action_space: Any = None
    ) -> None:
        self.cell = nnx.GRUCell(observation_space_size, FEATURES, rngs=key)
        self.actor = nnx.Linear(FEATURES, action_space_size, rngs=key)
        self.critic = nnx.Linear(FEATURES, 1, rngs=key)
        self.log_std = nnx.Param(jnp.full(action_space_size, -1.0))
        self.action_space = nnx.data(action_space or make_action_space("Free"))
        self.memory = nnx.Variable(jnp.zeros(FEATURES))

    def reset(self, shape: tuple[int, ...], mask: Array | None = None) -> None:
        assert mask is None
        self.memory = nnx.Variable(jnp.zeros((*shape[:-1], FEATURES)))

    def answer(self, features: Array) -> tuple[Any, Array]:
        base = distrax.MultivariateNormalDiag(self.actor(features), jnp.exp(self.log_std[...])[None])
        return distrax.Transformed(base, as_vector_bijector(self.action_space)), self.critic(features)

    def __call__(self, x: Array) -> tuple[Any, Array]:
        memory, features = self.cell(self.memory[...], x)
        self.memory = nnx.Variable(memory)
        return self.answer(features)


class Remembering(StepByStep):
    """The same, which replays sequences too."""

    @property
    def carry(self) -> Array:
        return self.memory[...]

    def __call__(self, x: Array, sequence: bool = False, **how: Any) -> tuple[Any, Array]:
        if not sequence:
            return super().__call__(x)

        def body(memory: Array, now: tuple[Array, Array]) -> tuple[Array, Array]:
            seen, done = now
            memory, features = self.cell(memory, seen)
            return jnp.where(done[..., None], 0.0, memory), features

        return self.answer(jax.lax.scan(body, how["initial_carry"], (x, how["done"]))[1])
