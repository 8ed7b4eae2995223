"""Several processes on loopback: the same run as in one, stopped together, and gone on with in any number of them."""

import json
import os
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import jaxdem_ac as ac
from jaxdem_ac.runs import distributed, evaluation
from jaxdem_ac.runs.distributed import choose_devices
from jaxdem_ac.runs.run_dir import read_config, read_metrics

UPDATES = 6
PPO = ac.PPOConfig(num_envs=4, num_steps=4, num_minibatches=2, num_epochs=1, learning_rate=1e-4)
FIGURES = ("reward", "policy_loss", "value_loss", "grad_norm", "entropy", "kl")
LIMIT = 240

# As `jaxdem-ac`, with a checkpoint at the second update and none by the clock; at the fourth it waits until that one is
# written, and for a signal.
SHELL = """
import math, sys, time
from jaxdem_ac import cli
from jaxdem_ac.runs import run_batch, train
append = run_batch.append_line
def append_and_wait(run_dir, metrics):
    append(run_dir, metrics)
    train.SECONDS_BETWEEN_CHECKPOINTS = -1.0 if metrics["update"] == 2 else math.inf
    if metrics["update"] == 4:
        while not any(folder.name in ("2", "3") for folder in (run_dir / "checkpoints").iterdir()):
            time.sleep(0.1)
    print("update", metrics["update"], flush=True)
    time.sleep(2.0 if metrics["update"] == 4 else 0.0)
run_batch.append_line = append_and_wait
cli.program()
"""

# From Python, as a user does it.
PYTHON = """
import json, sys
import jax, numpy as np
jax.distributed.initialize()
import jaxdem_ac as ac
reports = []
result = ac.train(ac.TrainConfig.from_dict(json.loads(sys.argv[1])), reports.append)
action = result.policy(np.ones((3, result.environment.observation_size), np.float32))
print(json.dumps({
    "metrics": result.metrics, "reports": len(reports), "action": np.asarray(action).tolist(),
    "devices": len(jax.devices()), "local": all(x.is_fully_addressable for x in jax.tree.leaves(result.policy)),
    "room": getattr(result.environment, "neighbor_room", None),
}))
"""


def configured(num_particles: int = 4, updates: int = UPDATES, **keywords: Any) -> ac.TrainConfig:
    return ac.TrainConfig(
        env="multi_navigator",
        env_kw={"num_particles": num_particles, "max_steps": 150, "neighbor_room": 0.3},
        model_kw={"architecture": [8]},
        steps=num_particles * 4 * 4 * updates,
        report_every=1,
        devices="all",
        ppo=PPO,
        **keywords,
    )


def arguments(config: ac.TrainConfig) -> list[str]:
    """Return a configuration as options of the shell."""
    values = config.to_dict()
    plain = {name: value for name, value in values.items() if isinstance(value, int | str)}
    deep = [(f"{name}.{key}", value) for name in ("env_kw", "model_kw", "ppo") for key, value in values[name].items()]
    return [
        *(text for name, value in plain.items() for text in (f"--{name.replace('_', '-')}", str(value))),
        *(text for name, value in deep for text in ("--set", f"{name}={json.dumps(value)}")),
    ]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def environ() -> dict[str, str]:
    """Environment variables of a process with one device."""
    return {**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": ""}


def start_python(config: ac.TrainConfig, environ: dict[str, str], code: str = PYTHON) -> list[subprocess.Popen[str]]:
    """Start two processes as SLURM does, by what it tells them."""
    slurm = {
        "SLURM_JOB_ID": "1",
        "SLURM_STEP_NODELIST": "localhost",
        "SLURM_NTASKS": "2",
        "JAX_COORDINATOR_PORT": str(free_port()),
    }
    return [
        subprocess.Popen(
            [sys.executable, "-c", code, json.dumps(config.to_dict())],
            env={**environ, **slurm, "SLURM_PROCID": str(number), "SLURM_LOCALID": str(number)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(2)
    ]


def start_shell(options: list[str], environ: dict[str, str]) -> list[subprocess.Popen[str]]:
    """Start `jaxdem-ac train` twice, each told where the other is."""
    where = ["--coordinator", f"127.0.0.1:{free_port()}", "--num-processes", "2", "--process-id"]
    return [
        subprocess.Popen(
            [sys.executable, "-c", SHELL, "train", *options, "--quiet", *where, str(number)],
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(2)
    ]


def finish(children: list[subprocess.Popen[str]], seconds: float = LIMIT) -> list[tuple[int, str, str]]:
    """Return exit code, output and errors of each, and leave none behind."""
    try:
        outputs = [child.communicate(timeout=seconds) for child in children]
    finally:
        for child in children:
            child.kill()
    return [(child.returncode, *output) for child, output in zip(children, outputs, strict=True)]


def signal_at_update_4(children: list[subprocess.Popen[str]], number: int, which: signal.Signals) -> None:
    assert children[0].stdout is not None
    for line in children[0].stdout:
        if line.strip() == "update 4":
            break
    else:
        pytest.fail(f"ended before: {children[0].communicate()[1][-2000:]}")
    children[number].send_signal(which)


def assert_same_losses(found: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    assert [line["update"] for line in found] == [line["update"] for line in expected]
    for one, other in zip(found, expected, strict=True):
        for name in FIGURES:
            assert one[name] == pytest.approx(other[name], rel=1e-5, abs=1e-7), name


@pytest.fixture(scope="module")
def whole() -> ac.TrainResult:
    """The run of one process."""
    return ac.train(configured())


def compare_with_one(config: ac.TrainConfig, one: ac.TrainResult, environ: dict[str, str]) -> list[dict[str, Any]]:
    """Train in two processes and compare with `one`; return what they say of themselves."""
    ends = finish(start_python(config, environ))
    assert [code for code, _, _ in ends] == [0, 0], ends[0][2][-2000:] + ends[1][2][-2000:]
    found = [json.loads(output.splitlines()[-1]) for _, output, _ in ends]
    for process in found:
        assert process["devices"] == 2
        assert process["local"], "a policy is of one process"
        assert_same_losses(process["metrics"], one.metrics)
    return found


def test_two_processes_learn_the_same_as_one(whole: ac.TrainResult, environ: dict[str, str], tmp_path: Path) -> None:
    run = tmp_path / "run"
    config = configured(out=str(run), log=["tensorboard"])
    found = compare_with_one(config, whole, environ)
    assert [process["reports"] for process in found] == [UPDATES, 0]
    # One of them writes.
    assert {path.name for path in run.iterdir()} == {"config.json", "metrics.jsonl", "checkpoints", "tensorboard"}
    assert len(list((run / "tensorboard").iterdir())) == 1
    assert read_metrics(run) == found[0]["metrics"]
    assert read_config(run) == replace(whole.config, out=str(run), log=["tensorboard"])
    action = ac.load_policy(run)(np.ones((3, whole.environment.observation_size), np.float32))
    for process in found:
        np.testing.assert_allclose(process["action"], action, rtol=1e-6)


@pytest.mark.slow
def test_when_one_dies_the_other_says_so_and_the_run_goes_on(
    whole: ac.TrainResult, environ: dict[str, str], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    children = start_shell(arguments(configured(out=str(run))), environ)
    signal_at_update_4(children, 1, signal.SIGKILL)
    (code, _, errors), (killed, _, _) = finish(children, 60)
    assert (code, killed) == (1, -signal.SIGKILL)
    said = [line for line in errors.splitlines() if line.startswith("error: ")]
    assert len(said) == 1, errors
    assert "has died or cannot be reached" in said[0]
    assert f"jaxdem-ac train --resume {run}" in said[0]
    assert [path.name for path in (run / "checkpoints").iterdir()] == ["2"]
    # In one process, on the one device that it has.
    assert_same_losses(ac.resume(run).metrics, whole.metrics)


@pytest.mark.slow
def test_a_signal_to_one_stops_both_with_a_checkpoint(
    whole: ac.TrainResult, environ: dict[str, str], tmp_path: Path
) -> None:
    """Nobody waits for the other; both go on with it again, and with what one process has kept."""
    run = tmp_path / "run"
    children = start_shell(arguments(configured(out=str(run))), environ)
    signal_at_update_4(children, 1, signal.SIGTERM)
    ends = finish(children, 60)
    assert [code for code, _, _ in ends] == [128 + signal.SIGTERM] * 2, ends[0][2][-2000:]
    # At the report that they were in, or at the next one.
    newest = max(int(path.name) for path in (run / "checkpoints").iterdir())
    assert newest in (4, 5)
    assert [line["update"] for line in read_metrics(run)] == list(range(1, newest + 1))
    ends = finish(start_shell(["--resume", str(run)], environ))
    assert [code for code, _, _ in ends] == [0, 0], ends[0][2][-2000:]
    assert_same_losses(read_metrics(run), whole.metrics)


@pytest.mark.slow
def test_what_one_process_has_kept_two_go_on_with(
    whole: ac.TrainResult, environ: dict[str, str], tmp_path: Path
) -> None:
    run = tmp_path / "run"

    def stop(metrics: dict[str, Any]) -> None:
        if metrics["update"] == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ac.train(configured(out=str(run)), stop)
    children = start_shell(["--resume", str(run)], environ)
    # The process that the others found each other by.
    signal_at_update_4(children, 0, signal.SIGKILL)
    (_, _, _), (code, _, errors) = finish(children, 150)
    assert code != 0
    assert "has died" in errors or "another task died" in errors
    assert_same_losses(ac.resume(run).metrics, whole.metrics)


@pytest.mark.slow
def test_lists_grow_in_all_processes_together(environ: dict[str, str]) -> None:
    config = configured(num_particles=60, updates=2)
    one = ac.train(config)
    found = compare_with_one(config, one, environ)
    assert [process["room"] for process in found] == [one.environment.neighbor_room] * 2
    assert one.environment.neighbor_room > 0.3


def test_options_of_one_process_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"got no num_processes, process_id\. Give all three"):
        distributed.connect("127.0.0.1:1")

    def find_nothing(*_: Any) -> None:
        raise ValueError("coordinator_address should be defined.")

    monkeypatch.setattr(jax.distributed, "initialize", find_nothing)
    with pytest.raises(ValueError, match=r"from a scheduler or from its arguments; got: .* Give coordinator="):
        distributed.connect()
    monkeypatch.setattr(jax, "devices", lambda: [object(), object()])
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    with pytest.raises(ValueError, match=r"got devices=1 for 2 processes with 2\. Pass devices='all'"):
        choose_devices(1, 4)
    assert len(choose_devices("all", 4)) == 2


def test_processes_that_differ_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    mine: list[np.ndarray] = []

    def gather(value: np.ndarray) -> np.ndarray:
        mine.append(value)
        return np.stack([mine[0], value])

    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr(distributed.multihost_utils, "process_allgather", gather)
    state = {"weights": np.ones(3), "key": jax.random.key(0)}
    distributed.check_alike(configured(), state)
    distributed.check_alike(configured(), state)
    with pytest.raises(ValueError, match="others than process 0's in process 1"):
        distributed.check_alike(configured(), {**state, "key": jax.random.key(1)})
    with pytest.raises(ValueError, match="others than process 0's in process 1"):
        distributed.check_alike(configured(seed=1), state)


def test_what_fails_in_process_0_fails_in_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise FileExistsError("there is a run")

    with pytest.raises(FileExistsError, match="there is a run"):
        distributed.in_first(fail)
    monkeypatch.setattr(jax, "process_index", lambda: 1)
    distributed.in_first(fail)
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr(distributed.multihost_utils, "process_allgather", lambda value: np.stack([value + 1, value]))
    with pytest.raises(OSError, match="got an error there"):
        distributed.in_first(fail)


def test_only_what_tells_of_another_process_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = RuntimeError("UNKNOWN: Gloo all-reduce failed: Connection closed by peer\nmore")
    with pytest.raises(RuntimeError, match="Gloo"), distributed.explaining(None):
        raise gone
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    said = pytest.raises(ConnectionAbortedError, match=r"Connection closed by peer\)\. Start it again\.")
    with said, distributed.explaining(None):
        raise gone
    with pytest.raises(RuntimeError, match="RESOURCE_EXHAUSTED"), distributed.explaining(None):
        raise RuntimeError("RESOURCE_EXHAUSTED: out of memory")


def test_the_shell_starts_no_backend_before_it_has_connected() -> None:
    code = "import jaxdem_ac.cli, jaxdem_ac.runs.train, jax; jax.config.update('jax_platforms', 'none'); print('none')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "none\n"


@pytest.mark.slow
def test_two_processes_go_back_as_one(environ: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By what the first one says: the second has seen the opposite. The checkpoint keeps what they go back to."""
    config, run = configured(eval_every=1, rollback=1), tmp_path / "run"

    def first(self: evaluation.Evaluator, policies: Any) -> list[dict[str, float]]:
        success = 0.9 - 0.2 * len(seen)
        seen.append(success)
        return [{f"eval_success{end}": success + by for end, by in (("", 0.0), ("_low", -0.05), ("_high", 0.05))}]

    seen: list[float] = []
    monkeypatch.setattr(evaluation.Evaluator, "__call__", first)
    one = ac.train(config)
    fallen = """
seen = []
def play(self, policies):
    success = 0.9 - 0.2 * len(seen) if jax.process_index() == 0 else 0.1 + 0.2 * len(seen)
    seen.append(success)
    return [{f"eval_success{end}": success + by for end, by in (("", 0.0), ("_low", -0.05), ("_high", 0.05))}]
from jaxdem_ac.runs import evaluation
evaluation.Evaluator.__call__ = play
"""
    code = PYTHON.replace("reports = []", f"{fallen}reports = []")
    ends = finish(start_python(replace(config, out=str(run)), environ, code))
    assert [code for code, _, _ in ends] == [0, 0], ends[0][2][-2000:] + ends[1][2][-2000:]
    found = [json.loads(output.splitlines()[-1]) for _, output, _ in ends]
    assert_same_losses(found[0]["metrics"], one.metrics)
    rejected = [line["rejected_success"] for line in one.metrics]
    assert rejected == [None, *seen[1:]]
    assert [line["rejected_success"] for line in read_metrics(run)] == rejected
    for process in found:
        np.testing.assert_allclose(
            process["action"], one.policy(np.ones((3, one.environment.observation_size), np.float32)), rtol=1e-5
        )
