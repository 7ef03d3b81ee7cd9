"""How Sphinx renders the notebooks. ``build.py`` prepares the pages and calls it."""

from __future__ import annotations

from typing import Any

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx

project = "lora-lab"
author = "the lora-lab team"
extensions = ["myst_nb"]
exclude_patterns = ["**/runs"]

nb_execution_mode = "off"  # build.py has executed them, and taken out what needs a kernel
nb_merge_streams = True
nb_render_markdown_format = "myst"  # formulas and links that a cell prints, too
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
suppress_warnings = ["mystnb.unknown_mime_type"]

html_theme = "furo"
html_title = "Understanding LoRA"
html_copy_source = False
html_show_copyright = False
html_static_path = ["_static"]
html_css_files = ["book.css"]
html_math_renderer = "mathml"


def _mathml(self: Any, node: nodes.math | nodes.math_block, display: str) -> None:
    self.body.append(convert(node.astext(), display=display))
    raise nodes.SkipNode


def setup(app: Sphinx) -> None:
    # Browsers draw MathML themselves: formulas need no script and no network.
    app.add_html_math_renderer(
        "mathml",
        inline_renderers=(lambda self, node: _mathml(self, node, "inline"), None),
        block_renderers=(lambda self, node: _mathml(self, node, "block"), None),
    )
