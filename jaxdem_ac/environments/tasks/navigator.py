"""The base of the navigators: discs in a reflecting box, moved by force, on their way to targets."""

import abc
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jaxdem_ac import dem
from jaxdem_ac.dem.time_step import check_box
from jaxdem_ac.environments import sizes, swarm
from jaxdem_ac.environments.checks import Count, NonNegative, Positive, Real, check_count
from jaxdem_ac.environments.sensing.neighbor_lists import NeighborLists, NeighborListSpecs
from jaxdem_ac.environments.targets import target_score


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class NavigatorState:
    """Places of discs and targets, and what the last decision left."""

    particles: dem.Particles
    """N discs."""
    targets: Array
    """``(N, 2)``, length."""
    box_low: Array
    """Lower corner of the box, ``(2,)``, length."""
    box_high: Array
    """Upper corner of the box, ``(2,)``, length."""
    observation: Array
    """``(N, O)``."""
    potential: Array
    """Potential of each particle, ``(N,)``; its change is the particle's progress."""
    distance: Array
    """Distance to a particle's own target, or to the nearest one, at most `lidar_range`; ``(N,)``, length."""
    reached: Array
    """Mask of reached targets, ``(N,)`` of bool."""
    kinetic_energy: Array
    """``(N,)``, energy."""
    step_count: Array
    """Physics steps since the reset, ``()``."""
    vicinity: NeighborLists
    """Lists of neighbours, where the swarm is large enough for them."""
    nearest: Array | None = None
    """Mask of particles that are the nearest to a target within one radius, ``(N,)`` of bool; None unless the task has
    `exclusive_goal_bonus`."""


@dataclass(frozen=True, kw_only=True)
class Navigator(swarm.SwarmEnvironment[NavigatorState]):
    """Fields and physics of the navigators; names and defaults are JaxDEM's."""

    num_particles: Count = 64
    """N, of discs and of targets."""
    min_box_size: Positive = 20.0
    """Least side of the region of the targets, drawn for each axis at a reset, length."""
    max_box_size: Positive = 20.0
    """Largest side of that region, length."""
    box_padding: NonNegative = 20.0
    """Difference between the side of the box and that of the region, length."""
    max_steps: Count = 100_000
    """Length of an episode, in physics steps."""
    physics_steps: Count = 1
    """Physics steps for which an action is held: one decision."""
    radius: sizes.Sizes = 1.0
    """Radius of the discs, or a range to draw each from, length."""
    mass: sizes.Sizes = 1.0
    """Mass of the discs, or a range to draw each from."""
    friction: NonNegative = 0.2
    """Viscous drag, mass / time."""
    ke_weight: Real = 0.1
    """Weight of the change of kinetic energy."""
    coop_weight: Real = 0.2
    """Weight of the swarm's mean progress."""
    near_goal_bonus: Real = 0.1
    """Bonus of a particle near its goal, per decision."""
    coverage_weight: Real = 0.0
    """Weight of the share of targets that are reached, for everybody at each decision; 0 in JaxDEM."""
    lidar_range: Positive = 10.0
    """Length."""
    n_lidar_rays: Count = 24
    """Sectors of each lidar."""
    dt: Positive = 2e-3
    """Time step of the engine, time."""
    stiffness: Positive = 2e5
    """Stiffness of contacts, force / length."""

    training_defaults: ClassVar[Mapping[str, object]] = {"num_particles": 16, "physics_steps": 50, "max_steps": 5000}
    action_space_defaults: ClassVar[Mapping[str, Mapping[str, object]]] = {
        "MaxNorm": {"max_norm": 10.0},
        "Box": {"x_min": -10.0, "x_max": 10.0},
        "Discrete": {"max_norm": 10.0},
    }
    room_lengths: ClassVar[tuple[str, ...]] = ("min_box_size", "max_box_size", "box_padding")
    near: ClassVar[float] = 1.0
    """Radii around its target within which a particle has the bonus."""
    senses_targets: ClassVar[bool] = False
    """Whether targets are sensed by lidar."""

    def check_task(self, where: str) -> None:
        """Raise ValueError if the box is too narrow, the lidar too short or the time step too coarse."""
        if self.senses_targets:
            sizes.check_sight(where, self.lidar_range, self.radius)
        sizes.check_region(where, self.min_box_size, self.max_box_size)
        check_box(where, [self.min_box_size + self.box_padding], [sizes.largest(self.radius)], periodic=False)
        self.check_physics(where, drag=self.friction)

    def world(self, state: NavigatorState) -> dem.World:
        """Return the box of an episode, its material and the time step."""
        return dem.World.create(
            state.box_low, state.box_high, "reflect", stiffness=self.stiffness, dt=self.dt, drag=self.friction
        )

    def make_state(
        self,
        *,
        position: ArrayLike,
        targets: ArrayLike,
        box_low: ArrayLike,
        box_high: ArrayLike,
        velocity: ArrayLike = 0.0,
        force: ArrayLike = 0.0,
        radius: ArrayLike | None = None,
        mass: ArrayLike | None = None,
        kinetic_energy: ArrayLike | None = None,
        step_count: int = 0,
    ) -> NavigatorState:
        """Return the state that explicit arrays describe, for replay and tests.

        Parameters
        ----------
        position, targets : array, (N, 2), length
        box_low, box_high : array, (2,), length
        velocity, force : array, (N, 2) or broadcastable
            `force` is what the particles felt in the last step.
        radius, mass : array, (N,) or broadcastable, optional
            The environment's, in the middle of a range, if left out.
        kinetic_energy : array, (N,), energy, optional
            What the next reward compares with; that of `velocity` if left out.
        step_count : int
            Physics steps already taken.

        Raises
        ------
        ValueError
            If a shape does not fit, a number is not finite, or a radius is larger than the environment's.
        """
        here = f"{type(self).__name__}.make_state"
        radius = self.middle(self.radius) if radius is None else radius
        mass = self.middle(self.mass) if mass is None else mass
        particles = dem.Particles.create(position, velocity, radius, mass, force)
        sizes.check_radius(here, particles.radius, self.radius)
        targets = dem.particles.as_float("targets", targets)
        num = self.num_particles
        for name, array in (("position", particles.position), ("targets", targets)):
            if array.shape != (num, 2):
                raise ValueError(
                    f"{here}: {name} is (num_particles, 2) = ({num}, 2); got shape {array.shape}. "
                    f"Build the environment with num_particles={len(array)}, or pass as many rows."
                )
        check_count(here, step_count=step_count)
        world = dem.World.create(box_low, box_high)
        if world.dim != 2:
            raise ValueError(f"{here}: box_low and box_high are (2,); got ({world.dim},). Leave out z.")
        sizes.check_room_of(here, world, particles)
        state = self._sense(particles, targets, world.box_low, world.box_high, None)
        state = replace(state, step_count=jnp.asarray(step_count, jnp.int32))
        if kinetic_energy is None:
            return state
        kinetic_energy = dem.particles.as_float("kinetic_energy", kinetic_energy)
        if kinetic_energy.shape not in ((), (num,)):
            raise ValueError(
                f"{here}: kinetic_energy is (num_particles,) = ({num},); got shape {kinetic_energy.shape}. "
                "Pass one number for each particle."
            )
        return replace(state, kinetic_energy=jnp.broadcast_to(kinetic_energy, (num,)))

    def sense(self, particles: dem.Particles, before: NavigatorState, vicinity: NeighborLists) -> NavigatorState:
        """Return the state after a decision; targets and box stay."""
        return self._sense(particles, before.targets, before.box_low, before.box_high, vicinity)

    def score(self, before: NavigatorState, after: NavigatorState) -> swarm.Score:
        """Return the reward of progress, and the share of targets reached."""
        return target_score(self, before, after)

    def _begin(self, key: Array, position: Array, targets: Array, box_low: Array, box_high: Array) -> NavigatorState:
        """Return the state of discs at rest, their sizes drawn."""
        key_radius, key_mass = jax.random.split(key)
        radius = self.draw_sizes(key_radius, self.radius)
        mass = self.draw_sizes(key_mass, self.mass)
        return self._sense(dem.Particles.create(position, 0.0, radius, mass), targets, box_low, box_high, None)

    @cached_property
    def _surroundings(self) -> NeighborListSpecs:
        """Specifications of the neighbour lists."""
        size, largest = self.max_box_size + self.box_padding, sizes.largest(self.radius)
        return NeighborListSpecs.create(
            num_particles=self.num_particles,
            extent=(size, size),
            sensing_range=self.lidar_range,
            contact_range=2 * largest,
            skin=0.5 * sizes.smallest(self.radius),
            num_targets=self.num_particles if self.senses_targets else 0,
            room=self.neighbor_room,
        )

    @abc.abstractmethod
    def _sense(
        self, particles: dem.Particles, targets: Array, box_low: Array, box_high: Array, vicinity: NeighborLists | None
    ) -> NavigatorState:
        """Return the state at step 0; without `vicinity` at the beginning of an episode."""
