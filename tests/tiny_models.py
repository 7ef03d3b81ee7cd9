"""Small random models of four families, built from configurations: no weights, no network."""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import (
    AutoModelForSequenceClassification,
    BertConfig,
    DistilBertConfig,
    GPT2Config,
    PretrainedConfig,
    PreTrainedModel,
    RobertaConfig,
)

FAMILIES = ("bert", "roberta", "distilbert", "gpt2")

#: For each family: names of one attention matrix, of two, and of one in the feed-forward part.
TARGETS = {
    "bert": (("query",), ("query", "value"), ("intermediate.dense",)),
    "roberta": (("query",), ("query", "value"), ("intermediate.dense",)),
    "distilbert": (("q_lin",), ("q_lin", "v_lin"), ("ffn.lin1",)),
    "gpt2": (("attn.c_attn",), ("attn.c_attn", "mlp.c_fc"), ("mlp.c_proj",)),
}

VOCABULARY = 100


def tiny_config(
    family: str = "bert", *, layers: int = 3, hidden: int = 32, labels: int = 3, **others: object
) -> PretrainedConfig:
    """A configuration without dropout, so that two models can be compared in training mode."""
    if family in ("bert", "roberta"):
        kind = BertConfig if family == "bert" else RobertaConfig
        settings = dict(
            num_hidden_layers=layers,
            hidden_size=hidden,
            intermediate_size=2 * hidden,
            num_attention_heads=4,
            max_position_embeddings=40,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        )
    elif family == "distilbert":
        kind = DistilBertConfig
        settings = dict(
            n_layers=layers,
            dim=hidden,
            hidden_dim=2 * hidden,
            n_heads=4,
            max_position_embeddings=40,
            dropout=0.0,
            attention_dropout=0.0,
            seq_classif_dropout=0.0,
        )
    else:
        kind = GPT2Config
        settings = dict(
            n_layer=layers,
            n_embd=hidden,
            n_head=4,
            n_positions=40,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            bos_token_id=2,
            eos_token_id=2,
        )
    config = kind(vocab_size=VOCABULARY, pad_token_id=1, **(settings | others))
    config.num_labels = labels
    return config


def tiny_model(family: str = "bert", *, seed: int = 0, **settings: object) -> PreTrainedModel:
    """A random model with a classification head, in training mode.

    Biases are random too (transformers starts them at zero), so that losing one shows.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = AutoModelForSequenceClassification.from_config(tiny_config(family, **settings))
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                torch.nn.init.normal_(parameter, std=0.1)
    return model.train()


def tiny_batch(
    size: int = 4, length: int = 7, *, labels: int = 3, seed: int = 0
) -> dict[str, Tensor]:
    """Token ids with padding at the end, attention mask and labels."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(3, VOCABULARY, (size, length), generator=generator)
    mask = torch.ones_like(ids)
    mask[0, length - 2 :] = 0
    return dict(
        input_ids=ids.masked_fill(mask == 0, 1),
        attention_mask=mask,
        labels=torch.randint(0, labels, (size,), generator=generator),
    )
