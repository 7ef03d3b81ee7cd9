"""The network drawn with what is adapted, and curves of cost over rank."""

from __future__ import annotations

import pytest
from matplotlib.colors import to_rgba
from matplotlib.patches import Rectangle

from lora_lab.plots.architecture import architecture, growth
from lora_lab.plots.style import GREY, ORANGE

BERT = {
    "q": (768, 768),
    "k": (768, 768),
    "v": (768, 768),
    "o": (768, 768),
    "up": (3072, 768),
    "down": (768, 3072),
}
GPT3 = {
    "qkv": (36_864, 12_288),
    "o": (12_288, 12_288),
    "up": (49_152, 12_288),
    "down": (12_288, 49_152),
}
LLAMA = {name: (4096, 4096) for name in "qkvo"} | {
    "gate": (11_008, 4096),
    "up": (11_008, 4096),
    "down": (4096, 11_008),
}
TWO_LINES = (
    "bert-base, rank 8, query and value, layers all: 24 of 72 matrices adapted\n"
    "294,912 numbers in A and B, 0.27% of the model · training 444.0 MB, in full 1.8 GB"
)

FIGURES = {
    "block, nothing adapted": lambda: architecture(BERT, 6),
    "block, query and value": lambda: architecture(
        BERT, 12, {(n, name) for n in range(12) for name in "qv"}, 8, TWO_LINES
    ),
    "block, everything": lambda: architecture(
        BERT, 2, {(n, name) for n in range(2) for name in BERT}, 512
    ),
    "block, fused and large": lambda: architecture(
        GPT3, 96, {(n, name) for n in (94, 95) for name in GPT3}, 64
    ),
    "block, gated": lambda: architecture(LLAMA, 32, {(0, "gate")}, 8),
    "growth": lambda: growth(
        {"query and value": {1: 450, 8: 470, 512: 900}, "all linear": {1: 455, 8: 500, 512: 1900}},
        title="Memory",
        x="rank",
        y="MB",
        level=1750,
        level_name="full fine-tuning",
    ),
    "growth, one line, no level": lambda: growth({"a": {1: 2.0}}, title="T", x="rank", y="MB"),
}


def boxes(axes):
    """Text of each box of the block -> its colour."""
    faces = {
        (p.get_x() + p.get_width() / 2, p.get_y() + p.get_height() / 2): p.get_facecolor()
        for p in axes.patches
        if isinstance(p, Rectangle) and p.get_facecolor()[3] > 0
    }
    return {
        text.get_text(): face
        for text in axes.texts
        for place, face in faces.items()
        if text.get_position() == pytest.approx(place)
    }


def test_the_block_colours_what_is_adapted_and_writes_what_it_costs():
    top, _ = architecture(BERT, 3, {(2, "q"), (2, "down")}, 8).axes
    found = boxes(top)
    assert len(found) == 6
    assert found["query\n768 × 768\n+ 12,288"] == to_rgba(ORANGE, 0.75)
    assert found["down\n768 × 3,072\n+ 30,720"] == to_rgba(ORANGE, 0.75)
    assert found["key\n768 × 768"] == to_rgba(GREY, 0.75)


def test_the_grid_has_a_cell_for_every_matrix_and_colours_the_adapted_ones():
    _, bottom = architecture(BERT, 3, {(2, "q"), (1, "down")}, 8).axes
    cells = {
        (round(p.get_x() + 0.45), round(p.get_y() + 0.42)): p.get_facecolor()
        for p in bottom.patches
    }
    assert len(cells) == 18
    assert {at for at, face in cells.items() if face == to_rgba(ORANGE, 0.75)} == {(2, 0), (1, 5)}
    assert [t.get_text() for t in bottom.get_yticklabels()][:2] == ["query", "key"]
    assert bottom.get_ylim()[0] > bottom.get_ylim()[1], "the first is on top"


@pytest.mark.parametrize(
    "adapted, kinds",
    [
        ((), ["no adapter"]),
        ({(0, "q")}, ["adapted", "frozen"]),
        ({(0, n) for n in BERT}, ["adapted"]),
    ],
)
def test_the_legend_names_the_colours_that_occur(adapted, kinds):
    legend = architecture(BERT, 1, adapted, 8).axes[1].get_legend()
    assert [text.get_text().split(":")[0] for text in legend.get_texts()] == kinds


@pytest.mark.parametrize("adapted", [{(3, "q")}, {(-1, "q")}, {(0, "gate")}])
def test_an_adapted_matrix_that_is_not_there_is_refused(adapted):
    with pytest.raises(ValueError, match="is not among q, k, v, o, up, down in 3 layers"):
        architecture(BERT, 3, adapted)


def test_an_unknown_matrix_is_refused():
    with pytest.raises(ValueError, match="No place for experts; known are q"):
        architecture({"experts": (2, 2)}, 1)


def test_growth_holds_its_values_and_the_level():
    axes = growth(
        {"a": {1: 2.0, 8: 3.0}, "b": {2: 4.0}}, title="T", x="rank", y="MB", level=5, level_name="f"
    ).axes[0]
    first, second, level = axes.lines
    assert first.get_xydata().tolist() == [[1, 2], [8, 3]]
    assert second.get_xydata().tolist() == [[2, 4]]
    assert list(level.get_ydata()) == [5, 5]
    assert axes.get_ylim()[0] == 0
    assert [t.get_text() for t in axes.get_xticklabels()] == ["1", "2", "8"]
    assert [t.get_text() for t in axes.get_legend().get_texts()] == ["a", "b", "f"]
