"""A swarm that pushes together what none of it can push alone."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jaxdem_ac import dem
from jaxdem_ac._checks import is_concrete
from jaxdem_ac.environments import sizes, swarm
from jaxdem_ac.environments.base import compiled
from jaxdem_ac.environments.baselines.transport import TransportOracle, TransportScript
from jaxdem_ac.environments.checks import Count, Fraction, NonNegative, Positive, Real, check_count
from jaxdem_ac.environments.placement import ring, ring_sides
from jaxdem_ac.environments.sensing.lidar import displacements, lidar_with_walls
from jaxdem_ac.environments.sensing.neighbor_lists import NeighborLists, NeighborListSpecs
from jaxdem_ac.observation_layout import Block

_DRAWS = 16  # A goal is the first of so many draws that is far enough, or else the farthest.


@swarm.in_order(
    "particles",
    "targets",
    "target_radius",
    "box_low",
    "box_high",
    "observation",
    "num_reached",
    "step_count",
    "vicinity",
)
@dataclass(frozen=True)
class CollectiveTransportState(swarm.BoxState):
    """Places of the swarm and, last, the load; its targets are the load's G goals, in order."""

    target_radius: Array
    """Distance from a goal within which the load's centre has reached it, ``(G,)``, length."""
    num_reached: Array
    """Goals that have been reached, ``()``; the next one is pursued."""

    @property
    def reached(self) -> Array:
        """Mask of reached goals, ``(G,)`` of bool."""
        return jnp.arange(self.targets.shape[-2]) < self.num_reached[..., None]


@dataclass(frozen=True, kw_only=True)
class CollectiveTransport(swarm.SwarmEnvironment[CollectiveTransportState]):
    r"""N discs, each too weak alone, push a heavy disc, the load, to a goal.

    An action ``(N, 2)`` is a force in units of `max_force`, cut to length 1 and held for `physics_steps` steps of the
    engine. The load is passive and lies on rough ground, which holds it with up to `load_friction`: fewer than
    ``load_friction / max_force`` particles do not move it, but for a creep of
    ``4 dt * force / load_mass`` (Coulomb's law, regularised by viscosity). The reward of particle i is

    ``progress_weight (D' - D) + approach_weight (A_i' - A_i) + goal_bonus [goal reached]``

    with D the distance from the load to its goal and A_i the distance from particle i to where it would push best: its
    place behind the load, ``x_load - (R_load + R_i) u``, u the direction from the load to the goal. Primes are from
    before the decision; both belong to the goal pursued in it. The first and the last term are shared. The observation
    is

    ================================================  ==============
    velocity                                          2
    direction to the load                             2
    displacement to the load, cut at lidar_range      2
    direction from the load to its goal               2
    displacement to the goal, cut at lidar_range      2
    velocity of the load                              2
    lidar of the swarm, walls                         n_lidar_rays
    ================================================  ==============

    with displacements and lidar readings divided by their range; the load is not in the lidar. A goal is reached once
    the load's centre is within `tolerance`; then the next of `num_goals` is pursued. Success is the share of goals
    reached. The episode terminates with the last goal and is truncated at `max_steps`.

    Notes
    -----
    Walls push as particles do, with restitution `restitution`. Large swarms touch and sense through lists of
    neighbours.
    """

    num_particles: Count = 16
    """N, without the load."""
    num_goals: Count = 1
    """G, goals of one episode."""
    arena_size: sizes.Sizes = 14.0
    """Side of the square in which the load and its goals lie, or a range to draw it from, length."""
    box_padding: Positive = 6.0
    """Width of the ring around it, within the box, in which the swarm starts, length."""
    goal_distance: NonNegative = 6.0
    """Least distance from one goal, at first the load, to the next, length; as far as the arena allows."""
    tolerance: Positive = 1.0
    """Distance from its goal within which the load's centre has reached it, length."""
    radius: sizes.Sizes = 1.0
    mass: sizes.Sizes = 1.0
    load_radius: Positive = 3.0
    """Length."""
    load_mass: Positive = 10.0
    """Mass."""
    load_friction: NonNegative = 7.5
    """The most force with which the ground holds the load."""
    max_force: Positive = 3.0
    """Largest force of one particle."""
    drag: NonNegative = 1.0
    """Viscous drag, mass / time."""
    restitution: Fraction = 0.5
    """Restitution of contacts, in [0, 1]."""
    max_steps: Count = 3000
    physics_steps: Count = 20
    progress_weight: Real = 1.0
    """Weight of the load's progress, per length."""
    approach_weight: Real = 0.1
    """Weight of a particle's own approach, per length."""
    goal_bonus: Real = 5.0
    """Bonus of all particles when a goal is reached."""
    lidar_range: Positive = 8.0
    """Length."""
    n_lidar_rays: Count = 16
    """Sectors of the lidar."""
    dt: Positive = 1e-2
    stiffness: Positive = 1e3

    oracle, scripted = TransportOracle, TransportScript
    success_name: ClassVar[str] = "goals reached"
    observes: ClassVar[tuple[Block, ...]] = (
        Block("velocity", "vector", 2),
        Block("direction to the load", "vector", 2),
        Block("displacement to the load", "vector", 2),
        Block("direction from the load to its goal", "vector", 2),
        Block("displacement from the load to its goal", "vector", 2),
        Block("velocity of the load", "vector", 2),
    )
    lidar_senses: ClassVar[tuple[str, ...]] = ("swarm and walls",)
    room_lengths: ClassVar[tuple[str, ...]] = ("arena_size", "box_padding")

    def check_task(self, where: str) -> None:
        """Raise ValueError if the load or the swarm does not fit, or the time step is too coarse."""
        sizes.freeze_sizes(where, self, "arena_size")
        arena, largest = sizes.smallest(self.arena_size), sizes.largest(self.arena_size)
        if arena < 2 * self.load_radius:
            raise ValueError(
                f"{where}: the load fits into the arena; got arena_size={self.arena_size}, "
                f"load_radius={self.load_radius}. Raise arena_size."
            )
        advice, width = "Raise arena_size or box_padding, or lower num_particles.", self.box_padding
        quarter, last = ring_sides(self.num_particles)
        for number, least, most in (
            (quarter, (width, arena + 2 * width), (width, largest + 2 * width)),
            (last, (arena, width), (largest, width)),
        ):
            sizes.check_room(where, number, least, sizes.largest(self.radius), advice, most)
        self.check_physics(where, drag=self.drag, restitution=self.restitution, push=self.max_force)

    @property
    def inverse_masses_besides(self) -> tuple[float, ...]:
        """Inverse mass of the load."""
        return (1 / self.load_mass,)

    @compiled
    def reset(self, key: Array) -> CollectiveTransportState:
        """Return a new episode: load and goals anywhere in the arena, the swarm in the ring around it."""
        self.check_key(key)
        key_size, key_load, key_goals, key_ring, key_order, key_radius, key_mass = jax.random.split(key, 7)
        shortest, longest = sizes.ends(self.arena_size)
        side = jax.random.uniform(key_size, (1,), float, minval=shortest, maxval=longest)
        size = jnp.broadcast_to(side, (2,))
        position = ring(key_ring, self.num_particles, size, self.box_padding, sizes.largest(self.radius))
        load = jax.random.uniform(key_load, (2,), float, minval=self.load_radius, maxval=size - self.load_radius)
        places = [load]
        for key_goal in jax.random.split(key_goals, self.num_goals):
            places.append(self._next_goal(key_goal, places[-1], size))
        return self.make_state(
            position=jax.random.permutation(key_order, position),
            load=load,
            targets=jnp.stack(places[1:]),
            box_low=jnp.full((2,), -self.box_padding),
            box_high=size + self.box_padding,
            radius=self.draw_sizes(key_radius, self.radius),
            mass=self.draw_sizes(key_mass, self.mass),
        )

    def make_state(
        self,
        *,
        position: ArrayLike,
        load: ArrayLike,
        targets: ArrayLike,
        box_low: ArrayLike,
        box_high: ArrayLike,
        velocity: ArrayLike = 0.0,
        load_velocity: ArrayLike = 0.0,
        radius: ArrayLike | None = None,
        mass: ArrayLike | None = None,
        num_reached: int = 0,
        step_count: int = 0,
    ) -> CollectiveTransportState:
        """Return the state that explicit arrays describe, for replay and tests.

        Position, velocity, radius and mass are those of the swarm, ``(N, 2)`` and ``(N,)``, `load` and `load_velocity`
        those of the load, ``(2,)``, and targets are its goals in order, ``(G, 2)``; the box is ``(2,)`` and ``(2,)``.
        What has a default broadcasts; radius and mass are in the middle of the environment's ranges if left out. Goals
        already reached and physics steps already taken are counted. Raises ValueError if a shape does not fit, a number
        is not finite, more goals are reached than there are, or a radius is larger or a mass smaller than the
        environment's.
        """
        here, num, as_float = "CollectiveTransport.make_state", self.num_particles, dem.particles.as_float
        check_count(here, num_reached=num_reached, step_count=step_count)
        if is_concrete(num_reached) and int(num_reached) > self.num_goals:
            raise ValueError(
                f"{here}: num_reached is at most num_goals; got {int(num_reached)} of {self.num_goals}. Lower it."
            )
        place, load, targets = as_float("position", position), as_float("load", load), as_float("targets", targets)
        for name, array, shape in (
            ("position", place, (num, 2)),
            ("load", load, (2,)),
            ("targets", targets, (self.num_goals, 2)),
        ):
            if array.shape != shape:
                raise ValueError(
                    f"{here}: {name} is {shape}; got shape {array.shape}. Match num_particles and num_goals."
                )

        def with_load(values: ArrayLike, of_load: float) -> Array:
            return jnp.append(jnp.broadcast_to(jnp.asarray(values, float), (num,)), of_load)

        radius, mass = self.sizes_or_middle(radius, mass)
        velocity = jnp.broadcast_to(jnp.asarray(velocity, float), (num, 2))
        load_velocity = jnp.broadcast_to(jnp.asarray(load_velocity, float), (1, 2))
        particles = dem.Particles.create(
            jnp.concatenate([place, load[None]]),
            jnp.concatenate([velocity, load_velocity]),
            with_load(radius, self.load_radius),
            with_load(mass, self.load_mass),
        )
        self.check_sizes(here, particles)
        world = dem.World.create(box_low, box_high)
        sizes.check_room_of(here, world, particles)
        count = jnp.asarray(num_reached, jnp.int32)
        state = self._state(particles, targets, world.box_low, world.box_high, count, None)
        return replace(state, step_count=jnp.asarray(step_count, jnp.int32))

    def apply(self, state: CollectiveTransportState, action: Array) -> swarm.Drive:
        """Return the force of an action, in units of `max_force`, cut to length 1, and the ground's on the load."""
        force = self.max_force * swarm.shorten(action, 1.0)
        # A quarter of what would stop the load in one step: it sticks, and the explicit step is stable.
        sticking = 0.25 * self.load_mass / self.dt
        pushed = [jnp.append(force[:, axis], 0.0) for axis in range(2)]

        def with_ground(particles: dem.Columns) -> list[Array]:
            wanted = jnp.stack([-sticking * component[-1] for component in particles.velocity])
            ground = swarm.shorten(wanted, self.load_friction)
            return [component.at[-1].set(ground[axis]) for axis, component in enumerate(pushed)]

        return swarm.Drive(with_ground)

    def sense(
        self, particles: dem.Particles, before: CollectiveTransportState, vicinity: NeighborLists
    ) -> CollectiveTransportState:
        """Return the state after a decision; the next goal is pursued where one has been reached."""
        distance, _ = self._distances(particles, self._goal(before.targets, before.num_reached))
        hit = (distance <= self.tolerance) & (before.num_reached < self.num_goals)
        num_reached = before.num_reached + hit
        return self._state(particles, before.targets, before.box_low, before.box_high, num_reached, vicinity)

    def score(self, before: CollectiveTransportState, after: CollectiveTransportState) -> swarm.Score:
        """Return the reward of the load's progress and of each particle's approach, and the share of goals reached."""
        goal = self._goal(before.targets, before.num_reached)
        distance, apart = self._distances(after.particles, goal)
        distance_before, apart_before = self._distances(before.particles, goal)
        reward = (
            self.progress_weight * (distance_before - distance)
            + self.approach_weight * (apart_before - apart)
            + self.goal_bonus * (after.num_reached > before.num_reached)
        )
        success = after.num_reached.astype(reward.dtype) / self.num_goals
        return swarm.Score(reward, success, after.num_reached >= self.num_goals)

    @cached_property
    def _surroundings(self) -> NeighborListSpecs:
        side = sizes.largest(self.arena_size) + 2 * self.box_padding
        large = sizes.largest(self.radius)
        return NeighborListSpecs.create(
            num_particles=self.num_particles,
            extent=(side, side),
            sensing_range=self.lidar_range,
            contact_range=large + max(large, self.load_radius),
            skin=0.5 * sizes.smallest(self.radius),
            num_bodies=self.num_particles + 1,
            room=self.neighbor_room,
            # They gather around the load.
            crowding=2.0,
            spacing=2 * min(sizes.smallest(self.radius), self.load_radius),
        )

    def world(self, state: CollectiveTransportState) -> dem.World:
        """Return the box, its material and the time step."""
        return dem.World.create(
            state.box_low,
            state.box_high,
            boundary="soft",
            stiffness=self.stiffness,
            dt=self.dt,
            drag=self.drag,
            restitution=self.restitution,
        )

    def _next_goal(self, key: Array, place: Array, size: Array) -> Array:
        """Return a goal ``(2,)`` in the arena, far enough from the last `place` if that can be."""
        room = size - self.load_radius
        goals = jax.random.uniform(key, (_DRAWS, 2), float, minval=self.load_radius, maxval=room)
        distance = jnp.linalg.norm(goals - place, axis=-1)
        # Among those that are far enough argmax takes the first.
        return goals[jnp.argmax(jnp.minimum(distance, self.goal_distance))]

    def _goal(self, targets: Array, num_reached: Array) -> Array:
        """Return the goal that is pursued, ``(2,)``; after the last one it stays."""
        return targets[jnp.minimum(num_reached, self.num_goals - 1)]

    def _distances(self, particles: dem.Particles, goal: Array) -> tuple[Array, Array]:
        """Return the load's distance to its goal, ``()``, and each particle's to its place behind it, ``(N,)``."""
        load, position = particles.position[-1], particles.position[:-1]
        behind = (self.load_radius + particles.radius[:-1])[:, None] * swarm.unit(goal - load)
        apart = position - (load - behind)
        return swarm.length(goal - load), swarm.length(apart)

    @compiled
    def _state(
        self,
        particles: dem.Particles,
        targets: Array,
        box_low: Array,
        box_high: Array,
        num_reached: Array,
        vicinity: NeighborLists | None,
    ) -> CollectiveTransportState:
        """Sense, and return the state at step 0."""
        position, load, reach = particles.position[:-1], particles.position[-1], self.lidar_range
        with jax.named_scope("lidar"):
            vicinity = self._surroundings.refresh(vicinity, position, box_low, box_high, bodies=particles.position)
            others = displacements(position, neighbors=vicinity.swarm)
            reading = lidar_with_walls(others, position, box_low, box_high, reach, self.n_lidar_rays)
        to_load, to_goal = load - position, self._goal(targets, num_reached) - load
        of_load = [swarm.unit(to_goal), swarm.shorten(to_goal, reach) / reach, particles.velocity[-1]]
        parts = [
            particles.velocity[:-1],
            swarm.unit(to_load),
            swarm.shorten(to_load, reach) / reach,
            jnp.broadcast_to(jnp.concatenate(of_load), (self.num_particles, 6)),
            reading / reach,
            *self.own_sizes(particles),
        ]
        return CollectiveTransportState(
            particles=particles,
            targets=targets,
            target_radius=jnp.full((self.num_goals,), self.tolerance),
            box_low=box_low,
            box_high=box_high,
            observation=jnp.concatenate(parts, axis=-1),
            num_reached=jnp.asarray(num_reached, jnp.int32),
            step_count=jnp.zeros((), jnp.int32),
            vicinity=vicinity,
        )
