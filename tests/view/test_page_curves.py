"""Curves: round numbers on their axes, every report in the table, and nothing that is no number."""

import json
import math
import re
from html import unescape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxdem_ac.view.report.curves import MOST, _ticks, curves_section, written


@given(st.floats(-1e9, 1e9), st.floats(1e-6, 1e9))
def test_axes_have_a_few_round_numbers(low: float, span: float) -> None:
    high = low + span
    if high - low < 1e-9 * abs(low):
        return
    ticks = _ticks(low, high)
    assert 2 <= len(ticks) <= 6
    slack = 1e-6 * (high - low)
    assert all(low - slack <= tick <= high + slack for tick in ticks)
    step = ticks[1] - ticks[0]
    mantissa = step / 10 ** math.floor(math.log10(step) + 1e-9)
    assert min(abs(mantissa - round_one) for round_one in (1, 2, 2.5, 5, 10)) < 1e-3


def test_points_lie_where_their_numbers_are() -> None:
    section = curves_section([{"steps": 1_000_000, "final_success": 0.0}, {"steps": 2_000_000, "final_success": 1.0}])
    (data,) = re.findall(r'data-points="([^"]*)"', section)
    (x0, y0, steps, value), (x1, y1, _, _) = json.loads(unescape(data))
    assert (steps, value) == ("1,000,000", "0")
    # The axes of the figure: x from 52 to 328, y from 162 up to 10.
    assert (x0, y0, x1, y1) == (190.0, 162.0, 328.0, 10.0)
    assert 'points="190.0,162.0 328.0,10.0"' in section
    assert "last 1, range 0 to 1" in section


def test_reports_without_a_number_are_left_out_of_its_curve() -> None:
    lines = [{"steps": 1, "reward": 0.5, "kl": math.nan}, {"steps": 2, "reward": None, "kl": "?"}, {"steps": 3}]
    section = curves_section(lines)
    assert section.count("<figure") == 1
    assert section.count("<tr>") == 1 + len(lines)
    assert "nan" not in section.lower()
    assert curves_section([]) == ""


def test_very_many_reports_are_thinned_and_that_is_said() -> None:
    section = curves_section([{"steps": 10 * number, "reward": float(number)} for number in range(1, 1_001)])
    assert section.count('<th scope="row">') == MOST
    assert "300 of 1000 reports" in section
    assert "<td>1</td>" in section
    assert "<td>1,000</td>" in section


@pytest.mark.parametrize(
    ("number", "text"), [(0.123456, "0.1235"), (12_345.6, "12,346"), (-2, "-2"), (1e-9, "1e-09"), (1e20, "1e+20")]
)
def test_numbers_are_written_for_people(number: float, text: str) -> None:
    assert written(number) == text
