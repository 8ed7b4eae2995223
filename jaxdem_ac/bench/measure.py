"""Timing of compiled calls: warm, waited for, on inputs that change, several candidates in turns."""

import gc
import math
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import jax
from jax import Array

from jaxdem_ac._types import Json, PyTree

REPEATS = 7
# Fewer have no quartiles.
LEAST_REPEATS = 3
# A timing of less than this is made of several calls.
LEAST_SECONDS = 0.1
MOST_CALLS = 64

Clock = Callable[[], float]
Tree = TypeVar("Tree")


@dataclass(frozen=True)
class Side:
    """One of those that are compared: what a call is, and how much it does."""

    call: Callable[[Array], PyTree]
    """Function from a random key to all that is waited for; a call goes on from where the last one ended."""
    decisions: float
    """Decisions of all environments in one call."""
    num_particles: int = 1
    """N: agent-steps are decisions times particles."""
    physics_steps: float | None = 1
    """Steps of the engine in one decision; None where no physics are done."""
    verify: Callable[[PyTree], str | None] = lambda output: None
    """Function from the result of a call to a sentence about what is wrong with it, or None."""


@dataclass(frozen=True)
class Timing:
    """The times of one candidate."""

    seconds: tuple[float, ...]
    """Seconds of one call, once for each repeat; in the order of the other sides' repeats."""
    first_call: float
    """Seconds of the very first call, with trace and compilation, unless these have been done before."""


def measure(
    sides: Mapping[str, Side],
    repeats: int = REPEATS,
    least_seconds: float = LEAST_SECONDS,
    clock: Clock = time.perf_counter,
) -> dict[str, Timing | str]:
    """Return the timing of every side, or in one line why it has none.

    Sides take turns, A B A B, so that a machine that drifts moves them all. Each call gets a random key that it has not
    seen, and ends once all that it returns is there. A side that fails leaves its place to the others.

    Parameters
    ----------
    sides : mapping of str to Side
    repeats : int
        Timings of each side, after two calls that do not count; ValueError if they are too few for quartiles.
    least_seconds : float
        Of one timing: shorter calls are made several times in it.
    clock : callable
        Seconds, from any beginning.
    """
    check_repeats(repeats)
    turns = {name: _Turns(side, clock) for name, side in sides.items()}
    for each in turns.values():
        each.attempt(partial(each.warm_up, least_seconds))
    with _old_objects_set_aside():
        for repeat in range(repeats):
            for each in turns.values():
                each.attempt(partial(each.take, repeat))
    for each in turns.values():
        each.attempt(each.verify)
    return {
        name: each.error if each.error is not None else Timing(tuple(each.seconds), each.first_call)
        for name, each in turns.items()
    }


@contextmanager
def _old_objects_set_aside() -> Iterator[None]:
    """Collect garbage, and keep what is left out of later collections, of which each would take half a second."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def check_repeats(repeats: int) -> None:
    """Raise ValueError if there are too few repeats for quartiles."""
    if repeats < LEAST_REPEATS:
        raise ValueError(
            f"bench: at least {LEAST_REPEATS} repeats have quartiles; got repeats={repeats}. Ask for more of them."
        )


class _Turns:
    """The calls of one side."""

    def __init__(self, side: Side, clock: Clock) -> None:
        self.side, self.clock = side, clock
        self.seconds: list[float] = []
        self.first_call = math.nan
        self.calls = 1
        self.error: str | None = None
        self.last: PyTree = None

    def attempt(self, part: Callable[[], None]) -> None:
        """Do a part, unless an earlier one has failed."""
        if self.error is None:
            try:
                part()
            except Exception as error:
                self.error = one_line(error)

    def warm_up(self, least_seconds: float) -> None:
        """Call twice, and find out how many calls make a timing."""
        keys = self._keys(0, 2)
        self.first_call = self._timed(keys[:1])
        seconds = self._timed(keys[1:])
        self.calls = max(1, min(MOST_CALLS, math.ceil(least_seconds / max(seconds, 1e-9))))

    def take(self, repeat: int) -> None:
        """Take one timing."""
        self.last = None
        gc.collect()
        self.seconds.append(self._timed(self._keys(1 + repeat, self.calls)) / self.calls)

    def verify(self) -> None:
        """Raise unless the last call returned what it should."""
        wrong = self.side.verify(self.last)
        self.last = None
        if wrong is not None:
            raise ArithmeticError(wrong)

    def _keys(self, number: int, calls: int) -> list[Array]:
        keys = jax.random.split(jax.random.key(number), calls)
        return wait([keys[index] for index in range(calls)])

    def _timed(self, keys: Sequence[Array]) -> float:
        began = self.clock()
        for key in keys:
            self.last = wait(self.side.call(key))
        return self.clock() - began


def wait(tree: Tree) -> Tree:
    """Return a pytree of arrays, once they are there."""
    ready: Tree = jax.block_until_ready(tree)  # type: ignore[no-untyped-call]
    return ready


def one_line(error: BaseException) -> str:
    """Return an error in one line, the end of a long one left out."""
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return text if len(text) <= 300 else f"{text[:300]} ..."


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """Return lower quartile, median and upper quartile."""
    low, middle, high = statistics.quantiles(values, n=4)
    return low, middle, high


def units_per_second(side: Side, seconds: float) -> dict[str, float | None]:
    """Return the three units per second, of calls that take that long: physics steps, decisions, agent-steps."""
    decisions = side.decisions / seconds
    return {
        "physics_steps_per_second": None if side.physics_steps is None else side.physics_steps * decisions,
        "decisions_per_second": decisions,
        "agent_steps_per_second": decisions * side.num_particles,
    }


def as_row(side: Side, timing: Timing | str, **about: Json) -> dict[str, Json]:
    """Return a row of a report, as JSON: what it is about, and what was found or why nothing was."""
    if isinstance(timing, str):
        return {**about, "status": "failed", "error": timing}
    low, middle, high = quartiles(timing.seconds)
    return {
        **about,
        "status": "ok",
        **units_per_second(side, middle),
        "agent_steps_quartiles": [units_per_second(side, each)["agent_steps_per_second"] for each in (high, low)],
        "seconds": list(timing.seconds),
        "first_call_seconds": timing.first_call,
    }


def ratio(side: Side, timing: Timing, other: Side, its_timing: Timing) -> tuple[float, float, float]:
    """Return quartiles of the ratio of agent-steps per second, to those of another side, pair by pair in time."""
    work = side.decisions * side.num_particles / (other.decisions * other.num_particles)
    return quartiles([work * b / a for a, b in zip(timing.seconds, its_timing.seconds, strict=True)])
