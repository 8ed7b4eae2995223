"""Time in which PPO and SHAC reach a success, in turns on one machine, seed by seed.

    python -m benchmarks.algorithms multi_navigator --seeds 5

A line of JSON for each run: seconds and CPU seconds of its updates until the mode of its policy has reached the success
in 128 episodes, what compiling took, and the whole curve. Evaluations are not counted.
"""

import argparse
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import jax

import jaxdem_ac as ac
from jaxdem_ac.runs.build import steps_per_update, with_training_defaults
from jaxdem_ac.runs.config import parse_assignments
from jaxdem_ac.runs.run_batch import RunBatch
from jaxdem_ac.trainers.base import compiled_update

# 0.9 of the success that PPO came to: 0.955, 0.956 and 0.916.
GOALS = {"multi_navigator": 0.86, "collective_transport": 0.86, "swarm_navigator": 0.824}
PPO: Mapping[str, Mapping[str, Any]] = {
    "multi_navigator": {"steps": 4_000_000},
    "collective_transport": {"steps": 4_000_000},
    "swarm_navigator": {
        "steps": 2_000_000,
        "model": "SymmetricActorCritic",
        "model_kw.architecture": [8, 8],
        "model_kw.actor_scale": 0.01,
        "ppo.learning_rate": 1e-3,
        "ppo.gamma": 0.998,
        "ppo.gae_lambda": 0.97,
        "ppo.normalize_return": True,
    },
}
SHAC: Mapping[str, Mapping[str, Any]] = {
    "multi_navigator": {"steps": 300_000, "shac.contacts": "stop", "model_kw.actor_scale": 0.01},
    "collective_transport": {"steps": 300_000, "model_kw.actor_scale": 0.01},
    "swarm_navigator": {"steps": 120_000},
}
UPDATES = {"ppo": 2, "shac": 5}
EPISODES = 128


def configurations(env: str, changes: Mapping[str, Any]) -> dict[str, ac.TrainConfig]:
    """Return the configurations of both algorithms, with one model."""
    plain = ac.TrainConfig(env=env, action_space="MaxNorm")
    ppo = plain.with_values(PPO[env])
    model = {name: value for name, value in PPO[env].items() if name.startswith("model")}
    return {"ppo": ppo, "shac": plain.with_values({"algorithm": "shac", **model, **SHAC[env], **changes})}


def run(config: ac.TrainConfig, goal: float, seconds: float) -> dict[str, Any]:
    """Return how long a run took to reach a success, if it did in so many seconds of updates, and its curve."""
    chunk = UPDATES[config.algorithm]
    runs = RunBatch(with_training_defaults(config))
    runs.begin()
    compiled = compiled_update(runs.algorithm.optimization_level)

    def update(state: Any) -> Any:
        return jax.block_until_ready(compiled(runs.algorithm, runs.problem, {}, state, chunk))

    state, began = runs.state, time.perf_counter()
    update(state)
    compiling = time.perf_counter() - began
    wall, cpu, done, curve, hit = 0.0, 0.0, 0, [], None
    per = steps_per_update(runs.config, runs.environment)
    while wall < seconds and done < runs.problem.num_updates and hit is None:
        start, used = time.perf_counter(), time.process_time()
        state, _ = update(state)
        wall, cpu, done = wall + time.perf_counter() - start, cpu + time.process_time() - used, done + chunk
        policy = runs.algorithm.policy(runs.problem, state)
        success = ac.evaluate(runs.environment, policy, jax.random.key(1), EPISODES).success
        assert success is not None
        curve.append((round(wall, 2), round(cpu, 2), done * per, round(success.mean, 4)))
        hit = curve[-1] if success.mean >= goal else None
    return {"hit": hit, "best": max(point[3] for point in curve), "compiling": round(compiling, 1), "curve": curve}


def in_turns(env: str, seeds: int, seconds: float, changes: Mapping[str, Any], goal: float) -> Iterator[dict[str, Any]]:
    """Yield the result of each run, algorithms in turns."""
    for seed in range(seeds):
        for name, config in configurations(env, changes).items():
            yield {"env": env, "algorithm": name, "seed": seed, **run(replace(config, seed=seed), goal, seconds)}


def main() -> None:
    """Print one line for each run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("env", choices=sorted(GOALS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=120.0, help="of updates, after which a run is given up")
    parser.add_argument("--goal", type=float)
    parser.add_argument("--set", action="append", default=[], help="a field of SHAC's configuration, as for train")
    given = parser.parse_args()
    goal = GOALS[given.env] if given.goal is None else given.goal
    for result in in_turns(given.env, given.seeds, given.seconds, parse_assignments(given.set), goal):
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
