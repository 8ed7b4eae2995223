"""Pytrees of JaxDEM's environments, whose structures name their class."""

from dataclasses import dataclass, field

import jax

OWN_CLASS = "own_class"


def environment_class(name: str, bases: tuple[type, ...], members: dict[str, object]) -> type:
    """Return a class of JaxDEM environments, a pytree whose structure differs from that of every other class.

    The first of `bases` is an environment of JaxDEM; the ``__annotations__`` of `members` are the class's own fields.

    jaxlib (0.10.2) takes the structures of two dataclasses for equal if their static fields are, whichever their
    classes. Their hashes differ, so that it shows only where both meet in a cache: a compiled function that has seen an
    environment then returns, for a few in a thousand of cached programs, that single one in place of the vectorised one
    that JaxDEM makes of it. Here the class is itself a static field.
    """
    annotations = {**dict(members.get("__annotations__", {})), OWN_CLASS: type}  # type: ignore[call-overload]
    static = field(default=None, repr=False, compare=False, metadata={"static": True})
    made: type = dataclass(slots=True)(
        type(name, bases, {**members, "__annotations__": annotations, OWN_CLASS: static})
    )
    # JaxDEM's wrappers copy every field to a class that they derive: this one answers for itself.
    setattr(made, OWN_CLASS, property(type, lambda self, value: None))
    return jax.tree_util.register_dataclass(made)
