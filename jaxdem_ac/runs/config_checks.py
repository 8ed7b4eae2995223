"""Checks of a run's configuration that look at several fields together."""

from typing import TYPE_CHECKING

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
