"""The words of the field on one map, and the pictures of the first notebook."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from textwrap import shorten

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle

from lora_lab.evaluation import Evaluation
from lora_lab.plots.style import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SKY,
    STYLE,
    YELLOW,
    colours,
    figure_of,
    label,
)

MAP_SIZE = (120, 68)  # units of the drawing; ten of them are about an inch


@dataclass(frozen=True)
class Region:
    """A word's place on the map: a box, and where its name stands."""

    left: float
    bottom: float
    width: float
    height: float
    colour: str
    name_at: tuple[float, float]
    column: bool = False  # a band over all rows: a number of examples

    def contains(self, other: Region) -> bool:
        return (
            self.left <= other.left
            and self.bottom <= other.bottom
            and self.left + self.width >= other.left + other.width
            and self.bottom + self.height >= other.bottom + other.height
        )


#: Boxes in the order of drawing: what contains others comes before them.
REGIONS = {
    "zero-shot": Region(46, 2, 21.4, 64, YELLOW, (56.7, 63), column=True),
    "few-shot": Region(68, 2, 24.4, 64, PURPLE, (80.2, 63), column=True),
    "pre-training": Region(1, 20, 25, 32, GREY, (13.5, 49)),
    "prompting": Region(47, 47, 44.6, 10, SKY, (69.3, 54.8)),
    "fine-tuning": Region(69, 3.5, 50, 35.5, BLUE, (94, 36.6)),
    "PEFT": Region(70.5, 20.5, 47, 13.6, GREEN, (75.5, 32)),
    "LoRA": Region(87.5, 21.7, 28.5, 11.2, ORANGE, (101.7, 30)),
    "full fine-tuning": Region(70.5, 5, 47, 13, BLUE, (94, 14)),
}
TERMS = tuple(REGIONS)

_ROWS = {52: "no number\nchanges", 27.3: "a small part\nchanges", 11.5: "every number\nchanges"}
_NOTES = (  # x, y, text
    (13.5, 38, "raw text, no labels:\nguess hidden words,\ndoes B follow A?"),
    (13.5, 25, "gives the\nbase model"),
    (56.7, 60, "no labelled example"),
    (80.2, 60, "a few per class"),
    (106.2, 60, "hundreds or more"),
    (57.3, 50.3, "describe the task\nin words"),
    (80.2, 50.3, "and put examples\ninto the words"),
    (93.5, 43, "nearest class mean of a frozen encoder"),
    (79, 26, "adapters, prompt\ntuning, IA3, ..."),
    (101.7, 25.5, "W + s B A"),
    (94, 9, "a copy of the whole model per task"),
    (56.7, 20, "nothing to\nlearn from"),
)


def concept_map(lit: str = "") -> Figure:
    """Pre-training, prompting, fine-tuning, PEFT, LoRA, zero-shot, few-shot in one drawing.

    From left to right: how many labelled examples. From top to bottom: which numbers change.

    Args:
        lit: one of ``TERMS`` to be lit up; empty lights none.

    Raises:
        ValueError: a word that is not on the map.
    """
    if lit and lit not in REGIONS:
        raise ValueError(f"{lit!r} is not on the map; it shows {', '.join(TERMS)}.")
    with matplotlib.rc_context(STYLE):
        figure, axes = figure_of(12, 7.2)
        for name, region in REGIONS.items():
            _draw_region(axes, name, region, name == lit)
        axes.add_patch(
            Rectangle((69, 41.3), 49.5, 3.6, fc="white", ec="black", lw=0.8, ls=":", zorder=2)
        )
        for x, y, text in _NOTES:
            axes.text(x, y, text, ha="center", va="center", fontsize=11)
        for y, text in _ROWS.items():
            axes.text(37, y, text, ha="center", va="center", fontsize=12, style="italic")
        axes.text(106.2, 63, "many examples", ha="center", va="center", weight="bold")
        axes.add_patch(
            FancyArrowPatch((26.5, 36), (45.5, 36), arrowstyle="-|>", mutation_scale=25, lw=2.5)
        )
        axes.set(xlim=(0, MAP_SIZE[0]), ylim=(0, MAP_SIZE[1]))
        axes.set_axis_off()
        axes.set_title("Two questions: how many labelled examples, and which numbers change?")
    return figure


def _draw_region(axes: Axes, name: str, region: Region, lit: bool) -> None:
    corner = region.left, region.bottom
    shape = dict(fc=region.colour, alpha=0.65 if lit else 0.2, zorder=0 if region.column else 1)
    edge = dict(fc="none", ec="black", lw=3.5 if lit else 1, zorder=1)
    if region.column:
        axes.add_patch(Rectangle(corner, region.width, region.height, **shape))
        if lit:
            axes.add_patch(Rectangle(corner, region.width, region.height, **edge))
    else:
        for how in (shape, edge):
            style = "round,pad=0,rounding_size=1.5"
            axes.add_patch(
                FancyBboxPatch(corner, region.width, region.height, boxstyle=style, **how)
            )
    axes.text(*region.name_at, name, ha="center", va="center", weight="bold")


def token_row(
    tokens: Sequence[str],
    kinds: Sequence[int],
    names: Sequence[str],
    *,
    below: Sequence[str] = (),
    title: str,
) -> Figure:
    """Tokens as boxes in reading order, each in the colour of its kind.

    Args:
        kinds: per token a position in ``names``; the first kind stays white. At most four.
        below: what stands under each token, or nothing.
    """
    under = list(below) or [""] * len(tokens)
    palette = ("white", ORANGE, PURPLE, GREEN)
    across = 10.6  # inches
    line_height, foot = (0.95, 0.6) if any(under) else (0.6, 0.3)
    places, x, line = [], 0.0, 0
    for token, word in zip(tokens, under, strict=True):
        width = 0.108 * max(len(token), len(word)) + 0.26
        if x and x + width > across:
            x, line = 0.0, line + 1
        places.append((x + width / 2, -line * line_height))
        x += width
    with matplotlib.rc_context(STYLE):
        figure, axes = figure_of(11.4, 1 + foot + line_height * (line + 1))
        for (x, y), token, word, kind in zip(places, tokens, under, kinds, strict=True):
            box = dict(boxstyle="round,pad=0.25", fc=palette[kind], ec="black", alpha=0.75)
            how = dict(ha="center", va="center", family="monospace")
            axes.text(x, y, token, fontsize=12, bbox=box, **how)
            axes.text(x, y - 0.4, word, fontsize=11, **how)
        axes.set(xlim=(0, across + 0.2), ylim=(-line * line_height - foot, 0.4))
        axes.set_axis_off()
        axes.set_title(title)
        handles = [
            Rectangle((0, 0), 1, 1, fc=colour, ec="black", alpha=0.75, label=name)
            for name, colour in zip(names, palette, strict=False)
        ]
        axes.legend(
            handles=handles,
            frameon=False,
            loc="upper left",
            bbox_to_anchor=(0, 0),
            ncols=len(handles),
        )
    return figure


def few_shot_view(
    accuracies: Mapping[int, Sequence[float]],
    k: int,
    draw: int,
    at: Evaluation,
    zero_shot: Evaluation,
) -> Figure:
    """Accuracy over the number of examples: a dot per draw, an interval on the chosen one.

    Args:
        accuracies: per k, one accuracy for each draw of the examples.
        k, draw: the chosen one; draws count from 0.
        at: the chosen one, evaluated.
        zero_shot: drawn as a line with its interval as a band.
    """
    ks, draws = list(accuracies), len(accuracies[k])
    aside = 2 ** np.linspace(-0.3, 0.3, draws)  # draws of the same k stand side by side
    with matplotlib.rc_context(STYLE):
        figure, axes = figure_of(11, 5)
        title = f"k = {k}, draw {draw + 1}: accuracy {at.accuracy:.3f} {at.interval}"
        label(axes, title, "k: labelled examples per class", "accuracy on validation")
        band = zero_shot.interval
        axes.axhspan(band.low, band.high, color=GREEN, alpha=0.15, lw=0)
        axes.axhline(zero_shot.accuracy, color=GREEN, label="zero-shot, with 95% interval")
        axes.axhline(1 / len(at.classes), color=GREY, ls="--", lw=1.5, label="chance")
        for number in ks:
            colour = BLUE if number == k else GREY
            axes.plot(number * aside, accuracies[number], "o", color=colour, ms=5, alpha=0.6, mew=0)
        means = [np.mean(accuracies[number]) for number in ks]
        axes.plot(ks, means, color=GREY, lw=1.5, label="mean over the draws")
        axes.errorbar(
            [k * aside[draw]],
            [at.accuracy],
            [[at.accuracy - at.interval.low], [at.interval.high - at.accuracy]],
            fmt="D",
            color=ORANGE,
            mec="black",
            ecolor="black",
            capsize=6,
            ms=9,
            zorder=5,
            label="this draw, with 95% interval",
        )
        axes.set_xscale("log", base=2)
        axes.set_xticks(ks, [str(number) for number in ks])
        axes.minorticks_off()
        axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=11)
    return figure


def clouds(panels: Mapping[str, np.ndarray], labels: Sequence[int], names: Sequence[str]) -> Figure:
    """Sentences as points, one panel per encoder, same scales; the dashed line parts the answers.

    Args:
        panels: name to points (N, 2): the side of the line, and a direction along it.
        labels: (N,) true classes.
    """
    classes = np.asarray(labels)
    with matplotlib.rc_context(STYLE):
        figure, row = figure_of(12, 5, columns=len(panels), squeeze=False, sharex=True, sharey=True)
        for axes, (name, points) in zip(row[0], panels.items(), strict=True):
            for c, (of_class, colour) in enumerate(zip(names, colours(names), strict=True)):
                mine, marker = classes == c, "o^sD"[c % 4]
                axes.plot(
                    points[mine, 0],
                    points[mine, 1],
                    marker,
                    color=colour,
                    ms=5,
                    alpha=0.55,
                    mew=0,
                    label=of_class,
                )
            axes.axvline(0, color=GREY, ls="--", lw=1.5)
            axes.locator_params(axis="x", nbins=6)
            label(axes, name, f"right of 0: answered '{names[-1]}'", "widest direction across")
        row[0][-1].legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def answer_grid(
    sentences: Sequence[str],
    answers: Mapping[str, Sequence[int]],
    names: Sequence[str],
    *,
    yours: Sequence[int] | None = None,
    evidence: Mapping[str, Sequence[float]] | None = None,
    title: str = "Answers",
) -> Figure:
    """One row per sentence, one column per method; a black frame where it is not your answer.

    Args:
        answers: per method the class of each sentence.
        yours: your own classes: a column of their own, and the ground for the frames.
        evidence: per method the number behind each answer; scales differ between methods.
    """
    palette, evidence = colours(names), evidence or {}
    columns = ({} if yours is None else {"you": yours}) | dict(answers)
    with matplotlib.rc_context(STYLE):
        figure, axes = figure_of(12, 1.9 + 0.56 * len(sentences))
        for column, (method, found) in enumerate(columns.items()):
            for row, answer in enumerate(found):
                differs = yours is not None and answer != yours[row]
                axes.add_patch(
                    Rectangle(
                        (column - 0.46, row - 0.42),
                        0.92,
                        0.84,
                        fc=palette[answer],
                        ec="black" if differs else "none",
                        lw=3.5,
                    )
                )
                shown = names[answer]
                if method in evidence:
                    shown += f"\n{evidence[method][row]:+.2f}"
                axes.text(
                    column,
                    row,
                    shown,
                    ha="center",
                    va="center",
                    color="white",
                    weight="bold",
                    fontsize=10,
                )
        axes.set_xticks(range(len(columns)), list(columns))
        axes.xaxis.tick_top()
        left = [shorten(text, 50, placeholder=" …").replace("$", r"\$") for text in sentences]
        axes.set_yticks(range(len(sentences)), left, fontsize=11)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.set_xlim(-0.5, len(columns) - 0.5)
        axes.set_ylim(len(sentences) - 0.5, -0.5)
        note = "black frame: not your answer" if yours is not None else "method"
        label(axes, title, note, "", grid=False)
    return figure
