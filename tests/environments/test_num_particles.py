"""The same task for another number of particles: its density stays, its policies play in it."""

import json
import math
from pathlib import Path

import jax
import pytest
from click.testing import CliRunner

import jaxdem_ac as ac
from jaxdem_ac.cli import main
from jaxdem_ac.environments.base import Environment

LENGTHS = {
    "swarm_navigator": ("min_box_size", "max_box_size", "box_padding"),
    "collective_transport": ("arena_size", "box_padding"),
    "evacuation": ("room_size", "forecourt"),
    "active_brownian": ("box_size",),
    "swarm_roller": ("min_box_size", "max_box_size", "box_padding"),
}


@pytest.mark.parametrize("name", LENGTHS)
@pytest.mark.parametrize("number", [9, 100])
def test_density_stays(name: str, number: int) -> None:
    task = ac.make_environment(name)
    other = task.with_num_particles(number)
    assert other.num_particles == number
    for length in LENGTHS[name]:
        assert getattr(other, length) == pytest.approx(getattr(task, length) * math.sqrt(number / task.num_particles))
    assert (other.episode_length, other.observation_size) == (task.episode_length, task.observation_size)
    assert task.with_num_particles(task.num_particles) == task


def test_ranges_grow_at_both_ends() -> None:
    task = ac.make_environment("collective_transport", num_particles=16, arena_size=(14.0, 20.0))
    assert task.with_num_particles(64).arena_size == (28.0, 40.0)


@pytest.mark.parametrize("wrong", [0, -3, 2.5, True, "many"])
def test_a_number_that_is_none_is_one_error(wrong: object) -> None:
    with pytest.raises(ValueError, match=r"SwarmNavigator.with_num_particles: num_particles is a whole number from 1"):
        ac.make_environment("swarm_navigator").with_num_particles(wrong)


def test_species_are_not_guessed() -> None:
    task = ac.make_environment("swarm_navigator", num_particles=2, species=(0, 1))
    with pytest.raises(ValueError, match="species has a whole number for each particle"):
        task.with_num_particles(4)


def test_a_policy_plays_in_a_larger_swarm_from_the_shell(tmp_path: Path) -> None:
    numbers = ac.PPOConfig(num_envs=2, num_steps=4, num_minibatches=2, num_epochs=1)
    keywords = {"num_particles": 4, "max_steps": 150}
    out = str(tmp_path / "run")
    result = ac.train(ac.TrainConfig(env="multi_navigator", env_kw=keywords, steps=64, ppo=numbers, out=out))
    words = ["eval", out, "--num-particles", "9", "--episodes", "4", "--no-baseline"]
    said = json.loads(CliRunner().invoke(main, [*words, "--json"]).stdout)
    larger: Environment = result.environment.with_num_particles(9)
    expected = ac.evaluate(larger, ac.load_policy(out), jax.random.key(1_000), 4)
    assert said["after"]["reward"]["mean"] == pytest.approx(expected.reward.mean, rel=1e-6)
    assert "4 episodes of 9 particles" in CliRunner().invoke(main, words).stdout
