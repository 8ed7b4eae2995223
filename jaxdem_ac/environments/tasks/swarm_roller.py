"""A swarm of spheres that roll over a floor to shared targets, moved by nothing but friction."""

from dataclasses import dataclass, replace
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jaxdem_ac import dem
from jaxdem_ac.environments import sizes, swarm
from jaxdem_ac.environments.base import compiled
from jaxdem_ac.environments.baselines.roller import RollerOracle, RollerScript
from jaxdem_ac.environments.checks import Count, Fraction, NonNegative, Positive, Real, check_count
from jaxdem_ac.environments.placement import jittered_grid
from jaxdem_ac.environments.targets import SharedTargetTask, TargetState
from jaxdem_ac.observation_layout import Block


@swarm.in_order(
    "particles", "targets", "box_low", "box_high", "observation", "potential", "kinetic_energy", "step_count",
    "distance", "reached", "vicinity", "nearest",
)  # fmt: skip
@dataclass(frozen=True)
class SwarmRollerState(TargetState):
    """Places of the swarm and its targets on the floor, and what the last decision left."""


@dataclass(frozen=True, kw_only=True)
class SwarmRoller(SharedTargetTask):
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
    Floor and walls push as particles do, with restitution and friction. From 48 particles on contacts and lidars go
    through lists of neighbours.
    """

    state_class: ClassVar[type[TargetState]] = SwarmRollerState
    num_particles: Count = 16
    min_box_size: Positive = 16.0
    max_box_size: Positive = 16.0
    box_padding: Positive = 8.0
    radius: sizes.Sizes = 1.0
    mass: sizes.Sizes = 1.0
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
    physics_steps: Count = 50
    ke_weight: Real = 0.02
    shaping_length: Positive = 1.0
    """Over which the potential of a target falls off, length."""
    dt: Positive = 4e-3
    stiffness: Positive = 2e3
    tangential_damping: Positive = 20.0
    """Drag of contacts that slip slowly, mass / time: rolling creeps by the force of friction divided by this."""

    oracle = RollerOracle
    scripted = RollerScript
    dim: ClassVar[int] = 3
    observes: ClassVar[tuple[Block, ...]] = (
        Block("velocity along the floor", "vector", 2),
        Block("spin about the axes of the floor", "axial", 2),
        Block("spin about the vertical", "pseudoscalar", 1),
    )
    action_kind: ClassVar[str] = "axial"

    def check_task(self, where: str) -> None:
        """Raise TypeError or ValueError if the swarm does not fit, the lidar is short or the time step coarse."""
        super().check_task(where)
        self.check_places(where)
        weight, damping = sizes.largest(self.mass) * self.gravity, self.tangential_damping
        self.check_physics(where, drag=self.drag, restitution=self.restitution, damping=damping, dim=3, push=weight)

    @property
    def inverse_masses_besides(self) -> tuple[float, ...]:
        """Inverse mass of the floor, which nothing moves."""
        return (0.0,)

    @compiled
    def reset(self, key: Array) -> TargetState:
        """Return a new episode: targets on a jittered grid, a sixth of the swarm among them, the rest in the ring."""
        self.check_key(key)
        key_box, key_inside, key_ring, key_targets, key_order, key_radius, key_mass = jax.random.split(key, 7)
        size, width = self._draw_region(key_box), self.box_padding / 2
        return self.make_state(
            position=self._draw_places(key_inside, key_ring, key_order, size),
            targets=jittered_grid(key_targets, self.num_particles, size, sizes.largest(self.radius)),
            box_low=jnp.full((2,), -width),
            box_high=size + width,
            radius=self.draw_sizes(key_radius, self.radius),
            mass=self.draw_sizes(key_mass, self.mass),
        )

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
    ) -> TargetState:
        """Return the state that explicit arrays describe, for replay and tests.

        Positions are ``(N, 3)``, or ``(N, 2)`` of spheres on the floor, targets ``(N, 2)``, the floor's corners
        ``(2,)``, velocities ``(N, 3)``, radius and mass ``(N,)``. What has a default broadcasts; radius and mass are in
        the middle of the environment's ranges if left out. `step_count` are the physics steps already taken. Raises
        ValueError if a shape does not fit, a number is not finite, or a radius is larger or a mass smaller than the
        environment's.
        """
        here, num = "SwarmRoller.make_state", self.num_particles
        check_count(here, step_count=step_count)
        radius, mass = self.sizes_or_middle(radius, mass)
        place, targets = dem.particles.as_float("position", position), dem.particles.as_float("targets", targets)
        for name, array, shapes in (("position", place, ((num, 2), (num, 3))), ("targets", targets, ((num, 2),))):
            if array.shape not in shapes:
                raise ValueError(
                    f"{here}: {name} is {' or '.join(map(str, shapes))}; got shape {array.shape}. Match num_particles."
                )
        radius = jnp.broadcast_to(jnp.asarray(radius, float), (num,))
        place = jnp.column_stack([place, radius]) if place.shape[1] == 2 else place
        particles = dem.Particles.create(place, velocity, radius, mass, angular_velocity=angular_velocity)
        self.check_sizes(here, particles)
        world = dem.World.create(box_low, box_high)
        sizes.check_room_of(here, world, particles)
        state = self._sense(particles, targets, world.box_low, world.box_high, None)
        return replace(state, step_count=jnp.asarray(step_count, jnp.int32))

    def apply(self, state: TargetState, action: Array) -> swarm.Drive:
        """Return the torque of an action: about x and y in units of `max_torque`, cut to length 1."""
        turning = self.max_torque * swarm.shorten(action, 1.0)
        torque = jnp.column_stack([turning, jnp.zeros_like(turning[:, 0])])
        return swarm.Drive(jnp.zeros_like(torque), torque)

    def world(self, state: TargetState) -> dem.World:
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

    @property
    def _falloff(self) -> float:
        return self.shaping_length

    def _motion(self, particles: dem.Particles) -> list[Array]:
        return [particles.velocity[:, :2], particles.angular_velocity * particles.radius[:, None]]
