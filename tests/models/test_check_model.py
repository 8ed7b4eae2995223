"""The conformance checks of models: ours pass, and each broken one is told by what is broken."""

from functools import partial
from typing import Any

import jax.numpy as jnp
import pytest
from flax import nnx
from support.recurrent_models import Remembering

import jaxdem_ac as ac
from jaxdem_ac.models.actor_critic import SharedActorCritic
from jaxdem_ac.models.testing import check_model

SMALL = partial(SharedActorCritic, architecture=(8,))


@pytest.mark.parametrize("name", [name for name in ac.list_models() if name != "PerParticle"])
def test_every_registered_model_keeps_to_it(name: str) -> None:
    check_model(partial(ac.make_model, name), feed_forward=True)


@pytest.mark.parametrize("options", [{"discrete": True}, {"actor_sigma_head": True}, {"initial_std": 0.3}], ids=str)
def test_options_keep_to_it(options: dict[str, Any]) -> None:
    check_model(partial(ac.make_model, "SharedActorCritic", **options))


def test_a_model_with_a_memory_keeps_to_it() -> None:
    with pytest.raises(ValueError, match="it is to be feed-forward; got one that keeps a carry"):
        check_model(Remembering, feed_forward=True)


class Small(SharedActorCritic):
    def __init__(self, **keywords: Any) -> None:
        super().__init__(**{"architecture": (8,), **keywords})


class WrongValue(Small):
    def __call__(self, x: Any, sequence: bool = False, **ignored: Any) -> Any:
        distribution, value = super().__call__(x, sequence)
        return distribution, jnp.concatenate([value, value], -1)[..., :1].mean(0, keepdims=True)


class Mixing(Small):
    def __call__(self, x: Any, sequence: bool = False, **ignored: Any) -> Any:
        distribution, value = super().__call__(x, sequence)
        return distribution, value + (jnp.mean(x) if x.ndim == 3 else 0.0)


class Blind(Small):
    def __call__(self, x: Any, sequence: bool = False, **ignored: Any) -> Any:
        return super().__call__(jnp.zeros((*x.shape[:-1], self.observation_space_size)), sequence)


class NotFinite(Small):
    def __call__(self, x: Any, sequence: bool = False, **ignored: Any) -> Any:
        distribution, value = super().__call__(x, sequence)
        return distribution, value + 0 * jnp.sqrt(0 * value)


class Forgetful(Small):
    @property
    def metadata(self) -> dict[str, Any]:
        return {**super().metadata, "architecture": [9]}


class Secretive(Small):
    @property
    def metadata(self) -> dict[str, Any]:
        return {**super().metadata, "architecture": object()}


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (WrongValue, r"a value is finite, of shape \(4,\); got shape \(1,\)"),
        (Mixing, r"a swarm is answered as it is alone; got a difference"),
        (Blind, r"observations of another width are refused"),
        (NotFinite, r"gradients are finite; got NaN"),
        (Forgetful, r"it builds the same parameters from the same key; got others"),
        (Secretive, r"metadata: the keywords that build the model again, as JSON types"),
    ],
)
def test_what_is_broken_is_told(model: type[nnx.Module], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        check_model(model)
