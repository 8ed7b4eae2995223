"""Every point of the contract that an action space breaks is named, and what to do."""

from collections.abc import Callable
from typing import Any

import distrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array

import jaxdem_ac as ac
from jaxdem_ac.action_spaces.base import ActionSpace
from jaxdem_ac.action_spaces.testing import action_space_checks, check_action_space, parametrize_with_checks


class Stretch(ActionSpace):
    """``y = scale x``, one number for each component."""

    def __init__(self, scale: Any = (2.0, 0.5)) -> None:
        super().__init__(event_ndims_in=1)
        self.scale = np.asarray(scale, float)

    @property
    def event_size(self) -> int:
        return len(self.scale)

    def forward_and_log_det(self, x: Array) -> tuple[Array, Array]:
        return self.scale * x, jnp.broadcast_to(jnp.sum(jnp.log(self.scale)), x.shape[:-1])

    def inverse_and_log_det(self, y: Array) -> tuple[Array, Array]:
        return y / self.scale, -self.forward_and_log_det(y)[1]

    def log_det_expectation(self, mean: Array, std: Array) -> Array:
        return self.forward_and_log_det(mean + 0 * std)[1]


@parametrize_with_checks(
    ac.make_action_space("Free"),
    ac.make_action_space("Box", x_min=[-1.0, 0.0], x_max=3.0, width=0.7),
    ac.make_action_space("MaxNorm", max_norm=2.5),
    Stretch(),
    size=2,
)
def test_of_two_numbers_they_keep_to_the_contract(check: Callable[[], None]) -> None:
    check()


@pytest.mark.parametrize(
    ("name", "keywords", "size"), [("Free", {}, 3), ("Box", {"x_min": -1.0, "x_max": 2.0}, 1), ("MaxNorm", {}, 6)]
)
def test_of_other_sizes_they_keep_to_the_contract(name: str, keywords: dict[str, Any], size: int) -> None:
    check_action_space(ac.make_action_space(name, **keywords), size)


def test_metadata_of_anothers_tells_it_from_others() -> None:
    assert Stretch([3.0, 4.0]).metadata == {"scale": [3.0, 4.0]}
    assert Stretch([3.0, 4.0]).same_as(Stretch([3.0, 4.0]))
    assert not Stretch([3.0, 4.0]).same_as(Stretch([3.0, 5.0]))


class ForgetsItsKeyword(Stretch):
    def __init__(self, factor: Any = (2.0, 0.5)) -> None:
        super().__init__(factor)


class HalfTheMetadata(Stretch):
    metadata = {}  # type: ignore[assignment]  # noqa: RUF012

    def __init__(self, scale: Any = (1.0, 1.0)) -> None:
        super().__init__(scale)

    def same_as(self, other: Any) -> bool:
        return bool((self.scale == other.scale).all())


class NoText(Stretch):
    metadata = {"scale": jnp.ones(2)}  # type: ignore[assignment]  # noqa: RUF012


class OneLogDetForEach(Stretch):
    def forward_and_log_det(self, x: Array) -> tuple[Array, Array]:
        return self.scale * x, jnp.broadcast_to(jnp.log(self.scale), x.shape)


class WrongLogDet(Stretch):
    def forward_and_log_det(self, x: Array) -> tuple[Array, Array]:
        return self.scale * x, -super().forward_and_log_det(x)[1] + 0.1


class TwoLogDets(Stretch):
    def forward_log_det_jacobian(self, x: Array) -> Array:
        return jnp.zeros(x.shape[:-1])


class WrongInverse(Stretch):
    def inverse_and_log_det(self, y: Array) -> tuple[Array, Array]:
        return y * self.scale, -self.forward_and_log_det(y)[1]


class WrongInverseLogDet(Stretch):
    def inverse_and_log_det(self, y: Array) -> tuple[Array, Array]:
        return y / self.scale, self.forward_and_log_det(y)[1] + 1.0


class NoExpectation(Stretch):
    log_det_expectation = ActionSpace.log_det_expectation


class WrongExpectation(Stretch):
    def log_det_expectation(self, mean: Array, std: Array) -> Array:
        return super().log_det_expectation(mean, std) + 0.2


class ExpectationOfEach(Stretch):
    def log_det_expectation(self, mean: Array, std: Array) -> Array:
        return 0 * mean * std


class UnguardedAtZero(ActionSpace):
    def __init__(self) -> None:
        super().__init__(event_ndims_in=1)

    def forward_and_log_det(self, x: Array) -> tuple[Array, Array]:
        r = jnp.sqrt(jnp.sum(x**2, axis=-1, keepdims=True))
        return x * (1 + 0 * r), 0 * r[..., 0]

    def inverse_and_log_det(self, y: Array) -> tuple[Array, Array]:
        return self.forward_and_log_det(y)


BROKEN: dict[str, tuple[Any, type[Exception], str]] = {
    "no bijector": (3, TypeError, r"is a distrax bijector or the name of one; got int"),
    "a bijector that no file keeps": (
        distrax.Block(distrax.Tanh(), 1),
        TypeError,
        r"Block: an action space is a .*ActionSpace; got a Bijector\. Subclass it",
    ),
    "another size": (Stretch([1.0, 2.0, 3.0]), ValueError, r"Stretch is for actions of 3 numbers; got .*size=2"),
    "a keyword that is not kept": (ForgetsItsKeyword(), NotImplementedError, r"got no attribute 'factor'\. Set self"),
    "a keyword left out": (HalfTheMetadata([2.0, 3.0]), ValueError, r"metadata: .* got \{\}\. Name every keyword"),
    "no JSON": (NoText(), TypeError, r"NoText\.metadata: it is made of numbers, strings and lists"),
    "a log-determinant for each": (OneLogDetForEach(), ValueError, r"has shape \(3,\); got shape \(3, 2\)\. Sum over"),
    "a wrong log-determinant": (
        WrongLogDet(),
        ValueError,
        r"forward_and_log_det: .*of the derivative; got .* 0\.1 off",
    ),
    "two log-determinants": (
        TwoLogDets([2.0, 3.0]),
        ValueError,
        r"forward_log_det_jacobian: it is that of forward_and_log_det",
    ),
    "a wrong inverse": (WrongInverse(), ValueError, r"the inverse of an action is what it came from"),
    "a wrong one of the inverse": (WrongInverseLogDet(), ValueError, r"its log-determinant is the negative"),
    "no expectation": (NoExpectation(), NotImplementedError, r"Define it to have the entropy"),
    "a wrong expectation": (WrongExpectation(), ValueError, r"it is the mean of the log-determinant"),
    "an expectation for each": (ExpectationOfEach(), ValueError, r"give \(2,\); got shape \(2, 2\)\. Sum"),
    "no derivative at 0": (UnguardedAtZero(), ValueError, r"got a gradient that is not finite at x=0\. Guard"),
}


@pytest.mark.parametrize(("space", "error", "words"), BROKEN.values(), ids=BROKEN.keys())
def test_what_breaks_it_is_named(space: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words) as raised:
        check_action_space(space, 2)
    assert str(raised.value).endswith(".")


def test_every_point_has_a_name_and_is_called_alone() -> None:
    checks = dict(action_space_checks(WrongInverse(), 2))
    assert list(checks) == ["map", "log_det", "inverse", "far_out", "expectation", "metadata"]
    for name, check in checks.items():
        if name == "inverse":
            with pytest.raises(ValueError, match="is what it came from"):
                check()
        else:
            check()
    # Where the shapes are wrong, every point says so.
    for _, check in action_space_checks(WrongInverse(), 3):
        with pytest.raises(ValueError, match="for actions of 2 numbers"):
            check()
    with pytest.raises(ValueError, match="size is a whole number from 1; got size=0"):
        action_space_checks(Stretch(), 0)


@pytest.mark.parametrize("model", ["SharedActorCritic", "ActorCritic", "PerParticle"])
def test_a_model_refuses_a_map_of_another_shape(model: str) -> None:
    sizes = {"observation_space_size": 4, "key": jax.random.key(0)}
    for space, size, words in (
        (Stretch(), 3, "of 2 numbers"),
        (OneLogDetForEach(), 2, "log-determinant"),
        (3, 2, "bijector"),
    ):
        with pytest.raises((TypeError, ValueError), match=words):
            ac.make_model(model, **sizes, action_space_size=size, action_space=space)
