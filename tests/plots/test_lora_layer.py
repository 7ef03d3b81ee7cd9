"""Figures of notebook 4: the gradient's way through a layer, sizes over steps and ranks."""

from __future__ import annotations

import numpy as np
import pytest

from lora_lab.plots import lora_layer

NONE = {"g": 2e-3, "x Aᵀ": 31.0, "g W": 4e-3, "s g B": 0.0, "s g B A": 0.0, "dA": 0.0, "dB": 0.02}
SOME = NONE | {"s g B": 1e-4, "s g B A": 2e-5, "dA": 1.3e-4}
RANKS = (1, 2, 4, 8)
LINES = {"alpha stays, s = alpha / r": [1.0, 0.7, 0.5, 0.35], "s stays": [1, 1.4, 2, 2.8]}

FIGURES = {
    "gradient flow": lambda: lora_layer.gradient_flow(SOME, "After one step"),
    "gradient flow, zeros": lambda: lora_layer.gradient_flow(NONE, "Step zero", largest=SOME),
    "over steps": lambda: lora_layer.sizes_over_steps(
        {"A random, B zero": [NONE, SOME], "both zero": [NONE, NONE]}, ("dA", "dB"), "Size of"
    ),
    "over rank": lambda: lora_layer.over_rank(
        {"After one step": ("size", LINES), "After ten": ("size", LINES)}, RANKS
    ),
    "over rank, marked": lambda: lora_layer.over_rank(
        {"After one step": ("size", LINES)}, RANKS, mark=4, limits=(0.1, 10)
    ),
    "agreement": lambda: lora_layer.agreement(
        np.linspace(-1e-5, 1e-5, 50), np.zeros(50), title="T", x="right", y="other"
    ),
}


def drawn_arrows(figure):
    return [text.arrow_patch for text in figure.axes[0].texts if hasattr(text, "arrow_patch")]


def test_what_is_exactly_zero_is_dotted_and_the_rest_is_not():
    dotted = [a for a in drawn_arrows(FIGURES["gradient flow, zeros"]()) if a.get_ls() == ":"]
    assert len(dotted) == sum(size == 0 for size in NONE.values())
    assert not [a for a in drawn_arrows(FIGURES["gradient flow"]()) if a.get_ls() == ":"]


def test_an_arrow_is_as_thick_as_its_share_of_the_largest():
    half = {name: size / 2 for name, size in SOME.items()}
    whole = drawn_arrows(lora_layer.gradient_flow(SOME, "T"))
    halved = drawn_arrows(lora_layer.gradient_flow(half, "T", largest=SOME))
    for one, other in zip(whole, halved, strict=True):
        assert other.get_linewidth() == pytest.approx(one.get_linewidth() / 2)


def test_lines_over_rank_hold_the_values_and_the_mark_lies_on_them():
    axes = FIGURES["over rank, marked"]().axes[0]
    lines = [line for line in axes.lines if len(line.get_xdata()) == len(RANKS)]
    marks = [line for line in axes.lines if len(line.get_xdata()) == 1]
    assert [list(line.get_ydata()) for line in lines] == list(LINES.values())
    assert [tuple(m.get_xydata()[0]) for m in marks] == [(4, v[2]) for v in LINES.values()]


def test_steps_are_counted_from_zero():
    left, right = FIGURES["over steps"]().axes
    assert left.lines[0].get_xydata().tolist() == [[0, 0.0], [1, 1.3e-4]]
    assert right.lines[0].get_ydata().tolist() == [0.02, 0.02]
