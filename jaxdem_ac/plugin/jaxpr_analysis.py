"""The inputs that the result of a function depends on, read from its jaxpr."""

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import jax

from jaxdem_ac._types import PyTree

if TYPE_CHECKING:
    from jax.extend.core import Jaxpr, JaxprEqn, Var


Tree = TypeVar("Tree")


def depends_on(function: Callable[[Tree], PyTree], argument: Tree) -> list[bool]:
    """Return for each leaf of `argument`, whose shapes alone count, whether ``function(argument)`` looks at it."""
    jaxpr = jax.make_jaxpr(function)(argument).jaxpr
    used = _used(jaxpr, [True] * len(jaxpr.outvars))
    return [variable in used for variable in jaxpr.invars]


def unchanged(function: Callable[[Tree], Tree], argument: Tree) -> list[bool]:
    """Return for each leaf of `argument` whether ``function(argument)``, of its structure, hands it on as it is."""
    jaxpr = jax.make_jaxpr(function)(argument).jaxpr
    origin = _origins(jaxpr)
    return [
        not hasattr(out, "val") and origin.get(out) is given
        for given, out in zip(jaxpr.invars, jaxpr.outvars, strict=True)
    ]


def _inner(equation: "JaxprEqn") -> "Jaxpr | None":
    """Return the jaxpr that an equation calls with its operands as they are, if it does."""
    called = equation.params.get("jaxpr") or equation.params.get("call_jaxpr")
    inner = getattr(called, "jaxpr", called)
    if inner is None or "jit" not in equation.primitive.name:
        return None
    same = len(inner.invars) == len(equation.invars) and len(inner.outvars) == len(equation.outvars)
    return inner if same else None


def _used(jaxpr: "Jaxpr", wanted: list[bool]) -> "set[Var]":
    """Return the variables of a jaxpr on which the wanted ones of its results depend."""
    used = {out for out, is_wanted in zip(jaxpr.outvars, wanted, strict=True) if is_wanted and not hasattr(out, "val")}
    for equation in reversed(jaxpr.eqns):
        asked = [out in used for out in equation.outvars]
        if not any(asked):
            continue
        inner = _inner(equation)
        within = None if inner is None else _used(inner, asked)
        passed = equation.invars if inner is None else inner.invars
        for operand, variable in zip(equation.invars, passed, strict=True):
            if not hasattr(operand, "val") and (within is None or variable in within):
                used.add(operand)
    return used


def _origins(jaxpr: "Jaxpr") -> "dict[Var, Var]":
    """Return which variables of a jaxpr are one of its arguments under another name, and which."""
    origin = {variable: variable for variable in jaxpr.invars}
    for equation in jaxpr.eqns:
        inner = _inner(equation)
        if inner is None:
            continue
        within = _origins(inner)
        place = {variable: number for number, variable in enumerate(inner.invars)}
        for out, result in zip(equation.outvars, inner.outvars, strict=True):
            source = None if hasattr(result, "val") else within.get(result)
            operand = None if source is None else equation.invars[place[source]]
            if operand is not None and not hasattr(operand, "val") and operand in origin:
                origin[out] = origin[operand]
    return origin
