"""Impacts of two spheres and of a sphere on a wall, head on: restitution, duration, overlap, force."""

import math
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxdem_ac import dem
from jaxdem_ac.verify.case import Check, Data, Figure, Outcome, box, trajectory, worst
from jaxdem_ac.view.figures.style import BLUE, INK, ORANGE

STEPS = 4_000
"""Time steps in an elastic contact."""
RESTITUTIONS = (1.0, 0.9, 0.7, 0.5, 0.3, 0.1)
LINEAR = "closed form of the damped oscillator"
CHUNG_OOI = "Hertz's closed form; Chung and Ooi (2011), test {}"


class Impact(NamedTuple):
    """Measured numbers of one impact."""

    restitution: float
    """Relative speed after, divided by that before."""
    duration: float
    """Duration of the contact, time."""
    overlap: float
    """Largest one, length."""
    force: float
    """Largest one."""


def damping_ratio(restitution: float) -> float:
    """Return the damping ratio zeta of an oscillator whose half period leaves that share of the speed."""
    log_e = math.log(restitution)
    return -log_e / math.hypot(math.pi, log_e)


def measure(overlap: Array, speed: Array, force: Array, dt: float) -> Impact:
    """Return the numbers of an impact, from ``(T,)`` values after its steps; the speed is below 0 at first."""
    depth, moves = np.asarray(overlap), np.asarray(speed)
    # The last step with an overlap, and the share of the next one after which there is none.
    last = int(np.argmax(depth[1:] <= 0))
    assert depth[last + 1] <= 0 < depth[1], "the contact has an end"
    share = depth[last] / (depth[last] - depth[last + 1])
    return Impact(-moves[last + 1] / moves[0], (last + share) * dt, float(depth.max()), float(np.max(force)))


def strike(world: dem.World, start: dem.Particles, reach: float) -> tuple[Impact, tuple[np.ndarray, np.ndarray]]:
    """Return the numbers of an impact along z of two spheres, or of one on a wall, and its curve: overlap and force."""
    path = trajectory(world, start, 2 * STEPS)
    place, speed = (each[:, 1, 2] - each[:, 0, 2] if start.num_particles == 2 else each[:, 0, 2]
                    for each in (path.position, path.velocity))  # fmt: skip
    # Rounding of the first position is no overlap.
    overlap, force = (reach - place).at[0].set(0.0), path.force[:, -1, 2]
    return measure(overlap, speed, force, float(world.dt)), (np.asarray(overlap), np.asarray(force))


def pair(restitution: float, masses: tuple[float, float], stiffness: float = 1e5, speed: float = 1.0) -> Impact:
    """Return the impact of two spheres of different masses and radii."""
    reduced = masses[0] * masses[1] / sum(masses)
    dt = math.pi * math.sqrt(reduced / stiffness) / STEPS
    world = box(3, -9.0, 9.0, stiffness=stiffness, dt=dt, restitution=restitution)
    radii = jnp.asarray([0.5, 0.8])
    share = jnp.asarray(masses) / sum(masses)
    velocity = np.array([[0.0, 0.0, speed * share[1]], [0.0, 0.0, -speed * share[0]]])
    start = dem.Particles.create(np.array([[0.0, 0.0, -0.5], [0.0, 0.0, 0.8]]), velocity, radii, jnp.asarray(masses))
    return strike(world, start, 1.3)[0]


def on_wall(restitution: float, mass: float = 2.0, stiffness: float = 1e5) -> Impact:
    """Return the impact of a sphere on a wall that pushes."""
    dt = math.pi * math.sqrt(mass / stiffness) / STEPS
    world = box(3, 0.0, 9.0, "soft", stiffness=stiffness, dt=dt, restitution=restitution)
    start = dem.Particles.create(np.array([[4.0, 4.0, 0.5]]), np.array([[0.0, 0.0, -1.0]]), 0.5, mass)
    return strike(world, start, 0.5)[0]


def reflected(restitution: float) -> float:
    """Return the ratio of speeds after and before a sphere has met a wall that reflects."""
    world = box(3, 0.0, 9.0, "reflect", dt=1e-3, restitution=restitution)
    start = dem.Particles.create(np.array([[4.0, 4.0, 1.0]]), np.array([[0.3, 0.0, -1.0]]), 0.5)
    return float(trajectory(world, start, 1_000).velocity[-1, 0, 2])


def expected(restitution: float, reduced_mass: float, stiffness: float = 1e5) -> Impact:
    """Return the numbers of an impact at speed 1 under a spring with a dashpot; the force is left out."""
    zeta, omega = damping_ratio(restitution), math.sqrt(stiffness / reduced_mass)
    root = math.sqrt(1 - zeta**2)
    overlap = math.exp(-zeta / root * math.acos(zeta)) / omega
    return Impact(math.exp(-math.pi * zeta / root), math.pi / (omega * root), overlap, math.nan)


def play() -> Outcome:
    """Compare head-on impacts of two spheres and on walls under the engine's law, with the damped oscillator."""
    checks, curves = [], {}
    labels, step = [f"e = {e}" for e in RESTITUTIONS], math.pi / STEPS
    # The scheme is of first order in the phase of a step where there is a dashpot.
    for what, masses in (("two spheres", (1.0, 3.0)), ("sphere on a wall", (2.0, math.inf))):
        wall = math.isinf(masses[1])
        reduced = masses[0] if wall else masses[0] * masses[1] / sum(masses)
        made = [on_wall(e) if wall else pair(e, masses) for e in RESTITUTIONS]
        right = [expected(e, reduced) for e in RESTITUTIONS]
        for name, error in (("restitution", step / 2), ("duration", step / 2), ("overlap", step / 4)):
            values = np.array([getattr(each, name) for each in right])
            label = f"{what}, {'largest overlap' if name == 'overlap' else name}"
            checks.append(worst(label, labels, [getattr(each, name) for each in made], values, error * values, LINEAR))
        unit = math.pi * math.sqrt(reduced / 1e5)
        duration = [each.duration / unit for each in made]
        curves[what] = {"restitution": [each.restitution for each in made], "duration": duration}
    source = "definition of the restitution"
    checks += [Check(f"reflecting wall, e = {e}: restitution", reflected(e), e, 1e-9, source) for e in (1.0, 0.6)]
    return Outcome(tuple(checks), {"e": RESTITUTIONS, "curves": curves})


def draw(figure: Figure, data: Data) -> None:
    """Draw restitution and duration against the restitution of the material."""
    left, right = figure.subplots(1, 2)
    grid = np.linspace(0.05, 1, 100)
    left.plot(grid, grid, color=INK, linewidth=1, label="closed form")
    for color, marker, (name, curve) in zip((BLUE, ORANGE), "ox", data["curves"].items(), strict=True):
        left.plot(data["e"], curve["restitution"], marker, color=color, label=name)
        right.plot(data["e"], curve["duration"], marker, color=color)
    left.set(xlabel="restitution e of the material", ylabel="speed after / before")
    right.plot(grid, [expected(e, 1.0).duration * math.sqrt(1e5) / math.pi for e in grid], color=INK, linewidth=1)
    right.set(xlabel="restitution e of the material", ylabel="duration / elastic duration")


class Material(NamedTuple):
    """Numbers of one of Chung and Ooi's tests, SI units."""

    test: int
    name: str
    young: float
    poisson: float
    density: float
    radius: float
    speed: float
    """Speed of each sphere."""


MATERIALS = (
    Material(1, "glass", 4.8e10, 0.20, 2800.0, 0.01, 10.0),
    Material(1, "limestone", 2.0e10, 0.25, 2500.0, 0.01, 10.0),
    Material(2, "aluminium alloy", 7.0e10, 0.30, 2699.0, 0.1, 0.2),
    Material(2, "magnesium alloy", 4.0e10, 0.35, 1800.0, 0.1, 0.2),
    Material(3, "aluminium oxide", 3.8e11, 0.23, 4000.0, 0.0025, 3.9),
    Material(3, "cast iron", 1.0e11, 0.25, 7000.0, 0.0025, 3.9),
)


def hertz_contact(material: Material) -> tuple[float, Impact]:
    """Return the reduced mass and the numbers of an elastic impact: in test 1 of two spheres, else on a wall."""
    mass = 4 / 3 * math.pi * material.radius**3 * material.density
    twice = 2 if material.test == 1 else 1
    reduced, speed = mass / twice, twice * material.speed
    # A rigid wall gives way nowhere: only one side's modulus counts.
    modulus = material.young / (1 - material.poisson**2) / twice
    coefficient = 4 / 3 * modulus * math.sqrt(material.radius / twice)
    overlap = (5 / 4 * reduced * speed**2 / coefficient) ** 0.4
    lasts = 2 * overlap / speed * math.sqrt(math.pi) * math.gamma(7 / 5) / math.gamma(9 / 10)
    return reduced, Impact(1.0, lasts, overlap, coefficient * overlap**1.5)


def hertz_impact(material: Material, restitution: float = 1.0) -> tuple[Impact, tuple[np.ndarray, np.ndarray]]:
    """Return the measured numbers of an impact, and its curve: overlap and force after each step."""
    _, right = hertz_contact(material)
    dt, radius, speed = right.duration / STEPS, material.radius, material.speed
    mass = 4 / 3 * math.pi * radius**3 * material.density
    twice = 2 if material.test == 1 else 1
    middle, law = 9 * radius, dem.Hertz(material.poisson)
    if twice == 2:
        world = box(3, 0.0, 20 * radius, stiffness=material.young, dt=dt, restitution=restitution, law=law)
        place = np.array([[middle, middle, middle], [middle, middle, middle + 2 * radius]])
        velocity = np.array([[0.0, 0.0, speed], [0.0, 0.0, -speed]])
    else:
        world = box(3, 0.0, 20 * radius, "soft", stiffness=2 * material.young, dt=dt, restitution=restitution, law=law)
        place, velocity = np.array([[middle, middle, radius]]), np.array([[0.0, 0.0, -speed]])
    return strike(world, dem.Particles.create(place, velocity, radius, mass), twice * radius)


def play_hertz() -> Outcome:
    """Compare Chung and Ooi's tests 1 to 3 under Hertz's law, with Hertz's closed form."""
    checks, curves, restored = [], {}, {}
    step = math.pi / STEPS
    for material in MATERIALS:
        source = CHUNG_OOI.format(material.test)
        if material.test == 3:
            made = {e: hertz_impact(material, e)[0].restitution for e in (1.0, 0.8, 0.6, 0.4, 0.2)}
            restored[material.name] = made
            right = np.array(list(made))
            checks.append(worst(f"{material.name}, restitution", [f"e = {e}" for e in made], list(made.values()), right,
                                step / 2 * right, EXACT))  # fmt: skip
            continue
        measured, (overlap, force) = hertz_impact(material)
        _, closed = hertz_contact(material)
        curves[material.name] = {"overlap": overlap[::100] * 1e6, "force": force[::100] / 1e3}
        for name in ("force", "overlap", "duration", "restitution"):
            value = getattr(closed, name)
            label = name if name in ("duration", "restitution") else f"largest {name}"
            checks.append(Check(f"{material.name}: {label}", getattr(measured, name), value, step / 10 * value, source))
    return Outcome(tuple(checks), {"curves": curves, "restitution": restored})


EXACT = "Antypov and Elliott (2011); Chung and Ooi (2011), test 3"


def draw_hertz(figure: Figure, data: Data) -> None:
    """Draw force against overlap in test 1, and restitution in test 3."""
    left, right = figure.subplots(1, 2)
    for color, name in ((BLUE, "glass"), (ORANGE, "limestone")):
        curve = data["curves"][name]
        _, closed = hertz_contact(next(each for each in MATERIALS if each.name == name))
        grid = np.linspace(0, closed.overlap, 50)
        left.plot(grid * 1e6, closed.force * (grid / closed.overlap) ** 1.5 / 1e3, color=INK, linewidth=1)
        touching = np.asarray(curve["overlap"]) > 0
        left.plot(
            np.asarray(curve["overlap"])[touching], np.asarray(curve["force"])[touching], ".", color=color, label=name
        )
    left.set(xlabel="overlap, micrometres", ylabel="force, kN", title="test 1; lines: closed form")
    right.plot([0, 1], [0, 1], color=INK, linewidth=1)
    for color, marker, (name, made) in zip((BLUE, ORANGE), "ox", data["restitution"].items(), strict=True):
        right.plot(list(made), list(made.values()), marker, color=color, label=name)
    right.set(xlabel="restitution e of the material", ylabel="speed after / before", title="test 3")
