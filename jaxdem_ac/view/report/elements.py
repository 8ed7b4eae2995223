"""Elements of a page, and numbers as a person reads them."""

from collections.abc import Iterable
from html import escape


def written(number: float) -> str:
    """Return a number as a person reads it."""
    return f"{number:,.0f}" if 1_000 <= abs(number) < 1e15 else f"{number:.4g}"


def section(name: str, title: str, body: str) -> str:
    """Return a section that is called by its title; scripts and styles know it by its name."""
    return f'<section aria-labelledby="{name}-title">\n<h2 id="{name}-title">{title}</h2>\n{body}\n</section>'


def heads(names: Iterable[str]) -> str:
    """Return the first row of a table."""
    return "<tr>" + "".join(f'<th scope="col">{escape(name)}</th>' for name in names) + "</tr>"


def row(name: str, cells: Iterable[object], kind: str = "") -> str:
    """Return a row of a table, whose cells are HTML; `kind` is what else stands in its tag."""
    return f'<tr{kind}><th scope="row">{escape(name)}</th>' + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"
