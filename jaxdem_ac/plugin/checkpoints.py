"""Our policies as checkpoints that JaxDEM loads."""

import importlib
from pathlib import Path

from jaxdem_ac._files import as_path
from jaxdem_ac.plugin.registration import register
from jaxdem_ac.trainers.policy import Policy


def export_to_jaxdem(policy: Policy, directory: str | Path, step: int = 0) -> Path:
    """Write a policy's model by JaxDEM's CheckpointModelWriter, and return the folder.

    There ``CheckpointModelLoader(directory).load()`` returns it, once jaxdem_ac is imported.

    Parameters
    ----------
    policy : Policy
        Without normalizers: JaxDEM's models have none.
    directory : path
        That is not there yet, or empty: before 2026-06-12 JaxDEM's writer deletes what it holds.
    step : int
        The checkpoint's number.

    Raises
    ------
    ValueError
        If the policy normalizes observations or values.
    FileExistsError
        If the folder holds something.
    ImportError
        If JaxDEM cannot be imported.
    """
    directory = as_path("export", "directory", directory)
    for name in ("normalizer", "return_normalizer"):
        if getattr(policy, name) is not None:
            raise ValueError(
                f"export: a model of JaxDEM's sees observations and answers values as they are; got a policy with its "
                f"{name}. Train with ppo.normalize_observation=false and ppo.normalize_return=false."
            )
    if directory.is_dir() and any(directory.iterdir()):
        raise FileExistsError(
            f"export: a checkpoint goes to an empty folder; got {str(directory)!r}, which holds files. Name another."
        )
    register()
    writers = importlib.import_module("jaxdem.writers")
    writer = writers.CheckpointModelWriter(directory=directory)
    writer.save(policy.model, step)
    writer.close()
    return directory
