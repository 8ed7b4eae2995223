"""CPU time of a step whose contacts have tangential springs, relative to one without: `python -m benchmarks.springs`.

Discs of many sizes at an area fraction of 0.8, in a box with soft walls, so that each touches two or three others; both
laws in turns, the median of the ratios.
"""

import argparse
import time

import jax
import numpy as np

from jaxdem_ac import dem

SIZES = (16, 64, 1_000, 20_000)
LAWS = ("viscous_coulomb", "cundall_strack")
STEPS = 200


def start(num_particles: int, law: str) -> tuple[dem.World, dem.Particles]:
    """Return a world and discs in it that have pressed on each other for a while."""
    random, per_row = np.random.default_rng(0), int(np.ceil(num_particles**0.5))
    side = (num_particles * np.pi * 0.275 / 0.8) ** 0.5
    index = np.arange(num_particles)
    place = (np.stack([index % per_row, index // per_row], -1) + 0.5) * side / per_row
    world = dem.World.create(
        np.zeros(2), np.full(2, side), "soft", stiffness=1e4, dt=5e-4, restitution=0.7, friction=0.5, law=law
    )
    particles = dem.Particles.create(
        place, random.normal(size=(num_particles, 2)) * 0.5, random.uniform(0.45, 0.6, num_particles)
    )
    return world, dem.simulate(world, dem.simulate(world, particles, STEPS), STEPS)


def seconds(world: dem.World, particles: dem.Particles) -> float:
    """Return the CPU time of a call."""
    before = time.process_time()
    jax.block_until_ready(dem.simulate(world, particles, STEPS))
    return time.process_time() - before


def main() -> None:
    """Print a line for each size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    for num_particles in arguments.sizes:
        starts = [start(num_particles, law) for law in LAWS]
        rounds = np.array([[seconds(*each) for each in starts] for _ in range(arguments.rounds)])
        low, middle, high = np.quantile(rounds[:, 1] / rounds[:, 0], [0.25, 0.5, 0.75])
        step = 1e6 * np.median(rounds[:, 0]) / STEPS
        print(f"N = {num_particles:,}: {middle:.2f} times [{low:.2f}, {high:.2f}], {step:.0f} CPU microseconds without")


if __name__ == "__main__":
    main()
