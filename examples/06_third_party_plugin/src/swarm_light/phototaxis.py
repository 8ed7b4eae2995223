"""A swarm that looks for light, and stands in its own."""

import math
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jaxdem_ac import dem
from jaxdem_ac.environments.base import Environment, Timestep
from jaxdem_ac.environments.checks import check_number, check_whole
from jaxdem_ac.environments.placement import jittered_grid
from jaxdem_ac.environments.sensing.lidar import lidar, look, wall_lidar


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class PhototaxisState:
    """Where everything is, and how much light it has."""

    particles: dem.Particles
    """N discs."""
    sun: Array
    """Unit vector towards the light, ``(2,)``."""
    box_low: Array
    """Lower corner of the box, ``(2,)``, length."""
    box_high: Array
    """Upper corner of the box, ``(2,)``, length."""
    observation: Array
    """``(N, O)``."""
    light: Array
    """Share of its width that is lit, of each disc, ``(N,)``."""
    highlight: Array
    """Which discs are in full light, ``(N,)`` of bool; a picture shows them in another colour."""
    step_count: Array
    """Physics steps since the reset, ``()``."""


@dataclass(frozen=True, kw_only=True)
class Phototaxis(Environment):
    r"""N active discs live of light that comes from one side, and shade each other.

    An action ``(N, 2)`` is a velocity in units of `swim_speed`, cut to length 1, towards which drag and thrust carry a
    disc; it is held for `physics_steps` steps of the engine. A disc harvests the light that falls on its width and
    pays for its thrust, and of what is left shares a part with all:

    ``e_i = decision_time (L_i - effort |a_i|**2)``,   ``reward_i = (1 - sharing) e_i + sharing mean_j e_j``

    with L_i the share of `num_eyes` points, evenly spread over disc i's width across the light, between which and the
    sun there is no other disc. The observation is

    ==============================================  ============
    unit vector towards the sun                     2
    velocity, in units of `swim_speed`              2
    whether each eye is lit, from left to right     num_eyes
    lidar of the swarm, walls, divided by range     n_lidar_rays
    ==============================================  ============

    Success is the mean of L. The swarm starts as a heap, which shades most of itself; in a row across the light all
    are lit. Episodes end only by their time limit.

    Notes
    -----
    All pairs are looked at: for swarms of up to a hundred.
    """

    num_particles: int = 12
    """N."""
    box_size: float = 30.0
    """Side of the square box, length."""
    radius: float = 1.0
    """Of the discs, length."""
    max_tilt: float = 0.5
    """The sun stands up to this angle from the vertical, drawn at a reset, radians."""
    swim_speed: float = 3.0
    """Length / time."""
    drag: float = 2.0
    """Viscous drag, mass / time; the mass is 1."""
    effort: float = 0.1
    """What the full thrust costs, in units of full light."""
    sharing: float = 0.5
    """How much of its harvest a disc shares, in [0, 1]."""
    num_eyes: int = 8
    """Points on each disc that see whether they are lit."""
    lidar_range: float = 8.0
    """Length."""
    n_lidar_rays: int = 16
    """Sectors of the lidar."""
    max_steps: int = 3000
    """Length of an episode, in physics steps."""
    physics_steps: int = 20
    """Physics steps for which an action is held: one decision."""
    dt: float = 1e-2
    """Time step of the engine, time."""
    stiffness: float = 1e3
    """Of contacts, force / length."""

    action_space_defaults: ClassVar[dict[str, dict[str, Any]]] = {"Box": {"x_min": -1.0, "x_max": 1.0}}
    success_name: ClassVar[str] = "light"

    def __post_init__(self) -> None:
        """Check every field, once."""
        here = type(self).__name__
        for name in ("num_particles", "num_eyes", "n_lidar_rays", "max_steps", "physics_steps"):
            check_whole(here, **{name: getattr(self, name)})
        for name in ("box_size", "radius", "swim_speed", "drag", "lidar_range", "dt", "stiffness"):
            check_number(here, positive=True, **{name: getattr(self, name)})
        for name in ("max_tilt", "effort", "sharing"):
            check_number(here, least=0.0, **{name: getattr(self, name)})
        if self.sharing > 1:
            raise ValueError(f"{here}: sharing is at most 1; got sharing={self.sharing}. Lower it.")
        if self._heap_size > self.box_size:
            raise ValueError(
                f"{here}: the swarm starts in a heap of side {self._heap_size:g}; got box_size={self.box_size}. "
                "Raise it."
            )

    @property
    def observation_size(self) -> int:
        """4 + num_eyes + n_lidar_rays."""
        return 4 + self.num_eyes + self.n_lidar_rays

    @property
    def action_size(self) -> int:
        """2."""
        return 2

    @property
    def episode_length(self) -> int:
        """Decisions in `max_steps` physics steps, the last one begun in full."""
        return -(-self.max_steps // self.physics_steps)

    @property
    def decision_time(self) -> float:
        """``physics_steps * dt``."""
        return self.physics_steps * self.dt

    @property
    def _heap_size(self) -> float:
        """Side of the square in which the swarm starts, length."""
        return 2.4 * self.radius * math.ceil(math.sqrt(self.num_particles))

    def world(self, state: PhototaxisState) -> dem.World:
        """Return the world that the discs of a state move in."""
        return dem.World.create(
            state.box_low,
            state.box_high,
            boundary="soft",
            stiffness=self.stiffness,
            dt=self.dt,
            drag=self.drag,
            restitution=0.5,
        )

    @partial(jax.jit, static_argnums=0)
    def reset(self, key: Array) -> PhototaxisState:
        """Return a new episode: a heap in the middle of the box, and a sun.

        Parameters
        ----------
        key : Array
            Random key.
        """
        key_position, key_sun = jax.random.split(key)
        heap = jittered_grid(key_position, self.num_particles, jnp.full((2,), self._heap_size), self.radius)
        tilt = jax.random.uniform(key_sun, (), float, -self.max_tilt, self.max_tilt)
        return self.make_state(position=heap + (self.box_size - self._heap_size) / 2, tilt=tilt)

    def make_state(self, *, position: ArrayLike, velocity: ArrayLike = 0.0, tilt: ArrayLike = 0.0) -> PhototaxisState:
        """Return the state that explicit arrays describe, for replay and tests.

        Parameters
        ----------
        position : array, (N, 2), length
        velocity : array, (N, 2) or broadcastable, length / time
        tilt : float, radians
            Of the sun, from the vertical to the right.
        """
        tilt = jnp.asarray(tilt, float)
        particles = dem.Particles.create(position, velocity, self.radius)
        return self._sense(particles, jnp.stack([jnp.sin(tilt), jnp.cos(tilt)]), jnp.zeros((), jnp.int32))

    @partial(jax.jit, static_argnums=0)
    def step(self, state: PhototaxisState, action: Array) -> tuple[PhototaxisState, Timestep]:
        """Return the state and the timestep after one decision.

        Parameters
        ----------
        state : PhototaxisState
        action : Array, (N, 2)
            Velocities in units of `swim_speed`, cut to length 1.
        """
        self.check_action(action)
        square = jnp.sum(action**2, axis=-1)
        thrust = action * jax.lax.rsqrt(jnp.maximum(1.0, square))[:, None]
        force = self.drag * self.swim_speed * thrust
        particles, _ = dem.advance(self.world(state), state.particles, force, self.physics_steps)
        new = self._sense(particles, state.sun, state.step_count + self.physics_steps)
        harvest = self.decision_time * (new.light - self.effort * jnp.minimum(1.0, square))
        return new, Timestep(
            observation=new.observation,
            reward=(1 - self.sharing) * harvest + self.sharing * jnp.mean(harvest),
            terminated=jnp.zeros((), bool),
            truncated=new.step_count >= self.max_steps,
            info={"success": jnp.mean(new.light)},
        )

    @partial(jax.jit, static_argnums=0)
    def _sense(self, particles: dem.Particles, sun: Array, step_count: Array) -> PhototaxisState:
        """Return the state that these particles are in."""
        position, velocity = particles.position, particles.velocity
        low, high = jnp.zeros((2,)), jnp.full((2,), self.box_size)
        lit = lit_eyes(position, particles.radius, sun, self.num_eyes)
        reading = jnp.maximum(
            lidar(look(position), self.lidar_range, self.n_lidar_rays),
            wall_lidar(position, low, high, self.lidar_range, self.n_lidar_rays),
        )
        parts = (
            jnp.broadcast_to(sun, position.shape),
            velocity / self.swim_speed,
            lit.astype(position.dtype),
            reading / self.lidar_range,
        )
        return PhototaxisState(
            particles=particles,
            sun=sun,
            box_low=low,
            box_high=high,
            observation=jnp.concatenate(parts, axis=-1),
            light=jnp.mean(lit.astype(position.dtype), axis=-1),
            highlight=jnp.all(lit, axis=-1),
            step_count=step_count,
        )


def lit_eyes(position: Array, radius: Array, sun: Array, num_eyes: int) -> Array:
    """Return which eyes no other disc shades, ``(N, num_eyes)`` of bool, from left to right as seen facing the sun.

    Parameters
    ----------
    position : Array, (N, 2), length
    radius : Array, (N,), length
    sun : Array, (2,)
        Unit vector towards the light.
    num_eyes : int
        In the middle of as many equal parts of a disc's width.
    """
    across = position @ jnp.stack([sun[1], -sun[0]])
    height = position @ sun
    places = (2 * jnp.arange(num_eyes) + 1) / num_eyes - 1
    eyes = across[:, None] + radius[:, None] * places
    above = height[None, :] > height[:, None]
    over = jnp.abs(eyes[:, None, :] - across[None, :, None]) < radius[None, :, None]
    return ~jnp.any(above[:, :, None] & over, axis=1)
