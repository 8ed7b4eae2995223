"""Friction: oblique impacts on a wall, and bodies that slide until they roll."""

import math

import jax
import jax.numpy as jnp
import numpy as np

from jaxdem_ac import dem
from jaxdem_ac.environments.tasks.swarm_roller import SwarmRoller
from jaxdem_ac.verify.case import Check, Data, Figure, Outcome, box, trajectory, worst
from jaxdem_ac.verify.impact import damping_ratio
from jaxdem_ac.view.figures.style import BLUE, INK, ORANGE

FRICTION = 0.1
ANGLES = tuple(float(each) for each in np.arange(5, 90, 5))
"""Angles of incidence, from the normal, degrees; the speed is 1."""
INERTIA = {2: 1 / 2, 3: 2 / 5}
"""Moment of inertia of a disc and of a sphere, in units of mass * radius**2."""
BODY = {2: "disc", 3: "sphere"}
WALTON = "Coulomb's law of a rigid body (Walton 1993)"


def push_impulse(restitution: float) -> float:
    """Return the impulse of a contact while it pushes, per mass and normal speed: 1 + e, and what a pull takes back.

    The dashpot pulls from the moment on at which its force passes that of the spring. The speed then is that of
    Schwager and Poeschel, Granular Matter 9, 465 (2007), for damping ratios below 1 / sqrt(2).
    """
    zeta = damping_ratio(restitution)
    root = math.sqrt(1 - zeta**2)
    phase = math.pi - math.atan2(2 * zeta * root, 1 - 2 * zeta**2)
    return 1 + math.exp(-zeta / root * phase)


def oblique(
    dim: int, restitution: float, law: str | dem.ContactLaw = "viscous_coulomb"
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return tangential and normal restitution and the spin times the radius after an impact, ``(angles,)`` each."""
    stiffness, radius, steps = 1e5, 0.5, 4_000
    dt = math.pi / math.sqrt(stiffness) / steps
    world = box(dim, 0.0, 9.0, "soft", stiffness=stiffness, dt=dt, restitution=restitution, friction=FRICTION,
        tangential_damping=1e4, law=law,
    )  # fmt: skip
    angles = jnp.radians(jnp.asarray(ANGLES))
    velocity = jnp.zeros((len(ANGLES), dim)).at[:, 0].set(jnp.sin(angles)).at[:, -1].set(-jnp.cos(angles))
    place = jnp.full(dim, 4.0).at[-1].set(radius)

    def after(velocity: jax.Array) -> dem.Particles:
        start = dem.Particles.create(place[None], velocity[None], radius)
        return dem.advance(world, start, jnp.zeros_like(start.force), 2 * steps)[0]

    last = jax.jit(jax.vmap(after))(velocity)
    # About the axis that the plane of the impact turns: y in space, out of the plane in 2D, where rolling turns back.
    spin = np.asarray(last.angular_velocity[:, 0, 1 if dim == 3 else 0]) * radius * (1 if dim == 3 else -1)
    along, across = np.asarray(last.velocity[:, 0, 0]), np.asarray(last.velocity[:, 0, -1])
    return along / np.asarray(velocity[:, 0]), across / -np.asarray(velocity[:, -1]), spin


def tangential_restitution(dim: int, restitution: float, angle: float) -> float:
    """Return the ratio of tangential speeds: sliding to the end, or until the body rolls."""
    sliding = 1 - FRICTION * push_impulse(restitution) / math.tan(math.radians(angle))
    return max(sliding, 1 / (1 + INERTIA[dim]))


def play_oblique() -> Outcome:
    """Compare oblique impacts on a wall with friction, with Coulomb's law of a rigid body."""
    checks, curves = [], {}
    for dim in (2, 3):
        for restitution in (1.0, 0.6):
            along, across, spin = oblique(dim, restitution)
            what = f"{BODY[dim]}, e = {restitution}"
            right = np.array([tangential_restitution(dim, restitution, angle) for angle in ANGLES])
            turned = (1 - right) * np.sin(np.radians(ANGLES)) / INERTIA[dim]
            labels = [f"{angle:.0f} degrees" for angle in ANGLES]
            checks += [
                worst(f"{what}, tangential restitution", labels, along, right, 5e-4, WALTON),
                worst(f"{what}, spin times radius", labels, spin, turned, 5e-4, WALTON),
                worst(
                    f"{what}, normal restitution", labels, across, restitution, 5e-4, "definition of the restitution"
                ),
            ]
            curves[what] = {"along": along, "expected": right}
    return Outcome(tuple(checks), {"angles": ANGLES, "curves": curves})


def draw_oblique(figure: Figure, data: Data) -> None:
    """Draw the tangential restitution against the angle of incidence."""
    for axis, body in zip(figure.subplots(1, 2, sharey=True), ("disc", "sphere"), strict=True):
        for color, e in ((BLUE, 1.0), (ORANGE, 0.6)):
            curve = data["curves"][f"{body}, e = {e}"]
            axis.plot(data["angles"], curve["expected"], color=INK, linewidth=1)
            axis.plot(data["angles"], curve["along"], "o", color=color, markersize=4, label=f"e = {e}")
        axis.set(xlabel="angle of incidence, degrees", title=f"{body}, friction {FRICTION}; lines: closed form")
    figure.axes[0].set_ylabel("tangential speed after / before")


GRAVITY = 10.0
SLIDES = 0.2
"""Coulomb's coefficient of the floor."""


def slide(dim: int) -> tuple[np.ndarray, np.ndarray]:
    """Return times and speeds of a body that is put onto a floor with speed 1 and without spin."""
    dt, radius, stiffness = 2e-5, 0.5, 1e5
    floor = {"restitution": 0.3, "friction": SLIDES, "tangential_damping": 1e3}
    world = box(dim, 0.0, 20.0, "soft", stiffness=stiffness, dt=dt, gravity=GRAVITY, **floor)
    place = jnp.full(dim, 5.0).at[-1].set(radius - GRAVITY / stiffness)
    start = dem.Particles.create(place[None], jnp.zeros((1, dim)).at[0, 0].set(1.0), radius)
    path = trajectory(world, start, 20_000, 100)
    return np.arange(201) * 100 * dt, np.asarray(path.velocity[:, 0, 0])


def accelerate() -> tuple[float, float]:
    """Return the acceleration of a roller of `swarm_roller` that turns itself, and the torque per mass and radius."""
    task = SwarmRoller(num_particles=1, drag=0.0, dt=2e-3)
    state = task.make_state(
        position=np.array([[2.0, 5.0]]), targets=np.array([[3.0, 3.0]]), box_low=np.zeros(2), box_high=np.full(2, 24.0)
    )
    speeds = []
    for _ in range(3):
        state, _timestep = task.step(state, jnp.asarray([[0.0, 1.0]]))
        speeds.append(float(state.particles.velocity[0, 0]))
    return (speeds[2] - speeds[1]) / task.decision_time, task.max_torque / (
        float(task.middle(task.mass)) * float(task.middle(task.radius))
    )


def play_rolling() -> Outcome:
    """Compare a disc and a sphere that slide until they roll, and a roller under torque, with rigid-body mechanics."""
    checks, curves = [], {}
    source = "angular momentum about the floor is kept"
    for dim in (2, 3):
        times, speeds = slide(dim)
        inertia, what = INERTIA[dim], BODY[dim]
        last = 1 / (1 + inertia)
        ends = inertia * last / (SLIDES * GRAVITY)
        early = times < 0.8 * ends
        slope = float(np.polyfit(times[early], speeds[early], 1)[0])
        # It creeps into rolling at the rate of the regularised friction, which is fast beside the time of sliding.
        checks += [
            Check(f"{what}: speed once it rolls", float(speeds[-1]), last, 1e-6, source),
            Check(f"{what}: deceleration while it slides", -slope, SLIDES * GRAVITY, 1e-3 * SLIDES * GRAVITY, source),
            Check(f"{what}: time of sliding", (1 - float(speeds[-1])) / -slope, ends, 1e-3 * ends, source),
        ]
        curves[what] = {"time": times, "speed": speeds}
    made, torque = accelerate()
    checks.append(Check("swarm_roller: acceleration of a sphere that turns itself, without drag", made,
                        torque / (1 + INERTIA[3]), 1e-3 * torque, "rolling: torque / (7/5 m R)"))  # fmt: skip
    return Outcome(tuple(checks), {"curves": curves})


def draw_rolling(figure: Figure, data: Data) -> None:
    """Draw speed against time."""
    axis = figure.subplots()
    for color, dim in ((BLUE, 2), (ORANGE, 3)):
        curve = data["curves"][BODY[dim]]
        times = np.asarray(curve["time"])
        closed = np.maximum(1 - SLIDES * GRAVITY * times, 1 / (1 + INERTIA[dim]))
        axis.plot(times, closed, color=INK, linewidth=1)
        axis.plot(times[::4], np.asarray(curve["speed"])[::4], "o", color=color, markersize=3, label=BODY[dim])
    axis.set(xlabel="time", ylabel="speed / first speed", title="lines: closed form")
