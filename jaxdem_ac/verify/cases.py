"""Table of the cases."""

from collections.abc import Callable
from functools import partial
from typing import Any

from jaxdem_ac.verify import (
    active,
    alignment,
    cooling,
    crowd,
    friction,
    impact,
    jamming,
    policies,
    sticking,
    time_steps,
)
from jaxdem_ac.verify.case import Case, Data, Figure, Outcome


def _case(name: str, play: Callable[[], Outcome], draw: Callable[[Figure, Data], None], **options: Any) -> Case:
    """Return the case whose sentence begins the docstring of `play`, behind its verb."""
    said = (play.__doc__ or "").partition("\n")[0].removeprefix("Compare ")
    return Case(name, said[:1].upper() + said[1:], play, draw, **options)


def _active(name: str, num: int, until: tuple[float, float], **options: Any) -> Case:
    said = f"Phases of {num:,} active Brownian discs below and above the critical point, with Siebert et al."
    return Case(name, said, partial(active.play, num, until), active.draw, size=(9.0, 3.0), **options)


_ALL = (
    _case("impact", impact.play, impact.draw),
    _case("hertz", impact.play_hertz, impact.draw_hertz),
    _case("oblique", friction.play_oblique, friction.draw_oblique, size=(7.0, 3.2)),
    _case("sticking", sticking.play, sticking.draw, size=(7.0, 3.2)),
    _case("rolling", friction.play_rolling, friction.draw_rolling),
    _case("time_step", time_steps.play, time_steps.draw, size=(6.0, 3.8)),
    _case("cooling", cooling.play, cooling.draw),
    _case("alignment", alignment.play, alignment.draw),
    _case("jamming", jamming.play, jamming.draw, size=(7.0, 3.4)),
    _active("active_brownian", 400, (300.0, 600.0)),
    _active("active_brownian_large", 1_600, (300.0, 900.0), is_long=True),
    _case("clustering", cooling.play_clusters, cooling.draw_clusters, is_long=True),
    _case("heap", sticking.play_heap, sticking.draw_heap, size=(8.0, 3.4), is_long=True),
    _case("crowd", crowd.play, crowd.draw, is_long=True, float64=False),
    _case("policies", policies.play, policies.draw, is_long=True, float64=False),
)
CASES = {case.name: case for case in _ALL}
"""Cases by name, in the order in which they are run."""
