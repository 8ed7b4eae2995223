"""A page as a browser finds it."""

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any


class Parsed(HTMLParser):
    """What a browser would find."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.raw: dict[str, list[str]] = {"script": [], "style": []}
        self._open = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._open = tag
        if tag in self.raw:
            self.raw[tag].append("")

    def handle_endtag(self, tag: str) -> None:
        self._open = ""

    def handle_data(self, data: str) -> None:
        if self._open in self.raw:
            self.raw[self._open][-1] += data
        else:
            self.texts.append(data)


def data_of(path: Path) -> list[dict[str, Any]]:
    episodes: list[dict[str, Any]] = json.loads(Parsed(path.read_text()).raw["script"][0])["episodes"]
    return episodes
