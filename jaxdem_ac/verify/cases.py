"""Table of the cases."""

from functools import partial

from jaxdem_ac.verify import active, alignment, cooling, crowd, friction, impact, jamming, policies, time_steps
from jaxdem_ac.verify.case import Case

_ALL = (
    Case(
        "impact",
        "Head-on impacts of two spheres and on walls under the engine's law, with the damped oscillator.",
        impact.play,
        impact.draw,
    ),
    Case(
        "hertz",
        "Chung and Ooi's tests 1 to 3 under Hertz's law, with Hertz's closed form.",
        impact.play_hertz,
        impact.draw_hertz,
    ),
    Case(
        "oblique",
        "Oblique impacts on a wall with friction, with Coulomb's law of a rigid body.",
        friction.play_oblique,
        friction.draw_oblique,
        size=(7.0, 3.2),
    ),
    Case(
        "rolling",
        "A disc and a sphere that slide until they roll, and a roller under a torque, with rigid-body mechanics.",
        friction.play_rolling,
        friction.draw_rolling,
    ),
    Case(
        "time_step",
        "Errors of impacts against the steps in a contact, with the invariant of velocity Verlet.",
        time_steps.play,
        time_steps.draw,
        size=(6.0, 3.8),
    ),
    Case(
        "cooling",
        "Energy of a freely cooling granular gas against time, with Haff's law and the rate of kinetic theory.",
        cooling.play,
        cooling.draw,
    ),
    Case(
        "alignment",
        "Order of swarms against noise under Vicsek's rule, with its limits and its fall.",
        alignment.play,
        alignment.draw,
    ),
    Case(
        "jamming",
        "Area fraction and contacts of bidisperse discs at the onset of jamming, with O'Hern et al.",
        jamming.play,
        jamming.draw,
        size=(7.0, 3.4),
    ),
    Case(
        "active_brownian",
        "Phases of 400 active Brownian discs below and above the critical point, with Siebert et al.",
        partial(active.play, 400, (300.0, 600.0)),
        active.draw,
        size=(9.0, 3.0),
    ),
    Case(
        "active_brownian_large",
        "Phases of 1,600 active Brownian discs below and above the critical point, with Siebert et al.",
        partial(active.play, 1_600, (300.0, 900.0)),
        active.draw,
        size=(9.0, 3.0),
        is_long=True,
    ),
    Case(
        "clustering",
        "Energy of a cooling gas that clusters against time, with Nie, Ben-Naim and Chen's 1 / t.",
        cooling.play_clusters,
        cooling.draw_clusters,
        is_long=True,
    ),
    Case(
        "crowd",
        "Time to leave the room of evacuation against the desired speed, with Helbing, Farkas and Vicsek in form.",
        crowd.play,
        crowd.draw,
        is_long=True,
        float64=False,
    ),
    Case(
        "policies",
        "Success of oracles, scripted policies and random actions on episodes of their own, with its ceiling.",
        policies.play,
        policies.draw,
        is_long=True,
        float64=False,
    ),
)

CASES = {case.name: case for case in _ALL}
"""Cases by name, in the order in which they are run."""
