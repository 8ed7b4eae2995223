"""Action spaces: bijectors that map an unconstrained action to one inside its bounds, or a choice of some actions."""

from typing import TYPE_CHECKING, Any

from jaxdem_ac.registry import action_spaces

if TYPE_CHECKING:
    import distrax


def make_action_space(name: str, /, **keywords: Any) -> "distrax.Bijector":
    """Return the action space registered under `name`.

    Parameters
    ----------
    name : str
        ``"Free"``, ``"Box"``, ``"MaxNorm"``, ``"Discrete"`` or a plugin's, matched without regard to case, ``_``, ``-``
        and spaces.
    **keywords
        What the class takes: see :class:`~jaxdem_ac.action_spaces.box.Box` and its siblings.

    Returns
    -------
    distrax.Bijector

    Raises
    ------
    KeyError
        If there is no such name; the message gives the nearest.
    TypeError
        If the class has no such keyword, or misses one it needs.
    ValueError
        If a value is out of its range.
    """
    return action_spaces.create(name, **keywords)
