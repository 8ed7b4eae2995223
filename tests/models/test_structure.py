"""Structures of models that can be hashed, whoever has written the model."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxdem_ac.models.structure import split_model


class Listed(nnx.Module):
    def __init__(self, setting: Any) -> None:
        self.setting = setting
        self.part = nnx.Linear(2, 3, rngs=nnx.Rngs(0))

    def __call__(self, x: Any) -> Any:
        return len(self.setting) * self.part(x)


def test_a_list_among_the_settings_is_a_tuple_in_the_structure() -> None:
    model = Listed([8, [4, 2]])
    graphdef, state = split_model(model)
    assert hash(graphdef) == hash(split_model(Listed([8, [4, 2]]))[0])
    assert graphdef != split_model(Listed([8, 4]))[0]
    merged = nnx.merge(graphdef, state)
    assert merged.setting == (8, (4, 2))
    assert model.setting == [8, [4, 2]]
    np.testing.assert_array_equal(merged(jnp.ones((1, 2))), model(jnp.ones((1, 2))))


def test_what_cannot_be_hashed_is_refused() -> None:
    with pytest.raises(TypeError, match="Listed: what a model keeps besides arrays can be hashed"):
        split_model(Listed({"a": {1, 2}}))
