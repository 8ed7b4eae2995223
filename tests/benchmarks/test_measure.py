"""The harness: turns, keys, waiting, failures and units, with a clock that is told the time."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest

from jaxdem_ac.bench.measure import Side, Timing, as_row, measure, ratio, units_per_second


class Told:
    """A clock that goes on only when a call says so, and what was called."""

    def __init__(self) -> None:
        self.now = 0.0
        self.calls: list[str] = []
        self.keys: dict[str, list[bytes]] = {}
        self.waited = 0

    def __call__(self) -> float:
        return self.now

    def side(self, name: str, seconds: Callable[[int], float], **about: Any) -> Side:
        """Return a side whose n-th call takes so long."""
        keys = self.keys.setdefault(name, [])

        def call(key: jax.Array) -> Any:
            self.calls.append(name)
            keys.append(np.asarray(jax.random.key_data(key)).tobytes())
            self.now += seconds(len(keys))
            return [Answer(self)]

        return Side(call, **{"decisions": 10, **about})


class Answer:
    """An array of a kind, that knows whether somebody has waited for it."""

    def __init__(self, clock: Told) -> None:
        self.clock = clock

    def block_until_ready(self) -> "Answer":
        self.clock.waited += 1
        return self


def test_sides_take_turns_and_ratios_are_of_neighbours() -> None:
    clock = Told()
    # The machine gets slower and slower, for both alike.
    sides = {"a": clock.side("a", lambda call: 1.0 + call), "b": clock.side("b", lambda call: 2.0 * (1 + call))}
    found = measure(sides, repeats=5, clock=clock)
    assert clock.calls == ["a", "a", "b", "b", *["a", "b"] * 5]
    one, other = found["a"], found["b"]
    assert isinstance(one, Timing)
    assert isinstance(other, Timing)
    assert one.seconds == (4.0, 5.0, 6.0, 7.0, 8.0)
    assert one.first_call == 2.0
    assert ratio(sides["a"], one, sides["b"], other) == (2.0, 2.0, 2.0)


def test_every_call_has_a_key_of_its_own_and_is_waited_for() -> None:
    clock = Told()
    measure({"a": clock.side("a", lambda _: 0.04)}, repeats=3, least_seconds=0.1, clock=clock)
    # Two to warm up, and three timings of three calls each.
    assert len(clock.keys["a"]) == 2 + 3 * 3
    assert len(set(clock.keys["a"])) == len(clock.keys["a"])
    assert clock.waited == len(clock.keys["a"])


def test_a_timing_of_several_calls_is_that_of_one() -> None:
    clock = Told()
    found = measure({"a": clock.side("a", lambda _: 0.04)}, repeats=3, least_seconds=0.1, clock=clock)
    assert found["a"].seconds == pytest.approx((0.04,) * 3)


def test_a_side_that_fails_leaves_the_others_alone() -> None:
    clock = Told()

    def fails(call: int) -> float:
        if call == 4:
            raise MemoryError("no room\nfor more")
        return 1.0

    found = measure({"bad": clock.side("bad", fails), "good": clock.side("good", lambda _: 1.0)}, 5, clock=clock)
    assert found["bad"] == "MemoryError: no room for more"
    assert found["good"].seconds == (1.0,) * 5
    assert clock.calls.count("bad") == 4


def test_what_was_computed_has_to_be_right() -> None:
    clock = Told()
    side = clock.side("a", lambda _: 1.0, verify=lambda output: None if output is None else "it is wrong")
    assert measure({"a": side}, 3, clock=clock)["a"] == "ArithmeticError: it is wrong"


def test_three_units_are_told_apart() -> None:
    # 4 environments of 8 particles, 5 decisions of 10 physics steps, in half a second.
    side = Side(lambda key: key, decisions=20, num_particles=8, physics_steps=10)
    assert units_per_second(side, 0.5) == {
        "physics_steps_per_second": 400.0,
        "decisions_per_second": 40.0,
        "agent_steps_per_second": 320.0,
    }
    without = Side(lambda key: key, decisions=20, num_particles=8, physics_steps=None)
    assert units_per_second(without, 0.5)["physics_steps_per_second"] is None


def test_a_row_says_what_was_found_or_why_nothing_was() -> None:
    side = Side(lambda key: key, decisions=6, num_particles=2)
    row = as_row(side, Timing((1.0, 2.0, 3.0, 4.0, 5.0), 9.0), name="x")
    assert (row["name"], row["status"]) == ("x", "ok")
    assert row["agent_steps_per_second"] == 12 / 3
    assert row["agent_steps_quartiles"] == [12 / 4.5, 12 / 1.5]
    assert as_row(side, "it broke", name="x") == {"name": "x", "status": "failed", "error": "it broke"}


def test_quartiles_need_three() -> None:
    with pytest.raises(ValueError, match="at least 3 repeats have quartiles; got repeats=2"):
        measure({}, repeats=2)
