# %% [markdown]
# # An environment and an action space of your own
# The folder `06_third_party_plugin` is a package as somebody else would write it: discs that look for light and shade
# each other, and an action space of any heading and a bounded speed. Install it first, and its names are known here:
#
#     pip install examples/06_third_party_plugin
#
# This takes about a minute on two CPU cores; `--steps 20000` makes it a smoke test.

# %%
import argparse

import jax
import jax.numpy as jnp
import numpy as np

import jaxdem_ac as ac
from jaxdem_ac.registry import action_spaces, environments
from jaxdem_ac.view.render import render_run

parser = argparse.ArgumentParser()
parser.add_argument("--steps", type=int, default=2_000_000)
parser.add_argument("--out", default="runs/light")
arguments = parser.parse_args()

# %% [markdown]
# Nothing was imported from the package: its entry points say what it brings.

# %%
for registry in (environments, action_spaces):
    print(f"{registry.kind}s:", ", ".join(f"{entry.name} ({entry.origin})" for entry in registry.entries()))

# %% [markdown]
# The action space turns the normal distribution into the uniform one on a disc. A policy that has learnt nothing tries
# every heading and speed evenly, and its entropy is the logarithm of the disc's area.

# %%
thrust = ac.make_action_space("PolarThrust", max_speed=1.0)
actions = thrust.forward(jax.random.normal(jax.random.key(0), (100_000, 2)))
speed = np.asarray(jnp.linalg.norm(actions, axis=-1))
shares = [f"{(speed < limit).mean():.2f}" for limit in (0.25, 0.5, 0.75, 1.0)]
print("share of actions slower than 0.25, 0.5, 0.75 and 1:", *shares)

# %% [markdown]
# It trains as any other does. On the command line that is
# `jaxdem-ac train --env phototaxis --action-space PolarThrust --set ppo.entropy_coef=1e-3`.

# %%
config = ac.TrainConfig(
    env="phototaxis",
    action_space="PolarThrust",
    ppo=ac.PPOConfig(entropy_coef=1e-3),
    steps=arguments.steps,
    out=arguments.out,
)
result = ac.train(config, report=lambda m: print(f"{m['steps']:>10,}  reward {m['reward']:+.4f}"), overwrite=True)

# %%
environment = result.environment
before = ac.evaluate(environment, lambda observation, key: 0.0 * observation[..., :2], jax.random.key(1))
after = ac.evaluate(environment, ac.load_policy(arguments.out), jax.random.key(1))
print("light on the heap, and on the trained swarm:", before.success, after.success)
print("wrote", *render_run(arguments.out))
