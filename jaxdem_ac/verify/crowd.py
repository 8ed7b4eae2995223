"""Evacuation: time to leave a room against the speed that everybody desires."""

import warnings
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxdem_ac.dem import TimeStepWarning
from jaxdem_ac.environments.tasks.evacuation import Evacuation, EvacuationState
from jaxdem_ac.verify.case import Check, Data, Figure, Outcome
from jaxdem_ac.view.figures.style import BLUE, INK

SPEEDS = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Speeds of a lone disc at full force, length / time: `max_force` over `drag`."""
CROWDS = 6
SHARE = 0.8
"""Share of the crowd that has to be outside."""
LONGEST = 160.0
"""Time after which a crowd is given up, at a speed of 1; less at higher ones."""
HELBING = "Helbing, Farkas and Vicsek, Nature 407, 487 (2000)"


def leave(speed: float) -> np.ndarray:
    """Return the times that crowds take at full force to the gap, ``(CROWDS,)``; infinite for those that clog."""
    with warnings.catch_warnings():
        # As many steps in a contact as the task's own numbers have, of which nobody is warned.
        warnings.simplefilter("ignore", TimeStepWarning)
        task = Evacuation(
            num_particles=48, forecourt=16.0, max_force=speed, stiffness=5e3, dt=4e-3, physics_steps=25, max_steps=10**6
        )
    policy = task.scripted(task)
    most = int(LONGEST / speed / task.decision_time)

    @jax.jit
    @partial(jax.vmap)
    def times(key: Array) -> Array:
        def goes_on(now: tuple[EvacuationState, Array, Array]) -> Array:
            return (now[1] < most) & (now[2] < SHARE)

        def body(now: tuple[EvacuationState, Array, Array]) -> tuple[EvacuationState, Array, Array]:
            state, timestep = task.step(now[0], policy(now[0].observation))
            return state, now[1] + 1, timestep.info["success"]

        first = (task.reset(key), jnp.zeros((), jnp.int32), jnp.zeros(()))
        _, count, share = jax.lax.while_loop(goes_on, body, first)
        return jnp.where(share >= SHARE, count * task.decision_time, jnp.inf)

    return np.asarray(times(jax.random.split(jax.random.key(0), CROWDS)))


def play() -> Outcome:
    """Compare time to leave the room of evacuation against the desired speed, with Helbing, Farkas and Vicsek in form.

    A higher desired speed speeds one disc up in proportion, and a crowd by less.
    """
    times = np.array([np.median(leave(speed)) for speed in SPEEDS])
    efficiency = 1 / (times * np.asarray(SPEEDS))
    drops = efficiency[1:] / efficiency[:-1]
    checks = (
        Check("largest ratio of crowds out per time and speed, from one speed to its double", float(drops.max()), 1.0,
              0.0, f"it falls, in form; {HELBING}", "at most"),
        Check(f"the same from {SPEEDS[0]:g} to {SPEEDS[-1]:g}", float(efficiency[-1] / efficiency[0]), 2 / 3, 0.0,
              f"it falls, in form; {HELBING}", "at most"),
    )  # fmt: skip
    return Outcome(checks, {"speed": SPEEDS, "time": times})


def draw(figure: Figure, data: Data) -> None:
    """Draw the time against the desired speed, and their product."""
    left, right = figure.subplots(1, 2)
    speed, time = np.asarray(data["speed"]), np.asarray(data["time"])
    left.loglog(speed, time, "o", color=BLUE, label="crowd of 48")
    left.loglog(speed, time[0] * speed[0] / speed, color=INK, linewidth=1, label="in proportion")
    left.set(xlabel="desired speed", ylabel="time until 80 % are outside")
    right.semilogx(speed, time[0] * speed[0] / (time * speed), "o", color=BLUE)
    right.set(xlabel="desired speed", ylabel="outflow / speed, relative", ylim=(0, 1.05))
