"""Policies as JaxDEM's checkpoints: ours for it to load, and those it wrote, without it where the model is ours."""

import importlib
import inspect
from pathlib import Path
from typing import Any

import jax.numpy as jnp
from flax import nnx

from jaxdem_ac import _orbax, registry
from jaxdem_ac._files import as_path, check_empty
from jaxdem_ac._types import PyTree
from jaxdem_ac.models import make_model, recurrent
from jaxdem_ac.models.heads import resolve_activation
from jaxdem_ac.models.structure import Model
from jaxdem_ac.plugin.registration import register
from jaxdem_ac.registry import Registry
from jaxdem_ac.trainers.policy import Policy

METADATA, STATE = "model_metadata", "model_state"


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
    FileExistsError, ImportError, ValueError
        If the folder holds something, JaxDEM cannot be imported, or the policy normalizes observations or values.
    """
    directory = as_path("export", "directory", directory)
    for name in ("normalizer", "return_normalizer"):
        if getattr(policy, name) is not None:
            raise ValueError(
                f"export: a model of JaxDEM's sees observations and answers values as they are; got a policy with its "
                f"{name}. Train with ppo.normalize_observation=false and ppo.normalize_return=false."
            )
    check_empty("export: a checkpoint goes to an empty folder", directory)
    register()
    writers = importlib.import_module("jaxdem.writers")
    writer = writers.CheckpointModelWriter(directory=directory)
    writer.save(policy.model, step)
    writer.close()
    return directory


def holds_jaxdem_checkpoint(directory: Path) -> bool:
    """Return whether JaxDEM's CheckpointModelWriter wrote into that folder."""
    return any(directory.glob(f"[0-9]*/{METADATA}"))


def load_from_jaxdem(directory: Path) -> Policy:
    """Return the policy of the newest of JaxDEM's model checkpoints in a folder, as given to ``CheckpointModelWriter``.

    Its actor-critics of our names become ours, with the same parameters: they answer the same, and their ratios are
    exact. Every other model is looked for here, and then in JaxDEM. Raises ValueError if a checkpoint is damaged, or
    names what a file may not, KeyError if nobody knows its model or action space, and ImportError if its model is one
    of JaxDEM's, which cannot be imported.
    """
    ocp = _orbax.quiet()
    options = ocp.CheckpointManagerOptions(create=False, read_only=True, enable_async_checkpointing=False)
    with ocp.CheckpointManager(directory.resolve(), options=options) as manager:
        newest = manager.latest_step()
        about = manager.restore(newest, args=ocp.args.Composite(**{METADATA: ocp.args.JsonRestore()}))[METADATA]
        model = _built(dict(about))
        graphdef, state = nnx.split(model)
        try:
            stored = manager.restore(newest, args=ocp.args.Composite(**{STATE: ocp.args.StandardRestore()}))[STATE]
            _fill(state, stored)
        except Exception as error:
            # Orbax raises a plain Exception, too.
            reason = _orbax.reason(error)
            raise ValueError(
                f"load: the checkpoint {newest} in {str(directory)!r} holds its model; got: {reason}. "
                "Remove it for the one before, or write it again."
            ) from error
    size = int(about["observation_space_size"])
    rest, template = recurrent.split_carry(graphdef, state, 1, size)
    return Policy(graphdef, rest, None, size, carry_template=template)


def _fill(state: PyTree, stored: PyTree) -> None:
    """Put the stored parameters into a fresh model's state, by name; all else follows from its metadata."""
    for path, variable in nnx.to_flat_state(nnx.split_state(state, nnx.Param, ...)[0]):
        node = stored
        for part in path:
            # Lists of layers are stored by number, as text.
            node = node[part] if part in node else node[str(part)]
        value = jnp.asarray(node["value"] if isinstance(node, dict) else node)
        if value.shape != variable[...].shape:
            name = ".".join(map(str, path))
            raise ValueError(f"{name} of shape {value.shape} in place of {variable[...].shape}")
        variable[...] = value


def _built(about: dict[str, Any]) -> Model:
    """Return the model that metadata describe, with fresh parameters."""
    name = _known(registry.models, about.pop("model_type"))
    about.pop("reset_shape", None)
    space = about.pop("action_space", None) or {}
    kind, keywords = about.pop("action_space_type", space.get("type")), about.pop("action_space_kws", space.get("kw"))
    made = None
    if kind is not None:
        # What JaxDEM writes beside the parameters of an action space follows from them.
        cls = registry.action_spaces.get(_known(registry.action_spaces, kind))
        taken = [each for each in inspect.signature(cls.__init__).parameters if not each.startswith("event_")]
        made = cls(**{each: value for each, value in dict(keywords or {}).items() if each in taken})
    if "activation" in about:
        about["activation"] = resolve_activation(_path(about["activation"]))
    if "cell_type" in about:
        about["cell_type"] = _cell(_path(about["cell_type"]))
    return make_model(name, **about, key=nnx.Rngs(0), action_space=made)


def _known(known: Registry, name: str) -> str:
    """Return a name that JaxDEM's checkpoints use as we spell it: ours, or one of JaxDEM's own."""
    return name if ":" in name or name in known else f"jaxdem:{name}"


def _path(stored: object) -> str:
    """Return the dotted path of a function, as JaxDEM has written it before and since 2026-06-12."""
    return str(stored["path"] if isinstance(stored, dict) else stored)


def _cell(path: str) -> type[nnx.RNNCellBase]:
    """Return a recurrent cell of flax by the name that ends `path`: nothing else is imported."""
    cell = getattr(nnx, path.rpartition(".")[2], None)
    if not (isinstance(cell, type) and issubclass(cell, nnx.RNNCellBase)):
        raise ValueError(
            f"load: a file may name a recurrent cell of flax.nnx; got cell_type={path!r}. Build the model yourself, "
            "and load its parameters with orbax."
        )
    return cell
