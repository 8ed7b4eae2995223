"""Particle-steps per second of physics alone, against jax-md's soft spheres.

Both move discs of one size at an area fraction of 0.3 by velocity Verlet under linear repulsion, with lists of
neighbours that are looked at in every step and built again when somebody has moved half the skin, a tenth of the
diameter; periodic boxes, because jax-md has no walls.
"""

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from benchmarks.rows import compared
from jaxdem_ac import dem
from jaxdem_ac.bench.measure import Side
from jaxdem_ac.dem.neighbor_list import allocate, make_spec

SIZES = (1024, 4096, 16_384)
STIFFNESS, DT, FRACTION, SKIN = 1e3, 1e-3, 0.3, 0.2


@cache
def start(num_particles: int) -> tuple[float, dem.World, dem.Particles]:
    """Return the side of the box, its world, and discs that have forgotten the lattice they started on."""
    side = (num_particles * np.pi / 4 / FRACTION) ** 0.5
    per_row = int(np.ceil(num_particles**0.5))
    index = np.arange(num_particles)
    position = (np.stack([index % per_row, index // per_row], axis=-1) + 0.5) * side / per_row
    velocity = np.random.default_rng(0).normal(size=(num_particles, 2))
    world = dem.World.create([0.0, 0.0], [side, side], "periodic", stiffness=STIFFNESS, dt=DT)
    return side, world, dem.simulate(world, dem.Particles.create(position, velocity, radius=0.5), 3_000)


def steps(num_particles: int) -> int:
    """Return how many one call takes: about half a second."""
    return max(50, 3_000_000 // num_particles)


def ours(num_particles: int) -> Side:
    """Return this package's side."""
    side, world, particles = start(num_particles)
    spec = make_spec(num_particles, (side, side), 1.0, SKIN, room=2.0, periodic=True)
    num_steps = steps(num_particles)

    @jax.jit
    def play(particles: Any, neighbors: Any) -> Any:
        return dem.advance(world, particles, jnp.zeros_like(particles.force), num_steps, None, spec, neighbors)

    held = [(particles, allocate(spec, particles.position))]

    def call(_: Array) -> Any:
        held[0] = play(*held[0])
        assert float(held[0][1].overflow_ratio(spec)) == 0
        return held[0]

    return Side(call, num_steps, num_particles)


def jax_md(num_particles: int) -> Side | None:
    """Return jax-md's side; None where it is not installed."""
    try:
        from jax_md import energy, simulate, space
    except ImportError:
        return None
    side, _, particles = start(num_particles)
    position = jnp.mod(particles.position, side)
    displacement, shift = space.periodic(side)
    # Its soft spheres repel with epsilon / sigma * (1 - r / sigma): the stiffness is epsilon / sigma**2.
    neighbor_fn, energy_fn = energy.soft_sphere_neighbor_list(
        displacement, side, sigma=1.0, epsilon=STIFFNESS, dr_threshold=SKIN
    )
    init_fn, step_fn = simulate.nve(energy_fn, shift, DT)
    neighbors = neighbor_fn.allocate(position)
    state = init_fn(jax.random.key(0), position, kT=1.0, neighbor=neighbors)
    num_steps = steps(num_particles)

    @jax.jit
    def play(state: Any, neighbors: Any) -> Any:
        def body(_: Any, carry: Any) -> Any:
            state, neighbors = carry
            neighbors = neighbors.update(state.position)
            return step_fn(state, neighbor=neighbors), neighbors

        return jax.lax.fori_loop(0, num_steps, body, (state, neighbors))

    held = [(state, neighbors)]

    def call(_: Array) -> Any:
        held[0] = play(*held[0])
        assert not bool(held[0][1].did_buffer_overflow)
        return held[0]

    return Side(call, num_steps, num_particles)


def run() -> list[dict[str, Any]]:
    """Return the rows."""
    rows = []
    for num_particles in SIZES:
        sides = {"jaxdem-ac": ours(num_particles), "jax-md": jax_md(num_particles)}
        rows += compared(sides, suite="engine", stage="physics", N=num_particles, E=1)
    return rows
