"""A swarm that spreads over as many targets as it has particles, none of them assigned."""

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax import Array

from jaxdem_ac import dem
from jaxdem_ac._checks import check_flag
from jaxdem_ac.environments import sizes
from jaxdem_ac.environments.base import compiled
from jaxdem_ac.environments.baselines.navigators import SharedTargetsOracle, SharedTargetsScript
from jaxdem_ac.environments.placement import jittered_grid, ring
from jaxdem_ac.environments.sensing.lidar import (
    closeness,
    displacements,
    lidar,
    nearest_sensors,
    reached_sources,
    wall_lidar,
)
from jaxdem_ac.environments.sensing.neighbor_lists import NeighborLists
from jaxdem_ac.environments.targets import smooth_target_reward
from jaxdem_ac.environments.tasks.navigator import Navigator, NavigatorState
from jaxdem_ac.observation_layout import Block


@dataclass(frozen=True, kw_only=True)
class SwarmNavigator(Navigator):
    r"""N discs in a reflecting box look for N shared targets, by force.

    An action is a force ``(N, 2)``, held for `physics_steps` steps of the engine. The reward of particle i is

    ``(S_i - S_i') - ke_weight (K_i - K_i') + coop_weight mean_j (S_j - S_j') + near_goal_bonus [d_i <= R_i]
    + coverage_weight C``

    with ``S_i = sum over sectors of exp(-4 d)``, d the distance of the nearest target in the sector, K the kinetic
    energy, d_i the distance of the nearest target, C the success; primes are from before the decision. The
    observation is

    ==========================  ==============
    velocity                    2
    lidar of the targets        n_lidar_rays
    lidar of the swarm, walls   n_lidar_rays
    ==========================  ==============

    with lidar readings divided by their range. Success is the share of targets that have a particle's centre within
    one radius. Episodes end only by their time limit.

    Notes
    -----
    Observation, reward, reset and defaults are those of ``SwarmNavigator`` of JaxDEM (5d9c13a), with two differences:
    an action held for several steps is rewarded for what the whole decision changed, and sensing is done once per
    decision; with one step per decision both agree. JaxDEM ends an episode one step after `max_steps`, this one at it.
    """

    exclusive_goal_bonus: bool = False
    """Whether `near_goal_bonus` is paid only to the nearest particle of a target, and not to all that are near one, as
    in JaxDEM."""

    oracle = SharedTargetsOracle
    scripted = SharedTargetsScript
    success_name: ClassVar[str] = "coverage"
    senses_targets: ClassVar[bool] = True
    observes: ClassVar[tuple[Block, ...]] = (Block("velocity", "vector", 2),)
    lidar_senses: ClassVar[tuple[str, ...]] = ("targets", "swarm and walls")

    def check_task(self, where: str) -> None:
        """Raise TypeError or ValueError if fields do not go together."""
        check_flag(where, "exclusive_goal_bonus", self.exclusive_goal_bonus)
        super().check_task(where)

    @property
    def observation_size(self) -> int:
        """2 + 2 * n_lidar_rays, and 2 more with `observe_sizes`."""
        return 2 + 2 * self.n_lidar_rays + self.sizes_observed

    @compiled
    def reset(self, key: Array) -> NavigatorState:
        """Return a new episode: targets on a jittered grid, a sixth of the swarm among them, the rest in the ring."""
        self.check_key(key)
        key_box, key_inside, key_ring, key_targets, key_order, key_sizes = jax.random.split(key, 6)
        size = jax.random.uniform(key_box, (2,), float, minval=self.min_box_size, maxval=self.max_box_size)
        # Without a ring everybody starts among the targets.
        num_inside = max(1, self.num_particles // 6) if self.box_padding > 0 else self.num_particles
        radius = sizes.largest(self.radius)
        inside = jittered_grid(key_inside, num_inside, size, radius)
        outside = ring(key_ring, self.num_particles - num_inside, size, self.box_padding / 2, radius)
        position = jnp.concatenate([inside, outside])
        # Which particle starts where says nothing: the order is shuffled.
        position = jax.random.permutation(key_order, position)
        return self._begin(
            key_sizes,
            position,
            jittered_grid(key_targets, self.num_particles, size, radius),
            jnp.full((2,), -self.box_padding / 2),
            size + self.box_padding / 2,
        )

    @compiled
    def _sense(
        self, particles: dem.Particles, targets: Array, box_low: Array, box_high: Array, vicinity: NeighborLists | None
    ) -> NavigatorState:
        """Return the state at step 0; without `vicinity` at the beginning of an episode."""
        position, around = particles.position, self._surroundings
        with jax.named_scope("lidar"):
            vicinity = around.refresh(vicinity or around.allocate(position), position, box_low, box_high, targets)
            to_targets = displacements(position, targets, vicinity.targets)
            to_others = displacements(position, neighbors=vicinity.swarm)
            target_reading = lidar(to_targets, self.lidar_range, self.n_lidar_rays)
            swarm_reading = jnp.maximum(
                lidar(to_others, self.lidar_range, self.n_lidar_rays),
                wall_lidar(position, box_low, box_high, self.lidar_range, self.n_lidar_rays),
            )
        seen = target_reading > 0
        distance = self.lidar_range - target_reading
        readings = (target_reading / self.lidar_range, swarm_reading / self.lidar_range)
        return NavigatorState(
            particles=particles,
            targets=targets,
            box_low=box_low,
            box_high=box_high,
            observation=jnp.concatenate([particles.velocity, *readings, *self.own_sizes(particles)], axis=-1),
            potential=jnp.sum(jnp.where(seen, jnp.exp(-4 * distance), 0.0), axis=-1),
            distance=jnp.min(distance, axis=-1),
            reached=reached_sources(to_targets, particles.radius, self.num_particles),
            kinetic_energy=particles.kinetic_energy,
            step_count=jnp.zeros((), jnp.int32),
            vicinity=vicinity,
            nearest=nearest_sensors(to_targets, particles.radius, self.num_particles)
            if self.exclusive_goal_bonus
            else None,
        )

    def smooth_reward(self, before: NavigatorState, after: NavigatorState) -> Array:
        """Return the reward with a bonus of ``r / (r + d)`` for the disc of radius r nearest to each target; ``(N,)``.

        d is within the lidar's range. All together are a smooth count of what the swarm covers.
        """
        sight = displacements(after.particles.position, after.targets, after.vicinity.targets)
        near = closeness(sight, after.particles.radius, self.num_particles, self.lidar_range)
        return smooth_target_reward(self, before, after, near)
