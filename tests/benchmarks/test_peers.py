"""Peers are asked in a process of their own; what they cannot is told, not hidden."""

import subprocess
import sys
from pathlib import Path

import jax
import pytest

from benchmarks import peers
from benchmarks.memory import peak_bytes
from benchmarks.peers import Peer

# What stands in for a package: as many seeds as it is asked for, and then an end.
STUB = """
import json, sys
from benchmarks import peer_process
def stub(num_particles, num_envs):
    print("noise that is no answer")
    seeds = []
    def call(seed):
        seeds.append(seed)
        assert len(set(seeds)) == len(seeds), "a seed came twice"
        if len(seeds) == 4: raise MemoryError("no room")
    return call, {"package": "stub 1", "task": "stub", "observation_size": 1, "differs": "it does nothing"}
peer_process.PEERS["stub"] = stub
peer_process.main()
"""


@pytest.fixture
def _stub(monkeypatch: pytest.MonkeyPatch) -> None:
    popen = subprocess.Popen

    def start(arguments: list[str], **settings: object) -> object:
        return popen([sys.executable, "-c", STUB, *arguments[3:]], **settings)

    monkeypatch.setattr(peers.subprocess, "Popen", start)


@pytest.mark.usefixtures("_stub")
def test_a_peer_answers_until_it_fails() -> None:
    with Peer("stub", 3, 5) as peer:
        assert peer.about["task"] == "stub"
        side = peer.side()
        assert (side.decisions, side.num_particles, side.physics_steps) == (5 * peer.about["steps"], 3, 1)
        for key in jax.random.split(jax.random.key(0), 3):
            side.call(key)
        # Its own, and not what it began with: this process, which has started it, holds all of jax.
        assert 2**20 < peer.ask("")["process_bytes"] < peak_bytes() / 2
        with pytest.raises(ChildProcessError, match="MemoryError: no room"):
            side.call(jax.random.key(1))


def test_a_peer_that_is_not_there_is_a_row(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # A package of that name that cannot be imported, installed or not.
    (tmp_path / "vmas.py").write_text("raise ImportError('no vmas here')")
    monkeypatch.setattr(peers, "SHORT", (("vmas", "multi_navigator", 4, 2), ("nobody", "multi_navigator", 4, 2)))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    one, other = peers.run(short=True)
    assert (one["name"], one["status"]) == ("vmas", "not installed")
    assert "pip install vmas" in one["error"]
    assert (other["name"], other["status"]) == ("nobody", "failed")
    assert "nobody" in other["error"]
