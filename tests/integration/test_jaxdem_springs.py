"""Springs of contacts on JaxDEM's engine, against ours."""

from types import ModuleType

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdem_ac import dem

pytestmark = pytest.mark.jaxdem


@pytest.mark.parametrize(("law", "dim"), [("cundall_strack", 2), ("hertz_mindlin", 3)])
def test_both_engines_agree_and_springs_travel(rl: ModuleType, law: str, dim: int) -> None:
    del rl
    from jaxdem_ac.plugin.springs import particles_with_springs, system_with_springs
    from jaxdem_ac.plugin.state import as_state

    rng = np.random.default_rng(5)
    with jax.enable_x64(True):
        num = 27
        cells = np.stack(np.meshgrid(*[np.arange(6 if dim == 2 else 3)] * dim), -1).reshape(-1, dim)[:num]
        world = dem.World.create(
            np.zeros(dim), np.full(dim, 12.0), "periodic", 2e3, 1e-3, restitution=0.8, friction=0.5, law=law
        )
        spin = rng.normal(size=(num, 1 if dim == 2 else 3))
        start = dem.Particles.create(
            (cells + 0.5) * (1.95 if dim == 2 else 1.9), 2 * rng.normal(size=(num, dim)),
            rng.uniform(0.9, 1.1, num), 1.0, angular_velocity=spin,
        )  # fmt: skip
        state, system = as_state(start), system_with_springs(world, start)
        step = jax.jit(lambda state, system: system.step(state, system))
        for _ in range(150):
            state, system = step(state, system)
        there = particles_with_springs(state, system)
        ours = dem.simulate(world, start, 150)
        assert int(system.collider.n_build_times) > 1
        assert not bool(system.collider.overflow)
        assert int(jnp.sum(ours.springs.pairs[0] != 0)) > 5
        inside = world.boundary.apply(world, dem.Columns.of(there))[0]
        np.testing.assert_allclose(jnp.stack(inside, -1), ours.position, atol=1e-8)
        np.testing.assert_allclose(there.angular_velocity, ours.angular_velocity, atol=1e-7)
        # What JaxDEM has begun goes on here, and the other way round.
        later = dem.simulate(world, ours, 50)
        np.testing.assert_allclose(dem.simulate(world, there, 50).velocity, later.velocity, atol=1e-7)
        state, system = as_state(ours), system_with_springs(world, ours)
        for _ in range(50):
            state, system = step(state, system)
        np.testing.assert_allclose(state.vel, later.velocity, atol=1e-7)


def test_walls_that_push_have_no_memory_there(rl: ModuleType) -> None:
    del rl
    from jaxdem_ac.plugin.springs import system_with_springs

    world = dem.World.create([0.0] * 2, [9.0] * 2, "soft", friction=0.5, law="cundall_strack")
    start = dem.Particles.create([[3.0, 3.0]])
    with pytest.raises(ValueError, match=r"in reflecting or periodic walls; got .* boundary='soft'"):
        system_with_springs(world, start)
    with pytest.raises(ValueError, match="springs of contacts under law 'cundall_strack' live in a System"):
        dem.advance(world, start, jnp.zeros((1, 2)), 1, engine="jaxdem")
