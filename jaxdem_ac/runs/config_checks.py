"""Checks of a run's configuration that look at several fields together."""

from typing import TYPE_CHECKING

from jaxdem_ac._files import as_path
from jaxdem_ac._numbers import COUNT, WHOLE, check_number

if TYPE_CHECKING:
    from jaxdem_ac.runs.config import TrainConfig


def check_evaluation(config: "TrainConfig") -> None:
    """Raise ValueError unless evaluations can be made as they are configured."""
    where, stop = "TrainConfig", config.stop_at_success
    check_number(where, "eval_every", config.eval_every, int, lambda x: 0 <= x < COUNT, f"{WHOLE}, or 0 for none")
    check_number(
        where, "eval_episodes", config.eval_episodes, int, lambda x: 2 <= x < COUNT, WHOLE.replace("1", "2", 1)
    )
    if stop is None:
        return
    check_number(where, "stop_at_success", stop, float, lambda x: 0 < x <= 1, "above 0 and at most 1, or null")
    if not config.eval_every:
        raise ValueError(
            f"{where}: stop_at_success is of evaluations; got stop_at_success={stop:g} and eval_every=0. Set "
            "eval_every=10, say, or leave stop_at_success out."
        )


def check_source(config: "TrainConfig") -> None:
    """Raise TypeError or ValueError unless the run that is begun from, if any, is a path, and its checkpoint one."""
    chosen = config.init_checkpoint
    if isinstance(chosen, bool) or not isinstance(chosen, int | str):
        raise TypeError(f"TrainConfig: init_checkpoint is 'best', 'last' or a number; got {chosen!r:.60}. Pass one.")
    if isinstance(chosen, str) and chosen not in ("best", "last"):
        raise ValueError(f"TrainConfig: init_checkpoint is 'best', 'last' or a number; got {chosen!r:.60}. Pass one.")
    if config.init_from is not None:
        object.__setattr__(config, "init_from", str(as_path("TrainConfig", "init_from", config.init_from)))
    elif chosen != "last":
        raise ValueError(
            f"TrainConfig: init_checkpoint is of the run in init_from; got init_checkpoint={chosen!r} alone. "
            "Set init_from too."
        )
