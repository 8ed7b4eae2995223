"""An exported policy gives the same actions, where this package is not installed."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import jaxdem_ac as ac
from jaxdem_ac.runs.build import initial_policy
from jaxdem_ac.runs.export import export_policy, load_exported
from jaxdem_ac.trainers.policy import Policy

ALONE = """
import sys

class Nothing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("jaxdem_ac", "flax", "distrax", "optax", "orbax"):
            raise ImportError(name)

sys.meta_path.insert(0, Nothing())
from pathlib import Path
import jax.export, numpy as np
policy = jax.export.deserialize(bytearray(Path(sys.argv[1]).read_bytes()))
arguments = [np.load(path) for path in sys.argv[3:]]
np.save(sys.argv[2], np.asarray(policy.call(*arguments)))
"""
WAYS: dict[str, dict[str, Any]] = {
    "shared": {"model": "SharedActorCritic", "ppo": ac.PPOConfig(normalize_observation=True)},
    "each its own": {"model": "PerParticle", "model_kw": {"sharing": "independent"}},
}


@pytest.mark.parametrize("sample", [False, True])
@pytest.mark.parametrize("way", WAYS)
def test_the_same_actions_with_jax_alone(way: str, sample: bool, tmp_path: Path) -> None:
    policy = initial_policy(ac.TrainConfig(env="multi_navigator", env_kw={"num_particles": 4}, **WAYS[way]))
    file = export_policy(policy, tmp_path / "policy.stablehlo", sample=sample)
    observation = np.random.default_rng(0).normal(size=(3, 4, policy.observation_size)).astype(np.float32)
    rows = observation if way == "each its own" else observation.reshape(12, -1)
    key = jax.random.key(7)
    arguments = [rows, np.asarray(jax.random.key_data(key))] if sample else [rows]
    paths = [tmp_path / f"{number}.npy" for number in range(len(arguments))]
    for path, argument in zip(paths, arguments, strict=True):
        np.save(path, argument)
    done = subprocess.run(
        [sys.executable, "-c", ALONE, str(file), str(tmp_path / "out.npy"), *map(str, paths)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    expected = policy(rows, key) if sample else policy(rows)
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), expected, atol=1e-6)
    assert [path.name for path in tmp_path.glob(".*")] == []


def test_a_flipped_bit_is_damage(tmp_path: Path) -> None:
    environment = ac.make_environment("multi_navigator", num_particles=2)
    model = ac.make_model(
        "SharedActorCritic", observation_space_size=environment.observation_size, action_space_size=2,
        key=jax.random.key(0), architecture=[4],
    )  # fmt: skip
    path = export_policy(Policy.of(model, environment), tmp_path / "policy")
    x = np.ones((3, environment.observation_size), np.float32)
    bare = jax.export.deserialize(bytearray(path.read_bytes()))
    np.testing.assert_array_equal(load_exported(path).call(x), bare.call(x))
    whole, generator = path.read_bytes(), np.random.default_rng(0)
    for at in [*generator.integers(len(whole), size=50), len(whole) - 1, len(whole) - 70]:
        data = bytearray(whole)
        data[at] ^= 1 << generator.integers(8)
        path.write_bytes(data)
        with pytest.raises(ValueError, match=r"load: '.*policy' ends with .* damaged"):
            load_exported(path)
    with pytest.raises(FileNotFoundError, match="an exported policy is a file"):
        load_exported(tmp_path / "none")
