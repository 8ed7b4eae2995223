"""The bases of tasks whose particles are on their way to targets: their box, state, rewards and sight."""

import abc
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax import Array

from jaxdem_ac._checks import check_flag
from jaxdem_ac._types import PyTree
from jaxdem_ac.dem.particles import Particles
from jaxdem_ac.environments import sizes
from jaxdem_ac.environments.base import compiled
from jaxdem_ac.environments.checks import Count, NonNegative, Positive, Real
from jaxdem_ac.environments.placement import jittered_grid, ring, ring_sides
from jaxdem_ac.environments.sensing.lidar import (
    closeness,
    displacements,
    lidar,
    lidar_with_walls,
    nearest_sensors,
    reached_sources,
)
from jaxdem_ac.environments.sensing.neighbor_lists import NeighborLists, NeighborListSpecs
from jaxdem_ac.environments.swarm import BoxState, Score, SwarmEnvironment, in_order


@in_order(
    "particles", "targets", "box_low", "box_high", "observation", "potential", "distance", "reached", "kinetic_energy",
    "step_count", "vicinity", "nearest",
)  # fmt: skip
@dataclass(frozen=True)
class TargetState(BoxState):
    """Places of N particles and N targets, and what the last decision left."""

    potential: Array
    """Potential of each particle, ``(N,)``; its change is the particle's progress."""
    distance: Array
    """Distance to a particle's own target, or to the nearest one, at most `lidar_range`; ``(N,)``, length."""
    reached: Array
    """Mask of targets with a particle's centre within one radius, ``(N,)`` of bool."""
    kinetic_energy: Array
    """Kinetic energy of translation, ``(N,)``, energy."""
    nearest: Array | None = None
    """Mask of particles that are the nearest to a target within one radius, ``(N,)`` of bool; None unless the task has
    `exclusive_goal_bonus`."""


@dataclass(frozen=True, kw_only=True)
class TargetTask(SwarmEnvironment[TargetState]):
    """A task of as many particles as targets, which lie in the middle of a box, their region."""

    num_particles: Count
    """N, of particles and of targets."""
    min_box_size: Positive
    """Least side of the region of the targets, drawn for each axis at a reset, length."""
    max_box_size: Positive
    """Largest side of that region, length."""
    box_padding: NonNegative
    """Difference between the side of the box and that of the region, length."""
    ke_weight: Real
    """Weight of the change of kinetic energy."""
    coop_weight: Real = 0.2
    """Weight of the swarm's mean progress."""
    near_goal_bonus: Real = 0.1
    """Bonus of a particle near a target, per decision."""
    coverage_weight: Real = 0.0
    """Weight of the share of targets that are reached, for everybody at each decision; 0 in JaxDEM."""
    lidar_range: Positive = 10.0
    """Length."""
    n_lidar_rays: Count = 24
    """Sectors of each lidar."""

    state_class: ClassVar[type[TargetState]] = TargetState
    """Class of its states."""
    near: ClassVar[float] = 1.0
    """Radii around a target within which a particle has the bonus."""
    dim: ClassVar[int] = 2
    """Dimensions in which the particles move; targets lie in the plane."""
    room_lengths: ClassVar[tuple[str, ...]] = ("min_box_size", "max_box_size", "box_padding")

    def sense(self, particles: Particles, before: TargetState, vicinity: NeighborLists) -> TargetState:
        """Return the state after a decision; targets and box stay."""
        return self._sense(particles, before.targets, before.box_low, before.box_high, vicinity)

    def score(self, before: TargetState, after: TargetState) -> Score:
        """Return the reward of progress, and the share of targets reached."""
        return target_score(self, before, after)

    def check_task(self, where: str) -> None:
        """Raise ValueError if the least side of the region is larger than the largest."""
        sizes.check_region(where, self.min_box_size, self.max_box_size)

    def check_places(self, where: str) -> None:
        """Raise ValueError if the swarm starts with overlaps in some of its regions; a task that has none does not."""

    def _draw_region(self, key: Array) -> Array:
        """Return the sides of the region of the targets, ``(2,)``."""
        return jax.random.uniform(key, (2,), float, minval=self.min_box_size, maxval=self.max_box_size)

    @cached_property
    def _surroundings(self) -> NeighborListSpecs:
        side, large = self.max_box_size + self.box_padding, sizes.largest(self.radius)
        return NeighborListSpecs.create(
            num_particles=self.num_particles,
            extent=(side, side),
            sensing_range=self.lidar_range,
            contact_range=2 * large,
            skin=0.5 * sizes.smallest(self.radius),
            num_targets=self.num_particles if "targets" in self.lidar_senses else 0,
            # In 3D nobody is above another, or hardly.
            height=None if self.dim == 2 else 2 * large,
            room=self.neighbor_room,
            spacing=2 * sizes.smallest(self.radius),
        )

    @abc.abstractmethod
    def _sense(
        self, particles: Particles, targets: Array, box_low: Array, box_high: Array, vicinity: NeighborLists | None
    ) -> TargetState:
        """Return the state at step 0; without `vicinity` at the beginning of an episode."""


@dataclass(frozen=True, kw_only=True)
class SharedTargetTask(TargetTask):
    """A task whose targets are anybody's, and are sensed by a lidar of their own."""

    exclusive_goal_bonus: bool = False
    """Whether `near_goal_bonus` is paid only to the nearest particle of a target, and not to all that are near one, as
    in JaxDEM."""

    success_name: ClassVar[str] = "coverage"
    lidar_senses: ClassVar[tuple[str, ...]] = ("targets", "swarm and walls")

    def check_task(self, where: str) -> None:
        """Raise TypeError if the flag is none, ValueError if the lidar is too short or too long."""
        super().check_task(where)
        check_flag(where, "exclusive_goal_bonus", self.exclusive_goal_bonus)
        sizes.check_sight(where, self.lidar_range, self.radius)

    def check_places(self, where: str) -> None:
        """Raise ValueError if the swarm starts with overlaps in some of its regions."""
        low, high, width = self.min_box_size, self.max_box_size, self.box_padding / 2
        quarter, last = ring_sides(self.num_particles - self._num_inside)
        for number, least, most in (
            (self._num_inside, (low, low), (high, high)),
            (quarter, (width, low + 2 * width), (width, high + 2 * width)),
            (last, (low, width), (high, width)),
        ):
            advice = "Raise min_box_size or box_padding, or lower num_particles."
            sizes.check_room(where, number, least, sizes.largest(self.radius), advice, most)

    @property
    def _num_inside(self) -> int:
        """Number of particles that start among the targets: a sixth, or all where there is no ring."""
        return max(1, self.num_particles // 6) if self.box_padding > 0 else self.num_particles

    def _draw_places(self, key_inside: Array, key_ring: Array, key_order: Array, size: Array) -> Array:
        """Return starting places, ``(N, 2)``: some among the targets, the rest in the ring around their region."""
        num, radius = self._num_inside, sizes.largest(self.radius)
        inside = jittered_grid(key_inside, num, size, radius)
        outside = ring(key_ring, self.num_particles - num, size, self.box_padding / 2, radius)
        # Which particle starts where says nothing: the order is shuffled.
        return jax.random.permutation(key_order, jnp.concatenate([inside, outside]))

    @property
    @abc.abstractmethod
    def _falloff(self) -> float:
        """Length over which the potential of a target falls off."""

    @abc.abstractmethod
    def _motion(self, particles: Particles) -> list[Array]:
        """Return what a particle observes of its own motion, ``(N, *)`` each."""

    @compiled
    def _sense(
        self, particles: Particles, targets: Array, box_low: Array, box_high: Array, vicinity: NeighborLists | None
    ) -> TargetState:
        """Return the state at step 0; without `vicinity` at the beginning of an episode."""
        place, reach, rays = particles.position[:, :2], self.lidar_range, self.n_lidar_rays
        with jax.named_scope("lidar"):
            vicinity = self._surroundings.refresh(vicinity, place, box_low, box_high, targets, particles.position)
            sight = displacements(place, targets, vicinity.targets)
            of_targets = lidar(sight, reach, rays)
            others = displacements(place, neighbors=vicinity.swarm)
            of_swarm = lidar_with_walls(others, place, box_low, box_high, reach, rays)
        potential = jnp.exp((of_targets - reach) / self._falloff)
        parts = [*self._motion(particles), of_targets / reach, of_swarm / reach, *self.own_sizes(particles)]
        return self.state_class(
            particles=particles,
            targets=targets,
            box_low=box_low,
            box_high=box_high,
            observation=jnp.concatenate(parts, axis=-1),
            step_count=jnp.zeros((), jnp.int32),
            vicinity=vicinity,
            potential=jnp.sum(jnp.where(of_targets > 0, potential, 0.0), axis=-1),
            distance=reach - jnp.max(of_targets, axis=-1),
            reached=reached_sources(sight, particles.radius, self.num_particles),
            kinetic_energy=particles.kinetic_energy,
            nearest=nearest_sensors(sight, particles.radius, len(targets)) if self.exclusive_goal_bonus else None,
        )

    def smooth_reward(self, before: TargetState, after: TargetState) -> Array:
        """Return :func:`covering_reward`; each target counts for the particle nearest to it. ``(N,)``."""
        sight = displacements(after.particles.position[:, :2], after.targets, after.vicinity.targets)
        near = closeness(sight, after.particles.radius, self.num_particles, self.lidar_range)
        return covering_reward(self, before, after, near)


def target_score(task: TargetTask, before: PyTree, after: PyTree) -> Score:
    """Return the worth of a decision of particles on their way to targets; the success is the share of those reached.

    ``(P_i - P_i') - ke_weight (K_i - K_i') + coop_weight mean_j (P_j - P_j') + near_goal_bonus [i is near a target]
    + coverage_weight success`` with the potential P and the kinetic energy K; primes are from before the decision, from
    a :class:`TargetState` to another. Near are those of `nearest`, or where that is None those within `near` radii.
    """
    progress = after.potential - before.potential
    reward = (
        progress
        - task.ke_weight * (after.kinetic_energy - before.kinetic_energy)
        + task.coop_weight * jnp.mean(progress)
        + task.near_goal_bonus * _has_bonus(task, after)
    )
    success = jnp.mean(after.reached.astype(reward.dtype))
    return Score(reward + task.coverage_weight * success, success)


def _has_bonus(task: TargetTask, after: PyTree) -> Array:
    return after.distance <= task.near * after.particles.radius if after.nearest is None else after.nearest


def smooth_target_reward(task: TargetTask, before: PyTree, after: PyTree, closeness: Array) -> Array:
    """Return the reward of :func:`target_score` with a bonus that has a slope everywhere, ``(N,)``.

    `closeness`, ``(N,)``, takes the place of the mask of particles that have the bonus.
    """
    reward = target_score(task, before, after).reward
    return reward + task.near_goal_bonus * (closeness - _has_bonus(task, after))


def covering_reward(task: TargetTask, before: PyTree, after: PyTree, closeness: Array) -> Array:
    """Return what to climb in place of :func:`target_score`, with a slope everywhere, ``(N,)``.

    ``near_goal_bonus c_i + coverage_weight mean_j c_j - ke_weight (K_i - K_i')`` with the closeness c, ``(N,)``, in
    place of the mask of particles that have the bonus. Progress is left out: it pays for the last half radius as much
    as some ten decisions on a target, and those who climb it learn to sit exactly and to go slowly. Where both weights
    are 0 progress is all there is, and this is the reward itself.
    """
    if not (task.near_goal_bonus or task.coverage_weight):
        return target_score(task, before, after).reward
    calm = task.ke_weight * (after.kinetic_energy - before.kinetic_energy)
    return task.near_goal_bonus * closeness + task.coverage_weight * jnp.mean(closeness) - calm
