"""BERT-like classifiers taken apart, so that what need not be computed can be left out.

transformers computes every token of every layer on every call. A sentence classifier reads one
token of the last layer, and below the first adapted layer nothing changes while it trains. To
use either, the forward pass has to be callable in parts: embeddings, blocks, head. The parts are
the model's own modules; only the few lines that connect them are written here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention, softmax
from transformers import (
    BertForSequenceClassification,
    DistilBertForSequenceClassification,
    RobertaForSequenceClassification,
)

from lora_lab.layers import AdaptedLinear

#: Up to this many tokens two plain products and a softmax beat the fused attention kernel, whose
#: set-up dominates on short sentences. Above it, they would need too much memory.
SHORT = 128


@dataclass(frozen=True)
class Block:
    """One transformer block of BERT's kind: attention and feed-forward, each followed by a
    residual sum and a LayerNorm (Vaswani et al. 2017, arXiv 1706.03762, section 3.1)."""

    query: nn.Module
    key: nn.Module
    value: nn.Module
    attention_output: nn.Module
    attention_norm: nn.Module
    up: nn.Module
    activation: Callable[[Tensor], Tensor]
    down: nn.Module
    output_norm: nn.Module
    heads: int

    def __call__(
        self, hidden: Tensor, mask: Tensor | None, *, first_token_only: bool = False
    ) -> Tensor:
        """(B, T, H) to (B, T, H), or to (B, 1, H) for the first token alone.

        The first token attends to all the others, so they keep their keys and values; the rest
        of the block (its queries, output and feed-forward part) is a matter of one token.

        Args:
            mask: additive (B, 1, 1, T), 0 or -inf; None without padding.
        """
        asking = hidden[:, :1].contiguous() if first_token_only else hidden  # (B, Tq, H)
        context = attention(
            self._split(self.query(asking)),
            self._split(self.key(hidden)),
            self._split(self.value(hidden)),
            mask,
        )  # (B, heads, Tq, H / heads)
        context = context.transpose(1, 2).flatten(2)  # (B, Tq, H)
        attended = self.attention_norm(self.attention_output(context) + asking)
        inner = self.activation(self.up(attended))  # (B, Tq, 4 H)
        return self.output_norm(self.down(inner) + attended)

    def _split(self, x: Tensor) -> Tensor:
        """(B, T, H) to (B, heads, T, H / heads)."""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def modules(self) -> list[nn.Module]:
        return [part for part in vars(self).values() if isinstance(part, nn.Module)]


def attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """``softmax(q k^T / sqrt(d) + mask) v``. Shapes (B, heads, Tq | T | T, d)."""
    if k.shape[-2] > SHORT:
        return scaled_dot_product_attention(q, k, v, attn_mask=mask)
    scores = q @ k.transpose(-1, -2)  # (B, heads, Tq, T)
    scores.mul_(1 / math.sqrt(q.shape[-1]))  # in place: nobody needs the product itself again
    if mask is not None:
        scores.add_(mask)
    return softmax(scores, dim=-1) @ v


@dataclass(frozen=True)
class Encoder:
    """A classifier's forward pass in parts. Gives the model's own logits in eval mode.

    Attributes:
        embeddings: token numbers (B, T) to (B, T, H).
        blocks: in order.
        head: (B, 1 or more, H) to logits (B, C); reads the first token.
        has_dropout: whether dropout was at work below the head. It is not computed here, so
            these are not the model's own logits then.
    """

    embeddings: nn.Module
    blocks: Sequence[Block]
    head: Callable[[Tensor], Tensor]
    has_dropout: bool = False

    @property
    def depth(self) -> int:
        return len(self.blocks)

    def hidden_states(
        self, hidden: Tensor, mask: Tensor | None, start: int, stop: int | None = None
    ) -> Tensor:
        """The input of block ``stop`` (default: of the head), given the input of ``start``.

        Shape (B, T, H); (B, 1, H) for the head, which reads the first token only.
        """
        stop = self.depth if stop is None else stop
        for number in range(start, stop):
            last = number == self.depth - 1
            hidden = self.blocks[number](hidden, mask, first_token_only=last)
        return hidden

    def first_changing_block(self) -> int:
        """Number of the lowest block with an adapter or a trainable parameter.

        ``depth`` if there is none, 0 if the embeddings learn too.
        """
        if _changes([self.embeddings]):
            return 0
        changing = (n for n, block in enumerate(self.blocks) if _changes(block.modules()))
        return next(changing, self.depth)


def find_encoder(model: nn.Module) -> Encoder | None:
    """The parts of a BERT, RoBERTa or DistilBERT sentence classifier; None for other models.

    Call it after adapters have been put in: the parts are those of that moment.
    """
    if getattr(model.config, "is_decoder", False):  # each token sees earlier ones only
        return None
    if isinstance(model, DistilBertForSequenceClassification):
        base, blocks = model.distilbert, map(_distilbert_block, model.distilbert.transformer.layer)
        head = _distilbert_head(model)
    elif isinstance(model, BertForSequenceClassification):
        base, blocks = model.bert, map(_bert_block, model.bert.encoder.layer)
        head = _bert_head(model)
    elif isinstance(model, RobertaForSequenceClassification):
        base, blocks = model.roberta, map(_bert_block, model.roberta.encoder.layer)
        head = model.classifier
    else:
        return None
    dropout = any(
        module.training and module.p > 0
        for module in base.modules()
        if isinstance(module, nn.Dropout)
    )
    return Encoder(base.embeddings, tuple(blocks), head, has_dropout=dropout)


def additive_mask(attention_mask: Tensor, dtype: torch.dtype) -> Tensor | None:
    """(B, T) of ones and zeros to (B, 1, 1, T) of 0 and -inf; None if nothing is masked."""
    if bool(attention_mask.all()):
        return None
    mask = torch.zeros(attention_mask.shape, dtype=dtype, device=attention_mask.device)
    return mask.masked_fill_(attention_mask == 0, -torch.inf)[:, None, None, :]


def _changes(modules: Sequence[nn.Module]) -> bool:
    return any(
        isinstance(inner, AdaptedLinear) or any(p.requires_grad for p in inner.parameters())
        for module in modules
        for inner in module.modules()
    )


def _bert_block(layer: nn.Module) -> Block:
    own = layer.attention.self
    return Block(
        query=own.query,
        key=own.key,
        value=own.value,
        attention_output=layer.attention.output.dense,
        attention_norm=layer.attention.output.LayerNorm,
        up=layer.intermediate.dense,
        activation=layer.intermediate.intermediate_act_fn,
        down=layer.output.dense,
        output_norm=layer.output.LayerNorm,
        heads=own.num_attention_heads,
    )


def _distilbert_block(layer: nn.Module) -> Block:
    return Block(
        query=layer.attention.q_lin,
        key=layer.attention.k_lin,
        value=layer.attention.v_lin,
        attention_output=layer.attention.out_lin,
        attention_norm=layer.sa_layer_norm,
        up=layer.ffn.lin1,
        activation=layer.ffn.activation,
        down=layer.ffn.lin2,
        output_norm=layer.output_layer_norm,
        heads=layer.attention.n_heads,
    )


def _bert_head(model: BertForSequenceClassification) -> Callable[[Tensor], Tensor]:
    return lambda hidden: model.classifier(model.dropout(model.bert.pooler(hidden)))


def _distilbert_head(model: DistilBertForSequenceClassification) -> Callable[[Tensor], Tensor]:
    def head(hidden: Tensor) -> Tensor:
        pooled = torch.relu(model.pre_classifier(hidden[:, 0]))
        return model.classifier(model.dropout(pooled))

    return head
