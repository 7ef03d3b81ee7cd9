"""Any network as a drawing: the matrices of one block to scale, and below them every layer."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, MARGIN = 760, 4
TALLEST = 190  # of the block's drawing
GAP, LETTER = 12, 7.8  # between two matrices; width of one letter of a name
THINNEST = 1.2  # what is thinner to scale is drawn so thick: else it would not be seen
ROW, CELL_HIGH, WIDEST_CELL = 19, 13, 26
_STYLE = """
text {fill: INK; font: 14px sans-serif} .mid {text-anchor: middle} .end {text-anchor: end}
.frozen {fill: #888; fill-opacity: .2} rect.frozen {stroke: #888}
rect.adapted {fill: BLUE; fill-opacity: .16; stroke: BLUE; stroke-width: 1.4}
.trained {fill: BLUE}
"""


@dataclass(frozen=True)
class Drawn:
    """Matrices at the same place of each block.

    Attributes:
        name: to write beside it.
        shape: (out, in).
        blocks: numbers of the blocks that have it.
        adapted: numbers of the blocks in which it gets an A and a B.
    """

    name: str
    shape: tuple[int, int]
    blocks: Collection[int]
    adapted: Collection[int]


def network(kinds: Sequence[Drawn], rank: int, layers: int, words: dict[str, str], dark: bool):
    """The picture as an HTML element: an image, since Streamlit takes bare SVG out of HTML.

    Args:
        words: "block", "layers" (headings) and "description" (for those who do not see it).
    """
    image = b64encode(svg(kinds, rank, layers, words, dark).encode()).decode()
    label = escape(words["description"], quote=True)
    return (
        '<div style="overflow-x: auto"><img class="network" style="min-width: 30rem" '
        f'alt="{label}" src="data:image/svg+xml;base64,{image}"></div>'
    )


def svg(kinds: Sequence[Drawn], rank: int, layers: int, words: dict[str, str], dark: bool) -> str:
    unit = scale(kinds)
    parts, bottom = _block(kinds, rank, unit, words["block"])
    below, height = _layers(kinds, layers, bottom + 28, words["layers"])
    # Okabe and Ito's blue; on dark ground a lighter one, so that thin strips are seen.
    style = _STYLE.replace("BLUE", "#3A9BDC" if dark else "#0072B2")
    style = style.replace("INK", "#e8e6e3" if dark else "#2d2b29")
    box = f'viewBox="0 0 {WIDTH} {height:g}" width="{2 * WIDTH}" height="{2 * height:g}"'
    body = "".join(parts + below)
    return f'<svg xmlns="http://www.w3.org/2000/svg" {box}><style>{style}</style>{body}</svg>'


def scale(kinds: Sequence[Drawn]) -> float:
    """Units of the drawing per row or column of a matrix: the same for all of them."""
    rows = _rows(kinds)
    low, high = 0.0, TALLEST / sum(max(kind.shape[0] for kind in row) for row in rows)
    for _ in range(30):  # a narrow matrix takes the room of its name, so no formula: halve
        middle = (low + high) / 2
        fits = all(_total_width(row, middle) <= WIDTH for row in rows)
        low, high = (middle, high) if fits else (low, middle)
    return low


def thicker_than_to_scale(kinds: Sequence[Drawn], rank: int) -> bool:
    return rank * scale(kinds) < THINNEST


def _total_width(kinds: Sequence[Drawn], unit: float) -> float:
    return 2 * MARGIN + sum(_room(kind, unit) + GAP for kind in kinds) - GAP


def _room(kind: Drawn, unit: float) -> float:
    return max(kind.shape[1] * unit, LETTER * len(kind.name))


def _rows(kinds: Sequence[Drawn]) -> list[list[Drawn]]:
    """As many beside one another as leaves the names half of the width."""
    rows: list[list[Drawn]] = [[]]
    for kind in kinds:
        if rows[-1] and sum(LETTER * len(k.name) + GAP for k in (*rows[-1], kind)) > WIDTH / 2:
            rows.append([])
        rows[-1].append(kind)
    return rows


def _block(kinds: Sequence[Drawn], rank: int, unit: float, heading: str) -> tuple[list[str], float]:
    """Every matrix of a block; returns where the drawing ends."""
    parts, top = [_text(escape(heading), 0, 14)], 46.0
    for row in _rows(kinds):
        x = MARGIN
        for kind in row:
            room = _room(kind, unit)
            parts += _matrix(kind, rank, unit, x + room / 2, top)
            x += room + GAP
        top += max(kind.shape[0] for kind in row) * unit + 36
    return parts, top - 36


def _matrix(kind: Drawn, rank: int, unit: float, middle: float, top: float) -> list[str]:
    height, width = (max(THINNEST, side * unit) for side in kind.shape)
    left = middle - width / 2
    parts = [_text(escape(kind.name), middle, top - 9, "mid")]
    parts.append(_box(left, top, width, height, "adapted" if kind.adapted else "frozen"))
    if kind.adapted:
        thick = max(THINNEST, rank * unit)
        parts.append(_box(left, top, min(thick, width), height, "trained"))  # B: out x r
        parts.append(_box(left, top, width, min(thick, height), "trained"))  # A: r x in
    return parts


def _layers(
    kinds: Sequence[Drawn], layers: int, top: float, heading: str
) -> tuple[list[str], float]:
    """One row per kind of matrix, one cell per block; returns where the drawing ends."""
    left = max(LETTER * max(len(kind.name) for kind in kinds) + 14, 40)
    wide = min(WIDEST_CELL, (WIDTH - left - MARGIN) / layers)
    cell = max(wide - 2, 0.75 * wide)
    parts, y = [_text(escape(heading), 0, top)], top + 14
    for kind in kinds:
        parts.append(_text(escape(kind.name), left - 8, y + 11, "end"))
        for role, numbers in (
            ("trained", set(kind.adapted)),
            ("frozen", set(kind.blocks) - set(kind.adapted)),
        ):
            cells = "".join(
                f"M{left + number * wide:.5g} {y:g}h{cell:.3g}v{CELL_HIGH}h-{cell:.3g}z"
                for number in sorted(numbers)
            )
            parts.append(f'<path class="{role}" d="{cells}"/>' if cells else "")
        y += ROW
    every = next(step for step in (1, 2, 4, 8, 16, 32, 64, 128) if step * wide >= 24 or step > 99)
    parts += [
        _text(str(number), left + number * wide + cell / 2, y + 12, "mid")
        for number in range(0, layers, every)
    ]
    return parts, y + 20


def _box(x: float, y: float, width: float, height: float, role: str) -> str:
    return (
        f'<rect class="{role}" x="{x:.5g}" y="{y:.5g}" width="{width:.5g}" height="{height:.5g}"/>'
    )


def _text(text: str, x: float, y: float, role: str = "") -> str:
    return f'<text class="{role}" x="{x:.5g}" y="{y:.5g}">{text}</text>'
