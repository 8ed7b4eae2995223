"""Hyperparameters of proximal policy optimisation."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from jaxdem_ac._numbers import COUNT, WHOLE, check_number
from jaxdem_ac.registry import suggest

Schedule = Literal["constant", "linear", "cosine"]
Optimizer = Literal["adam", "muon"]


@dataclass(frozen=True, kw_only=True)
class PPOConfig:
    """Hyperparameters of proximal policy optimisation."""

    num_envs: int = 64
    """E, environments that are stepped together."""
    num_steps: int = 32
    """T, decisions between two updates."""
    num_epochs: int = 4
    """Passes over a rollout."""
    num_minibatches: int = 8
    """Optimizer updates in a pass. With a recurrent model it divides `num_envs`: its sequences stay whole."""
    learning_rate: float = 3e-3
    """Learning rate of the first optimizer update."""
    schedule: Schedule = "linear"
    """Course of the learning rate over the run, counted in optimizer updates."""
    optimizer: Optimizer = "adam"
    """Optimizer, by its name in optax."""
    gamma: float = 0.99
    """Discount of one decision."""
    gae_lambda: float = 0.95
    """Decay of the advantage's trace."""
    clip_eps: float = 0.2
    """Distance from 1 beyond which the ratio of policies is clipped."""
    clip_value: float | None = None
    """Most that an update moves the value; unlimited if left out, which learns better (Andrychowicz et al. 2021)."""
    target_kl: float | None = None
    """Passes over a rollout end where the policy has moved farther than this from the one that played, in nats."""
    value_coef: float = 0.5
    """Coefficient of the value loss."""
    entropy_coef: float = 0.0
    """Coefficient of the entropy bonus, per nat."""
    max_grad_norm: float = 0.5
    """The gradient's global norm is scaled down to this."""
    normalize_advantage: bool = True
    """Whether advantages get mean 0 and variance 1 in every minibatch."""
    normalize_observation: bool = False
    """Whether the model sees observations divided by their running deviation. Lidar readings are in [0, 1] as they
    are, mostly 0, and lose by it: after 70 updates at a learning rate of 1e-3, swarm_navigator covers 0.09 of its
    targets with it and 0.71 without; 0.58 and 0.74 with the model's actor_scale at 0.01."""
    normalize_return: bool = False
    """Whether the model answers values divided by the running deviation of their targets (Yu et al. 2022, section 5.1):
    for rewards far from 1. A reported value loss is then of such values."""

    def __post_init__(self) -> None:
        """Check every field, once."""
        for name in ("num_envs", "num_steps", "num_epochs", "num_minibatches"):
            check_number("PPOConfig", name, getattr(self, name), int, lambda x: 1 <= x < COUNT, WHOLE)
        for name in ("learning_rate", "max_grad_norm"):
            check_number("PPOConfig", name, getattr(self, name), float, lambda x: x > 0, "above 0")
        for name in ("gamma", "gae_lambda"):
            check_number("PPOConfig", name, getattr(self, name), float, lambda x: 0 <= x <= 1, "in [0, 1]")
        check_number("PPOConfig", "clip_eps", self.clip_eps, float, lambda x: 0 < x < 1, "in (0, 1)")
        for name in ("clip_value", "target_kl"):
            if getattr(self, name) is not None:
                check_number("PPOConfig", name, getattr(self, name), float, lambda x: x > 0, "above 0, or null")
        for name in ("value_coef", "entropy_coef"):
            check_number("PPOConfig", name, getattr(self, name), float, lambda x: x >= 0, "at least 0")
        flags = ("normalize_advantage", "normalize_observation", "normalize_return")
        check_shared("PPOConfig", self, flags, schedule=Schedule, optimizer=Optimizer)

    @property
    def has_entropy_bonus(self) -> bool:
        """Whether the entropy is part of the loss, and not only reported; always if its coefficient is traced."""
        return not isinstance(self.entropy_coef, int | float) or self.entropy_coef > 0


def check_shared(where: str, config: Any, flags: Sequence[str], **choices: Any) -> None:
    """Raise unless flags are such, each other field is one of a Literal's values, and minibatches divide a rollout."""
    for name in flags:
        if not isinstance(getattr(config, name), bool):
            raise TypeError(f"{where}: {name} is true or false; got {name}={getattr(config, name)!r}. Pass a bool.")
    for name, kind in choices.items():
        if getattr(config, name) not in get_args(kind):
            raise ValueError(
                f"{where}: {name} is one of a few; got {name}={getattr(config, name)!r}. "
                f"{suggest(str(getattr(config, name)), get_args(kind))}"
            )
    num_envs, num_steps, pieces = config.num_envs, config.num_steps, config.num_minibatches
    if num_envs * num_steps >= COUNT:
        raise ValueError(
            f"{where}: a rollout has fewer than 2**31 decisions of a swarm, num_envs * num_steps; got {num_envs=} and "
            f"{num_steps=}. Lower them."
        )
    if num_envs * num_steps % pieces:
        raise ValueError(
            f"{where}: num_minibatches divides num_envs * num_steps; got num_minibatches={pieces} for {num_envs} * "
            f"{num_steps}. Choose a divisor."
        )


GRID_FIELDS = (
    "clip_eps",
    "clip_value",
    "entropy_coef",
    "gae_lambda",
    "gamma",
    "learning_rate",
    "max_grad_norm",
    "target_kl",
    "value_coef",
)
"""Fields that a grid may vary: numbers that shape nothing, so that runs that differ in them are one program."""
