"""The world that particles move in: box, material, time step."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from typing import Any, Literal, Self, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from jaxdem_ac._checks import is_concrete, limits
from jaxdem_ac.dem import time_step
from jaxdem_ac.dem.boundaries import BOUNDARIES, Boundary
from jaxdem_ac.dem.columns import columns_of, stacked
from jaxdem_ac.dem.contact_law import LAWS, ContactLaw, ViscousCoulomb
from jaxdem_ac.dem.particles import Particles, as_float

Named = TypeVar("Named", Boundary, ContactLaw)
BoundaryName = Literal["reflect", "periodic", "soft"]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class World:
    """A box with its boundary, one material, and the time step."""

    box_low: Array
    """Lower corner, ``(dim,)``, length."""
    box_high: Array
    """Upper corner, ``(dim,)``, length."""
    stiffness: Array
    """Stiffness of a contact, ``()``, force / length."""
    dt: Array
    """Time step, ``()``, time."""
    drag: Array
    """Viscous drag, ``()``: a force of ``-drag * velocity``, mass / time."""
    gravity: Array
    """``(dim,)``, length / time**2."""
    restitution: Array
    """Ratio of the normal speeds after and before a contact, ``()``, in [0, 1]."""
    friction: Array
    """Coulomb's coefficient, ``()``: the most that a contact drags along itself, per normal force."""
    tangential_damping: Array
    """Drag of a contact that slips slowly, ``()``, mass / time."""
    boundary: Boundary = field(metadata={"static": True})
    """The rule for a particle that reaches a side of the box; it equals its name."""
    damped: bool = field(metadata={"static": True})
    """Whether restitution is below 1, so that contacts need a dashpot."""
    rough: bool = field(metadata={"static": True})
    """Whether friction is above 0, so that contacts turn particles."""
    law: ContactLaw = field(default=ViscousCoulomb(), metadata={"static": True})
    """The law of contact, of particles and of walls that exert forces."""

    @classmethod
    def create(
        cls,
        box_low: ArrayLike,
        box_high: ArrayLike,
        boundary: BoundaryName | Boundary = "reflect",
        stiffness: ArrayLike = 2e5,
        dt: ArrayLike = 2e-3,
        drag: ArrayLike = 0.0,
        gravity: ArrayLike = 0.0,
        restitution: ArrayLike = 1.0,
        friction: ArrayLike = 0.0,
        tangential_damping: ArrayLike = 50.0,
        law: str | ContactLaw = ViscousCoulomb.name,
    ) -> Self:
        """Return a world; its numbers are those of the fields.

        Raises ValueError if a shape does not fit, a value is out of its range, or `boundary` or `law` is unknown.

        Parameters
        ----------
        boundary : {"reflect", "periodic", "soft"} or Boundary
            As :mod:`jaxdem_ac.dem.boundaries` has them; reflecting walls are smooth.
        stiffness : float, force / length
            Of the linear spring between two overlapping particles. JaxDEM's harmonic mean of two equal Young's
            moduli is that modulus. With ``law="hertz"`` Young's modulus itself, a pressure.
        dt : float, time
            A contact of equal particles lasts ``pi sqrt(mass / (2 stiffness))`` and wants 20 steps or more for speeds
            to be kept to 0.7 %; :func:`~jaxdem_ac.dem.step.simulate` warns of fewer, and refuses so few that a contact
            could double its energy. See :meth:`critical_time_step`.
        gravity : float or array, (dim,), length / time**2
            Acceleration; one number pulls down along the last axis.
        tangential_damping : float, mass / time
            Below Coulomb's limit the force along a contact is this times the speed of slip: friction is regularised
            by viscosity and has no memory of the contact, so that what should stick creeps, at a speed of the force
            on it divided by this. Stable while ``dt * tangential_damping`` is below a third of the mass.
        law : {"viscous_coulomb", "hertz", "cundall_strack", "hertz_mindlin"} or ContactLaw
            Of contact: a linear spring, or :class:`~jaxdem_ac.dem.contact_law.Hertz`'s, which is the stiffer the faster
            a contact begins: checks of the time step take twice the largest speed at the beginning, and so pass any
            step where all rest. Under the last two friction has a spring that remembers,
            :class:`~jaxdem_ac.dem.contact_law.TangentialSpring`, and what sticks holds still.
        """
        low, high = as_float("box_low", box_low), as_float("box_high", box_high)
        if low.shape != high.shape or low.ndim != 1 or low.shape[0] not in (2, 3):
            raise ValueError(
                f"World.create: box_low and box_high are (2,) or (3,); got {low.shape} and {high.shape}. "
                "Give opposite corners."
            )
        if is_concrete(low, high) and not (np.asarray(high) > np.asarray(low)).all():
            raise ValueError(
                f"World.create: every box_high > box_low; got box_low={low}, box_high={high}. Swap the corners."
            )
        dtype = low.dtype
        gravity = as_float("gravity", gravity).astype(dtype)
        if gravity.ndim == 0:
            gravity = jnp.zeros_like(low).at[-1].set(-gravity)
        if gravity.shape != low.shape:
            raise ValueError(
                f"World.create: gravity is a number or {low.shape}; got shape {gravity.shape}. Match the box."
            )
        return cls(
            box_low=low,
            box_high=high,
            stiffness=_in_range("stiffness", stiffness, 0, math.inf).astype(dtype),
            dt=_in_range("dt", dt, 0, math.inf).astype(dtype),
            drag=_in_range("drag", drag, 0, math.inf, low_included=True).astype(dtype),
            gravity=gravity,
            restitution=_in_range("restitution", restitution, 0, 1, low_included=True).astype(dtype),
            friction=_in_range("friction", friction, 0, math.inf, low_included=True).astype(dtype),
            tangential_damping=_in_range("tangential_damping", tangential_damping, 0, math.inf).astype(dtype),
            boundary=_named("boundary", boundary, BOUNDARIES, Boundary),
            law=_named("law", law, LAWS, ContactLaw),  # type: ignore[type-abstract]
            damped=not (is_concrete(restitution) and bool(np.all(np.asarray(restitution) == 1))),
            rough=not (is_concrete(friction) and bool(np.all(np.asarray(friction) == 0))),
        )

    def parts(self) -> tuple[dict[str, Array], dict[str, bool | str | dict[str, object]]]:
        """Return its numbers, and what else makes it, that JSON can keep: boundary and law by name and own fields."""
        static = {item.name: getattr(self, item.name) for item in fields(self) if item.metadata.get("static")}
        numbers = {item.name: getattr(self, item.name) for item in fields(self) if item.name not in static}
        return numbers, {
            name: value if isinstance(value, bool) else _described(value) for name, value in static.items()
        }

    @property
    def remembers(self) -> bool:
        """Whether contacts have tangential springs: those of a law that remembers, with friction."""
        return self.rough and self.law.remembers

    @property
    def dim(self) -> int:
        """2 or 3."""
        return self.box_low.shape[-1]

    def critical_time_step(self, particles: Particles) -> float:
        """Return the time step from which on a contact of the two lightest particles diverges, time.

        It is ``2 sqrt(m / k)``, m their reduced mass and k the stiffness: infinite where nothing can touch. A contact
        lasts ``pi / 2`` of it; 20 steps in a contact are a time step of 0.079 of it. Raises TypeError if the stiffness,
        or the particles' masses, radii or velocities, are traced.
        """
        if not is_concrete(self.stiffness, particles.mass, particles.fixed, particles.radius, particles.velocity):
            raise TypeError(
                "World.critical_time_step: stiffness and particles have values; got traced ones. Call it outside of "
                "jit, vmap and grad."
            )
        inverse_mass = self.fastest_contact(particles)
        if inverse_mass == 0:
            return math.inf
        return time_step.critical_time_step(self._contact_stiffness(particles, inverse_mass), 1 / inverse_mass)

    def _contact_stiffness(self, particles: Particles, inverse_mass: float) -> float:
        """Return the stiffness of the stiffest contact to expect: of the largest, at twice the largest speed."""
        stiffness = float(self.stiffness)
        if inverse_mass == 0:
            return stiffness
        # Half of it is the reduced radius of two, all of it that of one and a wall.
        largest = float(np.max(np.asarray(particles.radius)))
        speed = 2 * float(np.max(np.linalg.norm(np.asarray(particles.velocity, np.float64), axis=-1)))
        return self.law.contact_stiffness(stiffness, 1 / inverse_mass, largest, speed)

    def fastest_contact(self, particles: Particles) -> float:
        """Return the sum of both inverse masses in the contact that is shortest, 1 / mass; 0 if nothing can touch."""
        inverse = np.where(np.asarray(particles.fixed), 0.0, 1 / np.asarray(particles.mass, np.float64))
        if len(inverse) < 2:
            return float(inverse.sum()) if self.boundary.exerts_force else 0.0
        return float(np.partition(inverse, -2)[-2:].sum())

    def check(self, where: str, particles: Particles) -> None:
        """Refuse a time step that cannot resolve a contact of `particles`, and a box too narrow for them.

        It raises and warns as :func:`~jaxdem_ac.dem.time_step.check_time_step` and
        :func:`~jaxdem_ac.dem.time_step.check_box`.
        """
        sides = np.asarray(self.box_high, np.float64) - np.asarray(self.box_low, np.float64)
        time_step.check_box(where, sides, np.asarray(particles.radius), self.boundary.periodic)
        inverse_mass = self.fastest_contact(particles)
        moving = np.asarray(particles.mass, np.float64)[~np.asarray(particles.fixed)]
        # A contact that slips is slowed down through the masses and the inertias of both sides.
        per_mass = 3.0 if self.dim == 2 else 3.5
        time_step.check_time_step(
            where,
            dt=float(self.dt),
            stiffness=self._contact_stiffness(particles, inverse_mass),
            inverse_mass=inverse_mass,
            restitution=float(self.restitution),
            drag_rate=float(self.drag) / float(moving.min(initial=math.inf)),
            slip_rate=per_mass * inverse_mass * float(self.tangential_damping) * (self.rough and not self.remembers),
        )

    def displacement(self, start: Array, end: Array) -> Array:
        """Return the vector from `start` to `end`, ``(..., dim)``, through the nearest side of a periodic box."""
        return stacked(self.boundary.displacement(self, columns_of(end - start)))


def _in_range(name: str, value: ArrayLike, low: float, high: float, low_included: bool = False) -> Array:
    array = as_float(name, value)
    if array.ndim:
        raise ValueError(f"World.create: {name} is one number; got shape {array.shape}. Pass a float.")
    if is_concrete(array):
        number = float(array)
        if number > high or number < (low if low_included else limits(array.dtype)[0]):
            bracket = "[" if low_included else "("
            upper = f"{high}]" if math.isfinite(high) else "inf)"
            raise ValueError(f"World.create: {name} is in {bracket}{low}, {upper}; got {name}={number}. Set it inside.")
    return array


def _described(part: Boundary | ContactLaw) -> str | dict[str, object]:
    """Return the name of a boundary or a law; with its own fields, where it has some, as a dict.

    One of somebody else's has none here: they need not fit into JSON, and its name leads nobody to its class.
    """
    is_ours = type(part) is type({**BOUNDARIES, **LAWS}.get(part.name))
    own: dict[str, object] = asdict(part) if is_ours and is_dataclass(part) else {}
    return {"name": part.name, **own} if own else part.name


def _named(name: str, value: object, known: Mapping[str, Named], kind: type[Named]) -> Named:
    """Return an instance as it is, or that which a name stands for, or a dict of a name and fields."""
    if isinstance(value, kind):
        return value
    if isinstance(value, Mapping) and value.get("name") in known:
        own: dict[str, Any] = {field: number for field, number in value.items() if field != "name"}
        made: Named = replace(known[value["name"]], **own)  # type: ignore[type-var]
        return made
    if isinstance(value, str) and value in known:
        return known[value]
    names = " or ".join(", ".join(map(repr, known)).rsplit(", ", 1))
    raise ValueError(f"World.create: {name} is {names}, or a {kind.__name__}; got {name}={value!r}. Choose one.")
