# %% [markdown]
# # Policies per species: who does the work
# Six light discs and six heavy ones are to push a load to its goal. A light one is there at once and can follow; a
# heavy one takes its time and is hard to stop. Each kind learns a policy of its own, in one training. Who pushes, and
# where are the others?
#
# This takes about two minutes on two CPU cores; `--steps 20000` makes it a smoke test.

# %%
import argparse
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.patches import Circle

import jaxdem_ac as ac
from jaxdem_ac.trainers.rollout import play_episode
from jaxdem_ac.view.figures.style import BLUE, GREY, ORANGE, new_figure, save_figure

parser = argparse.ArgumentParser()
parser.add_argument("--steps", type=int, default=4_000_000)
parser.add_argument("--figure", type=Path, default=Path("two_species.png"))
arguments = parser.parse_args()

# %% [markdown]
# In a swarm of several species, `radius` and `mass` have one entry for each. A policy per species takes the species
# from its environment. (One policy for all could see sizes instead, with `observe_sizes`.)

# %%
SPECIES = [0] * 6 + [1] * 6
NAMES = ("light", "heavy")
config = ac.TrainConfig(
    env="collective_transport",
    env_kw={"num_particles": 12, "species": SPECIES, "radius": [0.7, 1.1], "mass": [0.3, 4.0]},
    model="PerParticle",
    model_kw={"sharing": "species"},
    steps=arguments.steps,
)
result = ac.train(config, report=lambda m: print(f"{m['steps']:>10,}  reward {m['reward']:+.4f}"))
environment, policy = result.environment, result.policy
print("goals reached:", ac.evaluate(environment, policy, jax.random.key(1), num_episodes=64).success)

# %% [markdown]
# Who touches the load, how hard, and from where? A contact pushes with the engine's stiffness times the overlap; what
# moves the load is the component along the way to its goal. Bearings are seen from the load: 0 degrees is where it
# goes, 180 is right behind.

# %%
NUM_EPISODES = 128
play = jax.jit(jax.vmap(lambda key: play_episode(environment, policy, key, environment.episode_length)))
played = play(jax.random.split(jax.random.key(2), NUM_EPISODES))
states, info = played.states, played.timestep.info
position, radius = states.particles.position, states.particles.radius
apart = position[..., -1:, :] - position[..., :-1, :]
distance = jnp.linalg.norm(apart, axis=-1)
overlap = jnp.maximum(0.0, radius[..., -1:] + radius[..., :-1] - distance)
way = states.targets[..., 0, :] - position[..., -1, :]
way = way / jnp.linalg.norm(way, axis=-1, keepdims=True)
along = jnp.einsum("etnd,etd->etn", apart, way) / distance
# Until the goal is reached.
going = np.asarray(jnp.cumsum(info["success"] >= 1, axis=1) == 0)[..., None]
push = np.asarray(environment.stiffness * overlap * along)[:, 1:] * going
touching = np.asarray(overlap > 0)[:, 1:] & going
bearing = np.degrees(np.arccos(np.clip(-np.asarray(along), -1, 1)))[:, 1:]

kinds = np.asarray(SPECIES)
for kind, name in enumerate(NAMES):
    own = kinds == kind
    there = touching[..., own].sum() / going.sum() / own.sum()
    behind = np.median(bearing[..., own][touching[..., own]]) if touching[..., own].any() else float("nan")
    print(f"{name}: {push[..., own].sum() / push.sum():.0%} of the push, at the load {there:.0%} of the time, ", end="")
    print(f"at {behind:.0f} degrees")

# %% [markdown]
# The same as a picture: a moment of an episode; the push over time, which has to beat the ground's friction; and
# where around the load each kind is while it touches it.

# %%
figure = new_figure(11.0, 3.6)
scene, over_time, around = figure.subplots(1, 3)
episode = int(np.argmax(push.sum((1, 2))))
moment = int(np.argmax(push[episode].sum(-1))) + 1
for index in range(len(SPECIES) + 1):
    colour = GREY if index == len(SPECIES) else (BLUE, ORANGE)[SPECIES[index]]
    place, size = position[episode, moment, index], float(radius[episode, moment, index])
    scene.add_patch(Circle(tuple(map(float, place)), size, facecolor=colour, edgecolor="white"))
goal = tuple(map(float, states.targets[episode, moment, 0]))
scene.add_patch(Circle(goal, environment.tolerance, fill=False, edgecolor="black", linestyle="--"))
low, high = states.box_low[episode, 0], states.box_high[episode, 0]
scene.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), aspect="equal", xticks=[], yticks=[])
scene.set_title("the load, its goal, and both kinds", fontsize=9)
time = environment.decision_time * np.arange(1, push.shape[1] + 1)
for kind, (name, colour) in enumerate(zip(NAMES, (BLUE, ORANGE), strict=True)):
    own = kinds == kind
    counts = np.maximum(going.sum((0, 2)), 1)
    mean = push[..., own].sum((0, 2)) / counts
    # Over five decisions: contacts are stiff, and ring.
    over_time.plot(time[2:-2], np.convolve(mean, np.full(5, 0.2), "valid"), color=colour, label=name)
    where = bearing[..., own][touching[..., own]]
    around.hist(
        where, bins=np.linspace(0, 180, 19), weights=np.full(where.size, 1 / going.sum()), color=colour, alpha=0.6
    )
over_time.axhline(environment.load_friction, color=GREY, linestyle="--", linewidth=1, label="friction of the ground")
over_time.set(
    xlabel="time", ylabel="push of a kind", xlim=(0, np.quantile(going.sum(1), 0.9) * environment.decision_time)
)
over_time.set_title("force along the way, mean of running episodes", fontsize=9)
over_time.legend(frameon=False, fontsize=8)
around.set(xlabel="bearing from the load, degrees (180: behind)", ylabel="particles at the load")
around.set_title("where they touch it", fontsize=9)
for axis in (over_time, around):
    axis.spines[["top", "right"]].set_visible(False)
save_figure(figure, arguments.figure)
print("wrote", arguments.figure)
