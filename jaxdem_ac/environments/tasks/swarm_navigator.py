"""A swarm that spreads over as many targets as it has particles, none of them assigned."""

from dataclasses import dataclass
from typing import ClassVar

import jax
from jax import Array

from jaxdem_ac import dem
from jaxdem_ac.environments import sizes
from jaxdem_ac.environments.base import compiled
from jaxdem_ac.environments.baselines.navigators import SharedTargetsOracle, SharedTargetsScript
from jaxdem_ac.environments.placement import jittered_grid
from jaxdem_ac.environments.targets import SharedTargetTask
from jaxdem_ac.environments.tasks.navigator import Navigator, NavigatorState
from jaxdem_ac.observation_layout import Block


@dataclass(frozen=True, kw_only=True)
class SwarmNavigator(Navigator, SharedTargetTask):
    r"""N discs in a reflecting box look for N shared targets, by force.

    An action is a force ``(N, 2)``, held for `physics_steps` steps of the engine. The reward of particle i is

    ``(S_i - S_i') - ke_weight (K_i - K_i') + coop_weight mean_j (S_j - S_j') + near_goal_bonus [d_i <= R_i]
    + coverage_weight C``

    with ``S_i = sum over sectors of exp(-4 d)``, d the distance of the nearest target in the sector, K the kinetic
    energy, d_i the distance of the nearest target, C the success; primes are from before the decision. The
    observation is

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

    oracle = SharedTargetsOracle
    scripted = SharedTargetsScript
    observes: ClassVar[tuple[Block, ...]] = (Block("velocity", "vector", 2),)

    @compiled
    def reset(self, key: Array) -> NavigatorState:
        """Return a new episode: targets on a jittered grid, a sixth of the swarm among them, the rest in the ring."""
        self.check_key(key)
        key_box, key_inside, key_ring, key_targets, key_order, key_sizes = jax.random.split(key, 6)
        size = self._draw_region(key_box)
        position = self._draw_places(key_inside, key_ring, key_order, size)
        targets = jittered_grid(key_targets, self.num_particles, size, sizes.largest(self.radius))
        return self._begin(key_sizes, position, targets, size)

    @property
    def _falloff(self) -> float:
        return 0.25

    def _motion(self, particles: dem.Particles) -> list[Array]:
        return [particles.velocity]
