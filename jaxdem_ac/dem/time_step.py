"""Bounds on the time step and on the box: what the engine can resolve, and what it cannot."""

import math
import sys
import warnings
from functools import cache

import numpy as np
from numpy.typing import ArrayLike

STEPS_PER_CONTACT = 20.0
"""Steps in a contact from which on its error goes unmentioned: at most 0.7 % of a speed between elastic particles."""

MOST_SPEED = 2.0
"""Speed after a contact of two particles, relative to that before, beyond which a time step is refused: at 1.8 steps in
an elastic contact."""

# Phases of the first step in a contact over which its error is taken.
_PHASES = 64

_OURS = (__name__.split(".")[0] + ".", "dataclasses")


class TimeStepWarning(UserWarning):
    """A time step with which contacts are resolved coarsely: it is taken, and the error to expect is named."""


def contact_time(stiffness: float, reduced_mass: float) -> float:
    """Return how long an elastic contact of two particles lasts, ``pi sqrt(m / k)``, time.

    m is the reduced mass: half the mass of equal particles, the mass of a particle that meets a wall.
    """
    return math.pi * math.sqrt(reduced_mass / stiffness)


def critical_time_step(stiffness: float, reduced_mass: float) -> float:
    """Return the time step from which on velocity Verlet diverges inside a contact, ``2 sqrt(m / k)``, time."""
    return 2 * math.sqrt(reduced_mass / stiffness)


@cache
def restitution_range(steps_per_contact: float, restitution: float = 1.0) -> tuple[float, float]:
    """Return the least and the largest ratio of speeds after and before a collision that velocity Verlet makes.

    It depends on how far into its contact a collision's first step falls; both extremes over that are returned, of a
    material of `restitution` in [0, 1]. For an elastic collision they lie within ``sqrt(1 - w**2 / 4)`` and its
    inverse, ``w = pi / steps_per_contact``: along a contact Verlet keeps
    ``x_n**2 - (2 - w**2) x_n x_{n-1} + x_{n-1}**2`` exactly.
    """
    w = math.pi / steps_per_contact
    log_e = math.log(restitution) if restitution > 0 else -math.inf
    damping = 2 * w * (-log_e / math.hypot(math.pi, log_e) if restitution > 0 else 1.0)
    overlap = (np.arange(_PHASES) + 0.5) / _PHASES
    speed, touching = np.ones(_PHASES), np.ones(_PHASES, bool)
    # A strongly damped contact ends late, or never: then its speed has died down.
    for _ in range(math.ceil(8 * steps_per_contact)):
        speed = np.where(touching, speed - w * w * overlap - damping * speed, speed)
        overlap = overlap + speed
        touching &= overlap > 0
        if not touching.any() or not np.isfinite(overlap).all():
            break
    ratio = np.where(touching, np.abs(speed), -speed)
    return float(np.min(ratio)), float(np.max(ratio))


def check_time_step(
    where: str,
    *,
    dt: float,
    stiffness: float,
    inverse_mass: float,
    restitution: float = 1.0,
    drag_rate: float = 0.0,
    slip_rate: float = 0.0,
    quiet: bool = False,
) -> None:
    """Refuse a time step that cannot resolve a contact, and warn of one that resolves it coarsely, unless `quiet`.

    `inverse_mass` is the sum over both sides of the fastest contact, 0 without one; `drag_rate` is that of the lightest
    particle, drag divided by mass, and `slip_rate` that at which the fastest contact stops a slow slip, 1 / time.
    Raises ValueError if particles could part with more than :data:`MOST_SPEED` times their speed, or drag would speed
    them up; warns by TimeStepWarning if a contact lasts fewer than :data:`STEPS_PER_CONTACT` steps, or drag or friction
    turn a speed around.
    """
    told = []
    lasts = contact_time(stiffness, 1 / inverse_mass) if inverse_mass > 0 else math.inf
    steps = lasts / dt
    # With the drag of the speed one step before, speeds overshoot from 0.34 on and grow from 2 on.
    drag_dt, slip_dt = 0.3 * 0.34 / max(drag_rate, 1e-30), 0.3 / max(slip_rate, 1e-30)
    advised = _rounded(min(lasts / STEPS_PER_CONTACT, drag_dt, slip_dt))
    if steps < STEPS_PER_CONTACT:
        low, high = restitution_range(float(f"{max(steps, 1.0):.4g}"), float(restitution))
        got = f"got dt={dt:.4g} for a contact of the lightest particles that lasts {lasts:.4g}, {steps:.3g} steps"
        # At pi / 2 steps and fewer it diverges.
        if steps <= math.pi / 2 or high > MOST_SPEED:
            raise ValueError(
                f"{where}: the time step resolves a contact, so that none more than doubles its speed; {got}. Take "
                f"dt={advised}, a lower stiffness or a larger mass."
            )
        told.append(
            f"{got}: speeds after it are {low:.3f} to {high:.3f} times those before, where {float(restitution):.3g} "
            "is right"
        )
    for name, rate, most in (("drag", drag_rate, 0.34), ("friction", slip_rate, 1.0)):
        if dt * rate > most:
            takes = f"got dt={dt:.4g}, in which {name} takes {dt * rate:.3g} times the speed of the lightest particle"
            if name == "drag" and dt * rate >= 2:
                raise ValueError(f"{where}: drag slows particles down; {takes}. Take dt={advised}, or a larger mass.")
            told.append(f"{takes}: it overshoots")
    if told and not quiet:
        warn(f"{where}: {'; '.join(told)}. Take dt={advised}, which resolves all of it.")


def check_box(where: str, sides: ArrayLike, radius: ArrayLike, periodic: bool) -> None:
    """Raise ValueError unless a box holds its particles, and a periodic one shows each pair one image at a time.

    Sides are ``(dim,)`` and radii ``(N,)``, lengths.
    """
    ordered = np.sort(np.asarray(radius, np.float64).ravel())
    side = float(np.min(np.asarray(sides)))
    if ordered.size == 0:
        return
    if side < 2 * ordered[-1]:
        raise ValueError(
            f"{where}: every particle fits into the box; got a side of {side:.4g} for a radius of {ordered[-1]:.4g}. "
            "Make the box wider."
        )
    reach = ordered[-1] + (ordered[-2] if ordered.size > 1 else ordered[-1])
    if periodic and side < 2 * reach:
        raise ValueError(
            f"{where}: a side of a periodic box is at least twice as long as two particles reach, or they would touch "
            f"on both sides at once; got {side:.4g} for a reach of {reach:.4g}. Make the box wider, or put copies "
            "of the particles into a box of several periods."
        )


def warn(message: str, kind: type[Warning] = TimeStepWarning) -> None:
    """Issue a warning that names the first line outside this package."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(_OURS):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, kind, stacklevel=level)


def _rounded(number: float) -> str:
    """Return a number in three digits, rounded down."""
    scale = 10.0 ** (2 - math.floor(math.log10(number)))
    return f"{math.floor(number * scale + 1e-9) / scale:.3g}"
