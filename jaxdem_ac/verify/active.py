"""The task of active Brownian discs, without action: two phases and one, on either side of the critical point."""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from jaxdem_ac.environments.tasks.active_brownian import ActiveBrownian, ActiveBrownianState
from jaxdem_ac.verify.case import Bound, Check, Data, Figure, Outcome, lattice
from jaxdem_ac.view.figures.style import BLUE, GREY, INK

SIEBERT = "Siebert et al., PRE 98, 030601 (2018)"
CRITICAL = (40.0, 0.597)
"""Peclet number and area fraction of the critical point, with errors of 2 and 0.003."""
AREA_FRACTION = 0.6
BELOW, ABOVE = 10.0, 120.0
"""Peclet numbers that are played: a fourth and three times the critical one."""
DILUTE, DENSE = 0.35, 0.8
"""Local area fractions that a homogeneous state hardly has, and of which a separated one is made."""
PHYSICS_STEPS = 8
"""A decision of the task, without action: a fiftieth of the time in which a lone disc moves by its diameter."""


@partial(jax.jit, static_argnames=("task", "num_decisions"))
def advance(task: ActiveBrownian, state: ActiveBrownianState, num_decisions: int) -> ActiveBrownianState:
    """Return the state later, after so many decisions that leave the headings to their noise."""
    still = jnp.zeros((task.num_particles, task.action_size))
    return jax.lax.scan(lambda now, _: (task.step(now, still)[0], None), state, length=num_decisions)[0]


def play_swarm(num: int, peclet: float, until: float, seed: int) -> tuple[float, np.ndarray, np.ndarray]:
    """Return the side of a periodic box, the last positions, ``(N, 2)``, and local area fractions, ``(K,)``.

    There are `num` discs, and `peclet` is ``3 speed / (diameter rotational diffusion)``; `until` is in units of the
    time in which a lone disc moves by its diameter.
    """
    side = math.sqrt(num * math.pi / 4 / AREA_FRACTION)
    task = ActiveBrownian(
        num_particles=num,
        box_size=side,
        rotational_diffusion=3 / peclet,
        physics_steps=PHYSICS_STEPS,
        lidar_range=1.0,
        n_lidar_rays=1,
        neighbor_room=1.5,
    )
    state = task.reset(jax.random.key(seed))
    pieces = 30
    place, fractions = np.empty(0), []
    for piece in range(pieces):
        state = advance(task, state, math.ceil(until / pieces / task.decision_time))
        if bool(task.overflow_of(state)):
            raise RuntimeError("verify: the lists of neighbours are long enough; they were not. Raise neighbor_room.")
        if piece >= 2 * pieces // 3:
            place = np.mod(np.asarray(state.particles.position), side)
            fractions.append(local_fractions(place, side))
    return side, place, np.concatenate(fractions)


def local_fractions(place: np.ndarray, side: float, reach: float = 3.0) -> np.ndarray:
    """Return area fractions within circles of a radius around points of a grid, ``(K,)``."""
    from scipy.spatial import cKDTree

    counts = cKDTree(place, boxsize=side).query_ball_point(lattice(144, side), reach, return_length=True)
    return np.asarray(counts) * 0.25 / reach**2


def cumulant(fractions: np.ndarray) -> float:
    """Return the ratio ``<m**2>**2 / <m**4>`` of deviations from the mean: 1/3 of a Gaussian, 1 of two sharp values."""
    deviation = fractions - fractions.mean()
    return float(np.mean(deviation**2) ** 2 / np.mean(deviation**4))


def play(num: int, until: tuple[float, float]) -> Outcome:
    """Compare local area fractions on either side of the critical point with those of one phase and of two.

    `until` are times that are played below and above the critical point; their last third is looked at.
    """
    checks, states = [], {}
    for peclet, time in zip((BELOW, ABOVE), until, strict=True):
        side, place, fractions = play_swarm(num, peclet, time, seed=0)
        what, ratio = f"Pe = {peclet:g}", cumulant(fractions)
        dilute, dense = float(np.mean(fractions < DILUTE)), float(np.mean(fractions > DENSE))
        source = f"{'one phase' if peclet < CRITICAL[0] else 'two phases'}; critical at Pe = 40(2), {SIEBERT}"
        name = f"{what}: <m^2>^2 / <m^4> of local area fractions"
        if peclet < CRITICAL[0]:
            checks.append(Check(name, ratio, 1 / 3, 0.06, f"Gaussian: {source}"))
            share: tuple[float, float, str, Bound] = (0.0, 0.05, source, "at most")
        else:
            checks.append(Check(name, ratio, 0.5, 0.05, source, "at least"))
            share = (0.2, 0.05, source, "at least")
        checks.append(Check(f"{what}: share of the area below {DILUTE}", dilute, *share))
        checks.append(Check(f"{what}: share of the area above {DENSE}", dense, *share))
        counts, _edges = np.histogram(fractions, bins=np.arange(0, 1.25, 0.05), density=True)
        states[what] = {"position": place, "density": counts}
    return Outcome(tuple(checks), {"side": side, "states": states})


def draw(figure: Figure, data: Data) -> None:
    """Draw both states, and the distribution of local area fractions."""
    *pictures, right = figure.subplots(1, 3)
    middles = np.arange(0.025, 1.2, 0.05)
    for axis, color, (name, state) in zip(pictures, (GREY, BLUE), data["states"].items(), strict=True):
        place, side = np.asarray(state["position"]), float(data["side"])
        width = 72 * figure.get_figwidth() * 0.29 / side
        axis.scatter(*place.T, s=(0.95 * width) ** 2, color=color, linewidth=0)
        axis.set(xlim=(0, side), ylim=(0, side), xticks=[], yticks=[], aspect="equal", title=name)
        right.plot(middles[: len(state["density"])], state["density"], color=color, label=name)
    right.axvline(AREA_FRACTION, color=INK, linewidth=1, linestyle=":")
    right.set(xlabel="local area fraction", ylabel="density")
    right.legend(frameon=False, fontsize=8)
