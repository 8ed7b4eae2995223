"""A swarm in which every particle has a target of its own."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jaxdem_ac import dem
from jaxdem_ac.environments.base import Timestep
from jaxdem_ac.environments.lidar import lidar, look, wall_lidar
from jaxdem_ac.environments.navigator import Navigator
from jaxdem_ac.environments.placement import jittered_grid
from jaxdem_ac.environments.surroundings import Surroundings, Vicinity


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class MultiNavigatorState:
    """Where everything is, and what the last decision left."""

    particles: dem.Particles
    """N discs."""
    targets: Array
    """Of each particle, ``(N, 2)``, length."""
    box_low: Array
    """Lower corner of the box, ``(2,)``, length."""
    box_high: Array
    """Upper corner of the box, ``(2,)``, length."""
    observation: Array
    """``(N, O)``."""
    distance: Array
    """From each particle to its target, ``(N,)``, length."""
    kinetic_energy: Array
    """``(N,)``, energy."""
    step_count: Array
    """Physics steps since the reset, ``()``."""
    vicinity: Vicinity
    """Lists of neighbours, where the swarm is large enough for them."""


@dataclass(frozen=True, kw_only=True)
class MultiNavigator(Navigator):
    r"""N discs in a reflecting box go to a target each, by force.

    An action is a force ``(N, 2)``, held for `physics_steps` steps of the engine. The reward of particle i is

    ``(P_i - P_i') - ke_weight (K_i - K_i') + coop_weight mean_j (P_j - P_j') + near_goal_bonus [d_i <= 2.5 R_i]``

    with ``P_i = exp(-2 max(0, d_i - R_i / 2))``, d_i the distance to its target, K the kinetic energy; primes are from
    before the decision. The observation is

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
    that :class:`~jaxdem_ac.environments.swarm_navigator.SwarmNavigator` states.
    """

    box_padding: float = 5.0
    """How much larger the box is than the region of the targets, length."""
    lidar_range: float = 6.0
    """Length."""
    n_lidar_rays: int = 16
    """Sectors of the lidar."""

    success_name: ClassVar[str] = "at target"
    training_defaults: ClassVar[dict[str, Any]] = {"num_particles": 16, "physics_steps": 50, "max_steps": 5000}
    action_space_defaults: ClassVar[dict[str, dict[str, Any]]] = {
        "MaxNorm": {"max_norm": 10.0},
        "Box": {"x_min": -10.0, "x_max": 10.0},
    }

    @property
    def observation_size(self) -> int:
        """6 + n_lidar_rays."""
        return 6 + self.n_lidar_rays

    def reset(self, key: Array) -> MultiNavigatorState:
        """Return a new episode: particles and targets on jittered grids, targets assigned at random.

        Parameters
        ----------
        key : Array
            Random key.
        """
        key_box, key_position, key_targets, key_assignment = jax.random.split(key, 4)
        size = jax.random.uniform(key_box, (2,), float, minval=self.min_box_size, maxval=self.max_box_size)
        margin = self.box_padding / 2
        position = jittered_grid(key_position, self.num_particles, size + self.box_padding) - margin
        targets = jittered_grid(key_targets, self.num_particles, size)
        return self._state(
            dem.Particles.create(position),
            targets=jax.random.permutation(key_assignment, targets),
            box_low=jnp.full((2,), -margin),
            box_high=size + margin,
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
        radius: ArrayLike = 1.0,
        mass: ArrayLike = 1.0,
        kinetic_energy: ArrayLike | None = None,
        step_count: int = 0,
    ) -> MultiNavigatorState:
        """Return the state that explicit arrays describe, for replay and tests.

        Parameters
        ----------
        position, targets : array, (N, 2), length
            ``targets[i]`` is particle i's.
        box_low, box_high : array, (2,), length
        velocity, force : array, (N, 2) or broadcastable
            `force` is what the particles felt in the last step.
        radius, mass : array, (N,) or broadcastable
        kinetic_energy : array, (N,), energy, optional
            What the next reward compares with; that of `velocity` if left out.
        step_count : int
            Physics steps already taken.

        Raises
        ------
        ValueError
            If a shape does not fit or a number is not finite.
        """
        particles = dem.Particles.create(position, velocity, radius, mass, force)
        targets, low, high = self.check_placement(particles, targets, box_low, box_high)
        state = replace(self._state(particles, targets, low, high), step_count=jnp.asarray(step_count, jnp.int32))
        if kinetic_energy is None:
            return state
        kinetic_energy = dem.particles.as_float("kinetic_energy", kinetic_energy)
        return replace(state, kinetic_energy=jnp.broadcast_to(kinetic_energy, (self.num_particles,)))

    def step(self, state: MultiNavigatorState, action: Array) -> tuple[MultiNavigatorState, Timestep]:
        """Return the state and the timestep after one decision.

        Parameters
        ----------
        state : MultiNavigatorState
        action : Array, (N, 2), force
            Held for `physics_steps` steps; drag is added to it.
        """
        self.check_action(action)
        world = self.world(state.box_low, state.box_high)
        around = self._surroundings
        particles, contacts = dem.advance(
            world, state.particles, action, self.physics_steps, None, around.contacts, state.vicinity.contacts
        )
        vicinity = replace(state.vicinity, contacts=contacts)
        new = self._state(particles, state.targets, state.box_low, state.box_high, vicinity)
        new = replace(new, step_count=state.step_count + self.physics_steps)
        radius = particles.radius
        progress = _potential(new.distance, radius) - _potential(state.distance, radius)
        reward = (
            progress
            - self.ke_weight * (new.kinetic_energy - state.kinetic_energy)
            + self.coop_weight * jnp.mean(progress)
            + self.near_goal_bonus * (new.distance <= 2.5 * radius)
        )
        return new, Timestep(
            observation=new.observation,
            reward=reward,
            terminated=jnp.zeros((), bool),
            truncated=new.step_count >= self.max_steps,
            info={
                "success": jnp.mean((new.distance <= radius).astype(reward.dtype)),
                "overflow": around.overflow(new.vicinity),
            },
        )

    @cached_property
    def _surroundings(self) -> Surroundings:
        """What lists of neighbours the swarm needs."""
        size = self.max_box_size + self.box_padding
        return Surroundings.create(
            num_particles=self.num_particles,
            extent=(size, size),
            largest_radius=1.0,
            sensing_range=self.lidar_range,
            capacity=self.sensing_capacity,
        )

    def _state(
        self,
        particles: dem.Particles,
        targets: Array,
        box_low: Array,
        box_high: Array,
        vicinity: Vicinity | None = None,
    ) -> MultiNavigatorState:
        """Sense, and return the state at step 0."""
        with jax.named_scope("lidar"):
            position = particles.position
            vicinity = self._surroundings.refresh(vicinity, position, box_low, box_high)
            reading = jnp.maximum(
                lidar(
                    look(position, position, vicinity.swarm_index, among_themselves=True),
                    self.lidar_range,
                    self.n_lidar_rays,
                ),
                wall_lidar(position, box_low, box_high, self.lidar_range, self.n_lidar_rays),
            )
        offset = position - targets
        distance = jnp.sqrt(jnp.sum(offset**2, axis=-1))
        direction = offset / jnp.where(distance > 0, distance, 1.0)[:, None]
        parts = (direction, jnp.clip(offset, -3.0, 3.0), particles.velocity, reading / self.lidar_range)
        return MultiNavigatorState(
            particles=particles,
            targets=targets,
            box_low=box_low,
            box_high=box_high,
            observation=jnp.concatenate(parts, axis=-1),
            distance=distance,
            kinetic_energy=particles.kinetic_energy,
            step_count=jnp.zeros((), jnp.int32),
            vicinity=vicinity,
        )


def _potential(distance: Array, radius: Array) -> Array:
    """Return exp(-2 (distance - radius / 2)), flat inside half a radius; ``(N,)``."""
    return jnp.exp(-2 * jnp.maximum(0.0, distance - 0.5 * radius))
