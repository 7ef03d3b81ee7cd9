"""What data do to a result: their number, too many passes over them, where they come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from lora_lab.plots.spectra import DASHES, MARKERS, PALETTE
from lora_lab.plots.style import BLUE, GREY, ORANGE, RED, STYLE, figure_of, label
from lora_lab.results.comparing import Difference

#: (value, low, high)
Point = Sequence[float]


def over_sentences(
    curves: Mapping[str, Mapping[int, Point]],
    *,
    title: str,
    x: str = "labelled sentences to learn from (logarithmic scale)",
    y: str = "test accuracy, 95% interval",
    levels: Mapping[str, float] | None = None,
) -> Figure:
    """One curve per method over the number of sentences, on a logarithmic scale.

    Args:
        curves: name -> number -> (value, low, high).
        levels: methods that learn from none: dashed horizontal lines with their names.
    """
    numbers = sorted({number for points in curves.values() for number in points})
    with matplotlib.rc_context(STYLE):
        figure, axes = figure_of(11, 5)
        label(axes, title, x, y)
        axes.set_xscale("log", base=2)
        for place, (name, points) in enumerate(curves.items()):
            at = np.array(sorted(points), dtype=float)
            value, low, high = np.array([points[int(n)] for n in at], dtype=float).T
            shifted = at * 2 ** (0.09 * (place - (len(curves) - 1) / 2))  # intervals side by side
            style = dict(color=PALETTE[place % len(PALETTE)], ls=DASHES[place % len(DASHES)])
            axes.errorbar(
                shifted, value, [value - low, high - value], capsize=4, ms=8, label=name,
                marker=MARKERS[place % len(MARKERS)], **style,
            )  # fmt: skip
        for place, (name, level) in enumerate((levels or {}).items()):
            dashes = DASHES[1 + place % 3]
            axes.axhline(level, color=GREY, ls=dashes, lw=1.5, label=f"{name}: {level:.3f}")
        axes.set_xticks(numbers, [f"{n:,}" for n in numbers])
        axes.set_xlim(numbers[0] / 1.4, numbers[-1] * 1.4)
        axes.minorticks_off()
        axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def loss_curves(
    settings: Mapping[str, Sequence[tuple[Sequence[float], Sequence[float]]]],
    *,
    title: str,
    unknowing: float | None = None,
) -> Figure:
    """Training and validation loss over the epochs, a panel for each setting.

    Args:
        settings: name -> for each seed (training losses, validation losses), epoch by epoch. Each
            seed is a thin line, their mean a thick one, its lowest validation loss a circle.
        unknowing: a dotted line at the loss of a model that knows nothing.
    """
    with matplotlib.rc_context(STYLE):
        figure, grid = figure_of(
            11, 4.6, columns=len(settings), sharex=True, sharey=True, squeeze=False
        )
        for axes, (name, seeds) in zip(grid[0], settings.items(), strict=True):
            label(axes, name, "epoch", "cross-entropy (nats)" if axes is grid[0][0] else "")
            kinds = (("training", ORANGE, "--"), ("validation", BLUE, "-"))
            for which, (kind, colour, dashes) in enumerate(kinds):
                losses = np.array([seed[which] for seed in seeds], dtype=float)  # (seeds, epochs)
                epochs = np.arange(1, losses.shape[1] + 1)
                for one in losses:
                    axes.plot(epochs, one, color=colour, ls=dashes, lw=0.9, alpha=0.6)
                mean = losses.mean(axis=0)
                axes.plot(epochs, mean, color=colour, ls=dashes, lw=3, label=kind)
            lowest = int(mean.argmin())  # of the validation, which comes last
            axes.plot([lowest + 1], [mean[lowest]], "o", ms=12, mfc="none", mec=RED, mew=2)
            if unknowing is not None:
                axes.axhline(unknowing, color=GREY, ls=":", lw=1.5)
            axes.xaxis.get_major_locator().set_params(integer=True)
        grid[0][0].set_ylim(bottom=0)
        grid[0][-1].legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
        figure.suptitle(title, x=0.01, ha="left", fontsize=15)
    return figure


def transfer_tables(
    tables: Mapping[str, Sequence[Sequence[float]]],
    names: Sequence[str],
    *,
    title: str,
    notes: Mapping[str, Sequence[Sequence[str]]] | None = None,
) -> Figure:
    """Accuracy by the domain learnt from (row) and tested on (column), a heat map per method.

    Args:
        tables: method -> (D, D) accuracies; all share the colours. The diagonal is framed.
        notes: method -> (D, D) second lines, smaller.
    """
    arrays = {method: np.array(values, dtype=float) for method, values in tables.items()}
    low = min(values.min() for values in arrays.values())
    high = max(values.max() for values in arrays.values())
    short = [name.replace("-", "\n") for name in names]
    with matplotlib.rc_context(STYLE):
        width = 1.5 + len(arrays) * (0.9 + 1.15 * len(names))
        figure, grid = figure_of(
            width, 2.0 + 0.95 * len(names), columns=len(arrays), sharey=True, squeeze=False
        )
        for axes, (method, values) in zip(grid[0], arrays.items(), strict=True):
            axes.imshow(values, cmap="Blues", vmin=low, vmax=high, aspect="auto")
            for (row, column), value in np.ndenumerate(values):
                ink = "white" if value > low + 0.55 * (high - low) else "black"
                text = f"{value:.3f}"
                if notes and method in notes:
                    text += f"\n{notes[method][row][column]}"
                axes.text(column, row, text, ha="center", va="center", color=ink, fontsize=11)
            for place in range(len(names)):
                axes.add_patch(
                    matplotlib.patches.Rectangle(
                        (place - 0.48, place - 0.48), 0.96, 0.96, fill=False, ec=ORANGE, lw=3
                    )
                )
            axes.set_xticks(range(len(names)), short, fontsize=11)
            axes.set_yticks(range(len(names)), short, fontsize=11)
            axes.spines[:].set_visible(False)
            left = "learnt from" if axes is grid[0][0] else ""
            label(axes, method, "tested on", left, grid=False)
        figure.suptitle(title, x=0.01, ha="left", fontsize=15)
    return figure


def differences(found: Mapping[str, Difference], *, title: str, x: str) -> Figure:
    """A dot per paired difference with its interval, in points, about the line at 0.

    Filled where the difference is measurable, hollow where it is not.
    """
    with matplotlib.rc_context(STYLE):
        figure, axes = figure_of(11, 1.7 + 0.48 * len(found))
        label(axes, title, x, "")
        axes.axvline(0, color=GREY, lw=1.5)
        for row, d in enumerate(found.values()):
            colour = BLUE if d.measurable else GREY
            ends = [100 * d.interval.low, 100 * d.interval.high]
            axes.plot(ends, [row, row], color=colour, lw=4, alpha=0.45)
            fill = colour if d.measurable else "white"
            axes.plot([100 * d.value], [row], "o", color=colour, mfc=fill, ms=9)
            axes.text(ends[1], row, f"  {100 * d.value:+.1f}", va="center")
        axes.set_yticks(range(len(found)), list(found))
        axes.set_ylim(len(found) - 0.5, -0.5)
        low, high = axes.get_xlim()
        axes.set_xlim(low, high + 0.1 * (high - low))  # room for the numbers
    return figure


def over_raters(
    raters: Sequence[int], turned: Mapping[str, Sequence[float]], *, title: str, chosen: int
) -> Figure:
    """Share of labels that n raters together turn, over n; a dashed line at ``chosen``."""
    with matplotlib.rc_context(STYLE):
        figure, axes = figure_of(9, 4.4)
        label(axes, title, "raters of each sentence", "share of labels that differ")
        for place, (name, shares) in enumerate(turned.items()):
            style = dict(color=PALETTE[place % len(PALETTE)], ls=DASHES[place % len(DASHES)])
            axes.plot(raters, shares, marker=MARKERS[place % len(MARKERS)], label=name, **style)
        axes.axvline(chosen, color=RED, ls="--", lw=1.5)
        axes.set_ylim(bottom=0)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend(frameon=False)
    return figure
