"""Models as structure and state."""

from typing import Any

from flax import nnx


def split_model(model: Any) -> tuple[Any, Any]:
    """Return a model's structure and state, as `nnx.split` does; the structure can be hashed, as `jax.jit` asks.

    A list that a model of somebody else's keeps among its settings is a tuple there; the model itself stays as it is.

    Raises
    ------
    TypeError
        If it keeps something else that cannot be hashed.
    """
    graphdef, state = nnx.split(model)
    if _can_be_hashed(graphdef):
        return graphdef, state
    copy = nnx.merge(graphdef, state)
    for _, node in nnx.iter_graph(copy):
        if isinstance(node, nnx.Module):
            for name, value in list(vars(node).items()):
                if isinstance(value, list):
                    setattr(node, name, _as_tuple(value))
    graphdef, state = nnx.split(copy)
    if not _can_be_hashed(graphdef):
        raise TypeError(
            f"{type(model).__name__}: what a model keeps besides arrays can be hashed; got settings that cannot. "
            "Keep tuples and not dicts, say."
        )
    return graphdef, state


def _can_be_hashed(thing: Any) -> bool:
    try:
        hash(thing)
    except TypeError:
        return False
    return True


def _as_tuple(value: Any) -> Any:
    return tuple(map(_as_tuple, value)) if isinstance(value, list) else value
