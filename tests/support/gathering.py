"""A task as a third party would write it on the package's own base: discs that gather in the middle of a ring."""

from dataclasses import dataclass
from functools import cached_property, partial

import jax
import jax.numpy as jnp
from jax import Array

from jaxdem_ac import dem
from jaxdem_ac.environments.checks import Count, NonNegative, Positive
from jaxdem_ac.environments.placement import jittered_grid
from jaxdem_ac.environments.sensing.lidar import lidar, look
from jaxdem_ac.environments.sensing.neighbor_lists import NeighborLists, NeighborListSpecs
from jaxdem_ac.environments.sizes import Sizes
from jaxdem_ac.environments.swarm import Drive, Score, SwarmEnvironment, shorten


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class GatheringState:
    particles: dem.Particles
    box_low: Array
    box_high: Array
    observation: Array
    step_count: Array
    vicinity: NeighborLists


@dataclass(frozen=True, kw_only=True)
class Gathering(SwarmEnvironment):
    """N discs in a square gather in its middle; a particle is rewarded for each decision near it."""

    num_particles: Count = 16
    side: Positive = 16.0
    radius: Sizes = 0.5
    mass: Sizes = 1.0
    max_force: Positive = 4.0
    drag: NonNegative = 1.0
    max_steps: Count = 400
    physics_steps: Count = 10
    dt: Positive = 1e-2
    stiffness: Positive = 1e3

    @property
    def observation_size(self) -> int:
        return 12

    def world(self, state: GatheringState) -> dem.World:
        return dem.World.create(
            state.box_low, state.box_high, "reflect", stiffness=self.stiffness, dt=self.dt, drag=self.drag
        )

    @cached_property
    def _surroundings(self) -> NeighborListSpecs:
        return NeighborListSpecs.create(
            num_particles=self.num_particles, extent=(self.side,) * 2, sensing_range=4.0, contact_range=1.0, skin=0.25
        )

    @partial(jax.jit, static_argnums=0)
    def reset(self, key: Array) -> GatheringState:
        self.check_key(key)
        position = jittered_grid(key, self.num_particles, jnp.full(2, self.side), 0.5)
        return self._state(dem.Particles.create(position, radius=0.5), self._surroundings.allocate(position))

    def apply(self, state: GatheringState, action: Array) -> Drive:
        return Drive(self.max_force * shorten(action, 1.0))

    def sense(self, particles: dem.Particles, before: GatheringState, vicinity: NeighborLists) -> GatheringState:
        return self._state(particles, vicinity)

    def score(self, before: GatheringState, after: GatheringState) -> Score:
        near = (jnp.linalg.norm(after.particles.position - self.side / 2, axis=-1) < self.side / 4).astype(float)
        return Score(near, jnp.mean(near))

    def _state(self, particles: dem.Particles, vicinity: NeighborLists) -> GatheringState:
        place, low, high = particles.position, jnp.zeros(2), jnp.full(2, self.side)
        vicinity = self._surroundings.refresh(vicinity, place, low, high)
        parts = [particles.velocity, place / self.side - 0.5, lidar(look(place, neighbors=vicinity.swarm), 4.0, 8) / 4]
        return GatheringState(particles, low, high, jnp.concatenate(parts, -1), jnp.zeros((), jnp.int32), vicinity)
