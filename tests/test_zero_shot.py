"""Zero-shot: cosines with two descriptions, checked with torch's own cosine."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import cosine_similarity

from lora_lab.models import load_model
from lora_lab.prediction import mean_pooled
from lora_lab.zero_shot import DESCRIPTIONS, embed, leaning, positive

SENTENCES = ["I liked it.", "A long, dull evening that seemed to have no end at all.", "So so."]


@pytest.fixture(scope="module")
def encoder():
    return load_model(labels=["negative", "positive"], seed=0)


def test_vectors_have_length_one_and_the_direction_of_the_mean(encoder):
    vectors = embed(*encoder, SENTENCES)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    means = torch.tensor(mean_pooled(*encoder, SENTENCES))
    np.testing.assert_allclose(cosine_similarity(torch.tensor(vectors), means), 1, rtol=1e-5)


def test_leaning_is_the_difference_of_two_cosines():
    random = np.random.default_rng(0)
    points, centres = random.normal(size=(5, 7)), random.normal(size=(2, 7))
    unit = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (points, centres)]
    negative, plus = (
        cosine_similarity(torch.tensor(points), torch.tensor(centre)[None]) for centre in centres
    )
    np.testing.assert_allclose(leaning(*unit), plus - negative, atol=1e-12)


@pytest.mark.parametrize("described, expected", [(0, 0), (1, 1)])
def test_a_description_is_of_its_own_class(encoder, described, expected):
    centres = embed(*encoder, DESCRIPTIONS)
    own = embed(*encoder, DESCRIPTIONS[described : described + 1])
    assert positive(leaning(own, centres), tie=1 - expected).tolist() == [expected]


@pytest.mark.parametrize("tie", [0, 1])
def test_only_an_exact_tie_gets_the_class_for_ties(tie):
    assert positive(np.array([-1e-9, 0.0, 1e-9]), tie).tolist() == [0, tie, 1]
