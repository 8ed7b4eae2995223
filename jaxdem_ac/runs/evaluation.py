"""Evaluations while runs are trained: whole episodes, on random keys that no training draws from."""

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.stages import Lowered

from jaxdem_ac._messages import warn
from jaxdem_ac.environments.base import Environment, has_success
from jaxdem_ac.runs.config import TrainConfig
from jaxdem_ac.runs.run_dir import Metrics
from jaxdem_ac.trainers.evaluate import Switched, estimate, lowered_episodes, play_episodes
from jaxdem_ac.trainers.policy import Policy

_STREAM = 2**31 - 1
"""Number folded into a run's key for evaluations; none of the few parts into which training splits it is this one."""


MODES = {"eval": False, "eval_sampled": True}
"""First words of the figures of an evaluation, and whether actions are sampled."""


def evaluation_key(seed: int) -> Array:
    """Return the random key of a run's evaluations, for its seed."""
    return jax.random.fold_in(jax.random.key(seed), _STREAM)


class Evaluator:
    """A player of the same episodes at every evaluation, so that two of them differ by the policy alone.

    `seeds` are of runs side by side, or of a single one. The environment's lists of neighbours become longer here by
    themselves: those of the training stay as they are. Raises ValueError if `stop_at_success` is set, and the task has
    no such figure.
    """

    def __init__(self, config: TrainConfig, environment: Environment, seeds: Sequence[int]) -> None:
        self._environment = environment
        self._many = config.is_many
        self._num_episodes = config.eval_episodes
        self._has_success = has_success(environment)
        if config.stop_at_success is not None and not self._has_success:
            raise ValueError(
                "train: stop_at_success needs an environment with a success figure, info['success']; got "
                f"env={config.env!r}, which has none. Leave stop_at_success out, or give it one."
            )
        keys = [evaluation_key(seed) for seed in seeds]
        self._keys = jnp.stack(keys) if self._many else keys[0]

    def __call__(self, policies: Sequence[Policy], modes: Mapping[str, bool] = MODES) -> list[Metrics]:
        """Return the figures of each run's policy, played by its mode and with sampled actions, or as `modes` say.

        A run in which a number is not finite, or an episode has no end, gets None for each, and one warning.
        """
        figures: list[Metrics] = [{} for _ in policies]
        for prefix, sample in modes.items():
            switched = self._switched(policies, sample)
            self._environment, played = play_episodes(
                self._environment, switched, self._keys, self._num_episodes, True, side_by_side=self._many
            )
            each = [np.asarray(values, np.float64).reshape(len(policies), -1) for values in played]
            for own, success, reward, ended in zip(figures, *each, strict=True):
                own |= self._figures(prefix, success, reward, bool(ended.all()))
        return figures

    def lowered(self, policies: Sequence[Policy]) -> tuple[Lowered, Lowered]:
        """Return the programs of an evaluation, lowered: what is compiled is there when policies are played."""
        switched = self._switched(policies, False)
        return lowered_episodes(
            self._environment, switched, self._keys, self._num_episodes, True, side_by_side=self._many
        )

    def _switched(self, policies: Sequence[Policy], sample: bool) -> Switched:
        """Return the policies of all runs as one, which samples or not."""
        policies = [jax.device_get(policy) for policy in policies]
        policy = jax.tree.map(lambda *leaves: jnp.stack(leaves), *policies) if self._many else policies[0]
        return Switched(policy, jnp.full(self._keys.shape, sample))

    def _figures(self, prefix: str, success: np.ndarray, reward: np.ndarray, ended: bool) -> Metrics:
        """Return the figures of one way to play; success and mean reward of episodes are ``(E,)``."""
        sound = ended and bool(np.isfinite(success).all() and np.isfinite(reward).all())
        if not sound:
            reason = "a number that is NaN or infinite" if ended else "an episode that does not end"
            warn(
                f"train: evaluations are whole episodes of finite numbers; got {reason}. The report has no figures of "
                "it, and training goes on. Give the environment a time limit, or look at its rewards.",
                level=3,
            )
        found: Metrics = {f"{prefix}_reward": float(reward.mean()) if sound else None}
        if self._has_success:
            share = estimate(success, 0.0, 1.0) if sound else None
            found[f"{prefix}_success"] = share and share.mean
            if prefix == "eval":
                found |= {"eval_success_low": share and share.low, "eval_success_high": share and share.high}
        return found
