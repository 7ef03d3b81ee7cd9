"""A LoRA layer from inside: what flows back through it, and how large its update is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from matplotlib.ticker import LogLocator

from lora_lab.plots.style import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, STYLE, figure_of, label

#: Arrow name -> (tail, head, place of its text). The key of what ``gradient_flow`` is given.
_ARROWS: dict[str, tuple[tuple[float, float], tuple[float, float], tuple[float, float]]] = {
    "g W": ((3.3, 4.1), (0.3, 4.1), (1.8, 4.62)),
    "s g B A": ((2.2, 1.9), (0.3, 1.9), (1.2, 2.42)),
    "s g B": ((6.2, 1.6), (3.8, 1.6), (5.0, 1.1)),
    "dA": ((3.0, 1.3), (3.0, 0.35), (3.0, 0.05)),
    "dB": ((7.0, 1.3), (7.0, 0.35), (7.0, 0.05)),
}
_FORWARD = "x Aᵀ"
_LINE_STYLES = ("-", "--", "-.", ":")
_PALETTE = (BLUE, ORANGE, GREEN, PURPLE)
THICKEST = 9.0  # points


def gradient_flow(
    sizes: Mapping[str, float], title: str, *, largest: Mapping[str, float] | None = None
) -> Figure:
    """The layer as boxes; what flows through it as arrows, as thick as it is large.

    Args:
        sizes: of "g", "x Aᵀ", "g W", "s g B", "s g B A", "dA" and "dB"; an exact 0 is dotted.
        largest: what the thickest arrow of each name stands for (default: ``sizes``), so that
            several figures can be compared.
    """
    largest = sizes if largest is None else largest
    with matplotlib.rc_context(STYLE):
        figure, axes = figure_of(11, 5.2)

        def arrow(name: str, tail: tuple[float, float], head: tuple[float, float]) -> None:
            width = THICKEST * sizes[name] / largest[name] if largest[name] else 0.0
            _arrow(axes, tail, head, width, BLUE if name == _FORWARD else RED, sizes[name] == 0)

        for name, (tail, head, place) in _ARROWS.items():
            arrow(name, tail, head)
            _value(axes, place, name, sizes[name])
        for y, head in ((4.1, 6.7), (1.9, 7.8)):  # the same g arrives at both branches
            arrow("g", (9.5, y), (head, y))
        _value(axes, (9.4, 3.0), "g", sizes["g"])
        arrow(_FORWARD, (3.8, 2.3), (6.2, 2.3))
        axes.text(
            5.0, 2.62, f"forward, {_FORWARD}: {_shown(sizes[_FORWARD])}", color=BLUE, ha="center"
        )
        axes.text(0.2, 3.0, "to the layer below", ha="left", va="center")
        _box(axes, (5.0, 4.1), 1.6, "W", GREY)
        _box(axes, (3.0, 1.9), 0.7, "A", ORANGE)
        _box(axes, (7.0, 1.9), 0.7, "B", ORANGE)
        axes.set(xlim=(0, 10.4), ylim=(-0.3, 5.1))
        axes.set_axis_off()
        axes.set_title(title)
    return figure


def _arrow(
    axes: Axes,
    tail: tuple[float, float],
    head: tuple[float, float],
    width: float,
    colour: str,
    nothing: bool,
) -> None:
    style = dict(arrowstyle="-|>", shrinkA=0, shrinkB=0)
    if nothing:
        style |= dict(color=GREY, lw=1.5, ls=":", mutation_scale=12)
    else:
        width = max(width, 0.8)
        style |= dict(color=colour, lw=width, alpha=0.85, mutation_scale=10 + 2.5 * width)
    axes.annotate("", xy=head, xytext=tail, arrowprops=style)


def _value(axes: Axes, place: tuple[float, float], name: str, size: float) -> None:
    ink = GREY if size == 0 else RED
    axes.text(*place, f"{name}: {_shown(size)}", color=ink, ha="center", va="center")


def _shown(size: float) -> str:
    return "0" if size == 0 else f"{size:.1e}" if size < 0.01 else f"{size:.3g}"


def _box(axes: Axes, middle: tuple[float, float], half: float, name: str, colour: str) -> None:
    x, y = middle
    axes.add_patch(
        FancyBboxPatch(
            (x - half, y - 0.5), 2 * half, 1.0, boxstyle="round,pad=0.05", fc=colour, ec="black"
        )
    )
    axes.text(x, y, name, ha="center", va="center", fontsize=18)


def sizes_over_steps(
    histories: Mapping[str, Sequence[Mapping[str, float]]], names: Sequence[str], title: str
) -> Figure:
    """One panel for each of ``names``, a line for each history: its size after each step."""
    with matplotlib.rc_context(STYLE):
        figure, panels = figure_of(11, 4.6, columns=len(names))
        for axes, name in zip(np.atleast_1d(panels), names, strict=True):
            label(axes, f"{title} {name}", "steps taken", "size (Frobenius norm)")
            for number, (key, history) in enumerate(histories.items()):
                values = [at[name] for at in history]
                style = dict(ls=_LINE_STYLES[number % 4], color=_PALETTE[number % 4])
                axes.plot(range(len(values)), values, marker="o", ms=5, label=key, **style)
            axes.set_ylim(bottom=0)
        axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def over_rank(
    panels: Mapping[str, tuple[str, Mapping[str, Sequence[float]]]],
    ranks: Sequence[int],
    *,
    mark: int | None = None,
    limits: tuple[float, float] | None = None,
) -> Figure:
    """Sizes against the rank, both axes logarithmic: a power of the rank is a straight line.

    Args:
        panels: title -> (name of the y axis, {line: a value per rank}).
        mark: a rank to point out.
        limits: of the y axis, so that figures can be compared.
    """
    with matplotlib.rc_context(STYLE):
        figure, columns = figure_of(1.5 + 5.2 * len(panels), 4.8, columns=len(panels))
        for axes, (title, (y, lines)) in zip(np.atleast_1d(columns), panels.items(), strict=True):
            label(axes, title, "rank", y)
            axes.set_xscale("log", base=2)
            axes.set_yscale("log")
            for number, (name, values) in enumerate(lines.items()):
                style = dict(ls=_LINE_STYLES[number % 4], color=_PALETTE[number % 4])
                axes.plot(ranks, values, marker="o", ms=6, label=name, **style)
                if mark is not None:
                    at = values[list(ranks).index(mark)]
                    axes.plot([mark], [at], "o", ms=13, mfc="none", mec=RED, mew=2.5)
            axes.set_xticks(ranks, [str(rank) for rank in ranks])
            axes.minorticks_off()
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
            if limits is not None:
                axes.set_ylim(*limits)
        handles, names = axes.get_legend_handles_labels()
        wide = len(names) if len(panels) > 1 else 1
        figure.legend(handles, names, frameon=False, loc="outside lower center", ncols=wide)
    return figure


def agreement(
    right: Sequence[float], other: Sequence[float], *, title: str, x: str, y: str
) -> Figure:
    """Each entry of one gradient against the same entry of another; equal ones lie on the line.

    Both are shown as shares of the largest entry of ``right``.
    """
    largest = np.abs(right).max()
    one, two = np.asarray(right) / largest, np.asarray(other) / largest
    reach = 1.05 * max(1.0, np.abs(two).max())
    with matplotlib.rc_context(STYLE):
        figure, axes = figure_of(7, 6)
        label(axes, title, f"{x} (share of its largest)", f"{y} (same unit)")
        axes.plot([-reach, reach], [-reach, reach], "--", color=GREY, lw=1.5)
        axes.plot(one, two, "o", color=BLUE, ms=4, alpha=0.35)
        axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
        axes.locator_params(nbins=5)
    return figure
