"""A crowd that leaves a room through a narrow gap."""

import math
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jaxdem_ac import dem
from jaxdem_ac.environments import swarm
from jaxdem_ac.environments.base import Timestep
from jaxdem_ac.environments.checks import check_count, check_number, check_whole
from jaxdem_ac.environments.placement import jittered_grid
from jaxdem_ac.environments.sensing.lidar import lidar, look, wall_lidar
from jaxdem_ac.environments.sensing.neighbor_lists import Surroundings, Vicinity


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class EvacuationState:
    """Where everything is, and what the last decision left."""

    particles: dem.Particles
    """N + M discs: the crowd, and the fixed ones that the wall with the gap is made of."""
    targets: Array
    """Centre of the gap, ``(1, 2)``, length."""
    target_radius: Array
    """Half the gap, ``(1,)``, length."""
    box_low: Array
    """Lower corner of room and forecourt, ``(2,)``, length."""
    box_high: Array
    """Upper corner of room and forecourt, ``(2,)``, length."""
    observation: Array
    """``(N, O)``."""
    step_count: Array
    """Physics steps since the reset, ``()``."""
    vicinity: Vicinity
    """Lists of neighbours, where the swarm is large enough for them."""


@dataclass(frozen=True, kw_only=True)
class Evacuation(swarm.SwarmTask):
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

    num_particles: int = 32
    """N."""
    room_size: float = 12.0
    """Side of the square room, length."""
    forecourt: float = 8.0
    """Depth of the box beyond the wall, length."""
    gap: float = 2.5
    """Width of the gap, in diameters of the largest particle."""
    radius: swarm.Sizes = 0.5
    """Of the particles, or a range to draw each from, length."""
    mass: swarm.Sizes = 1.0
    """Of the particles, or a range to draw each from."""
    wall_radius: float = 0.5
    """Of the fixed discs of the wall, length."""
    max_force: float = 3.0
    """Of one particle."""
    drag: float = 1.0
    """Viscous drag, mass / time."""
    restitution: float = 0.3
    """Of contacts, in [0, 1]."""
    contact_friction: float = 0.5
    """Coulomb's coefficient of contacts."""
    max_steps: int = 1500
    """Length of an episode, in physics steps."""
    physics_steps: int = 20
    """Physics steps for which an action is held: one decision."""
    progress_weight: float = 0.2
    """Of a particle's own way, per length."""
    coop_weight: float = 0.2
    """Of the crowd's mean way, per length."""
    exit_bonus: float = 1.0
    """For a particle that has passed the wall; taken back if it returns."""
    clearing: float = 4.0
    """Depth beyond the wall up to which a particle is rewarded for going on, length."""
    lidar_range: float = 5.0
    """Length."""
    n_lidar_rays: int = 16
    """Sectors of each lidar."""
    dt: float = 1e-2
    """Time step of the engine, time."""
    stiffness: float = 1e3
    """Of contacts, force / length."""
    tangential_damping: float = 8.0
    """Of contacts that slip slowly, mass / time."""

    success_name: ClassVar[str] = "share outside"
    lidar_senses: ClassVar[tuple[str, ...]] = ("crowd", "walls")
    room_lengths: ClassVar[tuple[str, ...]] = ("room_size", "forecourt")

    def __post_init__(self) -> None:
        """Check every field, once."""
        here = "Evacuation"
        self.check_swarm(here)
        check_whole(
            here,
            num_particles=self.num_particles,
            max_steps=self.max_steps,
            physics_steps=self.physics_steps,
            n_lidar_rays=self.n_lidar_rays,
        )
        check_number(
            here,
            positive=True,
            room_size=self.room_size,
            forecourt=self.forecourt,
            wall_radius=self.wall_radius,
            max_force=self.max_force,
            lidar_range=self.lidar_range,
            dt=self.dt,
            stiffness=self.stiffness,
            neighbor_room=self.neighbor_room,
            tangential_damping=self.tangential_damping,
        )
        check_number(here, least=1.0, gap=self.gap)
        check_number(here, least=0.0, most=1.0, restitution=self.restitution)
        check_number(here, least=0.0, drag=self.drag, contact_friction=self.contact_friction, clearing=self.clearing)
        check_number(
            here, progress_weight=self.progress_weight, coop_weight=self.coop_weight, exit_bonus=self.exit_bonus
        )
        if self._gap_width > self.room_size - 4 * self.wall_radius:
            raise ValueError(
                f"{here}: the gap leaves a disc of the wall on either side; got gap={self.gap}, "
                f"room_size={self.room_size}. Lower gap or raise room_size."
            )
        radius = swarm.largest(self.radius)
        advice = "Raise room_size or forecourt, or lower num_particles."
        swarm.check_room(here, self.num_particles, self._start_region, radius, advice)
        swarm.check_room(here, self.num_particles, (self.forecourt - self.wall_radius, self.room_size), radius, advice)
        damping = self.tangential_damping if self.contact_friction > 0 else 0.0
        self.check_physics(here, drag=self.drag, restitution=self.restitution, damping=damping)

    @property
    def observation_size(self) -> int:
        """7 + 2 * n_lidar_rays, and 2 more with `observe_sizes`."""
        return 7 + 2 * self.n_lidar_rays + self.sizes_observed

    @property
    def inverse_masses_besides(self) -> tuple[float, ...]:
        """Of the wall, which nothing moves."""
        return (0.0,)

    @property
    def num_wall(self) -> int:
        """M, fixed discs: enough for the whole wall on either side of the gap, wherever it is."""
        return 2 * math.ceil(self.room_size / (2 * self.wall_radius))

    @property
    def _gap_width(self) -> float:
        return self.gap * 2 * swarm.largest(self.radius)

    @property
    def _start_region(self) -> tuple[float, float]:
        """Where the crowd starts: the room, without the wall."""
        return self.room_size - self.wall_radius, self.room_size

    @partial(jax.jit, static_argnums=0)
    def reset(self, key: Array) -> EvacuationState:
        """Return a new episode: the crowd on a jittered grid in the room, the gap anywhere along the wall.

        Parameters
        ----------
        key : Array
            Random key.
        """
        self.check_key(key)
        key_crowd, key_gap, key_order, key_radius, key_mass = jax.random.split(key, 5)
        num = self.num_particles
        position = jittered_grid(key_crowd, num, jnp.asarray(self._start_region), swarm.largest(self.radius))
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

        Parameters
        ----------
        position : array, (N, 2), length
            Of the crowd; the room is ``[0, room_size]`` along both axes.
        gap_centre : float, length, optional
            Where along y the gap is; in the middle if left out.
        velocity : array, (N, 2) or broadcastable
        radius, mass : array, (N,) or broadcastable, optional
            The environment's, in the middle of a range, if left out.
        step_count : int
            Physics steps already taken.

        Raises
        ------
        ValueError
            If a shape does not fit, a number is not finite, or a radius is larger than the environment's.
        """
        check_count("Evacuation.make_state", step_count=step_count)
        place = dem.particles.as_float("position", position)
        num, per_side = self.num_particles, self.num_wall // 2
        if place.shape != (num, 2):
            raise ValueError(
                f"Evacuation.make_state: position is (num_particles, 2) = ({num}, 2); got shape {place.shape}. "
                "Match num_particles."
            )
        radius = self.middle(self.radius) if radius is None else radius
        mass = self.middle(self.mass) if mass is None else mass
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
        swarm.check_radius("Evacuation.make_state", particles.radius[:num], self.radius)
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

    @partial(jax.jit, static_argnums=0)
    def step(self, state: EvacuationState, action: Array) -> tuple[EvacuationState, Timestep]:
        """Return the state and the timestep after one decision.

        Parameters
        ----------
        state : EvacuationState
        action : Array, (N, 2)
            Forces in units of `max_force`, cut to length 1.
        """
        self.check_state(state)
        self.check_action(action)
        force = self.max_force * swarm.shorten(action, 1.0)
        around = self._surroundings
        particles, contacts = dem.advance(
            self.world(state),
            state.particles,
            jnp.concatenate([force, jnp.zeros((self.num_wall, 2), force.dtype)]),
            self.physics_steps,
            None,
            around.contacts,
            state.vicinity.contacts,
            self.engine,
        )
        new = self._state(particles, state.targets, replace(state.vicinity, contacts=contacts))
        new = replace(new, step_count=state.step_count + self.physics_steps)
        way, outside = self._way(particles, state.targets[0])
        way_before, outside_before = self._way(state.particles, state.targets[0])
        progress = way - way_before
        reward = (
            self.progress_weight * progress
            + self.coop_weight * jnp.mean(progress)
            + self.exit_bonus * (outside.astype(way.dtype) - outside_before)
        )
        terminated = jnp.all(outside)
        return new, Timestep(
            observation=new.observation,
            reward=reward,
            terminated=terminated,
            truncated=(new.step_count >= self.max_steps) & ~terminated,
            info={
                "success": jnp.mean(outside.astype(way.dtype)),
                "overflow": around.overflow(new.vicinity),
            },
        )

    @cached_property
    def _surroundings(self) -> Surroundings:
        """Specifications of the neighbour lists."""
        large = swarm.largest(self.radius)
        return Surroundings.create(
            num_particles=self.num_particles,
            extent=(self.room_size + self.forecourt, self.room_size),
            sensing_range=self.lidar_range,
            contact_range=large + max(large, self.wall_radius),
            skin=0.5 * swarm.smallest(self.radius),
            num_bodies=self.num_particles + self.num_wall,
            num_targets=self.num_wall,
            # They start in the room, and gather before the gap.
            room=2 * self.neighbor_room * (1 + self.forecourt / self.room_size),
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
        distance = jnp.sqrt(jnp.sum(to_opening**2, axis=-1))
        return jnp.where(depth > 0, jnp.minimum(depth, self.clearing), -distance), depth > 0

    @partial(jax.jit, static_argnums=0)
    def _state(self, particles: dem.Particles, targets: Array, vicinity: Vicinity | None) -> EvacuationState:
        """Sense, and return the state at step 0."""
        around, num = self._surroundings, self.num_particles
        position, bodies, velocity = particles.position[:num], particles.position[num:], particles.velocity[:num]
        low = jnp.zeros((2,))
        high = jnp.asarray([self.room_size + self.forecourt, self.room_size], float)
        with jax.named_scope("lidar"):
            vicinity = around.begin(position, particles.position) if vicinity is None else vicinity
            vicinity = around.refresh(vicinity, position, low, high, bodies)
            of_crowd = lidar(look(position, neighbors=vicinity.swarm), self.lidar_range, self.n_lidar_rays)
            of_walls = jnp.maximum(
                lidar(look(position, bodies, vicinity.targets), self.lidar_range, self.n_lidar_rays),
                wall_lidar(position, low, high, self.lidar_range, self.n_lidar_rays),
            )
        to_opening = self._opening(particles, targets[0])
        outside = to_opening[:, :1] < 0
        parts = [
            velocity,
            jnp.where(outside, -1.0, 1.0) * swarm.unit(to_opening),
            swarm.shorten(targets[0] - position, self.lidar_range) / self.lidar_range,
            outside.astype(position.dtype),
            of_crowd / self.lidar_range,
            of_walls / self.lidar_range,
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
