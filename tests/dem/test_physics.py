"""The laws that the engine has to obey, against closed forms and conservation; in double precision where not said."""

from collections.abc import Iterator
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.sums import momentum

from jaxdem_ac import dem
from jaxdem_ac.dem import Particles, World

STIFFNESS = 1e4


@pytest.fixture(autouse=True)
def double_precision() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


def history(world: World, particles: Particles, num_steps: int, force=0.0, torque=None) -> Particles:
    """Return the particles after every step, leaves (T, ...)."""
    force = jnp.broadcast_to(jnp.asarray(force, particles.velocity.dtype), particles.velocity.shape)
    torque = None if torque is None else jnp.broadcast_to(jnp.asarray(torque), particles.torque.shape)

    def body(particles: Particles, _: None) -> tuple[Particles, Particles]:
        particles, _ = dem.advance(world, particles, force, 1, torque)
        return particles, particles

    return jax.jit(lambda first: jax.lax.scan(body, first, None, num_steps)[1])(particles)


def contact_energy(world: World, particles: Particles) -> float:
    apart = np.asarray(world.displacement(particles.position[:, None], particles.position[None]))
    reach = np.asarray(particles.radius[:, None] + particles.radius[None])
    overlap = np.maximum(0.0, reach - np.linalg.norm(apart, axis=-1))
    return 0.5 * float(world.stiffness) * float(np.sum(np.triu(overlap, 1) ** 2))


def energy(world: World, particles: Particles) -> float:
    return float(jnp.sum(particles.kinetic_energy)) + contact_energy(world, particles)


def angular_momentum(particles: Particles) -> np.ndarray:
    """Return the component out of the plane, or all three."""
    flat = [(0, 0), (0, 3 - particles.dim)]
    arm, carried = np.pad(particles.position, flat), np.pad(particles.mass[:, None] * particles.velocity, flat)
    own = np.asarray(particles.inertia[:, None] * particles.angular_velocity)
    return np.sum(np.cross(arm, carried)[:, -own.shape[1] :] + own, axis=0)


def gas(num: int, dim: int, boundary: str, seed: int = 0, dtype: str = "float64") -> tuple[World, Particles]:
    """Return particles of many sizes on a lattice, none of which touch, in a box far from the origin."""
    random = np.random.default_rng(seed)
    side = int(np.ceil(num ** (1 / dim)))
    lattice = np.stack(np.meshgrid(*[np.arange(side)] * dim, indexing="ij"), -1).reshape(-1, dim)[:num]
    low = np.arange(dim) * 7.0 - 30.0
    radius = random.uniform(0.5, 1.0, num)
    particles = Particles.create(
        position=(low + 1.25 + 2.5 * lattice).astype(dtype),
        velocity=random.normal(size=(num, dim)).astype(dtype),
        radius=radius.astype(dtype),
        mass=(radius**dim).astype(dtype),
    )
    return World.create(low.astype(dtype), (low + 2.5 * side).astype(dtype), boundary, STIFFNESS, dt=2e-4), particles


class TestGas:
    """Elastic collisions of many, in closed boxes."""

    @pytest.mark.parametrize(("dim", "boundary"), [(2, "reflect"), (3, "periodic")])
    def test_keeps_energy_and_momentum(self, dim: int, boundary: str) -> None:
        self.check(25, dim, boundary, 10_000)

    @pytest.mark.slow
    @pytest.mark.parametrize("boundary", ["reflect", "periodic", "soft"])
    @pytest.mark.parametrize(("num", "dim"), [(25, 2), (27, 3), (150, 2)])
    def test_keeps_energy_and_momentum_over_1e5_steps(self, num: int, dim: int, boundary: str) -> None:
        self.check(num, dim, boundary, 100_000)

    @staticmethod
    def check(num: int, dim: int, boundary: str, num_steps: int) -> None:
        world, before = gas(num, dim, boundary)
        after = dem.simulate(world, before, num_steps)
        speed = np.abs(np.asarray(after.velocity - before.velocity))
        assert (speed.max(axis=1) > 0.1).mean() > 0.8, "hardly anybody has met anybody"
        if boundary == "soft":
            depth = jnp.maximum(0, after.radius[:, None] - (after.position - world.box_low))
            depth += jnp.maximum(0, after.radius[:, None] - (world.box_high - after.position))
            stored = 0.5 * STIFFNESS * float(jnp.sum(depth**2))
        else:
            stored = 0.0
        np.testing.assert_allclose(energy(world, after) + stored, energy(world, before), rtol=2e-3)
        if boundary == "periodic":
            np.testing.assert_allclose(momentum(after), momentum(before), atol=1e-10)

    def test_energy_error_falls_with_the_square_of_the_time_step(self) -> None:
        world, before = gas(25, 2, "reflect", seed=3)
        start = energy(world, before)
        path = [history(replace(world, dt=jnp.asarray(dt)), before, round(1.0 / dt)) for dt in (8e-4, 2e-4)]
        coarse, fine = (
            max(abs(energy(world, jax.tree.map(lambda x, t=t: x[t], each)) - start) for t in range(0, len(times), 20))
            for each, times in ((each, each.position) for each in path)
        )
        assert fine < 1e-3 * start
        assert fine < coarse / 8

    def test_single_precision(self) -> None:
        with jax.enable_x64(False):
            world, before = gas(25, 2, "periodic", dtype="float32")
            after = dem.simulate(world, before, 10_000)
            assert after.position.dtype == jnp.float32
            np.testing.assert_allclose(energy(world, after), energy(world, before), rtol=5e-3)
            np.testing.assert_allclose(momentum(after), momentum(before), atol=2e-3)

    def test_double_precision_stays_double(self) -> None:
        world, before = gas(25, 2, "reflect")
        assert {leaf.dtype.name for leaf in jax.tree.leaves(dem.simulate(world, before, 3))} == {"float64", "bool"}


class TestCollisionOfTwo:
    """Head on and oblique, of unequal masses and radii."""

    @staticmethod
    def pair(dim: int, offset: float = 0.0, **kw) -> Particles:
        position = np.zeros((2, dim))
        position[0, 0], position[1, 0], position[1, 1] = -0.8, 0.8, offset
        velocity = np.zeros((2, dim))
        velocity[:, 0] = 2.0, -1.0
        return Particles.create(position, velocity, radius=[0.5, 1.0], mass=[1.0, 3.0], **kw)

    @staticmethod
    def world(dim: int, **kw) -> World:
        return World.create([-10.0] * dim, [10.0] * dim, "periodic", **{"stiffness": STIFFNESS, "dt": 1e-4, **kw})

    @pytest.mark.parametrize("dim", [2, 3])
    def test_elastic_bounce_lasts_and_ends_as_computed(self, dim: int) -> None:
        path = history(self.world(dim), self.pair(dim), 2_000)
        gap = path.position[:, 1, 0] - path.position[:, 0, 0] - 1.5
        duration = 1e-4 * int(jnp.sum(gap < 0))
        assert duration == pytest.approx(np.pi * np.sqrt(0.75 / STIFFNESS), abs=2e-4)
        # Depth: v sqrt(m / k).
        assert float(jnp.min(gap)) == pytest.approx(-3.0 * np.sqrt(0.75 / STIFFNESS), rel=1e-3)
        # v' = v_c + (v_c - v), with the centre of mass at -1/4.
        np.testing.assert_allclose(path.velocity[-1, :, 0], [-2.5, 0.5], rtol=1e-4)
        np.testing.assert_array_equal(path.velocity[:, :, 1:], 0.0)

    def test_equal_masses_exchange_velocities(self) -> None:
        pair = Particles.create([[-1.1, 0.0], [1.1, 0.0]], [[3.0, 0.0], [-1.0, 0.0]])
        after = dem.simulate(self.world(2), pair, 2_000)
        np.testing.assert_allclose(after.velocity, [[-1.0, 0.0], [3.0, 0.0]], atol=1e-3)

    @pytest.mark.parametrize("dim", [2, 3])
    def test_restitution_is_as_set(self, dim: int) -> None:
        restitution = jnp.array([1.0, 0.9, 0.7, 0.5, 0.3, 0.1])

        def bounce(restitution: jax.Array) -> jax.Array:
            world = self.world(dim, dt=2e-5, restitution=restitution)
            after = dem.simulate(world, self.pair(dim), 10_000)
            return (after.velocity[1, 0] - after.velocity[0, 0]) / 3.0

        np.testing.assert_allclose(jax.jit(jax.vmap(bounce))(restitution), restitution, atol=3e-3)

    @pytest.mark.parametrize("target", ["soft wall", "reflecting wall", "fixed body"])
    def test_restitution_of_what_does_not_move(self, target: str) -> None:
        restitution = jnp.array([1.0, 0.8, 0.5, 0.2])
        ball = Particles.create([[0.7, 0.0]], [[-3.0, 0.4]], radius=0.5, mass=2.0)
        if target == "fixed body":
            ball = Particles.create(
                [[0.7, 0.0], [-1.0, 0.0]], [[-3.0, 0.0], [0.0, 0.0]], [0.5, 1.0], [2.0, 0.1], fixed=[False, True]
            )

        def bounce(restitution: jax.Array) -> jax.Array:
            boundary = "reflect" if target == "reflecting wall" else "soft"
            low = jnp.array([-10.0 if target == "fixed body" else 0.0, -10.0])
            world = World.create(low, jnp.array([10.0, 10.0]), boundary, STIFFNESS, 2e-5, restitution=restitution)
            return dem.simulate(world, ball, 8_000).velocity[0]

        after = jax.jit(jax.vmap(bounce))(restitution)
        np.testing.assert_allclose(after[:, 0] / 3.0, restitution, atol=3e-3)
        np.testing.assert_allclose(after[:, 1], ball.velocity[0, 1], rtol=1e-12)

    @pytest.mark.parametrize("dim", [2, 3])
    def test_friction_keeps_linear_and_angular_momentum(self, dim: int) -> None:
        spin = [[3.0], [-7.0]] if dim == 2 else [[3.0, -1.0, 2.0], [-7.0, 4.0, 1.0]]
        before = self.pair(dim, offset=0.6, angular_velocity=spin)
        error, bound = [], []
        for stiffness in (1e4, 1e6):
            world = self.world(dim, stiffness=stiffness, friction=0.4, dt=1e-5, restitution=0.8)
            path = history(world, before, 20_000)
            after = jax.tree.map(lambda x: x[-1], path)
            np.testing.assert_allclose(momentum(after), momentum(before), atol=1e-10)
            assert np.abs(after.angular_velocity - before.angular_velocity).max() > 0.1
            # Each side's arm is its whole radius, so that the arms together exceed the distance by the overlap: angular
            # momentum is kept up to overlap * impulse across the contact.
            apart = np.linalg.norm(path.position[:, 1] - path.position[:, 0], axis=-1)
            impulse = np.sum(np.linalg.norm(path.torque[:, 0], axis=-1)) * 1e-5 / 0.5
            error.append(np.abs(angular_momentum(after) - angular_momentum(before)).max())
            bound.append((1.5 - apart.min()) * impulse)
        assert 0 < error[0] < bound[0]
        assert error[1] < bound[1]
        assert error[1] < 0.2 * error[0]
        total = np.abs(angular_momentum(before)).max()
        assert error[1] < 2e-3 * total

    def test_friction_of_a_sliding_collision_is_coulombs(self) -> None:
        # So oblique that slip never ends: impulse across = mu * impulse along, and both sides turn as their radii say.
        spin = [[40.0], [40.0]]
        before = self.pair(2, angular_velocity=spin)
        after = dem.simulate(self.world(2, friction=0.2, dt=1e-5), before, 20_000)
        change = np.asarray(before.mass[:, None] * (after.velocity - before.velocity))
        np.testing.assert_allclose(np.abs(change[:, 1]), 0.2 * np.abs(change[:, 0]), rtol=2e-2)
        turned = np.asarray(before.inertia * (after.angular_velocity - before.angular_velocity)[:, 0])
        np.testing.assert_allclose(np.abs(turned), np.asarray(before.radius) * np.abs(change[:, 1]), rtol=2e-2)
        assert (turned < 0).all(), "friction slows both spins"

    def test_friction_never_adds_energy(self) -> None:
        before = self.pair(2, offset=0.6, angular_velocity=[[3.0], [-7.0]])
        world = self.world(2, friction=0.5, dt=2e-5)
        path = history(world, before, 10_000)
        kinetic = 0.5 * np.sum(np.asarray(before.mass)[:, None] * np.asarray(path.velocity) ** 2, axis=(1, 2))
        turning = 0.5 * np.sum(np.asarray(before.inertia) * np.asarray(path.angular_velocity)[..., 0] ** 2, axis=1)
        gap = np.linalg.norm(path.position[:, 1] - path.position[:, 0], axis=-1) - 1.5
        total = kinetic + turning + 0.5 * STIFFNESS * np.minimum(0.0, gap) ** 2
        assert np.diff(total).max() < 2e-4 * total[0]
        assert total[-1] < 0.99 * total[0]


class TestFloor:
    """One body on a soft floor under gravity, at its resting depth."""

    MASS, RADIUS, GRAVITY, FRICTION, DT = 2.0, 0.5, 10.0, 0.3, 2e-4

    def body(self, dim: int, speed: float = 0.0, **kw) -> Particles:
        rest = self.RADIUS - self.MASS * self.GRAVITY / STIFFNESS
        position = [-8.0, rest] if dim == 2 else [-8.0, 0.0, rest]
        velocity = [speed] + [0.0] * (dim - 1)
        return Particles.create([position], [velocity], self.RADIUS, self.MASS, **kw)

    def floor(self, dim: int, **kw) -> World:
        low = [-10.0] * (dim - 1) + [0.0]
        setting = {"friction": self.FRICTION, "restitution": 0.5, "gravity": self.GRAVITY, "dt": self.DT, **kw}
        return World.create(low, [10.0] * dim, "soft", STIFFNESS, **setting)

    @staticmethod
    def about(dim: int) -> tuple[int, float]:
        """Return the spin's component and sign for a body that rolls along +x."""
        return (0, -1.0) if dim == 2 else (1, 1.0)

    @pytest.mark.parametrize(("dim", "share"), [(2, 1 / 3), (3, 2 / 7)])
    def test_slip_turns_into_rolling_at_the_computed_time(self, dim: int, share: float) -> None:
        start = 2.0
        time = share * start / (self.FRICTION * self.GRAVITY)
        path = history(self.floor(dim), self.body(dim, start), int(1.5 * time / self.DT))
        speed = np.asarray(path.velocity[:, 0, 0])
        component, sign = self.about(dim)
        slip = speed - sign * self.RADIUS * np.asarray(path.angular_velocity[:, 0, component])
        at = self.DT * (1 + np.arange(len(slip)))
        sliding = at < 0.9 * time
        np.testing.assert_allclose(
            speed[sliding], start - self.FRICTION * self.GRAVITY * at[sliding], atol=1e-3 * start
        )
        # The straight part of the slip meets 0 at the computed time.
        slope, offset = np.polyfit(at[sliding], slip[sliding], 1)
        assert -offset / slope == pytest.approx(time, rel=2e-3)
        assert slip[at > 0.97 * time].max() < 0.05 * start
        assert abs(slip[-1]) < 1e-3 * start
        assert speed[-1] == pytest.approx((1 - share) * start, rel=1e-3)
        # Coulomb's limit: sharp while it slides, kept always.
        across = np.abs(np.asarray(path.force[:, 0, 0]))
        along = np.asarray(path.force[:, 0, -1]) + self.MASS * self.GRAVITY
        assert (across <= self.FRICTION * along * (1 + 1e-9)).all()
        np.testing.assert_allclose(across[sliding], self.FRICTION * along[sliding], rtol=1e-9)

    @pytest.mark.parametrize(("dim", "share"), [(2, 1 / 3), (3, 2 / 7)])
    def test_torque_drives_rolling(self, dim: int, share: float) -> None:
        component, sign = self.about(dim)
        torque = np.zeros((1, 1 if dim == 2 else 3))
        torque[0, component] = sign * 1.5
        path = history(self.floor(dim), self.body(dim), 5_000, torque=torque)
        # Rolling: m a r (1 + I / (m r**2)) = T; 1 / (1 + c) is 1 - share.
        expected = 1.5 / (self.MASS * self.RADIUS) * (1 - share)
        time = 5_000 * self.DT
        assert float(path.velocity[-1, 0, 0]) == pytest.approx(expected * time, rel=2e-2)
        # What sticks creeps, at the speed of the force across it over the tangential damping.
        slip = float(path.velocity[-1, 0, 0] - sign * self.RADIUS * path.angular_velocity[-1, 0, component])
        assert slip == pytest.approx(-self.MASS * expected / 50.0, rel=1e-2)

    def test_more_torque_than_the_floor_takes_spins_in_place(self) -> None:
        path = history(self.floor(3), self.body(3), 1_000, torque=[[0.0, 20.0, 0.0]])
        time = 1_000 * self.DT
        limit = self.FRICTION * self.GRAVITY
        assert float(path.velocity[-1, 0, 0]) == pytest.approx(limit * time, rel=1e-2)
        turned = (20.0 - limit * self.MASS * self.RADIUS) / (0.4 * self.MASS * self.RADIUS**2) * time
        assert float(path.angular_velocity[-1, 0, 1]) == pytest.approx(turned, rel=1e-2)

    @pytest.mark.parametrize("dim", [2, 3])
    def test_smooth_floor_never_turns_a_body(self, dim: int) -> None:
        after = dem.simulate(self.floor(dim, friction=0.0), self.body(dim, 2.0), 1_000)
        assert float(after.velocity[0, 0]) == pytest.approx(2.0, rel=1e-12)
        np.testing.assert_array_equal(after.angular_velocity, 0.0)

    # Friction without memory creeps: a rough bed takes longer to come to rest.
    @pytest.mark.parametrize(("friction", "settling"), [(0.0, 30_000), (0.5, 60_000)])
    def test_settled_bed_stays_at_rest(self, friction: float, settling: int) -> None:
        random = np.random.default_rng(1)
        lattice = np.stack(np.meshgrid(np.arange(6), np.arange(5)), -1).reshape(-1, 2)
        radius = random.uniform(0.35, 0.5, 30)
        particles = Particles.create(
            0.55 + 1.05 * lattice + random.uniform(-0.02, 0.02, (30, 2)), radius=radius, mass=4 * radius**2
        )
        setting = {"gravity": 10.0, "restitution": 0.3, "friction": friction, "dt": 5e-4}
        world = World.create([0.0, 0.0], [6.3, 12.0], "soft", STIFFNESS, drag=2.0, **setting)
        settled = dem.simulate(world, particles, settling)
        world = World.create([0.0, 0.0], [6.3, 12.0], "soft", STIFFNESS, **setting)
        after = dem.simulate(world, settled, 5_000)
        assert float(jnp.max(settled.position[:, 1])) < 5.0
        assert float(jnp.min(settled.position[:, 1] - settled.radius)) > -0.05
        moved = np.linalg.norm(after.position - settled.position, axis=-1)
        assert moved.max() < 1e-3
        assert float(jnp.sum(after.kinetic_energy)) < 1e-6


class TestFixedBodies:
    """Obstacles: infinite masses that nothing moves."""

    def test_fixed_particles_stay_where_they_are(self) -> None:
        random = np.random.default_rng(0)
        position = np.concatenate([[[3.0, 3.0], [-0.5, 8.0]], random.uniform(1, 9, (10, 2))])
        fixed = np.arange(12) < 2
        particles = Particles.create(position, random.normal(size=(12, 2)), 0.4, fixed=fixed, angular_velocity=1.0)
        for boundary in ("reflect", "periodic", "soft"):
            world = World.create([0.0, 0.0], [10.0, 10.0], boundary, STIFFNESS, 2e-4, friction=0.3, gravity=5.0)
            after = dem.simulate(world, particles, 2_000, external_force=[1.0, 0.0], external_torque=0.3)
            np.testing.assert_array_equal(after.position[:2], position[:2])
            np.testing.assert_array_equal(after.velocity[:2], 0.0)
            np.testing.assert_array_equal(after.angular_velocity[:2], 0.0)
            assert np.linalg.norm(after.position[2:] - position[2:], axis=-1).min() > 0.01

    def test_deflect_as_a_mirror_would(self) -> None:
        # Stiff: the normal hardly turns during the contact.
        angle = 0.5
        normal = np.array([np.cos(angle), np.sin(angle)])
        velocity = np.array([-2.0, 0.0])
        start = 1.5 * normal - 0.05 * velocity
        particles = Particles.create(
            [[0.0, 0.0], start], [[0.0, 0.0], velocity], [1.0, 0.5], [1e-3, 2.0], fixed=[True, False]
        )
        after = dem.simulate(World.create([-9.0] * 2, [9.0] * 2, "soft", 1e8, 1e-5), particles, 10_000)
        mirrored = velocity - 2 * (velocity @ normal) * normal
        np.testing.assert_allclose(after.velocity[1], mirrored, atol=2e-3)

    def test_gradients_of_a_damped_world_are_finite(self) -> None:
        particles = Particles.create(
            [[0.0, 0.0], [0.5, 0.0], [1.4, 0.1]], [[0.0, 0.0], [0.0, 0.0], [-1.0, 0.0]], 0.5, fixed=[True, True, False]
        )

        def speed(stiffness: jax.Array, mass: jax.Array) -> jax.Array:
            world = World.create([-9.0] * 2, [9.0] * 2, "soft", stiffness, 1e-3, restitution=0.5, friction=0.3)
            after = dem.simulate(world, replace(particles, mass=mass), 50)
            return jnp.sum(after.velocity**2)

        gradients = jax.grad(speed, argnums=(0, 1))(jnp.asarray(1e3), particles.mass)
        assert all(np.isfinite(gradient).all() for gradient in gradients)
        assert float(gradients[0]) != 0.0


class TestForcesOnOne:
    """Drag, gravity, and what acts from outside, against their closed forms."""

    def test_free_fall_is_a_parabola(self) -> None:
        world = World.create([-50.0] * 3, [50.0] * 3, dt=1e-3, gravity=[0.5, 0.0, -9.81])
        before = Particles.create([[0.0, 0.0, 10.0]], [[1.0, 2.0, 3.0]], mass=5.0)
        # The force of the step before is an input: weight, if it has been falling already.
        before = replace(before, force=before.mass[:, None] * world.gravity)
        after = dem.simulate(world, before, 1_000)
        np.testing.assert_allclose(after.velocity[0], [1.5, 2.0, 3.0 - 9.81], rtol=1e-10)
        np.testing.assert_allclose(after.position[0], [1.25, 2.0, 13.0 - 0.5 * 9.81], rtol=1e-10)

    def test_drag_and_gravity_reach_the_terminal_velocity(self) -> None:
        mass, drag, gravity = 2.0, 4.0, 10.0
        world = World.create([-100.0] * 2, [100.0] * 2, dt=1e-4, drag=drag, gravity=gravity)
        path = history(world, Particles.create([[0.0, 50.0]], mass=mass), 50_000)
        time = 1e-4 * (1 + np.arange(50_000))
        terminal = mass * gravity / drag
        np.testing.assert_allclose(
            -path.velocity[:, 0, 1], terminal * (1 - np.exp(-drag * time / mass)), atol=2e-4 * terminal
        )
        assert -float(path.velocity[-1, 0, 1]) == pytest.approx(terminal, rel=1e-4)

    @pytest.mark.parametrize("friction", [0.0, 0.5])
    @pytest.mark.parametrize("dim", [2, 3])
    def test_torque_and_force_from_outside(self, dim: int, friction: float) -> None:
        world = World.create([-50.0] * dim, [50.0] * dim, dt=1e-3, friction=friction)
        torque = np.array([[0.7]]) if dim == 2 else np.array([[0.7, -0.2, 0.4]])
        force = np.linspace(-1, 1, dim)
        before = Particles.create(np.zeros((1, dim)), radius=0.5, mass=3.0, torque=torque, force=force)
        after = dem.simulate(world, before, 1_000, external_force=force, external_torque=torque)
        inertia = (0.5 if dim == 2 else 0.4) * 3.0 * 0.25
        np.testing.assert_allclose(after.angular_velocity, torque / inertia, rtol=1e-10)
        np.testing.assert_allclose(after.velocity[0], force / 3.0, rtol=1e-10)
        np.testing.assert_allclose(after.position[0], force / 6.0, rtol=1e-10, atol=1e-12)

    def test_spin_stays_where_nothing_turns(self) -> None:
        world, particles = gas(9, 2, "reflect")
        after = dem.simulate(world, replace(particles, angular_velocity=particles.angular_velocity + 2.0), 500)
        np.testing.assert_array_equal(after.angular_velocity, 2.0)


class TestSimulate:
    """What wraps the steps: calls that compose, tracing, and reports of what went wrong."""

    @pytest.mark.parametrize("boundary", ["reflect", "periodic", "soft"])
    def test_two_calls_equal_one(self, boundary: str) -> None:
        world, particles = gas(16, 2, boundary)
        world = replace(world, friction=jnp.asarray(0.3), rough=True)
        halves = dem.simulate(world, dem.simulate(world, particles, 700), 700)
        once = dem.simulate(world, particles, 1_400)
        for half, whole in zip(jax.tree.leaves(halves), jax.tree.leaves(once), strict=True):
            np.testing.assert_allclose(half, whole, rtol=1e-9, atol=1e-9)

    def test_no_steps_change_nothing(self) -> None:
        world, particles = gas(16, 2, "reflect")
        after = dem.simulate(world, particles, 0)
        np.testing.assert_array_equal(after.position, particles.position)

    def test_traced_equals_called(self) -> None:
        world, particles = gas(144, 2, "reflect")
        expected = dem.simulate(world, particles, 300, external_force=[0.3, 0.0])
        force = jnp.array([0.3, 0.0])
        traced = {
            "particles": jax.jit(lambda p: dem.simulate(world, p, 300, force))(particles),
            "force": jax.jit(lambda f: dem.simulate(world, particles, 300, f))(force),
            "nothing": jax.jit(lambda: dem.simulate(world, particles, 300, force))(),
            "batch of forces": jax.tree.map(
                lambda x: x[0], jax.vmap(lambda f: dem.simulate(world, particles, 300, f))(force[None])
            ),
        }
        for name, after in traced.items():
            np.testing.assert_allclose(after.position, expected.position, rtol=1e-9, atol=1e-9, err_msg=name)

    @pytest.mark.parametrize("num", [4, 144])
    def test_first_particle_astray_is_named_with_its_step(self, num: int) -> None:
        world, particles = gas(num, 2, "reflect")
        # In steps of 2 from 5 before the side: with the third it is past it by more than its radius.
        velocity = particles.velocity.at[:].set(0.0).at[3].set(jnp.array([1e4, 0.0]))
        position = particles.position.at[3].set(world.box_high - 5.0)
        with pytest.raises(FloatingPointError, match=r"got particle 3 after step 3, at \["):
            dem.simulate(world, replace(particles, position=position, velocity=velocity), 3)

    def test_overlap_that_explodes_is_reported(self) -> None:
        world, particles = gas(144, 2, "reflect")
        position = particles.position.at[1].set(particles.position[2] + 1e-3)
        velocity = particles.velocity.at[1].add(1e6)
        with pytest.raises(FloatingPointError, match=r"got particle [12] after step \d, .*shorter dt"):
            dem.simulate(world, replace(particles, position=position, velocity=velocity), 50)

    def test_not_a_number_is_reported(self) -> None:
        world, particles = gas(144, 2, "periodic")
        broken = replace(particles, force=particles.force.at[77, 1].set(jnp.nan))
        with pytest.raises(FloatingPointError, match="got particle 77 after step 1, at"):
            dem.simulate(world, broken, 5)

    def test_report_costs_what_the_run_costs(self) -> None:
        # Over all pairs a swarm of this size would take a thousand times the memory of its lists.
        world, particles = gas(20_000, 2, "periodic")
        broken = replace(particles, force=particles.force.at[7_777, 1].set(jnp.nan))
        with pytest.raises(FloatingPointError, match="got particle 7777 after step 1, at"):
            dem.simulate(world, broken, 20)

    def test_bad_input_is_refused(self) -> None:
        world, particles = gas(4, 2, "reflect")
        for number in (-1, 2**31):
            with pytest.raises(
                ValueError, match=rf"num_steps is at least 0 and below 2\*\*31; got num_steps={number}\."
            ):
                dem.simulate(world, particles, number)
        with pytest.raises(TypeError, match=r"num_steps is an int; got num_steps=2\.0"):
            dem.simulate(world, particles, 2.0)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="one dimension; got 2 and 3"):
            dem.simulate(World.create([0.0] * 3, [1.0] * 3), particles, 1)
        with pytest.raises(ValueError, match=r"external_force broadcasts to \(4, 2\); got shape \(3,\)"):
            dem.simulate(world, particles, 1, external_force=[1.0, 2.0, 3.0])
        with pytest.raises(ValueError, match=r"external_torque broadcasts to \(4, 1\); got shape \(3,\)"):
            dem.simulate(world, particles, 1, external_torque=[1.0, 2.0, 3.0])
