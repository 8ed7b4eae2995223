"""A run's checkpoints. Loading one reads data and runs nothing that it names."""

import json
import math
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

import jax
import jax.numpy as jnp
from flax import nnx
from jax.sharding import SingleDeviceSharding

from jaxdem_ac import _orbax
from jaxdem_ac._files import as_path
from jaxdem_ac._messages import warn
from jaxdem_ac._types import PyTree
from jaxdem_ac.environments.capacity import are_pairs, fit_lists
from jaxdem_ac.plugin.checkpoints import holds_jaxdem_checkpoint, load_from_jaxdem
from jaxdem_ac.runs import distributed
from jaxdem_ac.runs.build import initial_policy
from jaxdem_ac.runs.digest import check_digests, digest_of_text, digests_of, without_key
from jaxdem_ac.runs.run_dir import CHECKPOINTS, CONFIG, read_metrics, single
from jaxdem_ac.trainers.policy import Policy
from jaxdem_ac.trainers.running_statistics import Normalizer

if TYPE_CHECKING:
    from orbax.checkpoint import CheckpointManager

LearnerT = TypeVar("LearnerT")
# Fields of an environment that are not its configuration's any more, by name.
Fields = dict[str, object]

SCORE, EVALUATED = "score", "evaluated"


class Writer:
    """Writer of checkpoints while a run goes on; each is complete or not there.

    Leaving its context waits until the last one is on the disk. The newest two are kept, and the best one: by the
    success of its own evaluation where there is one, else by the last report's.
    """

    def __init__(self, run_dir: Path) -> None:
        from orbax.checkpoint import checkpoint_managers as policies

        ocp = _orbax.quiet()

        # Pairs are sorted as numbers are.
        score: Callable[[dict[str, float]], Any] = _rank
        keep = policies.AnyPreservationPolicy([policies.LatestN(2), policies.BestN(get_metric_fn=score, n=1)])
        # With best_fn scores are kept on the disk too: a run that is resumed knows which of the old ones was best.
        options = ocp.CheckpointManagerOptions(preservation_policy=keep, best_fn=score, enable_async_checkpointing=True)
        self._run_dir = run_dir
        self._folder = run_dir.stat()
        with self._explained():
            self._manager = ocp.CheckpointManager((run_dir / CHECKPOINTS).resolve(), options=options)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        """Wait for the last checkpoint, unless a process that it waits for is gone."""
        if distributed.lost(error):
            return
        try:
            with self._explained():
                self._manager.close()
        except OSError:
            # Of a disk that is full, or a folder that is gone, one error is enough.
            if not isinstance(error, OSError):
                raise
        finally:
            self._clear_ghost()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn what orbax raises, of whatever kind, into an OSError of one line that names the folder."""
        try:
            yield
        except Exception as error:
            if distributed.lost(error):
                raise
            self.check_there()
            raise OSError(
                f"train: a checkpoint is written to {str(self._run_dir / CHECKPOINTS)!r}; got "
                f"{_orbax.reason(error)}. Mend that, then go on with resume."
            ) from error

    def check_there(self) -> None:
        """Raise FileNotFoundError if the run's folder has been moved or deleted meanwhile."""
        if not self._is_there():
            raise FileNotFoundError(
                f"train: a run's folder stays where it is while it is trained; got {str(self._run_dir)!r}, which is "
                "gone, or another. Go on from where it is now with resume, or train it again."
            )

    def _is_there(self) -> bool:
        try:
            return os.path.samestat(self._folder, self._run_dir.stat())
        except OSError:
            return False

    def _clear_ghost(self) -> None:
        """Remove the folder that a checkpoint on its way has made where the run's was before somebody moved it."""
        if self._is_there():
            return
        _orbax.join_threads()
        # TensorStore's own threads go on for a moment: until nothing has come for half a second.
        calm = 0
        while calm < 10:
            calm += 1
            with suppress(OSError):
                if [path.name for path in self._run_dir.iterdir()] == [CHECKPOINTS]:
                    calm = 0
                    shutil.rmtree(self._run_dir)
            time.sleep(0.05)

    def save(
        self,
        num_updates: int,
        policy: Policy,
        learner: PyTree,
        environment_kw: Fields,
        score: float,
        evaluated: bool = False,
    ) -> None:
        """Begin to write a checkpoint; the arrays are free to change once this returns.

        `environment_kw` are fields of the environment that are not its configuration's any more, `learner` is what else
        a run needs to go on. A larger `score` is better, an `evaluated` one before all that are not. Raises OSError if
        this checkpoint or the one before cannot be written.
        """
        ocp = _orbax.quiet()
        self.check_there()
        if num_updates in self._manager.all_steps():
            return
        # By number, random keys as their data: what a file keeps names no class.
        leaves = {str(number): without_key(leaf) for number, leaf in enumerate(jax.tree.leaves(learner))}
        trees = {"policy": _as_tree(policy), "learner": leaves}
        note = {"environment_kw": environment_kw}
        digests = {**{name: digests_of(tree) for name, tree in trees.items()}, "about": digest_of_text(note)}
        about = {**note, "digests": digests}
        items = {name: ocp.args.StandardSave(tree) for name, tree in trees.items()}
        args = ocp.args.Composite(**items, about=ocp.args.JsonSave(about))
        metrics = {SCORE: float(score), EVALUATED: float(evaluated)}
        with self._explained():
            self._manager.save(num_updates, args=args, metrics=metrics, force=True)


def _reader(run_dir: Path) -> "CheckpointManager":
    """Return an orbax manager of the run's checkpoints that changes nothing; each process reads for itself."""
    ocp = _orbax.quiet()
    options = ocp.CheckpointManagerOptions(
        create=False, read_only=True, enable_async_checkpointing=False, multiprocessing_options=_alone()
    )
    return ocp.CheckpointManager((run_dir / CHECKPOINTS).resolve(), options=options)


def _alone() -> Any:
    """Return orbax's options for a process that reads without waiting for others."""
    process = jax.process_index()
    return _orbax.quiet().options.MultiprocessingOptions(
        primary_host=process, active_processes={process}, barrier_sync_key_prefix=f"reader-{process}"
    )


def _as_tree(policy: Policy) -> dict[str, PyTree]:
    """Return what a checkpoint keeps of a policy."""
    tree: dict[str, PyTree] = {"model": nnx.to_pure_dict(policy.model_state)}
    for name in ("normalizer", "return_normalizer"):
        normalizer = getattr(policy, name)
        if normalizer is not None:
            tree[name] = {item.name: getattr(normalizer, item.name) for item in fields(normalizer)}
    return tree


def saved(run_dir: Path) -> list[int]:
    """Return the numbers of a run's checkpoints."""
    if not (run_dir / CHECKPOINTS).is_dir():
        return []
    with _reader(run_dir) as manager:
        return sorted(manager.all_steps())


def newest_of_all(run_dir: Path, names: Sequence[str]) -> int:
    """Return the number of the newest checkpoint that all runs of a folder have.

    Raises FileNotFoundError if they have none in common, and ValueError if one of them has gone on by itself: it has a
    checkpoint from after the last report of all together.
    """
    numbers = {name: saved(run_dir / name) for name in names}
    together = read_metrics(run_dir)
    last = together[-1]["update"] if together else math.inf
    ahead = [f"{name} at update {max(own)}" for name, own in numbers.items() if own and max(own) > last]
    if ahead:
        raise ValueError(
            f"resume: runs side by side go on together; got {', '.join(ahead[:3])} of {str(run_dir)!r}, which went on "
            f"by itself, where all together stand at update {last}. Resume each run by its own folder."
        )
    common = set.intersection(*map(set, numbers.values()))
    if not common:
        raise FileNotFoundError(
            f"resume: runs side by side go on from a checkpoint that all have; got none in {str(run_dir)!r}. "
            "Train them again."
        )
    return max(common)


def find_checkpoint(run_dir: Path, checkpoint: str | int) -> int | None:
    """Return the number of a checkpoint, or None for the newest, "last".

    "best" is that of the best evaluated success, or in a run without evaluations of the best success at the last report
    before it, the newer of two alike; a number is of updates. Raises TypeError for anything else, and ValueError if
    there is no such checkpoint.
    """
    if checkpoint == "last":
        return None
    if checkpoint == "best":
        numbers = saved(run_dir)
        return max(numbers, key=lambda number: (_score(run_dir, number), number)) if numbers else None
    if isinstance(checkpoint, bool) or not isinstance(checkpoint, int):
        raise TypeError(
            f"load_policy: a checkpoint is 'best', 'last' or a number; got checkpoint={checkpoint!r:.60}. Pass one."
        )
    numbers = saved(run_dir)
    if checkpoint not in numbers:
        raise ValueError(
            f"load_policy: a run keeps its two newest checkpoints and the best; got checkpoint={checkpoint}, there are "
            f"{', '.join(map(str, numbers)) or 'none'} in {str(run_dir)!r}. Choose one of them."
        )
    return checkpoint


def _rank(metrics: Mapping[str, float]) -> tuple[float, float]:
    """Return what is compared of a checkpoint's metrics: whether it was evaluated, and its score."""
    return float(metrics.get(EVALUATED, 0.0)), float(metrics[SCORE])


def _score(run_dir: Path, number: int) -> tuple[float, float]:
    """Return the rank that was written with a checkpoint; the lowest if none can be read."""
    try:
        text = (run_dir / CHECKPOINTS / str(number) / "metrics" / "metrics").read_text(encoding="utf-8")
        return _rank(json.loads(text))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return 0.0, -math.inf


@contextmanager
def _newest(run_dir: Path, chosen: int | None = None) -> Iterator[tuple["CheckpointManager", int]]:
    """Give the reader of a run's checkpoints and the number of the newest, or of the one that is `chosen`.

    Raises FileNotFoundError if there is none; damage becomes one clear ValueError.
    """
    missing = f"load: a run folder holds a checkpoint; got none in {str(run_dir / CHECKPOINTS)!r}. Train it again."
    if not (run_dir / CHECKPOINTS).is_dir():
        raise FileNotFoundError(missing)
    with _reader(run_dir) as manager:
        newest = manager.latest_step() if chosen is None else chosen
        if newest is None:
            raise FileNotFoundError(missing)
        try:
            yield manager, newest
        except (jax.errors.JaxRuntimeError, MemoryError):
            raise
        except Exception as error:
            raise ValueError(
                f"load: the checkpoint {newest} in {str(run_dir)!r} is damaged, or not of the model in {CONFIG}; got: "
                f"{_orbax.reason(error)}. Restore both as the run left them, remove that checkpoint for the one before "
                "it, or train it again."
            ) from error


def load_learner(
    run_dir: Path, template: Callable[[Fields], LearnerT], chosen: int | None = None
) -> tuple[int, LearnerT, Fields]:
    """Return a checkpoint's number, what a run needs to go on from it, and fields of the environment that have changed.

    `template` makes of those fields a pytree of shapes, whose structure the second has; without `chosen` it is the
    newest. Raises as :func:`load_policy`; warns if its numbers are of another precision than those here.
    """
    with _newest(run_dir, chosen) as (manager, newest):
        environment_kw, digests = _about(manager, newest)
        expected = template(environment_kw)
        leaves, structure = jax.tree.flatten(expected)
        # Where a checkpoint came from need not be there any more: without a place orbax looks for its devices.
        placed = partial(jax.ShapeDtypeStruct, sharding=SingleDeviceSharding(jax.local_devices()[0]))
        shapes = [jax.eval_shape(without_key, leaf) for leaf in leaves]
        like = {str(number): placed(shape.shape, shape.dtype) for number, shape in enumerate(shapes)}
        # Lists of neighbours are read as long as they were, whatever the length that is now thought enough.
        lists = [str(number) for number, holds_pairs in enumerate(are_pairs(expected)) if holds_pairs]
        written = _shapes_of(run_dir, newest) if lists else {}
        like |= {number: placed(written[number], like[number].dtype) for number in lists}
        stored = _restored(manager, newest, "learner", like, digests)
        types = {digest.partition(":")[0] for digest in digests.get("learner", {}).values()}
        was_double, is_double = ("float64" in kinds for kinds in (types, {str(shape.dtype) for shape in shapes}))
        if types and was_double != is_double:
            names = "float32", "float64"
            warn(
                f"resume: a run goes on in the precision that it began with, {names[was_double]}; got "
                f"{names[is_double]}. Set JAX_ENABLE_X64={int(was_double)} to keep it."
            )
        restored = [
            jax.random.wrap_key_data(stored[str(number)])
            if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
            else jnp.asarray(stored[str(number)])
            for number, leaf in enumerate(leaves)
        ]
        return newest, fit_lists(jax.tree.unflatten(structure, restored), expected), environment_kw


def _shapes_of(run_dir: Path, number: int) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the arrays of a checkpoint that a run needs to go on, by name."""
    ocp = _orbax.quiet()
    with ocp.StandardCheckpointer(multiprocessing_options=_alone()) as reader:
        metadata = reader.metadata((run_dir / CHECKPOINTS / str(number) / "learner").resolve())
    # Before 0.12 the metadata were those of the arrays themselves, and those are a tree by themselves in some.
    arrays = getattr(metadata, "item_metadata", metadata)
    return {name: tuple(array.shape) for name, array in getattr(arrays, "tree", arrays).items()}


def _about(manager: "CheckpointManager", number: int) -> tuple[Fields, dict[str, dict[str, str]]]:
    """Return the changed fields of the environment, and the digests of arrays; none of what was written before 0.1."""
    ocp = _orbax.quiet()
    about = dict(manager.restore(number, args=ocp.args.Composite(about=ocp.args.JsonRestore()))["about"])
    digests = dict(about.pop("digests", {}))
    if about.keys() != {"environment_kw"} or digests.pop("about", digest_of_text(about)) != digest_of_text(about):
        raise ValueError("another note of the environment than was written.")
    return dict(about["environment_kw"]), digests


def _restored(
    manager: "CheckpointManager", number: int, name: str, like: PyTree, digests: Mapping[str, Mapping[str, str]]
) -> PyTree:
    """Return an item of a checkpoint, checked against what was written."""
    ocp = _orbax.quiet()
    tree = manager.restore(number, args=ocp.args.Composite(**{name: ocp.args.StandardRestore(like)}))[name]
    if digests:
        check_digests(tree, digests[name])
    return tree


def load_policy(run_dir: str | Path, checkpoint: str | int = "last") -> Policy:
    """Return the policy of a run's checkpoint.

    Parameters
    ----------
    run_dir : path
        The run's folder; or that of JaxDEM's CheckpointModelWriter, whose newest model it is then.
    checkpoint : "last", "best" or int
        Which one: the newest, that of the best success, or a number of updates.

    Returns
    -------
    Policy
        ``policy(observation)`` is deterministic, ``policy(observation, key)`` samples; the normalizer is inside. A
        recurrent one acts by ``policy.step(observation, carry, key)``.

    Raises
    ------
    FileNotFoundError
        If the folder holds no run, or no checkpoint.
    TypeError, ValueError
        If `checkpoint` is something else, there is no such one, it does not fit the run, or that is of another version.
    """
    run_dir = as_path("load_policy", "run_dir", run_dir)
    if not (run_dir / CONFIG).is_file() and holds_jaxdem_checkpoint(run_dir):
        if checkpoint != "last":
            raise ValueError(
                f"load_policy: of JaxDEM's checkpoints the newest is read; got checkpoint={checkpoint!r}. Leave it out."
            )
        return load_from_jaxdem(run_dir)
    fresh = initial_policy(single(run_dir))
    with _newest(run_dir, find_checkpoint(run_dir, checkpoint)) as (manager, newest):
        tree = _restored(manager, newest, "policy", _as_tree(fresh), _about(manager, newest)[1])
    state = fresh.model_state
    nnx.replace_by_pure_dict(state, tree["model"])
    normalizer, returns = (
        Normalizer(**tree[name]) if name in tree else None for name in ("normalizer", "return_normalizer")
    )
    return replace(fresh, model_state=state, normalizer=normalizer, return_normalizer=returns)
