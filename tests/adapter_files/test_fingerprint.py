"""The fingerprint of the base: it tells bases apart, whatever was done to them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lora_lab.adapt import LoraConfig, TwoSidedConfig, disabled, merge, unmerge
from lora_lab.adapter_files import base_fingerprint

from ..tiny_models import FAMILIES, tiny_model
from .made import trained


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", [LoraConfig, TwoSidedConfig])
def test_fingerprint_is_the_same_at_every_stage(family: str, kind: type) -> None:
    expected = base_fingerprint(tiny_model(family))
    model = trained(family, kind(rank=2))
    assert base_fingerprint(model) == expected
    merge(model)
    assert base_fingerprint(model) == expected
    with disabled(model):
        assert base_fingerprint(model) == expected
    unmerge(model)
    assert base_fingerprint(model) == expected


@pytest.mark.parametrize("family", FAMILIES)
def test_fingerprint_sees_every_base_weight_and_no_head(family: str) -> None:
    model = trained(family, LoraConfig(rank=2))
    before = base_fingerprint(model)
    trained_names = {name for name, p in model.named_parameters() if p.requires_grad}
    assert trained_names
    for name, parameter in model.named_parameters():
        old = parameter.detach().clone()
        with torch.no_grad():
            parameter.view(-1)[-1] += 1
        assert (base_fingerprint(model) == before) == (name in trained_names), name
        with torch.no_grad():
            parameter.copy_(old)


def test_fingerprint_of_half_precision_and_single_numbers() -> None:
    model = tiny_model().bfloat16()
    model.bert.register_parameter("temperature", nn.Parameter(torch.tensor(1.0)))
    before = base_fingerprint(model)
    model.bert.temperature.data += 1
    assert base_fingerprint(model) != before
