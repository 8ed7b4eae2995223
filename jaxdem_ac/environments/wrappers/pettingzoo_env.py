"""An environment as a ``pettingzoo.ParallelEnv``: its particles are the agents."""

from collections.abc import Mapping

import numpy as np
from gymnasium.spaces import Box, Discrete
from gymnasium.utils import seeding
from pettingzoo import ParallelEnv

from jaxdem_ac.environments.wrappers.gymnasium_env import (
    as_numbers,
    checked_seed,
    chosen,
    describe,
    draw_with,
    floats,
    out_of_bounds,
    particle_space,
)
from jaxdem_ac.environments.wrappers.host_vector_env import Draw, HostVectorEnv
from jaxdem_ac.registry import suggest


class ParallelSwarm(ParallelEnv[str, np.ndarray, np.ndarray]):
    """One swarm, whose particles ``"particle_0"``, ``"particle_1"``, ... all live until the episode ends.

    An agent observes ``(O,)`` and acts ``(D,)``, in float32, or chooses an action by its number; rewards and what the
    environment reports in `infos` are Python's floats. At the end of an episode all agents are terminated, or truncated
    by the time limit, at once; then there are none until the next reset. `make_parallel_env` makes one.
    """

    def __init__(self, swarms: HostVectorEnv, draw: Draw | None = None) -> None:
        environment = swarms.environment
        self.swarms = swarms
        self.draw = draw
        self.render_mode = None if draw is None else "rgb_array"
        self.metadata = {**describe(environment, draw), "is_parallelizable": True}
        num, size = environment.num_particles, environment.observation_size
        self.possible_agents = [f"particle_{index}" for index in range(num)]
        self.agents: list[str] = []
        self.observation_spaces = {agent: Box(-np.inf, np.inf, (size,), np.float32) for agent in self.possible_agents}
        self.action_spaces = {agent: particle_space(swarms.bounds) for agent in self.possible_agents}
        self.state_space = Box(-np.inf, np.inf, (num * size,), np.float32)
        self.np_random: np.random.Generator | None = None
        self._seen: np.ndarray | None = None

    def observation_space(self, agent: str) -> Box:
        """Return the space of an agent's observations: environments know no bounds."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> Box | Discrete:
        """Return the space of an agent's actions: the box of those that are bounds, or their numbers."""
        return self.action_spaces[agent]

    def reset(
        self, seed: int | None = None, options: dict[str, object] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, dict[str, object]]]:
        """Begin an episode and return the observations, ``(O,)``, and an empty info, of each agent.

        All that is random from here on is a function of `seed`, a whole number from 0. If left out, it goes on from the
        last one, or from one that nobody knows if there was none. `options` are not used. Raises ValueError if the seed
        is another.
        """
        del options
        seed = checked_seed("ParallelSwarm.reset", seed)
        if seed is not None or self.np_random is None:
            self.np_random, _ = seeding.np_random(seed)
        seen = self.swarms.reset(self.np_random)[0]
        self.agents = list(self.possible_agents)
        # A copy: what is handed out its user may write to.
        self._seen = seen.copy()
        return dict(zip(self.agents, seen, strict=True)), {agent: {} for agent in self.agents}

    def step(
        self, actions: dict[str, np.ndarray]
    ) -> tuple[dict[str, np.ndarray], dict[str, float], dict[str, bool], dict[str, bool], dict[str, dict[str, float]]]:
        """Take one decision, ``(D,)`` of each agent; return observations, rewards, terminations, truncations, infos.

        Raises RuntimeError if no episode is under way, TypeError if the actions are no dict, KeyError if an agent has
        no action, or an action no agent, ValueError if an action has another shape, is not finite, or is not in the
        agent's space.
        """
        agents = self.agents
        if not agents:
            raise RuntimeError("ParallelSwarm.step: an episode is under way; got none. Call reset() first.")
        played = self.swarms.step(self._stacked(actions)[None])
        self._seen = played.observation[0].copy()
        terminated, truncated = bool(played.terminated[0]), bool(played.truncated[0])
        info = floats(played.info)
        if terminated or truncated:
            self.agents = []
        return (
            dict(zip(agents, played.observation[0], strict=True)),
            dict(zip(agents, played.reward[0].tolist(), strict=True)),
            dict.fromkeys(agents, terminated),
            dict.fromkeys(agents, truncated),
            {agent: info.copy() for agent in agents},
        )

    def _stacked(self, actions: dict[str, np.ndarray]) -> np.ndarray:
        """Return the actions of all agents in order, ``(N, D)``, once they are known to be bounds."""
        here, agents = "ParallelSwarm.step", self.agents
        if not isinstance(actions, Mapping):
            raise TypeError(f"{here}: actions are a dict, one of each agent; got {type(actions).__name__}. Pass one.")
        missing = [agent for agent in agents if agent not in actions]
        if missing:
            raise KeyError(f"{here}: every agent acts; got no action of {_some(missing)}. Give one for each.")
        if len(actions) != len(agents):
            unknown = next(agent for agent in actions if agent not in self.action_spaces)
            raise KeyError(f"{here}: no such agent; got {unknown!r}. {suggest(str(unknown), agents[:8])}")
        choices = self.swarms.bounds.choices
        if choices is not None:
            return np.stack([chosen(f"{here}: {agent}", choices, actions[agent], ()) for agent in agents])
        shape, each = self.swarms.action_shape[2:], []
        for agent in agents:
            numbers = as_numbers(actions[agent])
            if numbers is None or numbers.shape != shape:
                got = f"{actions[agent]!r:.60}" if numbers is None else f"shape {numbers.shape}"
                raise ValueError(f"{here}: an action is {shape}; got {agent}: {got}. Give one of that shape.")
            each.append(numbers)
        stacked = np.stack(each)
        bad = self.swarms.bounds.find_bad(stacked)
        if bad is not None:
            agent = agents[int(bad[0])]
            raise ValueError(f"{here}: {out_of_bounds(self.swarms.bounds, agent, stacked[bad[0]])}")
        return stacked

    def state(self) -> np.ndarray:
        """Return what all particles observe, one after the other, ``(N * O,)``; RuntimeError before the first reset."""
        if self._seen is None:
            raise RuntimeError("ParallelSwarm.state: an episode is under way; got none. Call reset() first.")
        return self._seen.reshape(-1).copy()

    def render(self) -> np.ndarray | None:
        """Return the picture that `draw` makes of the state, None without it."""
        return draw_with(self.draw, self.swarms, "ParallelSwarm.render")


def _some(names: list[str]) -> str:
    """Return the first few of many names."""
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
