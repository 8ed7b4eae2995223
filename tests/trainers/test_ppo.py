"""PPO: what it learns of tasks whose values are known, its loss, its schedule, and how it stops."""

import math
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from jax import Array

import jaxdem_ac as ac
from jaxdem_ac.environments.base import Environment
from jaxdem_ac.environments.testing import (
    ActionMatters,
    Breaking,
    ConstantReward,
    Discounting,
    RewardIsObservation,
    TeamReward,
    Toy,
    Tracking,
)
from jaxdem_ac.trainers.ppo import collect, loss, ppo
from jaxdem_ac.trainers.ppo.state import apply_model
from jaxdem_ac.trainers.schedule import is_place

GAMMA = 0.9
FAST: dict[str, Any] = {
    "num_envs": 16,
    "num_steps": 8,
    "num_minibatches": 2,
    "learning_rate": 1e-2,
    "gamma": GAMMA,
    "normalize_observation": False,
}


def make(
    environment: Environment,
    num_updates: int,
    space: str = "Free",
    model_kw: dict[str, Any] | None = None,
    **config: Any,
) -> tuple[ppo.Problem, ppo.PPOState]:
    model = ac.make_model(
        "ActorCritic",
        observation_space_size=environment.observation_size,
        action_space_size=environment.action_size,
        key=0,
        action_space=space,
        actor_architecture=(16,),
        critic_architecture=(16,),
        activation="tanh",
        **(model_kw or {}),
    )
    graphdef, state = nnx.split(model)
    learner = ppo.Problem(environment, graphdef, ac.PPOConfig(**{**FAST, **config}), num_updates)
    return learner, ppo.init(learner, state, jax.random.key(0))


def learn(environment: Environment, num_updates: int = 80, **config: Any) -> tuple[ppo.Problem, ppo.PPOState]:
    learner, state = make(environment, num_updates, **config)
    state, metrics = ppo.update_many(learner, state, num_updates)
    assert int(state.bad_term) == 0
    assert all(values.shape == (num_updates,) for values in metrics.values())
    return learner, state


def value_of(learner: ppo.Problem, state: ppo.PPOState, *observations: float) -> np.ndarray:
    _, value = apply_model(learner, state.params, state.constants, jnp.asarray(observations)[:, None])
    return np.asarray(value)


def action_of(learner: ppo.Problem, state: ppo.PPOState, *observations: float) -> np.ndarray:
    policy, _ = apply_model(learner, state.params, state.constants, jnp.asarray(observations)[:, None])
    return np.asarray(policy.mode())[:, 0]


def test_a_reward_that_ends_the_task_is_worth_itself() -> None:
    learner, state = learn(ConstantReward())
    np.testing.assert_allclose(value_of(learner, state, 0.0), 1.0, atol=0.1)


@pytest.mark.parametrize("length", [1, 5])
def test_a_time_limit_is_not_an_end(length: int) -> None:
    # Bootstrapped, every value is 1 / (1 - gamma); as a termination it would be at most 1 + ... + gamma**(length - 1).
    environment = ConstantReward(ends_by="time limit", length=length)
    learner, state = learn(environment, num_updates=150, gae_lambda=0.95, max_grad_norm=10.0)
    np.testing.assert_allclose(value_of(learner, state, 0.0), 1 / (1 - GAMMA), rtol=0.05)


@pytest.mark.parametrize("scale", [1e-3, 300.0])
def test_values_of_any_size_are_learnt_once_returns_are_normalised(scale: float) -> None:
    """Where an episode is worth 300, a value that starts near 0 is out of reach of 80 updates by itself."""
    environment = RewardIsObservation(scale=scale)
    learner, state = learn(environment, normalize_return=True)
    found = state.return_normalizer.inverse(value_of(learner, state, 1.0, -1.0))
    np.testing.assert_allclose(found, [scale, -scale], atol=0.1 * scale)
    count = 80 * learner.config.num_envs * learner.config.num_steps * 2
    assert float(state.return_normalizer.count) == count
    np.testing.assert_allclose(state.return_normalizer.std, scale, rtol=0.05)
    if scale > 1:
        without, state = learn(environment)
        assert np.abs(value_of(without, state, 1.0, -1.0) - [scale, -scale]).max() > 0.1 * scale


def test_values_depend_on_observations() -> None:
    learner, state = learn(RewardIsObservation())
    np.testing.assert_allclose(value_of(learner, state, 1.0, -1.0), [1.0, -1.0], atol=0.1)


def test_a_centralised_critic_knows_what_no_particle_sees() -> None:
    learner, state = learn(TeamReward(), model_kw={"centralised_critic": True})
    swarms = jnp.asarray([[1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]])[..., None]
    _, value = apply_model(learner, state.params, state.constants, swarms)
    np.testing.assert_allclose(value, [[1.0, 1.0], [0.0, 0.0], [-1.0, -1.0]], atol=0.1)
    # By itself a particle can only know half of it.
    learner, state = learn(TeamReward())
    np.testing.assert_allclose(value_of(learner, state, 1.0, -1.0), [0.5, -0.5], atol=0.15)


def test_a_later_reward_is_discounted() -> None:
    learner, state = learn(Discounting())
    np.testing.assert_allclose(value_of(learner, state, 0.0, 1.0), [GAMMA, 1.0], atol=0.1)


@pytest.mark.parametrize("space", ["Free", "MaxNorm"])
def test_the_action_that_is_rewarded_is_chosen(space: str) -> None:
    learner, state = learn(ActionMatters(), num_updates=120, space=space)
    np.testing.assert_allclose(action_of(learner, state, 0.0), 0.5, atol=0.1)


def test_actions_follow_observations() -> None:
    learner, state = learn(Tracking(), num_updates=200, num_envs=32)
    targets = (-0.7, -0.3, 0.0, 0.4, 0.7)
    np.testing.assert_allclose(action_of(learner, state, *targets), targets, atol=0.15)


def batch_of(learner: ppo.Problem, state: ppo.PPOState, seed: int = 0) -> loss.Batch:
    """Return a batch as it might be collected, off-policy enough that some ratios are clipped."""
    random = np.random.default_rng(seed)
    observation = jnp.asarray(random.normal(size=(6, 2, 1)), jnp.float32)
    policy, value = apply_model(learner, state.params, state.constants, observation)
    raw = policy.distribution.sample(seed=jax.random.key(seed))
    shift = random.normal(size=(6, 2)) * 0.3
    return loss.Batch(
        observation=observation,
        raw_action=raw,
        raw_log_prob=policy.raw_log_prob(raw) + jnp.asarray(shift, jnp.float32),
        value=value,
        advantage=jnp.asarray(random.normal(size=(6, 2)), jnp.float32),
        target=jnp.asarray(random.normal(size=(6, 2)), jnp.float32),
    )


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("space", ["Free", "MaxNorm"])
def test_the_loss_is_the_one_that_is_written(space: str, normalize: bool) -> None:
    settings = {"clip_eps": 0.2, "value_coef": 0.7, "entropy_coef": 0.03, "normalize_advantage": normalize}
    learner, state = make(Tracking(), 10, space=space, **settings)
    batch = batch_of(learner, state)
    entering = replace(batch, advantage=loss.normalized(batch.advantage)) if normalize else batch
    found, terms = loss.loss(learner, state.params, state.constants, entering)

    policy, value = apply_model(learner, state.params, state.constants, batch.observation)
    loc, scale = (np.asarray(each, np.float64) for each in (policy.distribution.loc, policy.distribution.scale_diag))
    z = (np.asarray(batch.raw_action) - loc) / scale
    log_prob = np.sum(-0.5 * z**2 - np.log(scale) - 0.5 * np.log(2 * np.pi), -1)
    ratio = np.exp(log_prob - np.asarray(batch.raw_log_prob))
    advantage = np.asarray(batch.advantage, np.float64)
    if normalize:
        advantage = (advantage - advantage.mean()) / advantage.std()
    assert (np.abs(ratio - 1) > 0.2).any()
    assert (np.abs(ratio - 1) < 0.2).any()
    policy_loss = -np.minimum(ratio * advantage, np.clip(ratio, 0.8, 1.2) * advantage).mean()
    value_loss = 0.5 * ((np.asarray(value) - np.asarray(batch.target)) ** 2).mean()
    entropy = np.asarray(policy.entropy()).mean()
    expected = {
        "policy_loss": policy_loss,
        "value_loss": value_loss,
        "entropy": entropy,
        "kl": (ratio - 1 - np.log(ratio)).mean(),
        "clip_fraction": (np.abs(ratio - 1) > 0.2).mean(),
    }
    for name, number in expected.items():
        assert float(terms[name]) == pytest.approx(number, abs=1e-5), name
    assert float(found) == pytest.approx(policy_loss + 0.7 * value_loss - 0.03 * entropy, abs=1e-5)


def test_a_clipped_value_moves_no_farther_than_its_clip() -> None:
    """The larger of both squares, as in the papers' reference implementation."""
    learner, state = make(Tracking(), 10, clip_value=0.1)
    batch = batch_of(learner, state)
    _, value = apply_model(learner, state.params, state.constants, batch.observation)
    old = np.asarray(value) + np.linspace(-0.4, 0.4, value.size).reshape(value.shape)
    batch = replace(batch, value=jnp.asarray(old, jnp.float32))
    _, terms = loss.loss(learner, state.params, state.constants, batch)
    target, value = np.asarray(batch.target), np.asarray(value)
    clipped = old + np.clip(value - old, -0.1, 0.1)
    expected = 0.5 * np.maximum((value - target) ** 2, (clipped - target) ** 2).mean()
    assert float(terms["value_loss"]) == pytest.approx(expected, abs=1e-5)
    assert expected > 0.5 * ((value - target) ** 2).mean()


@pytest.mark.parametrize("normalize", [pytest.param(True, marks=pytest.mark.slow), False])
def test_a_gradient_in_chunks_is_that_of_the_whole(normalize: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    learner, state = make(Tracking(), 10, space="MaxNorm", entropy_coef=0.1, normalize_advantage=normalize)
    batch = batch_of(learner, state)
    whole = loss.differentiate(learner, state.params, state.constants, batch)
    for chunk in (1, 4, 6):
        monkeypatch.setattr(loss, "CHUNK", chunk)
        parts = loss.differentiate(learner, state.params, state.constants, batch)
        for here, there in zip(jax.tree.leaves(parts), jax.tree.leaves(whole), strict=True):
            np.testing.assert_allclose(here, there, rtol=1e-4, atol=1e-6)


def test_pieces_of_a_gradient_are_as_large_as_a_cache_likes() -> None:
    for rows, per_row in ((16_384, 1), (256, 64), (8_192, 1), (1, 65_536), (30_000, 1), (4_096, 1)):
        number = loss.num_microbatches(rows, per_row, feed_forward=True, backend="cpu")
        size = rows // number * per_row
        assert rows % number == 0
        assert number == rows or size <= loss.CHUNK_CPU
        assert number == 1 or size >= loss.CHUNK_CPU // 2
    # A prime number of rows has no pieces, one row would be none, and sequences are wanted side by side.
    assert loss.num_microbatches(16_411, 1, feed_forward=True, backend="cpu") == 1
    assert loss.num_microbatches(512, 64, feed_forward=False, backend="cpu") == 1
    assert loss.num_microbatches(16_384, 1, feed_forward=True, backend="gpu") == 1
    assert loss.num_microbatches(16, 65_536, feed_forward=True, backend="gpu") == 4


def test_an_update_that_has_gone_too_far_stops() -> None:
    learner, state = make(Tracking(), 10, num_epochs=20, learning_rate=3e-2, schedule="constant")
    _, metrics = ppo.update_many(learner, state, 1)
    assert float(metrics["kl"][0]) > 0.02
    stopping = replace(learner, config=replace(learner.config, target_kl=0.01))
    stopped, metrics = ppo.update_many(stopping, state, 1)
    assert 0 < float(metrics["share_learnt"][0]) < 0.5
    # What came before the stop has been learnt, and the next update learns again.
    changed = [
        bool((new != old).any()) for new, old in zip(*map(jax.tree.leaves, (stopped.params, state.params)), strict=True)
    ]
    assert all(changed)
    again, _ = ppo.update_many(stopping, stopped, 1)
    assert (jax.tree.leaves(again.params)[0] != jax.tree.leaves(stopped.params)[0]).any()
    # Figures are of what was looked at, to the minibatch that ended it, and not of those that came to nothing.
    assert float(metrics["kl"][0]) < 0.05
    gentle = replace(learner, config=replace(learner.config, target_kl=1e6))
    assert float(ppo.update_many(gentle, state, 1)[1]["share_learnt"][0]) == 1.0


def test_minibatches_that_are_skipped_count_for_the_schedule() -> None:
    """A run's rate falls to 0 with its end, however many of them came to nothing."""
    learner, state = make(Tracking(), 3, num_epochs=20, learning_rate=3e-2, target_kl=0.01)
    state, metrics = ppo.update_many(learner, state, 3)
    assert float(metrics["share_learnt"].max()) < 0.9
    (place,) = [node for node in jax.tree.leaves(state.opt_state, is_leaf=is_place) if is_place(node)]
    assert int(place.count) == 3 * 20 * learner.config.num_minibatches
    (moments,) = [node for node in jax.tree.leaves(state.opt_state, is_leaf=is_adam) if is_adam(node)]
    assert int(moments.count) < int(place.count)


def is_adam(node: Any) -> bool:
    return isinstance(node, optax.ScaleByAdamState)


@dataclass(frozen=True, kw_only=True)
class Rich(RewardIsObservation):
    """A reward far from what a fresh critic answers."""

    def step(self, state: Any, action: Array) -> Any:
        """Return the state and the timestep after one decision."""
        state, timestep = super().step(state, action)
        return state, replace(timestep, reward=100.0 + timestep.reward)


def test_a_clipped_value_begins_where_the_model_stands() -> None:
    """However far the returns' normalizer has moved: at unchanged parameters nothing is clipped."""
    learner, state = make(Rich(), 5, normalize_return=True, clip_value=0.2)
    collected, batch, figures = collect.collect(learner, state)
    _, value = apply_model(learner, state.params, state.constants, batch.observation)
    np.testing.assert_allclose(batch.value, value, atol=1e-6)
    returns, target = collected.return_normalizer, batch.target
    unscaled = np.asarray(returns.inverse(target), np.float64)
    before = unscaled - np.asarray(batch.advantage, np.float64)
    np.testing.assert_allclose(
        figures["explained_variance"], 1 - np.var(unscaled - before) / np.var(unscaled), rtol=1e-3
    )
    learnt, _ = ppo.update_many(learner, state, 1)
    moved = [
        float(jnp.abs(new - old).max())
        for (path, new), old in zip(
            jax.tree_util.tree_leaves_with_path(learnt.params), jax.tree.leaves(state.params), strict=True
        )
        if "critic" in jax.tree_util.keystr(path)
    ]
    assert moved
    assert min(moved) > 0


@pytest.mark.parametrize("constant", [0.1, 1.1, 100.1, -3.3])
@pytest.mark.parametrize("num", [2, 1000, 50_001])
def test_equal_advantages_are_worth_nothing(constant: float, num: int) -> None:
    found = jax.jit(loss.normalized)(jnp.full((num,), constant))
    np.testing.assert_array_equal(found, 0.0)
    other = jnp.full((num,), constant).at[0].add(0.01)
    spread = jax.jit(loss.normalized)(other)
    np.testing.assert_allclose(np.std(np.asarray(spread, np.float64)), 1.0, rtol=2e-2)


def test_minibatches_of_one_sample_are_refused() -> None:
    for envs, steps in ((4, 2), (1, 1)):
        with pytest.raises(ValueError, match=r"normalised by others of its minibatch; got minibatches of one sample"):
            make(ActionMatters(num_particles=1), 1, num_envs=envs, num_steps=steps, num_minibatches=envs * steps)
    plain = {"num_envs": 4, "num_steps": 2, "num_minibatches": 8, "normalize_advantage": False}
    learner, state = make(ActionMatters(num_particles=1), 1, **plain)
    assert int(ppo.update_many(learner, state, 1)[0].bad_term) == 0


def test_a_first_update_starts_from_ratio_one() -> None:
    learner, state = make(Tracking(), 10, space="MaxNorm", learning_rate=1e-12)
    _, metrics = ppo.update_many(learner, state, 1)
    np.testing.assert_allclose(metrics["kl"], 0.0, atol=1e-6)
    np.testing.assert_array_equal(metrics["clip_fraction"], 0.0)


def rates_of(learner: ppo.Problem, num: int) -> np.ndarray:
    """Return the learning rate of each optimizer update: Adam moves by it while the gradient stays the same."""
    optimizer = ppo.make_optimizer(learner)
    params, gradient = {"w": jnp.zeros(1)}, {"w": jnp.full(1, 0.1)}

    def body(opt_state: Any, _: None) -> tuple[Any, Array]:
        updates, opt_state = optimizer.update(gradient, opt_state, params)
        return opt_state, -updates["w"][0]

    return np.asarray(jax.jit(lambda: jax.lax.scan(body, optimizer.init(params), length=num)[1])())


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_the_rate_falls_to_0_with_the_last_optimizer_update_and_not_before(schedule: str) -> None:
    learner, _ = make(ConstantReward(), 5, schedule=schedule, num_epochs=3, num_minibatches=4)
    total = 5 * 3 * 4
    rates = rates_of(learner, total + 3)
    share = np.arange(total) / total
    shape = 1 - share if schedule == "linear" else (1 + np.cos(np.pi * share)) / 2
    np.testing.assert_allclose(rates[:total], 1e-2 * shape, rtol=2e-3, atol=1e-8)
    assert (rates[:total] > 0).all()
    # 0 but for float32's rounding of 1 - count / total.
    np.testing.assert_allclose(rates[total:], 0.0, atol=1e-6 * 1e-2)


def test_a_constant_rate_stays() -> None:
    learner, _ = make(ConstantReward(), 2, schedule="constant")
    np.testing.assert_allclose(rates_of(learner, 40), 1e-2, rtol=2e-3)


@pytest.mark.parametrize(("size", "kept"), [(100.0, 0.5), (0.01, 0.01)])
def test_a_gradient_is_scaled_down_to_its_largest_norm(size: float, kept: float) -> None:
    learner, _ = make(ConstantReward(), 2, max_grad_norm=0.5)
    optimizer = ppo.make_optimizer(learner)
    params = {"a": jnp.zeros(3), "b": jnp.zeros((2, 2))}
    gradient = jax.tree.map(jnp.ones_like, params)
    gradient = jax.tree.map(lambda leaf: leaf * size / math.sqrt(7), gradient)
    _, opt_state = optimizer.update(gradient, optimizer.init(params), params)
    first_moment = optax.tree.get(opt_state, "mu")
    assert float(optax.tree.norm(first_moment)) == pytest.approx(0.1 * kept, rel=1e-4)


def test_everything_between_two_reports_is_traced_once() -> None:
    traces = []

    class Traced(Tracking):
        def step(self, state: Any, action: Array) -> Any:
            traces.append(None)
            return super().step(state, action)

    learner, state = make(Traced(), 12)
    state, _ = ppo.update_many(learner, state, 4)
    first = len(traces)
    for _ in range(2):
        state, _ = ppo.update_many(learner, state, 4)
    assert first >= 1
    assert len(traces) == first
    assert int(state.num_updates) == 12


def test_many_updates_are_one_after_another() -> None:
    learner, state = make(Tracking(), 4)
    _, one_by_one = make(Tracking(), 4)
    state, metrics = ppo.update_many(learner, state, 4)
    rewards = []
    for _ in range(4):
        one_by_one, single = ppo.update_many(learner, one_by_one, 1)
        rewards.append(float(single["reward"][0]))
    np.testing.assert_allclose(metrics["reward"], rewards, rtol=1e-4)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5), state.params, one_by_one.params)


@pytest.mark.parametrize(
    ("environment", "term"),
    [(Breaking(bad_reward_at=20), "reward"), (Breaking(bad_observation_at=20), "observation")],
    ids=["reward", "observation"],
)
def test_nothing_is_learnt_from_a_number_that_is_not_finite(environment: Toy, term: str) -> None:
    learner, state = make(environment, 10)
    good, _ = ppo.update_many(learner, state, 2)
    assert int(good.bad_term) == 0
    before = jax.device_get(good.params)
    bad, _ = ppo.update_many(learner, good, 4)
    assert ppo.TERMS[int(bad.bad_term) - 1] == term
    jax.tree.map(np.testing.assert_array_equal, bad.params, before)


def test_parameters_that_a_huge_rate_breaks_are_found_in_the_next_losses() -> None:
    learner, state = make(Tracking(), 20, learning_rate=1e38, max_grad_norm=1e30)
    state, _ = ppo.update_many(learner, state, 10)
    assert int(state.bad_term) > 0
    assert ppo.TERMS[int(state.bad_term) - 1] in ppo.TERMS[2:]


def test_the_normalizer_has_seen_every_observation() -> None:
    learner, state = make(Tracking(), 6, normalize_observation=True)
    state, _ = ppo.update_many(learner, state, 6)
    config = learner.config
    assert float(state.normalizer.count) == 6 * config.num_envs * config.num_steps * 2
    # Targets are uniform in [-0.8, 0.8].
    np.testing.assert_allclose(state.normalizer.mean, 0.0, atol=0.1)
    np.testing.assert_allclose(state.normalizer.std, 1.6 / math.sqrt(12), rtol=0.1)


def test_figures_at_the_end_of_episodes() -> None:
    learner, state = make(Discounting(), 2)
    _, metrics = ppo.update_many(learner, state, 2)
    # The probe's success is the share of its time: 1/2 and 1 in turn.
    np.testing.assert_allclose(metrics["success"], 0.75, rtol=1e-6)
    np.testing.assert_allclose(metrics["final_success"], 1.0, rtol=1e-6)
    np.testing.assert_allclose(metrics["reward"], 0.5, rtol=1e-6)


def test_learners_are_static() -> None:
    learner, _ = make(Tracking(), 4)
    assert hash(learner) == hash(replace(learner))
    assert learner == replace(learner)
    assert learner != replace(learner, num_updates=5)
