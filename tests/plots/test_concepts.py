"""The pictures of the first notebook: the map of words, tokens, few-shot draws, answers."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import to_hex

from lora_lab.evaluation import evaluate_predictions
from lora_lab.plots import concepts
from lora_lab.plots.style import BLUE, ORANGE, RED
from tests.plots.test_results import interval_ends

NAMES = ["negative", "positive"]
RANDOM = np.random.default_rng(0)
LABELS = RANDOM.integers(0, 2, 100)
FAIR = evaluate_predictions(LABELS, np.where(RANDOM.random(100) < 0.7, LABELS, 1 - LABELS), NAMES)
POOR = evaluate_predictions(LABELS, np.zeros(100, int), NAMES)
DRAWN = {1: [0.45, 0.6, FAIR.accuracy], 8: [0.6, 0.62, 0.66], 512: [0.7, 0.7, 0.71]}
KINDS = ("read as it is", "hidden", "swapped", "unchanged, but asked")
SENTENCES = ["Short.", "A sentence that goes on and on " * 4, "It cost $5, not $6."]
ANSWERS = {"VADER": [0, 1, 1], "zero-shot": [0, 0, 1]}

FIGURES = {
    "map": concepts.concept_map,
    **{f"map, {term}": lambda term=term: concepts.concept_map(term) for term in concepts.TERMS},
    "tokens": lambda: concepts.token_row(
        ["[CLS]", "the", "[MASK]", "##ably"] * 9,
        [0, 0, 1, 3] * 9,
        KINDS,
        below=["", "", "projector", "##ably"] * 9,
        title="Tokens",
    ),
    "two kinds of token": lambda: concepts.token_row(
        ["[CLS]", "a", "[SEP]", "b", "[SEP]"], [0, 0, 0, 1, 1], ("A", "B"), title="A pair"
    ),
    "few-shot": lambda: concepts.few_shot_view(DRAWN, 1, 2, FAIR, POOR),
    "few-shot, many examples": lambda: concepts.few_shot_view(DRAWN, 512, 0, FAIR, POOR),
    "clouds": lambda: concepts.clouds(
        {"Before": RANDOM.normal(size=(100, 2)), "After": RANDOM.normal(size=(100, 2))},
        LABELS,
        NAMES,
    ),
    "answers": lambda: concepts.answer_grid(
        SENTENCES, ANSWERS, NAMES, yours=[0, 1, 1], title="Your sentences"
    ),
    "answers to one sentence": lambda: concepts.answer_grid(
        SENTENCES[:1], {"VADER": [0]}, NAMES, evidence={"VADER": [-12.345]}
    ),
}


def test_the_map_nests_words_as_the_field_does():
    at = concepts.REGIONS
    assert at["fine-tuning"].contains(at["PEFT"]) and at["PEFT"].contains(at["LoRA"])
    assert at["fine-tuning"].contains(at["full fine-tuning"])
    assert not at["PEFT"].contains(at["full fine-tuning"])
    assert not any(at["few-shot"].contains(at[name]) for name in ("prompting", "fine-tuning"))


def test_the_map_shows_every_word_and_lights_one():
    texts = [text.get_text() for text in concepts.concept_map().axes[0].texts]
    assert all(texts.count(term) == 1 for term in concepts.TERMS)
    plain, lit = (max(p.get_linewidth() for p in concepts.concept_map(term).axes[0].patches)
                  for term in ("", "LoRA"))  # fmt: skip
    assert lit > plain


def test_the_map_refuses_a_word_that_it_does_not_show():
    with pytest.raises(ValueError, match="not on the map"):
        concepts.concept_map("LoRa")


def test_tokens_have_the_colour_of_their_kind_and_the_answer_below():
    figure = concepts.token_row(
        ["a", "[MASK]"], [0, 1], KINDS, below=["", "film"], title="One hidden"
    )
    first, _, hidden, answer = figure.axes[0].texts
    assert to_hex(first.get_bbox_patch().get_facecolor()) == "#ffffff"
    assert to_hex(hidden.get_bbox_patch().get_facecolor()).upper() == ORANGE
    assert answer.get_text() == "film" and answer.get_position()[1] < hidden.get_position()[1]


def test_few_shot_shows_every_draw_and_the_interval_of_the_chosen_one():
    axes = concepts.few_shot_view(DRAWN, 1, 2, FAIR, POOR).axes[0]
    dots = [line for line in axes.lines if len(line.get_xdata()) == 3 and line.get_marker() == "o"]
    assert [line.get_ydata().tolist() for line in dots] == list(DRAWN.values())
    assert [line.get_color() == BLUE for line in dots] == [True, False, False]
    (interval,) = interval_ends(axes)
    assert interval == pytest.approx((FAIR.interval.low, FAIR.interval.high))


def test_clouds_hold_each_sentence_once_in_the_colour_of_its_class():
    points = RANDOM.normal(size=(100, 2))
    negative, positive, _ = concepts.clouds({"x": points}, LABELS, NAMES).axes[0].lines
    assert negative.get_color() == RED and positive.get_color() == BLUE
    np.testing.assert_array_equal(positive.get_xydata(), points[LABELS == 1])
    assert negative.get_marker() != positive.get_marker()


def test_an_answer_that_is_not_yours_has_a_frame():
    axes = concepts.answer_grid(SENTENCES, ANSWERS, NAMES, yours=[0, 1, 1]).axes[0]
    framed = {
        (round(patch.get_x() + 0.46), round(patch.get_y() + 0.42))
        for patch in axes.patches
        if patch.get_edgecolor()[3] > 0
    }
    assert framed == {(2, 1)}, "column 'zero-shot', second sentence"
    assert [t.get_text() for t in axes.get_xticklabels()] == ["you", "VADER", "zero-shot"]
