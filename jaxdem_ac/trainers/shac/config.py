"""Hyperparameters of the short-horizon actor-critic."""

from dataclasses import dataclass
from typing import Literal

from jaxdem_ac._numbers import COUNT, WHOLE, check_number
from jaxdem_ac.trainers.ppo.config import check_shared

Contacts = Literal["keep", "stop"]
Schedule = Literal["constant", "linear"]
Slopes = Literal["unit", "scaled", "running"]


@dataclass(frozen=True, kw_only=True)
class SHACConfig:
    """Hyperparameters of the short-horizon actor-critic."""

    num_envs: int = 16
    """E, environments that are stepped together."""
    num_steps: int = 8
    """T, decisions of a window: slopes go back through all of them, and the critic stands at its end."""
    num_epochs: int = 4
    """Passes over a window."""
    num_minibatches: int = 4
    """Optimizer updates in a pass."""
    learning_rate: float = 3e-3
    """Learning rate of the first optimizer update."""
    schedule: Schedule = "linear"
    """Course of the learning rate over the run, counted in optimizer updates."""
    gamma: float = 0.99
    """Discount of one decision."""
    gae_lambda: float = 0.95
    """Decay of the trace of the critic's targets."""
    step_size: float = 0.6
    """Distance by which an update would move an action before the bijector, up its slope, if that were of length 1."""
    slopes: Slopes = "scaled"
    """Length of a particle's slope in an update: ``"unit"`` makes each 1, so that only its direction counts;
    ``"scaled"`` divides all by their root mean square, and cuts what is longer than 1; ``"running"`` divides them by
    no less than the geometric mean of those of windows so far, so that where little is left to gain little moves."""
    decay: float = 1.0
    """Factor of a slope for each decision that it goes back in time, in [0, 1]; 0 looks no further than a decision."""
    max_state_slope: float | None = None
    """Most that an environment's return may change with its state, at each decision; longer slopes are cut, as those
    through collisions are that amplify. Unlimited if left out."""
    contacts: Contacts = "keep"
    """Whether slopes go through the forces of contacts (``"keep"``), or take them for given numbers (``"stop"``), which
    is cheaper. Only the embedded engine has contacts to stop at."""
    softening: float = 1.0
    """Factor by which contacts are softer in windows than in the task: `stiffness` is divided by it, so that a contact
    lasts more time steps and slopes through it are small. Evaluations are of the task as it is. At least 1, and 1 for a
    task without a `stiffness`."""
    remat: bool = False
    """Whether a decision is computed again when slopes go back through it, in place of being kept in memory."""
    smooth_reward: bool = True
    """Whether the return is of the environment's smooth reward, where it offers one, in place of its reward."""
    value_coef: float = 0.5
    """Coefficient of the value loss."""
    target_rate: float = 0.5
    """Share of the way that the target network goes to the critic in an update; 1 is no network of its own."""
    max_grad_norm: float = 0.5
    """The gradient's global norm is scaled down to this."""
    normalize_return: bool = True
    """Whether the model answers values divided by the running deviation of their targets."""

    def __post_init__(self) -> None:
        """Check every field, once."""
        where = "SHACConfig"
        for name in ("num_envs", "num_steps", "num_epochs", "num_minibatches"):
            check_number(where, name, getattr(self, name), int, lambda x: 1 <= x < COUNT, WHOLE)
        for name in ("learning_rate", "step_size", "max_grad_norm"):
            check_number(where, name, getattr(self, name), float, lambda x: x > 0, "above 0")
        for name in ("gamma", "gae_lambda", "decay"):
            check_number(where, name, getattr(self, name), float, lambda x: 0 <= x <= 1, "in [0, 1]")
        check_number(where, "softening", self.softening, float, lambda x: x >= 1, "at least 1")
        check_number(where, "target_rate", self.target_rate, float, lambda x: 0 < x <= 1, "in (0, 1]")
        check_number(where, "value_coef", self.value_coef, float, lambda x: x >= 0, "at least 0")
        if self.max_state_slope is not None:
            check_number(where, "max_state_slope", self.max_state_slope, float, lambda x: x > 0, "above 0, or null")
        flags = ("remat", "smooth_reward", "normalize_return")
        check_shared(where, self, flags, contacts=Contacts, schedule=Schedule, slopes=Slopes)


GRID_FIELDS = ("gae_lambda", "gamma", "learning_rate", "max_grad_norm", "step_size", "target_rate", "value_coef")
"""Fields that a grid may vary: numbers that shape nothing, so that runs that differ in them are one program."""
