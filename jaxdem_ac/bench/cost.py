"""Floating-point operations and bytes of a program, as XLA counts them, loops as often as they run."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import jax
from jax import Array, ShapeDtypeStruct
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal, Var, jaxpr_as_fun

# What only calls: looked into, as if it were not there.
_CALLS = {
    **dict.fromkeys(("jit", "pjit", "remat", "checkpoint"), "jaxpr"),
    **dict.fromkeys(("closed_call", "core_call", "custom_jvp_call", "custom_vjp_call"), "call_jaxpr"),
    "custom_vmap_call": "call",
}


@dataclass(frozen=True)
class Work:
    """The work of one call of a program."""

    flops: float
    """Operations on floating-point numbers; transcendental functions are not among them."""
    bytes: float
    """Read and written by compiled kernels, from memory or from caches."""

    def __add__(self, other: "Work") -> "Work":
        return Work(self.flops + other.flops, self.bytes + other.bytes)

    def __mul__(self, times: float) -> "Work":
        return Work(self.flops * times, self.bytes * times)


def count(program: ClosedJaxpr) -> Work:
    """Return what one call of a traced program, ``jax.jit(function).trace(*arguments).jaxpr``, does.

    XLA's `cost_analysis` counts the body of a loop once and the costliest branch of a condition. Here each body of a
    scan is compiled apart and counted as often as it runs, and a condition is counted as its shortest branch: in most
    steps no episode ends and no list is built again. A loop that ends by a condition still counts once.
    """
    loops = list(_loops(program.jaxpr))

    def straight(arguments: list[Array], answers: list[list[Array]]) -> tuple[list[Array], list[Array]]:
        asked: list[Array] = []
        coming = iter(answers)

        def skip(inputs: list[Array]) -> list[Array]:
            # What goes into a loop is computed, what comes out of it is given.
            asked.extend(inputs)
            return next(coming)

        return _evaluate(program.jaxpr, program.consts, arguments, skip), asked

    shapes = [_shape(variable) for variable in program.jaxpr.invars]
    given = [[_shape(variable) for variable in loop.outvars] for loop in loops]
    analysis = jax.jit(straight).lower(shapes, given).compile(quickly()).cost_analysis() or {}
    # Where products are calls of a library, XLA does not see how much they are.
    flops = max(float(analysis.get("flops", 0.0)), _flops_of_products(program.jaxpr))
    total = Work(flops, float(analysis.get("bytes accessed", 0.0)))
    for loop in loops:
        total = total + count(loop.params["jaxpr"]) * loop.params["length"]
    return total


def quickly() -> dict[str, str | bool] | None:
    """Return how to compile on this machine what runs once or never."""
    # The code is slower, and there after half of the time. What XLA fuses is the same.
    options: dict[str, str | bool] = {"xla_backend_optimization_level": 0}  # type: ignore[dict-item]
    return options if jax.default_backend() == "cpu" else None


def _shape(variable: Var | Literal) -> ShapeDtypeStruct:
    return ShapeDtypeStruct(variable.aval.shape, variable.aval.dtype)  # type: ignore[no-untyped-call, attr-defined]


def _inside(equation: JaxprEqn) -> Jaxpr | ClosedJaxpr | None:
    """Return what a call calls or a condition chooses; None for anything else."""
    name = equation.primitive.name
    if name == "cond":
        return min(equation.params["branches"], key=lambda branch: _length(branch.jaxpr))
    return equation.params[_CALLS[name]] if name in _CALLS else None


def _open(inner: Jaxpr | ClosedJaxpr) -> tuple[Jaxpr, Sequence[Array]]:
    return (inner.jaxpr, inner.consts) if isinstance(inner, ClosedJaxpr) else (inner, ())


def _length(jaxpr: Jaxpr) -> int:
    """Return how many equations there are, those of all that is called counted."""
    total = 0
    for equation in jaxpr.eqns:
        inner = _inside(equation)
        total += 1 if inner is None else _length(_open(inner)[0])
    return total


def _loops(jaxpr: Jaxpr) -> Iterator[JaxprEqn]:
    """Yield the scans, in the order in which they are evaluated."""
    for equation in jaxpr.eqns:
        inner = _inside(equation)
        if equation.primitive.name == "scan":
            yield equation
        elif inner is not None:
            yield from _loops(_open(inner)[0])


def _flops_of_products(jaxpr: Jaxpr) -> float:
    total = 0.0
    for equation in jaxpr.eqns:
        inner = _inside(equation)
        if inner is not None:
            total += _flops_of_products(_open(inner)[0])
        elif equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            left, product = _shape(equation.invars[0]).shape, _shape(equation.outvars[0]).shape
            total += 2.0 * math.prod(product) * math.prod(left[axis] for axis in contracted)
    return total


def _variables(equation: JaxprEqn) -> list[Var]:
    """Return what an equation reads, each once."""
    return list(dict.fromkeys(variable for variable in equation.invars if not isinstance(variable, Literal)))


def _alone(jaxpr: Jaxpr, equation: JaxprEqn) -> Callable[..., list[Array]]:
    """Return the function that one equation computes."""
    own = {"constvars": [], "invars": _variables(equation), "outvars": equation.outvars, "eqns": [equation]}
    one = jaxpr.replace(**own, effects=equation.effects)  # type: ignore[no-untyped-call]
    return jaxpr_as_fun(ClosedJaxpr(one, []))


def _evaluate(
    jaxpr: Jaxpr, constants: Sequence[Array], arguments: Sequence[Array], skip: Callable[[list[Array]], list[Array]]
) -> list[Array]:
    """Return what `jaxpr` computes, with scans skipped and conditions decided."""
    values: dict[Var, Array] = {}

    def read(variable: Var | Literal) -> Array:
        return variable.val if isinstance(variable, Literal) else values[variable]

    values.update(zip(jaxpr.constvars, constants, strict=True))
    values.update(zip(jaxpr.invars, arguments, strict=True))
    for equation in jaxpr.eqns:
        inputs = [read(variable) for variable in equation.invars]
        inner = _inside(equation)
        if equation.primitive.name == "scan":
            outputs = skip(inputs)
        elif inner is not None:
            body, own = _open(inner)
            outputs = _evaluate(body, own, inputs[1:] if equation.primitive.name == "cond" else inputs, skip)
        else:
            outputs = _alone(jaxpr, equation)(*[read(variable) for variable in _variables(equation)])
        values.update(zip(equation.outvars, outputs, strict=True))
    return [read(variable) for variable in jaxpr.outvars]
