"""Verdicts on cases: failed where numbers differ, where there is none, and where a case breaks."""

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.command_line import assert_one_line, call

from jaxdem_ac import verify
from jaxdem_ac.verify import Case, Check, Outcome, cases
from jaxdem_ac.verify.case import worst


def check(measured: float, bound: Any = "equal", tolerance: float = 0.1) -> Check:
    return Check("a number", measured, 1.0, tolerance, "by hand", bound)


@pytest.mark.parametrize(
    ("measured", "bound", "passed"),
    [
        (1.05, "equal", True),
        (0.95, "equal", True),
        (1.15, "equal", False),
        (0.85, "equal", False),
        (5.0, "at least", True),
        (0.85, "at least", False),
        (-5.0, "at most", True),
        (1.15, "at most", False),
        *(
            (value, bound, False)
            for value in (math.nan, math.inf, -math.inf)
            for bound in ("equal", "at least", "at most")
        ),
    ],
)
def test_a_check_fails_where_it_should(measured: float, bound: str, passed: bool) -> None:
    assert check(measured, bound).passed is passed


def test_the_worst_of_several_checks() -> None:
    found = worst("speed", ["a", "b", "c"], [1.0, 1.2, 0.5], 1.0, [1.0, 0.1, 1.0], "by hand")
    assert (found.name, found.measured, found.passed) == ("speed: b, the worst of 3", 1.2, False)
    assert worst("speed", ["a", "b"], [1.2, 0.5], 1.0, 0.1, "by hand", "at least").measured == 0.5
    assert worst("speed", ["a", "b"], [1.2, 0.5], 1.0, 0.1, "by hand", "at most").measured == 1.2
    assert not worst("speed", ["a", "b", "c"], [1.0, math.nan, 9.0], 1.0, 0.1, "by hand").passed


def good() -> Outcome:
    assert jnp.zeros(()).dtype == jnp.float64
    return Outcome((check(1.0), check(np.float64(1.0))), {"x": np.arange(3.0), "y": [math.nan, 1, "text"]})


def bad() -> Outcome:
    return Outcome((check(1.0), check(2.0)))


def broken() -> Outcome:
    raise FloatingPointError("a particle\nleft the box")


def draw(figure: Any, data: Any) -> None:
    figure.subplots().plot(data["x"])


TOYS = {
    case.name: case
    for case in (
        Case("good", "One with one.", good, draw),
        Case("bad", "One with two.", bad),
        Case("broken", "Nothing.", broken),
        Case("empty", "Nothing at all.", lambda: Outcome(())),
        Case("long", "One with one, slowly.", good, is_long=True),
    )
}


def test_verdicts_and_precision() -> None:
    before = jax.config.jax_enable_x64
    results = {result.case.name: result for result in verify.run(cases=TOYS)}
    assert jax.config.jax_enable_x64 == before
    assert [name for name, result in results.items() if result.passed] == ["good"]
    assert list(results) == ["good", "bad", "broken", "empty"]
    assert results["broken"].error == "FloatingPointError: a particle left the box"
    single = replace(TOYS["good"], float64=False)
    with jax.enable_x64(False):
        assert "AssertionError" in str(verify.run(cases={"good": single})[0].error)
    assert [case.name for case in verify.select((), True, TOYS)] == list(TOYS)
    assert [case.name for case in verify.select(["long", "bad", "long"], cases=TOYS)] == ["long", "bad"]
    with pytest.raises(KeyError, match=r"Did you mean 'good'\? Choose one of: bad, broken, empty, good, long"):
        verify.run(["goods"], cases=TOYS)


def test_figures_are_written_whole(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    result, _ = verify.run(["good", "bad"], figures=tmp_path / "new", cases=TOYS)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["verify_good.png"]
    assert result.figure is not None
    assert result.figure.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(OSError, match="has to be writable"):
        verify.run(["good"], figures=tmp_path / "new/verify_good.png", cases=TOYS)


@pytest.fixture
def toys() -> Iterator[None]:
    """Have the command know other cases."""
    known = dict(cases.CASES)
    cases.CASES.clear()
    cases.CASES.update(TOYS)
    yield
    cases.CASES.clear()
    cases.CASES.update(known)


def test_the_command(toys: None, tmp_path: Path) -> None:
    right = call("verify", "good")
    assert right.exit_code == 0, right.output
    assert "good: passed" in right.stdout
    assert "1 of 1 cases passed." in right.stdout
    wrong = call("verify")
    assert wrong.exit_code == 1
    assert "FAILED  a number  2          =  1          +- 0.1" in wrong.stdout
    assert "error  FloatingPointError: a particle left the box" in wrong.stdout
    assert "1 of 4 cases passed; failed: bad, broken, empty." in wrong.stdout
    numbers = call("verify", "good", "bad", "--json")
    assert numbers.exit_code == 1
    found = json.loads(numbers.stdout)
    assert not found["passed"]
    assert [case["passed"] for case in found["cases"]] == [True, False]
    assert found["cases"][0]["data"] == {"x": [0.0, 1.0, 2.0], "y": [None, 1, "text"]}
    assert found["cases"][1]["checks"][1]["measured"] == 2.0
    assert_one_line(call("verify", "goood"), "Did you mean 'good'", "bad, broken, empty, good, long")
    (tmp_path / "file").touch()
    assert_one_line(call("verify", "good", "--figure", tmp_path / "file"), "file")


def test_every_case_is_named_and_described() -> None:
    for name, case in cases.CASES.items():
        assert case.name == name == name.lower()
        assert case.compares.endswith(".")
