"""Learning curves as figures inside a page: SVG, a line of words for each, and a table of all."""

import json
import math
from collections.abc import Sequence
from html import escape

from jaxdem_ac.runs.run_dir import Metrics

WIDTH, HEIGHT = 340, 200
LEFT, RIGHT, TOP, FOOT = 52, 12, 10, 38
MOST = 300

SHARES = ("final_success", "eval_success", "eval_sampled_success")
"""Figures between 0 and 1."""

TITLES = {
    "reward": "mean reward of a decision",
    "final_success": "success at the end of an episode",
    "eval_success": "evaluated success, by the policy's mode",
    "eval_sampled_success": "evaluated success, sampled actions",
    "eval_reward": "evaluated reward, by the policy's mode",
    "entropy": "entropy of the policy, nats",
    "explained_variance": "explained variance of the value",
    "kl": "divergence of an update, nats",
    "value_loss": "loss of the value",
}
"""Titles of the figures' curves, here and in other pictures."""

Points = list[tuple[float, float]]


def curves_section(metrics: Sequence[Metrics]) -> str:
    """Return the curves of a run's reports, or an empty text where there is none.

    Of very many reports an even choice is drawn, the first and the last among them; the page says so.
    """
    chosen = _even_choice(metrics)
    series = {name: _points(chosen, name) for name in TITLES}
    series = {name: points for name, points in series.items() if points}
    if not series:
        return ""
    figures = "\n".join(_figure(name, points) for name, points in series.items())
    few = len(chosen) < len(metrics)
    thinned = f'<p class="fine">Drawn and listed: {len(chosen)} of {len(metrics)} reports.</p>\n' if few else ""
    return (
        '<section aria-labelledby="curves-title">\n<h2 id="curves-title">Learning curves</h2>\n'
        f'<div class="curves">\n{figures}\n</div>\n'
        f"{thinned}{_table(chosen, list(series))}\n</section>"
    )


def written(number: float) -> str:
    """Return a number as a person reads it."""
    if abs(number) >= 1_000 and abs(number) < 1e15:
        return f"{number:,.0f}"
    return f"{number:.4g}"


def _even_choice(metrics: Sequence[Metrics]) -> list[Metrics]:
    last = len(metrics) - 1
    if last < MOST:
        return list(metrics)
    return [metrics[round(number * last / (MOST - 1))] for number in range(MOST)]


def _points(metrics: Sequence[Metrics], name: str) -> Points:
    return [(float(line["steps"]), float(line[name])) for line in metrics if _is_number(line.get(name))]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _figure(name: str, points: Points) -> str:
    """Return one curve with its axes; scripts find its points in ``data-points``."""
    (low, high), unit, unit_name = _range(name, [y for _, y in points]), *_unit(points[-1][0])
    most = points[-1][0] or 1.0

    def place(x: float, y: float) -> tuple[float, float]:
        right, down = x / most, (high - y) / (high - low)
        return round(LEFT + right * (WIDTH - LEFT - RIGHT), 1), round(TOP + down * (HEIGHT - TOP - FOOT), 1)

    placed = [place(*point) for point in points]
    marks = [_horizontal(place(0, y)[1], f"{y:.6g}") for y in _ticks(low, high)]
    marks += [_vertical(place(x * unit, low)[0], f"{x:.6g}") for x in _ticks(0, most / unit)]
    line = " ".join(f"{x},{y}" for x, y in placed)
    if len(placed) == 1:
        marks.append(f'<circle class="dot" cx="{placed[0][0]}" cy="{placed[0][1]}" r="3"/>')
    values = [y for _, y in points]
    words = f"last {written(values[-1])}, range {written(min(values))} to {written(max(values))}"
    if len(values) == 1:
        words = f"one report: {written(values[0])}"
    data = [[*where, written(x), written(y)] for where, (x, y) in zip(placed, points, strict=True)]
    foot = HEIGHT - FOOT
    return (
        f'<figure class="curve" data-points="{escape(json.dumps(data))}">\n'
        f'<figcaption>{escape(TITLES[name])}</figcaption>\n<p class="reading">{words}</p>\n'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(TITLES[name])}: {words}">\n'
        + "\n".join(marks)
        + f'\n<path class="axis" d="M{LEFT} {foot}H{WIDTH - RIGHT}"/>\n<polyline class="line" points="{line}"/>\n'
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 6}" text-anchor="middle">agent-steps{unit_name}</text>\n'
        '<circle class="cursor" r="4.5" visibility="hidden"/>\n</svg>\n</figure>'
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
    head = "".join(f'<th scope="col">{escape(TITLES[name])}</th>' for name in names)
    rows = "\n".join(
        f'<tr><th scope="row">{written(line["steps"])}</th>'
        + "".join(f"<td>{written(line[name]) if _is_number(line.get(name)) else '-'}</td>" for name in names)
        + "</tr>"
        for line in metrics
    )
    return (
        '<details><summary>The same as a table</summary>\n<div class="scroll" tabindex="0" role="region" '
        'aria-label="Reports of the training"><table class="plain">\n<caption>Reports of the training</caption>\n'
        f'<thead><tr><th scope="col">agent-steps</th>{head}</tr></thead>\n<tbody>\n{rows}\n'
        "</tbody></table></div></details>"
    )
