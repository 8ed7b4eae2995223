"""A policy for each particle of a large swarm: time, memory, checkpoint, and a run that goes on from it.

    python -m benchmarks.independent --num-particles 65536 --out build/independent

PPO trains `PerParticle` with networks of (16, 16) on `swarm_navigator` from among the targets, one swarm. The line of
JSON has bytes beside those of what is learnt, parameters and both moments of Adam: what a copy costs.
"""

import argparse
import json
import time
from pathlib import Path

import jax

import jaxdem_ac as ac
from benchmarks.memory import peak_bytes

COPIES = 3
"""Arrays of each parameter that a learner keeps: itself and two moments."""


def main() -> None:
    """Train, go on, and say what it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num-particles", type=int, default=65_536, metavar="N")
    parser.add_argument("--updates", type=int, default=2, help="of the run, and again of the one that goes on")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="of the run; it may not be there")
    given = parser.parse_args()
    number = given.num_particles
    small = ac.make_environment("swarm_navigator", num_particles=16, box_padding=0.0)
    large = small.with_num_particles(number)
    decisions = 8
    config = ac.TrainConfig(
        env="swarm_navigator",
        env_kw={name: getattr(large, name) for name in ("num_particles", *large.room_lengths)},
        model="PerParticle",
        model_kw={"architecture": [16, 16], "sharing": "independent"},
        action_space="MaxNorm",
        steps=given.updates * decisions * number,
        out=str(given.out),
    ).with_values({"ppo.num_envs": 1, "ppo.num_steps": decisions, "report_every": 1})
    began = time.perf_counter()
    result = ac.train(config, report=None)
    trained = time.perf_counter() - began
    learnt = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(result.policy.model_state))
    stored = sum(file.stat().st_size for file in (given.out / "checkpoints").rglob("*") if file.is_file())
    del result
    began = time.perf_counter()
    again = ac.resume(given.out, None, steps=2 * config.steps)
    figures = {
        "num_particles": number,
        "parameters": learnt // 4,
        "bytes_of_what_is_learnt": COPIES * learnt,
        "peak_bytes": peak_bytes(),
        "checkpoints_bytes": stored,
        "updates": [line["update"] for line in again.metrics],
        "agent_steps_per_second": [line["agent_steps_per_second"] for line in again.metrics],
        "seconds": [round(trained, 1), round(time.perf_counter() - began, 1)],
        "device": jax.devices()[0].device_kind,
        "jax": jax.__version__,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
