"""The equations of the environments' pages in NumPy, and states in which all of their terms count.

What has a prime there is of the state `before` here.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np


def progress_reward(env: Any, before: Any, after: Any, way: np.ndarray, near: np.ndarray, success: float) -> np.ndarray:
    """The form that the navigators and the roller share; `way` is the change of a potential."""
    slow, fast = (np.sum(np.square(state.particles.velocity), axis=-1) for state in (before, after))
    gained = 0.5 * np.asarray(after.particles.mass) * (fast - slow)
    reward = way - env.ke_weight * gained + env.coop_weight * way.mean() + env.near_goal_bonus * near
    return reward + env.coverage_weight * success


def multi_navigator(env: Any, before: Any, after: Any) -> np.ndarray:
    def potential(state: Any) -> tuple[np.ndarray, np.ndarray]:
        distance = np.linalg.norm(state.particles.position - np.asarray(state.targets), axis=-1)
        return np.exp(-2 * np.maximum(0, distance - np.asarray(state.particles.radius) / 2)), distance

    (p_before, _), (p, distance) = potential(before), potential(after)
    near = distance <= 2.5 * np.asarray(after.particles.radius)
    success = np.mean(distance <= np.asarray(after.particles.radius))
    return progress_reward(env, before, after, p - p_before, near, float(success))


def nearest_in_sectors(env: Any, state: Any) -> np.ndarray:
    """Distance of the nearest target in each sector, ``(N, n)``; infinite where none is within range."""
    to = np.asarray(state.targets)[None] - np.asarray(state.particles.position)[:, None, :2]
    distance = np.linalg.norm(to, axis=-1)
    sector = np.floor((np.arctan2(to[..., 1], to[..., 0]) + np.pi) * env.n_lidar_rays / (2 * np.pi)).astype(int)
    found = np.full((env.num_particles, env.n_lidar_rays), np.inf)
    for i in range(env.num_particles):
        for j, target in enumerate(distance[i]):
            if target < env.lidar_range:
                found[i, sector[i, j]] = min(found[i, sector[i, j]], target)
    return found


def shared_targets(env: Any, before: Any, after: Any, falloff: float) -> np.ndarray:
    potential_before, potential = (np.exp(-falloff * nearest_in_sectors(env, s)).sum(-1) for s in (before, after))
    near = nearest_in_sectors(env, after).min(-1) <= np.asarray(after.particles.radius)
    to = np.asarray(after.targets)[None] - np.asarray(after.particles.position)[:, None, :2]
    covered = np.any(np.linalg.norm(to, axis=-1) <= np.asarray(after.particles.radius)[:, None], axis=0)
    return progress_reward(env, before, after, potential - potential_before, near, float(covered.mean()))


def swarm_navigator(env: Any, before: Any, after: Any) -> np.ndarray:
    return shared_targets(env, before, after, 4.0)


def swarm_roller(env: Any, before: Any, after: Any) -> np.ndarray:
    return shared_targets(env, before, after, 1 / env.shaping_length)


def collective_transport(env: Any, before: Any, after: Any) -> np.ndarray:
    goal = np.asarray(before.targets)[int(before.num_reached)]

    def distances(state: Any) -> tuple[float, np.ndarray]:
        place, radius = np.asarray(state.particles.position), np.asarray(state.particles.radius)
        load = place[-1]
        u = (goal - load) / np.linalg.norm(goal - load)
        best = load - (radius[-1] + radius[:-1])[:, None] * u
        return float(np.linalg.norm(goal - load)), np.linalg.norm(place[:-1] - best, axis=-1)

    (d_before, a_before), (d, a) = distances(before), distances(after)
    hit = d <= env.tolerance
    return env.progress_weight * (d_before - d) + env.approach_weight * (a_before - a) + env.goal_bonus * hit


def evacuation(env: Any, before: Any, after: Any) -> np.ndarray:
    def way(state: Any) -> tuple[np.ndarray, np.ndarray]:
        num = env.num_particles
        place, radius = np.asarray(state.particles.position)[:num], np.asarray(state.particles.radius)[:num]
        gap = np.asarray(state.targets)[0]
        half = np.maximum(0, env.gap * 2 * env.radius / 2 - radius)
        opening = np.stack([np.full(num, env.room_size), np.clip(place[:, 1], gap[1] - half, gap[1] + half)], -1)
        depth = place[:, 0] - env.room_size
        inside = -np.linalg.norm(opening - place, axis=-1)
        return np.where(depth > 0, np.minimum(depth, env.clearing), inside), depth > 0

    (p_before, out_before), (p, out) = way(before), way(after)
    gone = out.astype(float) - out_before
    return env.progress_weight * (p - p_before) + env.coop_weight * (p - p_before).mean() + env.exit_bonus * gone


def active_brownian(env: Any, before: Any, after: Any) -> np.ndarray:
    theta = np.asarray(after.orientation)
    alike = np.cos(theta[:, None] - theta[None])
    np.fill_diagonal(alike, 0.0)
    return alike.sum(-1) / (env.num_particles - 1)


def near_targets(env: Any, rng: np.random.Generator) -> Any:
    """Particles around as many targets, some at them."""
    targets = rng.uniform(2, 10, (env.num_particles, 2))
    dim = 3 if hasattr(env, "max_torque") else 2
    place = targets + rng.normal(0, 1.5, targets.shape)
    velocity = np.pad(rng.normal(0, 3, targets.shape), [(0, 0), (0, dim - 2)])
    return env.make_state(position=place, velocity=velocity, targets=targets, box_low=[-9, -9], box_high=[21, 21])


def around_load(env: Any, rng: np.random.Generator) -> Any:
    """A load that is about to reach its goal, or not quite."""
    goal = np.array([7.0, 7.0])
    load = goal + rng.uniform(0.9, 1.1) * np.array([1.0, 0.0])
    place, velocity = rng.uniform(-5, 2, (env.num_particles, 2)), rng.normal(0, 3, (env.num_particles, 2))
    return env.make_state(
        position=place, velocity=velocity, load=load, load_velocity=[-3.0, 0.0], targets=[goal],
        box_low=[-6, -6], box_high=[20, 20],
    )  # fmt: skip


def at_the_gap(env: Any, rng: np.random.Generator) -> Any:
    """A crowd on both sides of the wall, some just passing."""
    place = np.array([[11.99, 6.0], [12.005, 5.5], [4.0, 9.0], [17.5, 3.0]]) + rng.uniform(-0.01, 0.01, (4, 2))
    return env.make_state(position=place, velocity=rng.normal(0, 3, (4, 2)), gap_centre=6.0)


def anywhere(env: Any, rng: np.random.Generator) -> Any:
    """A fresh episode."""
    return env.reset(jax.random.key(int(rng.integers(1_000))))


CASES: dict[str, tuple[Callable[..., np.ndarray], Callable[..., Any], dict[str, Any]]] = {
    "multi_navigator": (multi_navigator, near_targets, {"coverage_weight": 0.3}),
    "swarm_navigator": (swarm_navigator, near_targets, {"n_lidar_rays": 6, "coverage_weight": 0.3}),
    "collective_transport": (collective_transport, around_load, {}),
    "evacuation": (evacuation, at_the_gap, {}),
    "active_brownian": (active_brownian, anywhere, {}),
    "swarm_roller": (swarm_roller, near_targets, {"n_lidar_rays": 6, "coverage_weight": 0.3}),
}
