"""One swarm as a ``gymnasium.Env``: one agent, who sees and moves all particles."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete, MultiDiscrete

from jaxdem_ac._checks import check_count
from jaxdem_ac.action_spaces.base import ActionBounds
from jaxdem_ac.environments.base import Environment
from jaxdem_ac.environments.wrappers.host_vector_env import Draw, HostVectorEnv
from jaxdem_ac.registry import environments


class SwarmEnv(gymnasium.Env[np.ndarray, np.ndarray]):
    """One agent observes ``(N * O,)`` and acts ``(N * D,)``, particle by particle; its reward is the mean.

    `make_gym_env` makes one; `draw` is a function of an environment and a state to a picture.
    """

    def __init__(self, swarms: HostVectorEnv, draw: Draw | None = None) -> None:
        environment = swarms.environment
        self.swarms = swarms
        self.draw = draw
        self.render_mode = None if draw is None else "rgb_array"
        self.metadata = describe(environment, draw)
        self.observation_space, self.action_space = swarm_spaces(swarms)
        self._under_way = False

    def reset(
        self, *, seed: int | None = None, options: dict[str, object] | None = None
    ) -> tuple[np.ndarray, dict[str, object]]:
        """Begin an episode and return the observation, ``(N * O,)``, and an empty info.

        All that is random from here on is a function of `seed`, a whole number from 0, as in every ``gymnasium.Env``.
        Raises ValueError for another seed. `options` are not used.
        """
        super().reset(seed=checked_seed("SwarmEnv.reset", seed))
        self._under_way = True
        return self.swarms.reset(self.np_random).reshape(-1), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, float]]:
        """Take one decision, an action ``(N * D,)`` within the bounds.

        It returns the observation, ``(N * O,)``, the reward, mean over the particles, whether the task has ended or the
        time limit has cut it, and what the environment reports, as Python's floats. Raises RuntimeError if no episode
        is under way, ValueError if the action has another shape, is not finite, or is not in its space.
        """
        if not self._under_way:
            raise RuntimeError("SwarmEnv.step: an episode is under way; got none. Call reset() first.")
        played = self.swarms.step(checked("SwarmEnv.step", self.swarms, action, self.action_space))
        terminated, truncated = bool(played.terminated[0]), bool(played.truncated[0])
        self._under_way = not (terminated or truncated)
        reward = float(np.mean(played.reward))
        return played.observation.reshape(-1), reward, terminated, truncated, floats(played.info)

    def render(self) -> np.ndarray | None:
        """Return the picture that `draw` makes of the state, None without it."""
        return draw_with(self.draw, self.swarms, "SwarmEnv.render")


def particle_space(bounds: ActionBounds) -> Box | Discrete:
    """Return the space of a particle's action: a box, or the number of one of its actions."""
    if bounds.choices is not None:
        return Discrete(len(bounds.choices))
    return Box(bounds.low, bounds.high, dtype=np.float32)


def swarm_spaces(swarms: HostVectorEnv) -> tuple[Box, Box | MultiDiscrete]:
    """Return the spaces of observation and action of a whole swarm."""
    _, num, _ = swarms.action_shape
    seen = Box(-np.inf, np.inf, (num * swarms.environment.observation_size,), np.float32)
    if swarms.bounds.choices is not None:
        return seen, MultiDiscrete(np.full(num, len(swarms.bounds.choices)))
    low, high = np.tile(swarms.bounds.low, num), np.tile(swarms.bounds.high, num)
    return seen, Box(low, high, dtype=np.float32)


def describe(environment: Environment, draw: Draw | None) -> dict[str, Any]:
    """Return what gymnasium and PettingZoo want to know of an environment: its name, and how it is drawn."""
    modes = [] if draw is None else ["rgb_array"]
    return {"name": task_name(environment), "render_modes": modes, "render_fps": 1 / environment.decision_time}


def task_name(environment: Environment) -> str:
    """Return the name under which an environment is registered, or that of its class."""
    return environments.name_of(type(environment)) or type(environment).__name__


def floats(info: dict[str, np.ndarray]) -> dict[str, float]:
    """Return the figures of the first swarm."""
    return {name: float(figure[0]) for name, figure in info.items()}


def checked(where: str, swarms: HostVectorEnv, action: object, space: gymnasium.Space[np.ndarray]) -> np.ndarray:
    """Return an action of a space's shape as ``(E, N, D)``, or raise ValueError unless it is within the bounds."""
    if swarms.bounds.choices is not None:
        return chosen(where, swarms.bounds.choices, action, space.shape).reshape(swarms.action_shape)
    numbers = as_numbers(action)
    if numbers is None:
        raise ValueError(f"{where}: actions are numbers, {space.shape}; got {action!r:.60}. Pass a numpy array.")
    if numbers.shape != space.shape:
        raise ValueError(
            f"{where}: actions are {space.shape}; got shape {numbers.shape}. Give what action_space.sample() has."
        )
    numbers = numbers.reshape(swarms.action_shape)
    bad = swarms.bounds.find_bad(numbers)
    if bad is not None:
        swarm, particle = map(int, bad)
        who = f"particle_{particle}" + (f" of swarm {swarm}" if swarms.num_envs > 1 else "")
        raise ValueError(f"{where}: {out_of_bounds(swarms.bounds, who, numbers[swarm, particle])}")
    return numbers


def chosen(where: str, choices: np.ndarray, action: object, shape: tuple[int, ...] | None) -> np.ndarray:
    """Return the actions ``(*shape, D)`` of numbers of choices, or raise ValueError unless they are such numbers."""
    numbers = np.asarray(action)
    if numbers.dtype.kind not in "iu" or numbers.shape != shape:
        raise ValueError(
            f"{where}: actions are whole numbers, {shape}; got shape {numbers.shape} of {numbers.dtype}. Give what "
            "action_space.sample() has."
        )
    if (numbers < 0).any() or (numbers >= len(choices)).any():
        raise ValueError(
            f"{where}: an action is a whole number from 0 to {len(choices) - 1}; got {numbers.min()} to "
            f"{numbers.max()}. Choose one of them."
        )
    return choices[numbers]


def as_numbers(action: object) -> np.ndarray | None:
    """Return real numbers in float32, of an array of one's own; None of text, flags, complex numbers or nothing."""
    try:
        array = np.asarray(action)
        # What is too large is infinite, and is told as that.
        with np.errstate(over="ignore"):
            return array.astype(np.float32) if array.dtype.kind in "iufV" else None
    except (TypeError, ValueError):
        return None


def checked_seed(where: str, seed: object) -> int | None:
    """Return a seed as gymnasium takes it, or raise TypeError or ValueError."""
    return None if seed is None else check_count(where, "seed", seed, least=0)


def out_of_bounds(bounds: ActionBounds, who: str, action: np.ndarray) -> str:
    """Return what is wrong with an action that is out of bounds."""
    return (
        f"every action is finite and in its space, {bounds.low.tolist()} to {bounds.high.tolist()}; got "
        f"{who}={action.tolist()}. Clip it to the space, numpy.clip(action, space.low, space.high), if that is meant."
    )


def draw_with(draw: Draw | None, swarms: HostVectorEnv, where: str) -> np.ndarray | None:
    """Return the picture of the first swarm, None without `draw`; raise RuntimeError before the first reset."""
    if draw is None:
        return None
    if swarms.state is None:
        raise RuntimeError(f"{where}: an episode is under way; got none. Call reset() first.")
    return np.array(draw(swarms.environment, swarms.first_state()), np.uint8)
