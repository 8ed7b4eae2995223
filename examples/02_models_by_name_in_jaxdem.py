# %% [markdown]
# # Our models in JaxDEM's trainer
# One import makes the names selectable in JaxDEM's registries, under `ac.`, wherever it stands.

# %%
import argparse
import tempfile

import jaxdem.rl as rl
from flax import nnx

import jaxdem_ac  # noqa: F401  (the import registers the names)

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=20)
epochs = parser.parse_args().epochs

# %%
env = rl.Environment.create("multi_navigator", N=8)
model = rl.Model.create(
    "ac.SharedActorCritic",
    observation_space_size=env.observation_space_size,
    action_space_size=env.action_space_size,
    key=nnx.Rngs(0),
    action_space=rl.ActionSpace.create("ac.MaxNorm", max_norm=5.0),
)
trainer = rl.Trainer.create("PPO", env=env, model=model, num_envs=16, num_steps_epoch=16, num_epochs=epochs)

# %%
with tempfile.TemporaryDirectory() as directory:
    trainer = trainer.train(trainer, verbose=False, log=False, directory=directory)
trained, *_ = nnx.merge(trainer.graphdef, trainer.graphstate)
print("trained", type(trained).__name__, "in JaxDEM's PPO; action space", type(trained.action_space).__name__)
