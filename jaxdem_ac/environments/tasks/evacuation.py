"""A crowd that leaves a room through a narrow gap."""

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jaxdem_ac import dem
from jaxdem_ac.environments import sizes, swarm
from jaxdem_ac.environments.base import compiled
from jaxdem_ac.environments.baselines.evacuation import EvacuationOracle, EvacuationScript
from jaxdem_ac.environments.checks import AtLeastOne, Count, Fraction, NonNegative, Positive, Real, check_count
from jaxdem_ac.environments.placement import jittered_grid
from jaxdem_ac.environments.sensing.lidar import displacements, lidar, lidar_with_walls
from jaxdem_ac.environments.sensing.neighbor_lists import NeighborLists, NeighborListSpecs
from jaxdem_ac.observation_layout import Block


@swarm.in_order("particles", "targets", "target_radius", "box_low", "box_high", "observation", "step_count", "vicinity")
@dataclass(frozen=True)
class EvacuationState(swarm.BoxState):
    """Places of the crowd and of the M fixed discs of the wall, after it; its target is the centre of the gap."""

    target_radius: Array
    """Half the gap, ``(1,)``, length."""


@dataclass(frozen=True, kw_only=True)
class Evacuation(swarm.SwarmEnvironment[EvacuationState]):
    r"""N discs leave a room through a gap a few of them wide, and clear the space before it.

    The box is cut by a wall, a row of fixed discs along y at ``x = room_size``: left of it the room, in which the crowd
    starts, right of it the forecourt. The wall has one gap of `gap` diameters, somewhere along it.

    An action ``(N, 2)`` is a force in units of `max_force`, cut to length 1 and held for `physics_steps` steps of the
    engine. With P_i the way that particle i has come,

    ``P_i = -distance to the opening`` in the room, ``min(depth, clearing)`` beyond the wall,

    the opening being where its centre can pass and depth how far beyond the wall it is, the reward of particle i is

    ``progress_weight (P_i - P_i') + coop_weight mean_j (P_j - P_j') + exit_bonus ([outside] - [outside]')``

    Primes are from before the decision. The observation is

    =============================================  ==============
    velocity                                       2
    direction to the opening, or away from it      2
    displacement to the gap, cut at lidar_range    2
    1 outside, 0 in the room                       1
    lidar of the crowd                             n_lidar_rays
    lidar of the walls                             n_lidar_rays
    =============================================  ==============

    with displacement and lidar readings divided by their range. Success is the share of the crowd that is outside: its
    centres are beyond the wall's. The episode terminates when all are, and is truncated at `max_steps`.

    Notes
    -----
    Contacts lose energy and rub: a crowd that pushes jams. With `contact_friction` = 0 it still flows by itself
    through any gap that is wide enough. Large crowds touch and sense through lists of neighbours.
    """

    num_particles: Count = 32
    """N."""
    room_size: Positive = 12.0
    """Side of the square room, length."""
    forecourt: Positive = 8.0
    """Depth of the box beyond the wall, length."""
    gap: AtLeastOne = 2.5
    """Width of the gap, in diameters of the largest particle."""
    radius: sizes.Sizes = 0.5
    mass: sizes.Sizes = 1.0
    wall_radius: Positive = 0.5
    """Radius of the fixed discs of the wall, length."""
    max_force: Positive = 3.0
    """Largest force of one particle."""
    drag: NonNegative = 1.0
    """Viscous drag, mass / time."""
    restitution: Fraction = 0.3
    """Restitution of contacts, in [0, 1]."""
    contact_friction: NonNegative = 0.5
    """Coulomb's coefficient of contacts."""
    max_steps: Count = 1500
    physics_steps: Count = 20
    progress_weight: Real = 0.2
    """Weight of a particle's own way, per length."""
    coop_weight: Real = 0.2
    """Weight of the crowd's mean way, per length."""
    exit_bonus: Real = 1.0
    """Bonus of a particle that has passed the wall; taken back if it returns."""
    clearing: NonNegative = 4.0
    """Depth beyond the wall up to which a particle is rewarded for going on, length."""
    lidar_range: Positive = 5.0
    """Length."""
    n_lidar_rays: Count = 16
    """Sectors of each lidar."""
    dt: Positive = 1e-2
    stiffness: Positive = 1e3
    tangential_damping: Positive = 8.0
    """Drag of contacts that slip slowly, mass / time."""

    oracle = EvacuationOracle
    scripted = EvacuationScript
    success_name: ClassVar[str] = "share outside"
    observes: ClassVar[tuple[Block, ...]] = (
        Block("velocity", "vector", 2),
        Block("direction to the opening", "vector", 2),
        Block("displacement to the gap", "vector", 2),
        Block("outside", "scalar", 1),
    )
    lidar_senses: ClassVar[tuple[str, ...]] = ("crowd", "walls")
    room_lengths: ClassVar[tuple[str, ...]] = ("room_size", "forecourt")

    def check_task(self, where: str) -> None:
        """Raise ValueError if the gap or the crowd does not fit, or the time step is too coarse."""
        if self._gap_width > self.room_size - 4 * self.wall_radius:
            raise ValueError(
                f"{where}: the gap leaves a disc of the wall on either side; got gap={self.gap}, "
                f"room_size={self.room_size}. Lower gap or raise room_size."
            )
        radius = sizes.largest(self.radius)
        advice = "Raise room_size or forecourt, or lower num_particles."
        sizes.check_room(where, self.num_particles, self._start_region, radius, advice)
        sizes.check_room(where, self.num_particles, (self.forecourt - self.wall_radius, self.room_size), radius, advice)
        damping = self.tangential_damping if self.contact_friction > 0 else 0.0
        self.check_physics(where, drag=self.drag, restitution=self.restitution, damping=damping, push=self.max_force)

    @property
    def inverse_masses_besides(self) -> tuple[float, ...]:
        """Inverse mass of the wall, which nothing moves."""
        return (0.0,)

    @property
    def num_wall(self) -> int:
        """M, fixed discs: enough for the whole wall on either side of the gap, wherever it is."""
        return 2 * math.ceil(self.room_size / (2 * self.wall_radius))

    @property
    def _gap_width(self) -> float:
        return self.gap * 2 * sizes.largest(self.radius)

    @property
    def _start_region(self) -> tuple[float, float]:
        """Region in which the crowd starts: the room, without the wall."""
        return self.room_size - self.wall_radius, self.room_size

    @compiled
    def reset(self, key: Array) -> EvacuationState:
        """Return a new episode: the crowd on a jittered grid in the room, the gap anywhere along the wall."""
        self.check_key(key)
        key_crowd, key_gap, key_order, key_radius, key_mass = jax.random.split(key, 5)
        num = self.num_particles
        position = jittered_grid(key_crowd, num, jnp.asarray(self._start_region), sizes.largest(self.radius))
        margin = self._gap_width / 2 + 2 * self.wall_radius
        return self.make_state(
            position=jax.random.permutation(key_order, position),
            gap_centre=jax.random.uniform(key_gap, (), float, minval=margin, maxval=self.room_size - margin),
            radius=self.draw_sizes(key_radius, self.radius),
            mass=self.draw_sizes(key_mass, self.mass),
        )

    def make_state(
        self,
        *,
        position: ArrayLike,
        gap_centre: ArrayLike | None = None,
        velocity: ArrayLike = 0.0,
        radius: ArrayLike | None = None,
        mass: ArrayLike | None = None,
        step_count: int = 0,
    ) -> EvacuationState:
        """Return the state that explicit arrays describe, for replay and tests.

        Position, velocity, radius and mass are those of the crowd, ``(N, 2)`` and ``(N,)``, in a room that is
        ``[0, room_size]`` along both axes. What has a default broadcasts; radius and mass are in the middle of the
        environment's ranges if left out, and so is the gap, a place along y, in its wall. `step_count` are the physics
        steps already taken. Raises ValueError if a shape does not fit, a number is not finite, or a radius is larger
        than the environment's.
        """
        here, num, per_side = "Evacuation.make_state", self.num_particles, self.num_wall // 2
        check_count(here, step_count=step_count)
        place = dem.particles.as_float("position", position)
        if place.shape != (num, 2):
            raise ValueError(
                f"{here}: position is (num_particles, 2) = ({num}, 2); got shape {place.shape}. Match num_particles."
            )
        radius, mass = self.sizes_or_middle(radius, mass)
        centre = jnp.asarray(self.room_size / 2 if gap_centre is None else gap_centre, float)
        # From both edges of the gap outwards; what lies beyond the box is out of everybody's reach.
        along = self._gap_width / 2 + self.wall_radius * (1 + 2 * jnp.arange(per_side))
        wall = jnp.concatenate([centre - along, centre + along])
        wall = jnp.column_stack([jnp.full_like(wall, self.room_size), wall])

        def with_wall(values: ArrayLike, of_wall: float) -> Array:
            return jnp.append(jnp.broadcast_to(jnp.asarray(values, float), (num,)), jnp.full(len(wall), of_wall))

        velocity = jnp.broadcast_to(jnp.asarray(velocity, float), (num, 2))
        particles = dem.Particles.create(
            jnp.concatenate([place, wall]),
            jnp.concatenate([velocity, jnp.zeros_like(wall)]),
            with_wall(radius, self.wall_radius),
            with_wall(mass, 1.0),
            fixed=jnp.arange(num + len(wall)) >= num,
        )
        self.check_sizes(here, particles)
        gap = jnp.stack([jnp.asarray(self.room_size, float), centre])
        state = self._state(particles, gap[None], None)
        return replace(state, step_count=jnp.asarray(step_count, jnp.int32))

    def world(self, state: EvacuationState) -> dem.World:
        """Return the box around room and forecourt, its material and the time step."""
        return dem.World.create(
            state.box_low,
            state.box_high,
            boundary="soft",
            stiffness=self.stiffness,
            dt=self.dt,
            drag=self.drag,
            restitution=self.restitution,
            friction=self.contact_friction,
            tangential_damping=self.tangential_damping,
        )

    def apply(self, state: EvacuationState, action: Array) -> swarm.Drive:
        """Return the force of an action, in units of `max_force`, cut to length 1; none on the wall."""
        force = self.max_force * swarm.shorten(action, 1.0)
        return swarm.Drive(jnp.concatenate([force, jnp.zeros((self.num_wall, 2), force.dtype)]))

    def sense(self, particles: dem.Particles, before: EvacuationState, vicinity: NeighborLists) -> EvacuationState:
        """Return the state after a decision; the gap stays."""
        return self._state(particles, before.targets, vicinity)

    def score(self, before: EvacuationState, after: EvacuationState) -> swarm.Score:
        """Return the reward of the way that everybody has come, and the share that is outside."""
        way, outside = self._way(after.particles, after.targets[0])
        way_before, outside_before = self._way(before.particles, before.targets[0])
        progress = way - way_before
        reward = (
            self.progress_weight * progress
            + self.coop_weight * jnp.mean(progress)
            + self.exit_bonus * (outside.astype(way.dtype) - outside_before)
        )
        return swarm.Score(reward, jnp.mean(outside.astype(way.dtype)), jnp.all(outside))

    @cached_property
    def _surroundings(self) -> NeighborListSpecs:
        large = sizes.largest(self.radius)
        return NeighborListSpecs.create(
            num_particles=self.num_particles,
            extent=(self.room_size + self.forecourt, self.room_size),
            sensing_range=self.lidar_range,
            contact_range=large + max(large, self.wall_radius),
            skin=0.5 * sizes.smallest(self.radius),
            num_bodies=self.num_particles + self.num_wall,
            num_targets=self.num_wall,
            room=self.neighbor_room,
            # They start in the room, and gather before the gap.
            crowding=2 * (1 + self.forecourt / self.room_size),
            spacing=2 * min(sizes.smallest(self.radius), self.wall_radius),
        )

    def _opening(self, particles: dem.Particles, gap: Array) -> Array:
        """Return the vector from each centre to the nearest point at which it can pass the wall, ``(N, 2)``."""
        position, radius = particles.position[: self.num_particles], particles.radius[: self.num_particles]
        room = jnp.maximum(0.0, self._gap_width / 2 - radius)
        along = jnp.clip(position[:, 1], gap[1] - room, gap[1] + room)
        return jnp.column_stack([gap[0] - position[:, 0], along - position[:, 1]])

    def _way(self, particles: dem.Particles, gap: Array) -> tuple[Array, Array]:
        """Return how far everybody has come, ``(N,)``, and who is outside, ``(N,)`` of bool."""
        to_opening = self._opening(particles, gap)
        depth = -to_opening[:, 0]
        distance = swarm.length(to_opening)
        return jnp.where(depth > 0, jnp.minimum(depth, self.clearing), -distance), depth > 0

    @compiled
    def _state(self, particles: dem.Particles, targets: Array, vicinity: NeighborLists | None) -> EvacuationState:
        """Sense, and return the state at step 0."""
        num, reach, rays = self.num_particles, self.lidar_range, self.n_lidar_rays
        position, bodies, velocity = particles.position[:num], particles.position[num:], particles.velocity[:num]
        low = jnp.zeros((2,))
        high = jnp.asarray([self.room_size + self.forecourt, self.room_size], float)
        with jax.named_scope("lidar"):
            vicinity = self._surroundings.refresh(vicinity, position, low, high, bodies, particles.position)
            of_crowd = lidar(displacements(position, neighbors=vicinity.swarm), reach, rays)
            to_wall = displacements(position, bodies, vicinity.targets)
            of_walls = lidar_with_walls(to_wall, position, low, high, reach, rays)
        to_opening = self._opening(particles, targets[0])
        outside = to_opening[:, :1] < 0
        parts = [
            velocity,
            jnp.where(outside, -1.0, 1.0) * swarm.unit(to_opening),
            swarm.shorten(targets[0] - position, reach) / reach,
            outside.astype(position.dtype),
            of_crowd / reach,
            of_walls / reach,
            *self.own_sizes(particles),
        ]
        return EvacuationState(
            particles=particles,
            targets=targets,
            target_radius=jnp.full((1,), self._gap_width / 2),
            box_low=low,
            box_high=high,
            observation=jnp.concatenate(parts, axis=-1),
            step_count=jnp.zeros((), jnp.int32),
            vicinity=vicinity,
        )
