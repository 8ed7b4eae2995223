"""Learning curves as figures inside a page: SVG, a line of words for each, and a table."""

import json
import math
from collections.abc import Sequence
from html import escape

import numpy as np

from jaxdem_ac.runs.run_dir import Metrics
from jaxdem_ac.view.curve_data import SHARES, TITLES, Curve, Run, band_of, curve_of
from jaxdem_ac.view.report.elements import heads, row, section, written

WIDTH, HEIGHT = 340, 200
LEFT, RIGHT, TOP, FOOT = 52, 12, 10, 38
MOST = 300

Points = list[tuple[float, float]]


def curves_section(metrics: Sequence[Metrics]) -> str:
    """Return the curves of a run's reports, or an empty text where there is none.

    Of very many reports an even choice is drawn, the first and the last among them; the page says so.
    """
    chosen = [metrics[number] for number in _even(len(metrics))]
    series = {name: _points(chosen, name) for name in TITLES}
    series = {name: points for name, points in series.items() if points}
    if not series:
        return ""
    figures = "\n".join(_figure(name, points) for name, points in series.items())
    few = len(chosen) < len(metrics)
    thinned = f'<p class="fine">Drawn and listed: {len(chosen)} of {len(metrics)} reports.</p>\n' if few else ""
    body = f'<div class="curves">\n{figures}\n</div>\n{thinned}{_table(chosen, list(series))}'
    return section("curves", "Learning curves", body)


def _even(number: int) -> list[int]:
    """Return which of so many are drawn: all, or an even choice with the first and the last."""
    if number <= MOST:
        return list(range(number))
    return [round(each * (number - 1) / (MOST - 1)) for each in range(MOST)]


def _points(metrics: Sequence[Metrics], name: str) -> Points:
    return [(float(line["steps"]), float(line[name])) for line in metrics if _is_number(line.get(name))]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _figure(name: str, points: Points) -> str:
    """Return one curve with its axes."""
    values = [y for _, y in points]
    words = f"last {written(values[-1])}, range {written(min(values))} to {written(max(values))}"
    if len(values) == 1:
        words = f"one report: {written(values[0])}"
    axes = _Axes(points[-1][0], _range(name, values))
    data = [[*axes.place(x, y), written(x), written(y)] for x, y in points]
    return axes.figure(name, words, axes.line(points, "line"), data)


def bands_section(runs: Sequence[Run]) -> str:
    """Return the curves of runs beside each other, each a mean over its seeds in a band, or an empty text.

    A band is Student's interval of 95 % confidence for the mean, as in :func:`~jaxdem_ac.view.curve_data.curve_of`.
    """
    found = {name: [(number, curve_of(run, name)) for number, run in enumerate(runs)] for name in TITLES}
    drawn = {name: [(number, curve) for number, curve in each if curve is not None] for name, each in found.items()}
    drawn = {name: curves for name, curves in drawn.items() if curves}
    if not drawn:
        return ""
    figures = "\n".join(_bands(name, runs, curves) for name, curves in drawn.items())
    entries = "\n".join(
        '<li><svg class="sample" viewBox="0 0 32 8" aria-hidden="true">'
        f'<path class="line {_kind(number)}" d="M0 4H32"/></svg>{escape(run.name)}{_seeds(run)}</li>'
        for number, run in enumerate(runs)
    )
    legend = f'<ul class="legend" aria-label="Runs">\n{entries}\n</ul>\n<div class="curves">\n{figures}\n</div>\n'
    return section("curves", "Learning curves", legend + _last_table(runs, drawn))


def _seeds(run: Run) -> str:
    """Return what is said of a run's band."""
    said = band_of(run, "95 % interval")
    return f' <span class="fine">{said}</span>' if said else ""


def _kind(number: int) -> str:
    """Return the classes of a run: colour and dashes together tell twelve apart."""
    return f"run-{number % 6} dashes-{number % 4}"


def _bands(name: str, runs: Sequence[Run], curves: Sequence[tuple[int, Curve]]) -> str:
    """Return one figure of several runs."""
    spread = np.concatenate([[curve.low, curve.high] for _, curve in curves], axis=1)
    axes = _Axes(max(float(curve.x[-1]) for _, curve in curves), _range(name, spread.ravel().tolist()))
    drawn, data = [], []
    for number, curve in curves:
        at = _even(len(curve.x))
        x, mean, low, high = (each[at].tolist() for each in (curve.x, curve.mean, curve.low, curve.high))
        around = [*zip(x, low, strict=True), *zip(reversed(x), reversed(high), strict=True)]
        if low != high:
            drawn.append(f'<polygon class="band {_kind(number)}" points="{axes.points(around)}"/>')
        points = list(zip(x, mean, strict=True))
        drawn.append(axes.line(points, f"line {_kind(number)}"))
        for (steps, value), *ends in zip(points, low, high, strict=True):
            said = f"{runs[number].name}: {written(value)}{_interval(ends)}"
            data.append([*axes.place(steps, value), written(steps), said])
    lasts = [f"{runs[number].name}: {written(curve.mean[-1])}" for number, curve in curves]
    words = f"last {'; '.join(lasts)}" if len(lasts) <= 4 else f"{len(lasts)} runs, their last figures in the table"
    return axes.figure(name, words, "\n".join(drawn), data)


def _interval(ends: Sequence[float]) -> str:
    return "" if ends[0] == ends[1] else f" [{written(ends[0])}, {written(ends[1])}]"


def _last_table(runs: Sequence[Run], drawn: dict[str, list[tuple[int, Curve]]]) -> str:
    """Return the last figures of every run, each with the ends of its band."""
    rows = []
    for number, run in enumerate(runs):
        cells = []
        for curves in drawn.values():
            curve = dict(curves).get(number)
            text = "-" if curve is None else written(curve.mean[-1]) + _interval([curve.low[-1], curve.high[-1]])
            cells.append(text)
        rows.append(row(run.name, cells))
    return _details(
        "The last figures as a table", "Last figures", "Last figures of the training", ["run", *drawn], rows
    )


class _Axes:
    """Axes of a figure: agent-steps from 0, and a range of values."""

    def __init__(self, most: float, limits: tuple[float, float]) -> None:
        self.most, (self.low, self.high) = most or 1.0, limits
        self.unit, self.unit_name = _unit(most)

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Return where a point is drawn."""
        right, down = x / self.most, (self.high - y) / (self.high - self.low)
        return round(LEFT + right * (WIDTH - LEFT - RIGHT), 1), round(TOP + down * (HEIGHT - TOP - FOOT), 1)

    def points(self, points: Sequence[tuple[float, float]]) -> str:
        """Return points as SVG has them."""
        return " ".join(f"{x},{y}" for x, y in (self.place(*point) for point in points))

    def line(self, points: Sequence[tuple[float, float]], kind: str) -> str:
        """Return a line through points, or a dot where there is but one."""
        drawn = f'<polyline class="{kind}" points="{self.points(points)}"/>'
        if len(points) > 1:
            return drawn
        x, y = self.place(*points[0])
        return f'{drawn}\n<circle class="dot {kind.removeprefix("line").strip()}" cx="{x}" cy="{y}" r="3"/>'

    def figure(self, name: str, words: str, drawn: str, data: Sequence[Sequence[object]]) -> str:
        """Return the figure; scripts find its points in ``data-points``."""
        marks = [_horizontal(self.place(0, y)[1], f"{y:.6g}") for y in _ticks(self.low, self.high)]
        marks += [
            _vertical(self.place(x * self.unit, self.low)[0], f"{x:.6g}") for x in _ticks(0, self.most / self.unit)
        ]
        foot = HEIGHT - FOOT
        return (
            f'<figure class="curve" data-points="{escape(json.dumps(data))}">\n'
            f'<figcaption>{escape(TITLES[name])}</figcaption>\n<p class="reading">{escape(words)}</p>\n'
            f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(f"{TITLES[name]}: {words}")}">\n'
            + "\n".join(marks)
            + f'\n<path class="axis" d="M{LEFT} {foot}H{WIDTH - RIGHT}"/>\n{drawn}\n'
            f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 6}" text-anchor="middle">agent-steps{self.unit_name}'
            '</text>\n<circle class="cursor" r="4.5" visibility="hidden"/>\n</svg>\n</figure>'
        )


def _range(name: str, values: list[float]) -> tuple[float, float]:
    """Return what the axis of values spans: a share all of it, anything else what it needs."""
    low, high = min(values), max(values)
    if name in SHARES:
        return 0.0, 1.0
    margin = 0.06 * (high - low) or 0.05 * abs(high) or 1.0
    return low - margin, high + margin


def _unit(most: float) -> tuple[float, str]:
    for unit, name in ((1e9, ", billions"), (1e6, ", millions"), (1e3, ", thousands")):
        if most >= unit:
            return unit, name
    return 1.0, ""


def _ticks(low: float, high: float) -> list[float]:
    """Return round numbers, three to six of them, between two."""
    raw = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw)
    return [number * step for number in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def _horizontal(y: float, text: str) -> str:
    return (
        f'<path class="grid" d="M{LEFT} {y}H{WIDTH - RIGHT}"/>'
        f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{text}</text>'
    )


def _vertical(x: float, text: str) -> str:
    foot = HEIGHT - FOOT
    return f'<path class="axis" d="M{x} {foot}v4"/><text x="{x}" y="{foot + 16}" text-anchor="middle">{text}</text>'


def _table(metrics: Sequence[Metrics], names: list[str]) -> str:
    rows = [
        row(written(line["steps"]), (written(line[name]) if _is_number(line.get(name)) else "-" for name in names))
        for line in metrics
    ]
    said = "Reports of the training"
    return _details("The same as a table", said, said, ["agent-steps", *names], rows)


def _details(title: str, label: str, caption: str, columns: Sequence[str], rows: Sequence[str]) -> str:
    """Return a table that opens with a click."""
    head = heads(TITLES.get(name, name) for name in columns)
    return (
        f'<details><summary>{title}</summary>\n<div class="scroll" tabindex="0" role="region" aria-label="{label}">'
        f'<table class="plain">\n<caption>{caption}</caption>\n<thead>{head}</thead>\n<tbody>\n'
        + "\n".join(rows)
        + "\n</tbody></table></div></details>"
    )
