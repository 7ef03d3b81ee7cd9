"""Fixtures shared by tests of the whole job: a tiny model on disk and invented reviews."""

from __future__ import annotations

import itertools
from pathlib import Path

import pandas as pd
import pytest
import torch
from datasets import DatasetDict
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

from lora_lab.data import load_data

SUBJECTS = ("plot", "cast", "score", "script", "camera", "ending", "pace", "dialogue")
PRAISE = ("superb", "moving", "clever")
BLAME = ("dull", "clumsy", "hollow")
FILLERS = ("the", "was", "and", "very", "quite", "truly", "again", "overall", "still", "once")


def invented_reviews(rows: int = 240) -> pd.DataFrame:
    """Sentences of varied length whose label a tiny model can learn from single words."""
    texts, labels = [], []
    pairs = itertools.product(SUBJECTS, range(3), itertools.permutations(FILLERS, 3))
    for i, (subject, word, fillers) in enumerate(itertools.islice(pairs, 0, rows * 97, 97)):
        positive = i % 2 == 0
        adjective = (PRAISE if positive else BLAME)[word]
        texts.append(" ".join([*fillers[: 1 + i % 3], subject, adjective, *fillers[i % 3 :]]))
        labels.append("positive" if positive else "negative")
    return pd.DataFrame({"text": texts, "label": labels})


@pytest.fixture(scope="session")
def reviews_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "reviews.csv"
    invented_reviews().to_csv(path, index=False)
    return path


@pytest.fixture(scope="session")
def reviews(reviews_file: Path) -> DatasetDict:
    return load_data(str(reviews_file))


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A two-layer random BERT with dropout, and a tokenizer that knows the invented words."""
    folder = tmp_path_factory.mktemp("tiny-bert")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *SUBJECTS, *PRAISE, *BLAME, *FILLERS]
    vocabulary = {word: i for i, word in enumerate(words)}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    special = dict(pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]")
    PreTrainedTokenizerFast(tokenizer_object=backend, **special).save_pretrained(folder)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = BertConfig(
            vocab_size=len(words),
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=64,
            max_position_embeddings=40,
            pad_token_id=0,
            initializer_range=0.2,
        )
        BertForSequenceClassification(config).save_pretrained(folder)
    return folder
