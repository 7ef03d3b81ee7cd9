"""What the drawings of networks share: colours, shapes, the way into a page and into a file."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from html import escape

MARGIN = 12
_STYLE = """
text {fill: INK; font: 14px sans-serif}
.frozen {fill: #888; fill-opacity: .2} rect.frozen {stroke: #888}
rect.adapted {fill: BLUE; fill-opacity: .16; stroke: BLUE; stroke-width: 1.3}
.trained {fill: BLUE}
"""


def document(
    parts: Sequence[str], size: tuple[float, float], dark: bool, style: str = "", ground: str = ""
) -> str:
    """The drawing as SVG, twice as large as its own units.

    Args:
        size: width and height, in the units of ``parts``.
        dark: for a dark page.
        style: more rules; INK, BLUE and ONBLUE stand for the colours of the page.
        ground: colour behind it all, with a margin, for a file; by default one sees the page.
    """
    margin = MARGIN if ground else 0
    width, height = (side + 2 * margin for side in size)
    # Okabe and Ito's blue; on dark ground a lighter one, so that thin strips are seen.
    rules = (_STYLE + style).replace("ONBLUE", "#0b1a24" if dark else "#fff")
    rules = rules.replace("BLUE", "#3A9BDC" if dark else "#0072B2")
    rules = rules.replace("INK", "#e8e6e3" if dark else "#2d2b29")
    box = f'viewBox="{-margin} {-margin} {width:g} {height:g}"'
    box += f' width="{2 * width:g}" height="{2 * height:g}"'
    corner = f"M{-margin} {-margin}"
    behind = f'<path fill="{ground}" d="{corner}h{width:g}v{height:g}h{-width:g}z"/>'
    body = "".join([behind, *parts] if ground else parts)
    return f'<svg xmlns="http://www.w3.org/2000/svg" {box}><style>{rules}</style>{body}</svg>'


def image(svg: str, description: str) -> str:
    """As an HTML element, an image that holds the SVG: Streamlit takes bare SVG out of HTML.

    On a phone it stays wide enough to be read, and is moved with a finger.

    Args:
        description: for those who do not see it.
    """
    source = f"data:image/svg+xml;base64,{b64encode(svg.encode()).decode()}"
    label = escape(description, quote=True)
    return f'<div class="drawing"><img class="network" alt="{label}" src="{source}"/></div>'


def box(x: float, y: float, width: float, height: float, role: str) -> str:
    return (
        f'<rect class="{role}" x="{x:.5g}" y="{y:.5g}" width="{width:.5g}" height="{height:.5g}"/>'
    )


def text(words: str, x: float, y: float, role: str = "") -> str:
    """Words, as they are: characters that mean something in SVG are escaped."""
    return f'<text class="{role}" x="{x:.5g}" y="{y:.5g}">{escape(words)}</text>'
