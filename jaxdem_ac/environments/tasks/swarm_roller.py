"""A swarm of spheres that roll over a floor to shared targets, moved by nothing but friction."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jaxdem_ac import dem
from jaxdem_ac._checks import check_flag
from jaxdem_ac.environments import sizes, swarm
from jaxdem_ac.environments.base import compiled
from jaxdem_ac.environments.baselines.roller import RollerOracle, RollerScript
from jaxdem_ac.environments.checks import Count, Fraction, NonNegative, Positive, Real, check_count
from jaxdem_ac.environments.placement import jittered_grid, ring
from jaxdem_ac.environments.sensing.lidar import (
    closeness,
    displacements,
    lidar,
    nearest_sensors,
    reached_sources,
    wall_lidar,
)
from jaxdem_ac.environments.sensing.neighbor_lists import NeighborLists, NeighborListSpecs
from jaxdem_ac.environments.targets import smooth_target_reward, target_score
from jaxdem_ac.observation_layout import Block


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class SwarmRollerState:
    """Places of spheres and targets, and what the last decision left."""

    particles: dem.Particles
    """N spheres."""
    targets: Array
    """Shared by all, on the floor, ``(N, 2)``, length."""
    box_low: Array
    """Lower corner of the floor, ``(2,)``, length; the floor is at height 0."""
    box_high: Array
    """Upper corner of the floor, ``(2,)``, length."""
    observation: Array
    """``(N, O)``."""
    potential: Array
    """Potential of the targets in sight, ``(N,)``."""
    kinetic_energy: Array
    """Kinetic energy of translation, ``(N,)``, energy."""
    step_count: Array
    """Physics steps since the reset, ``()``."""
    distance: Array
    """Along the floor to each particle's nearest target, ``(N,)``, length; `lidar_range` if none is in sight."""
    reached: Array
    """Mask of targets with a particle's centre above them within one radius, ``(N,)`` of bool."""
    vicinity: NeighborLists
    """Lists of neighbours, where the swarm is large enough for them."""
    nearest: Array | None = None
    """Mask of particles that are the nearest to a target within one radius, ``(N,)`` of bool; None unless the task has
    `exclusive_goal_bonus`."""


@dataclass(frozen=True, kw_only=True)
class SwarmRoller(swarm.SwarmEnvironment[SwarmRollerState]):
    r"""N spheres on a floor look for N shared targets, each turning itself and carried by friction alone.

    An action ``(N, 2)`` is a torque about the two axes of the floor in units of `max_torque`, cut to length 1 and held
    for `physics_steps` steps of the engine. There is no other drive: a torque about +y spins the sphere, and friction
    with the floor carries it along +x; about +x, along -y. Below Coulomb's limit it rolls, with
    ``acceleration = torque / (1.4 mass radius)``; beyond it, it slips. The reward of particle i is

    ``(S_i - S_i') - ke_weight (K_i - K_i') + coop_weight mean_j (S_j - S_j') + near_goal_bonus [d_i <= R_i]
    + coverage_weight C``

    with ``S_i = sum over sectors of exp(-d / shaping_length)``, d the distance along the floor of the nearest target in
    the sector, K the kinetic energy of translation, d_i the distance of the nearest target, C the success;
    primes are from before the decision. The observation is

    ==========================  ==============
    velocity along the floor    2
    angular velocity * radius   3
    lidar of the targets        n_lidar_rays
    lidar of the swarm, walls   n_lidar_rays
    ==========================  ==============

    with lidars in the plane of the floor and readings divided by their range. Success is the share of targets that
    have a particle's centre above them within one radius. Episodes end only by their time limit.

    Notes
    -----
    Floor and walls push as particles do, with restitution and friction. From 128 particles on contacts and lidars go
    through lists of neighbours.
    """

    num_particles: Count = 16
    """N, of spheres and of targets."""
    min_box_size: Positive = 16.0
    """Least side of the region of the targets, drawn for each axis at a reset, length."""
    max_box_size: Positive = 16.0
    """Largest side of that region, length."""
    box_padding: Positive = 8.0
    """Difference between the sides of floor and region, length; most of the swarm starts in the ring between."""
    radius: sizes.Sizes = 1.0
    """Radius of the spheres, or a range to draw each from, length."""
    mass: sizes.Sizes = 1.0
    """Mass of the spheres, or a range to draw each from."""
    max_torque: Positive = 4.0
    """Largest torque about an axis of the floor, force * length."""
    contact_friction: Positive = 0.6
    """Coulomb's coefficient of every contact."""
    gravity: Positive = 9.81
    """Length / time**2."""
    drag: NonNegative = 1.0
    """Viscous drag, mass / time."""
    restitution: Fraction = 0.5
    """Restitution of contacts, in [0, 1]."""
    max_steps: Count = 5000
    """Length of an episode, in physics steps."""
    physics_steps: Count = 50
    """Physics steps for which an action is held: one decision."""
    ke_weight: Real = 0.02
    """Weight of the change of kinetic energy."""
    coop_weight: Real = 0.2
    """Weight of the swarm's mean progress."""
    coverage_weight: Real = 0.0
    """Weight of the share of targets that are reached, for everybody at each decision; 0 in JaxDEM."""
    exclusive_goal_bonus: bool = False
    """Whether `near_goal_bonus` is paid only to the nearest particle of a target, and not to all that are near one, as
    in JaxDEM."""
    near_goal_bonus: Real = 0.1
    """Bonus of a particle within one radius of a target, per decision."""
    shaping_length: Positive = 1.0
    """Over which the potential of a target falls off, length."""
    lidar_range: Positive = 10.0
    """Length."""
    n_lidar_rays: Count = 24
    """Sectors of each lidar."""
    dt: Positive = 4e-3
    """Time step of the engine, time."""
    stiffness: Positive = 2e3
    """Stiffness of contacts, force / length."""
    tangential_damping: Positive = 20.0
    """Drag of contacts that slip slowly, mass / time: rolling creeps by the force of friction divided by this."""

    oracle = RollerOracle
    scripted = RollerScript
    success_name: ClassVar[str] = "coverage"
    near: ClassVar[float] = 1.0
    """Radii around a target within which a particle has the bonus."""
    observes: ClassVar[tuple[Block, ...]] = (
        Block("velocity along the floor", "vector", 2),
        Block("spin about the axes of the floor", "axial", 2),
        Block("spin about the vertical", "pseudoscalar", 1),
    )
    action_kind: ClassVar[str] = "axial"
    lidar_senses: ClassVar[tuple[str, ...]] = ("targets", "swarm and walls")
    room_lengths: ClassVar[tuple[str, ...]] = ("min_box_size", "max_box_size", "box_padding")

    def check_task(self, where: str) -> None:
        """Raise ValueError if the swarm does not fit, the lidar is too short or the time step too coarse."""
        check_flag(where, "exclusive_goal_bonus", self.exclusive_goal_bonus)
        sizes.check_region(where, self.min_box_size, self.max_box_size)
        sizes.check_sight(where, self.lidar_range, self.radius)
        side, width, radius = self.min_box_size, self.box_padding / 2, sizes.largest(self.radius)
        num_outside = self.num_particles - self._num_inside
        quarter = num_outside // 4
        advice = "Raise min_box_size or box_padding, or lower num_particles."
        sizes.check_room(where, self._num_inside, (side, side), radius, advice)
        sizes.check_room(where, quarter, (width, side + 2 * width), radius, advice)
        sizes.check_room(where, num_outside - 3 * quarter, (side, width), radius, advice)
        self.check_physics(where, drag=self.drag, restitution=self.restitution, damping=self.tangential_damping, dim=3)

    @property
    def observation_size(self) -> int:
        """5 + 2 * n_lidar_rays, and 2 more with `observe_sizes`."""
        return 5 + 2 * self.n_lidar_rays + self.sizes_observed

    @property
    def inverse_masses_besides(self) -> tuple[float, ...]:
        """Inverse mass of the floor, which nothing moves."""
        return (0.0,)

    @property
    def _num_inside(self) -> int:
        """Number of spheres that start among the targets."""
        return max(1, self.num_particles // 6)

    @compiled
    def reset(self, key: Array) -> SwarmRollerState:
        """Return a new episode: targets on a jittered grid, a sixth of the swarm among them, the rest in the ring."""
        self.check_key(key)
        key_box, key_inside, key_ring, key_targets, key_order, key_radius, key_mass = jax.random.split(key, 7)
        size = jax.random.uniform(key_box, (2,), float, minval=self.min_box_size, maxval=self.max_box_size)
        scale, width = sizes.largest(self.radius), self.box_padding / 2
        inside = jittered_grid(key_inside, self._num_inside, size, scale)
        outside = ring(key_ring, self.num_particles - self._num_inside, size, width, scale)
        # Which particle starts where says nothing: the order is shuffled.
        place = jax.random.permutation(key_order, jnp.concatenate([inside, outside]))
        radius = self.draw_sizes(key_radius, self.radius)
        particles = dem.Particles.create(
            jnp.column_stack([place, radius]),
            radius=radius,
            mass=self.draw_sizes(key_mass, self.mass),
        )
        targets = jittered_grid(key_targets, self.num_particles, size, scale)
        return self._state(particles, targets, jnp.full((2,), -width), size + width, None)

    def make_state(
        self,
        *,
        position: ArrayLike,
        targets: ArrayLike,
        box_low: ArrayLike,
        box_high: ArrayLike,
        velocity: ArrayLike = 0.0,
        angular_velocity: ArrayLike = 0.0,
        radius: ArrayLike | None = None,
        mass: ArrayLike | None = None,
        step_count: int = 0,
    ) -> SwarmRollerState:
        """Return the state that explicit arrays describe, for replay and tests.

        Parameters
        ----------
        position : array, (N, 2) or (N, 3), length
            Of the centres; two columns put the spheres on the floor.
        targets : array, (N, 2), length
        box_low, box_high : array, (2,), length
            Of the floor.
        velocity, angular_velocity : array, (N, 3) or broadcastable
        radius, mass : array, (N,) or broadcastable, optional
            The environment's, in the middle of a range, if left out.
        step_count : int
            Physics steps already taken.

        Raises
        ------
        ValueError
            If a shape does not fit, a number is not finite, or a radius is larger than the environment's.
        """
        check_count("SwarmRoller.make_state", step_count=step_count)
        radius = self.middle(self.radius) if radius is None else radius
        mass = self.middle(self.mass) if mass is None else mass
        place, targets = dem.particles.as_float("position", position), dem.particles.as_float("targets", targets)
        num = self.num_particles
        for name, array, shapes in (("position", place, ((num, 2), (num, 3))), ("targets", targets, ((num, 2),))):
            if array.shape not in shapes:
                raise ValueError(
                    f"SwarmRoller.make_state: {name} is {' or '.join(map(str, shapes))}; got shape {array.shape}. "
                    "Match num_particles."
                )
        radius = jnp.broadcast_to(jnp.asarray(radius, float), (num,))
        place = jnp.column_stack([place, radius]) if place.shape[1] == 2 else place
        particles = dem.Particles.create(place, velocity, radius, mass, angular_velocity=angular_velocity)
        sizes.check_radius("SwarmRoller.make_state", particles.radius, self.radius)
        world = dem.World.create(box_low, box_high)
        sizes.check_room_of("SwarmRoller.make_state", world, particles)
        state = self._state(particles, targets, world.box_low, world.box_high, None)
        return replace(state, step_count=jnp.asarray(step_count, jnp.int32))

    def apply(self, state: SwarmRollerState, action: Array) -> swarm.Drive:
        """Return the torque of an action: about x and y in units of `max_torque`, cut to length 1."""
        turning = self.max_torque * swarm.shorten(action, 1.0)
        torque = jnp.column_stack([turning, jnp.zeros_like(turning[:, 0])])
        return swarm.Drive(jnp.zeros_like(torque), torque)

    def sense(self, particles: dem.Particles, before: SwarmRollerState, vicinity: NeighborLists) -> SwarmRollerState:
        """Return the state after a decision; targets and floor stay."""
        return self._state(particles, before.targets, before.box_low, before.box_high, vicinity)

    def score(self, before: SwarmRollerState, after: SwarmRollerState) -> swarm.Score:
        """Return the reward of progress, and the share of targets reached."""
        return target_score(self, before, after)

    def smooth_reward(self, before: SwarmRollerState, after: SwarmRollerState) -> Array:
        """Return the reward with a bonus of ``r / (r + d)`` for the sphere nearest to each target; ``(N,)``.

        r is its radius, and d is within the lidar's range. All together are a smooth count of what the swarm covers.
        """
        sight = displacements(after.particles.position[:, :2], after.targets, after.vicinity.targets)
        near = closeness(sight, after.particles.radius, self.num_particles, self.lidar_range)
        return smooth_target_reward(self, before, after, near)

    @cached_property
    def _surroundings(self) -> NeighborListSpecs:
        """Specifications of the neighbour lists."""
        side, large = self.max_box_size + self.box_padding, sizes.largest(self.radius)
        return NeighborListSpecs.create(
            num_particles=self.num_particles,
            extent=(side, side),
            sensing_range=self.lidar_range,
            contact_range=2 * large,
            skin=0.5 * sizes.smallest(self.radius),
            num_targets=self.num_particles,
            # Nobody is above another, or hardly.
            height=2 * large,
            room=self.neighbor_room,
        )

    def world(self, state: SwarmRollerState) -> dem.World:
        """Return the floor with its walls; the ceiling is out of reach."""
        height = 20 * sizes.largest(self.radius)
        return dem.World.create(
            jnp.append(state.box_low, 0.0),
            jnp.append(state.box_high, height),
            boundary="soft",
            stiffness=self.stiffness,
            dt=self.dt,
            drag=self.drag,
            gravity=self.gravity,
            restitution=self.restitution,
            friction=self.contact_friction,
            tangential_damping=self.tangential_damping,
        )

    @compiled
    def _state(
        self,
        particles: dem.Particles,
        targets: Array,
        box_low: Array,
        box_high: Array,
        vicinity: NeighborLists | None,
    ) -> SwarmRollerState:
        """Sense, and return the state at step 0."""
        place = particles.position[:, :2]
        around = self._surroundings
        with jax.named_scope("lidar"):
            vicinity = around.refresh(
                vicinity or around.allocate(place, particles.position), place, box_low, box_high, targets
            )
            to_targets = displacements(place, targets, vicinity.targets)
            to_others = displacements(place, neighbors=vicinity.swarm)
            target_reading = lidar(to_targets, self.lidar_range, self.n_lidar_rays)
            swarm_reading = jnp.maximum(
                lidar(to_others, self.lidar_range, self.n_lidar_rays),
                wall_lidar(place, box_low, box_high, self.lidar_range, self.n_lidar_rays),
            )
        seen = target_reading > 0
        potential = jnp.exp((target_reading - self.lidar_range) / self.shaping_length)
        parts = [
            particles.velocity[:, :2],
            particles.angular_velocity * particles.radius[:, None],
            target_reading / self.lidar_range,
            swarm_reading / self.lidar_range,
            *self.own_sizes(particles),
        ]
        return SwarmRollerState(
            particles=particles,
            targets=targets,
            box_low=box_low,
            box_high=box_high,
            observation=jnp.concatenate(parts, axis=-1),
            potential=jnp.sum(jnp.where(seen, potential, 0.0), axis=-1),
            kinetic_energy=particles.kinetic_energy,
            step_count=jnp.zeros((), jnp.int32),
            distance=self.lidar_range - jnp.max(target_reading, axis=-1),
            reached=reached_sources(to_targets, particles.radius, self.num_particles),
            vicinity=vicinity,
            nearest=nearest_sensors(to_targets, particles.radius, self.num_particles)
            if self.exclusive_goal_bonus
            else None,
        )
