"""Cases themselves: the cheapest are met, and are not met where the physics is another."""

import pytest

from jaxdem_ac import verify
from jaxdem_ac.dem.contact_law import ViscousCoulomb


@pytest.mark.parametrize(
    "name",
    [
        name if name == "rolling" else pytest.param(name, marks=pytest.mark.slow)
        for name, case in verify.CASES.items()
        if not case.is_long
    ],
)
def test_a_case_is_met(name: str) -> None:
    """The long ones are played by ``jaxdem-ac verify --long``."""
    (result,) = verify.run([name])
    assert result.error is None
    assert [check for check in result.checks if not check.passed] == []


def test_a_law_that_is_wrong_by_a_hundredth_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    right = ViscousCoulomb.tangential_coefficient
    monkeypatch.setattr(ViscousCoulomb, "tangential_coefficient", lambda *arguments: 1.01 * right(*arguments))
    (result,) = verify.run(["oblique"])
    assert not result.passed
