"""Active Brownian discs: they push themselves along headings that turn at random, and may steer."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from jaxdem_ac import dem
from jaxdem_ac._checks import check_key
from jaxdem_ac.dem.time_step import check_box
from jaxdem_ac.environments import sizes, swarm
from jaxdem_ac.environments.base import Timestep, compiled
from jaxdem_ac.environments.baselines.active import AligningOracle, AligningScript
from jaxdem_ac.environments.checks import Count, NonNegative, Positive, check_count
from jaxdem_ac.environments.placement import jittered_grid
from jaxdem_ac.environments.sensing.lidar import Channel, displacements, in_own_frames, lidar, sum_over_sources
from jaxdem_ac.environments.sensing.neighbor_lists import LIST_FROM, NeighborLists, NeighborListSpecs
from jaxdem_ac.observation_layout import Block


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class ActiveBrownianState:
    """Places and headings of discs, and the noise to come."""

    particles: dem.Particles
    """N discs."""
    orientation: Array
    """Heading of each, ``(N,)``, radians from the x axis, with whole turns."""
    key: Array
    """Random key of the noise to come, ``(2,)`` of uint32, as `jax.random.key_data` has a threefry key."""
    box_low: Array
    """Lower corner of the box, ``(2,)``, length."""
    box_high: Array
    """Upper corner of the box, ``(2,)``, length."""
    observation: Array
    """``(N, O)``."""
    step_count: Array
    """Physics steps since the reset, ``()``."""
    vicinity: NeighborLists
    """Lists of neighbours, where the swarm is large enough for them."""


@dataclass(frozen=True, kw_only=True)
class ActiveBrownian(swarm.SwarmEnvironment[ActiveBrownianState]):
    r"""N discs in a periodic box, each driven along its heading, which noise turns, are to go the same way.

    An action ``(N, 1)`` is a turning rate in units of `max_turn_rate`, cut to [-1, 1]. At the beginning of a decision
    of length T it turns the heading, with noise,

    ``theta = theta' + max_turn_rate T action + sqrt(2 rotational_diffusion T) normal``,

    and a force ``drag speed e``, e the direction of theta, drives the disc against its drag: `speed` is that of a lone
    one. Without action these are active Brownian discs. The reward of disc i is the mean of ``e_i . e_j`` over all
    others j, and success the polar order ``|sum of e_i| / N``. The observation, in a disc's own frame, whose first axis
    is its heading, is

    ==========================  ==============
    heading: (1, 0)             2
    velocity                    2
    mean heading of the others  2
    lidar of the swarm          n_lidar_rays
    ==========================  ==============

    with the mean over others within `lidar_range`, 0 if there are none, and readings divided by that range. Episodes
    end only by their time limit.

    Notes
    -----
    Discs keep their speed for ``mass / drag``, and there is no noise of translation. The Peclet number ``3 speed /
    (diameter rotational_diffusion)`` is 40, at which, twice as dense, two phases begin to part (Siebert et al., PRE 98,
    030601, 2018).
    """

    num_particles: Count = 16
    """N."""
    box_size: Positive = 6.5
    """Side of the periodic box, length."""
    radius: sizes.Sizes = 0.5
    """Radius of the discs, or a range to draw each from, length."""
    mass: sizes.Sizes = 0.05
    """Mass of the discs, or a range to draw each from."""
    speed: Positive = 1.0
    """Speed of a lone disc, length / time."""
    rotational_diffusion: NonNegative = 0.075
    """Rate at which headings forget: they correlate as ``exp(-rotational_diffusion t)``, 1 / time."""
    max_turn_rate: Positive = 3.0
    """Largest turning rate of an action, radians / time."""
    drag: Positive = 1.0
    """Viscous drag, mass / time."""
    max_steps: Count = 4000
    """Length of an episode, in physics steps."""
    physics_steps: Count = 40
    """Physics steps for which an action is held: one decision."""
    lidar_range: Positive = 2.5
    """Sight to the nearest image of each other disc, length; from 48 discs on at most half of `box_size`."""
    n_lidar_rays: Count = 12
    """Sectors of the lidar, the first beginning behind."""
    dt: Positive = 2.5e-3
    """Time step of the engine, time."""
    stiffness: Positive = 100.0
    """Stiffness of contacts, force / length."""

    oracle = AligningOracle
    scripted = AligningScript
    success_name: ClassVar[str] = "polar order"
    observes: ClassVar[tuple[Block, ...]] = (
        Block("heading", "vector", 2),
        Block("velocity", "vector", 2),
        Block("mean heading of the others", "vector", 2),
    )
    action_kind: ClassVar[str] = "pseudoscalar"
    lidar_senses: ClassVar[tuple[str, ...]] = ("swarm",)
    room_lengths: ClassVar[tuple[str, ...]] = ("box_size",)

    def check_task(self, where: str) -> None:
        """Raise ValueError if the swarm does not fit, a lidar reaches too far or not enough, or dt is too coarse."""
        box, largest = (self.box_size, self.box_size), sizes.largest(self.radius)
        sizes.check_sight(where, self.lidar_range, self.radius)
        sight, side = self.lidar_range, self.box_size
        if self.num_particles >= LIST_FROM and sight > side / 2:
            raise ValueError(
                f"{where}: from {LIST_FROM} discs on, lidar_range <= box_size / 2; got lidar_range={sight:g}, "
                f"box_size={side:g}. Raise box_size or lower lidar_range."
            )
        check_box(where, box, [largest, largest], periodic=True)
        sizes.check_room(where, self.num_particles, box, largest, "Raise box_size, or lower num_particles.")
        self.check_physics(where, drag=self.drag, push=self.drag * self.speed, speed=self.speed)

    @property
    def action_size(self) -> int:
        """1."""
        return 1

    @property
    def lidars(self) -> tuple[Channel, ...]:
        """The place of the lidar's readings in an observation; its sectors turn with the disc."""
        return tuple(replace(each, turns=True) for each in super().lidars)

    @compiled
    def reset(self, key: Array) -> ActiveBrownianState:
        """Return a new episode: discs at their speed on a jittered grid, with headings at random."""
        self.check_key(key)
        key_place, key_turn, key_radius, key_mass, key_noise = jax.random.split(key, 5)
        size = jnp.full((2,), self.box_size)
        return self.make_state(
            position=jittered_grid(key_place, self.num_particles, size, sizes.largest(self.radius)),
            orientation=jax.random.uniform(key_turn, (self.num_particles,), float, minval=-jnp.pi, maxval=jnp.pi),
            radius=self.draw_sizes(key_radius, self.radius),
            mass=self.draw_sizes(key_mass, self.mass),
            key=key_noise,
        )

    def make_state(
        self,
        *,
        position: ArrayLike,
        orientation: ArrayLike,
        key: Array,
        velocity: ArrayLike | None = None,
        radius: ArrayLike | None = None,
        mass: ArrayLike | None = None,
        step_count: int = 0,
    ) -> ActiveBrownianState:
        """Return the state that explicit arrays describe, for replay and tests.

        Parameters
        ----------
        position : array, (N, 2), length
            The box is ``[0, box_size]`` along both axes.
        orientation : array, (N,), radians
            Headings, from the x axis.
        key : Array
            Random key of the noise to come.
        velocity : array, (N, 2) or broadcastable, length / time, optional
            That of lone discs if left out.
        radius, mass : array, (N,) or broadcastable, optional
            The environment's, in the middle of a range, if left out.
        step_count : int
            Physics steps already taken.

        Raises
        ------
        ValueError
            If a shape does not fit, a number is not finite, or a radius is larger or a mass smaller than the
            environment's.
        TypeError
            If `key` is none.
        """
        here, num = "ActiveBrownian.make_state", self.num_particles
        check_count(here, step_count=step_count)
        check_key(here, key)
        place, heading = (
            dem.particles.as_float("position", position),
            dem.particles.as_float("orientation", orientation),
        )
        for name, array, shape in (("position", place, (num, 2)), ("orientation", heading, (num,))):
            if array.shape != shape:
                raise ValueError(f"{here}: {name} is {shape}; got shape {array.shape}. Match num_particles.")
        velocity = self.speed * _direction(heading) if velocity is None else velocity
        particles = dem.Particles.create(place, velocity, *self.sizes_or_middle(radius, mass))
        self.check_sizes(here, particles)
        # Of its own kind, whatever that of the key is.
        state = self._state(particles, heading, jax.random.bits(key, (2,), jnp.uint32), None)
        return replace(state, step_count=jnp.asarray(step_count, jnp.int32))

    @compiled
    def step(self, state: ActiveBrownianState, action: Array) -> tuple[ActiveBrownianState, Timestep]:
        """Return the state and the timestep after one decision, at whose beginning headings turn."""
        self.check_state(state)
        self.check_action(action)
        key, key_turn = jax.random.split(jax.random.wrap_key_data(state.key, impl="threefry2x32"))
        noise = jax.random.normal(key_turn, state.orientation.shape, state.orientation.dtype)
        turn = self.max_turn_rate * self.decision_time * jnp.clip(action[:, 0], -1.0, 1.0)
        turned = state.orientation + turn + np.sqrt(2 * self.rotational_diffusion * self.decision_time) * noise
        return super().step(replace(state, orientation=turned, key=jax.random.key_data(key)), action)

    def apply(self, state: ActiveBrownianState, action: Array) -> swarm.Drive:
        """Return the force ``drag speed e`` along the headings."""
        return swarm.Drive(self.drag * self.speed * _direction(state.orientation))

    def world(self, state: ActiveBrownianState | None = None) -> dem.World:
        """Return the periodic box, its material and the time step."""
        corners = jnp.zeros((2,)), jnp.full((2,), self.box_size)
        return dem.World.create(*corners, "periodic", stiffness=self.stiffness, dt=self.dt, drag=self.drag)

    def sense(
        self, particles: dem.Particles, before: ActiveBrownianState, vicinity: NeighborLists
    ) -> ActiveBrownianState:
        """Return the state after a decision."""
        return self._state(particles, before.orientation, before.key, vicinity)

    def score(self, before: ActiveBrownianState, after: ActiveBrownianState) -> swarm.Score:
        """Return how far each goes the way of the others, and the polar order."""
        heading, num = _direction(after.orientation), self.num_particles
        total = jnp.sum(heading, axis=0)
        reward = (heading @ total - 1) / max(num - 1, 1)
        return swarm.Score(reward, jnp.minimum(swarm.length(total) / num, 1.0))

    @cached_property
    def _surroundings(self) -> NeighborListSpecs:
        """Specifications of the neighbour lists."""
        return NeighborListSpecs.create(
            num_particles=self.num_particles,
            extent=(self.box_size, self.box_size),
            sensing_range=self.lidar_range,
            contact_range=2 * sizes.largest(self.radius),
            skin=0.5 * sizes.smallest(self.radius),
            periodic=True,
            room=self.neighbor_room,
            spacing=2 * sizes.smallest(self.radius),
        )

    @compiled
    def _state(
        self, particles: dem.Particles, orientation: Array, key: Array, vicinity: NeighborLists | None
    ) -> ActiveBrownianState:
        """Sense, and return the state at step 0."""
        position, world = particles.position, self.world()
        with jax.named_scope("lidar"):
            vicinity = self._surroundings.refresh(vicinity, position, world.box_low, world.box_high)
            sight = displacements(position, neighbors=vicinity.swarm, world=world)
            sight = in_own_frames(sight, orientation)
            readings = lidar(sight, self.lidar_range, self.n_lidar_rays) / self.lidar_range
        heading, seen = _direction(orientation), sight.distance < self.lidar_range
        sums = [sum_over_sources(sight, jnp.where(seen, each[sight.source], 0.0)) for each in heading.T]
        count = sum_over_sources(sight, seen.astype(position.dtype))
        mean = jnp.column_stack(sums) / jnp.maximum(count, 1.0)[:, None]
        # Components along the heading and to its left.
        axes = jnp.stack([heading, jnp.column_stack([-heading[:, 1], heading[:, 0]])], axis=1)
        own = [jnp.einsum("nij,nj->ni", axes, each) for each in (heading, particles.velocity, mean)]
        return ActiveBrownianState(
            particles=particles,
            orientation=orientation,
            key=key,
            box_low=world.box_low,
            box_high=world.box_high,
            observation=jnp.concatenate([*own, readings, *self.own_sizes(particles)], axis=-1),
            step_count=jnp.zeros((), jnp.int32),
            vicinity=vicinity,
        )


def _direction(angle: Array) -> Array:
    """Return unit vectors at angles ``(N,)`` from the x axis, ``(N, 2)``."""
    return jnp.column_stack([jnp.cos(angle), jnp.sin(angle)])
