"""Tangential springs against closed forms: what sticks holds still, springs back, and slips at Coulomb's limit."""

import math
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdem_ac import dem
from jaxdem_ac.dem.contact_law import LAWS
from jaxdem_ac.dem.springs import _places
from jaxdem_ac.environments.tasks.swarm_navigator import SwarmNavigator

REMEMBERING = [name for name, law in LAWS.items() if law.remembers]
INERTIA = {2: 1 / 2, 3: 2 / 5}


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


def settled(num: int, law: str, dim: int = 2, seed: int = 0, **material: float) -> tuple[dem.World, dem.Particles]:
    """Return a shallow box and particles in it that touch each other and its walls, with spins."""
    rng = np.random.default_rng(seed)
    radius = rng.uniform(0.8, 1.2, num)
    side = 1.9 * num ** (1 / dim)
    material = {"stiffness": 1e4, "dt": 5e-4, "restitution": 0.7, "friction": 0.6, "gravity": 1.0} | material
    world = dem.World.create(np.zeros(dim), np.full(dim, side), "soft", law=law, **material)
    cells = np.stack(np.meshgrid(*[np.arange(math.ceil(num ** (1 / dim)))] * dim), -1).reshape(-1, dim)[:num]
    place = (cells + 0.5) * side / math.ceil(num ** (1 / dim)) + rng.uniform(-0.1, 0.1, (num, dim))
    spin = rng.normal(size=(num, 1 if dim == 2 else 3))
    return world, dem.Particles.create(place, rng.normal(size=(num, dim)), radius, radius**dim, angular_velocity=spin)


@pytest.mark.parametrize("law", REMEMBERING)
@pytest.mark.parametrize("dim", [2, 3])
def test_what_is_held_on_a_slope_does_not_creep(law: str, dim: int) -> None:
    slope, radius = math.radians(20), 0.5
    gravity = np.zeros(dim)
    gravity[0], gravity[-1] = 10 * math.sin(slope), -10 * math.cos(slope)
    stiffness = 1e5 if law == "cundall_strack" else 1e7
    world = dem.World.create(
        np.zeros(dim), np.full(dim, 9.0), "soft", stiffness, 1e-4, 0.0, gravity, 0.3, friction=0.5, law=law
    )
    place = np.full(dim, 4.0)
    place[-1] = radius - 9e-5
    held = np.zeros((1, 1 if dim == 2 else 3))
    held[0, 0 if dim == 2 else 1] = radius * gravity[0] * (1 if dim == 2 else -1)
    rests = dem.simulate(world, dem.Particles.create(place[None], 0.0, radius), 20_000, external_torque=held)
    later = dem.simulate(world, rests, 100_000, external_torque=held)
    np.testing.assert_array_equal(later.position, rests.position)
    assert rests.springs is not None
    # The spring carries the weight along the slope.
    contact_stiffness = LAWS[law].tangential_ratio * float(stiffness)
    if law == "hertz_mindlin":
        modulus = stiffness / (2 * (1 - 0.3**2))
        overlap = (-gravity[-1] / (4 / 3 * modulus * radius**0.5)) ** (2 / 3)
        contact_stiffness = LAWS[law].tangential_ratio * 2 * modulus * (radius * overlap) ** 0.5
    floor = [float(each[0]) for each in rests.springs.walls[2 * (dim - 1)]]
    assert np.linalg.norm(floor) == pytest.approx(gravity[0] / contact_stiffness, rel=1e-9)
    assert not any(float(jnp.abs(each).max()) for wall in rests.springs.walls[:-2] for each in wall)


@pytest.mark.parametrize("dim", [2, 3])
@pytest.mark.parametrize("swing", [0.5, 1.0])
def test_a_contact_that_sticks_swings_back(dim: int, swing: float) -> None:
    """Along the contact its point is an oscillator of mass m / (1 + m R**2 / I), of `swing` periods of the push."""
    radius, mass, speed = 0.5, 1.3, 1.0
    ratio = swing**2 / (1 + 1 / INERTIA[dim])
    stiffness, steps = 1e5, 4_000
    dt = math.pi * math.sqrt(mass / stiffness) / steps
    law = dem.CundallStrack(ratio)
    world = dem.World.create(np.zeros(dim), np.full(dim, 9.0), "soft", stiffness, dt, friction=1e3, law=law)
    place = np.full(dim, 4.0)
    place[-1] = radius
    velocity = np.zeros(dim)
    velocity[0], velocity[-1] = 0.3, -speed
    after = dem.simulate(world, dem.Particles.create(place[None], velocity[None], radius, mass), steps + 10)
    spin = float(after.angular_velocity[0, 0 if dim == 2 else 1]) * (1 if dim == 2 else -1)
    # The change of the point's speed is shared by the centre and the spin.
    change = 0.3 * (math.cos(math.pi * swing) - 1)
    assert float(after.velocity[0, 0]) == pytest.approx(0.3 + change / (1 + 1 / INERTIA[dim]), abs=1e-3)
    assert spin * radius == pytest.approx(change / (1 + INERTIA[dim]), abs=1e-3)
    assert float(after.velocity[0, -1]) == pytest.approx(speed, abs=1e-3)


@pytest.mark.parametrize("law", REMEMBERING)
def test_a_contact_that_slips_drags_by_coulombs_limit(law: str) -> None:
    radius, friction, tangent = 0.5, 0.1, 2.0
    stiffness = 1e5 if law == "cundall_strack" else 1e7
    world = dem.World.create([0.0] * 2, [9.0] * 2, "soft", stiffness, 1e-5, friction=friction, law=law)
    start = dem.Particles.create([[4.0, radius]], [[tangent, -1.0]], radius)
    after = dem.simulate(world, start, 2_000)
    assert float(after.velocity[0, 1]) == pytest.approx(1.0, abs=1e-3)
    # Sliding to the end takes mu (1 + e) of the normal speed.
    assert float(after.velocity[0, 0]) == pytest.approx(tangent - 2 * friction, abs=1e-3)


@pytest.mark.parametrize(("law", "dim"), [("cundall_strack", 2), ("hertz_mindlin", 3)])
def test_lists_and_all_pairs_agree_and_calls_go_on(law: str, dim: int) -> None:
    world, start = settled(130, law, dim, stiffness=1e4 if law == "cundall_strack" else 5e3)
    whole = dem.simulate(world, start, 300)
    assert whole.springs is not None
    touching = sum(int(jnp.sum(each != 0)) for each in whole.springs.pairs[:1])
    assert touching > 30
    all_pairs = jax.jit(lambda: dem.simulate(world, start, 300))()
    np.testing.assert_allclose(whole.position, all_pairs.position, atol=1e-9)
    np.testing.assert_allclose(whole.angular_velocity, all_pairs.angular_velocity, atol=1e-7)
    assert touching == int(jnp.sum(all_pairs.springs.pairs[0] != 0))
    # From a list to all pairs and back, springs stay with their pairs.
    half = jax.jit(lambda: dem.simulate(world, start, 150))()
    np.testing.assert_allclose(dem.simulate(world, half, 150).position, whole.position, atol=1e-9)
    forgetful = dem.simulate(world, replace(half, springs=None), 150)
    assert float(jnp.max(jnp.abs(forgetful.position - whole.position))) > 1e-6


def test_small_swarms_go_on_to_the_last_digit_and_side_by_side() -> None:
    world, start = settled(9, "cundall_strack")
    whole = dem.simulate(world, start, 300)
    np.testing.assert_array_equal(dem.simulate(world, dem.simulate(world, start, 120), 180).position, whole.position)
    others = [settled(9, "cundall_strack", seed=seed)[1] for seed in (0, 1, 2)]
    batch = jax.tree.map(lambda *each: jnp.stack(each), *others)
    after = jax.jit(jax.vmap(lambda each: dem.simulate(world, each, 300)))(batch)
    for row, each in enumerate(others):
        np.testing.assert_allclose(after.position[row], dem.simulate(world, each, 300).position, atol=1e-10)


def test_a_pair_keeps_its_energy_and_its_momentum() -> None:
    world = dem.World.create([0.0] * 3, [9.0] * 3, stiffness=1e4, dt=1e-4, friction=1e6, law="cundall_strack")
    start = dem.Particles.create(
        [[4.0, 4.0, 4.0], [4.7, 4.75, 4.55]], [[0.5, 0.2, -0.1], [-0.4, -0.3, 0.2]], [0.6, 0.5], [1.0, 2.0],
        angular_velocity=[[0.3, -0.2, 0.5], [0.1, 0.4, -0.3]],
    )  # fmt: skip
    after = dem.simulate(world, start, 2_000)
    assert float(jnp.abs(after.angular_velocity - start.angular_velocity).max()) > 0.1

    def angular_momentum(particles: dem.Particles) -> jax.Array:
        orbit = jnp.cross(particles.position, particles.mass[:, None] * particles.velocity)
        return jnp.sum(orbit + particles.inertia[:, None] * particles.angular_velocity, axis=0)

    momentum = [jnp.sum(each.mass[:, None] * each.velocity, axis=0) for each in (start, after)]
    np.testing.assert_allclose(momentum[1], momentum[0], atol=1e-12)
    energy = [float(jnp.sum(each.kinetic_energy + each.rotational_energy)) for each in (start, after)]
    assert energy[1] == pytest.approx(energy[0], rel=2e-2)


@pytest.mark.parametrize("law", REMEMBERING)
def test_slopes_are_finite_and_those_of_central_differences(law: str) -> None:
    world, start = settled(6, law, stiffness=2e3)

    @jax.jit
    def loss(push: jax.Array) -> jax.Array:
        after = dem.simulate(world, start, 60, push)
        return jnp.sum(after.position**2) + jnp.sum(after.angular_velocity**2)

    push = jnp.asarray(np.random.default_rng(3).normal(size=(6, 2)))
    slope = jax.grad(loss)(push)
    assert bool(jnp.all(jnp.isfinite(slope)))
    way = jnp.zeros((6, 2)).at[2, 0].set(1e-4)
    assert float(slope[2, 0]) == pytest.approx(float(loss(push + way) - loss(push - way)) / 2e-4, rel=1e-5)


def test_pairs_are_found_wherever_they_stand() -> None:
    rng = np.random.default_rng(0)
    rows = [[(i, int(j)) for j in rng.permutation(9)[:4] if j > i] for i in rng.permutation(9)]
    old = [pair for row in rows for pair in row] + [(3, 3), (4, 4)]
    new = [old[at][::-1] if at % 2 else old[at] for at in rng.permutation(len(old))] + [(0, 0), (8, 8)]
    lists = (jnp.asarray([[pair[side] for pair in each]]) for each in (old, new) for side in (0, 1))
    place, turned = _places(9)(jnp.asarray([True]), *lists)
    for pair, at, swapped in zip(new, place[0], turned[0], strict=True):
        if pair[0] == pair[1]:
            assert int(at) == -1
        else:
            assert old[int(at)] == (pair[::-1] if swapped else pair)


def test_what_does_not_go_together_is_said() -> None:
    world, start = settled(4, "cundall_strack")
    with pytest.raises(ValueError, match=r"got particles without\. Begin with dem\.with_springs"):
        dem.engine_step("embedded")(world, dem.Columns.of(start), [jnp.zeros(4)] * 2)
    with pytest.raises(ValueError, match=r"stiffness_ratio is in \(0, 1\]"):
        dem.CundallStrack(0.0)
    for wrong in ("a", None, True):
        for law in (dem.CundallStrack, dem.HertzMindlin):
            with pytest.raises(TypeError, match=rf"{law.__name__}: \w+ is a number; got .* Pass a float"):
                law(wrong)
    with pytest.raises(TypeError, match="with_springs: a world, then particles; got int"):
        dem.with_springs(1, start)
    after = dem.simulate(world, start, 2)
    with pytest.raises(ValueError, match=r"got those of 4 for 3\. Set springs=None"):
        dem.simulate(world, replace(settled(3, "cundall_strack")[1], springs=after.springs), 2)
    # Who leaves the box is named, from the first call on and with the springs of one before, with a list and without.
    for box, begins in ((world, start), (world, after), settled(40, "cundall_strack")):
        away = begins.velocity.at[1].set(jnp.asarray([0.0, 1e6]))
        with pytest.raises(FloatingPointError, match="got particle 1 after step 1"):
            dem.simulate(box, replace(begins, velocity=away), 2)
    smooth = dem.World.create([0.0] * 2, [9.0] * 2, law="cundall_strack")
    assert dem.with_springs(smooth, dem.with_springs(world, start)).springs is None


@dataclass(frozen=True, kw_only=True)
class Sticky(SwarmNavigator):
    """A task whose contacts remember."""

    def world(self, state: Any) -> dem.World:
        world = super().world(state)
        return replace(world, law=dem.CundallStrack(), rough=True, friction=jnp.asarray(0.5, world.dt.dtype))

    def reset(self, key: jax.Array) -> Any:
        state = super().reset(key)
        return replace(state, particles=dem.with_springs(self.world(state), state.particles, state.vicinity.contacts))


@pytest.mark.parametrize("num", [5, 50])
def test_a_task_may_have_contacts_that_remember(num: int, monkeypatch: pytest.MonkeyPatch) -> None:
    task = Sticky(num_particles=num, physics_steps=5)
    state = task.reset(jax.random.key(0))
    after, _ = task.step(state, jnp.ones((num, 2)))
    assert jax.tree.structure(after) == jax.tree.structure(state)
    monkeypatch.setattr(Sticky, "reset", SwarmNavigator.reset)
    with pytest.raises(ValueError, match=r"Let reset take dem\.with_springs"):
        task.step(task.reset(jax.random.key(0)), jnp.ones((num, 2)))
