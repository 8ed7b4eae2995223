"""The evaluation of the policies that runs begin with, while their first update is compiled."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from jax.stages import Lowered

from jaxdem_ac.runs.evaluation import Evaluator
from jaxdem_ac.runs.run_dir import Metrics
from jaxdem_ac.trainers.policy import Policy


@contextmanager
def evaluated_meanwhile(
    evaluator: Evaluator, policies: Sequence[Policy], show: Callable[[list[Metrics]], None]
) -> Iterator[Callable[[], None]]:
    """Have policies evaluated by their mode in a thread of its own, and their figures shown from there.

    Gives a function that waits for it, and raises what was raised there. After that nothing is shown.

    The programs are there before the thread begins, both compiled at once: two threads that trace take turns, and each
    would wait for the other. To compile and to run them the lock of Python is not needed.
    """
    lowered = evaluator.lowered(policies)
    with ThreadPoolExecutor(len(lowered)) as compilers:
        list(compilers.map(Lowered.compile, lowered))
    wanted = True

    def run() -> None:
        figures = evaluator(policies, {"eval": False})
        if wanted:
            show(figures)

    pool = ThreadPoolExecutor(1)
    try:
        yield pool.submit(run).result
    finally:
        wanted = False
        # A training that has ended by an error does not wait for an evaluation.
        pool.shutdown(wait=False)
