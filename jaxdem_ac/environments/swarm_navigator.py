"""A swarm that spreads over as many targets as it has particles, none of them assigned."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jaxdem_ac import dem
from jaxdem_ac.environments.base import Environment, Timestep
from jaxdem_ac.environments.checks import check_number, check_whole
from jaxdem_ac.environments.lidar import lidar, look, reached_sources, wall_lidar
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
class SwarmNavigator(Environment):
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

    num_particles: int = 64
    """N, of discs and of targets."""
    min_box_size: float = 20.0
    """Least side of the region of the targets, drawn for each axis at a reset, length."""
    max_box_size: float = 20.0
    """Largest side of that region, length."""
    box_padding: float = 20.0
    """How much larger the box is than that region, in radii; most of the swarm starts in the ring between."""
    max_steps: int = 100_000
    """Length of an episode, in physics steps."""
    physics_steps: int = 1
    """Physics steps for which an action is held: one decision."""
    friction: float = 0.2
    """Viscous drag, mass / time."""
    ke_weight: float = 0.1
    """Of the change of kinetic energy."""
    coop_weight: float = 0.2
    """Of the swarm's mean progress."""
    near_goal_bonus: float = 0.1
    """For a particle within one radius of a target."""
    lidar_range: float = 10.0
    """Length."""
    n_lidar_rays: int = 24
    """Sectors of each lidar."""
    dt: float = 2e-3
    """Time step of the engine, time."""
    stiffness: float = 2e5
    """Of contacts, force / length."""
    sensing_capacity: int | None = None
    """Most neighbours or targets in sight of one particle, in a swarm large enough for lists; 2.5 times the mean if
    left out. If it is too small, a run stops and says so."""

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

    def __post_init__(self) -> None:
        """Check every field, once."""
        here = "SwarmNavigator"
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
            min_box_size=self.min_box_size,
            max_box_size=self.max_box_size,
            lidar_range=self.lidar_range,
            dt=self.dt,
            stiffness=self.stiffness,
        )
        check_number(here, least=0.0, box_padding=self.box_padding, friction=self.friction)
        check_number(here, ke_weight=self.ke_weight, coop_weight=self.coop_weight, near_goal_bonus=self.near_goal_bonus)
        if self.max_box_size < self.min_box_size:
            raise ValueError(
                f"SwarmNavigator: max_box_size >= min_box_size; got min_box_size={self.min_box_size}, "
                f"max_box_size={self.max_box_size}. Raise max_box_size."
            )

    @property
    def observation_size(self) -> int:
        """2 + 2 * n_lidar_rays."""
        return 2 + 2 * self.n_lidar_rays

    @property
    def action_size(self) -> int:
        """2: a force."""
        return 2

    @property
    def episode_length(self) -> int:
        """Decisions in `max_steps` physics steps, the last one begun in full."""
        return -(-self.max_steps // self.physics_steps)

    @property
    def decision_time(self) -> float:
        """``physics_steps * dt``."""
        return self.physics_steps * self.dt

    def reset(self, key: Array) -> SwarmNavigatorState:
        """Return a new episode: targets on a jittered grid, a sixth of the swarm among them, the rest in the ring.

        Parameters
        ----------
        key : Array
            Random key.
        """
        key_box, key_inside, key_ring, key_targets, key_order = jax.random.split(key, 5)
        size = jax.random.uniform(key_box, (2,), float, minval=self.min_box_size, maxval=self.max_box_size)
        num_inside = max(1, self.num_particles // 6)
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
        targets = dem.particles.as_float("targets", targets)
        for name, array in (("position", particles.position), ("targets", targets)):
            if array.shape != (self.num_particles, 2):
                raise ValueError(
                    f"SwarmNavigator.make_state: {name} is (num_particles, 2) = ({self.num_particles}, 2); got shape "
                    f"{array.shape}. Build the environment with num_particles={array.shape[0]} or pass as many rows."
                )
        world = dem.World.create(box_low, box_high)
        state = self._state(particles, targets, world.box_low, world.box_high)
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
        world = self._world(state.box_low, state.box_high)
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
            info={"success": jnp.mean(new.reached.astype(reward.dtype)), "overflow": around.overflow(vicinity)},
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

    def _world(self, box_low: Array, box_high: Array) -> dem.World:
        return dem.World(
            box_low=box_low,
            box_high=box_high,
            stiffness=jnp.asarray(self.stiffness, float),
            dt=jnp.asarray(self.dt, float),
            drag=jnp.asarray(self.friction, float),
            gravity=jnp.zeros((2,)),
            restitution=jnp.ones(()),
            friction=jnp.zeros(()),
            tangential_damping=jnp.ones(()),
            boundary="reflect",
            damped=False,
            rough=False,
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
