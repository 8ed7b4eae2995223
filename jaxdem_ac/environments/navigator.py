"""What the navigators share: discs in a reflecting box, moved by force, on their way to targets."""

from dataclasses import dataclass

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jaxdem_ac import dem
from jaxdem_ac.environments.base import Environment
from jaxdem_ac.environments.checks import check_number, check_whole


@dataclass(frozen=True, kw_only=True)
class Navigator(Environment):
    """Fields and physics of the navigators; names and defaults are JaxDEM's."""

    num_particles: int = 64
    """N, of discs and of targets."""
    min_box_size: float = 20.0
    """Least side of the region of the targets, drawn for each axis at a reset, length."""
    max_box_size: float = 20.0
    """Largest side of that region, length."""
    box_padding: float = 20.0
    """How much larger the box is than that region, length."""
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
    """For a particle near its goal."""
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

    def __post_init__(self) -> None:
        """Check every field, once."""
        here = type(self).__name__
        check_whole(
            here,
            num_particles=self.num_particles,
            max_steps=self.max_steps,
            physics_steps=self.physics_steps,
            n_lidar_rays=self.n_lidar_rays,
        )
        if self.sensing_capacity is not None:
            check_whole(here, sensing_capacity=self.sensing_capacity)
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
                f"{here}: max_box_size >= min_box_size; got min_box_size={self.min_box_size}, "
                f"max_box_size={self.max_box_size}. Raise max_box_size."
            )

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

    def world(self, box_low: Array, box_high: Array) -> dem.World:
        """Return the world of one episode; corners ``(2,)``."""
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

    def check_placement(
        self, particles: dem.Particles, targets: ArrayLike, box_low: ArrayLike, box_high: ArrayLike
    ) -> tuple[Array, Array, Array]:
        """Return targets and corners of the box as arrays.

        Raises
        ------
        ValueError
            If a shape does not fit or a number is not finite.
        """
        targets = dem.particles.as_float("targets", targets)
        for name, array in (("position", particles.position), ("targets", targets)):
            if array.shape != (self.num_particles, 2):
                raise ValueError(
                    f"{type(self).__name__}.make_state: {name} is (num_particles, 2) = ({self.num_particles}, 2); got "
                    f"shape {array.shape}. Build the environment with num_particles={len(array)}, or pass as many rows."
                )
        world = dem.World.create(box_low, box_high)
        if world.dim != 2:
            raise ValueError(
                f"{type(self).__name__}.make_state: box_low and box_high are (2,); got ({world.dim},). Leave out z."
            )
        return targets, world.box_low, world.box_high
