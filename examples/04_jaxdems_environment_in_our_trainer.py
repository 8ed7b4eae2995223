# %% [markdown]
# # JaxDEM's environments in our trainer
# `jaxdem:<name>` is any environment that is registered in JaxDEM, by its own authors or by somebody's plugin. Where
# nothing but its clock ends an episode, that is a time limit: the value beyond it is bootstrapped.

# %%
import argparse

import jax

import jaxdem_ac as ac

parser = argparse.ArgumentParser()
parser.add_argument("--steps", type=int, default=300_000)
steps = parser.parse_args().steps

# %%
environment = ac.make_environment("jaxdem:multi_navigator", N=8, max_steps=2_000, physics_steps=40)
print("ends by its clock alone:", environment.ends_by_clock, "after", environment.episode_length, "decisions")

# %%
config = ac.TrainConfig(
    env="jaxdem:multi_navigator",
    env_kw={"N": 8, "max_steps": 2_000, "physics_steps": 40},
    action_space="MaxNorm",
    action_space_kw={"max_norm": 6.0},
    steps=steps,
)
result = ac.train(config, report=lambda metrics: print(metrics["steps"], round(metrics["reward"], 4)))

# %%
print("at target:", ac.evaluate(environment, result.policy, jax.random.key(1), num_episodes=32).success)
