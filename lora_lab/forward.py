"""The cheapest exact way from rows of a tokenised data set to logits."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from lora_lab.batches import TokenisedText
from lora_lab.choices import Precision, PrefixChoice
from lora_lab.encoder import Encoder, additive_mask, find_encoder
from lora_lab.precision import computing_in, length_multiple, settle
from lora_lab.prefix_cache import PrefixCache

#: Row numbers to logits (rows, classes).
Logits = Callable[[Sequence[int]], Tensor]


def logits_function(
    model: nn.Module,
    text: TokenisedText,
    *,
    cache: PrefixCache | None = None,
    prefix: PrefixChoice = "float32",
    precision: Precision = "float32",
) -> Logits:
    """A function from row numbers to the model's logits, for training and for scoring.

    Three ways, all with the same result: activations from the cache and only the layers above;
    the parts of the model that the head needs; the model as transformers runs it. The second
    needs a BERT, RoBERTa or DistilBERT without dropout below its head, the first also a cache
    and frozen blocks at the bottom. Which one is decided now, from the modes that the model's
    modules are in: call it after ``train()`` or ``eval()``.

    Args:
        prefix: how cached activations are stored, or "off".
        precision: of the matrix products; see ``precision.settle`` for "auto".
    """
    device = next(model.parameters()).device
    precision = settle(precision, device)
    with computing_in(precision, device):
        own = _cheapest(model, text, device, cache, prefix, length_multiple(precision))

    def logits(rows: Sequence[int]) -> Tensor:
        with computing_in(precision, device):
            result = own(rows)
        return result.float() if precision == "bfloat16" else result

    return logits


def _cheapest(
    model: nn.Module,
    text: TokenisedText,
    device: torch.device,
    cache: PrefixCache | None,
    prefix: PrefixChoice,
    multiple: int,
) -> Logits:
    encoder = find_encoder(model)
    if encoder is None or encoder.has_dropout:
        return lambda rows: model(**_moved(text.batch(rows, multiple), device)).logits
    start = encoder.first_changing_block()
    if cache is not None and prefix != "off" and start > 0 and len(text) > 0:
        stored = cache.get(encoder, text, start, prefix)
        if stored is not None:
            own = next(model.parameters()).dtype

            def above(rows: Sequence[int]) -> Tensor:
                hidden, attention_mask = stored.batch(rows, multiple)
                return _above(encoder, hidden.to(device, own), attention_mask.to(device), start)

            return above
    return lambda rows: _whole(encoder, **_moved(text.batch(rows, multiple), device))


def _whole(encoder: Encoder, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
    return _above(encoder, encoder.embeddings(input_ids=input_ids), attention_mask, 0)


def _above(encoder: Encoder, hidden: Tensor, attention_mask: Tensor, start: int) -> Tensor:
    mask = additive_mask(attention_mask, hidden.dtype)
    return encoder.head(encoder.hidden_states(hidden, mask, start))


def _moved(inputs: dict[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    return {name: tensor.to(device) for name, tensor in inputs.items()}
