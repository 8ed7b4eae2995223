"""Names of JaxDEM's own, where it is not there."""

import sys

import pytest

import jaxdem_ac as ac


def test_a_name_of_its_needs_jaxdem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jaxdem", None)
    monkeypatch.delitem(sys.modules, "jaxdem.rl", raising=False)
    with pytest.raises(ImportError, match=r"JaxDEM has to be importable.*Get it: pip install"):
        ac.make_model("jaxdem:LSTMActorCritic", observation_space_size=1, action_space_size=1, key=0)
