"""From text to padded tensors: tokenise once, put sentences of like length together."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

#: Sentences are sorted by length within pools of this many batches: large enough for almost
#: no padding, small enough that batches stay random.
POOL_BATCHES = 64


@dataclass(frozen=True)
class TokenisedText:
    """N texts as token numbers, without padding.

    Attributes:
        input_ids: N lists of token numbers.
        truncated: how many texts were longer than the limit and lost their end.
        pad_id: the token number that fills a batch.
    """

    input_ids: list[list[int]]
    truncated: int
    pad_id: int

    def __len__(self) -> int:
        return len(self.input_ids)

    def batch(self, rows: Sequence[int], multiple: int = 1) -> dict[str, Tensor]:
        """Model inputs of these rows: (n, width) each, the width as in ``padded_width``."""
        lengths = [len(self.input_ids[row]) for row in rows]
        mask = attention_mask(lengths, padded_width(lengths, multiple, self.longest))
        ids = torch.full(mask.shape, self.pad_id)
        for i, row in enumerate(rows):
            ids[i, : lengths[i]] = torch.tensor(self.input_ids[row])
        return {"input_ids": ids, "attention_mask": mask}

    def pieces(self, rows: Sequence[int], most_tokens: int) -> list[Sequence[int]]:
        """These rows in as few parts, of about equal size, as keep each part's tokens within a
        limit. One row alone may exceed it."""
        width = max(len(self.input_ids[row]) for row in rows)
        parts = math.ceil(len(rows) / max(most_tokens // width, 1))
        size = math.ceil(len(rows) / parts)
        return [rows[i : i + size] for i in range(0, len(rows), size)]

    @cached_property
    def longest(self) -> int:
        """Tokens of the longest text."""
        return max(map(len, self.input_ids), default=0)

    def padding_waste(self, batches: Sequence[Sequence[int]], multiple: int = 1) -> float:
        """Share of padding among all the tokens that these batches make the model read."""
        lengths = [[len(self.input_ids[row]) for row in rows] for rows in batches]
        read = sum(padded_width(b, multiple, self.longest) * len(b) for b in lengths)
        return 1 - sum(map(sum, lengths)) / read


def tokenise(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], max_length: int = 128
) -> TokenisedText:
    """Token numbers of each text, at most ``max_length`` of them and at least one.

    Raises:
        TypeError: one text instead of a list: its letters would be taken for texts.
    """
    if isinstance(texts, str):
        raise TypeError(f"Expected a list of texts, got one text. Write [{texts[:20]!r}].")
    if len(texts) == 0:
        return TokenisedText([], 0, tokenizer.pad_token_id)
    full = tokenizer(list(texts), return_attention_mask=False, verbose=False)["input_ids"]
    truncated = sum(len(ids) > max_length for ids in full)
    if truncated:
        full = tokenizer(
            list(texts), truncation=True, max_length=max_length, return_attention_mask=False
        )["input_ids"]
    # GPT-2's tokenizer adds nothing to a text, so an empty one has no tokens at all.
    pad = tokenizer.pad_token_id
    return TokenisedText([list(ids) or [pad] for ids in full], truncated, pad)


def padded_width(lengths: Sequence[int], multiple: int, limit: int) -> int:
    """The longest of these lengths, rounded up to a multiple, but not above ``limit``.

    The limit is the longest text of all: the model may have no positions beyond it.
    """
    return min(-(-max(lengths) // multiple) * multiple, limit)


def attention_mask(lengths: Sequence[int], width: int) -> Tensor:
    """(n, width): 1 for a token, 0 for padding."""
    return (torch.arange(width) < torch.tensor(lengths)[:, None]).long()


def training_batches(
    text: TokenisedText, batch_size: int, seed: int, epoch: int
) -> list[list[int]]:
    """Row numbers of each batch of one epoch: shuffled, yet of like length within a batch.

    The batch with the longest text comes first: if memory is too small, that shows at once, and
    what it took serves all that follow. Depends on nothing but the arguments, so an interrupted
    epoch can be taken up again.
    """
    generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
    order = torch.randperm(len(text), generator=generator).tolist()
    pool = batch_size * POOL_BATCHES
    batches = []
    for start in range(0, len(order), pool):
        rows = sorted(order[start : start + pool], key=lambda row: len(text.input_ids[row]))
        batches += [rows[i : i + batch_size] for i in range(0, len(rows), batch_size)]
    shuffled = [batches[i] for i in torch.randperm(len(batches), generator=generator).tolist()]
    # Rows are sorted within a batch, so its last text is its longest.
    longest = max(batches, key=lambda rows: len(text.input_ids[rows[-1]]), default=None)
    return sorted(shuffled, key=lambda rows: rows is not longest)


def inference_batches(
    text: TokenisedText, batch_size: int, rows: Iterable[int] | None = None
) -> Iterator[list[int]]:
    """Row numbers, all or these, in order of length: predictions do not care about order."""
    rows = range(len(text)) if rows is None else rows
    order = sorted(rows, key=lambda row: len(text.input_ids[row]))
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]
