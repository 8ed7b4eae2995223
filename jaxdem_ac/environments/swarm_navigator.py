"""A swarm that spreads over as many targets as it has particles, none of them assigned."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jaxdem_ac import dem
from jaxdem_ac.environments.base import Timestep
from jaxdem_ac.environments.lidar import lidar, look, reached_sources, wall_lidar
from jaxdem_ac.environments.navigator import Navigator
from jaxdem_ac.environments.placement import jittered_grid, ring
from jaxdem_ac.environments.surroundings import Surroundings, Vicinity


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class SwarmNavigatorState:
    """Where everything is, and what the last decision left."""

    particles: dem.Particles
    """N discs."""
    targets: Array
    """Shared by all, ``(N, 2)``, length."""
    box_low: Array
    """Lower corner of the box, ``(2,)``, length."""
    box_high: Array
    """Upper corner of the box, ``(2,)``, length."""
    observation: Array
    """``(N, O)``."""
    shaping: Array
    """Potential of the targets in sight, ``(N,)``."""
    kinetic_energy: Array
    """``(N,)``, energy."""
    step_count: Array
    """Physics steps since the reset, ``()``."""
    nearest_target: Array
    """Distance of each particle's nearest target in sight, ``(N,)``, length."""
    reached: Array
    """Which targets have a particle's centre within one radius, ``(N,)`` of bool."""
    vicinity: Vicinity
    """Lists of neighbours, where the swarm is large enough for them."""


@dataclass(frozen=True, kw_only=True)
class SwarmNavigator(Navigator):
    r"""N discs in a reflecting box look for N shared targets, by force.

    An action is a force ``(N, 2)``, held for `physics_steps` steps of the engine. The reward of particle i is

    ``(S_i - S_i') - ke_weight (K_i - K_i') + coop_weight mean_j (S_j - S_j') + near_goal_bonus [d_i <= R_i]``

    with ``S_i = sum over sectors of exp(-4 d)``, d the distance of the nearest target in the sector, K the kinetic
    energy, d_i the distance of the nearest target; primes are from before the decision. The observation is

    ==========================  ==============
    velocity                    2
    lidar of the targets        n_lidar_rays
    lidar of the swarm, walls   n_lidar_rays
    ==========================  ==============

    with lidar readings divided by their range. Success is the share of targets that have a particle's centre within
    one radius. Episodes end only by their time limit.

    Notes
    -----
    Observation, reward, reset and defaults are those of ``SwarmNavigator`` of JaxDEM (5d9c13a), with two differences:
    an action held for several steps is rewarded for what the whole decision changed, and sensing is done once per
    decision; with one step per decision both agree. JaxDEM ends an episode one step after `max_steps`, this one at it.
    """

    success_name: ClassVar[str] = "coverage"
    training_defaults: ClassVar[dict[str, Any]] = {
        "num_particles": 16,
        "physics_steps": 50,
        "max_steps": 5000,
    }
    action_space_defaults: ClassVar[dict[str, dict[str, Any]]] = {
        "MaxNorm": {"max_norm": 10.0},
        "Box": {"x_min": -10.0, "x_max": 10.0},
    }

    @property
    def observation_size(self) -> int:
        """2 + 2 * n_lidar_rays."""
        return 2 + 2 * self.n_lidar_rays

    def reset(self, key: Array) -> SwarmNavigatorState:
        """Return a new episode: targets on a jittered grid, a sixth of the swarm among them, the rest in the ring.

        Parameters
        ----------
        key : Array
            Random key.
        """
        key_box, key_inside, key_ring, key_targets, key_order = jax.random.split(key, 5)
        size = jax.random.uniform(key_box, (2,), float, minval=self.min_box_size, maxval=self.max_box_size)
        # Without a ring everybody starts among the targets.
        num_inside = max(1, self.num_particles // 6) if self.box_padding > 0 else self.num_particles
        inside = jittered_grid(key_inside, num_inside, size)
        outside = ring(key_ring, self.num_particles - num_inside, size, self.box_padding / 2)
        position = jnp.concatenate([inside, outside])
        # Which particle starts where says nothing: the order is shuffled.
        position = jax.random.permutation(key_order, position)
        return self._state(
            dem.Particles.create(position),
            targets=jittered_grid(key_targets, self.num_particles, size),
            box_low=jnp.full((2,), -self.box_padding / 2),
            box_high=size + self.box_padding / 2,
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
    ) -> SwarmNavigatorState:
        """Return the state that explicit arrays describe, for replay and tests.

        Parameters
        ----------
        position, targets : array, (N, 2), length
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
        state = self._state(particles, targets, low, high)
        state = replace(state, step_count=jnp.asarray(step_count, jnp.int32))
        if kinetic_energy is None:
            return state
        kinetic_energy = dem.particles.as_float("kinetic_energy", kinetic_energy)
        return replace(state, kinetic_energy=jnp.broadcast_to(kinetic_energy, (self.num_particles,)))

    def step(self, state: SwarmNavigatorState, action: Array) -> tuple[SwarmNavigatorState, Timestep]:
        """Return the state and the timestep after one decision.

        Parameters
        ----------
        state : SwarmNavigatorState
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
        progress = new.shaping - state.shaping
        reward = (
            progress
            - self.ke_weight * (new.kinetic_energy - state.kinetic_energy)
            + self.coop_weight * jnp.mean(progress)
            + self.near_goal_bonus * (new.nearest_target <= particles.radius)
        )
        return new, Timestep(
            observation=new.observation,
            reward=reward,
            terminated=jnp.zeros((), bool),
            truncated=new.step_count >= self.max_steps,
            info={"success": jnp.mean(new.reached.astype(reward.dtype)), "overflow": around.overflow(new.vicinity)},
        )

    @cached_property
    def _surroundings(self) -> Surroundings:
        """What lists of neighbours the swarm needs."""
        size = self.max_box_size + self.box_padding
        return Surroundings.create(
            num_particles=self.num_particles,
            extent=(size, size),
            largest_radius=1.0,
            sensing_range=max(self.lidar_range, 1.0),
            num_targets=self.num_particles,
            target_extent=(self.max_box_size, self.max_box_size),
            capacity=self.sensing_capacity,
        )

    def _state(
        self,
        particles: dem.Particles,
        targets: Array,
        box_low: Array,
        box_high: Array,
        vicinity: Vicinity | None = None,
    ) -> SwarmNavigatorState:
        """Sense, and return the state at step 0."""
        with jax.named_scope("lidar"):
            position = particles.position
            around = self._surroundings
            vicinity = around.refresh(vicinity, position, box_low, box_high, targets)
            to_targets = look(position, targets, vicinity.target_index)
            to_others = look(position, position, vicinity.swarm_index, among_themselves=True)
            target_reading = lidar(to_targets, self.lidar_range, self.n_lidar_rays)
            swarm_reading = jnp.maximum(
                lidar(to_others, self.lidar_range, self.n_lidar_rays),
                wall_lidar(position, box_low, box_high, self.lidar_range, self.n_lidar_rays),
            )
        seen = target_reading > 0
        distance = self.lidar_range - target_reading
        readings = (target_reading / self.lidar_range, swarm_reading / self.lidar_range)
        return SwarmNavigatorState(
            particles=particles,
            targets=targets,
            box_low=box_low,
            box_high=box_high,
            observation=jnp.concatenate([particles.velocity, *readings], axis=-1),
            shaping=jnp.sum(jnp.where(seen, jnp.exp(-4 * distance), 0.0), axis=-1),
            kinetic_energy=particles.kinetic_energy,
            step_count=jnp.zeros((), jnp.int32),
            nearest_target=jnp.min(to_targets.distance, axis=1),
            reached=reached_sources(to_targets, particles.radius, self.num_particles),
            vicinity=vicinity,
        )
