"""A swarm in which every particle has a target of its own."""

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax import Array

from jaxdem_ac import dem
from jaxdem_ac.environments import sizes
from jaxdem_ac.environments.base import compiled
from jaxdem_ac.environments.baselines.navigators import OwnTargetsOracle, OwnTargetsScript
from jaxdem_ac.environments.checks import Count, NonNegative, Positive
from jaxdem_ac.environments.placement import jittered_grid
from jaxdem_ac.environments.sensing.lidar import displacements, lidar_with_walls
from jaxdem_ac.environments.sensing.neighbor_lists import NeighborLists
from jaxdem_ac.environments.swarm import length
from jaxdem_ac.environments.targets import smooth_target_reward
from jaxdem_ac.environments.tasks.navigator import Navigator, NavigatorState
from jaxdem_ac.observation_layout import Block


@dataclass(frozen=True, kw_only=True)
class MultiNavigator(Navigator):
    r"""N discs in a reflecting box go to a target each, by force.

    An action is a force ``(N, 2)``, held for `physics_steps` steps of the engine. The reward of particle i is

    ``(P_i - P_i') - ke_weight (K_i - K_i') + coop_weight mean_j (P_j - P_j') + near_goal_bonus [d_i <= 2.5 R_i]
    + coverage_weight C``

    with ``P_i = exp(-2 max(0, d_i - R_i / 2))``, d_i the distance to its target, K the kinetic energy, C
    the success; primes are from before the decision. The observation is

    ==================================  ==============
    unit vector from target to itself   2
    the same vector, within [-3, 3]     2
    velocity                            2
    lidar of the swarm, walls           n_lidar_rays
    ==================================  ==============

    with lidar readings divided by their range. Success is the share of particles whose centre is within one radius of
    their target. Episodes end only by their time limit.

    Notes
    -----
    Observation, reward, reset and defaults are those of ``MultiNavigator`` of JaxDEM (5d9c13a), with the differences
    that :class:`~jaxdem_ac.environments.tasks.swarm_navigator.SwarmNavigator` states.
    """

    box_padding: NonNegative = 5.0
    lidar_range: Positive = 6.0
    n_lidar_rays: Count = 16

    oracle = OwnTargetsOracle
    scripted = OwnTargetsScript
    success_name: ClassVar[str] = "at target"
    near: ClassVar[float] = 2.5
    observes: ClassVar[tuple[Block, ...]] = (
        Block("direction from the target", "vector", 2),
        Block("displacement from the target, cut", "vector", 2),
        Block("velocity", "vector", 2),
    )
    lidar_senses: ClassVar[tuple[str, ...]] = ("swarm and walls",)

    def check_places(self, where: str) -> None:
        """Raise ValueError if the swarm starts with overlaps in some of its regions."""
        low, high = self.min_box_size + self.box_padding, self.max_box_size + self.box_padding
        advice = "Raise min_box_size or box_padding, or lower num_particles."
        largest = sizes.largest(self.radius)
        sizes.check_room(where, self.num_particles, (low, low), largest, advice, (high, high))

    @compiled
    def reset(self, key: Array) -> NavigatorState:
        """Return a new episode: particles and targets on jittered grids, targets assigned at random."""
        self.check_key(key)
        key_box, key_position, key_targets, key_assignment, key_sizes = jax.random.split(key, 5)
        size = self._draw_region(key_box)
        num, margin, radius = self.num_particles, self.box_padding / 2, sizes.largest(self.radius)
        position = jittered_grid(key_position, num, size + self.box_padding, radius) - margin
        targets = jax.random.permutation(key_assignment, jittered_grid(key_targets, num, size, radius))
        return self._begin(key_sizes, position, targets, size)

    @compiled
    def _sense(
        self, particles: dem.Particles, targets: Array, box_low: Array, box_high: Array, vicinity: NeighborLists | None
    ) -> NavigatorState:
        """Return the state at step 0; without `vicinity` at the beginning of an episode."""
        position, reach = particles.position, self.lidar_range
        with jax.named_scope("lidar"):
            vicinity = self._surroundings.refresh(vicinity, position, box_low, box_high)
            others = displacements(position, neighbors=vicinity.swarm)
            reading = lidar_with_walls(others, position, box_low, box_high, reach, self.n_lidar_rays)
        offset = position - targets
        distance = length(offset)
        direction = offset / jnp.where(distance > 0, distance, 1.0)[:, None]
        parts = (direction, jnp.clip(offset, -3.0, 3.0), particles.velocity, reading / reach)
        return NavigatorState(
            particles=particles,
            targets=targets,
            box_low=box_low,
            box_high=box_high,
            observation=jnp.concatenate([*parts, *self.own_sizes(particles)], axis=-1),
            potential=jnp.exp(-2 * jnp.maximum(0.0, distance - 0.5 * particles.radius)),
            distance=distance,
            reached=distance <= particles.radius,
            kinetic_energy=particles.kinetic_energy,
            step_count=jnp.zeros((), jnp.int32),
            vicinity=vicinity,
        )

    def smooth_reward(self, before: NavigatorState, after: NavigatorState) -> Array:
        """Return the reward with a bonus of ``r / (r + d)``, of its reach r and the distance d; ``(N,)``."""
        reach = self.near * after.particles.radius
        return smooth_target_reward(self, before, after, reach / (reach + after.distance))
