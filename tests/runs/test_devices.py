"""Environments spread over several devices: the same run, to rounding."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import pytest

import jaxdem_ac as ac
from jaxdem_ac.runs.distributed import choose_devices

PROGRAM = """
import json, sys
import jax, numpy as np
import jaxdem_ac as ac

assert len(jax.devices()) == 8
from support.recurrent_models import Remembering
ac.registry.models.register("memory")(Remembering)
small = {"model_kw": {"architecture": [8]}} if sys.argv[3] == "SharedActorCritic" else {}
def run(devices, out=None):
    config = ac.TrainConfig(
        env="multi_navigator", env_kw={"num_particles": int(sys.argv[1]), "max_steps": 150, "neighbor_room": 0.3},
        model=sys.argv[3], **small, steps=int(sys.argv[1]) * 16 * 4 * 2, report_every=1, devices=devices, out=out,
        ppo=ac.PPOConfig(num_envs=16, num_steps=4, num_minibatches=2, num_epochs=2, learning_rate=1e-4),
    )
    return ac.train(config)
one, all_ = run(1), run("all", sys.argv[2])
leaf = all_.policy.model_state
spread = {len(x.sharding.device_set) for x in jax.tree.leaves(leaf)}
resumed = ac.resume(sys.argv[2], devices=2)
observation = np.ones((3, 22), np.float32)
def act(policy):
    return np.asarray(policy.step(observation, policy.initial_carry((3,)))[0])
print(json.dumps({
    "one": one.metrics, "all": all_.metrics, "devices": sorted(spread),
    "same": bool((act(resumed.policy) == act(all_.policy)).all()),
    "rooms": [one.environment.neighbor_room, all_.environment.neighbor_room],
}))
"""
RELATIVE = ("reward", "value_loss", "grad_norm", "entropy", "kl")


@pytest.mark.parametrize(
    ("num_particles", "model"),
    [
        (4, "SharedActorCritic"),
        pytest.param(4, "memory", marks=pytest.mark.slow),
        pytest.param(60, "SharedActorCritic", marks=pytest.mark.slow),
    ],
)
def test_eight_devices_learn_the_same_as_one(num_particles: int, model: str, tmp_path: Path) -> None:
    """Eight virtual ones, in a process of their own; a swarm of 60 has lists, which have to grow."""
    flags = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"
    path = os.pathsep.join([str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(num_particles), str(tmp_path / "run"), model],
        env={**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu", "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["devices"] == [8]
    assert found["same"], "a checkpoint of eight devices is one of two"
    assert found["rooms"][0] == found["rooms"][1]
    assert (found["rooms"][0] > 0.3) == (num_particles == 60)
    for one, other in zip(found["one"], found["all"], strict=True):
        for name in RELATIVE:
            assert other[name] == pytest.approx(one[name], rel=1e-5, abs=1e-7), name


def test_what_cannot_be_shared_evenly_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"JAX sees \d+"):
        choose_devices(1000, 1000)
    monkeypatch.setattr(jax, "devices", lambda: [object(), object()])
    with pytest.raises(ValueError, match=r"ppo\.num_envs to a multiple of 2"):
        choose_devices("all", 3)
    with pytest.raises(ValueError, match="devices is a whole number from 1, or 'all'"):
        ac.TrainConfig(devices=0)
