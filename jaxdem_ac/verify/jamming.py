"""Jamming of bidisperse frictionless discs: area fraction and contacts at the onset."""

import math
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxdem_ac import dem
from jaxdem_ac.verify.case import Check, Data, Figure, Outcome, box
from jaxdem_ac.view.figures.style import BLUE, GREY, INK, ORANGE

RATIO = 1.4
"""Ratio of diameters, half of the discs of each."""
QUENCHED = 0.84
"""Area fraction at which random points become discs and are quenched."""
ONSET = 1e-6
"""Compression beyond the onset of jamming, of the area fraction, at which contacts are counted."""
MOST_STEPS = 20_000
"""Most steps in one quench."""
OHERN = "O'Hern et al., PRE 68, 011306 (2003)"


class Fire(NamedTuple):
    """State of a quench by FIRE (Bitzek et al., PRL 97, 170201, 2006), whose steps the engine makes."""

    particles: dem.Particles
    dt: Array
    mixing: Array
    downhill: Array
    """Steps since the last one uphill."""
    num_steps: Array


@jax.jit
@partial(jax.vmap, in_axes=(None, 0, 0))
def quench(world: dem.World, position: Array, radius: Array) -> Array:
    """Return positions of mechanical equilibrium, ``(N, 2)``, for each packing."""

    def goes_on(now: Fire) -> Array:
        return (now.num_steps < MOST_STEPS) & (jnp.max(jnp.abs(now.particles.force)) > 1e-13)

    def body(now: Fire) -> Fire:
        after, _neighbors = dem.advance(replace(world, dt=now.dt), now.particles, jnp.zeros_like(position), 1)
        force, velocity = after.force, after.velocity
        power = jnp.sum(force * velocity)
        size = jnp.sqrt(jnp.sum(velocity**2) / jnp.maximum(jnp.sum(force**2), 1e-300))
        mixed = (1 - now.mixing) * velocity + now.mixing * size * force
        down, long = power > 0, now.downhill > 5
        return Fire(
            replace(after, velocity=jnp.where(down, mixed, 0.0)),
            jnp.where(down, jnp.where(long, jnp.minimum(1.1 * now.dt, 0.4), now.dt), 0.5 * now.dt),
            jnp.where(down, jnp.where(long, 0.99 * now.mixing, now.mixing), 0.1),
            jnp.where(down, now.downhill + 1, 0),
            now.num_steps + 1,
        )

    # At rest the first step does nothing but find the forces.
    start, _neighbors = dem.advance(world, dem.Particles.create(position, 0.0, radius), jnp.zeros_like(position), 1)
    first = Fire(replace(start, velocity=jnp.zeros_like(position)), jnp.asarray(0.1), jnp.asarray(0.1),
                 jnp.asarray(0), jnp.asarray(0))  # fmt: skip
    last = jax.lax.while_loop(goes_on, body, first)
    return last.particles.position


class Packing(NamedTuple):
    """Numbers of packings at the onset of jamming, ``(P,)`` each."""

    area_fraction: np.ndarray
    surplus: np.ndarray
    """Contacts beyond those of an isostatic packing, ``N_c - (2 N' - 1)``."""
    contacts: np.ndarray
    """Per disc that is no rattler."""
    rattlers: np.ndarray
    """Share of them."""


def overlaps(side: float, position: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """Return the overlap of each pair in units of the distance at which it touches, ``(N, N)``; below 0 apart."""
    offset = position[:, None] - position[None]
    offset -= side * np.round(offset / side)
    reach = radius[:, None] + radius[None]
    found = 1 - np.sqrt((offset**2).sum(-1)) / reach
    np.fill_diagonal(found, -1.0)
    return found


def backbone(touches: np.ndarray) -> np.ndarray:
    """Return which discs are no rattlers: those with three contacts or more among themselves, ``(N,)`` of bool."""
    held = np.ones(len(touches), bool)
    while True:
        still = held & ((touches & held).sum(1) >= 3)
        if (still == held).all():
            return held
        held = still


Discs = tuple[np.ndarray, np.ndarray, float]
"""Positions, radii and the side of their box."""


def find_onset(num: int, packings: int, seed: int, rounds: int = 60) -> tuple[Packing, Discs]:
    """Return packings at the onset of jamming, and one of them; NaN where none was found in so many rounds.

    Random points become discs that are quenched. Then they grow where they do not jam, in steps that are halved each
    time they have to shrink, and shrink where they jam, by four fifths of what their mean overlap says.
    """
    random = np.random.default_rng(seed)
    size = np.where(np.arange(num) % 2, RATIO, 1.0) / 2
    side = math.sqrt(math.pi * (size**2).sum() / QUENCHED)
    world = box(2, 0.0, side, "periodic", stiffness=1.0, dt=0.1)
    position = random.uniform(0, side, (packings, num, 2))
    fraction, growth = np.full(packings, QUENCHED), np.full(packings, 4e-3)
    beyond, done = np.full(packings, np.nan), np.zeros(packings, bool)
    for _ in range(rounds):
        radius = size * np.sqrt(fraction / QUENCHED)[:, None]
        relaxed = np.asarray(quench(world, jnp.asarray(position), jnp.asarray(radius)))
        position = np.where(done[:, None, None], position, relaxed)
        for at in np.flatnonzero(~done).tolist():
            depth = overlaps(side, position[at], radius[at])
            held = backbone(depth > 0)
            deep = depth[np.ix_(held, held)]
            # Unjammed discs keep no overlap but rounding.
            jammed = held.any() and deep[deep > 0].mean() > 1e-9
            if not jammed:
                growth[at] = growth[at] / 2 if np.isfinite(beyond[at]) else growth[at]
                fraction[at] += growth[at]
                beyond[at] = np.nan
                continue
            # An overlap of a contact is half of the relative growth of the area, where the packing is rigid.
            beyond[at] = 2 * fraction[at] * deep[deep > 0].mean()
            if beyond[at] < ONSET:
                done[at] = True
            else:
                growth[at] = min(growth[at], beyond[at] / 4)
                fraction[at] -= 0.8 * beyond[at]
        if done.all():
            break
    rows = []
    for at in range(packings):
        touches = overlaps(side, position[at], size * np.sqrt(fraction[at] / QUENCHED)) > 0
        held = backbone(touches)
        pairs, inside = int((touches & held & held[:, None]).sum()) // 2, int(held.sum())
        surplus, each = pairs - (2 * inside - 1), 2 * pairs / max(inside, 1)
        rows.append((fraction[at] - beyond[at], surplus, each, 1 - inside / num))
    made = Packing(*(np.where(done, column, np.nan) for column in np.array(rows).T))
    return made, (position[0], size * math.sqrt(fraction[0] / QUENCHED), side)


NUM, PACKINGS = 64, 16
INFINITE = 0.842
"""Area fraction at the onset in an infinite system."""


def shift(num: int) -> float:
    """Return by how much small systems jam earlier: ``0.12 L**(-1 / nu)``, ``L = sqrt(N)``, ``nu = 0.71``."""
    return 0.12 * num ** (-1 / (2 * 0.71))


def width(num: int) -> float:
    """Return the full width at half maximum of the distribution of onsets, ``0.16 N**-0.55``."""
    return 0.16 * num**-0.55


def play() -> Outcome:
    """Compare area fraction and contacts of bidisperse discs at the onset of jamming, with O'Hern et al."""
    made, (position, radius, side) = find_onset(NUM, PACKINGS, seed=0)
    # A Gaussian's full width at half maximum is 2.35 standard deviations; three standard errors of the mean.
    deviation = width(NUM) / 2.355
    mean_error = 3 * deviation / math.sqrt(PACKINGS)
    checks = (
        Check(f"area fraction at the onset, mean of {PACKINGS} packings of {NUM}", float(made.area_fraction.mean()),
              INFINITE - shift(NUM), mean_error + 0.001, f"{OHERN}, finite-size scaling"),
        Check("standard deviation of it", float(made.area_fraction.std(ddof=1)), deviation, 0.5 * deviation,
              f"{OHERN}, finite-size scaling"),
        Check("contacts beyond isostatic ones, 2 N' - 1, of the median packing", float(np.median(made.surplus)), 0.0,
              0.0, f"Maxwell's count; {OHERN}"),
        Check("contacts per disc, without rattlers", float(made.contacts.mean()),
              float(np.mean(4 - 2 / (NUM * (1 - made.rattlers)))), 0.02, f"Maxwell's count; {OHERN}"),
    )  # fmt: skip
    data = {"area_fraction": made.area_fraction, "contacts": made.contacts, "position": position, "radius": radius,
            "side": side}  # fmt: skip
    return Outcome(checks, data)


def draw(figure: Figure, data: Data) -> None:
    """Draw one packing with its contacts, and the distribution of onsets."""
    left, right = figure.subplots(1, 2)
    position, radius, side = (np.asarray(data[name]) for name in ("position", "radius", "side"))
    place = position % side
    touches = overlaps(float(side), place, radius) > 0
    held = backbone(touches)
    left.set(xlim=(0, side), ylim=(0, side), xticks=[], yticks=[], aspect="equal", title="contacts; open: rattlers")
    points_per_length = 72 * figure.get_figwidth() * left.get_position().width / float(side)
    sizes = (2.15 * radius * points_per_length) ** 2
    left.scatter(*place.T, s=sizes, facecolor=np.where(held, "#BFD9EC", "none"), edgecolor=GREY, linewidth=0.5)
    for one, other in np.argwhere(np.triu(touches & held & held[:, None])):
        step = place[other] - place[one]
        step -= side * np.round(step / side)
        left.plot(*np.stack([place[one], place[one] + step], 1), color=ORANGE, linewidth=1)
    right.hist(data["area_fraction"], bins=8, color=BLUE)
    right.axvline(INFINITE - shift(NUM), color=INK, linestyle=":")
    right.set(xlabel="area fraction at the onset", ylabel="packings", title=f"dotted: O'Hern et al., N = {NUM}")
