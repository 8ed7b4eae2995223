"""Advice of errors, which name arguments of Python, in the words of the command line."""

from collections.abc import Callable
from pathlib import Path

import jax
import pytest
from click.testing import CliRunner

from jaxdem_ac.bench.cases import Axes, check, grid
from jaxdem_ac.cli import main
from jaxdem_ac.cli.words import in_options
from jaxdem_ac.runs import claim, distributed
from jaxdem_ac.runs.config import parse_assignments
from jaxdem_ac.runs.distributed import choose_devices
from jaxdem_ac.runs.run_dir import REPLACED, read_config
from jaxdem_ac.view.learning_curves import read_runs
from jaxdem_ac.view.report.page import write_report


def cut_off(folder: Path) -> None:
    (folder / REPLACED).mkdir()
    read_config(folder)


def on_a_file(folder: Path) -> None:
    (folder / "file").touch()
    claim.check(folder / "file", False)


def one_of_two(_: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jax, "devices", lambda: [object(), object()])
        patch.setattr(jax, "process_count", lambda: 2)
        choose_devices(1, 4)


@pytest.mark.parametrize(
    ("mistake", "advice"),
    [
        (cut_off, "jaxdem-ac train --resume {} brings the old run back."),
        (on_a_file, "Choose another --out."),
        (one_of_two, "Pass --devices all."),
        (read_config, "Give the --out of a training."),
        (lambda folder: read_runs([folder]), "Give the --out of a training."),
        (lambda _: distributed.connect("here:1"), "got no --num-processes, --process-id. Give all three, or under a "
         "scheduler --distributed alone."),
        (lambda _: distributed.connect("here:1", process_id=0), "got no --num-processes. Give all three, or under a "
         "scheduler --distributed alone."),
        (lambda _: write_report(None), "Give RUN, or --recording FILE."),
        (lambda _: write_report(None, recordings=["a"]), "and no --out. Give --out FILE."),
        (lambda _: Axes(models=["SharedActorCritic"], sharings=["species"]), "or leave --sharing out."),
        (lambda _: check(grid(Axes()), {"env": "evacuation"}, models=False), "Use --env."),
        (lambda _: check(grid(Axes()), {"ppo.num_envs": 3}, models=False), "Use --num-envs."),
        (lambda _: check(grid(Axes()), {"model_kw.sharing": "species"}, models=False), "Use --sharing."),
    ],
)  # fmt: skip
def test_the_command_line_names_its_options(mistake: Callable[[Path], object], advice: str, tmp_path: Path) -> None:
    with pytest.raises((OSError, ValueError)) as raised:
        mistake(tmp_path)
    said = str(raised.value)
    assert "--" not in said
    assert in_options(said).endswith(advice.format(tmp_path))


def test_an_assignment_is_that_of_set() -> None:
    with pytest.raises(ValueError, match=r"^parse_assignments: an assignment is field=value") as raised:
        parse_assignments(["nonsense"])
    assert in_options(str(raised.value)).startswith("--set: an assignment is field=value")


def test_a_command_says_it_so() -> None:
    result = CliRunner().invoke(main, ["report"])
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.endswith("got neither. Give RUN, or --recording FILE.\n")
