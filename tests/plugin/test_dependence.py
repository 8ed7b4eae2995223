"""What a function looks at, read from its jaxpr."""

from typing import Any

import jax
import jax.numpy as jnp

from jaxdem_ac.plugin.jaxpr_analysis import depends_on, unchanged

STATE = {"clock": jnp.zeros((), int), "limit": jnp.ones((), int), "position": jnp.zeros(3)}


def looked_at(function: Any) -> set[str]:
    return {name for name, used in zip(sorted(STATE), depends_on(function, STATE), strict=True) if used}


def test_only_what_a_result_needs_is_looked_at() -> None:
    assert looked_at(lambda state: state["clock"] > state["limit"]) == {"clock", "limit"}
    assert looked_at(lambda state: jnp.zeros((), bool)) == set()
    assert looked_at(lambda state: state["position"]) == {"position"}


def test_it_sees_through_jit() -> None:
    @jax.jit
    def both(state: dict[str, jax.Array]) -> tuple[jax.Array, jax.Array]:
        return jax.jit(lambda clock, place: (clock > 1, place))(state["clock"], state["position"])

    assert looked_at(lambda state: both(state)[0]) == {"clock"}
    assert looked_at(lambda state: both(state)[1]) == {"position"}


def test_what_other_operations_take_counts_as_looked_at() -> None:
    def scanned(state: dict[str, jax.Array]) -> jax.Array:
        start = state["clock"], state["position"]
        return jax.lax.scan(lambda carry, _: ((carry[0] + 1, 2 * carry[1]), None), start, None, 2)[0][0]

    assert looked_at(scanned) == {"clock", "position"}


def test_what_is_handed_on_is_told_from_what_is_computed() -> None:
    @jax.jit
    def step(state: dict[str, jax.Array]) -> dict[str, jax.Array]:
        return {**state, "clock": state["clock"] + 1, "position": jax.jit(lambda x: x)(state["position"])}

    assert dict(zip(sorted(STATE), unchanged(step, STATE), strict=True)) == {
        "clock": False,
        "limit": True,
        "position": True,
    }
    swapped = unchanged(lambda pair: (pair[1], pair[0]), (jnp.zeros(()), jnp.ones(())))
    assert swapped == [False, False]
