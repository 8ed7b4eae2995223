"""Evaluations while runs are trained: whole episodes, on random keys that no training draws from."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.stages import Compiled, Lowered

from jaxdem_ac.environments.base import Environment, has_success
from jaxdem_ac.runs import untrained
from jaxdem_ac.runs.config import TrainConfig
from jaxdem_ac.runs.figures import figures_of
from jaxdem_ac.runs.run_dir import Metrics
from jaxdem_ac.trainers.evaluate import Switched, lowered_episodes, lowered_resets, play_episodes
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
    themselves: those of the training stay as they are. Raises ValueError if `stop_at_success` or `rollback` is set,
    and the task has no figure of success.
    """

    def __init__(self, config: TrainConfig, environment: Environment, seeds: Sequence[int]) -> None:
        self._environment = environment
        self._many = config.is_many
        self._num_episodes = config.eval_episodes
        self._has_success = has_success(environment)
        needs = {"stop_at_success": config.stop_at_success is not None, "rollback": config.rollback}
        for name in (name for name, needed in needs.items() if needed and not self._has_success):
            raise ValueError(
                f"train: {name} needs an environment with a success figure, info['success']; got "
                f"env={config.env!r}, which has none. Leave {name} out, or give it one."
            )
        self._resets: tuple[Lowered, Future[Compiled]] | None = None
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
                own |= figures_of(prefix, success if self._has_success else None, reward, bool(ended.all()))
        return figures

    def compile_resets(self) -> None:
        """Begin to compile the program by which episodes begin, while something else is done."""
        lowered = lowered_resets(self._environment, self._keys, self._num_episodes, self._many)
        self._resets = lowered, ThreadPoolExecutor(1).submit(lowered.compile)

    def untrained(self, policies: Sequence[Policy], keep_at: Path | None, total_steps: int) -> list[Metrics]:
        """Return the figures by the mode of policies that runs begin with, and keep the programs in a file, if given.

        :meth:`compile_resets` has been called.
        """
        assert self._resets is not None
        switched = self._switched(policies, False)
        play = lowered_episodes(self._environment, switched, self._keys, self._num_episodes, True, self._many)
        lowered, compiling = self._resets
        programs = {"play": (play, play.compile()), "reset": (lowered, compiling.result())}
        if keep_at is not None:
            # Before they are played: after that XLA cannot write down one that sorts.
            about = {"has_success": self._has_success, "total_steps": total_steps}
            untrained.keep(keep_at, programs, switched, self._keys, about)
        return self(policies, {"eval": False})

    def _switched(self, policies: Sequence[Policy], sample: bool) -> Switched:
        """Return the policies of all runs as one, which samples or not."""
        policies = [jax.device_get(policy) for policy in policies]
        policy = jax.tree.map(lambda *leaves: jnp.stack(leaves), *policies) if self._many else policies[0]
        return Switched(policy, jnp.full(self._keys.shape, sample))
