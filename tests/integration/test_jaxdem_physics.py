"""Our engine against JaxDEM's own, step by step on fresh random cases: springs, reflecting boxes, velocity Verlet."""

import importlib
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdem_ac import dem
from jaxdem_ac.dem import Particles, World

pytestmark = pytest.mark.jaxdem

YOUNG, DT = 2e5, 2e-3


@pytest.fixture(scope="module")
def jdem(rl: ModuleType) -> ModuleType:
    del rl  # It skips where JaxDEM is missing.
    return importlib.import_module("jaxdem")


def random_case(dim: int, seed: int) -> dict[str, np.ndarray]:
    """Return particles of many sizes that do not touch, in a box of random place and shape, with a random force."""
    random = np.random.default_rng(seed)
    sides = random.integers(2, 4, dim)
    lattice = np.stack(np.meshgrid(*[np.arange(n) for n in sides], indexing="ij"), -1).reshape(-1, dim)
    num = len(lattice)
    low = random.uniform(-30, 30, dim)
    radius = random.uniform(0.5, 1.0, num)
    return {
        "low": low,
        "size": 2.6 * sides + random.uniform(0, 1, dim),
        "position": low + 1.3 + 2.6 * lattice + random.uniform(-0.2, 0.2, (num, dim)),
        "velocity": random.normal(size=(num, dim)) * 2.0,
        "radius": radius,
        "mass": random.uniform(0.5, 3.0, num),
        "force": random.normal(size=(num, dim)) * 3.0,
    }


def theirs(jdem: ModuleType, case: dict[str, np.ndarray], num_steps: int, restitution: float = 1.0) -> Any:
    materials = importlib.import_module("jaxdem.materials")
    matchmakers = importlib.import_module("jaxdem.material_matchmakers")
    table = materials.MaterialTable.from_materials(
        [materials.Material.create("elastic", density=1.0, young=YOUNG, poisson=0.3)],
        matcher=matchmakers.MaterialMatchmaker.create("harmonic"),
    )
    state = jdem.State.create(
        pos=jnp.asarray(case["position"]),
        vel=jnp.asarray(case["velocity"]),
        rad=jnp.asarray(case["radius"]),
        mass=jnp.asarray(case["mass"]),
    )
    system = jdem.System.create(
        state.shape,
        dt=DT,
        domain_type="reflect",
        domain_kw={
            "box_size": jnp.asarray(case["size"]),
            "anchor": jnp.asarray(case["low"]),
            "restitution_coefficient": restitution,
        },
        mat_table=table,
    )
    force = jnp.asarray(case["force"])

    def body(carry: Any, _: None) -> Any:
        state, system = carry
        system = system.force_manager.add_force(state, system, force)
        state, system = jdem.System.step(state, system)
        return (state, system), (state.pos, state.vel)

    return jax.jit(lambda first: jax.lax.scan(body, first, None, num_steps)[1])((state, system))


def ours(case: dict[str, np.ndarray], restitution: float = 1.0) -> tuple[World, Particles]:
    low, high = jnp.asarray(case["low"]), jnp.asarray(case["low"] + case["size"])
    world = World.create(low, high, "reflect", stiffness=YOUNG, dt=DT, restitution=restitution)
    return world, Particles.create(case["position"], case["velocity"], case["radius"], case["mass"])


@pytest.mark.parametrize(("dim", "seed"), [(2, 0), (2, 1), (2, 2), (3, 0), (3, 1)])
def test_follows_jaxdem_step_by_step(jdem: ModuleType, dim: int, seed: int) -> None:
    """In double precision rounding has no time to grow: what differs would be the law."""
    with jax.enable_x64(True):
        case = random_case(dim, seed)
        position, velocity = theirs(jdem, case, 300)
        world, particles = ours(case)
        met = False
        after = particles
        for num_steps in range(25, 301, 25):
            after = dem.simulate(world, after, 25, case["force"])
            expected = position[num_steps - 1], velocity[num_steps - 1]
            np.testing.assert_allclose(after.position, expected[0], atol=1e-7)
            np.testing.assert_allclose(after.velocity, expected[1], atol=1e-6)
            free = case["velocity"] + DT * num_steps * case["force"] / case["mass"][:, None]
            met |= bool(np.abs(np.asarray(after.velocity) - free).max() > 0.5)
        assert met, "nobody met anybody, nor a wall"


def test_follows_jaxdem_in_single_precision(jdem: ModuleType) -> None:
    case = {name: values.astype(np.float32) for name, values in random_case(2, 7).items()}
    position, velocity = theirs(jdem, case, 200)
    world, particles = ours(case)
    after = dem.simulate(world, particles, 200, case["force"])
    assert after.position.dtype == position.dtype == jnp.float32
    np.testing.assert_allclose(after.position, position[-1], rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(after.velocity, velocity[-1], rtol=1e-3, atol=1e-2)


def test_walls_that_take_energy(jdem: ModuleType) -> None:
    """One particle: our restitution is the contacts' too, JaxDEM's the walls' alone."""
    with jax.enable_x64(True):
        case = {
            "low": np.array([-3.0, 5.0]),
            "size": np.array([4.0, 5.0]),
            "position": np.array([[-1.0, 7.0]]),
            "velocity": np.array([[7.0, -5.0]]),
            "radius": np.array([0.8]),
            "mass": np.array([1.7]),
            "force": np.array([[2.0, -9.0]]),
        }
        position, velocity = theirs(jdem, case, 600, restitution=0.7)
        world, particles = ours(case, restitution=0.7)
        after = particles
        for num_steps in range(100, 601, 100):
            after = dem.simulate(world, after, 100, case["force"])
            np.testing.assert_allclose(after.position, position[num_steps - 1], atol=1e-9)
            np.testing.assert_allclose(after.velocity, velocity[num_steps - 1], atol=1e-8)
