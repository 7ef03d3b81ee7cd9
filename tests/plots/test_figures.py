"""What holds for every figure: it has a title, nothing in it is cut or overlaps, nothing leaks.

The figures stand as ``FIGURES`` in the files beside this one, one for each module of
``lora_lab.plots``, with the tests of what each of them shows.
"""

from __future__ import annotations

import importlib
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import pytest
from matplotlib.figure import Figure

HERE = Path(__file__).parent
MODULES = [path.stem for path in sorted(HERE.glob("test_*.py")) if path.stem != "test_figures"]
FIGURES = {
    f"{module.removeprefix('test_')}: {name}": make
    for module in MODULES
    for name, make in importlib.import_module(f"tests.plots.{module}").FIGURES.items()
}
each_figure = pytest.mark.parametrize("make", FIGURES.values(), ids=FIGURES)


def texts_inside(figure):
    """Every visible text of the figure with its box in pixels."""
    figure.draw_without_rendering()
    headline = figure._suptitle
    found = [] if headline is None else [(headline.get_text(), headline.get_window_extent())]
    for axes in figure.axes:
        texts = [axes.title, axes._right_title, axes.xaxis.label, axes.yaxis.label]
        texts += [axes._left_title, *axes.texts]
        texts += [*axes.get_xticklabels(), *axes.get_yticklabels()] if axes.axison else []
        if axes.get_legend():
            texts += axes.get_legend().get_texts()
        low, high = sorted(axes.get_xlim())
        for text in texts:
            if not text.get_visible() or not text.get_text().strip():
                continue
            box = text.get_window_extent()
            if text in axes.get_xticklabels() and not low <= text.get_position()[0] <= high:
                continue
            bottom, top = sorted(axes.get_ylim())
            if text in axes.get_yticklabels() and not bottom <= text.get_position()[1] <= top:
                continue
            found.append((text.get_text(), box))
    return found


@each_figure
def test_no_text_is_cut_at_the_edge(make):
    figure = make()
    frame = figure.bbox.padded(1)
    for text, box in texts_inside(figure):
        assert frame.x0 <= box.x0 and box.x1 <= frame.x1, f"{text!r} is cut sideways"
        assert frame.y0 <= box.y0 and box.y1 <= frame.y1, f"{text!r} is cut above or below"


@each_figure
def test_no_two_texts_overlap(make):
    texts = texts_inside(make())
    for i, (first, a) in enumerate(texts):
        for second, b in texts[i + 1 :]:
            apart = a.x1 <= b.x0 + 1 or b.x1 <= a.x0 + 1 or a.y1 <= b.y0 + 1 or b.y1 <= a.y0 + 1
            assert apart, f"{first!r} overlaps {second!r}"


@each_figure
def test_every_figure_has_a_title_and_named_axes(make):
    figure = make()
    assert isinstance(figure, Figure)
    assert any(axes.get_title("left") for axes in figure.axes)
    drawn = [axes for axes in figure.axes if axes.axison]  # a drawing without scales has no axes
    assert all(axes.get_xlabel() or axes.get_ylabel() for axes in drawn)


def test_no_figure_is_kept_alive_by_pyplot():
    before = plt.get_fignums()
    for make in FIGURES.values():
        make()
    assert plt.get_fignums() == before


def test_style_does_not_leak():
    before = dict(matplotlib.rcParams)
    for make in FIGURES.values():
        make()
    assert dict(matplotlib.rcParams) == before


def test_every_module_of_figures_is_tested():
    modules = {path.stem for path in (HERE.parents[1] / "lora_lab" / "plots").glob("[a-z]*.py")}
    assert {f"test_{module}" for module in modules - {"style"}} == set(MODULES)
