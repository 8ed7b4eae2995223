# %% [markdown]
# # Our environments in JaxDEM's trainer
# Each stands in JaxDEM's registry under `ac.`. One step of it is one decision; `env.state` and `env.system` are
# JaxDEM's own, so that its wrappers, writers and models, recurrent ones too, work as they are.

# %%
import argparse
import tempfile

import jax
import jaxdem.rl as rl
from flax import nnx

import jaxdem_ac  # noqa: F401  (the import registers the names)

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=20)
epochs = parser.parse_args().epochs

# %%
env = rl.Environment.create("ac.swarm_navigator", N=16, physics_steps=50, max_steps=5_000)
env = env.reset(env, jax.random.key(0))
print("positions", env.state.pos.shape, "in a box of", env.system.domain.box_size)

# %%
model = rl.Model.create(
    "LSTMActorCritic",
    observation_space_size=env.observation_space_size,
    action_space_size=env.action_space_size,
    key=nnx.Rngs(0),
    action_space=rl.ActionSpace.create("ac.MaxNorm", max_norm=6.0),
)
trainer = rl.Trainer.create("PPO", env=env, model=model, num_envs=16, num_steps_epoch=16, num_epochs=epochs)
with tempfile.TemporaryDirectory() as directory:
    trainer = trainer.train(trainer, verbose=False, log=False, directory=directory)

# %%
figures = trainer.env.info(trainer.env)
print(
    "targets covered:",
    f"{float(figures['success'].mean()):.3f}",
    "after",
    int(trainer.env.system.step_count[0]),
    "steps",
)
