"""Action spaces: bijectors that map an unconstrained action to one inside its bounds, or a choice of some actions."""

from typing import TYPE_CHECKING, Any

from jaxdem_ac.registry import action_spaces

if TYPE_CHECKING:
    import distrax


def make_action_space(name: str, /, **keywords: Any) -> "distrax.Bijector":
    """Return the action space registered under `name`, built with the keywords.

    Names are matched without regard to case, ``_``, ``-`` and spaces: ``"Free"``, ``"Box"``, ``"MaxNorm"``,
    ``"Discrete"`` or a plugin's. For keywords see :class:`~jaxdem_ac.action_spaces.box.Box` and its siblings. Raises
    KeyError if there is no such name, and gives the nearest; TypeError if the class has no such keyword, or misses one;
    ValueError if a value is out of its range.
    """
    return action_spaces.create(name, **keywords)
