"""Cases of verification: what one measures, what a source says, and how far apart both may be."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from jaxdem_ac import dem
from jaxdem_ac._types import Json
from jaxdem_ac.dem.world import BoundaryName
from jaxdem_ac.view.figures.style import Figure as Figure

Bound = Literal["equal", "at least", "at most"]

Data = Mapping[str, Any]
"""Arrays and numbers of a case, for its figure and for JSON."""


@dataclass(frozen=True)
class Check:
    """Comparison of a measured number with that of a source."""

    name: str
    """Quantity that is compared."""
    measured: float
    """Number that this package has made."""
    expected: float
    """Number of a closed form or a publication, never of this package."""
    tolerance: float
    """Difference that is let pass, in the unit of the quantity."""
    source: str
    """Origin of the expected number."""
    bound: Bound = "equal"
    """Side on which a difference counts: both, only below `expected`, or only above it."""

    @property
    def passed(self) -> bool:
        """Whether the measured number is where it has to be; what is not a number never is."""
        if not all(map(math.isfinite, (self.measured, self.expected, self.tolerance))):
            return False
        above = self.measured - self.expected
        low = self.bound == "at most" or above >= -self.tolerance
        return bool(low and (self.bound == "at least" or above <= self.tolerance))

    def to_dict(self) -> dict[str, Json]:
        """Return everything as JSON types."""
        return {name: plain(value) for name, value in vars(self).items()} | {"passed": self.passed}


@dataclass(frozen=True)
class Outcome:
    """Result of playing a case: its comparisons, and what its figure shows."""

    checks: tuple[Check, ...]
    """One at least."""
    data: Data = field(default_factory=dict)
    """Numbers and arrays of the figure."""


@dataclass(frozen=True)
class Case:
    """Question to the engine or a task, with an answer that is known from elsewhere."""

    name: str
    """Name as the command line spells it."""
    compares: str
    """One sentence: what is compared with what."""
    play: Callable[[], Outcome]
    """Computation of the outcome."""
    draw: Callable[[Figure, Data], None] | None = None
    """Figure of the outcome's data, if there is one, drawn into an empty figure; axes that have labels get a legend."""
    size: tuple[float, float] = (6.0, 3.2)
    """Width and height of the figure, inches."""
    is_long: bool = False
    """Whether it is left out unless it is named or all are asked for."""
    float64: bool = True
    """Whether it computes in double precision; the process stays as it was."""


def worst(
    name: str,
    labels: Sequence[str],
    measured: ArrayLike,
    expected: ArrayLike,
    tolerance: ArrayLike,
    source: str,
    bound: Bound = "equal",
) -> Check:
    """Return the check, of several alike, that uses most of its tolerance; a number that is none counts as most.

    The K `labels` tell the checks apart; measured and expected numbers and tolerances are ``(K,)`` or broadcastable.
    """
    shape = (len(labels),)
    made, right, allowed = (np.broadcast_to(np.asarray(each, float), shape) for each in (measured, expected, tolerance))
    sign = {"equal": np.abs, "at most": np.positive, "at least": np.negative}[bound]
    # NaN is the maximum to numpy.
    at = int(np.argmax(sign(made - right) / allowed))
    label = f"{name}: {labels[at]}, the worst of {len(labels)}"
    return Check(label, float(made[at]), float(right[at]), float(allowed[at]), source, bound)


def plain(value: Any, digits: int = 17) -> Json:
    """Return numbers, arrays and mappings as JSON types, with so many digits; what is not finite becomes None."""
    if isinstance(value, Mapping):
        return {str(key): plain(each, digits) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each, digits) for each in value]
    if isinstance(value, str | bool) or value is None:
        return value
    array = np.asarray(value)
    if array.ndim:
        return [plain(each, digits) for each in array]
    number = array.item()
    if not math.isfinite(number):
        return None
    return float(f"{number:.{digits}g}") if isinstance(number, float) else number


def box(
    dim: int, low: float, high: float, boundary: dem.Boundary | BoundaryName = "reflect", **material: Any
) -> dem.World:
    """Return a world in a cube; material and time step as ``World.create`` takes them."""
    return dem.World.create(np.full(dim, low), np.full(dim, high), boundary, **material)


def lattice(num: int, side: float) -> np.ndarray:
    """Return the points of a square lattice in a square of that side, ``(num, 2)``."""
    rows = math.ceil(math.sqrt(num))
    return (np.stack(np.meshgrid(np.arange(rows), np.arange(rows)), -1).reshape(-1, 2)[:num] + 0.5) * side / rows


@partial(jax.jit, static_argnames=("num_steps", "every"))
def trajectory(world: dem.World, particles: dem.Particles, num_steps: int, every: int = 1) -> dem.Particles:
    """Return the particles before the first and after each `every` steps, along a leading axis of time."""

    def body(now: dem.Particles, _: None) -> tuple[dem.Particles, dem.Particles]:
        after, _neighbors = dem.advance(world, now, jnp.zeros_like(now.force), every)
        return after, after

    _, path = jax.lax.scan(body, particles, length=num_steps // every)
    return jax.tree.map(lambda first, rest: jnp.concatenate([first[None], rest]), particles, path)
