"""Agent-steps per second of environments under random actions, against those of other packages.

Each peer runs in a process of its own, which takes turns with this one, and plays the task that is nearest to one of
ours, with as many particles and environments; its row says in what it differs.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import jax
from jax import Array

from benchmarks.rows import compared
from jaxdem_ac.bench.cases import Case
from jaxdem_ac.bench.measure import Side, one_line
from jaxdem_ac.bench.stages import build

# Peer, our nearest task, particles, environments.
SHORT = (
    ("jaxmarl", "swarm_navigator", 16, 64),
    ("vmas", "multi_navigator", 16, 64),
    ("gymnax", "multi_navigator", 1, 1024),
    ("brax", "multi_navigator", 1, 256),
    ("camar", "multi_navigator", 16, 64),
)
LONG = (
    *SHORT,
    ("jaxmarl", "swarm_navigator", 4, 256),
    ("jaxmarl", "swarm_navigator", 64, 16),
    ("vmas", "multi_navigator", 4, 256),
    ("vmas", "multi_navigator", 64, 16),
    ("camar", "multi_navigator", 64, 16),
    ("camar", "multi_navigator", 256, 4),
    ("camar", "multi_navigator", 1024, 1),
)
INSTALL = {"gymnax": 'pip install "gymnax<1"'}


class Peer:
    """A peer's process: a context."""

    def __init__(self, name: str, num_particles: int, num_envs: int, path: str | None = None) -> None:
        self.name, self.num_particles, self.num_envs = name, num_particles, num_envs
        root = str(Path(__file__).parents[1])
        kept = os.environ.get("PYTHONPATH")
        self._path = os.pathsep.join(part for part in (root, kept, path) if part)
        self.about: dict[str, Any] = {}

    def __enter__(self) -> Self:
        """Start it, and hear what it is."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.peer_process", self.name, str(self.num_particles), str(self.num_envs)],
            # Threads that wait for their next turn leave the cores to the other side.
            env={**os.environ, "PYTHONPATH": self._path, "OMP_WAIT_POLICY": "passive"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.about = self._answer()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        """End it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=60)

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise ChildProcessError(f"{self.name} ended with {self._process.wait()}")
        found: dict[str, Any] = json.loads(line)
        return found

    def ask(self, line: str) -> dict[str, Any]:
        """Send a line, and return what comes back.

        Raises
        ------
        ChildProcessError
            If the peer has failed.
        """
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        found = self._answer()
        if "failed" in found:
            raise ChildProcessError(found["failed"])
        return found

    def side(self) -> Side:
        """Return it as a side, whose calls it makes in its own process."""

        def call(key: Array) -> Any:
            return self.ask(str(int(jax.random.bits(key)) % 2**31))

        steps, physics_steps = self.about["steps"], self.about["physics_steps"]
        return Side(call, self.num_envs * steps, self.num_particles, physics_steps)


def run(short: bool = False, paths: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
    """Return the rows; of a peer that is not installed, one that says so."""
    rows = []
    for name, env, num_particles, num_envs in SHORT if short else LONG:
        about = {"suite": "peers", "stage": "environment", "env": env, "N": num_particles, "E": num_envs}
        try:
            with Peer(name, num_particles, num_envs, (paths or {}).get(name)) as peer:
                rows += _against(peer, about)
        except Exception as error:
            rows.append({**about, "name": name, "status": "failed", "error": one_line(error)})
    return rows


def _against(peer: Peer, about: dict[str, Any]) -> list[dict[str, Any]]:
    """Return our row and the peer's."""
    if "not_installed" in peer.about:
        install = INSTALL.get(peer.name, f"pip install {peer.name}")
        why = f"{peer.about['not_installed']}. Get it: {install}"
        return [{**about, "name": peer.name, "status": "not installed", "error": why}]
    if "failed" in peer.about:
        return [{**about, "name": peer.name, "status": "failed", "error": peer.about["failed"]}]
    case = Case(stage="environment", env=about["env"], num_particles=about["N"], num_envs=about["E"], model=None)
    ours = build("environment", case.config(), time.perf_counter)
    rows = compared({"jaxdem-ac": ours.side, peer.name: peer.side()}, **about)
    rows[0].update(compile_seconds=ours.compile_seconds, memory_bytes=ours.memory_bytes)
    said = {name: peer.about[name] for name in ("package", "task", "observation_size", "differs")}
    rows[1].update(said, **(peer.ask("") if rows[1]["status"] == "ok" else {}))
    return rows
