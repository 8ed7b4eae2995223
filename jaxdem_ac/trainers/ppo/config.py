"""Hyperparameters of proximal policy optimisation."""

from dataclasses import dataclass
from typing import Literal, get_args

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
        for name in ("normalize_advantage", "normalize_observation", "normalize_return"):
            if not isinstance(getattr(self, name), bool):
                raise TypeError(f"PPOConfig: {name} is true or false; got {name}={getattr(self, name)!r}. Pass a bool.")
        for name in ("value_coef", "entropy_coef"):
            check_number("PPOConfig", name, getattr(self, name), float, lambda x: x >= 0, "at least 0")
        for name, choices in (("schedule", get_args(Schedule)), ("optimizer", get_args(Optimizer))):
            if getattr(self, name) not in choices:
                raise ValueError(
                    f"PPOConfig: {name} is one of a few; got {name}={getattr(self, name)!r}. "
                    f"{suggest(str(getattr(self, name)), choices)}"
                )
        if self.num_envs * self.num_steps >= COUNT:
            raise ValueError(
                "PPOConfig: a rollout has fewer than 2**31 decisions of a swarm, num_envs * num_steps; got "
                f"num_envs={self.num_envs} and num_steps={self.num_steps}. Lower them."
            )
        if self.num_envs * self.num_steps % self.num_minibatches:
            raise ValueError(
                "PPOConfig: num_minibatches divides num_envs * num_steps; got "
                f"num_minibatches={self.num_minibatches} for {self.num_envs} * {self.num_steps}. Choose a divisor."
            )

    @property
    def has_entropy_bonus(self) -> bool:
        """Whether the entropy is part of the loss, and not only reported; always if its coefficient is traced."""
        return not isinstance(self.entropy_coef, int | float) or self.entropy_coef > 0


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
