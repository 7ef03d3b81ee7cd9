"""Batches: every sentence once, no more padding than needed, the same batches for the same seed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers import models as tokenizer_models
from transformers import AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from lora_lab.batches import (
    POOL_BATCHES,
    TokenisedText,
    inference_batches,
    tokenise,
    training_batches,
)

LENGTHS = st.lists(st.integers(1, 12), min_size=1, max_size=300)
BATCH_SIZES = st.integers(1, 9)


def text_of(lengths: list[int] | np.ndarray, pad_id: int = 0) -> TokenisedText:
    """Texts of these lengths; every token tells its row."""
    return TokenisedText([[row + 1] * int(n) for row, n in enumerate(lengths)], 0, pad_id)


def realistic(rows: int) -> TokenisedText:
    """Lengths like those of review sentences: about 25 tokens, a few of them over 80."""
    draw = np.random.default_rng(0).lognormal(mean=3.0, sigma=0.55, size=rows)
    return text_of(np.clip(draw, 3, 128).astype(int))


@pytest.fixture(scope="module")
def tokenizer(tiny_folder: Path) -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(tiny_folder)


@pytest.fixture
def bare_tokenizer() -> PreTrainedTokenizerBase:
    """Like GPT-2's: no token before or after the text, padded with the end token."""
    backend = Tokenizer(tokenizer_models.WordLevel({"<end>": 0, "fine": 1}, unk_token="<end>"))
    return PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="<end>", eos_token="<end>")


# Which rows go together


@given(LENGTHS, BATCH_SIZES, st.integers(0, 2**31), st.integers(0, 100))
def test_every_row_exactly_once_per_epoch(
    lengths: list[int], size: int, seed: int, epoch: int
) -> None:
    text = text_of(lengths)
    for batches in (training_batches(text, size, seed, epoch), list(inference_batches(text, size))):
        assert sorted(row for rows in batches for row in rows) == list(range(len(lengths)))
        assert sorted(map(len, batches), reverse=True)[:-1] == [size] * (len(batches) - 1)
        assert all(0 < len(rows) <= size for rows in batches)


@settings(max_examples=25)
@given(LENGTHS, BATCH_SIZES, st.integers(0, 1000), st.integers(0, 5))
def test_batches_depend_on_the_arguments_alone(
    lengths: list[int], size: int, seed: int, epoch: int
) -> None:
    torch.manual_seed(1)
    first = training_batches(text_of(lengths), size, seed, epoch)
    torch.manual_seed(2)
    assert training_batches(text_of(lengths), size, seed, epoch) == first
    after = torch.rand(1)
    torch.manual_seed(2)
    assert torch.rand(1) == after  # no draw from the global generator


def test_epochs_and_seeds_differ() -> None:
    text = realistic(200)
    epochs = [training_batches(text, 8, seed, epoch) for seed in range(3) for epoch in range(3)]
    assert len({str(batches) for batches in epochs}) == len(epochs)
    together = [{frozenset(rows) for rows in batches} for batches in epochs]
    for i, one in enumerate(together):  # other neighbours too, not only another order
        for other in together[i + 1 :]:
            assert len(one & other) < len(one) / 2


def test_short_and_long_batches_are_mixed() -> None:
    """Sorted within a pool, but the batches of an epoch do not go from short to long."""
    text = realistic(8 * POOL_BATCHES)  # one pool
    longest = [
        max(len(text.input_ids[r]) for r in rows) for rows in training_batches(text, 8, 0, 0)
    ]
    assert abs(np.corrcoef(longest, range(len(longest)))[0, 1]) < 0.3


def test_the_longest_text_is_met_first_in_every_epoch() -> None:
    text = realistic(3 * POOL_BATCHES)
    longest = max(len(ids) for ids in text.input_ids)
    for epoch in range(3):
        first, *others = training_batches(text, 2, seed=0, epoch=epoch)
        assert max(len(text.input_ids[row]) for row in first) == longest
        widths = [max(len(text.input_ids[row]) for row in rows) for rows in others]
        assert widths != sorted(widths, reverse=True), "the others stay shuffled"


def test_inference_goes_from_short_to_long() -> None:
    text = realistic(100)
    in_order = [len(text.input_ids[row]) for rows in inference_batches(text, 8) for row in rows]
    assert in_order == sorted(in_order)


# Padding


@given(LENGTHS, st.integers(0, 5), st.integers(1, 8))
def test_padding_and_mask(lengths: list[int], pad_id: int, multiple: int) -> None:
    text = text_of([*lengths, longest := max(lengths) + 5], pad_id)
    inputs = text.batch(range(len(lengths)), multiple)
    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    width = ids.shape[1]
    assert ids.shape == mask.shape == (len(lengths), width)
    assert width >= max(lengths) and (width % multiple == 0 or width == longest)
    assert width - max(lengths) < multiple and width <= longest
    assert ids.dtype == mask.dtype == torch.int64
    for row, length in enumerate(lengths):
        assert mask[row].tolist() == [1] * length + [0] * (width - length)
        assert ids[row, :length].tolist() == text.input_ids[row]
        assert (ids[row, length:] == pad_id).all()


def test_a_real_token_equal_to_the_padding_is_not_masked() -> None:
    """GPT-2 pads with its end token, which may stand in a text as well."""
    inputs = TokenisedText([[7, 0, 7], [0]], 0, pad_id=0).batch([1, 0])
    assert inputs["attention_mask"].tolist() == [[1, 0, 0], [1, 1, 1]]


@given(LENGTHS, BATCH_SIZES, st.integers(1, 8))
def test_waste_is_the_share_of_padding(lengths: list[int], size: int, multiple: int) -> None:
    text = text_of(lengths)
    batches = training_batches(text, size, 0, 0)
    masks = [text.batch(rows, multiple)["attention_mask"] for rows in batches]
    padding = sum(int((mask == 0).sum()) for mask in masks)
    waste = text.padding_waste(batches, multiple)
    assert waste == pytest.approx(padding / sum(m.numel() for m in masks))


def test_little_waste_on_lengths_like_those_of_reviews() -> None:
    text, size = realistic(8000), 32
    order = np.random.default_rng(1).permutation(len(text))
    at_random = [order[i : i + size].tolist() for i in range(0, len(text), size)]
    assert text.padding_waste(at_random) > 0.4
    assert text.padding_waste(training_batches(text, size, 0, 0)) < 0.05
    assert text.padding_waste(list(inference_batches(text, size))) < 0.02


def test_little_waste_on_skewed_lengths() -> None:
    """One text in fifty is twenty times as long."""
    lengths = np.where(np.arange(5000) % 50 == 0, 120, 6)
    text, size = text_of(lengths), 16
    in_order = [list(range(i, min(i + size, 5000))) for i in range(0, 5000, size)]
    sorted_in_pools = text.padding_waste(training_batches(text, size, 0, 0))
    assert sorted_in_pools < text.padding_waste(in_order) / 4
    assert sorted_in_pools < 0.25


def test_no_waste_with_equal_lengths() -> None:
    text = text_of([9] * (8 * POOL_BATCHES + 3))
    assert text.padding_waste(training_batches(text, 8, 0, 0)) == 0


# Tokens


def test_tokens_of_each_text_in_order(tokenizer: PreTrainedTokenizerBase) -> None:
    texts = ["the plot was superb", "dull", ""]
    text = tokenise(tokenizer, texts)
    assert len(text) == 3 and text.truncated == 0
    assert text.pad_id == tokenizer.pad_token_id
    words = [tokenizer.convert_ids_to_tokens(ids) for ids in text.input_ids]
    assert words == [["[CLS]", *t.split(), "[SEP]"] for t in texts]


def test_truncation_is_counted(tokenizer: PreTrainedTokenizerBase) -> None:
    texts = ["dull", "the plot", "the plot was", "the plot was superb again"]
    text = tokenise(tokenizer, texts, max_length=4)
    assert text.truncated == 2
    assert [len(ids) for ids in text.input_ids] == [3, 4, 4, 4]
    for ids in text.input_ids:  # the end is lost, not the closing token
        assert ids[0] == tokenizer.cls_token_id and ids[-1] == tokenizer.sep_token_id
    whole = tokenise(tokenizer, texts, max_length=7)
    assert whole.truncated == 0 and len(whole.input_ids[3]) == 7


def test_truncation_says_nothing(
    tokenizer: PreTrainedTokenizerBase, capfd: pytest.CaptureFixture[str]
) -> None:
    tokenise(tokenizer, ["the plot was superb " * 1000], max_length=16)
    assert capfd.readouterr() == ("", "")


def test_a_text_without_tokens_gets_one(bare_tokenizer: PreTrainedTokenizerBase) -> None:
    assert bare_tokenizer("")["input_ids"] == []
    text = tokenise(bare_tokenizer, ["", "fine"])
    assert text.input_ids == [[0], [1]]
    assert text.batch([0])["attention_mask"].tolist() == [[1]]


def test_no_texts(tokenizer: PreTrainedTokenizerBase) -> None:
    text = tokenise(tokenizer, [])
    assert len(text) == 0 and list(inference_batches(text, 8)) == []


def test_one_text_is_not_a_list_of_letters(tokenizer: PreTrainedTokenizerBase) -> None:
    with pytest.raises(TypeError, match=r"list of texts, got one text. Write \['the plot'\]"):
        tokenise(tokenizer, "the plot")


@given(LENGTHS, st.integers(1, 200))
def test_pieces_hold_all_rows_and_few_tokens_each(lengths: list[int], most: int) -> None:
    text, rows = text_of(lengths), list(range(len(lengths)))[::-1]
    pieces = text.pieces(rows, most)
    assert [row for piece in pieces for row in piece] == rows and all(pieces)
    for piece in pieces:
        width = max(lengths[row] for row in piece)
        assert len(piece) == 1 or len(piece) * width <= most
    if len(rows) * max(lengths) <= most:
        assert len(pieces) == 1, "what fits is left whole"
