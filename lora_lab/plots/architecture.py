"""One transformer block as a drawing, in which layers it is adapted, and how a cost grows."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Rectangle

from lora_lab.plots.style import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    RED,
    STYLE,
    figure_of,
    label,
)

_WIDTH, _HEIGHT = 1.6, 1.0  # of a matrix's box, in units of the drawing
_TALL = 3.6
#: Short name -> (name to read, left, bottom, height). Data flows from left to right.
_BOXES = {
    "q": ("query", 1.1, 3.05, _HEIGHT),
    "k": ("key", 1.1, 1.75, _HEIGHT),
    "v": ("value", 1.1, 0.45, _HEIGHT),
    "qkv": ("query,\nkey, value", 1.1, 0.45, _TALL),
    "o": ("output", 5.35, 1.75, _HEIGHT),
    "gate": ("gate", 8.1, 0.45, _HEIGHT),
    "up": ("up", 8.1, 1.75, _HEIGHT),
    "down": ("down", 11.7, 1.75, _HEIGHT),
}
_MIDDLE = 2.25  # height of the line along which the hidden state runs


def architecture(
    shapes: Mapping[str, tuple[int, int]],
    layers: int,
    adapted: Collection[tuple[int, str]] = (),
    rank: int = 0,
    title: str = "One transformer block",
) -> Figure:
    """A block with its matrices, adapted ones in another colour, above a grid of all layers.

    Args:
        shapes: (out, in) of each matrix of a block by its short name: "q", "k", "v" or "qkv",
            "o", "up", "down", "gate".
        layers: how many blocks the model has.
        adapted: (layer number, short name) of every adapted matrix.
        rank: of the adapters; what A and B hold is written into the boxes of adapted matrices.

    Raises:
        ValueError: a short name that has no place in the drawing, or an adapted matrix that is
            not in ``shapes`` or lies outside the layers.
    """
    unknown = [name for name in shapes if name not in _BOXES]
    if unknown:
        raise ValueError(f"No place for {', '.join(unknown)}; known are {', '.join(_BOXES)}.")
    outside = [(n, name) for n, name in adapted if name not in shapes or not 0 <= n < layers]
    if outside:
        raise ValueError(f"{outside[0]} is not among {', '.join(shapes)} in {layers} layers.")
    with matplotlib.rc_context(STYLE):
        figure, (top, bottom) = figure_of(11.5, 7.0, rows=2, height_ratios=(3, 2))
        _draw_block(top, shapes, {name for _, name in adapted}, rank)
        top.set_title(title)
        _draw_grid(bottom, list(shapes), layers, set(adapted))
    return figure


def growth(
    curves: Mapping[str, Mapping[int, float]],
    *,
    title: str,
    x: str,
    y: str,
    level: float | None = None,
    level_name: str = "",
) -> Figure:
    """One line per name over ranks, on a logarithmic axis.

    Args:
        curves: for each name the value at each rank.
        level: a dashed line across, such as the cost of doing without.
    """
    styles = ((BLUE, "o-"), (ORANGE, "s--"), (GREEN, "^-."), (PURPLE, "D:"))
    with matplotlib.rc_context(STYLE):
        figure, axes = figure_of(10, 4.8)
        label(axes, title, x, y)
        for number, (name, curve) in enumerate(curves.items()):
            colour, style = styles[number % len(styles)]
            axes.plot(list(curve), list(curve.values()), style, color=colour, label=name)
        if level is not None:
            axes.axhline(level, color=RED, ls=(0, (6, 3)), label=level_name)
        axes.set_xscale("log", base=2)
        ranks = sorted({rank for curve in curves.values() for rank in curve})
        axes.set_xticks(ranks, [str(rank) for rank in ranks])
        axes.minorticks_off()
        axes.set_ylim(bottom=0)
        axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.03))
    return figure


def _draw_block(
    axes: Axes, shapes: Mapping[str, tuple[int, int]], adapted: Collection[str], rank: int
) -> None:
    axes.set(xlim=(-0.1, 14.4), ylim=(0.2, 4.7))
    axes.set_axis_off()
    top = 4.45
    first = [name for name in ("q", "k", "v", "qkv") if name in shapes]
    wide = [name for name in ("up", "gate") if name in shapes]
    for name, (out, in_) in shapes.items():
        text, left, bottom, height = _BOXES[name]
        text += f"\n{out:,} × {in_:,}"
        if name in adapted and rank:
            text += f"\n+ {rank * (out + in_):,}"
        colour = ORANGE if name in adapted else GREY
        box = Rectangle((left, bottom), _WIDTH, height, fc=colour, ec="black", alpha=0.75)
        axes.add_patch(box)
        middle = bottom + height / 2
        small = 9 if out * in_ > 10**8 else 10.5  # points: GPT-3's numbers are long
        axes.text(left + _WIDTH / 2, middle, text, ha="center", va="center", fontsize=small)
        if name in first:
            _arrow(axes, (0.55, _MIDDLE), (left, middle))
            _arrow(axes, (left + _WIDTH, middle), (3.3, middle))
        if name in wide:
            _arrow(axes, (7.66, _MIDDLE), (left, middle))
            _arrow(axes, (left + _WIDTH, middle), (10.15, middle))
    _without_weights(axes, 3.3, 0.45, 1.5, _TALL, "attention\n\nno weights")
    low = 0.45 if "gate" in shapes else 1.75
    curve = "SiLU\nand ×" if "gate" in shapes else "GELU"
    _without_weights(axes, 10.15, low, 1.05, 2.75 - low, curve)
    axes.text(0.5, _MIDDLE, "x", ha="right", va="center", fontsize=14, style="italic")
    _arrow(axes, (4.8, _MIDDLE), (5.35, _MIDDLE))
    _arrow(axes, (6.95, _MIDDLE), (7.28, _MIDDLE))
    _arrow(axes, (11.2, _MIDDLE), (11.7, _MIDDLE))
    _arrow(axes, (13.3, _MIDDLE), (13.57, _MIDDLE))
    _arrow(axes, (13.95, _MIDDLE), (14.4, _MIDDLE))
    for start, end in ((0.62, 7.47), (7.75, 13.76)):  # what goes past, and is added back
        path = [(start, _MIDDLE), (start, top), (end, top), (end, _MIDDLE + 0.2)]
        axes.plot(*zip(*path, strict=True), color=GREY, lw=1.5)
        axes.add_patch(Circle((end, _MIDDLE), 0.19, fc="white", ec="black"))
        axes.text(end, _MIDDLE, "+", ha="center", va="center", fontsize=13)


def _draw_grid(
    axes: Axes, names: list[str], layers: int, adapted: Collection[tuple[int, str]]
) -> None:
    label(axes, "Layer by layer", "layer (0 reads the words)", "", grid=False)
    for row, name in enumerate(names):
        for layer in range(layers):
            colour = ORANGE if (layer, name) in adapted else GREY
            cell = (layer - 0.45, row - 0.42)
            axes.add_patch(Rectangle(cell, 0.9, 0.84, fc=colour, ec="none", alpha=0.75))
    axes.set(xlim=(-0.5, layers - 0.5), ylim=(len(names) - 0.5, -0.5))
    axes.set_yticks(range(len(names)), [_BOXES[name][0].replace("\n", " ") for name in names])
    axes.set_xticks(range(0, layers, max(1, layers // 12)))
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    count = len(names) * layers
    kinds = [
        (ORANGE, "adapted: W frozen, A and B learn", len(adapted) > 0),
        (GREY, "frozen" if adapted else "no adapter", len(adapted) < count),
    ]
    handles = [
        Rectangle((0, 0), 1, 1, fc=colour, ec="black", alpha=0.75, label=text)
        for colour, text, occurs in kinds
        if occurs
    ]
    axes.legend(handles=handles, frameon=False, loc="lower right", bbox_to_anchor=(1, 1), ncols=2)


def _without_weights(
    axes: Axes, left: float, bottom: float, width: float, height: float, text: str
) -> None:
    """A step that computes something and learns nothing."""
    box = Rectangle((left, bottom), width, height, fc="none", ec=GREY, ls="--", lw=1.5)
    axes.add_patch(box)
    middle = left + width / 2, bottom + height / 2
    axes.text(*middle, text, ha="center", va="center", fontsize=10.5, color="#555555")


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    how = dict(arrowstyle="-|>", color=GREY, lw=1.4, shrinkA=0, shrinkB=0)
    axes.annotate("", end, start, arrowprops=how)
