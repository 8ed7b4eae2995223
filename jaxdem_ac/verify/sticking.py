"""Contacts that stick: impacts that swing back along the wall, a disc held on a slope, and a heap at rest."""

import math

import numpy as np

from jaxdem_ac import dem
from jaxdem_ac.verify.case import Check, Data, Figure, Outcome, box, worst
from jaxdem_ac.verify.friction import ANGLES, BODY, FRICTION, INERTIA, oblique
from jaxdem_ac.view.figures.style import BLUE, INK, ORANGE

SLOPE = 20.0
"""Angle of the floor, degrees."""
STEPS = 100_000
REMEMBERS, FORGETS = "cundall_strack", "viscous_coulomb"


def swinging(dim: int, angle: float) -> float:
    """Return the ratio of tangential speeds of a contact whose point swings along the wall as long as the push lasts.

    Its mass along the wall is ``m / (1 + m R**2 / I)``. Up to ``tan = mu (1 + m R**2 / I)`` it sticks to the end, and
    its speed turns around; beyond that the limit falls faster than the spring slackens, and it slides to the end.
    """
    lever = 1 + 1 / INERTIA[dim]
    tangent = math.tan(math.radians(angle))
    return 1 - 2 / lever if tangent <= FRICTION * lever else 1 - 2 * FRICTION / tangent


def held(law: str) -> tuple[float, float, float, float]:
    """Return elongation of the spring of a disc on a slope, weight along it, way and speed of slip in so many steps.

    A torque takes what would roll it, so that friction carries the weight.
    """
    dt, radius, stiffness, gravity, damping = 1e-4, 0.5, 1e5, 10.0, 100.0
    along, down = (gravity * turn(math.radians(SLOPE)) for turn in (math.sin, math.cos))
    world = box(2, 0.0, 20.0, "soft", stiffness=stiffness, dt=dt, gravity=np.array([along, -down]), restitution=0.3,
        friction=0.5, law=law, tangential_damping=damping,
    )  # fmt: skip
    start = dem.Particles.create(np.array([[4.0, radius - down / stiffness]]), 0.0, radius)
    torque = np.array([[radius * along]])
    settled = dem.simulate(world, start, 20_000, external_torque=torque)
    later = dem.simulate(world, settled, STEPS, external_torque=torque)
    slip = later.velocity[0, 0] + radius * later.angular_velocity[0, 0]
    elongation = later.springs.walls[2][0][0] if later.springs else math.nan
    return abs(float(elongation)), along, float(later.position[0, 0] - settled.position[0, 0]), float(slip)


def play() -> Outcome:
    """Compare impacts and a disc on a slope, of contacts with a tangential spring, with closed forms."""
    checks, curves = [], {}
    labels = [f"{angle:.0f} degrees" for angle in ANGLES]
    for dim in (2, 3):
        # So stiff along the wall that a contact's point swings back in the time of the push.
        along, across, spin = oblique(dim, 1.0, dem.CundallStrack(1 / (1 + 1 / INERTIA[dim])))
        right = np.array([swinging(dim, angle) for angle in ANGLES])
        turned = (1 - right) * np.sin(np.radians(ANGLES)) / INERTIA[dim]
        source = "oscillator along the wall, or Coulomb's limit"
        checks += [
            worst(f"{BODY[dim]}, tangential restitution", labels, along, right, 1e-6, source),
            worst(f"{BODY[dim]}, spin times radius", labels, spin, turned, 1e-6, source),
            worst(f"{BODY[dim]}, normal restitution", labels, across, 1.0, 1e-6, "definition of the restitution"),
        ]
        curves[BODY[dim]] = {"along": along, "expected": right}
    elongation, weight, way, _ = held(REMEMBERS)
    right_one = weight / (2 / 7 * 1e5)
    creeps = held(FORGETS)[3]
    checks += [
        Check("held disc, elongation of the spring", elongation, right_one, 1e-9 * right_one,
              "m g sin(20 degrees) / k_t"),
        Check(f"held disc, way in {STEPS:,} steps", way, 0.0, 1e-12, "what sticks is at rest"),
        Check("the same without memory, speed of slip", creeps, weight / 100.0, 1e-3 * weight / 100.0,
              "m g sin(20 degrees) / damping"),
    ]  # fmt: skip
    return Outcome(tuple(checks), {"angles": ANGLES, "curves": curves})


def draw(figure: Figure, data: Data) -> None:
    """Draw the tangential restitution against the angle of incidence."""
    for axis, color, body in zip(figure.subplots(1, 2, sharey=True), (BLUE, ORANGE), ("disc", "sphere"), strict=True):
        curve = data["curves"][body]
        axis.plot(data["angles"], curve["expected"], color=INK, linewidth=1)
        axis.plot(data["angles"], curve["along"], "o", color=color, markersize=4)
        axis.set(xlabel="angle of incidence, degrees", title=f"{body}, friction {FRICTION}; line: closed form")
    figure.axes[0].set_ylabel("tangential speed after / before")


def heap(law: str) -> dict[str, np.ndarray]:
    """Return discs that have settled in a box: before it is tilted, after that, and so many steps later."""
    random = np.random.default_rng(0)
    num, width, gravity, turn = 100, 13.0, 1.0, math.radians(SLOPE)
    radius, number = random.uniform(0.4, 0.6, num), np.arange(num)
    place = np.stack([0.7 + 1.25 * (number % 10), 0.7 + 1.15 * (number // 10)], -1)
    particles = dem.Particles.create(place + random.uniform(-0.05, 0.05, (num, 2)), 0.0, radius, math.pi * radius**2)
    level, tilted = (
        dem.World.create(np.zeros(2), np.array([width, 30.0]), "soft", stiffness=2e4, dt=5e-4, restitution=0.2,
            friction=0.8, law=law, gravity=gravity * np.array([math.sin(angle), -math.cos(angle)]),
        )
        for angle in (0.0, turn)
    )  # fmt: skip
    lies = dem.simulate(level, particles, STEPS // 2)
    leans = dem.simulate(tilted, lies, STEPS)
    later = dem.simulate(tilted, leans, STEPS)
    found = {"lies": lies.position, "leans": leans.position, "later": later.position}
    return {"radius": radius} | {name: np.asarray(position) for name, position in found.items()}


def play_heap() -> Outcome:
    """Compare a heap of discs in a tilted box, of contacts with a tangential spring, with rest."""
    heaps = {law: heap(law) for law in (REMEMBERS, FORGETS)}
    ways = {law: np.linalg.norm(each["later"] - each["leans"], axis=1) for law, each in heaps.items()}
    longest = float(ways[REMEMBERS].max())
    name = f"with memory, longest way of {len(ways[REMEMBERS])} discs in {STEPS:,} steps"
    check = Check(name, longest, 0.0, 1e-6, "a heap below its angle of repose is at rest", "at most")
    return Outcome((check,), {"heaps": heaps, "longest_way": {law: float(way.max()) for law, way in ways.items()}})


def draw_heap(figure: Figure, data: Data) -> None:
    """Draw both heaps at the end, each disc by the way that it has gone since it was tilted and left alone."""
    axes = figure.subplots(1, 2, sharey=True)
    for axis, (law, title) in zip(axes, ((REMEMBERS, "with memory"), (FORGETS, "without")), strict=True):
        one = {name: np.asarray(each) for name, each in data["heaps"][law].items()}
        way = np.linalg.norm(one["later"] - one["leans"], axis=1)
        axis.set(xlim=(0, 13), ylim=(0, 11), aspect="equal", title=f"{title}: at most {data['longest_way'][law]:.1g}")
        width = 72 * figure.get_figwidth() * 0.39 / 13
        limit = max(1e-3, data["longest_way"][FORGETS])
        shown = axis.scatter(
            *one["later"].T, s=(2 * width * one["radius"]) ** 2, c=way, vmin=0.0, vmax=limit, linewidth=0
        )
    figure.colorbar(shown, ax=axes, label=f"way in {STEPS:,} steps")
