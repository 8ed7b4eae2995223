"""Conformance checks for models, to be called from a plugin's tests."""

import json
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from jaxdem_ac._types import PyTree
from jaxdem_ac.models import recurrent
from jaxdem_ac.models.policy import raw_log_prob, sample_raw, to_action
from jaxdem_ac.models.structure import Distribution, Model, split_model

_OBSERVATION, _ACTION, _PARTICLES = 7, 3, 4


def check_model(build: Callable[..., Model], *, feed_forward: bool | None = None) -> None:
    """Raise unless a model is what trainers take it for: one call for the tests of a plugin.

    Policies and values have the shapes of the observations, for any leading axes; a particle is answered as it is
    alone; compiled code answers as eager code does; gradients of what PPO differentiates are finite, and not 0
    everywhere; a batch that is too narrow is refused; and `metadata`, through JSON, builds the same model again. A
    recurrent model has a carry of the observations' leading axes, which `reset` makes that of an episode's beginning.

    Parameters
    ----------
    build : callable
        The class, or a function of ``observation_space_size``, ``action_space_size`` and ``key``, all by keyword, and
        of what `metadata` holds besides.
    feed_forward : bool, optional
        Whether it has to be; either if left out.

    Raises
    ------
    TypeError, ValueError
        Where it is not; the message says what to do.
    """
    model = build(observation_space_size=_OBSERVATION, action_space_size=_ACTION, key=nnx.Rngs(0))
    name = type(model).__name__
    graphdef, state = split_model(model)
    rest, carry = recurrent.split_carry(graphdef, state, _PARTICLES, _OBSERVATION)
    remembers = bool(jax.tree.leaves(carry))
    if feed_forward is not None and feed_forward == remembers:
        kind = "keeps" if remembers else "has no"
        raise ValueError(
            f"{name}: it is to be {'feed-forward' if feed_forward else 'recurrent'}; got one that {kind} a carry."
        )

    def answer(state: PyTree, observation: Array) -> tuple[Distribution, Array]:
        start = recurrent.initial_carry(graphdef, (state,), carry, observation.shape)
        distribution, value, _ = recurrent.step(graphdef, (state,), start, observation)
        return distribution, value

    _check_shapes(name, rest, answer)
    _check_each_alone(name, rest, answer)
    _check_gradients(name, rest, answer)
    _check_narrow(name, model)
    _check_metadata(name, model, build)


def _observations(*leading: int) -> Array:
    return jax.random.normal(jax.random.key(1), (*leading, _OBSERVATION))


Answer = Callable[[PyTree, Array], tuple[Distribution, Array]]


def _check_shapes(name: str, state: PyTree, answer: Answer) -> None:
    for leading in ((_PARTICLES,), (2, _PARTICLES), (3, 2, _PARTICLES)):
        observation = _observations(*leading)
        distribution, value = answer(state, observation)
        raw_action, log_prob = sample_raw(distribution, jax.random.key(2))
        action = to_action(distribution, raw_action)
        found = {"value": value, "action": action, "log-probability": log_prob}
        # Discrete actions are numbers.
        expected = {"value": leading, "action": (*leading, *action.shape[len(leading) :]), "log-probability": leading}
        for what, array in found.items():
            if array.shape != expected[what] or not bool(jnp.all(jnp.isfinite(array))):
                raise ValueError(
                    f"{name}: for observations {observation.shape} a {what} is finite, of shape {expected[what]}; got "
                    f"shape {array.shape}. Return a distribution over (..., D) and values (..., 1)."
                )
        if action.shape[len(leading) :] not in ((), (_ACTION,)):
            raise ValueError(
                f"{name}: an action has action_space_size = {_ACTION} numbers; got shape {action.shape}. Match it."
            )


def _check_each_alone(name: str, state: PyTree, answer: Answer) -> None:
    observation = _observations(2, _PARTICLES)

    def mode_and_value(observation: Array) -> tuple[Array, Array]:
        distribution, value = answer(state, observation)
        return distribution.mode(), value

    eager = mode_and_value(observation)
    compiled = jax.jit(mode_and_value)(observation)
    some = mode_and_value(observation[1:])
    for what, one, other in (
        ("compiled code answers as eager code does", compiled, eager),
        ("a swarm is answered as it is alone", some, (eager[0][1:], eager[1][1:])),
    ):
        for here, there in zip(one, other, strict=True):
            if not np.allclose(here, there, rtol=1e-4, atol=1e-5):
                worst = float(np.max(np.abs(np.asarray(here, float) - np.asarray(there, float))))
                raise ValueError(f"{name}: {what}; got a difference of {worst:.3g}. Use no Python values of arrays.")


def _check_gradients(name: str, state: PyTree, answer: Answer) -> None:
    observation = _observations(2, _PARTICLES)
    raw_action, _ = sample_raw(answer(state, observation)[0], jax.random.key(3))
    params, constants = nnx.split_state(state, nnx.Param, ...)

    def loss(params: PyTree) -> Array:
        distribution, value = answer(nnx.merge_state(params, constants), observation)
        return jnp.mean(raw_log_prob(distribution, raw_action)) + jnp.mean((value - 1) ** 2)

    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(jax.grad(loss)(params))]
    if not all(np.isfinite(leaf).all() for leaf in leaves):
        raise ValueError(f"{name}: gradients are finite; got NaN or infinity. Look for roots and logarithms of 0.")
    if not any(leaf.any() for leaf in leaves):
        raise ValueError(f"{name}: gradients reach the parameters; got 0 everywhere. Keep them in nnx.Param.")


def _check_narrow(name: str, model: Model) -> None:
    try:
        model(jnp.zeros((_PARTICLES, _OBSERVATION - 1)))
    except (TypeError, ValueError):
        return
    raise ValueError(
        f"{name}: observations of another width are refused; got an answer. Check x.shape[-1] in __call__."
    )


def _check_metadata(name: str, model: Model, build: Callable[..., Model]) -> None:
    try:
        kept = json.loads(json.dumps(model.metadata))
    except (AttributeError, TypeError) as error:
        raise TypeError(
            f"{name}.metadata: the keywords that build the model again, as JSON types; got {error}. Define it."
        ) from error
    kept = {key: value for key, value in kept.items() if key not in ("action_space_type", "action_space_kws")}
    try:
        again = build(**kept, key=nnx.Rngs(0))
    except TypeError as error:
        raise TypeError(
            f"{name}.metadata: keywords of the constructor, but for the key; got {error}. Match it."
        ) from error
    first, second = (jax.tree.leaves(split_model(each)[1]) for each in (model, again))
    same = len(first) == len(second) and all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    if not same:
        raise ValueError(
            f"{name}.metadata: it builds the same parameters from the same key; got others. Keep every keyword."
        )
