"""Directives that put what :mod:`generated` says into a page, and mathematics that needs no script to be seen."""

import builtins
import re
from collections.abc import Callable
from typing import Any, ClassVar

import generated
from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList
from latex2mathml.converter import convert
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util import logging

logger = logging.getLogger(__name__)

MAKERS: dict[str, Callable[..., str]] = {
    "baseline-table": generated.baselines,
    "benchmark-results": generated.benchmarks,
    "command-line": generated.command_line,
    "configuration": generated.configuration,
    "entropy-errors": generated.entropy_errors,
    "options": generated.options,
    "public-face": generated.public_face,
    "reference-curve": generated.reference,
    "reference-table": generated.references,
    "verify-summary": generated.verify_summary,
    "verify-table": generated.verify_table,
}


class Generated(Directive):
    """Markdown that a function returns, from the directive's argument if it has one."""

    maker: ClassVar[Callable[..., str]]
    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return what the Markdown means."""
        lines = type(self).maker(*self.arguments).splitlines()
        place = nodes.section()
        self.state.nested_parse(StringList(lines, "generated"), self.content_offset, place, match_titles=True)
        return place.children


class NotReferences(SphinxPostTransform):
    """Types that Python has built in, and numbers, are not looked for: a field of ours may bear the name of one."""

    default_priority = 5  # before references are resolved

    def run(self, **kwargs: Any) -> None:
        """Put the text of such a reference in its place."""
        for node in list(self.document.findall(addnodes.pending_xref)):
            target = node.get("reftarget", "")
            known = hasattr(builtins, target) or re.fullmatch(r"-?(inf|\d+(\.\d+)?)", target)
            if node.get("refdomain") == "py" and known:
                node.replace_self(node.children)


def without_ranges(*event: Any) -> tuple[str | None, str | None]:
    """Return a signature and its result, types without the ranges that the documented fields have beside them."""
    *_, signature, result = event
    return re.sub(r"(?:~?typing\.)?Annotated\[(\w+), [^\]]*\]", r"\1", signature or "") or None, result


def write_mathematics(translator: Any, node: nodes.math | nodes.math_block) -> None:
    """Write MathML, which browsers draw by themselves."""
    block = isinstance(node, nodes.math_block)
    formula = convert(node.astext(), display="block" if block else "inline")
    if "\\" in formula:
        logger.warning("mathematics has a command that is not known: %s", node.astext(), location=node)
    translator.body.append(f'<div class="math">{formula}</div>' if block else formula)
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, Any]:
    """Make the directives known."""
    for name, maker in MAKERS.items():
        app.add_directive(name, type(name, (Generated,), {"maker": staticmethod(maker)}))
    app.add_post_transform(NotReferences)
    app.connect("autodoc-process-signature", without_ranges)
    app.add_html_math_renderer("mathml", (write_mathematics, None), (write_mathematics, None))
    # What they say depends on code and results, which Sphinx does not watch.
    app.connect("env-get-outdated", lambda app, env, *_: [name for name in env.found_docs if _is_generated(env, name)])
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _is_generated(env: Any, name: str) -> bool:
    source = env.doc2path(name)
    return source.suffix == ".md" and any(f"{{{maker}}}" in source.read_text() for maker in MAKERS)
