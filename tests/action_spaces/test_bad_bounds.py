"""What an action space says of parameters that make no map."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

import jaxdem_ac as ac

BAD: list[tuple[str, dict[str, Any], list[str]]] = [
    ("Box", {"x_min": 1.0, "x_max": 1.0}, ["x_max > x_min", "x_min=1.0", "x_max=1.0"]),
    ("Box", {"x_min": 2.0, "x_max": -1.0}, ["x_max > x_min", "x_min=2.0", "x_max=-1.0"]),
    ("Box", {"x_min": [0.0, 3.0], "x_max": [1.0, 2.0]}, ["x_max > x_min", "[0.0, 3.0]", "[1.0, 2.0]"]),
    ("Box", {"x_min": np.nan, "x_max": 1.0}, ["finite", "x_min=nan"]),
    ("Box", {"x_min": [0.0, 0.0], "x_max": [1.0, np.nan]}, ["finite", "x_max=[1.0, nan]"]),
    ("Box", {"x_min": -np.inf, "x_max": 1.0}, ["finite", "x_min=-inf", "Free"]),
    ("Box", {"x_min": 0.0, "x_max": np.inf}, ["finite", "x_max=inf", "Free"]),
    ("Box", {"x_min": [0.0, 0.0], "x_max": [1.0, 1.0, 1.0]}, ["(2,)", "(3,)"]),
    ("Box", {"x_min": [[0.0, 0.0]], "x_max": 1.0}, ["x_min", "(1, 2)"]),
    ("Box", {"x_min": 0.0, "x_max": []}, ["x_max", "(0,)"]),
    ("Box", {"x_min": 0.0, "x_max": 1.0, "width": 0.0}, ["width", "above 0", "width=0.0"]),
    ("Box", {"x_min": 0.0, "x_max": 1.0, "width": -2.0}, ["width", "above 0", "width=-2.0"]),
    ("Box", {"x_min": 0.0, "x_max": 1.0, "width": np.nan}, ["width", "finite", "nan"]),
    ("Box", {"x_min": 0.0, "x_max": 1.0, "width": [1.0, 2.0]}, ["width", "[1.0, 2.0]"]),
    ("Box", {"x_min": 0.0, "x_max": 1.0, "eps": 0.0}, ["0 < eps < 1", "eps=0.0"]),
    ("Box", {"x_min": 0.0, "x_max": 1.0, "eps": 1.0}, ["0 < eps < 1", "eps=1.0"]),
    ("Box", {"x_min": 0.0, "x_max": 1.0, "eps": -1e-6}, ["0 < eps < 1", "eps=-1e-06"]),
    ("MaxNorm", {"max_norm": 0.0}, ["max_norm", "above 0", "max_norm=0.0"]),
    ("MaxNorm", {"max_norm": -3.0}, ["max_norm", "above 0", "max_norm=-3.0"]),
    ("MaxNorm", {"max_norm": np.inf}, ["max_norm", "finite", "inf"]),
    ("MaxNorm", {"max_norm": np.nan}, ["max_norm", "finite", "nan"]),
    ("MaxNorm", {"max_norm": [1.0, 2.0]}, ["max_norm", "[1.0, 2.0]"]),
    ("MaxNorm", {"eps": np.nan}, ["0 < eps < 1", "eps=nan"]),
    ("MaxNorm", {"eps": 2.0}, ["0 < eps < 1", "eps=2.0"]),
]


@pytest.mark.parametrize(("name", "keywords", "words"), BAD)
def test_a_bad_value_is_named_with_its_rule(name: str, keywords: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(ValueError, match=rf"^{name}: ") as raised:
        ac.make_action_space(name, **keywords)
    for word in words:
        assert word in str(raised.value)
    assert "\n" not in str(raised.value)


def test_bounds_of_jax_are_checked_too() -> None:
    with pytest.raises(ValueError, match="x_max > x_min"):
        ac.make_action_space("Box", x_min=jnp.asarray([0.0, 1.0]), x_max=jnp.asarray([1.0, 0.0]))


@pytest.mark.parametrize("keywords", [{"x_min": "low", "x_max": 1.0}, {"x_min": 0.0, "x_max": None}])
def test_bounds_that_are_not_numbers_are_refused(keywords: dict[str, Any]) -> None:
    with pytest.raises((TypeError, ValueError)):
        ac.make_action_space("Box", **keywords)


@pytest.mark.parametrize(("name", "keywords"), [("MaxNorm", {"max_norm": "large"}), ("MaxNorm", {"eps": "small"})])
def test_parameters_that_are_not_numbers_are_named(name: str, keywords: dict[str, Any]) -> None:
    (parameter,) = keywords
    with pytest.raises((TypeError, ValueError), match=rf"{name}: {parameter}"):
        ac.make_action_space(name, **keywords)


def test_an_unknown_keyword_gets_the_nearest() -> None:
    with pytest.raises(TypeError, match=r"'xmin'.*Did you mean 'x_min'"):
        ac.make_action_space("Box", xmin=0.0, x_max=1.0)


def test_a_bound_left_out_is_named() -> None:
    with pytest.raises(TypeError, match="x_max"):
        ac.make_action_space("Box", x_min=0.0)
