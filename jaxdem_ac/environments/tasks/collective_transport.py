"""A swarm that pushes together what none of it can push alone."""

from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jaxdem_ac import dem
from jaxdem_ac.dem.neighbor_list import Neighbors
from jaxdem_ac.environments import swarm
from jaxdem_ac.environments.base import Timestep
from jaxdem_ac.environments.checks import check_count, check_number, check_whole
from jaxdem_ac.environments.placement import ring
from jaxdem_ac.environments.sensing.lidar import lidar, look, wall_lidar
from jaxdem_ac.environments.sensing.neighbor_lists import Surroundings, Vicinity

# A goal is the first of so many draws that is far enough, or else the farthest.
_DRAWS = 16


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class CollectiveTransportState:
    """Where everything is, and what the last decision left."""

    particles: dem.Particles
    """N + 1 discs: the swarm, and last the load."""
    targets: Array
    """Goals of the load, in order, ``(G, 2)``, length."""
    target_radius: Array
    """Distance from a goal within which the load's centre has reached it, ``(G,)``, length."""
    box_low: Array
    """Lower corner of the box, ``(2,)``, length."""
    box_high: Array
    """Upper corner of the box, ``(2,)``, length."""
    observation: Array
    """``(N, O)``."""
    num_reached: Array
    """Goals that have been reached, ``()``; the next one is pursued."""
    step_count: Array
    """Physics steps since the reset, ``()``."""
    vicinity: Vicinity
    """Lists of neighbours, where the swarm is large enough for them."""

    @property
    def reached(self) -> Array:
        """Which goals have been reached, ``(G,)`` of bool."""
        return jnp.arange(self.targets.shape[-2]) < self.num_reached[..., None]


@dataclass(frozen=True, kw_only=True)
class CollectiveTransport(swarm.SwarmTask):
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

    num_particles: int = 16
    """N, without the load."""
    num_goals: int = 1
    """G, goals of one episode."""
    arena_size: swarm.Sizes = 14.0
    """Side of the square in which the load and its goals lie, or a range to draw it from, length."""
    box_padding: float = 6.0
    """Width of the ring around it, within the box, in which the swarm starts, length."""
    goal_distance: float = 6.0
    """Least distance from one goal, at first the load, to the next, length; as far as the arena allows."""
    tolerance: float = 1.0
    """Distance from its goal within which the load's centre has reached it, length."""
    radius: swarm.Sizes = 1.0
    """Of the particles, or a range to draw each from, length."""
    mass: swarm.Sizes = 1.0
    """Of the particles, or a range to draw each from."""
    load_radius: float = 3.0
    """Length."""
    load_mass: float = 10.0
    """Mass."""
    load_friction: float = 7.5
    """The most force with which the ground holds the load."""
    max_force: float = 3.0
    """Of one particle."""
    drag: float = 1.0
    """Viscous drag, mass / time."""
    restitution: float = 0.5
    """Of contacts, in [0, 1]."""
    max_steps: int = 3000
    """Length of an episode, in physics steps."""
    physics_steps: int = 20
    """Physics steps for which an action is held: one decision."""
    progress_weight: float = 1.0
    """Of the load's progress, per length."""
    approach_weight: float = 0.1
    """Of a particle's own approach, per length."""
    goal_bonus: float = 5.0
    """For all, when a goal is reached."""
    lidar_range: float = 8.0
    """Length."""
    n_lidar_rays: int = 16
    """Sectors of the lidar."""
    dt: float = 1e-2
    """Time step of the engine, time."""
    stiffness: float = 1e3
    """Of contacts, force / length."""

    success_name: ClassVar[str] = "goals reached"
    lidar_senses: ClassVar[tuple[str, ...]] = ("swarm and walls",)
    room_lengths: ClassVar[tuple[str, ...]] = ("arena_size", "box_padding")

    def __post_init__(self) -> None:
        """Check every field, once."""
        here = "CollectiveTransport"
        self.check_swarm(here)
        swarm.freeze_sizes(here, self, "arena_size")
        check_whole(
            here,
            num_particles=self.num_particles,
            num_goals=self.num_goals,
            max_steps=self.max_steps,
            physics_steps=self.physics_steps,
            n_lidar_rays=self.n_lidar_rays,
        )
        check_number(
            here,
            positive=True,
            box_padding=self.box_padding,
            tolerance=self.tolerance,
            load_radius=self.load_radius,
            load_mass=self.load_mass,
            max_force=self.max_force,
            lidar_range=self.lidar_range,
            dt=self.dt,
            stiffness=self.stiffness,
            neighbor_room=self.neighbor_room,
        )
        check_number(
            here, least=0.0, load_friction=self.load_friction, drag=self.drag, goal_distance=self.goal_distance
        )
        check_number(
            here,
            progress_weight=self.progress_weight,
            approach_weight=self.approach_weight,
            goal_bonus=self.goal_bonus,
        )
        check_number(here, least=0.0, most=1.0, restitution=self.restitution)
        arena, radius = swarm.smallest(self.arena_size), swarm.largest(self.radius)
        if arena < 2 * self.load_radius:
            raise ValueError(
                f"{here}: the load fits into the arena; got arena_size={self.arena_size}, "
                f"load_radius={self.load_radius}. Raise arena_size."
            )
        quarter = self.num_particles // 4
        advice = "Raise arena_size or box_padding, or lower num_particles."
        swarm.check_room(here, quarter, (self.box_padding, arena + 2 * self.box_padding), radius, advice)
        swarm.check_room(here, self.num_particles - 3 * quarter, (arena, self.box_padding), radius, advice)
        self.check_physics(here, drag=self.drag, restitution=self.restitution)

    @property
    def inverse_masses_besides(self) -> tuple[float, ...]:
        """Of the load."""
        return (1 / self.load_mass,)

    @property
    def observation_size(self) -> int:
        """12 + n_lidar_rays, and 2 more with `observe_sizes`."""
        return 12 + self.n_lidar_rays + self.sizes_observed

    @partial(jax.jit, static_argnums=0)
    def reset(self, key: Array) -> CollectiveTransportState:
        """Return a new episode: load and goals anywhere in the arena, the swarm in the ring around it.

        Parameters
        ----------
        key : Array
            Random key.
        """
        self.check_key(key)
        key_size, key_load, key_goals, key_ring, key_order, key_radius, key_mass = jax.random.split(key, 7)
        shortest, longest = swarm.ends(self.arena_size)
        side = jax.random.uniform(key_size, (1,), float, minval=shortest, maxval=longest)
        size = jnp.broadcast_to(side, (2,))
        scale = swarm.largest(self.radius)
        position = ring(key_ring, self.num_particles, size, self.box_padding, scale)
        position = jax.random.permutation(key_order, position)
        load = jax.random.uniform(key_load, (2,), float, minval=self.load_radius, maxval=size - self.load_radius)
        particles = dem.Particles.create(
            jnp.concatenate([position, load[None]]),
            radius=jnp.append(self.draw_sizes(key_radius, self.radius), self.load_radius),
            mass=jnp.append(self.draw_sizes(key_mass, self.mass), self.load_mass),
        )
        goals = []
        place = load
        for key_goal in jax.random.split(key_goals, self.num_goals):
            place = self._next_goal(key_goal, place, size)
            goals.append(place)
        low, high = jnp.full((2,), -self.box_padding), size + self.box_padding
        return self._state(particles, jnp.stack(goals), low, high, jnp.zeros((), jnp.int32), None)

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

        Parameters
        ----------
        position : array, (N, 2), length
            Of the swarm.
        load : array, (2,), length
            The load's centre.
        targets : array, (G, 2), length
            Its goals, in order.
        box_low, box_high : array, (2,), length
        velocity : array, (N, 2) or broadcastable
        load_velocity : array, (2,) or broadcastable
        radius, mass : array, (N,) or broadcastable, optional
            Of the swarm; the environment's, in the middle of a range, if left out.
        num_reached, step_count : int
            Goals already reached, and physics steps already taken.

        Raises
        ------
        ValueError
            If a shape does not fit a number is not finite, or a radius is larger than the environment's.
        """
        check_count("CollectiveTransport.make_state", num_reached=num_reached, step_count=step_count)
        as_float = dem.particles.as_float
        place, load, targets = as_float("position", position), as_float("load", load), as_float("targets", targets)
        num = self.num_particles
        for name, array, shape in (
            ("position", place, (num, 2)),
            ("load", load, (2,)),
            ("targets", targets, (self.num_goals, 2)),
        ):
            if array.shape != shape:
                raise ValueError(
                    f"CollectiveTransport.make_state: {name} is {shape}; got shape {array.shape}. "
                    "Match num_particles and num_goals."
                )

        def with_load(values: ArrayLike | None, sizes: swarm.Sizes, of_load: float) -> Array:
            values = self.middle(sizes) if values is None else values
            return jnp.append(jnp.broadcast_to(jnp.asarray(values, float), (num,)), of_load)

        velocity = jnp.broadcast_to(jnp.asarray(velocity, float), (num, 2))
        load_velocity = jnp.broadcast_to(jnp.asarray(load_velocity, float), (1, 2))
        particles = dem.Particles.create(
            jnp.concatenate([place, load[None]]),
            jnp.concatenate([velocity, load_velocity]),
            with_load(radius, self.radius, self.load_radius),
            with_load(mass, self.mass, self.load_mass),
        )
        swarm.check_radius("CollectiveTransport.make_state", particles.radius[:-1], self.radius)
        world = dem.World.create(box_low, box_high)
        swarm.check_room_of("CollectiveTransport.make_state", world, particles)
        count = jnp.asarray(num_reached, jnp.int32)
        state = self._state(particles, targets, world.box_low, world.box_high, count, None)
        return replace(state, step_count=jnp.asarray(step_count, jnp.int32))

    @partial(jax.jit, static_argnums=0)
    def step(self, state: CollectiveTransportState, action: Array) -> tuple[CollectiveTransportState, Timestep]:
        """Return the state and the timestep after one decision.

        Parameters
        ----------
        state : CollectiveTransportState
        action : Array, (N, 2)
            Forces in units of `max_force`, cut to length 1.
        """
        self.check_state(state)
        self.check_action(action)
        particles, contacts = self._advance(state, self.max_force * swarm.shorten(action, 1.0))
        goal = self._goal(state)
        distance, apart = self._distances(particles, goal)
        distance_before, apart_before = self._distances(state.particles, goal)
        hit = (distance <= self.tolerance) & (state.num_reached < self.num_goals)
        new = self._state(
            particles,
            state.targets,
            state.box_low,
            state.box_high,
            state.num_reached + hit,
            replace(state.vicinity, contacts=contacts),
        )
        new = replace(new, step_count=state.step_count + self.physics_steps)
        reward = (
            self.progress_weight * (distance_before - distance)
            + self.approach_weight * (apart_before - apart)
            + self.goal_bonus * hit
        )
        terminated = new.num_reached >= self.num_goals
        return new, Timestep(
            observation=new.observation,
            reward=reward,
            terminated=terminated,
            truncated=(new.step_count >= self.max_steps) & ~terminated,
            info={
                "success": new.num_reached.astype(reward.dtype) / self.num_goals,
                "overflow": self._surroundings.overflow(new.vicinity),
            },
        )

    @cached_property
    def _surroundings(self) -> Surroundings:
        """Specifications of the neighbour lists."""
        side = swarm.largest(self.arena_size) + 2 * self.box_padding
        large = swarm.largest(self.radius)
        return Surroundings.create(
            num_particles=self.num_particles,
            extent=(side, side),
            sensing_range=self.lidar_range,
            contact_range=large + max(large, self.load_radius),
            skin=0.5 * swarm.smallest(self.radius),
            num_bodies=self.num_particles + 1,
            # They gather around the load.
            room=2 * self.neighbor_room,
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

    def _advance(self, state: CollectiveTransportState, force: Array) -> tuple[dem.Particles, Neighbors | None]:
        """Return the particles after one decision under forces ``(N, 2)``, and the list of contacts."""
        # A quarter of what would stop the load in one step: it sticks, and the explicit step is stable.
        sticking = 0.25 * self.load_mass / self.dt

        pushed = [jnp.append(force[:, axis], 0.0) for axis in range(2)]

        def with_ground(particles: dem.Columns) -> list[Array]:
            wanted = jnp.stack([-sticking * component[-1] for component in particles.velocity])
            ground = swarm.shorten(wanted, self.load_friction)
            return [component.at[-1].set(ground[axis]) for axis, component in enumerate(pushed)]

        return dem.advance(
            self.world(state),
            state.particles,
            with_ground,
            self.physics_steps,
            None,
            self._surroundings.contacts,
            state.vicinity.contacts,
            self.engine,
        )

    def _next_goal(self, key: Array, place: Array, size: Array) -> Array:
        """Return a goal ``(2,)`` in the arena, far enough from the last `place` if that can be."""
        room = size - self.load_radius
        goals = jax.random.uniform(key, (_DRAWS, 2), float, minval=self.load_radius, maxval=room)
        distance = jnp.linalg.norm(goals - place, axis=-1)
        # Among those that are far enough argmax takes the first.
        return goals[jnp.argmax(jnp.minimum(distance, self.goal_distance))]

    def _goal(self, state: CollectiveTransportState) -> Array:
        """Return the goal that is pursued, ``(2,)``; after the last one it stays."""
        return state.targets[jnp.minimum(state.num_reached, self.num_goals - 1)]

    def _distances(self, particles: dem.Particles, goal: Array) -> tuple[Array, Array]:
        """Return the load's distance to its goal, ``()``, and each particle's to its place behind it, ``(N,)``."""
        load, position = particles.position[-1], particles.position[:-1]
        behind = (self.load_radius + particles.radius[:-1])[:, None] * swarm.unit(goal - load)
        apart = position - (load - behind)
        return jnp.sqrt(jnp.sum((goal - load) ** 2)), jnp.sqrt(jnp.sum(apart**2, axis=-1))

    @partial(jax.jit, static_argnums=0)
    def _state(
        self,
        particles: dem.Particles,
        targets: Array,
        box_low: Array,
        box_high: Array,
        num_reached: Array,
        vicinity: Vicinity | None,
    ) -> CollectiveTransportState:
        """Sense, and return the state at step 0."""
        position, load = particles.position[:-1], particles.position[-1]
        around = self._surroundings
        with jax.named_scope("lidar"):
            vicinity = around.begin(position, particles.position) if vicinity is None else vicinity
            vicinity = around.refresh(vicinity, position, box_low, box_high)
            reading = jnp.maximum(
                lidar(look(position, neighbors=vicinity.swarm), self.lidar_range, self.n_lidar_rays),
                wall_lidar(position, box_low, box_high, self.lidar_range, self.n_lidar_rays),
            )
        state = CollectiveTransportState(
            particles=particles,
            targets=targets,
            target_radius=jnp.full((self.num_goals,), self.tolerance),
            box_low=box_low,
            box_high=box_high,
            observation=reading,
            num_reached=jnp.asarray(num_reached, jnp.int32),
            step_count=jnp.zeros((), jnp.int32),
            vicinity=vicinity,
        )
        to_load, to_goal = load - position, self._goal(state) - load
        of_load = jnp.concatenate(
            [swarm.unit(to_goal), swarm.shorten(to_goal, self.lidar_range) / self.lidar_range, particles.velocity[-1]]
        )
        parts = [
            particles.velocity[:-1],
            swarm.unit(to_load),
            swarm.shorten(to_load, self.lidar_range) / self.lidar_range,
            jnp.broadcast_to(of_load, (self.num_particles, 6)),
            reading / self.lidar_range,
            *self.own_sizes(particles),
        ]
        return replace(state, observation=jnp.concatenate(parts, axis=-1))
