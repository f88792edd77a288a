"""What Sphinx is taught for this site: generated parts, MathML, equations in docstrings."""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.util.typing import ExtensionMetadata
from sphinx.writers.html5 import HTML5Translator

import generated

PLACEHOLDER = re.compile(r"^<!-- generated: (\w+) -->$", re.MULTILINE)


def setup(app: Sphinx) -> ExtensionMetadata:
    """Register all of it."""
    app.connect("source-read", fill_in)
    app.connect("autodoc-process-docstring", mark_equations, priority=400)  # before napoleon
    app.add_html_math_renderer("mathml", (inline_math, None), (block_math, None))
    return {"version": "1", "parallel_read_safe": True}


def fill_in(app: Sphinx, _page: str, source: list[str]) -> None:
    """Write what `<!-- generated: NAME -->` stands for; git never sees it."""
    if PLACEHOLDER.search(source[0]):
        app.env.note_reread()  # the code may change where the page does not
        source[0] = PLACEHOLDER.sub(lambda match: generated.PARTS[match[1]](), source[0])


def mark_equations(
    _app: Sphinx, _what: str, _name: str, _object: object, _options: Any, lines: list[str]
) -> None:
    """Show indented paragraphs of docstrings, which are code or equations, as they are written."""
    for index in range(len(lines) - 1, 1, -1):
        above = lines[index - 2]
        if lines[index].startswith("    ") and not lines[index - 1] and above[:1].strip():
            lines[index - 1 : index] = ["", "::", ""]


def inline_math(writer: HTML5Translator, node: nodes.math) -> None:
    """Browsers draw MathML themselves: no script, no font from elsewhere."""
    writer.body.append(tex2mathml(node.astext()))
    raise nodes.SkipNode


def block_math(writer: HTML5Translator, node: nodes.math_block) -> None:
    """Write an equation of its own."""
    writer.body.append(f'<div class="equation">{tex2mathml(node.astext(), as_block=True)}</div>')
    raise nodes.SkipNode
