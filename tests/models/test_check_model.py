"""The conformance checks of models: ours pass, and each broken one is told by what is broken."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax.numpy as jnp
import pytest
from flax import nnx
from support.recurrent_models import Remembering

import jaxdem_ac as ac
from jaxdem_ac.models.actor_critic import SharedActorCritic
from jaxdem_ac.models.testing import check_model, model_checks, parametrize_with_checks

SMALL = partial(SharedActorCritic, architecture=(8,))


OPTIONS: tuple[dict[str, Any], ...] = ({"discrete": True}, {"actor_sigma_head": True}, {"initial_std": 0.3})
# The rest need to know more of what they observe: their own tests check them.
REGISTERED = ["SharedActorCritic", "ActorCritic"]


@parametrize_with_checks(
    *(partial(ac.make_model, name) for name in REGISTERED),
    *(partial(ac.make_model, "SharedActorCritic", **options) for options in OPTIONS),
    partial(ac.make_model, "PerParticle", num_particles=4, sharing="independent"),
    feed_forward=True,
)
def test_ours_keep_to_the_contract(check: Callable[[], None]) -> None:
    check()


@pytest.mark.parametrize(("build", "feed_forward"), [(Remembering, True), (SMALL, False)])
def test_a_memory_is_asked_for_or_not(build: Any, feed_forward: bool) -> None:
    words = "feed-forward; got one that keeps a carry" if feed_forward else "recurrent; got one that has no carry"
    with pytest.raises(ValueError, match=words):
        check_model(build, feed_forward=feed_forward)


def test_every_point_has_a_name_and_is_called_alone() -> None:
    checks = dict(model_checks(Forgetful, feed_forward=True))
    assert list(checks) == ["memory", "shapes", "compiled", "alone", "gradients", "width", "metadata"]
    for name, check in checks.items():
        if name == "metadata":
            with pytest.raises(ValueError, match="builds the same parameters"):
                check()
        else:
            check()
    assert "memory" not in dict(model_checks(Forgetful))
    with pytest.raises(TypeError, match="build is a class or a function; got build=3"):
        model_checks(3)  # type: ignore[arg-type]
    mark = parametrize_with_checks(Small, partial(ac.make_model, "X", depth=1), partial(Small, key=1))
    ids = [case.id for case in mark.args[1]]
    assert ids[0] == "Small-shapes"
    assert {"X-depth-width", "Small-key-metadata"} < set(ids)


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
