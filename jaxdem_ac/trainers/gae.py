"""Generalised advantage estimation with time limits told apart from terminations."""

import jax
import jax.numpy as jnp
from jax import Array


def compute_gae(
    reward: Array,
    value: Array,
    next_value: Array,
    terminated: Array,
    done: Array,
    gamma: float,
    gae_lambda: float,
) -> tuple[Array, Array]:
    r"""Return advantages and targets of the value, ``(T, ...)`` as all arrays that they come from.

    ``delta_t = r_t + gamma (1 - terminated_t) V(s_{t+1}) - V(s_t)``,
    ``A_t = delta_t + gamma lambda (1 - done_t) A_{t+1}``, ``target_t = A_t + V(s_t)``.

    `next_value` is V(s_{t+1}), of the state that step t led to: where an episode was cut by its time limit, the value
    of its last observation and not of the next episode's first. `terminated` says whether step t ended the task, `done`
    whether it ended the episode in any way; gamma and lambda are in [0, 1].

    Schulman et al., "High-Dimensional Continuous Control Using Generalized Advantage Estimation", 2016, eq. 16. The
    treatment of time limits is that of Pardo et al., "Time Limits in Reinforcement Learning", 2018, section 3.
    """
    delta = reward + gamma * jnp.where(terminated, 0.0, next_value) - value
    decay = gamma * gae_lambda * jnp.where(done, 0.0, jnp.ones_like(value))

    def backward(advantage: Array, step: tuple[Array, Array]) -> tuple[Array, Array]:
        delta_t, decay_t = step
        advantage = delta_t + decay_t * advantage
        return advantage, advantage

    _, advantage = jax.lax.scan(backward, jnp.zeros_like(value[0]), (delta, decay), reverse=True)
    return advantage, advantage + value
