"""Freely cooling gas of smooth inelastic discs: Haff's law while it is homogeneous, ``1 / t`` once it clusters."""

import math

import jax.numpy as jnp
import numpy as np

from jaxdem_ac import dem
from jaxdem_ac.verify.case import Check, Data, Figure, Outcome, box, lattice
from jaxdem_ac.view.figures.style import BLUE, INK, ORANGE

NUM = 128
"""Few: with 512 the gas cooled more slowly, perhaps by long waves of shear."""
AREA_FRACTION = 0.2
SEEDS = 12
STIFFNESS = 3e4
"""A contact lasts a sixtieth of the mean free time at the beginning, and less of it ever after."""
RESTITUTIONS = (0.95, 0.9)


def collision_rate(area_fraction: float, temperature: float = 1.0) -> float:
    """Return Enskog's rate of collisions of one disc of diameter 1 and mass 1 at equilibrium, 1 / time.

    ``2 sqrt(pi) n chi sqrt(T)``, n the number density, ``chi = (1 - 7 phi / 16) / (1 - phi)**2`` the pair correlation
    at contact (Henderson, Mol. Phys. 30, 971, 1975).
    """
    contact = (1 - 7 * area_fraction / 16) / (1 - area_fraction) ** 2
    return 2 * math.sqrt(math.pi) * area_fraction / (math.pi / 4) * contact * math.sqrt(temperature)


def cooling_time(area_fraction: float, restitution: float) -> float:
    """Return Haff's tau of ``T = T_0 / (1 + t / tau)**2`` for ``T_0 = 1``: ``4 / ((1 - e**2) rate)``, time.

    In two dimensions (van Noije and Ernst, Granular Matter 1, 57, 1998), without their corrections for a distribution
    of velocities that is not Gaussian: at e = 0.9 they are 0.5 %.
    """
    return 4 / ((1 - restitution**2) * collision_rate(area_fraction))


def equilibrium(num: int, area_fraction: float, seed: int, stiffness: float = STIFFNESS) -> tuple[float, dem.Particles]:
    """Return the side of a periodic box, and discs of diameter 1 in it at rest as a whole, at temperature 1.

    They come from a square lattice and have collided elastically ten times each.
    """
    side = math.sqrt(num * math.pi / 4 / area_fraction)
    random = np.random.default_rng(seed)
    start = dem.Particles.create(lattice(num, side), thermal(random.normal(size=(num, 2))), 0.5)
    world = box(2, 0.0, side, "periodic", stiffness=stiffness, dt=time_step(stiffness))
    mixed = dem.simulate(world, start, math.ceil(10 / collision_rate(area_fraction) / time_step(stiffness)))
    return side, dem.Particles.create(mixed.position, thermal(np.asarray(mixed.velocity)), 0.5)


def thermal(velocity: np.ndarray) -> np.ndarray:
    """Return velocities without their mean, at temperature 1: half of the mean square in each direction."""
    moved = velocity - velocity.mean(0)
    return moved / math.sqrt((moved**2).mean())


def time_step(stiffness: float) -> float:
    """Return a twenty-fifth of the duration of a contact."""
    return math.pi * math.sqrt(0.5 / stiffness) / 25


def cool(restitution: float, seed: int, num_points: int = 30, until: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    """Return times in units of Haff's tau, up to `until`, and temperatures."""
    side, particles = equilibrium(NUM, AREA_FRACTION, seed)
    tau, dt = cooling_time(AREA_FRACTION, restitution), time_step(STIFFNESS)
    world = box(2, 0.0, side, "periodic", stiffness=STIFFNESS, dt=dt, restitution=restitution)
    steps = math.ceil(until * tau / num_points / dt)
    temperatures = [1.0]
    for _ in range(num_points):
        particles = dem.simulate(world, particles, steps)
        temperatures.append(float(jnp.mean(particles.velocity**2)))
    return np.arange(num_points + 1) * steps * dt / tau, np.array(temperatures)


def play() -> Outcome:
    """Compare energy of a freely cooling granular gas against time, with Haff's law and the rate of kinetic theory."""
    checks, curves = [], {}
    for restitution in RESTITUTIONS:
        runs = [cool(restitution, seed) for seed in range(SEEDS)]
        times, temperatures = runs[0][0], np.mean([run[1] for run in runs], 0)
        # (E_0 / E)**(1/2) - 1 = t / tau: a line through 0 in units of tau.
        line = temperatures**-0.5 - 1
        slope = float(np.sum(line * times) / np.sum(times**2))
        half = times > times[-1] / 2
        late = float(np.polyfit(times[half], line[half], 1)[0])
        what = f"e = {restitution}"
        checks += [
            # Three standard errors of the mean over the seeds, each of which scatters by 5 %.
            Check(f"{what}: tau of kinetic theory / tau", slope, 1.0, 0.045, "van Noije and Ernst (1998)"),
            Check(f"{what}: the same, in the second half alone", late, 1.0, 0.09, "Haff (1983)"),
        ]
        curves[what] = {"time": times, "temperature": temperatures}
    return Outcome(tuple(checks), {"curves": curves})


CLUSTERS, CLUSTERS_RESTITUTION, SOFT = 4_096, 0.7, 3e3
"""Discs, their restitution, and their stiffness."""
UNITS = 60
"""Times that a thermal disc needs for its diameter, over which the clustering gas is played."""


def cluster() -> tuple[np.ndarray, np.ndarray]:
    """Return times in units of Haff's tau, and energies per degree of freedom, of a gas that clusters.

    Speeds are multiplied whenever the energy has fallen by half, and time is divided by that, which changes nothing
    for hard discs: the engine's time step and stiffness suit the gas for good.
    """
    side, particles = equilibrium(CLUSTERS, AREA_FRACTION, 0, SOFT)
    dt, scale = time_step(SOFT), 1.0
    world = box(2, 0.0, side, "periodic", stiffness=SOFT, dt=dt, restitution=CLUSTERS_RESTITUTION)
    steps = math.ceil(1 / dt)
    times, energies = [0.0], [1.0]
    for _ in range(UNITS):
        particles = dem.simulate(world, particles, steps)
        temperature = float(jnp.mean(particles.velocity**2))
        times.append(times[-1] + steps * dt / scale)
        energies.append(temperature * scale**2)
        if temperature < 0.5:
            faster = temperature**-0.5
            scale /= faster
            particles = dem.Particles.create(particles.position, particles.velocity * faster, 0.5)
    return np.array(times) / cooling_time(AREA_FRACTION, CLUSTERS_RESTITUTION), np.array(energies)


def play_clusters() -> Outcome:
    """Compare energy of a cooling gas that clusters against time, with Nie, Ben-Naim and Chen's 1 / t."""
    times, energies = cluster()
    late = times > times[-1] / 3
    slope = float(np.polyfit(np.log(times[late]), np.log(energies[late]), 1)[0])
    early = (times > 0) & (times < 1)
    first = float(np.polyfit(np.log1p(times[early]), np.log(energies[early]), 1)[0])
    checks = (
        Check("exponent of 1 + t / tau while it is homogeneous, t < tau", first, -2.0, 0.2, "Haff (1983)"),
        Check("exponent of time in the last factor of 3", slope, -1.0, 0.2, "Nie, Ben-Naim, Chen (2002)"),
        Check("energy at the end, in that of Haff's law", float(energies[-1] * (1 + times[-1]) ** 2), 3.0, 0.0,
              "it falls more slowly; Nie, Ben-Naim, Chen (2002)", "at least"),
    )  # fmt: skip
    return Outcome(checks, {"time": times, "energy": energies})


def draw_clusters(figure: Figure, data: Data) -> None:
    """Draw energy against time."""
    axis = figure.subplots()
    times, energies = np.asarray(data["time"]), np.asarray(data["energy"])
    grid = np.geomspace(0.1, times[-1], 100)
    axis.loglog(grid, (1 + grid) ** -2, color=INK, linewidth=1, label="Haff's law")
    axis.loglog(grid[50:], energies[-1] * times[-1] / grid[50:], color=INK, linewidth=1, linestyle=":", label="1 / t")
    axis.loglog(times[1:], energies[1:], "o", color=BLUE, markersize=4, label=f"{CLUSTERS:,} discs, e = 0.7")
    axis.set(xlabel="time / tau of kinetic theory", ylabel="energy / first energy")


def draw(figure: Figure, data: Data) -> None:
    """Draw energy against time."""
    axis = figure.subplots()
    grid = np.linspace(0, 2, 100)
    axis.semilogy(grid, (1 + grid) ** -2, color=INK, linewidth=1, label="Haff's law")
    for color, marker, (name, curve) in zip((BLUE, ORANGE), "ox", data["curves"].items(), strict=True):
        axis.semilogy(curve["time"], curve["temperature"], marker, color=color, markersize=4, label=name)
    axis.set(xlabel="time / tau of kinetic theory", ylabel="energy / first energy")
