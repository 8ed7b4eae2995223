# %% [markdown]
# # Train a swarm with somebody else's PPO
# `ac.make_vector_env` is a `gymnasium.vector.VectorEnv`, in which every particle is a sub-environment: whatever learns
# from many copies of one agent learns one policy that the whole swarm shares. Here that is Stable-Baselines3, for it
# is what most people have, it is well kept, and its PPO trains on two CPU cores; its weight is PyTorch's.
#
# `pip install "jaxdem-ac[gym]" stable-baselines3`; about a minute on two CPU cores, `--steps 20000` makes it a smoke
# test.

# %%
import argparse
import time
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium.wrappers.vector import RescaleAction
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecEnv

import jaxdem_ac as ac

parser = argparse.ArgumentParser()
parser.add_argument("--steps", type=int, default=400_000)
steps = parser.parse_args().steps
# Networks this small are fastest on one.
torch.set_num_threads(1)

# %% [markdown]
# Sixteen swarms of sixteen discs, with the settings that the environment advises for training; 256 agents to learn
# from. PPO explores with a deviation of 1, so that actions are best between -1 and 1: gymnasium's own wrapper sees to
# that.


# %%
def make_swarms(num_swarms: int) -> gymnasium.vector.VectorEnv:
    return RescaleAction(ac.make_vector_env("multi_navigator", num_swarms), np.float32(-1), np.float32(1))


# %% [markdown]
# Stable-Baselines3 has a class of its own for many environments. It wants the last observation of an episode in
# `terminal_observation`, and to know whether a time limit has cut it.


# %%
class OfVectorEnv(VecEnv):
    def __init__(self, swarms: gymnasium.vector.VectorEnv, seed: int) -> None:
        self.swarms, self.start = swarms, seed
        super().__init__(swarms.num_envs, swarms.single_observation_space, swarms.single_action_space)

    def reset(self) -> np.ndarray:
        return self.swarms.reset(seed=self.start)[0]

    def step_async(self, actions: np.ndarray) -> None:
        self.actions = actions

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        observation, reward, terminated, truncated, infos = self.swarms.step(self.actions)
        done = terminated | truncated
        each: list[dict[str, Any]] = [{} for _ in done]
        for index in np.flatnonzero(done):
            last = {"terminal_observation": infos["final_obs"][index]}
            each[index] = {**last, "TimeLimit.truncated": bool(truncated[index] and not terminated[index])}
        return observation, reward, done, each

    def close(self) -> None:
        self.swarms.close()

    def get_attr(self, name: str, indices: Any = None) -> list[Any]:
        return [getattr(self.swarms, name)] * len(list(self._get_indices(indices)))

    def set_attr(self, name: str, value: Any, indices: Any = None) -> None:
        raise NotImplementedError("particles have no attributes of their own")

    def env_method(self, name: str, *arguments: Any, indices: Any = None, **keywords: Any) -> list[Any]:
        raise NotImplementedError("particles have no methods of their own")

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        return [False] * len(list(self._get_indices(indices)))


# %% [markdown]
# Success is the share of particles at their target at the end of an episode, here of 32 swarms that no training has
# seen.


# %%
def success(model: PPO, num_swarms: int = 32) -> float:
    swarms = make_swarms(num_swarms)
    observation, _ = swarms.reset(seed=1_000)
    while True:
        action, _ = model.predict(observation, deterministic=True)
        observation, _, _, truncated, infos = swarms.step(np.clip(action, -1, 1))
        if truncated.all():
            return float(infos["final_info"]["success"].mean())


# %%
model = PPO(
    "MlpPolicy",
    OfVectorEnv(make_swarms(16), seed=0),
    n_steps=50,
    batch_size=1_600,
    n_epochs=5,
    learning_rate=1e-3,
    gamma=0.97,
    policy_kwargs={"log_std_init": -0.5},
    device="cpu",
    seed=0,
)
before = success(model)
start = time.perf_counter()
model.learn(steps)
seconds = time.perf_counter() - start
print(f"at target: {before:.3f} before, {success(model):.3f} after {model.num_timesteps:,} steps in {seconds:.0f} s")
