"""Reports where people already look: TensorBoard's event files, Weights & Biases. metrics.jsonl is written always."""

import importlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jaxdem_ac._files import write_text
from jaxdem_ac._messages import warn
from jaxdem_ac.runs.config import TrainConfig
from jaxdem_ac.runs.run_dir import Metrics

if TYPE_CHECKING:
    from tensorboardX.event_file_writer import EventsWriter

_PACKAGES = {"tensorboard": "tensorboardX", "wandb": "wandb"}
"""Package that writes each log; the extra that brings it has the log's own name."""


class Logs:
    """The logs of a run. One that fails is warned of once and left: training is worth more than its log."""

    def __init__(self) -> None:
        self._sinks: dict[str, _TensorBoard | _WeightsAndBiases] = {}

    def open(self, name: str, *about: Any) -> None:
        """Add a log, which gets the folder, the configurations, and the steps of its last report."""
        self._guarded(name, lambda: self._sinks.update({name: _SINKS[name](*about)}))

    def write(self, metrics: Metrics, member: str = "") -> None:
        """Add a report, of one of many runs or of the whole, to every log."""
        for name, sink in list(self._sinks.items()):
            self._guarded(name, sink.write, metrics, member)

    def close(self) -> None:
        """Close every log."""
        for name, sink in list(self._sinks.items()):
            self._guarded(name, sink.close)

    def _guarded(self, name: str, action: Callable[..., None], *arguments: Any) -> None:
        try:
            action(*arguments)
        except Exception as error:
            self._sinks.pop(name, None)
            reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
            warn(
                f"train: the log {name!r} failed and is left, training goes on; got {reason.rstrip('.: ')}. "
                "metrics.jsonl has every report.",
                level=2,
            )


def check(config: TrainConfig) -> None:
    """Raise ImportError if the package that writes a log is not installed, ValueError if the run has no folder."""
    for name in config.log:
        package = _PACKAGES[name]
        try:
            # A mere folder of that name, as W&B leaves behind, is imported too, and has no file.
            reason = "" if getattr(importlib.import_module(package), "__file__", None) else "a folder of that name"
        except Exception as error:
            reason = str(error)
        if reason:
            raise ImportError(
                f"train: the log {name!r} is written by {package}, which has to be importable; got: {reason}. "
                f'pip install "jaxdem-ac[{name}]".'
            )
    if config.log and config.out is None:
        raise ValueError(
            f"train: logs lie in the run's folder; got log={list(config.log)} and out=None. Set out to a folder."
        )


@contextmanager
def opened(
    config: TrainConfig, run_dir: Path | None, members: Mapping[str, TrainConfig], lines: Sequence[Metrics]
) -> Iterator[Logs]:
    """Give the logs of a run, which without a folder has none; `members` are those side by side, by name.

    A run that is resumed makes again the reports that came after its last one before, in `lines`.
    """
    logs = Logs()
    after = lines[-1]["steps"] if lines else None
    for name in () if run_dir is None else config.log:
        logs.open(name, run_dir, config, members, after)
    try:
        yield logs
    finally:
        logs.close()


def _figures(metrics: Metrics) -> dict[str, float]:
    """Return what can be drawn against agent-steps."""
    axis = ("steps", "total_steps")
    return {
        name: float(value) for name, value in metrics.items() if isinstance(value, int | float) and name not in axis
    }


class _TensorBoard:
    """Event files in ``tensorboard/`` of the run's folder, and of each member's; the step is in agent-steps.

    A run that is resumed begins a new file whose first event makes TensorBoard drop all steps that are made again.
    The writer is tensorboardX's plain one: its usual one hands events to a thread, and waits forever if that fails.
    """

    def __init__(
        self, run_dir: Path, config: TrainConfig, members: Mapping[str, TrainConfig], after: int | None
    ) -> None:
        from tensorboardX import event_file_writer, summary
        from tensorboardX.proto import event_pb2

        self._event, self._summary = event_pb2.Event, summary
        self._writers: dict[str, EventsWriter] = {}
        for member, its in {"": config, **members}.items():
            folder = run_dir / member / "tensorboard"
            folder.mkdir(exist_ok=True)
            suffix = f".from-{after or 0}"
            self._writers[member] = event_file_writer.EventsWriter(str(folder / "events"), suffix)
            if after is None:
                text = json.dumps(its.to_dict(), indent=2).replace("\n", "\n    ")
                self._add(member, 0, summary=summary.text("config", f"    {text}"))
            else:
                start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
                self._add(member, after + 1, session_log=start)
            self._writers[member].flush()

    def _add(self, member: str, step: int, **what: object) -> None:
        self._writers[member].write_event(self._event(wall_time=time.time(), step=step, **what))

    def write(self, metrics: Metrics, member: str) -> None:
        for name, value in _figures(metrics).items():
            self._add(member, metrics["steps"], summary=self._summary.scalar(name, value))
        self._writers[member].flush()

    def close(self) -> None:
        for writer in self._writers.values():
            writer.close()


class _WeightsAndBiases:
    """One run of Weights & Biases; figures of members are under their names. A resumed run goes on with its own."""

    def __init__(
        self, run_dir: Path, config: TrainConfig, members: Mapping[str, TrainConfig], after: int | None
    ) -> None:
        import wandb

        note = run_dir / "wandb" / "run_id"
        note.parent.mkdir(exist_ok=True)
        known = note.read_text(encoding="utf-8").strip() if after is not None and note.is_file() else None
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "jaxdem-ac"),
            dir=str(run_dir),
            config=config.to_dict(),
            resume="allow",
            id=known,
        )
        write_text(note, f"{self._run.id}\n")

    def write(self, metrics: Metrics, member: str) -> None:
        prefix = f"{member}/" if member else ""
        figures = {f"{prefix}{name}": value for name, value in _figures(metrics).items()}
        self._run.log(figures, step=metrics["steps"])

    def close(self) -> None:
        self._run.finish()


_SINKS: dict[str, Callable[..., _TensorBoard | _WeightsAndBiases]] = {
    "tensorboard": _TensorBoard,
    "wandb": _WeightsAndBiases,
}
