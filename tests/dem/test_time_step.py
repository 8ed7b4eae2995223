"""Time steps that resolve contacts, boxes that hold particles, and what is said of the others."""

import math
import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxdem_ac as ac
from jaxdem_ac import dem
from jaxdem_ac.dem.neighbor_list import NeighborSpec, allocate, make_spec, with_capacity
from jaxdem_ac.dem.time_step import MOST_SPEED, critical_time_step, restitution_range

BOX = [-50.0, -50.0], [50.0, 50.0]


def collide(dt: float, mass: float, restitution: float, phase: float, dim: int = 2) -> float:
    """Return the ratio of speeds after and before a head-on collision whose first step falls `phase` into it."""
    with jax.enable_x64(True), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        world = dem.World.create([-50.0] * dim, [50.0] * dim, dt=dt, restitution=restitution)
        rest = [0.0] * (dim - 1)
        speed = 0.5
        apart = 1 + speed * dt * (20 + phase)
        particles = dem.Particles.create(
            [[-apart, *rest], [apart, *rest]], [[speed, *rest], [-speed, *rest]], mass=mass
        )
        later = dem.simulate(world, particles, 25 + round(12 * math.pi * math.sqrt(mass / 4e5) / dt))
        return float(later.velocity[1, 0]) / speed


@pytest.mark.parametrize(
    ("dt", "mass", "restitution"), [(2e-3, 1.0, 1.0), (2e-3, 1.0, 0.5), (5e-4, 1.0, 0.3), (5e-4, 0.2, 0.9)]
)
def test_the_error_that_is_told_is_the_error_that_is_made(dt: float, mass: float, restitution: float) -> None:
    steps = math.pi * math.sqrt(mass / 4e5) / dt
    low, high = restitution_range(steps, restitution)
    ratios = [collide(dt, mass, restitution, phase, dim) for dim in (2, 3) for phase in np.arange(0.01, 1, 0.07)]
    assert low - 0.02 <= min(ratios)
    assert max(ratios) <= high + 0.02
    # And it is told no larger than it is.
    assert max(ratios) - min(ratios) > 0.8 * (high - low) - 0.02


@pytest.mark.parametrize("steps", [1.9, 2.4836, 5.0, 13.0, 20.0])
def test_elastic_error_is_within_its_closed_form(steps: float) -> None:
    low, high = restitution_range(steps)
    bound = math.sqrt(1 - (math.pi / steps) ** 2 / 4)
    assert bound - 1e-12 <= low <= 1 <= high <= 1 / bound + 1e-12
    assert steps < 20 or high < 1.007


@pytest.mark.parametrize("restitution", [0.9, 0.5, 0.1])
def test_many_steps_make_no_error(restitution: float) -> None:
    low, high = restitution_range(2_000.0, restitution)
    assert low == pytest.approx(restitution, abs=2e-3)
    assert high == pytest.approx(restitution, abs=2e-3)


def pair(**particles: Any) -> dem.Particles:
    return dem.Particles.create([[0.0, 0.0], [3.0, 0.0]], **particles)


def test_jaxdems_defaults_go_on_with_one_warning() -> None:
    with pytest.warns(dem.TimeStepWarning, match=r"2\.48 steps.*0\.810 to 1\.235 times.*Take dt=0\.000248") as caught:
        dem.simulate(dem.World.create(*BOX), pair(), 1)
    assert len(caught) == 1
    assert caught[0].filename == __file__


@pytest.mark.parametrize(
    ("world", "particles"),
    [
        ({}, {"mass": 0.5}),
        ({}, {"mass": [1.0, 0.1]}),
        ({"stiffness": 2e6}, {}),
        ({"dt": 5e-3}, {}),
        ({"restitution": 0.05}, {}),
        ({"boundary": "soft"}, {"mass": 0.3}),
    ],
)
def test_what_cannot_resolve_a_contact_is_refused(world: dict[str, Any], particles: dict[str, Any]) -> None:
    with pytest.raises(
        ValueError, match=r"^simulate: the time step resolves a contact.*; got dt=.*steps\. Take dt="
    ) as raised:
        dem.simulate(dem.World.create(*BOX, **world), pair(**particles), 1)
    # The advice is good: with it nothing is said.
    advice = float(str(raised.value).split("Take dt=")[1].split(",")[0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dem.simulate(dem.World.create(*BOX, **{**world, "dt": advice}), pair(**particles), 1)


def test_drag_and_friction_that_overshoot() -> None:
    with pytest.raises(ValueError, match=r"drag slows particles down; got dt=0.01, in which drag takes 3 times"):
        dem.simulate(dem.World.create(*BOX, dt=1e-2, drag=300.0, stiffness=1.0), pair(), 1)
    with pytest.warns(dem.TimeStepWarning, match="friction takes 3 times.*overshoots"):
        dem.simulate(dem.World.create(*BOX, dt=1e-2, friction=0.5, stiffness=1.0), pair(), 1)


@pytest.mark.parametrize("boundary", ["reflect", "periodic"])
def test_a_particle_alone_touches_nothing(boundary: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        world, alone = dem.World.create(*BOX, boundary, dt=0.5), dem.Particles.create([[0.0, 0.0]])
        dem.simulate(world, alone, 1)
        assert world.critical_time_step(alone) == math.inf


def test_critical_time_step() -> None:
    world = dem.World.create(*BOX)
    assert world.critical_time_step(pair()) == pytest.approx(2 * math.sqrt(0.5 / 2e5))
    # Of a particle and an obstacle, of two of three, of a particle and a soft wall.
    assert world.critical_time_step(pair(fixed=[True, False])) == pytest.approx(2 * math.sqrt(1 / 2e5))
    three = dem.Particles.create([[0.0, 0.0], [3.0, 0.0], [6.0, 0.0]], mass=[5.0, 0.5, 2.0])
    assert world.critical_time_step(three) == pytest.approx(2 * math.sqrt(0.4 / 2e5))
    soft, alone = dem.World.create(*BOX, "soft"), dem.Particles.create([[0.0, 0.0]], mass=2.0)
    assert soft.critical_time_step(alone) == pytest.approx(critical_time_step(2e5, 2.0))
    for name in ("mass", "velocity", "radius"):
        with pytest.raises(TypeError, match="stiffness and particles have values; got traced ones"):
            jax.jit(lambda number, name=name: world.critical_time_step(pair(**{name: number})))(1.0)


@pytest.mark.parametrize("name", [name for name in ac.list_environments() if not name.startswith("jaxdem:")])
class TestTasks:
    def test_tasks_warn_of_a_coarse_time_step_and_not_of_their_own(self, name: str) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            environment = ac.make_environment(name)
            fine = ac.make_environment(name, dt=environment.critical_time_step / 14, max_steps=10**6)
        assert fine.critical_time_step == environment.critical_time_step
        with pytest.warns(dem.TimeStepWarning, match=rf"^{type(environment).__name__}: got dt=") as caught:
            ac.make_environment(name, dt=environment.critical_time_step / 5)
        assert len(caught) == 1
        assert caught[0].filename == __file__

    def test_refuse_what_cannot_resolve_a_contact(self, name: str) -> None:
        for keywords in ({"mass": 1e-4}, {"mass": [1e-4, 2.0]}, {"stiffness": 1e7}, {"dt": 0.1}):
            with pytest.raises(ValueError, match=r"resolves a contact.*; got dt=.* Take dt=|drag slows"):
                ac.make_environment(name, **keywords)

    def test_refuse_numbers_that_are_0_or_infinite_where_they_are_used(self, name: str) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for keywords in ({"stiffness": 1e-50}, {"dt": 1e300}, {"dt": 1e-42}, {"radius": 1e-39}, {"mass": 1e39}):
                with pytest.raises(ValueError, match=r"float32; got \w+="):
                    ac.make_environment(name, **keywords)
            for steps in (2**31, 2**40):
                with pytest.raises(ValueError, match=r"max_steps is below 2\*\*31; got max_steps="):
                    ac.make_environment(name, max_steps=steps)
            for number in (0, -1, 1.5, True, "3"):
                with pytest.raises(ValueError, match="num_particles is a whole number from 1; got"):
                    ac.make_environment(name, num_particles=number)


class TestBox:
    """A box holds its particles, and a periodic one shows each pair one image at a time."""

    @pytest.mark.parametrize("boundary", ["reflect", "periodic", "soft"])
    @pytest.mark.parametrize("sides", [(1.9, 50.0), (50.0, 1.9), (50.0, 50.0, 1.9)])
    def test_narrower_than_a_disc(self, boundary: Any, sides: tuple[float, ...]) -> None:
        world = dem.World.create(np.zeros(len(sides)), sides, boundary)
        with pytest.raises(ValueError, match=r"every particle fits into the box; got a side of 1.9 for a radius of 1"):
            dem.simulate(world, dem.Particles.create([np.full(len(sides), 0.95)]), 1)

    @pytest.mark.parametrize(("side", "radius"), [(2.5, [1.0, 1.0]), (3.99, [1.0, 1.0]), (2.9, [1.0, 0.5])])
    def test_two_images_of_one_particle(self, side: float, radius: Any) -> None:
        particles = dem.Particles.create([[0.5, 5.0], [1.6, 5.0]], radius=radius)
        with pytest.raises(
            ValueError, match="a side of a periodic box is at least twice as long as two particles reach"
        ):
            dem.simulate(dem.World.create([0.0, 0.0], [side, 50.0], "periodic"), particles, 1)

    def test_lists_of_such_boxes(self) -> None:
        with pytest.raises(ValueError, match="make_spec: a side of a periodic box"):
            make_spec(1_000, (3.9, 50.0), 2.0, 0.4, periodic=True)

    @pytest.mark.parametrize("name", ["swarm_navigator", "multi_navigator"])
    def test_of_a_task(self, name: str) -> None:
        small = {"num_particles": 1, "min_box_size": 0.5, "max_box_size": 0.5, "box_padding": 1.0}
        with pytest.raises(ValueError, match=r"every particle fits into the box; got a side of 1.5 for a radius of 1"):
            ac.make_environment(name, **small)
        environment = ac.make_environment(name, num_particles=1)
        with pytest.raises(ValueError, match=r"every particle fits into the box"):
            environment.make_state(position=[[0.5, 0.5]], targets=[[1.0, 1.0]], box_low=[0, 0], box_high=[1.5, 9])

    def test_the_narrowest_that_is_taken_feels_each_contact_once(self) -> None:
        """Against all images, in a box just as wide as is allowed."""
        with jax.enable_x64(True):
            side, place = 4.0, np.array([[0.5, 5.0], [2.4, 5.0]])
            world = dem.World.create([0.0, 0.0], [side, 50.0], "periodic", dt=2e-4)
            later = dem.simulate(world, dem.Particles.create(place), 1)
        images = place[1, 0] + side * np.arange(-2, 3) - place[0, 0]
        push = 2e5 * np.sum(-np.sign(images) * np.maximum(0.0, 2 - np.abs(images)))
        assert float(later.force[0, 0]) == pytest.approx(push, rel=1e-9)


@pytest.mark.parametrize("count", [-1, 2.5, True, "3", None, np.float32(2.0), jnp.asarray(-3)])
def test_counters_are_whole_numbers_from_0(count: Any) -> None:
    for name, more in (("swarm_navigator", {}), ("swarm_roller", {}), ("collective_transport", {"load": [7.0, 7.0]})):
        environment = ac.make_environment(name, num_particles=1)
        place = {"position": [[5.0, 5.0]], "targets": [[1.0, 1.0]], "box_low": [0, 0], "box_high": [20, 20], **more}
        with pytest.raises(ValueError, match="make_state: step_count is a whole number from 0; got"):
            environment.make_state(**place, step_count=count)
        state = environment.make_state(**place, step_count=jnp.asarray(7))
        assert int(state.step_count) == 7
    with pytest.raises(ValueError, match="make_state: step_count is a whole number from 0; got"):
        ac.make_environment("evacuation", num_particles=1).make_state(position=[[5.0, 5.0]], step_count=count)


class TestCounting:
    """Pairs are counted in whole numbers."""

    SPEC = NeighborSpec(1.0, 0.5, 20_000_000, 20_000_000, (1, 1), (1.0, 1.0))

    @pytest.mark.parametrize("missing", [(1, 0), (0, 1), (1, 1)])
    def test_one_pair_too_many_of_twenty_million(self, missing: tuple[int, int]) -> None:
        needed = jnp.asarray(missing, jnp.int32) + 20_000_000
        nobody = allocate(NeighborSpec(1.0, 0.5, 4, 4, (1, 1), (1.0, 1.0)), jnp.zeros((3, 2)))
        listed = jax.tree.map(lambda leaf: leaf, nobody)
        short = type(listed)(listed.left, listed.right, listed.count, listed.reference, needed)
        assert float(short.overflow_ratio(self.SPEC)) > 1
        assert (
            float(
                type(listed)(
                    *(getattr(listed, n) for n in ("left", "right", "count", "reference")), jnp.full(2, 20_000_000)
                ).overflow_ratio(self.SPEC)
            )
            == 0
        )
        assert with_capacity(self.SPEC, needed).capacity >= needed[0]

    def test_more_than_can_be_counted(self) -> None:
        with pytest.raises(OverflowError, match=r"fewer than 2\*\*31 pairs"):
            with_capacity(self.SPEC, np.array([2**31 - 2, 5]))


def test_the_refusal_is_where_its_name_says() -> None:
    steps = math.pi / math.sqrt(3.0)
    assert restitution_range(steps + 0.02)[1] <= MOST_SPEED < restitution_range(steps - 0.05)[1]
