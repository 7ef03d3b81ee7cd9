"""What would this trained model score with a smaller rank or another alpha? No training needed.

The update ``s B A`` is known once training has ended, so it can be cut to its best approximation
of any lower rank, or scaled anew, and the model scored again. With the activations below the
adapters in a cache, that costs one forward pass of the layers above.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from datasets import Dataset
from torch import nn
from transformers import PreTrainedTokenizerBase

from lora_lab.adapt import adapted_layers
from lora_lab.batches import tokenise
from lora_lab.choices import PrefixChoice
from lora_lab.derivations.low_rank import truncated_product
from lora_lab.evaluation import Evaluation, evaluate_predictions
from lora_lab.forward import logits_function
from lora_lab.layers import LoRALinear, scale
from lora_lab.prediction import check_classes, eval_mode, softmax_of
from lora_lab.prefix_cache import PrefixCache


class Rescorer:
    """Scores a LoRA model on one data set, as often as asked, with its update changed.

    Args:
        model: adapted with LoRA; unchanged after every call.
        dataset: columns text and label; its classes must be the model's.
        cache, prefix: see ``forward.logits_function``; None keeps activations in memory.

    Raises:
        ValueError: no LoRA layers, merged ones, or other classes than the model's.
    """

    def __init__(
        self,
        model: nn.Module,
        tokenizer: PreTrainedTokenizerBase,
        dataset: Dataset,
        *,
        max_length: int = 128,
        batch_size: int = 64,
        cache: PrefixCache | None = None,
        prefix: PrefixChoice = "float32",
    ) -> None:
        self.names = check_classes(model, dataset)
        _lora_layers(model)
        self.model, self.batch_size = model, batch_size
        self.labels = np.asarray(dataset["label"])
        self.text = tokenise(tokenizer, dataset["text"], max_length)
        with eval_mode(model):
            self._logits = logits_function(
                model, self.text, cache=cache or PrefixCache(), prefix=prefix
            )

    def score(self, *, rank: int | None = None, alpha: float | None = None) -> Evaluation:
        """The evaluation with the update changed; see ``probabilities``."""
        p = self.probabilities(rank=rank, alpha=alpha)
        return evaluate_predictions(self.labels, p.argmax(axis=1), self.names, p)

    def probabilities(self, *, rank: int | None = None, alpha: float | None = None) -> np.ndarray:
        """Probabilities (N, C) with every update cut to ``rank`` and scaled for ``alpha``.

        Args:
            rank: 0 .. the trained rank (None: the trained one); 0 leaves the base alone.
            alpha: in the place of the trained alpha; the trained rank still divides it.

        Raises:
            ValueError: a rank above the trained one, an alpha that is not a finite number.
        """
        result = np.empty((len(self.text), len(self.names)), dtype=np.float32)
        for rows, p in self.in_pieces(max(1, len(self.text)), rank=rank, alpha=alpha):
            result[rows] = p
        return result

    def in_pieces(
        self, size: int, *, rank: int | None = None, alpha: float | None = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """``probabilities``, a part of the texts at a time: for those who cannot wait for all.

        The pieces are drawn at random, the same each time, so that the first ones are a fair
        sample of the data. The model stays changed until the last piece has been taken.

        Returns:
            Row numbers (n,) and their probabilities (n, C), n at most ``size``.
        """
        order = np.random.default_rng(0).permutation(len(self.text))
        with eval_mode(self.model), changed_update(self.model, rank=rank, alpha=alpha):
            for start in range(0, len(order), size):
                rows = order[start : start + size]
                with torch.inference_mode():
                    p = softmax_of(self._logits, self.text, len(self.names), self.batch_size, rows)
                yield rows, p


def halvings(rank: int) -> list[int]:
    """Ranks to cut an update of this rank to: 0, the powers of two below it, and itself."""
    return [0, *(2**i for i in range(rank.bit_length()) if 2**i < rank), rank]


@contextmanager
def changed_update(
    model: nn.Module, *, rank: int | None = None, alpha: float | None = None
) -> Iterator[None]:
    """Within, each LoRA layer's update has this rank and alpha; after, it is as it was.

    Raises:
        ValueError: see ``Rescorer.probabilities``, or the model has no LoRA layers, or merged ones.
    """
    layers = _lora_layers(model)
    if alpha is not None and not math.isfinite(alpha):
        raise ValueError(f"alpha is {alpha}; it must be a finite number.")
    for name, layer in layers.items():
        if rank is not None and not 0 <= rank <= layer.rank:
            raise ValueError(
                f"rank is {rank}, but {name} was trained with rank {layer.rank}: its update has "
                f"no more directions than that. Choose 0 to {layer.rank}."
            )
    before = {name: (layer.A, layer.B, layer.scaling) for name, layer in layers.items()}
    try:
        for layer in layers.values():
            if rank is not None:
                _cut(layer, rank)
            if alpha is not None:
                layer.scaling = alpha * scale(1.0, layer.rank, layer.scaling_rule)
        yield
    finally:
        for name, layer in layers.items():
            layer.A, layer.B, layer.scaling = before[name]


def _cut(layer: LoRALinear, rank: int) -> None:
    best = truncated_product(layer.B.detach().float(), layer.A.detach().float(), rank)
    like = dict(dtype=layer.A.dtype)
    layer.B = nn.Parameter((best.U * best.S).to(**like), requires_grad=False)
    layer.A = nn.Parameter(best.Vh.to(**like), requires_grad=False)


def _lora_layers(model: nn.Module) -> dict[str, LoRALinear]:
    layers = {n: m for n, m in adapted_layers(model).items() if isinstance(m, LoRALinear)}
    if not layers:
        raise ValueError("The model has no LoRA layers, so there is no rank or alpha to change.")
    if any(layer.merged for layer in layers.values()):
        raise ValueError("The adapters are merged into the base. Call unmerge(model) first.")
    return layers
