"""The engine against JaxDEM's trajectories, and against what mechanics says."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array
from support.sums import momentum

from jaxdem_ac import dem

DATA = Path(__file__).parents[1] / "data"

BOX = ([0.0, 0.0], [20.0, 20.0])
# A contact of two unit masses lasts 0.05 here, 50 steps.
SOFT = {"stiffness": 2e3, "dt": 1e-3}


def gas(num: int = 12, dim: int = 2, size: float = 12.0, seed: int = 0) -> dem.Particles:
    """Return discs on a shaken grid that do not overlap yet, and soon will."""
    random = np.random.default_rng(seed)
    per_side = math.ceil(num ** (1 / dim))
    grid = np.stack(np.meshgrid(*[np.arange(per_side)] * dim), -1).reshape(-1, dim)[:num]
    position = (grid + 0.5) * size / per_side + random.uniform(-0.2, 0.2, (num, dim))
    mass = random.uniform(0.5, 2.0, num)
    return dem.Particles.create(position, random.normal(size=(num, dim)) * 3, random.uniform(0.7, 1.0, num), mass)


def potential_energy(world: dem.World, particles: dem.Particles) -> float:
    """Return the energy in all contacts, in float64."""
    x, radius = np.asarray(particles.position, np.float64), np.asarray(particles.radius, np.float64)
    total = 0.0
    for i in range(len(x)):
        for j in range(i):
            separation = np.asarray(world.displacement(jnp.asarray(x[j]), jnp.asarray(x[i])))
            total += 0.5 * float(world.stiffness) * max(0.0, radius[i] + radius[j] - np.linalg.norm(separation)) ** 2
    return total


@pytest.mark.parametrize(
    ("name", "share"),
    [
        ("head_on_2d", 1.0),
        ("glancing_polydisperse_2d", 1.0),
        ("wall_bounce_2d", 1.0),
        # Collisions of many double an error each time: the second half says nothing.
        ("gas_16_2d", 0.5),
        ("gas_8_3d", 0.5),
    ],
)
def test_trajectories_are_those_of_jaxdem(name: str, share: float) -> None:
    golden = np.load(DATA / f"{name}.npz")
    world = dem.World.create(
        golden["anchor"], golden["anchor"] + golden["box_size"], stiffness=golden["young"], dt=golden["dt"]
    )
    particles = dem.Particles.create(golden["pos0"], golden["vel0"], golden["rad"], golden["mass"])
    num_frames = math.ceil(share * len(golden["pos"]))
    assert num_frames > 5
    for frame in range(num_frames):
        if frame:
            particles = dem.simulate(world, particles, int(golden["every"]), external_force=golden["force"])
        for found, key in ((particles.position, "pos"), (particles.velocity, "vel")):
            expected = golden[key][frame]
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max(), err_msg=frame)


@pytest.mark.parametrize("boundary", ["reflect", "periodic"])
@pytest.mark.parametrize("dim", [2, 3])
def test_twice_n_steps_are_n_steps_twice(boundary: Any, dim: int) -> None:
    world = dem.World.create([0.0] * dim, [12.0] * dim, boundary, drag=0.1, gravity=1.0, restitution=0.8)
    start = gas(dim=dim)
    force = np.random.default_rng(1).normal(size=start.position.shape)
    whole = dem.simulate(world, start, 40, force)
    halves = dem.simulate(world, dem.simulate(world, start, 20, force), 20, force)
    jax.tree.map(lambda one, two: np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-5), whole, halves)


def test_no_steps_change_nothing() -> None:
    start = gas()
    jax.tree.map(np.testing.assert_array_equal, dem.simulate(dem.World.create([0, 0], [12, 12]), start, 0), start)


def test_nothing_is_changed_in_place() -> None:
    start = gas()
    before = np.array(start.position)
    dem.simulate(dem.World.create([0, 0], [12, 12]), start, 5)
    np.testing.assert_array_equal(start.position, before)


def test_free_fall() -> None:
    world = dem.World.create([-100.0, -100.0], [100.0, 100.0], dt=1e-2, gravity=9.81)
    start = dem.Particles.create([[0.0, 50.0]], [[3.0, 1.0]], mass=2.0, force=[[0.0, -9.81 * 2.0]])
    end = dem.simulate(world, start, 100)
    np.testing.assert_allclose(end.position, [[3.0, 50 + 1 - 9.81 / 2]], rtol=1e-5)
    np.testing.assert_allclose(end.velocity, [[3.0, 1 - 9.81]], rtol=1e-5)


def test_gravity_may_be_a_vector() -> None:
    world = dem.World.create([-50.0] * 3, [50.0] * 3, gravity=[1.0, 0.0, -2.0], dt=1e-3)
    end = dem.simulate(world, dem.Particles.create([[0.0, 0.0, 0.0]]), 1000)
    np.testing.assert_allclose(end.velocity, [[1.0, 0.0, -2.0]], atol=2e-3)


def test_drag_decays_exponentially() -> None:
    world = dem.World.create([-100.0, -100.0], [100.0, 100.0], dt=1e-3, drag=0.8)
    end = dem.simulate(world, dem.Particles.create([[0.0, 0.0]], [[5.0, -2.0]], mass=2.0), 1000)
    np.testing.assert_allclose(end.velocity, np.array([[5.0, -2.0]]) * np.exp(-0.4), rtol=1e-3)


def test_an_external_force_accelerates_by_mass() -> None:
    world = dem.World.create([-100.0, -100.0], [100.0, 100.0], dt=1e-3)
    start = dem.Particles.create([[0.0, 0.0], [10.0, 0.0]], mass=[1.0, 4.0], force=[2.0, 0.0])
    end = dem.simulate(world, start, 1000, external_force=[2.0, 0.0])
    np.testing.assert_allclose(end.velocity, [[2.0, 0.0], [0.5, 0.0]], rtol=1e-4)


@pytest.mark.parametrize("restitution", [1.0, 0.8, 0.3])
@pytest.mark.parametrize("masses", [(1.0, 1.0), (1.0, 3.0)])
def test_a_pair_keeps_the_share_of_its_speed_that_is_set(restitution: float, masses: tuple[float, float]) -> None:
    # The dashpot takes the velocity of half a step before: an error of first order in dt.
    world = dem.World.create(*BOX, stiffness=2e3, dt=2.5e-4, restitution=restitution)
    start = dem.Particles.create([[8.0, 10.0], [10.5, 10.0]], [[2.0, 0.0], [-1.0, 0.0]], mass=masses)
    end = dem.simulate(world, start, 2000)
    separation = np.asarray(end.velocity[1] - end.velocity[0])
    np.testing.assert_allclose(separation, [3.0 * restitution, 0.0], rtol=0.02, atol=1e-5)
    np.testing.assert_allclose(momentum(end), momentum(start), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("restitution", [1.0, 0.6])
@pytest.mark.parametrize("side", [0, 1, 2, 3])
def test_a_wall_returns_the_share_of_the_speed_that_is_set(restitution: float, side: int) -> None:
    axis, sign = side // 2, 1 if side % 2 else -1
    world = dem.World.create([-5.0, -5.0], [5.0, 5.0], dt=1e-3, restitution=restitution)
    velocity = np.array([0.5, 0.5])
    velocity[axis] = 4.0 * sign
    end = dem.simulate(world, dem.Particles.create([[0.0, 0.0]], [velocity]), 1500)
    bounced = velocity.copy()
    bounced[axis] *= -restitution
    np.testing.assert_allclose(end.velocity, [bounced], rtol=1e-4)
    # Its surface meets the wall: 4 units at speed 4, then half a second back.
    position = velocity * 1.5
    position[axis] = sign * (4 - 4 * restitution * 0.5)
    np.testing.assert_allclose(end.position, [position], rtol=1e-3)


@pytest.mark.parametrize("dim", [2, 3])
def test_what_leaves_a_periodic_box_enters_on_the_other_side(dim: int) -> None:
    low = np.arange(dim) - 1.0
    world = dem.World.create(low, low + 10.0, "periodic", dt=1e-2)
    velocity = np.array([7.0, -4.0, 11.0])[:dim]
    end = dem.simulate(world, dem.Particles.create([low + 5.0], [velocity]), 300)
    expected = low + np.mod(5.0 + 3 * velocity, 10.0)
    np.testing.assert_allclose(end.position, [expected], atol=1e-3)
    np.testing.assert_array_equal(end.velocity, [velocity])


def test_a_contact_across_the_boundary_is_the_contact_inside() -> None:
    world = dem.World.create([0.0, 0.0], [10.0, 10.0], "periodic", **SOFT)
    inside = np.array([[4.2, 4.6], [5.5, 5.4]])
    across = np.mod(inside + 5.0, 10.0)
    assert np.abs(across[0] - across[1]).max() > 8
    ends = [dem.simulate(world, dem.Particles.create(x), 100) for x in (inside, across)]
    np.testing.assert_allclose(ends[1].velocity, ends[0].velocity, rtol=1e-3)
    assert np.abs(ends[0].velocity).min() > 1
    np.testing.assert_allclose(np.mod(ends[1].position, 10), np.mod(ends[0].position + 5, 10), atol=1e-3)


def test_displacement_goes_through_the_nearest_side() -> None:
    world = dem.World.create([0.0, 0.0], [10.0, 4.0], "periodic")
    vector = world.displacement(jnp.asarray([9.0, 1.0]), jnp.asarray([1.0, 3.5]))
    np.testing.assert_allclose(vector, [2.0, -1.5])
    walls = dem.World.create([0.0, 0.0], [10.0, 4.0])
    np.testing.assert_allclose(walls.displacement(jnp.asarray([9.0, 1.0]), jnp.asarray([1.0, 3.5])), [-8.0, 2.5])


def test_discs_that_only_touch_exert_no_force_and_centres_that_coincide_neither() -> None:
    world = dem.World.create(*BOX)
    for position in ([[5.0, 5.0], [7.0, 5.0]], [[5.0, 5.0], [5.0, 5.0]]):
        end = dem.simulate(world, dem.Particles.create(position), 3)
        np.testing.assert_array_equal(end.position, position)
        np.testing.assert_array_equal(end.force, np.zeros((2, 2)))


def test_a_contact_pushes_by_its_stiffness() -> None:
    world = dem.World.create(*BOX, stiffness=100.0, dt=1e-6)
    end = dem.simulate(world, dem.Particles.create([[5.0, 5.0], [6.5, 5.0]]), 1)
    np.testing.assert_allclose(end.force, [[-50.0, 0.0], [50.0, 0.0]], rtol=1e-4)


@pytest.mark.parametrize("dim", [2, 3])
@pytest.mark.parametrize("restitution", [1.0, 0.7])
def test_momentum_is_kept_in_a_periodic_gas(dim: int, restitution: float) -> None:
    world = dem.World.create([0.0] * dim, [9.0] * dim, "periodic", **SOFT, restitution=restitution)
    start = gas(dim=dim, size=9.0)
    end = dem.simulate(world, start, 600)
    assert np.abs(np.asarray(end.velocity - start.velocity)).max() > 1
    np.testing.assert_allclose(momentum(end), momentum(start), atol=2e-3)


@pytest.mark.parametrize("boundary", ["reflect", "periodic"])
def test_energy_is_kept_without_dissipation(boundary: Any) -> None:
    world = dem.World.create([0.0, 0.0], [12.0, 12.0], boundary, **SOFT)
    particles = gas()
    start = float(particles.kinetic_energy.sum()) + potential_energy(world, particles)
    for _ in range(5):
        particles = dem.simulate(world, particles, 200)
        total = float(particles.kinetic_energy.sum()) + potential_energy(world, particles)
        assert total == pytest.approx(start, rel=5e-3)


def test_energy_only_falls_with_dissipation() -> None:
    world = dem.World.create([0.0, 0.0], [12.0, 12.0], **SOFT, restitution=0.5)
    particles = gas()
    energies = [float(particles.kinetic_energy.sum())]
    for _ in range(4):
        particles = dem.simulate(world, particles, 250)
        energies.append(float(particles.kinetic_energy.sum()) + potential_energy(world, particles))
    assert (np.diff(energies) < 0).all()


def test_discs_stay_in_their_box() -> None:
    world = dem.World.create([0.0, 0.0], [12.0, 12.0], **SOFT, gravity=5.0)
    particles = gas(num=16)
    for _ in range(5):
        particles = dem.simulate(world, particles, 300)
        reach = np.asarray(particles.radius)[:, None]
        assert (np.asarray(particles.position) > reach - 0.1).all()
        assert (np.asarray(particles.position) < 12 - reach + 0.1).all()


def test_both_precisions_agree_and_keep_their_type() -> None:
    def run() -> dem.Particles:
        world = dem.World.create([0.0, 0.0], [12.0, 12.0], **SOFT, restitution=0.9, drag=0.1, gravity=1.0)
        return dem.simulate(world, gas(), 100)

    single = run()
    with jax.enable_x64(True):
        double = run()
    assert {leaf.dtype for leaf in jax.tree.leaves(single) if leaf.dtype != bool} == {np.dtype(np.float32)}
    assert {leaf.dtype for leaf in jax.tree.leaves(double) if leaf.dtype != bool} == {np.dtype(np.float64)}
    np.testing.assert_allclose(single.position, double.position, atol=2e-3)


def test_vmap_over_worlds_is_a_loop() -> None:
    worlds = [
        dem.World.create([0.0, 0.0], [12.0, 12.0 + i], stiffness=2e3 * (1 + i), dt=1e-3, drag=0.1 * i) for i in range(3)
    ]
    starts = [gas(seed=i) for i in range(3)]
    stack = lambda trees: jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)  # noqa: E731
    batched = jax.vmap(lambda world, particles: dem.simulate(world, particles, 50))(stack(worlds), stack(starts))
    for index, (world, start) in enumerate(zip(worlds, starts, strict=True)):
        one = dem.simulate(world, start, 50)
        jax.tree.map(
            lambda whole, part, i=index: np.testing.assert_allclose(whole[i], part, rtol=1e-4, atol=1e-4), batched, one
        )


@pytest.mark.parametrize("boundary", ["reflect", "periodic"])
@pytest.mark.parametrize("restitution", [1.0, 0.7])
def test_gradients_through_collisions_are_finite_and_right(boundary: Any, restitution: float) -> None:
    with jax.enable_x64(True):
        world = dem.World.create([0.0, 0.0], [12.0, 12.0], boundary, **SOFT, restitution=restitution)
        start = gas()

        @jax.jit
        def total(velocity: Array, stiffness: Array) -> Array:
            particles, stiff = replace(start, velocity=velocity), replace(world, stiffness=stiffness)
            return jnp.sum(dem.simulate(stiff, particles, 150).velocity[:, 0] ** 2)

        by_velocity, by_stiffness = jax.jit(jax.grad(total, argnums=(0, 1)))(start.velocity, world.stiffness)
        assert np.isfinite(by_velocity).all()
        assert np.isfinite(by_stiffness).all()
        step = 1e-6
        moved = start.velocity.at[3, 0].add(step), start.velocity.at[3, 0].add(-step)
        slope = (total(moved[0], world.stiffness) - total(moved[1], world.stiffness)) / (2 * step)
        assert float(by_velocity[3, 0]) == pytest.approx(float(slope), rel=1e-3, abs=1e-3)


def test_slopes_keep_nothing_but_the_states_of_the_steps() -> None:
    """What is written down for the way back is a state for each step, and forces are computed again."""
    num_steps, start = 40, gas()
    world = dem.World.create([0.0, 0.0], [12.0, 12.0], "reflect", **SOFT, restitution=0.7)

    def last(velocity: Array) -> Array:
        moved = replace(start, velocity=velocity)
        return dem.advance(world, moved, jnp.zeros_like(velocity), num_steps)[0].position

    kept = [leaf for leaf in jax.tree.leaves(jax.vjp(last, start.velocity)[1]) if leaf.shape[:1] == (num_steps,)]
    state = sum(leaf.size for leaf in jax.tree.leaves(start))
    assert 0 < sum(leaf.size for leaf in kept) <= num_steps * state


def test_gradients_are_finite_where_centres_coincide() -> None:
    world = dem.World.create(*BOX, restitution=0.5)

    def total(position: Array) -> Array:
        return jnp.sum(dem.simulate(world, dem.Particles.create(position), 2).position)

    assert np.isfinite(jax.grad(total)(jnp.full((2, 2), 5.0))).all()


def test_equal_shapes_compile_once() -> None:
    traces = []

    @jax.jit
    def run(world: dem.World, particles: dem.Particles) -> dem.Particles:
        traces.append(None)
        return dem.advance(world, particles, jnp.zeros_like(particles.position), 3)[0]

    for i in range(3):
        run(dem.World.create([0.0, 0.0], [12.0 + i, 12.0], drag=0.1 * i), gas(seed=i))
    assert len(traces) == 1
