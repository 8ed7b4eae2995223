"""The place of an optimizer in the schedule of its learning rate."""

import optax

from jaxdem_ac._types import PyTree


def is_place(node: PyTree) -> bool:
    """Return whether a part of an optimizer's state is its place in a schedule, which counts updates."""
    return isinstance(node, optax.ScaleByScheduleState)
