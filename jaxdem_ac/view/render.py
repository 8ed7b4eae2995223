"""Pictures of a run."""

from pathlib import Path

import jax
import numpy as np

from jaxdem_ac.trainers.checkpoint import build_environment, load_policy
from jaxdem_ac.trainers.evaluate import record
from jaxdem_ac.trainers.folder import read_metrics, single
from jaxdem_ac.view.animation import animate, draw_moments
from jaxdem_ac.view.curves import plot_learning_curve
from jaxdem_ac.view.style import require_matplotlib


def render_run(
    run_dir: str | Path, *, seed: int = 1_000, decisions: int | None = None, sample: bool = False
) -> list[Path]:
    """Write episode.gif, episode.png and learning_curve.png into a run's folder.

    Parameters
    ----------
    run_dir : path
        The run's folder.
    seed : int
        Of the episode.
    decisions : int, optional
        Length of the animation; one episode if left out.
    sample : bool
        Whether actions are sampled.

    Returns
    -------
    list of Path
        What was written.

    Raises
    ------
    FileNotFoundError
        If the folder holds no run.
    ValueError
        If `decisions` is below 1, or the run has no reports.
    ImportError
        If matplotlib is not installed.
    """
    require_matplotlib()
    run_dir = Path(run_dir)
    config = single(run_dir)
    environment = build_environment(config)
    length = environment.episode_length if decisions is None else decisions
    if length < 1:
        raise ValueError(f"render: decisions is at least 1; got decisions={length}. Raise it.")
    policy = load_policy(run_dir)
    states, info = record(environment, policy, jax.random.key(seed), length, sample)
    episode, moments, curve = (run_dir / name for name in ("episode.gif", "episode.png", "learning_curve.png"))
    success = np.asarray(info.get("success", np.full(length, np.nan)))
    animate(states, success, episode, decision_time=environment.decision_time)
    draw_moments(states, success, moments, decision_time=environment.decision_time)
    plot_learning_curve(read_metrics(run_dir), curve, title=f"{config.env}, {config.model}, seed {config.seed}")
    return [episode, moments, curve]
