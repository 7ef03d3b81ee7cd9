"""Matrices drawn to one scale."""

from __future__ import annotations

from lora_lab import plots

FIGURES = {
    "to scale": lambda: plots.to_scale(
        [
            plots.Matrix("W", 768, 768),
            "+ s",
            plots.Matrix("B", 768, 8, learns=True),
            plots.Matrix("A", 8, 768, learns=True),
        ],
        "LoRA",
    ),
    "to scale, long title": lambda: plots.to_scale(
        [plots.Matrix("W", 384, 384), "+ s", plots.Matrix("B", 384, 8, learns=True)],
        "One adapted matrix of this model, drawn to scale",
    ),
    "to scale, rank 1": lambda: plots.to_scale([plots.Matrix("A", 1, 12_288, learns=True)], "A"),
}


def test_matrices_are_drawn_to_one_scale_and_thin_ones_can_be_seen():
    terms = [plots.Matrix("W", 600, 300), "+", plots.Matrix("B", 600, 1, learns=True)]
    axes = plots.to_scale(terms).axes[0]
    tall, thin = axes.patches
    assert tall.get_height() == thin.get_height() == 1
    assert tall.get_width() == 0.5 and 0.005 < thin.get_width() < 0.05
    assert tall.get_facecolor() != thin.get_facecolor(), "frozen, and learning"
    assert any("600 × 1\n600" in t.get_text() for t in axes.texts)
