"""Vicsek's model as a policy on the engine: order against noise."""

import math
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxdem_ac import dem
from jaxdem_ac.verify.case import Check, Data, Figure, Outcome, box
from jaxdem_ac.view.figures.style import BLUE, INK, ORANGE

NOISES = (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 2 * math.pi)
"""Widths of the interval of a turn, radians."""
SIZES = (36, 100)
SEEDS = 2
DENSITY, SPEED, SIGHT = 4.0, 0.03, 1.0
"""Vicsek's: particles per area, length per decision, radius within which a particle sees others."""
RADIUS = 0.05
SETTLE, DECISIONS = 500, 1_000
PHYSICS_STEPS, DT = 5, 0.2
VICSEK = "Vicsek et al., PRL 75, 1226 (1995)"


def policy(world: dem.World, particles: dem.Particles, noise: Array, key: Array) -> Array:
    """Return velocities to take, ``(N, 2)``: along the mean of those in sight, turned by at most half the noise."""
    offset = world.displacement(particles.position[:, None], particles.position[None])
    sees = jnp.sum(offset**2, -1) < SIGHT**2
    heading = particles.velocity / jnp.linalg.norm(particles.velocity, axis=-1, keepdims=True)
    mean = sees.astype(heading.dtype) @ heading
    angle = jnp.arctan2(mean[:, 1], mean[:, 0]) + noise * jax.random.uniform(
        key, mean.shape[:1], minval=-0.5, maxval=0.5
    )
    return SPEED * jnp.stack([jnp.cos(angle), jnp.sin(angle)], -1)


@partial(jax.jit, static_argnames="num")
@partial(jax.vmap, in_axes=(0, 0, None))
def orders(noise: Array, key: Array, num: int) -> Array:
    """Return the mean order ``|sum of v| / (N speed)`` after the swarm has settled, for each noise and key."""
    world = box(2, 0.0, math.sqrt(num / DENSITY), "periodic", stiffness=0.3, dt=DT)
    key_place, key_turn, key_steps = jax.random.split(key, 3)
    place = jax.random.uniform(key_place, (num, 2)) * world.box_high
    angle = jax.random.uniform(key_turn, (num,), maxval=2 * math.pi)
    start = dem.Particles.create(place, SPEED * jnp.stack([jnp.cos(angle), jnp.sin(angle)], -1), RADIUS)

    def body(now: tuple[dem.Particles, Array], key: Array) -> tuple[tuple[dem.Particles, Array], Array]:
        particles, before = now
        push = (policy(world, particles, noise, key) - particles.velocity) / (PHYSICS_STEPS * DT)
        # The first half kick of a decision is with the last force: that of the new push, not of the old one.
        particles = replace(particles, force=particles.force + push - before)
        particles, _neighbors = dem.advance(world, particles, push, PHYSICS_STEPS)
        return (particles, push), jnp.linalg.norm(jnp.mean(particles.velocity, 0)) / SPEED

    _, order = jax.lax.scan(body, (start, jnp.zeros_like(place)), jax.random.split(key_steps, SETTLE + DECISIONS))
    return jnp.mean(order[SETTLE:])


def play() -> Outcome:
    """Compare order of swarms against noise under Vicsek's rule, with its limits and its fall."""
    checks, curves = [], {}
    for num in SIZES:
        keys = jax.random.split(jax.random.key(num), len(NOISES) * SEEDS)
        found = np.asarray(orders(jnp.repeat(jnp.asarray(NOISES), SEEDS), keys, num)).reshape(-1, SEEDS).mean(1)
        what = f"{num} particles"
        random = math.sqrt(math.pi / num) / 2
        # The standard deviation of one mean of N directions is 0.52 of it, and there are 2,000.
        checks += [
            Check(f"{what}: order without noise", float(found[0]), 1.0, 0.01, f"all are parallel; {VICSEK}"),
            Check(f"{what}: order at a noise of 2 pi", float(found[-1]), random, 0.05 * random,
                  "mean of N random directions, sqrt(pi / N) / 2"),
            Check(f"{what}: largest rise of the order from one noise to the next", float(np.diff(found).max()), 0.0,
                  0.02, f"it falls; {VICSEK}, figure 2a", "at most"),
        ]  # fmt: skip
        curves[what] = found
    return Outcome(tuple(checks), {"noise": NOISES, "order": curves})


def draw(figure: Figure, data: Data) -> None:
    """Draw the order against the noise."""
    axis = figure.subplots()
    for color, marker, (name, order) in zip((ORANGE, BLUE), "xo", data["order"].items(), strict=True):
        axis.plot(data["noise"], order, marker, color=color, label=name)
        axis.axhline(math.sqrt(math.pi / int(name.split()[0])) / 2, color=color, linewidth=1, linestyle=":")
    axis.axhline(1, color=INK, linewidth=1, linestyle=":")
    axis.set(xlabel="noise, radians", ylabel="order", title="dotted: all parallel, and random directions")
