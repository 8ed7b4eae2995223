# %% [markdown]
# # One physics: a run on JaxDEM's engine, and in ParaView
# A policy that was trained on the embedded engine plays on JaxDEM's State and System. The same actions lead to the same
# places until rounding has grown, and whole episodes to the same success.

# %%
import argparse
import tempfile
from pathlib import Path

import jaxdem_ac as ac
from jaxdem_ac.plugin.vtk import as_jaxdem, write_vtk
from jaxdem_ac.runs.compare_engines import replay
from jaxdem_ac.runs.recording import record_run

parser = argparse.ArgumentParser()
parser.add_argument("--steps", type=int, default=200_000)
parser.add_argument("--episodes", type=int, default=16)
arguments = parser.parse_args()
folder = Path(tempfile.mkdtemp())

# %%
config = ac.TrainConfig(
    env="multi_navigator",
    env_kw={"num_particles": 8, "max_steps": 2_000},
    action_space="MaxNorm",
    steps=arguments.steps,
    out=str(folder / "run"),
)
ac.train(config)

# %%
found = replay(folder / "run", "jaxdem", decisions=20, episodes=arguments.episodes)
print("largest difference of a position after 1 and after 20 decisions:", found.position[0], found.position[-1])
for name, result in found.evaluations.items():
    print(f"{name}: at target {result.success}")

# %%
recording = record_run(folder / "run", decisions=20)
state, system = as_jaxdem(recording, 20)
print("JaxDEM's State of the last frame:", state.N, "discs at time", float(system.time))
print("for ParaView:", sorted(path.name for path in write_vtk(recording, folder / "frames").glob("*.pvd")))
