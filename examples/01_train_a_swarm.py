# %% [markdown]
# # Train a swarm
# Sixteen discs look for sixteen targets that nobody has assigned. This takes about a minute on two CPU cores;
# `--steps 20000` on the command line makes it a smoke test.

# %%
import argparse

import jax

import jaxdem_ac as ac

parser = argparse.ArgumentParser()
parser.add_argument("--steps", type=int, default=2_000_000)
steps = parser.parse_args().steps

# %% [markdown]
# A configuration names everything; what it leaves out, the environment advises.

# %%
config = ac.TrainConfig(env="swarm_navigator", model="SharedActorCritic", action_space="MaxNorm", steps=steps)
result = ac.train(config, report=lambda m: print(f"{m['steps']:>10,}  reward {m['reward']:+.4f}"))

# %% [markdown]
# A policy maps observations, with any leading axes, to actions: its mode, or a sample if it is given a key.

# %%
environment, policy = result.environment, result.policy
state = environment.reset(jax.random.key(1))
state, timestep = environment.step(state, policy(state.observation))
print("after one decision:", timestep.observation.shape, timestep.reward.shape)

# %% [markdown]
# Whole episodes say how good it is, with an interval of 95 % confidence.

# %%
evaluation = ac.evaluate(environment, policy, jax.random.key(2), num_episodes=32)
print("targets covered at the end of an episode:", evaluation.success)
