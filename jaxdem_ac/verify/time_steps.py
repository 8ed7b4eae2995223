"""Time steps: errors of restitution and energy against the steps in a contact; where the engine warns and refuses."""

import math
import warnings
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxdem_ac import dem
from jaxdem_ac.dem.time_step import STEPS_PER_CONTACT
from jaxdem_ac.verify.case import Check, Data, Figure, Outcome, box, worst
from jaxdem_ac.view.figures.style import BLUE, GREEN, INK, ORANGE

STEPS = (1.9, 2.5, 4.5, 7.5, 12.5, 20.5, 40.5, 80.5, 160.5)
"""Steps in an elastic contact; of a whole number the errors of the first and the last step cancel."""
LENGTH = 350
"""Steps that are played."""
PHASES = 64
"""Phases of the first step inside the contact."""
DAMPED = 0.5
STIFFNESS = 1e5
VERLET = "invariant of velocity Verlet"
"""Source of the bound: of an oscillator velocity Verlet keeps ``v**2 + w**2 x**2 (1 - w**2 dt**2 / 4)`` (Hairer,
Lubich, Wanner, Acta Numerica 2003)."""


def collide(steps: float, restitution: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the ratios of speed after and before, and the largest energy inside an impact over that before.

    Both are ``(PHASES,)``; `steps` are those in an elastic contact.
    """
    reduced, speed = 0.5, 1.0
    dt = math.pi * math.sqrt(reduced / STIFFNESS) / steps
    world = box(2, -9.0, 9.0, stiffness=STIFFNESS, dt=dt, restitution=restitution)

    ratio, energy = _impacts(world, speed * dt * (1 + (jnp.arange(PHASES) + 0.5) / PHASES))
    return np.asarray(ratio) / speed, np.asarray(energy) / (reduced * speed**2 / 2)


@jax.jit
@partial(jax.vmap, in_axes=(None, 0))
def _impacts(world: dem.World, gap: Array) -> tuple[Array, Array]:
    """Return the speed of separation after an impact and the largest energy inside, for each gap before it."""
    place = jnp.asarray([[-0.5, 0.0], [0.5, 0.0]]) * (1 + gap)
    start = dem.Particles.create(place, jnp.asarray([[0.5, 0.0], [-0.5, 0.0]]), 0.5)

    def body(now: dem.Particles, _: None) -> tuple[dem.Particles, Array]:
        now, _neighbors = dem.advance(world, now, jnp.zeros_like(now.force), 1)
        overlap = jnp.maximum(0.0, 1 - (now.position[1, 0] - now.position[0, 0]))
        return now, jnp.sum(now.kinetic_energy) + STIFFNESS / 2 * overlap**2

    last, energy = jax.lax.scan(body, start, length=LENGTH)
    return last.velocity[1, 0] - last.velocity[0, 0], jnp.max(energy)


def warned_and_refused(steps: float) -> str:
    """Return what :func:`jaxdem_ac.dem.simulate` does with a time step: takes it, warns of it or refuses it."""
    dt = math.pi * math.sqrt(0.5 / STIFFNESS) / steps
    world = box(2, -9.0, 9.0, stiffness=STIFFNESS, dt=dt)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            world.check("verify", dem.Particles.create(np.array([[-2.0, 0.0], [2.0, 0.0]]), radius=0.5))
        except ValueError:
            return "refused"
    return "warned of" if caught else "taken"


def bound(steps: float) -> float:
    """Return the most by which Verlet multiplies the speed of an elastic impact, whatever the phase."""
    return 1 / math.sqrt(1 - (math.pi / steps) ** 2 / 4)


def play() -> Outcome:
    """Compare errors of impacts against the steps in a contact, with the invariant of velocity Verlet."""
    ratio, energy = map(np.stack, zip(*(collide(steps, 1.0) for steps in STEPS), strict=True))
    high, low, swings = ratio.max(1), ratio.min(1), energy.max(1)
    damped = np.abs([collide(steps, DAMPED)[0] / DAMPED - 1 for steps in STEPS]).max(1)
    labels = [f"{steps:g} steps in a contact" for steps in STEPS]
    most = np.array([bound(steps) for steps in STEPS])
    errors = np.maximum(high - 1, 1 - low)
    checks = [
        worst("largest speed after an elastic impact", labels, high, most, 1e-9, VERLET, "at most"),
        worst("least speed after an elastic impact", labels, low, 1 / most, 1e-9, VERLET, "at least"),
        worst("largest energy inside an impact", labels, swings, most**2, 1e-9, VERLET, "at most"),
    ]
    fine = np.asarray(STEPS) > 12
    logs = np.log(np.asarray(STEPS)[fine])
    # What a damped contact's last step does to its speed depends on where the contact ends in it, and scatters.
    orders = {
        "speed, elastic": (errors, 2.0, 0.05),
        "energy": (swings - 1, 2.0, 0.05),
        f"speed, e = {DAMPED}": (damped, 1.0, 0.3),
    }
    for name, (made, order, scatter) in orders.items():
        slope = -float(np.polyfit(logs, np.log(made[fine]), 1)[0])
        checks.append(Check(f"order of the error: {name}", slope, order, scatter, ORDERS[order]))
    said = [warned_and_refused(steps) for steps in (1.75, 1.9, 19.0, 21.0)]
    rule = ["refused", "warned of", "warned of", "taken"]
    checks.append(
        Check("time steps that are refused, warned of or taken as they should, of 4",
              float(sum(a == b for a, b in zip(said, rule, strict=True))), 4.0, 0.0, DOUBLES)
    )  # fmt: skip
    return Outcome(tuple(checks), {"steps": STEPS, "elastic": errors, "damped": damped, "energy": swings - 1})


DOUBLES = "invariant of velocity Verlet: a speed may double below 1.81 steps, at 20 it is kept to 0.3 %"
ORDERS = {2.0: VERLET, 1.0: "a dashpot's force is that of half a step ago"}


def draw(figure: Figure, data: Data) -> None:
    """Draw errors against steps in a contact."""
    axis = figure.subplots()
    grid = np.geomspace(1.6, 200, 300)
    axis.loglog(grid, [bound(steps) - 1 for steps in grid], color=INK, linewidth=1, label="closed bound, elastic")
    axis.loglog(data["steps"], data["elastic"], "o", color=BLUE, label="speed, elastic impact")
    axis.loglog(data["steps"], data["damped"], "s", color=ORANGE, label=f"restitution, e = {DAMPED}")
    axis.loglog(data["steps"], data["energy"], "^", color=GREEN, label="energy inside the impact")
    for at, said in ((1.81, "refused"), (STEPS_PER_CONTACT, "warned of")):
        axis.axvline(at, color=INK, linestyle=":", linewidth=1)
        axis.text(at * 0.96, 2e-5, f"{said} ", rotation=90, ha="right", va="bottom", fontsize=8)
    axis.set(xlabel="steps in a contact", ylabel="largest relative error", ylim=(1e-5, 10))
    axis.legend(frameon=False, fontsize=8)
