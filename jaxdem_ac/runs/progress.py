"""Progress of a training: a live line in a terminal and in a notebook, or reports in words."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, NamedTuple

from jaxdem_ac.registry import algorithms
from jaxdem_ac.runs.run_dir import REJECTED, Metrics

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions
    from rich.text import Text

Report = Callable[[Metrics], None]

# As often as rich draws a line anew.
_SECONDS_BETWEEN_DRAWINGS = 0.25
_NOTEBOOK_WIDTH = 120


@contextmanager
def showing(report: Report | Literal["live"] | None, algorithm: str) -> Iterator[Report | None]:
    """Give the function to call with an algorithm's reports: for "live" that of a live line, where one can be shown."""
    if report != "live":
        yield report
        return
    from rich.console import Console

    console = Console()
    if console.is_jupyter:
        yield _in_notebook(algorithm)
    elif sys.stdout is not None and sys.stdout.isatty() and not console.is_dumb_terminal:
        with live_line(console, algorithm) as shown:
            yield shown
    else:
        yield None


@contextmanager
def live_line(console: "Console", algorithm: str) -> Iterator[Report]:
    """Give a function that shows a report of an algorithm on a live line of a terminal."""
    from rich.live import Live

    line = LiveLine(algorithm)
    with Live(line, console=console, refresh_per_second=1 / _SECONDS_BETWEEN_DRAWINGS):
        yield line.report


def _in_notebook(algorithm: str) -> Report:
    """Return a function that shows an algorithm's report in a notebook's cell, in place of the one before."""
    # rich would need ipywidgets for it.
    from IPython.display import display

    def drawn() -> dict[str, str]:
        return {"text/plain": line.drawn(_NOTEBOOK_WIDTH)}

    line, last = LiveLine(algorithm), -_SECONDS_BETWEEN_DRAWINGS
    handle = display(drawn(), raw=True, display_id=True)  # type: ignore[no-untyped-call, unused-ignore]

    def report(metrics: Metrics) -> None:
        nonlocal last
        line.report(metrics)
        now = time.monotonic()
        if now - last >= _SECONDS_BETWEEN_DRAWINGS or metrics["steps"] >= metrics["total_steps"]:
            last = now
            handle.update(drawn(), raw=True)

    return report


def in_words(metrics: Metrics, algorithm: str) -> str:
    """Return a report of an algorithm as a line of text."""
    return "  ".join(part.wide for part in _parts(metrics, algorithm, 0.0))


class LiveLine:
    """The live line: a bar and the newest figures, never longer than the terminal is wide."""

    def __init__(self, algorithm: str) -> None:
        self._algorithm = algorithm
        self._metrics: Metrics | None = None
        self._since = time.monotonic()

    def report(self, metrics: Metrics) -> None:
        """Show a report from now on."""
        # An evaluation stays in sight until the next.
        evaluated = {name: value for name, value in (self._metrics or {}).items() if name.startswith("eval_")}
        self._metrics = {**evaluated, **metrics}
        if _is_trained(metrics):
            self._since = time.monotonic()

    def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> Iterator["Text"]:
        """Draw it."""
        from rich.text import Text

        # The last column is left free: a cursor behind it wraps in some terminals.
        yield Text(self.drawn(options.max_width - 1, "#-" if options.ascii_only else "━╌"), no_wrap=True)

    def drawn(self, width: int, signs: str = "━╌") -> str:
        """Return it, at most `width` columns; the bar is made of two signs, for what is done and what is left."""
        seconds = time.monotonic() - self._since
        parts, done = [], 0.0
        if self._metrics is not None:
            parts = _parts(self._metrics, self._algorithm, seconds)
            done = self._metrics["steps"] / self._metrics["total_steps"]
        if self._metrics is None or not _is_trained(self._metrics):
            parts.append(_Part(0, f"compiling ...  {_clock(seconds)}", "compiling"))
        text = fitted(parts, width)
        return _bar(done, width - len(text) - 2, signs) + text


class _Part(NamedTuple):
    """A figure of a report."""

    rank: int
    """Rank of the figure; where room is short, the largest rank is left out first."""
    wide: str
    short: str


def fitted(parts: Sequence[_Part], width: int) -> str:
    """Return figures in one line of at most `width` columns: in full, or abbreviated, or the foremost of them."""
    line = "  ".join(part.wide for part in parts)
    kept = list(parts)
    while len(line) > width and kept:
        line = " ".join(part.short for part in kept)
        kept.remove(max(kept, key=lambda part: part.rank))
    return line[:width]


def _bar(done: float, width: int, signs: str) -> str:
    """Return a bar of at most 20 columns and two blanks, or nothing where there is no room."""
    width = min(width, 20)
    full = round(done * width)
    return "" if width < 5 else signs[0] * full + signs[1] * (width - full) + "  "


def _is_trained(metrics: Metrics) -> bool:
    """Return whether it is the report of an update, and not the evaluation of the policy that a run begins with."""
    return "agent_steps_per_second" in metrics


def _parts(metrics: Metrics, algorithm: str, seconds: float) -> list[_Part]:
    """Return the figures of an algorithm's report that was made some seconds ago."""
    steps, total = metrics["steps"], metrics["total_steps"]
    made = _Part(0, f"{steps:>{len(f'{total:,}')},} of {total:,} steps", f"{_short(steps)}/{_short(total)}")
    if not _is_trained(metrics):
        return [made, _Part(3, "untrained", "untrained"), *_evaluated(metrics)[:1]]
    rate = metrics["agent_steps_per_second"]
    left = _clock(max(0.0, (total - steps) * metrics.get("runs", 1) / max(rate, 0.1) - seconds))
    parts = [
        made,
        _Part(4, f"{rate:>7,.0f} agent-steps/s", f"{_short(rate)}/s"),
        _Part(3, f"{left} left", f"{left} left"),
        _figure(1, "reward", metrics.get("reward"), "+.4f", "+.3f"),
        _figure(2, "success", metrics.get("final_success"), ".3f", ".2f", metrics.get("final_success_spread")),
        *_evaluated(metrics),
    ]
    # Here and not above: the class of an algorithm needs JAX, and a line is there before it.
    columns = algorithms.get(algorithm).columns
    parts += [
        _figure(rank, name, metrics.get(name), *formats) for rank, (name, formats) in enumerate(columns.items(), 5)
    ]
    if metrics.get("diverged"):
        diverged = f"{metrics['diverged']} of {metrics['runs']} diverged"
        parts.insert(0, _Part(0, diverged, diverged))
    return parts


def _evaluated(metrics: Metrics) -> list[_Part]:
    """Return the success of an evaluation, by mode and sampled, of a task without such a figure the reward, if any."""
    for what, wide, short in (("success", ".3f", ".2f"), ("reward", "+.4f", "+.3f")):
        name = f"eval_{what}"
        if name in metrics:
            spread = metrics.get(f"{name}_spread")
            sampled, rejected = metrics.get(f"eval_sampled_{what}"), metrics.get(REJECTED)
            return [
                _figure(2, "evaluated", metrics[name], wide, short, spread),
                *([] if rejected is None else [_figure(98, "rejected", rejected, wide, short)]),
                _figure(99, "sampled", sampled, wide, short),
            ]
    return []


def _figure(rank: int, name: str, value: float | None, wide: str, short: str, spread: float | None = None) -> _Part:
    """Return a figure, with its spread over runs side by side; a dash where there is none."""
    if value is None:
        return _Part(rank, f"{name} {'-':>{len(format(0.0, wide))}}", f"{name} -")
    around = "" if spread is None else f" ± {spread:.3f}"
    return _Part(rank, f"{name} {value:{wide}}{around}", f"{name} {value:{short}}")


def _clock(seconds: float) -> str:
    """Return a time as ``1:02:03`` or ``2:03``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _short(number: float) -> str:
    """Return a number with three digits, ``1.31M``."""
    for limit, sign in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= 0.9995 * limit:
            return f"{number / limit:.3g}{sign}"
    return f"{number:.3g}"
