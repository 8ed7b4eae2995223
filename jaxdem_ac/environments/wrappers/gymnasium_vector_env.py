"""E swarms as a ``gymnasium.vector.VectorEnv``, for trainers that know one agent."""

import numpy as np
from gymnasium.spaces import Box
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from jaxdem_ac.environments.wrappers.gymnasium_env import checked, checked_seed, particle_space, swarm_spaces, task_name
from jaxdem_ac.environments.wrappers.host_vector_env import HostStep, HostVectorEnv

VIEWS = ("particle", "swarm")
MODES = (AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP)


class VectorSwarm(VectorEnv[np.ndarray, np.ndarray, np.ndarray]):
    """Every particle, or every swarm, is a sub-environment; `make_vector_env` makes one, and says what it takes.

    `infos` are laid out as ``gymnasium.vector.SyncVectorEnv`` lays them out: a figure ``"success"`` with the mask
    ``"_success"`` of those who have one; and, with autoreset in the same step, ``"final_obs"``, an array of objects,
    and ``"final_info"`` of those whose episode has ended. Raises ValueError for another `view` or `autoreset_mode`.
    """

    def __init__(self, swarms: HostVectorEnv, view: str, autoreset_mode: str | AutoresetMode) -> None:
        if not isinstance(view, str) or view not in VIEWS:
            raise ValueError(f"VectorSwarm: view is 'particle' or 'swarm'; got view={view!r}. Choose one.")
        modes = {key: mode for mode in MODES for key in (mode, mode.value)}
        if not isinstance(autoreset_mode, str | AutoresetMode) or autoreset_mode not in modes:
            raise ValueError(
                f"VectorSwarm: autoreset_mode is 'SameStep' or 'NextStep'; got autoreset_mode={autoreset_mode!r}. "
                "Choose one: the particles of a swarm can only be reset together."
            )
        mode = modes[autoreset_mode]
        swarms.resets = mode.value
        self.swarms = swarms
        self.view = view
        self.metadata = {"name": task_name(swarms.environment), "render_modes": [], "autoreset_mode": mode}
        self._same_step = mode is AutoresetMode.SAME_STEP
        self._under_way = False
        if view == "particle":
            size = swarms.environment.observation_size
            self.single_observation_space = Box(-np.inf, np.inf, (size,), np.float32)
            self.single_action_space = particle_space(swarms.bounds)
            self._each = swarms.environment.num_particles
        else:
            self.single_observation_space, self.single_action_space = swarm_spaces(swarms)
            self._each = 1
        self.num_envs = swarms.num_envs * self._each
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)

    def reset(
        self, *, seed: int | None = None, options: dict[str, object] | None = None
    ) -> tuple[np.ndarray, dict[str, object]]:
        """Begin an episode in every swarm and return the observations, ``(num_envs, ...)``, and no infos.

        One `seed`, a whole number from 0, is for all swarms, which begin differently: all that is random from here on
        is a function of it. Raises ValueError if it is another, or if `options` ask for some sub-environments only.
        """
        if options and "reset_mask" in options:
            raise ValueError(
                "VectorSwarm.reset: all swarms are reset; got options['reset_mask']. Leave it out: a swarm whose "
                "episode has ended begins the next one by itself."
            )
        super().reset(seed=checked_seed("VectorSwarm.reset", seed))
        self._under_way = True
        return self._flat(self.swarms.reset(self.np_random)), {}

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, object]]:
        """Take one decision in every swarm, actions ``(num_envs, ...)`` within the bounds.

        It returns observations, ``(num_envs, ...)``, rewards in float32, whether tasks have ended and time limits have
        cut them, ``(num_envs,)`` each, and infos. Actions of swarms that begin with this step do not count. Raises
        RuntimeError before the first reset, ValueError if an action has another shape, is not finite, or is not in its
        space.
        """
        if not self._under_way:
            raise RuntimeError("VectorSwarm.step: an episode is under way; got none. Call reset() first.")
        played = self.swarms.step(checked("VectorSwarm.step", self.swarms, actions, self.action_space))
        reward = played.reward.reshape(-1) if self.view == "particle" else played.reward.mean(axis=-1)
        terminated, truncated = self._spread(played.terminated), self._spread(played.truncated)
        return self._flat(played.observation), reward, terminated, truncated, self._infos(played)

    def _flat(self, observation: np.ndarray) -> np.ndarray:
        """Return what swarms see, ``(E, N, O)``, as sub-environments do."""
        return observation.reshape(self.num_envs, -1)

    def _spread(self, figure: np.ndarray) -> np.ndarray:
        """Return figures of swarms, ``(E,)``, as those of sub-environments."""
        return np.repeat(figure, self._each)

    def _infos(self, played: HostStep) -> dict[str, object]:
        """Return the figures of a step, with masks of whom they are."""
        done = self._spread(played.terminated | played.truncated)
        info = {name: self._spread(figure) for name, figure in played.info.items()}
        if not self._same_step or not done.any():
            return _masked(info, ~self._spread(played.was_reset))
        last = np.full(self.num_envs, None, object)
        observations = self._flat(np.array(played.final_observation, np.float32))
        for index in np.flatnonzero(done):
            last[index] = observations[index]
        final = {"final_obs": last, "_final_obs": done, "final_info": _masked(info, done), "_final_info": done.copy()}
        return {**final, **_masked(info, ~done)}


def _masked(info: dict[str, np.ndarray], mask: np.ndarray) -> dict[str, object]:
    """Return the figures of some sub-environments, 0 for the others, each with the mask; nothing if it is empty."""
    if not mask.any():
        return {}
    masked = {name: np.where(mask, figure, 0).astype(np.float32) for name, figure in info.items()}
    return {**masked, **{f"_{name}": mask.copy() for name in info}}
