"""The examples, run as a user would run them."""

import importlib.util
import json
import re
from pathlib import Path

import pytest
from support.example_programs import PLUGIN, ROOT, plugin, run

__all__ = ["plugin"]


@pytest.mark.slow
def test_train_a_swarm(tmp_path: Path) -> None:
    output = run([str(ROOT / "examples/01_train_a_swarm.py"), "--steps", "40000"], tmp_path)
    assert "after one decision: (16, 50) (16,)" in output
    assert re.search(r"targets covered at the end of an episode: 0\.\d{3} \[", output)


needs_jaxdem = pytest.mark.skipif(importlib.util.find_spec("jaxdem") is None, reason="JaxDEM is not installed")


@pytest.mark.slow
@needs_jaxdem
def test_models_by_name_in_jaxdem(tmp_path: Path) -> None:
    output = run([str(ROOT / "examples/02_models_by_name_in_jaxdem.py"), "--epochs", "2"], tmp_path)
    assert "trained SharedActorCritic in JaxDEM's PPO; action space MaxNorm" in output


@pytest.mark.slow
@needs_jaxdem
def test_our_environment_in_jaxdem(tmp_path: Path) -> None:
    output = run([str(ROOT / "examples/03_our_environment_in_jaxdem.py"), "--epochs", "2"], tmp_path)
    assert "positions (16, 2) in a box of [40. 40.]" in output
    assert re.search(r"targets covered: \d\.\d{3} after 1600 steps", output)


@pytest.mark.slow
@needs_jaxdem
def test_jaxdems_environment_in_our_trainer(tmp_path: Path) -> None:
    output = run([str(ROOT / "examples/04_jaxdems_environment_in_our_trainer.py"), "--steps", "20000"], tmp_path)
    assert "ends by its clock alone: True after 51 decisions" in output
    assert re.search(r"at target: \d\.\d{3} \[", output)


@pytest.mark.slow
@needs_jaxdem
def test_replay_in_jaxdem(tmp_path: Path) -> None:
    options = ["--steps", "20000", "--episodes", "4"]
    output = run([str(ROOT / "examples/07_replay_in_jaxdem.py"), *options], tmp_path)
    first, last = re.search(r"after 20 decisions: (\S+) (\S+)", output).groups()  # type: ignore[union-attr]
    assert float(first) < 1e-5
    assert float(last) < 1e-2
    assert output.count("at target") == 3
    assert "JaxDEM's State of the last frame: 8 discs at time 2.0" in output
    assert "batch_00000000_spheres.pvd" in output


@pytest.mark.slow
def test_policies_per_particle(tmp_path: Path) -> None:
    output = run([str(ROOT / "examples/05_policies_per_particle.py"), "--steps", "20000"], tmp_path)
    assert re.search(r"goals reached: 0\.\d{3} \[", output)
    assert re.search(r"light: -?\d+% of the push, at the load \d+% of the time", output)
    assert (tmp_path / "two_species.png").stat().st_size > 10_000


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("stable_baselines3") is None, reason="Stable-Baselines3, and PyTorch, are not installed"
)
def test_public_ppo(tmp_path: Path) -> None:
    output = run([str(ROOT / "examples/08_public_ppo.py"), "--steps", "100000"], tmp_path)
    before, after = re.search(r"at target: (\S+) before, (\S+) after 102,400 steps", output).groups()  # type: ignore[union-attr]
    assert float(before) < 0.1
    assert float(after) > 0.25


@pytest.mark.slow
def test_code_of_the_page_on_other_trainers(tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs/other_trainers.md").read_text(), flags=re.DOTALL)
    checks = """
assert observations.shape == (64, 22)
assert infos["_episode"].all()
assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 1
assert gymnasium.make("MultiNavigator-v0", num_particles=3).reset(seed=0)[0].shape == (66,)
"""
    script = tmp_path / "page.py"
    script.write_text("\n".join([*blocks, checks]))
    run([str(script)], tmp_path)


@pytest.mark.slow
def test_third_party_plugin(plugin: Path, tmp_path: Path) -> None:
    script = str(ROOT / "examples/06_third_party_plugin.py")
    output = run([script, "--steps", "20000", "--out", str(tmp_path / "light")], tmp_path, plugin)
    assert re.search(r"^environments: .*phototaxis \(swarm-light\)", output, re.MULTILINE)
    assert re.search(r"^action spaces: .*PolarThrust \(swarm-light\)", output, re.MULTILINE)
    # Even over the disc, the share that is slower than v is v**2.
    assert "slower than 0.25, 0.5, 0.75 and 1: 0.06 0.25 0.56 1.00" in output
    assert re.search(r"on the trained swarm: 0\.\d{3} \[.*\] 0\.\d{3} \[", output)
    assert (tmp_path / "light/episode.gif").read_bytes()[:6] in (b"GIF87a", b"GIF89a")


@pytest.mark.slow
def test_a_plugin_on_the_command_line(plugin: Path, tmp_path: Path) -> None:
    def call(*arguments: str) -> str:
        return run(["-m", "jaxdem_ac.cli", *arguments], tmp_path, plugin)

    listed = {(row["kind"], row["name"]): row["origin"] for row in json.loads(call("list", "--json"))}
    assert listed["environment", "phototaxis"] == listed["action space", "PolarThrust"] == "swarm-light"
    chosen = ["--env", "phototaxis", "--action-space", "PolarThrust", "--set", "action_space_kw.max_speed=0.5"]
    small = ["--set", "ppo.num_envs=4", "--set", "ppo.entropy_coef=1e-3", "--steps", "5000"]
    last = json.loads(call("train", *chosen, *small, "--out", "light", "--json"))
    assert last["update"] == 4
    # The disc of radius 0.5 has an area of 0.785: a policy that is not the uniform one has less.
    assert -1.0 < last["entropy"] < -0.242
    stored = json.loads((tmp_path / "light/config.json").read_text())["config"]
    assert (stored["env"], stored["action_space"]) == ("phototaxis", "PolarThrust")
    assert 0 <= json.loads(call("eval", "light", "--episodes", "4", "--json"))["after"]["success"]["mean"] <= 1
    assert "No such" not in call("doctor")


@pytest.mark.slow
def test_the_tests_of_the_plugin(plugin: Path, tmp_path: Path) -> None:
    run(["-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(PLUGIN), str(PLUGIN)], tmp_path, plugin)


@pytest.mark.slow
@pytest.mark.jaxdem
@pytest.mark.skipif(importlib.util.find_spec("jaxdem") is None, reason="JaxDEM is not installed")
def test_a_plugin_in_jaxdem(plugin: Path, tmp_path: Path) -> None:
    program = """
import jaxdem_ac, jaxdem.rl as rl
from flax import nnx
space = rl.ActionSpace.create("PolarThrust", max_speed=3.0)
env = rl.Environment.create("multi_navigator", N=4)
sizes = {"observation_space_size": env.observation_space_size, "action_space_size": env.action_space_size}
model = rl.Model.create("ac.ActorCritic", **sizes, key=nnx.Rngs(0), action_space=space)
trainer = rl.Trainer.create("PPO", env=env, model=model, num_envs=4, num_steps_epoch=8, num_epochs=1)
trainer = trainer.train(trainer, verbose=False, log=False)
trained, *_ = nnx.merge(trainer.graphdef, trainer.graphstate)
print(isinstance(space, rl.ActionSpace), trained.metadata["action_space_type"], trained.metadata["action_space_kws"])
"""
    assert run(["-c", program], tmp_path, plugin).split("\n")[-2] == "True ac.polarthrust {'max_speed': 3.0}"
