"""A finished run keeps what it answered on each test sentence."""

from __future__ import annotations

import numpy as np
import pytest

from lora_lab.adapt import LoraConfig
from lora_lab.data import fingerprint
from lora_lab.prediction import predict_probabilities
from lora_lab.runs import DataConfig, RunConfig, execute, load_trained
from lora_lab.runs.answers import FILE, read_answers
from lora_lab.training import TrainConfig


@pytest.fixture(scope="module")
def finished(tiny_folder, reviews_file, tmp_path_factory):
    config = RunConfig(
        model=str(tiny_folder),
        data=DataConfig(name=str(reviews_file)),
        lora=LoraConfig(rank=2, alpha=4),
        train=TrainConfig(epochs=1, learning_rate=5e-3),
    )
    return execute(config, tmp_path_factory.mktemp("runs") / "run")


def test_the_answers_are_those_of_the_trained_model_in_the_order_of_the_sentences(
    finished, reviews
):
    answers = read_answers(finished.folder)
    referee = predict_probabilities(*load_trained(finished.folder), reviews["test"]["text"])
    np.testing.assert_allclose(answers.probabilities, referee, atol=1e-5)
    assert answers.labels.tolist() == list(reviews["test"]["label"])
    assert answers.right.sum() == finished.test.correct


def test_the_result_names_the_test_sentences_whatever_it_was_trained_on(finished, reviews):
    alone = {"test": reviews["test"]}
    assert finished.result["test_fingerprint"] == fingerprint(alone)
    assert finished.result["test_fingerprint"] != finished.result["data_fingerprint"]


@pytest.mark.parametrize("content", [None, b"", b"\x08", b"{}" * 40])
def test_missing_or_damaged_answers_are_none(tmp_path, content):
    if content is not None:
        (tmp_path / FILE).write_bytes(content)
    assert read_answers(tmp_path) is None
