"""Checkpoints on disks that fail, and in files that are not as they were written: one error, and nothing printed."""

import gc
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxdem_ac as ac
from jaxdem_ac.runs import build, checkpoint
from jaxdem_ac.runs.digest import check_digests, digest_of, digests_of
from jaxdem_ac.runs.run_dir import config_text

CONFIG = ac.TrainConfig(
    env="multi_navigator",
    env_kw={"num_particles": 2},
    model_kw={"architecture": [4]},
    ppo=ac.PPOConfig(normalize_observation=True),
)
LEARNER = {"a": jnp.arange(40_000.0), "b": jnp.ones((3, 2), jnp.int32)}


@pytest.fixture(scope="module")
def policy() -> Any:
    return build.initial_policy(CONFIG)


def write(folder: Path, policy: Any, numbers: tuple[int, ...] = (1,)) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(config_text(CONFIG))
    with checkpoint.Writer(folder) as writer:
        for number in numbers:
            writer.save(number, policy, LEARNER, {"neighbor_room": 2.0}, 0.0)


@pytest.fixture(scope="module")
def kept(policy: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kept") / "run"
    write(folder, policy)
    return folder


@pytest.fixture
def copied(kept: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(kept, tmp_path / "run"))


@pytest.fixture
def nothing_said(capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    yield
    gc.collect()
    assert capfd.readouterr().err == ""


def load(folder: Path) -> tuple[Any, Any]:
    return ac.load_policy(folder), checkpoint.load_learner(folder, lambda _: LEARNER)


def test_what_was_written_comes_back(kept: Path, policy: Any) -> None:
    back, (number, learner, environment_kw) = load(kept)
    assert (number, environment_kw) == (1, {"neighbor_room": 2.0})
    np.testing.assert_array_equal(learner["a"], LEARNER["a"])
    x = jnp.ones((2, policy.observation_size))
    np.testing.assert_array_equal(back(x), policy(x))


@pytest.mark.usefixtures("nothing_said")
@pytest.mark.parametrize("item", ["policy", "learner"])
def test_a_flipped_bit_is_damage(item: str, kept: Path, tmp_path: Path) -> None:
    """Wherever it is: an array is not read as another one."""
    files = [path for path in sorted((kept / "checkpoints" / "1" / item).glob("**/d/*")) if path.stat().st_size > 100]
    generator, refused = np.random.default_rng(0), []
    for number in range(12):
        file = files[generator.integers(len(files))].relative_to(kept)
        folder = tmp_path / str(number)
        shutil.copytree(kept, folder)
        data = bytearray((folder / file).read_bytes())
        data[generator.integers(len(data))] ^= 1 << generator.integers(8)
        (folder / file).write_bytes(data)
        try:
            back, (_, learner, _) = load(folder)
        except ValueError as error:
            refused.append(str(error))
        else:
            # A bit that nothing depends on.
            np.testing.assert_array_equal(learner["a"], LEARNER["a"])
            check_digests(checkpoint._as_tree(back), digests_of(checkpoint._as_tree(ac.load_policy(kept))))
    assert refused
    assert all("is damaged" in said and "\n" not in said for said in refused)


def spoiled_about(folder: Path, change: Any) -> None:
    path = folder / "checkpoints" / "1" / "about" / "metadata"
    about = json.loads(path.read_text())
    change(about)
    path.write_text(json.dumps(about))


def swap(about: dict[str, Any]) -> None:
    digests = about["digests"]["learner"]
    digests["['0']"] = digests["['0']"][:-1] + "x"


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (swap, r"other numbers in \['0'\]"),
        (lambda about: about["digests"]["learner"].pop("['0']"), "other arrays"),
        (lambda about: about["environment_kw"].update(neighbor_room=3.0), "another note"),
        (lambda about: about.update(digestz=about.pop("digests")), "another note"),
    ],
)
def test_other_numbers_than_were_written_are_damage(change: Any, word: str, copied: Path) -> None:
    spoiled_about(copied, change)
    with pytest.raises(ValueError, match=rf"the checkpoint 1 in .*run' is damaged.*{word}"):
        checkpoint.load_learner(copied, lambda _: LEARNER)


def test_checkpoints_of_before_have_no_digests(copied: Path) -> None:
    spoiled_about(copied, lambda about: about.pop("digests"))
    load(copied)


def test_an_array_that_is_read_in_another_type_is_not_compared() -> None:
    check_digests({"a": np.ones(3, np.float32)}, {"['a']": digest_of(np.ones(3))})
    assert digest_of(np.ones((2, 3))) != digest_of(np.ones((3, 2))) != digest_of(np.ones((3, 2), np.float32))
    assert digest_of(np.float32(1)) == digest_of(jnp.float32(1)) != digest_of(jnp.ones(1))
    assert digest_of(np.arange(6).reshape(2, 3).T) == digest_of(np.ascontiguousarray(np.arange(6).reshape(2, 3).T))


@pytest.mark.usefixtures("nothing_said")
@pytest.mark.parametrize("left", [0, 0.5, 0.95])
def test_a_truncated_file_is_damage(left: float, kept: Path, tmp_path: Path) -> None:
    refused = []
    for file in sorted((kept / "checkpoints" / "1").glob("learner/**/*")):
        if not file.is_file() or file.name.startswith("commit"):
            continue
        folder = tmp_path / file.relative_to(kept).as_posix().replace("/", "-")
        shutil.copytree(kept, folder)
        data = file.read_bytes()
        (folder / file.relative_to(kept)).write_bytes(data[: int(left * len(data))])
        try:
            learner = checkpoint.load_learner(folder, lambda _: LEARNER)[1]
        except ValueError as error:
            refused.append(str(error))
        else:
            np.testing.assert_array_equal(learner["a"], LEARNER["a"])
    assert refused
    assert all("is damaged" in said and "\n" not in said for said in refused)


@pytest.mark.usefixtures("nothing_said")
@pytest.mark.parametrize("how", ["moved", "deleted", "another"])
def test_a_folder_that_is_gone_is_one_error_and_not_made_again(how: str, policy: Any, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()

    def go_on() -> None:
        with checkpoint.Writer(run) as writer:
            writer.save(1, policy, LEARNER, {}, 0.0)
            writer._manager.wait_until_finished()
            if how == "deleted":
                shutil.rmtree(run)
            else:
                run.rename(tmp_path / "moved")
            if how == "another":
                run.mkdir()
            writer.save(2, policy, LEARNER, {}, 0.0)

    with pytest.raises(FileNotFoundError, match=r"stays where it is .*; got '.*/run', which is gone, or another"):
        go_on()
    assert run.exists() == (how == "another")
    assert not (run / "checkpoints").exists()


@pytest.mark.usefixtures("nothing_said")
def test_a_folder_that_goes_while_a_checkpoint_is_on_its_way(policy: Any, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()

    def go_on() -> None:
        with checkpoint.Writer(run) as writer:
            writer.save(1, policy, LEARNER, {}, 0.0)
            run.rename(tmp_path / "moved")
            writer.check_there()

    with pytest.raises(FileNotFoundError, match="which is gone"):
        go_on()
    assert not run.exists()


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A disk of 200 kB."""
    mount = shutil.which("mount")
    made = mount and subprocess.run(
        [mount, "-t", "tmpfs", "-o", "size=200k", "tmpfs", tmp_path], capture_output=True, check=False
    )
    if not made or made.returncode:
        pytest.skip("only root makes disks")
    yield tmp_path
    subprocess.run(["umount", "--lazy", tmp_path], check=True)


@pytest.mark.usefixtures("nothing_said")
def test_a_full_disk_is_one_error(small: Path, policy: Any) -> None:
    big = {"a": jnp.asarray(np.random.default_rng(0).normal(size=100_000))}
    run = small / "run"
    run.mkdir()

    def go_on() -> None:
        with checkpoint.Writer(run) as writer:
            writer.save(1, policy, big, {}, 0.0)

    with pytest.raises(OSError, match=r"checkpoint is written to '.*/run/checkpoints'; got No space left on device"):
        go_on()


def test_the_process_says_nothing_at_its_end_either(small: Path) -> None:
    code = (
        "import sys, numpy as np; from pathlib import Path\n"
        "import jaxdem_ac as ac; from jaxdem_ac.runs import build, checkpoint\n"
        "config = ac.TrainConfig(env='multi_navigator', env_kw={'num_particles': 2})\n"
        "try:\n"
        "    with checkpoint.Writer(Path(sys.argv[1])) as writer:\n"
        "        big = {str(n): np.random.default_rng(n).normal(size=9_000) for n in range(30)}\n"
        "        writer.save(1, build.initial_policy(config), big, {}, 0.0)\n"
        "except OSError as error: print(error)\n"
    )
    said = subprocess.run([sys.executable, "-c", code, str(small)], capture_output=True, text=True, check=True)
    assert said.stderr == ""
    assert said.stdout.count("\n") == 1
    assert "No space left on device" in said.stdout


STARTS = "particles targets box_low box_high observation "
ORDERS = {
    "swarm_navigator": STARTS + "potential distance reached kinetic_energy step_count vicinity",
    "multi_navigator": STARTS + "potential distance reached kinetic_energy step_count vicinity",
    "swarm_roller": STARTS + "potential kinetic_energy step_count distance reached",
    "evacuation": "particles targets target_radius box_low box_high observation step_count vicinity",
    "collective_transport": "particles targets target_radius box_low box_high observation num_reached step_count",
}


@pytest.mark.parametrize("env", ORDERS)
def test_the_fields_of_a_state_stand_in_the_order_of_checkpoints_that_are_there(env: str) -> None:
    environment = ac.make_environment(env)
    state = jax.eval_shape(environment.reset, jax.random.key(0))
    paths = [path[0].name for path, _ in jax.tree_util.tree_leaves_with_path(state)]
    # Leaves are kept by their number.
    assert list(dict.fromkeys(paths)) == ORDERS[env].split()
