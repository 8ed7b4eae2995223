"""A boundary and a law of contact of one's own, each one class, on this engine and on JaxDEM's."""

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array
from scipy.special import gamma

from jaxdem_ac import dem
from jaxdem_ac.dem.boundaries import BOUNDARIES
from jaxdem_ac.dem.contact_law import LAWS
from jaxdem_ac.dem.time_step import contact_time

POISSON = 0.2
"""Another than that of the law's name."""


@dataclass(frozen=True, eq=False)
class Circle(dem.Boundary):
    """A round wall around the middle of the box, which pushes by the world's law of contact."""

    wall_radius: float
    name: ClassVar[str] = "circle"
    jaxdem_domain: ClassVar[str] = "free"
    exerts_force: ClassVar[bool] = True

    def _offset(self, world: dem.World, position: list[Array]) -> tuple[list[Array], Array]:
        middle = (world.box_low + world.box_high) / 2
        offset = [x - middle[axis] for axis, x in enumerate(position)]
        return offset, jnp.sqrt(sum(component**2 for component in offset) + 1e-30)

    def force(self, world: dem.World, particles: dem.Columns) -> tuple[list[Array], list[Array]]:
        """Return the push along the radius, and the friction of what rolls along the wall."""
        return self.force_and_springs(world, particles)[:2]

    def force_and_springs(
        self, world: dem.World, particles: dem.Columns
    ) -> tuple[list[Array], list[Array], list[list[Array]]]:
        """Return both, and the spring of the one wall, which takes the place of the first of a box."""
        own, *others = particles.springs.walls if particles.springs else [[]]
        offset, distance = self._offset(world, particles.position)
        contact = dem.Contact(
            normal=[-component / distance for component in offset],
            overlap=jnp.maximum(0.0, distance + particles.radius - self.wall_radius),
            velocity=list(particles.velocity),
            spin=[particles.radius * component for component in particles.angular_velocity],
            reduced_mass=particles.mass,
            reduced_radius=particles.radius,
            spring=[*own],
        )
        push, along, turning, spring = world.law.forces_and_spring(world, contact)
        force: list[Any] = [push * normal for normal in contact.normal]
        if along:
            force = [normal + tangential for normal, tangential in zip(force, along, strict=True)]
        return force, [particles.radius * component for component in turning], [spring, *others] if spring else []

    def outside(self, world: dem.World, position: Array, radius: Array) -> Array:
        """Return who is beyond the wall."""
        return self._offset(world, list(position.T))[1] > self.wall_radius + radius


@pytest.mark.parametrize("friction", [0.0, 0.4])
def test_a_round_wall(friction: float) -> None:
    """A central force: it keeps the energy of a smooth disc and its angular momentum, and friction takes of both."""
    with jax.enable_x64(True):
        world = dem.World.create(
            [0.0, 0.0], [20.0, 20.0], Circle(8.0), stiffness=1e4, dt=1e-4, friction=friction, tangential_damping=5.0
        )
        start = dem.Particles.create([[10.0, 13.0]], [[4.0, 1.0]])
        later = dem.simulate(world, start, 60_000)
        energy = float(jnp.sum(later.kinetic_energy + later.rotational_energy))
        arm, velocity = np.asarray(later.position)[0] - 10.0, np.asarray(later.velocity)[0]
    assert np.hypot(*arm) < 7.2
    momentum = arm[0] * velocity[1] - arm[1] * velocity[0]
    if friction:
        assert energy < 8.3
        assert abs(momentum) < 11.0
        assert abs(float(later.angular_velocity[0, 0])) > 0.5
    else:
        assert energy == pytest.approx(8.5, rel=1e-3)
        assert momentum == pytest.approx(-12.0, rel=1e-6)


def test_a_round_wall_may_remember() -> None:
    """A disc pulled along it, and held by a torque, rocks about where it is; with viscous friction it creeps."""
    with jax.enable_x64(True):
        pull = 10 * np.sin(np.radians(20.0))
        world = dem.World.create(
            [0.0, 0.0], [20.0, 20.0], Circle(8.0), stiffness=1e5, dt=1e-4, restitution=0.3, friction=0.5,
            gravity=np.array([pull, -10 * np.cos(np.radians(20.0))]), law="cundall_strack",
        )  # fmt: skip
        start = dem.Particles.create([[10.0, 2.5]], radius=0.5)
        rests = dem.simulate(world, start, 60_000, external_torque=[[0.5 * pull]])
        later = dem.simulate(world, rests, 20_000, external_torque=[[0.5 * pull]])
        np.testing.assert_allclose(later.position, rests.position, rtol=0, atol=5e-5)
        viscous = dem.simulate(replace(world, law=LAWS["viscous_coulomb"]), rests, 20_000, None, [[0.5 * pull]])
        assert float(viscous.position[0, 0] - rests.position[0, 0]) > 0.02
        assert float(abs(later.springs.walls[0][0][0])) > 1e-5
        assert not any(float(wall[0][0]) for wall in later.springs.walls[1:])


def test_a_particle_outside_its_boundary_is_reported() -> None:
    world = dem.World.create([0.0, 0.0], [20.0, 20.0], Circle(8.0), stiffness=10.0, dt=1e-3)
    with pytest.raises(FloatingPointError, match="got particle 0 after step"):
        dem.simulate(world, dem.Particles.create([[10.0, 13.0]], [[400.0, 0.0]]), 100)


@pytest.mark.parametrize("speed", [0.05, 1.0])
@pytest.mark.parametrize("dim", [2, 3])
def test_hertz_has_its_closed_form_contact_time(dim: int, speed: float) -> None:
    """Landau and Lifshitz, Theory of Elasticity, section 9: t = 2.94 (overlap at the turn) / (speed of approach)."""
    mass, radius, stiffness = 2.0, 0.5, 1e5
    coefficient = 4 / 3 * stiffness / (2 * (1 - POISSON**2)) * math.sqrt(radius / 2)
    closing = 2 * speed
    deepest = (5 / 4 * (mass / 2) * closing**2 / coefficient) ** 0.4
    expected = 2 * deepest / closing * math.sqrt(math.pi) * gamma(7 / 5) / gamma(9 / 10)
    dt = expected / 2_000
    with jax.enable_x64(True):
        world = dem.World.create([-5.0] * dim, [5.0] * dim, law=dem.Hertz(POISSON), stiffness=stiffness, dt=dt)
        rest = [0.0] * (dim - 1)
        start = dem.Particles.create(
            [[-radius, *rest], [radius, *rest]], [[speed, *rest], [-speed, *rest]], radius, mass
        )

        @jax.jit
        def touching(start: dem.Particles) -> Array:
            def body(now: dem.Particles, _: None) -> Any:
                now, _ = dem.advance(world, now, jnp.zeros_like(now.force), 1)
                return now, now.position[1, 0] - now.position[0, 0] < 2 * radius

            return jnp.sum(jax.lax.scan(body, start, length=2_500)[1])

        assert int(touching(start)) * dt == pytest.approx(expected, rel=2e-3)
        # Checks of the time step see as long a contact; the radius that they take is the largest there may be.
        stiffness = world.law.contact_stiffness(float(world.stiffness), mass / 2, radius / 2, closing)
        assert contact_time(stiffness, mass / 2) == pytest.approx(expected, rel=1e-9)
        critical = world.critical_time_step(start)
        assert critical == pytest.approx(2 / math.pi * expected * 2**-0.2, rel=1e-9)
        with pytest.warns(dem.TimeStepWarning, match="6.28 steps"):
            dem.simulate(replace(world, dt=jnp.asarray(critical / 4)), start, 1)
        later = dem.simulate(world, start, 2_500)
    np.testing.assert_allclose(later.velocity[:, 0], [-speed, speed], rtol=1e-5)


def test_hertz_without_restitution_does_not_bounce() -> None:
    world = dem.World.create([-5.0] * 2, [5.0] * 2, law="hertz", stiffness=1e5, dt=1e-4, restitution=0.0)
    start = dem.Particles.create([[-0.5, 0.0], [0.5, 0.0]], [[1.0, 0.0], [-1.0, 0.0]], 0.5)
    later = dem.simulate(world, start, 5_000)
    assert float(jnp.abs(later.velocity).max()) < 0.05


@pytest.mark.parametrize("ratio", [-1.0, 0.6, math.nan])
def test_a_poisson_ratio_of_no_material_is_refused(ratio: float) -> None:
    with pytest.raises(ValueError, match=r"poisson_ratio is in \(-1, 0.5\]; got poisson_ratio="):
        dem.Hertz(ratio)


@pytest.mark.jaxdem
@pytest.mark.parametrize("kind", ["hertz", "circle"])
def test_they_do_the_same_on_jaxdems_engine(kind: str) -> None:
    pytest.importorskip("jaxdem")
    material: dict[str, Any] = {"law": dem.Hertz(POISSON)} if kind == "hertz" else {"boundary": Circle(4.0)}
    generator = np.random.default_rng(0)
    with jax.enable_x64(True):
        world = dem.World.create([0.0] * 2, [8.0] * 2, **material, stiffness=1e4, dt=2e-4)
        place = 2.2 + 1.2 * np.stack(np.meshgrid(np.arange(4), np.arange(4)), -1).reshape(-1, 2)
        start = dem.Particles.create(place, 3 * generator.normal(size=(16, 2)), generator.uniform(0.45, 0.55, 16))
        nothing = jnp.zeros_like(start.force)
        ours, theirs = (
            jax.jit(lambda start, engine=engine: dem.advance(world, start, nothing, 2_000, engine=engine)[0])(start)
            for engine in ("embedded", "jaxdem")
        )
    assert float(jnp.abs(ours.velocity - start.velocity).max()) > 1
    np.testing.assert_allclose(theirs.position, ours.position, atol=1e-7)
    np.testing.assert_allclose(theirs.velocity, ours.velocity, atol=1e-5)


def test_names() -> None:
    for name, boundary in BOUNDARIES.items():
        world = dem.World.create([0.0, 0.0], [9.0, 9.0], name)
        assert world.boundary is boundary
        assert world.boundary == name != "other"
        assert hash(world.boundary) == hash(dem.World.create([0.0] * 2, [9.0] * 2, boundary).boundary)
    assert all(dem.World.create([0.0] * 2, [9.0] * 2, law=name).law is law for name, law in LAWS.items())
    assert Circle(2.0) == Circle(2.0) != Circle(3.0)
    with pytest.raises(
        ValueError, match=r"boundary is 'reflect', 'periodic' or 'soft', or a Boundary; got boundary='open'"
    ):
        dem.World.create([0.0] * 2, [9.0] * 2, "open")
    with pytest.raises(
        ValueError, match=r"law is 'viscous_coulomb', .* or 'hertz_mindlin', or a ContactLaw; got law=3"
    ):
        dem.World.create([0.0] * 2, [9.0] * 2, law=3)
