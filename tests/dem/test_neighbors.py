"""Lists of neighbours hold every pair that is near, once; a run with lists is the run over all pairs."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdem_ac import dem
from jaxdem_ac.dem import Particles, World
from jaxdem_ac.dem import step as step_module
from jaxdem_ac.dem.columns import Columns, stacked
from jaxdem_ac.dem.forces import contact_force
from jaxdem_ac.dem.neighbor_list import NeighborSpec, allocate, make_spec, refresh, with_capacity
from jaxdem_ac.dem.step import advance, contact_spec

REFRESH = jax.jit(refresh, static_argnums=0)


def distances(spec: NeighborSpec, position: Any, sources: Any, size: Any) -> np.ndarray:
    apart = np.asarray(position, float)[:, None] - np.asarray(sources, float)[None]
    if spec.periodic:
        apart -= np.asarray(size, float) * np.round(apart / size)
    return np.linalg.norm(apart, axis=-1)


def assert_lists_who_is_near(spec: NeighborSpec, neighbors: Any, position: Any, sources: Any, size: Any) -> None:
    """Assert that all pairs within the cutoff are there, none beyond the reach, none twice, and padding comes last."""
    distance = distances(spec, position, sources, size)
    count = int(neighbors.count)
    left, right = np.asarray(neighbors.left), np.asarray(neighbors.right)
    near = distance <= spec.cutoff * (1 - 1e-5)
    found = np.zeros_like(near, int)
    np.add.at(found, (left[:count], right[:count]), 1)
    if spec.self_pairs:
        np.fill_diagonal(near, val=False)
        assert not np.diag(found).any(), "a particle is its own neighbour"
        found = found + found.T
        assert (left[count:] == right[count:]).all(), "what pads the list is a pair"
    assert found.max(initial=0) <= 1, "twice in a list"
    assert (found[near] == 1).all(), "a pair is missing"
    assert (distance[found > 0] <= spec.reach * (1 + 1e-5)).all(), "a pair is too far apart"
    np.testing.assert_array_equal(np.flatnonzero(neighbors.valid), np.arange(count))
    assert set(left.tolist()) <= set(range(len(distance)))
    assert set(right.tolist()) <= set(range(distance.shape[1]))


def box(batch: Any, number: int) -> Any:
    return jax.tree.map(lambda leaf: leaf[number], batch)


def built(spec: NeighborSpec, position: Any, low: Any, high: Any, sources: Any = None) -> Any:
    """Return the list, with a specification that has room for it."""
    while True:
        fresh = REFRESH(spec, allocate(spec, position), position, low, high, sources)
        if not bool(fresh.overflow_ratio(spec)):
            return spec, fresh
        spec = with_capacity(spec, fresh.needed)


class TestList:
    """What one build finds, against distances between all."""

    @pytest.mark.parametrize("periodic", [False, True])
    @pytest.mark.parametrize("size", [(0.6, 4.7), (2.1, 3.0), (1.3, 5.2, 0.6), (3.2, 3.2, 3.2)])
    def test_has_all_that_are_near_and_none_twice(self, size: tuple[float, ...], periodic: bool) -> None:
        """Boxes of less than one to some five cells along each axis, far from the origin, left by some particles."""
        random = np.random.default_rng(0)
        dim = len(size)
        cutoff = min(0.7, min(size) / 2) if periodic else 0.7
        spec = make_spec(60, np.array(size), cutoff, 1.0 - cutoff, periodic=periodic, room=100)
        low = np.repeat([0.0, -37.5, 512.0, 3000.0], 3)[:, None] * np.ones(dim)
        outside = np.tile([0.0, 0.1, 2.0], 4)[:, None, None]
        spread = random.uniform(0, 1, (12, 60, dim)) * (1 + 2 * outside) - outside
        position = jnp.asarray(low[:, None] + spread * size, jnp.float32)
        corners = jnp.asarray(low, jnp.float32), jnp.asarray(low + size, jnp.float32)
        stale = jax.vmap(lambda x: allocate(spec, x))(position)
        batch = jax.jit(jax.vmap(lambda *each: refresh(spec, *each)))(stale, position, *corners)
        # Nothing beyond the reach, but for what single precision makes of a place far from the origin.
        for number, each in enumerate(position):
            assert_lists_who_is_near(spec, box(batch, number), each, each, np.float32(size))

    @pytest.mark.parametrize(
        ("grid", "periodic"),
        [((1, 1), False), ((1, 2), False), ((1, 1), True), ((2, 3), False), ((3, 1), True), ((5, 3), True)],
    )
    def test_small_grids(self, grid: tuple[int, int], periodic: bool) -> None:
        random = np.random.default_rng(0)
        size = np.array(grid) * 1.05
        position = jnp.asarray(random.uniform(0, 1, (30, 2)) * size)
        spec = replace(make_spec(30, size, 0.5, 0.5, periodic=periodic), grid=grid)
        spec, fresh = built(spec, position, jnp.zeros(2), jnp.asarray(size))
        assert_lists_who_is_near(spec, fresh, position, position, size)

    @pytest.mark.parametrize(
        ("size", "grid"),
        [
            ((160, 160), (63, 63)),
            ((160, 160, 2), (63, 63, 1)),
            ((4000, 10), (993, 4)),
            ((160, 160, 160), (16, 16, 16)),
            ((20, 40), (8, 16)),
        ],
    )
    def test_as_many_cells_as_particles_in_a_flat_layer_too(
        self, size: tuple[float, ...], grid: tuple[int, ...]
    ) -> None:
        assert make_spec(63**2, size, 2.0, 0.5).grid == grid

    @pytest.mark.parametrize("height", [(), (2.0,)])
    def test_costs_a_particle_the_same_at_any_number(self, height: tuple[float, ...]) -> None:
        few, many = (make_spec(num, (6 * num**0.5, 6 * num**0.5, *height), 2.0, 0.5) for num in (1_000, 1_000_000))
        assert 700 < many.candidates / few.candidates < 1_100
        assert 700 < many.capacity / few.capacity < 1_100

    @pytest.mark.parametrize("reach", [1.25, 1.9, 3.1])
    def test_holds_the_densest_packing_and_little_more(self, reach: float) -> None:
        """A crowd that has gathered in a corner of a wide box: rows of discs, each in the gaps of the last."""
        row, column = np.mgrid[:40, :40]
        position = jnp.asarray(np.stack([column + row % 2 / 2, row * 3**0.5 / 2], axis=-1).reshape(-1, 2), float)
        spec = make_spec(1_600, (200.0, 200.0), reach - 0.2, 0.2, crowding=1_000.0, spacing=1.0)
        fresh = REFRESH(spec, allocate(spec, position), position, *jnp.asarray([[0.0, 0.0], [200.0, 200.0]]))
        assert not bool(fresh.overflow_ratio(spec))
        assert int(fresh.count) > (0.9 if reach == 1.25 else 0.4) * spec.capacity

    @pytest.mark.parametrize("num", [1, 2, 3])
    def test_few_particles(self, num: int) -> None:
        position = jnp.linspace(0.0, 0.9, num)[:, None] * jnp.ones(2)
        spec, fresh = built(make_spec(num, np.ones(2), 0.7, 0.3), position, jnp.zeros(2), jnp.ones(2))
        assert_lists_who_is_near(spec, fresh, position, position, np.ones(2))

    def test_coordinates_below_the_box_and_on_its_corners(self) -> None:
        position = jnp.array([[0.0, 0.0], [4.0, 4.0], [0.0, 4.0], [4.0, 0.0], [-0.1, -0.1], [4.1, 4.1], [2.0, 2.0]])
        for periodic in (False, True):
            spec = make_spec(7, np.full(2, 4.0), 0.5, 0.3, periodic=periodic)
            spec, fresh = built(replace(spec, grid=(5, 5)), position, jnp.zeros(2), jnp.full(2, 4.0))
            assert_lists_who_is_near(spec, fresh, position, position, np.full(2, 4.0))

    @pytest.mark.parametrize(("dim", "periodic"), [(2, True), (3, False)])
    def test_of_points_that_are_not_particles(self, dim: int, periodic: bool) -> None:
        """Sensors and what they sense: as many as there are, also nothing in reach."""
        random = np.random.default_rng(1)
        size = np.arange(dim) * 2.0 + 3.0
        for num_sources in (1, 2, 60):
            position = jnp.asarray(random.uniform(-0.1, 1.1, (25, dim)) * size)
            sources = jnp.asarray(random.uniform(0, 1, (num_sources, dim)) * size)
            spec = make_spec(25, size, 0.8, 0.2, num_sources=num_sources, periodic=periodic)
            spec, fresh = built(spec, position, jnp.zeros(dim), jnp.asarray(size), sources)
            assert_lists_who_is_near(spec, fresh, position, sources, size)

    def test_of_points_lasts_for_the_whole_skin(self) -> None:
        position, sources = jnp.array([[1.0, 1.0]]), jnp.array([[2.0, 1.0]])
        spec = make_spec(1, np.full(2, 5.0), 0.7, 0.2, num_sources=1)
        spec, fresh = built(spec, position, jnp.zeros(2), jnp.full(2, 5.0), sources)
        for moved, rebuilt in ((0.19, False), (0.21, True)):
            later = REFRESH(spec, fresh, position + jnp.array([moved, 0.0]), jnp.zeros(2), jnp.full(2, 5.0), sources)
            assert bool(later.reference[0, 0] != 1.0) == rebuilt
            assert int(later.count) == (1 if rebuilt else 0)

    @pytest.mark.parametrize("periodic", [False, True])
    def test_batch_equals_loop_over_boxes_of_many_sizes(self, periodic: bool) -> None:
        random = np.random.default_rng(2)
        size = random.uniform(3.0, 6.0, (5, 2))
        low = random.uniform(-20, 20, (5, 2))
        position = low[:, None] + random.uniform(0, 1, (5, 30, 2)) * size[:, None]
        position, low, high = (jnp.asarray(x, jnp.float32) for x in (position, low, low + size))
        # Periodic cells tile their box: the grid is the smallest one's.
        spec = make_spec(30, size.min(axis=0), 0.7, 0.3, periodic=periodic, room=100)
        stale = jax.vmap(lambda x: allocate(spec, x))(position)
        batch = jax.jit(jax.vmap(lambda *each: refresh(spec, *each)))(stale, position, low, high)
        twice = jax.jit(jax.vmap(jax.vmap(lambda *each: refresh(spec, *each))))(
            *jax.tree.map(lambda x: x[None], (stale, position, low, high))
        )
        for n in range(5):
            alone = REFRESH(spec, box(stale, n), position[n], low[n], high[n])
            for one, other, here in zip(*map(jax.tree.leaves, (box(batch, n), box(twice, (0, n)), alone)), strict=True):
                np.testing.assert_array_equal(one, here)
                np.testing.assert_array_equal(other, here)
            assert_lists_who_is_near(spec, box(batch, n), position[n], position[n], size[n])
        assert not np.asarray(jax.vmap(lambda each: each.overflow_ratio(spec))(batch)).any()

    def test_batch_of_sensors_shares_its_sources(self) -> None:
        random = np.random.default_rng(3)
        position = jnp.asarray(random.uniform(0, 5, (4, 20, 2)))
        sources = jnp.asarray(random.uniform(0, 5, (30, 2)))
        spec = make_spec(20, np.full(2, 5.0), 0.7, 0.3, num_sources=30, room=100)

        def look(position: jax.Array) -> Any:
            return refresh(spec, allocate(spec, position), position, jnp.zeros(2), jnp.full(2, 5.0), sources)

        batch = jax.jit(jax.vmap(look))(position)
        for n in range(4):
            assert_lists_who_is_near(spec, box(batch, n), position[n], sources, 5.0)


class TestLifetime:
    """A list is built again when somebody has moved half the skin, and not before."""

    def setup_method(self) -> None:
        self.position = jnp.array([[1.0, 1.0], [2.1, 1.0], [4.0, 4.0]])
        self.box = jnp.zeros(2), jnp.full(2, 5.0)
        spec = make_spec(3, np.full(2, 5.0), 1.0, 0.2)
        self.spec, self.list = built(spec, self.position, *self.box)

    @pytest.mark.parametrize(("moved", "rebuilt"), [(0.0, False), (0.099, False), (0.101, True)])
    def test_half_the_skin(self, moved: float, rebuilt: bool) -> None:
        position = self.position.at[2, 1].add(-moved)
        later = REFRESH(self.spec, self.list, position, *self.box)
        assert bool((later.reference == position).all()) == (rebuilt or moved == 0)
        assert bool((later.reference == self.position).all()) == (not rebuilt)

    def test_across_a_periodic_side_nothing_has_moved(self) -> None:
        spec = replace(self.spec, periodic=True)
        position = self.position.at[0, 0].add(5.0)
        later = REFRESH(spec, self.list, position, *self.box)
        np.testing.assert_array_equal(later.reference, self.position)

    def test_not_a_number_is_built_again_and_fills_no_list(self) -> None:
        position = jnp.full((50, 2), jnp.nan)
        spec = make_spec(50, np.full(2, 5.0), 1.0, 0.2)
        stale = allocate(spec, position)
        later = REFRESH(spec, stale, position, *self.box)
        assert int(later.count) == 0
        assert not bool(later.valid.any())

    def test_one_stale_box_in_a_batch_is_enough(self) -> None:
        both = jax.tree.map(lambda x: jnp.stack([x, x]), self.list)
        position = jnp.stack([self.position, self.position.at[2, 1].add(-0.15)])
        later = jax.jit(jax.vmap(lambda each, x: refresh(self.spec, each, x, *self.box)))(both, position)
        np.testing.assert_array_equal(later.reference, position)

    def test_batch_keeps_one_conditional_rebuild(self) -> None:
        """Under vmap, a condition becomes a choice between two results that are always computed: not here."""
        both = jax.tree.map(lambda x: jnp.stack([x, x]), self.list)
        position = jnp.stack([self.position, self.position])
        text = str(jax.make_jaxpr(jax.vmap(lambda each, x: refresh(self.spec, each, x, *self.box)))(both, position))
        assert text.count("cond[") == 1

    def test_what_was_needed_is_remembered(self) -> None:
        spread = jnp.array([[1.0, 1.0], [3.0, 3.0], [4.5, 0.5]])
        later = REFRESH(self.spec, self.list, spread, *self.box)
        assert int(self.list.count) == 1
        assert int(later.count) == 0
        assert int(later.needed[0]) == 1


def swarm(num: int, dim: int, boundary: str, seed: int = 0, speed: float = 1.0, **kw: Any) -> tuple[World, Particles]:
    """Return particles of two sizes that touch here and there, in a box far from the origin."""
    random = np.random.default_rng(seed)
    side = int(np.ceil(num ** (1 / dim)))
    lattice = np.stack(np.meshgrid(*[np.arange(side)] * dim, indexing="ij"), -1).reshape(-1, dim)[:num]
    low = np.full(dim, 100.0)
    radius = np.where(random.uniform(size=num) < 0.3, 0.5, 0.4)
    particles = Particles.create(
        low + 0.5 + lattice + random.uniform(-0.1, 0.1, (num, dim)),
        speed * random.normal(size=(num, dim)),
        radius,
        radius**dim,
    )
    return World.create(low, low + side, boundary, **{"stiffness": 2e3, "dt": 1e-3, **kw}), particles


def assert_same(ours: Particles, expected: Particles, tolerance: float) -> None:
    for name in ("position", "velocity", "force", "angular_velocity", "torque"):
        here, there = np.asarray(getattr(ours, name)), np.asarray(getattr(expected, name))
        np.testing.assert_allclose(here, there, atol=tolerance * max(1.0, np.abs(there).max()), err_msg=name)


class TestRun:
    """Contacts through lists are contacts over all pairs."""

    @pytest.mark.parametrize(
        ("dim", "boundary", "rough"), [(2, "reflect", False), (2, "soft", True), (3, "periodic", True)]
    )
    def test_simulate_with_lists_equals_all_pairs(self, dim: int, boundary: str, rough: bool, monkeypatch) -> None:
        with jax.enable_x64(True):
            # Friction that overshoots makes a chaos of roundings.
            material = {"friction": 0.4, "restitution": 0.7, "tangential_damping": 5.0} if rough else {}
            world, particles = swarm(200, dim, boundary, **material)
            assert contact_spec(world, particles) is not None
            ours = dem.simulate(world, particles, 400)
            monkeypatch.setattr(step_module, "LIST_FROM", 1_000)
            assert contact_spec(world, particles) is None
            expected = dem.simulate(world, particles, 400)
            assert np.abs(np.asarray(ours.velocity - particles.velocity)).max(axis=1).mean() > 0.3
            assert_same(ours, expected, 1e-7)

    @pytest.mark.parametrize("boundary", ["reflect", "periodic"])
    def test_no_contact_is_missed_at_any_step(self, boundary: str) -> None:
        """Fast particles: up to several skins in one step."""
        world, particles = swarm(150, 2, boundary, speed=60.0, dt=2e-3)
        spec = contact_spec(world, particles)
        assert spec is not None
        spec = replace(spec, capacity=4_000, candidates=8_000)

        def body(carry: Any, _: None) -> Any:
            particles, neighbors = carry
            particles, later = dem.advance(world, particles, jnp.zeros_like(particles.force), 1, None, spec, neighbors)
            assert later is not None
            columns = Columns.of(particles)
            missed = stacked(contact_force(world, columns, later)[0]) - stacked(contact_force(world, columns)[0])
            force = jnp.max(jnp.abs(particles.force))
            rebuilt = jnp.any(later.reference != neighbors.reference)
            return (particles, later), (jnp.max(jnp.abs(missed)) / (1 + force), rebuilt, later.overflow_ratio(spec))

        first = particles, allocate(spec, particles.position)
        missed, rebuilt, overflow = jax.jit(lambda first: jax.lax.scan(body, first, None, 500)[1])(first)
        assert not overflow.any()
        assert float(missed.max()) < 1e-5
        assert bool(rebuilt[0])

    def test_slow_particles_keep_their_list(self) -> None:
        world, particles = swarm(150, 2, "periodic", speed=0.1)
        spec = contact_spec(world, replace(particles, radius=0.5 * particles.radius))
        assert spec is not None

        def body(carry: Any, _: None) -> Any:
            later, neighbors = dem.advance(world, carry[0], jnp.zeros_like(particles.force), 1, None, spec, carry[1])
            assert neighbors is not None
            return (later, neighbors), jnp.any(neighbors.reference != carry[1].reference)

        apart = replace(particles, radius=0.5 * particles.radius)
        first = apart, allocate(spec, particles.position)
        (last, _), rebuilt = jax.jit(lambda first: jax.lax.scan(body, first, None, 400))(first)
        fastest = float(jnp.max(jnp.linalg.norm(last.velocity, axis=-1)))
        # A skin of 0.4 radii lasts half a skin's way of the fastest.
        assert 1 <= int(rebuilt.sum()) <= 2 + 400 * 1e-3 * fastest / (0.5 * spec.skin)

    def test_batch_of_swarms_equals_loop(self) -> None:
        with jax.enable_x64(True):
            swarms = [swarm(40, 2, "reflect", seed=seed) for seed in range(3)]
            worlds = [replace(world, box_high=world.box_high + 0.3 * n) for n, (world, _) in enumerate(swarms)]
            world = jax.tree.map(lambda *leaves: jnp.stack(leaves), *worlds)
            particles = jax.tree.map(lambda *leaves: jnp.stack(leaves), *(each for _, each in swarms))
            spec = make_spec(40, np.asarray(worlds[0].box_high - worlds[0].box_low), 1.0, 0.2, room=100)

            def run(world: World, particles: Particles) -> Any:
                none = allocate(spec, particles.position)
                return advance(world, particles, jnp.zeros_like(particles.force), 300, None, spec, none)

            batch, lists = jax.jit(jax.vmap(run))(world, particles)
            assert not np.asarray(jax.vmap(lambda each: each.overflow_ratio(spec))(lists)).any()
            for n, (alone_world, (_, alone)) in enumerate(zip(worlds, swarms, strict=True)):
                expected = dem.simulate(alone_world, alone, 300)
                assert_same(jax.tree.map(lambda x, n=n: x[n], batch), expected, 1e-8)

    def test_list_that_is_too_short_says_so(self) -> None:
        random = np.random.default_rng(0)
        world, _ = swarm(200, 2, "soft")
        clump = jnp.asarray(world.box_low + 5.0 + 0.4 * random.uniform(-1, 1, (200, 2)), jnp.float32)
        spec = contact_spec(world, Particles.create(clump, radius=0.5))
        assert spec is not None
        fresh = REFRESH(spec, allocate(spec, clump), clump, world.box_low, world.box_high)
        assert bool(fresh.overflow_ratio(spec))
        longer, whole = built(spec, clump, world.box_low, world.box_high)
        assert int(whole.needed[0]) == ((distances(spec, clump, clump, 1.0) <= spec.reach).sum() - 200) // 2
        assert longer.capacity >= int(whole.needed[0])
        assert longer.candidates >= int(whole.needed[1])
        # What has not been looked at cannot be counted: the first answer may be too low.
        assert 1 < float(fresh.overflow_ratio(spec)) <= int(whole.needed[0]) / spec.capacity
        # Once too short, always so: what happened in between can't be trusted.
        spread = clump + 10.0 * jnp.arange(200.0)[:, None]
        assert bool(REFRESH(spec, fresh, spread, world.box_low, world.box_high).overflow_ratio(spec))

    @pytest.mark.parametrize("start", ["clump", pytest.param("gathering", marks=pytest.mark.slow)])
    def test_simulate_makes_the_list_longer_and_starts_over(self, start: str, monkeypatch) -> None:
        """A clump from the beginning, and one that comes together on the way."""
        with jax.enable_x64(True):
            random = np.random.default_rng(0)
            radius = 0.5 if start == "clump" else 0.4
            world = World.create([0.0, 0.0], [40.0, 40.0], "soft", stiffness=50.0, dt=2e-3, drag=2.0)
            if start == "clump":
                position = 20.0 + 1.5 * random.uniform(-1, 1, (200, 2))
                velocity = np.zeros_like(position)
            else:
                position = random.uniform(1, 39, (200, 2))
                velocity = 30.0 * (20.0 - position) / 20.0
            particles = Particles.create(position, velocity, radius, 0.2)
            lengths = []

            def record(spec: NeighborSpec, needed: Any) -> NeighborSpec:
                lengths.append(spec.capacity)
                return with_capacity(spec, needed)

            monkeypatch.setattr(step_module, "with_capacity", record)
            force = 40.0 * (20.0 - position) / 20.0 if start == "gathering" else 0.0
            steps = 300
            if start == "gathering":
                world = replace(world, drag=jnp.asarray(0.5))
            ours = dem.simulate(world, particles, steps, external_force=force)
            assert lengths, "the list has never been too short"
            monkeypatch.setattr(step_module, "LIST_FROM", 1_000)
            assert_same(ours, dem.simulate(world, particles, steps, external_force=force), 1e-7)

    def test_many_that_are_not_numbers_are_reported_not_listed(self) -> None:
        world, particles = swarm(3_000, 2, "soft")
        broken = replace(particles, force=jnp.full_like(particles.force, jnp.nan))
        with pytest.raises(FloatingPointError, match="got particle 0 after step 1, at"):
            dem.simulate(world, broken, 10)

    def test_gradient_through_lists(self) -> None:
        with jax.enable_x64(True):
            world, particles = swarm(36, 2, "periodic", friction=0.3, restitution=0.8)
            spec = make_spec(36, np.asarray([6.0, 6.0]), 1.0, 0.2, periodic=True, room=100)

            def end(velocity: jax.Array, push: jax.Array, with_list: bool) -> jax.Array:
                first = replace(particles, velocity=velocity)
                none = allocate(spec, particles.position) if with_list else None
                force = jnp.zeros_like(velocity) + push
                after, _ = advance(world, first, force, 60, None, spec if with_list else None, none)
                return jnp.sum(after.position**2)

            gradient = jax.jit(jax.grad(end, argnums=(0, 1)), static_argnums=2)
            ours = gradient(particles.velocity, jnp.array([0.1, 0.2]), True)
            expected = gradient(particles.velocity, jnp.array([0.1, 0.2]), False)
            for here, there in zip(ours, expected, strict=True):
                assert np.isfinite(here).all()
                np.testing.assert_allclose(here, there, rtol=1e-7, atol=1e-9 * np.abs(there).max())
