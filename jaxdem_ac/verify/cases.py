"""Table of the cases."""

from jaxdem_ac.verify import alignment, cooling, friction, impact, jamming, time_steps
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
)

CASES = {case.name: case for case in _ALL}
"""Cases by name, in the order in which they are run."""
