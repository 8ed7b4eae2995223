"""Actor-critic models: a policy and a value, per particle."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from jaxdem_ac.registry import action_spaces, models

if TYPE_CHECKING:
    import distrax
    from flax import nnx
    from jax import Array

    from jaxdem_ac.models.structure import Model


def make_model(
    name: str,
    /,
    *,
    observation_space_size: int,
    action_space_size: int,
    key: "nnx.Rngs | Array | int",
    action_space: "distrax.Bijector | str | None" = None,
    **keywords: Any,
) -> "Model":
    """Return the model registered under `name`.

    A model's `metadata` is accepted as keywords too: ``make_model(name, key=key, **model.metadata)`` is a model of the
    same shape, with the same action space.

    Parameters
    ----------
    name : str
        ``"SharedActorCritic"``, ``"ActorCritic"`` or a plugin's, matched without regard to case, ``_``, ``-``, spaces.
    observation_space_size, action_space_size : int
        O and D.
    key : nnx.Rngs, jax.Array or int
        For the initial parameters.
    action_space : distrax.Bijector or str, optional
        What constrains the actions; the name of one that needs no parameters will do. Free if left out.
    **keywords
        What the class takes: see :class:`~jaxdem_ac.models.actor_critic.SharedActorCritic`.

    Returns
    -------
    flax.nnx.Module

    Raises
    ------
    KeyError
        If there is no such name; the message gives the nearest.
    TypeError
        If the class has no such keyword, or `key` is none.
    ValueError
        If a value is out of its range.
    """
    import numpy as np
    from flax import nnx

    if isinstance(key, bool) or not isinstance(key, nnx.Rngs | nnx.RngStream | int | np.integer):
        from jaxdem_ac._checks import check_key

        check_key("make_model", key)
    stored_type = keywords.pop("action_space_type", None)
    stored_keywords = keywords.pop("action_space_kws", None)
    if action_space is None and stored_type is not None:
        if not isinstance(stored_keywords, Mapping | None):
            raise TypeError(
                f"make_model: action_space_kws is a mapping of keywords; got {type(stored_keywords).__name__}. "
                "Pass a model's metadata unchanged."
            )
        action_space = action_spaces.create(stored_type, **(stored_keywords or {}))
    elif isinstance(action_space, str):
        action_space = action_spaces.create(action_space)
    model: Model = models.create(
        name,
        observation_space_size=observation_space_size,
        action_space_size=action_space_size,
        key=key if isinstance(key, nnx.Rngs) else nnx.Rngs(key),
        action_space=action_space,
        **keywords,
    )
    return model
