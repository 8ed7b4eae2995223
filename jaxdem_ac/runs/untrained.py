"""The evaluation of the policy that a run begins with, from programs that an earlier run of the same kind left behind.

To trace them anew takes longer than to play the episodes: the models, flax and distrax have to be imported for it. What
is kept are two compiled programs, of the beginning of episodes and of the episodes themselves, and what they take: the
initial parameters and a random key. They are played again each time; no figure is kept.

They lie in a folder within JAX's persistent compilation cache, if there is such a cache. A file's name is the digest of
all that it depends on: a program's text, or else the configuration and every line of this package; the versions of
those that it is built on, JAX's settings, and the kind of CPU.
"""

import hashlib
import io
import json
import os
import platform
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jaxdem_ac._files import write_bytes
from jaxdem_ac._types import Json
from jaxdem_ac.registry import Registry, action_spaces, algorithms, environments, models
from jaxdem_ac.runs.config import TrainConfig
from jaxdem_ac.runs.run_dir import Metrics

if TYPE_CHECKING:
    import numpy as np
    from jax import Array
    from jax.stages import Compiled, Lowered

FOLDER = "untrained"
"""Name of the folder within the cache."""

_PACKAGES = ("jaxdem-ac", "jax", "jaxlib", "flax", "distrax", "numpy", "optax")


def machine() -> str:
    """Return a name for what a compiled program depends on besides its text: the jaxlib and the kind of CPU."""
    told = platform.processor()
    with suppress(OSError):
        first = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").partition("\n\n")[0]
        named = ("model name", "flags", "Features", "CPU implementer", "CPU part")
        told += "\n".join(line for line in first.splitlines() if line.startswith(named))
    return f"{_version('jaxlib')}-{platform.machine()}-{hashlib.sha256(told.encode()).hexdigest()[:12]}"


def place(config: TrainConfig) -> Path | None:
    """Return the file of what a configuration's evaluation takes, which may not be there; None where none is kept.

    It is kept for a single run on a CPU that JAX has a compilation cache for, where all that the configuration names is
    this package's own: of other code nobody knows whether it is what it was.
    """
    import jax

    settings = jax.config.values
    folder = settings["jax_compilation_cache_dir"]
    if not folder or not settings["jax_enable_compilation_cache"] or "://" in folder:
        return None
    if not _is_plain(config) or jax.process_count() > 1 or jax.default_backend() != "cpu":
        return None
    # Where a run lies and who is told of it has no part in it.
    own = {name: value for name, value in config.to_dict().items() if name not in ("out", "log")}
    try:
        return Path(folder) / FOLDER / f"{_digest([own, _source(), _surroundings()])}.npz"
    except (TypeError, ValueError):
        # It holds what JSON cannot; who builds the run says what is wrong with it.
        return None


def _surroundings() -> Json:
    """Return what a compiled program depends on besides its text."""
    import jax

    return [
        [_version(name) for name in _PACKAGES],
        platform.python_version(),
        machine(),
        [os.environ.get("XLA_FLAGS"), jax.local_device_count()],
        {name: repr(value) for name, value in jax.config.values.items() if "cache" not in name},
    ]


def _digest(told: Json) -> str:
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:32]


def _version(name: str) -> str | None:
    try:
        return version(name)
    except ImportError:
        return None


def _source() -> str:
    """Return the digest of every module of this package."""
    found, root = hashlib.sha256(), Path(__file__).parent.parent
    for path in sorted(root.rglob("*.py")):
        found.update(f"{path.relative_to(root)}\0".encode() + path.read_bytes())
    return found.hexdigest()


def _is_plain(config: TrainConfig) -> bool:
    """Return whether a configuration is of a single run that begins by itself, and of nothing but this package."""
    if config.is_many or config.init_from is not None or not config.eval_every:
        return False
    names: list[tuple[Registry, object]] = [
        (environments, config.env), (models, config.model), (action_spaces, config.action_space),
        (algorithms, config.algorithm),
    ]  # fmt: skip
    for registry, name in names:
        if not isinstance(name, str) or registry.is_reference(name):
            return False
        try:
            target = registry.find(name).target
        except (KeyError, ImportError, PermissionError):
            return False
        if not isinstance(target, str) or not target.startswith("jaxdem_ac."):
            return False
    # Names within them are of other registries: engines, laws, boundaries.
    return not any(isinstance(value, str) for value in config.env_kw.values())


def keep(
    path: Path,
    programs: Mapping[str, tuple["Lowered", "Compiled"]],
    policy: Any,
    key: "Array",
    about: Mapping[str, Json],
) -> None:
    """Write the programs "reset" and "play", what they take, and what is told of them.

    A folder that cannot be written, or a program that cannot, leaves nothing. One that JAX has read from its cache
    cannot, nor one that has run: the run that compiled it has written it, under the digest of its text.
    """
    import jax
    import numpy as np
    from jax.experimental.serialize_executable import serialize

    with suppress(OSError, ValueError, NotImplementedError, jax.errors.JaxRuntimeError):
        path.parent.mkdir(parents=True, exist_ok=True)
        kept: dict[str, Json] = {}
        for name, (lowered, compiled) in programs.items():
            file = path.parent / f"{_digest([lowered.as_text(), _surroundings()])}.program"
            if not file.is_file():
                write_bytes(file, serialize(compiled)[0])
            trees: tuple[Any, Any] = lowered.in_tree, lowered.out_tree
            kept[name] = [file.name, *(tree.num_leaves for tree in trees)]
        arrays = {f"leaf_{number}": np.asarray(leaf) for number, leaf in enumerate(jax.tree.leaves(policy))}
        arrays["about"] = np.array(json.dumps({**about, "programs": kept}))
        arrays["key"] = np.asarray(jax.random.key_data(key))
        stream = io.BytesIO()
        np.savez(stream, **arrays)  # type: ignore[arg-type]
        write_bytes(path, stream.getvalue())


def played(path: Path | None) -> Metrics | None:
    """Return the figures of a kept evaluation, played once more, as `train` hands them over; None if there is none.

    What cannot be read, or is not what this JAX can load, is as none, and is removed.
    """
    if path is None or not path.is_file():
        return None
    import numpy as np

    from jaxdem_ac.runs.figures import figures_of

    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            arrays = dict(file)
        about = json.loads(str(arrays.pop("about")))
        reset, play = (_loaded(path.parent, *about["programs"][name]) for name in ("reset", "play"))
        success, reward, ended, overflow = _play(reset, play, **arrays)
    except Exception:
        # Whatever is wrong with it, all is compiled anew.
        with suppress(OSError):
            path.unlink()
        return None
    if np.any(overflow):
        return None
    share = success if about["has_success"] else None
    figures = figures_of("eval", share, reward, bool(np.all(ended)))
    return {"steps": 0, "total_steps": about["total_steps"], **figures}


def _loaded(folder: Path, name: str, num_taken: int, num_given: int) -> "Compiled":
    """Return a program that takes and gives plain arrays: its own structures need the classes of models and tasks."""
    import jax
    from jax.experimental.serialize_executable import deserialize_and_load

    taken, given = jax.tree.structure(((0,) * num_taken, {})), jax.tree.structure((0,) * num_given)
    return deserialize_and_load((folder / name).read_bytes(), taken, given)


def _play(reset: Any, play: Any, key: "np.ndarray", **leaves: "np.ndarray") -> list["np.ndarray"]:
    """Return success, reward, ends and overflow of the episodes."""
    import jax
    import numpy as np

    random_key = jax.random.wrap_key_data(key)  # type: ignore[arg-type]
    policy = [leaves[f"leaf_{number}"] for number in range(len(leaves))]
    playing = play(*policy, *reset(random_key), random_key)
    # For the interval: it is there when the episodes have been played.
    import scipy.special  # noqa: F401

    return [np.asarray(values, np.float64) for values in playing]
