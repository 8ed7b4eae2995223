"""A page as one file: template, style and script around its sections, and a policy that allows nothing else."""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from string import Template

from jaxdem_ac._types import Json
from jaxdem_ac.view.figures import style
from jaxdem_ac.view.report.pack import Shown

_SCRIPTS = (
    "data.js", "scene.js", "overlays.js", "blocks.js", "numbers.js", "choices.js", "player.js",
    "network.js", "physics.js", "live.js", "curves.js", "main.js",
)  # fmt: skip

_LIGHT = {
    "particle": style.BLUE, "there": style.GREEN, "target": style.ORANGE, "fixed": style.GREY,
    "passive": style.YELLOW,
    "species": (style.BLUE, style.AMBER, style.PURPLE, style.SKY, style.YELLOW, style.GREY),
    "run": style.SERIES[:6],
}  # fmt: skip
_DARK = {
    "particle": style.SKY, "there": style.GREEN, "target": style.ORANGE, "fixed": style.SILVER,
    "passive": style.YELLOW,
    "species": (style.SKY, style.AMBER, style.PURPLE, style.BLUE, style.YELLOW, style.SILVER),
    "run": (style.SKY, style.AMBER, style.GREEN, style.YELLOW, style.ORANGE, style.PURPLE),
}  # fmt: skip


def document(heading: str, lead: str, sections: Sequence[str], episodes: Sequence[Shown]) -> bytes:
    """Return the page: title, the line below it, elements of HTML, empty ones left out, and the player's episodes.

    If there are episodes, the player is one of the elements.
    """
    style_text, script = _style(), _script()
    policy = (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style_text)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    page = Template(asset("page.html")).substitute(
        policy=escape(policy),
        title=escape(f"{heading} - jaxdem-ac"),
        style=style_text,
        heading=escape(heading),
        lead=escape(lead),
        sections="\n".join(section for section in sections if section),
        footer="Written by jaxdem-ac. This file loads nothing from anywhere.",
        data=in_page({"episodes": list(episodes)}),
        script=script,
    )
    # A name out of JSON may hold half a surrogate pair, which UTF-8 cannot.
    return page.encode("utf-8", "xmlcharrefreplace")


def asset(name: str) -> str:
    """Return the text of a file that comes with the package."""
    return (files("jaxdem_ac.view.report") / "assets" / name).read_text(encoding="utf-8")


def in_page(value: Json) -> str:
    """Return JSON that no text in it can end the element of."""
    return json.dumps(value, allow_nan=False).replace("<", "\\u003c")


def _script() -> str:
    return '(() => {\n"use strict";\n' + "\n".join(map(asset, _SCRIPTS)) + "})();"


def _style() -> str:
    dark = f"@media (prefers-color-scheme: dark) {{\n:root {{\n{_variables(_DARK)}\n}}\n}}"
    return f"{asset('page.css')}:root {{\n{_variables(_LIGHT)}\n}}\n{dark}\n"


def _variables(colours: Mapping[str, str | Sequence[str]]) -> str:
    """Return colours as variables of CSS; those of several are numbered."""
    plain: dict[str, str] = {}
    for name, colour in colours.items():
        numbered = {name: colour} if isinstance(colour, str) else {f"{name}-{i}": each for i, each in enumerate(colour)}
        plain |= numbered
    return "\n".join(f"--{name}: {colour};" for name, colour in plain.items())


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
