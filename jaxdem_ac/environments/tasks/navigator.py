"""The base of the navigators: discs in a reflecting box, moved by force, on their way to targets."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jaxdem_ac import dem
from jaxdem_ac.dem.time_step import check_box, warn
from jaxdem_ac.environments import sizes
from jaxdem_ac.environments.checks import Count, NonNegative, Positive, Real, check_count
from jaxdem_ac.environments.targets import TargetState as NavigatorState
from jaxdem_ac.environments.targets import TargetTask

__all__ = ["Navigator", "NavigatorState"]


@dataclass(frozen=True, kw_only=True)
class Navigator(TargetTask):
    """Fields and physics of the navigators; names and defaults are JaxDEM's."""

    num_particles: Count = 64
    min_box_size: Positive = 20.0
    max_box_size: Positive = 20.0
    box_padding: NonNegative = 20.0
    max_steps: Count = 100_000
    physics_steps: Count = 1
    radius: sizes.Sizes = 1.0
    mass: sizes.Sizes = 1.0
    friction: NonNegative = 0.2
    """Viscous drag, mass / time."""
    ke_weight: Real = 0.1
    dt: Positive = 2e-3
    stiffness: Positive = 2e5

    training_defaults: ClassVar[Mapping[str, object]] = {"num_particles": 16, "physics_steps": 50, "max_steps": 5000}
    action_space_defaults: ClassVar[Mapping[str, Mapping[str, object]]] = {
        "MaxNorm": {"max_norm": 10.0},
        "Box": {"x_min": -10.0, "x_max": 10.0},
        "Discrete": {"max_norm": 10.0},
    }

    def check_task(self, where: str) -> None:
        """Raise ValueError if the box is too narrow or the time step too coarse, and whatever its bases raise.

        Warns if the swarm starts with overlaps.
        """
        super().check_task(where)
        check_box(where, [self.min_box_size + self.box_padding], [sizes.largest(self.radius)], periodic=False)
        self.check_physics(where, drag=self.friction)
        try:
            self.check_places(where)
        except ValueError as error:
            # So they do in JaxDEM, which says nothing.
            warn(f"{error} Those that overlap push each other away at once.", UserWarning)

    def world(self, state: NavigatorState) -> dem.World:
        """Return the box of an episode, its material and the time step."""
        return dem.World.create(
            state.box_low, state.box_high, "reflect", stiffness=self.stiffness, dt=self.dt, drag=self.friction
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
        radius: ArrayLike | None = None,
        mass: ArrayLike | None = None,
        kinetic_energy: ArrayLike | None = None,
        step_count: int = 0,
    ) -> NavigatorState:
        """Return the state that explicit arrays describe, for replay and tests.

        Position, targets, velocity and the force felt in the last step are ``(N, 2)``, the box is ``(2,)`` and
        ``(2,)``, all else ``(N,)``. What has a default broadcasts; radius and mass are in the middle of the
        environment's ranges if left out, and the kinetic energy, with which the next reward compares, is that of the
        velocity. `step_count` are the physics steps already taken. Raises ValueError if a shape does not fit, a number
        is not finite, or a radius is larger or a mass smaller than the environment's.
        """
        here, num = f"{type(self).__name__}.make_state", self.num_particles
        particles = dem.Particles.create(position, velocity, *self.sizes_or_middle(radius, mass), force)
        self.check_sizes(here, particles)
        targets = dem.particles.as_float("targets", targets)
        for name, array in (("position", particles.position), ("targets", targets)):
            if array.shape != (num, 2):
                raise ValueError(
                    f"{here}: {name} is (num_particles, 2) = ({num}, 2); got shape {array.shape}. "
                    f"Build the environment with num_particles={len(array)}, or pass as many rows."
                )
        check_count(here, step_count=step_count)
        world = dem.World.create(box_low, box_high)
        if world.dim != 2:
            raise ValueError(f"{here}: box_low and box_high are (2,); got ({world.dim},). Leave out z.")
        sizes.check_room_of(here, world, particles)
        state = self._sense(particles, targets, world.box_low, world.box_high, None)
        state = replace(state, step_count=jnp.asarray(step_count, jnp.int32))
        if kinetic_energy is None:
            return state
        kinetic_energy = dem.particles.as_float("kinetic_energy", kinetic_energy)
        if kinetic_energy.shape not in ((), (num,)):
            raise ValueError(
                f"{here}: kinetic_energy is (num_particles,) = ({num},); got shape {kinetic_energy.shape}. "
                "Pass one number for each particle."
            )
        return replace(state, kinetic_energy=jnp.broadcast_to(kinetic_energy, (num,)))

    def _begin(self, key: Array, position: Array, targets: Array, size: Array) -> NavigatorState:
        """Return the state of discs at rest, their sizes drawn, in the box around a region of sides `size`."""
        key_radius, key_mass = jax.random.split(key)
        radius = self.draw_sizes(key_radius, self.radius)
        particles = dem.Particles.create(position, 0.0, radius, self.draw_sizes(key_mass, self.mass))
        margin = self.box_padding / 2
        return self._sense(particles, targets, jnp.full((2,), -margin), size + margin, None)
