"""Any network as a drawing: the matrices of one block to scale, and below them every layer."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from lora_lab.dashboard.drawing import box, document, text

WIDTH, NARROW, MARGIN = 760, 560, 4  # a narrow drawing is shown as wide: its letters are larger
TALLEST = 230  # of the block's drawing
GAP, ABOVE = 12, 24  # between two matrices; room for a name above each
LETTER, LONGEST = 7.8, 14  # width of one letter of a name; letters of a name that are written
THINNEST = 3  # what is thinner to scale is drawn so thick: else it would not be seen
BESIDE, TALL_BESIDE = 4, 2  # matrices in a row: squares and wide ones, then tall ones
ROW, CELL_HIGH, WIDEST_CELL = 19, 13, 44
_STYLE = ".mid {text-anchor: middle} .end {text-anchor: end}"


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


def svg(
    kinds: Sequence[Drawn],
    rank: int,
    layers: int,
    words: dict[str, str],
    dark: bool,
    width: int = WIDTH,
    ground: str = "",
) -> str:
    """The picture; see ``drawing.document`` for ``dark`` and ``ground``.

    Args:
        words: the headings "block" and "layers".
        width: in the drawing's own units, in which its letters are 14 high.
    """
    parts, bottom = _block(kinds, rank, scale(kinds, width), words["block"])
    below, height = _layers(kinds, layers, bottom + 28, words["layers"], width)
    return document(parts + below, (width, height), dark, _STYLE, ground)


def scale(kinds: Sequence[Drawn], room: int = WIDTH) -> float:
    """Units of the drawing per row or column of a matrix: the same for all of them."""
    low, high = 0.0, TALLEST / max(kind.shape[0] for kind in kinds)
    for _ in range(30):  # a narrow matrix takes the room of its name, so no formula: halve
        middle = (low + high) / 2
        _, width, height = _arranged(kinds, middle)
        fits = width <= room and height <= TALLEST + ABOVE * len(kinds) / BESIDE
        low, high = (middle, high) if fits else (low, middle)
    return low


def thicker_than_to_scale(kinds: Sequence[Drawn], rank: int, width: int = WIDTH) -> bool:
    return rank * scale(kinds, width) < THINNEST


def _arranged(
    kinds: Sequence[Drawn], unit: float
) -> tuple[list[tuple[Drawn, float, float]], float, float]:
    """Squares and wide matrices in rows, tall ones to their right.

    Returns:
        Where each has its middle and its top; width and height of all.
    """
    tall = [kind for kind in kinds if kind.shape[0] > 1.3 * kind.shape[1]]
    others = [kind for kind in kinds if kind not in tall]
    places, right = [], float(MARGIN)
    for group, beside in ((others, BESIDE), (tall, TALL_BESIDE)):
        left, top = right, float(ABOVE)
        for row in _rows(group, beside):
            x = left
            for kind in row:
                room = _room(kind, unit)
                places.append((kind, x + room / 2, top))
                x += room + GAP
            right = max(right, x)
            top += max(kind.shape[0] for kind in row) * unit + ABOVE
    height = max(top + kind.shape[0] * unit for kind, _, top in places)
    return places, right - GAP + MARGIN, height


def _rows(kinds: Sequence[Drawn], most: int) -> list[list[Drawn]]:
    """As many beside one another as are no wider than the widest, or than the first few."""
    widest = max([0, *(kind.shape[1] for kind in kinds)])
    limit = max(widest, sum(kind.shape[1] for kind in kinds[:most]))
    rows: list[list[Drawn]] = []
    for kind in kinds:
        full = not rows or len(rows[-1]) == most
        if full or sum(k.shape[1] for k in (*rows[-1], kind)) > limit:
            rows.append([])
        rows[-1].append(kind)
    return rows


def _room(kind: Drawn, unit: float) -> float:
    return max(kind.shape[1] * unit, LETTER * len(_short(kind.name)))


def _short(name: str) -> str:
    return name if len(name) <= LONGEST else f"…{name[1 - LONGEST :]}"


def _block(kinds: Sequence[Drawn], rank: int, unit: float, heading: str) -> tuple[list[str], float]:
    """Every matrix of a block; returns where the drawing ends."""
    places, _, height = _arranged(kinds, unit)
    parts = [text(heading, 0, 14)]
    for kind, middle, top in places:
        parts += _matrix(kind, rank, unit, middle, top + 24)
    return parts, height + 24


def _matrix(kind: Drawn, rank: int, unit: float, middle: float, top: float) -> list[str]:
    height, width = (max(THINNEST, side * unit) for side in kind.shape)
    left = middle - width / 2
    parts = [text(_short(kind.name), middle, top - 7, "mid")]
    parts.append(box(left, top, width, height, "adapted" if kind.adapted else "frozen"))
    if kind.adapted:
        thick = max(THINNEST, rank * unit)
        parts.append(box(left, top, min(thick, width), height, "trained"))  # B: out x r
        parts.append(box(left, top, width, min(thick, height), "trained"))  # A: r x in
    return parts


def _layers(
    kinds: Sequence[Drawn], layers: int, top: float, heading: str, width: int
) -> tuple[list[str], float]:
    """One row per kind of matrix, one cell per block; returns where the drawing ends."""
    left = max(LETTER * max(len(_short(kind.name)) for kind in kinds) + 14, 40)
    wide = min(WIDEST_CELL, (width - left - MARGIN) / layers)
    cell = max(wide - 2, 0.75 * wide)
    parts, y = [text(heading, 0, top)], top + 14
    for kind in kinds:
        parts.append(text(_short(kind.name), left - 8, y + 11, "end"))
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
        text(str(number), left + number * wide + cell / 2, y + 12, "mid")
        for number in range(0, layers, every)
    ]
    return parts, y + 20
