"""bfloat16 is used where it was measured to be faster, and then changes little."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from lora_lab import precision
from lora_lab.adapt import LoraConfig, apply_lora
from lora_lab.batches import TokenisedText, tokenise
from lora_lab.forward import logits_function
from lora_lab.models import load_model
from lora_lab.precision import computing_in, frozen_stored_in, settle
from lora_lab.prefix_cache import PrefixCache
from lora_lab.training import TrainConfig, train
from tests.tiny_models import tiny_batch, tiny_model

CPU = torch.device("cpu")
TEXT = TokenisedText([[5, 6, 7], [*range(5, 14)], [*range(5, 18)]], 0, pad_id=1)


@pytest.mark.parametrize("measured, chosen", [(0.2, "float32"), (1.1, "float32"), (4, "bfloat16")])
def test_auto_takes_bfloat16_only_where_it_is_clearly_faster(monkeypatch, measured, chosen):
    monkeypatch.setattr(precision, "speed_up", lambda device: measured)
    assert settle("auto", CPU) == chosen
    assert settle("float32", CPU) == "float32" and settle("bfloat16", CPU) == "bfloat16"


def test_the_speed_up_is_a_ratio_of_two_measured_times(monkeypatch):
    def scripted(call, device):
        return {torch.float32: 6.0, torch.bfloat16: 2.0}[call().dtype]

    monkeypatch.setattr(precision, "_seconds", scripted)
    assert precision.speed_up(CPU) == 3.0, "float32 takes three times as long"


def gradients(backward: str, dtype_context) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    model = tiny_model("bert")
    apply_lora(model, LoraConfig(rank=2, alpha=4, backward=backward))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(".B"):
                parameter.normal_(std=0.1, generator=torch.Generator().manual_seed(1))
    with dtype_context:
        loss = model(**tiny_batch()).loss
    loss.float().backward()
    return {n: p.grad for n, p in model.named_parameters() if p.requires_grad}


def test_the_derived_backward_agrees_with_autograd_under_autocast():
    derived = gradients("derived", computing_in("bfloat16", CPU))
    autograd = gradients("autograd", computing_in("bfloat16", CPU))
    exact = gradients("derived", computing_in("float32", CPU))
    for name, gradient in derived.items():
        assert gradient.dtype == torch.float32, "the optimiser sees float32"
        size = exact[name].norm()
        assert (gradient - exact[name]).norm() < 0.05 * size
        assert (gradient - autograd[name]).norm() < 0.05 * size
    assert any(not torch.equal(derived[n], exact[n]) for n in exact), "bfloat16 was at work"


def test_training_in_bfloat16_keeps_float32_weights_and_learns(tiny_folder, reviews):
    config = TrainConfig(epochs=4, batch_size=16, learning_rate=5e-3)
    losses = {}
    for chosen in ("float32", "bfloat16"):
        model, tokenizer = load_model(tiny_folder, labels=reviews)
        torch.manual_seed(0)
        apply_lora(model, LoraConfig(rank=2, alpha=4))
        run = train(model, tokenizer, reviews, replace(config, precision=chosen))
        assert all(p.dtype == torch.float32 for p in model.parameters())
        losses[chosen] = [epoch["training_loss"] for epoch in run.history]
    assert losses["bfloat16"] != losses["float32"]
    assert losses["bfloat16"] == pytest.approx(losses["float32"], rel=0.05)


def test_frozen_weights_are_stored_in_bfloat16_within_and_come_back_bit_for_bit():
    model = tiny_model("bert")
    apply_lora(model, LoraConfig(rank=2))
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    with pytest.raises(KeyboardInterrupt), frozen_stored_in(model, "bfloat16"):
        for name, parameter in model.named_parameters():
            learns = parameter.requires_grad
            assert parameter.dtype == (torch.float32 if learns else torch.bfloat16), name
        raise KeyboardInterrupt
    for name, parameter in model.named_parameters():
        assert parameter.dtype == torch.float32 and torch.equal(parameter, before[name]), name


def test_frozen_weights_in_float32_are_left_alone():
    model = tiny_model("bert").requires_grad_(False)
    storage = [p.data_ptr() for p in model.parameters()]
    with frozen_stored_in(model, "float32"):
        assert [p.data_ptr() for p in model.parameters()] == storage


@pytest.mark.parametrize("kind", ["bert", "roberta", "distilbert", "gpt2"])
def test_a_frozen_base_in_bfloat16_gives_nearly_the_same_gradients(kind):
    found = {}
    for chosen in ("float32", "bfloat16"):
        torch.manual_seed(0)
        model = tiny_model(kind)
        apply_lora(model, LoraConfig(rank=2, alpha=4))
        model.eval()
        with frozen_stored_in(model, chosen):
            forward = logits_function(model, TEXT, precision=chosen)
            forward([0, 1]).square().sum().backward()
        found[chosen] = {n: p.grad for n, p in model.named_parameters() if p.requires_grad}
    for name, exact in found["float32"].items():
        gradient = found["bfloat16"][name]
        assert gradient.dtype == torch.float32, "the optimiser sees float32"
        assert (gradient - exact).norm() <= 0.1 * exact.norm(), name


def test_training_in_bfloat16_gives_the_base_back_as_it_was(tiny_folder, reviews):
    model, tokenizer = load_model(tiny_folder, labels=reviews)
    apply_lora(model, LoraConfig(rank=2))
    before = {n: p.detach().clone() for n, p in model.named_parameters() if not p.requires_grad}
    train(model, tokenizer, reviews, TrainConfig(epochs=1, precision="bfloat16"))
    now = dict(model.named_parameters())
    assert all(torch.equal(now[name], weight) for name, weight in before.items())


def test_lengths_are_rounded_only_where_it_pays_and_only_as_far_as_the_model_reads():
    def widths(chosen: str) -> list[int]:
        seen = []
        model = tiny_model("bert").eval()
        model.bert.embeddings.register_forward_hook(lambda *call: seen.append(call[2].shape[1]))
        forward = logits_function(model, TEXT, precision=chosen)
        for rows in ([0], [1], [2]):
            forward(rows)
        return seen

    assert widths("float32") == [3, 9, 13]
    assert widths("bfloat16") == [8, 13, 13], "13 is the longest text; nothing is read beyond it"


def test_activations_of_one_precision_are_not_taken_for_those_of_another(tiny_folder, reviews):
    model, tokenizer = load_model(tiny_folder, labels=reviews)
    apply_lora(model, LoraConfig(rank=2, layers="top:1"))
    model.eval()
    text = tokenise(tokenizer, reviews["validation"]["text"])
    cache = PrefixCache()
    kept = {}
    for chosen in ("float32", "bfloat16"):
        logits_function(model, text, cache=cache, precision=chosen)
        kept[chosen] = cache.memory_used()
    assert kept["bfloat16"] == 2 * kept["float32"]


def test_activations_too_large_for_float16_are_refused_with_advice():
    model = tiny_model("bert").eval()
    apply_lora(model, LoraConfig(rank=2, layers="top:1"))
    with torch.no_grad():
        model.bert.encoder.layer[1].output.LayerNorm.weight.fill_(1e6)
    text = TokenisedText([[5, 6, 7]], 0, pad_id=1)
    with pytest.raises(ValueError, match="float32"):
        logits_function(model, text, cache=PrefixCache(), prefix="float16")
    logits_function(model, text, cache=PrefixCache())


def test_an_unknown_precision_is_named():
    with pytest.raises(ValueError, match="precision is 'float8'"):
        TrainConfig(precision="float8")
    with pytest.raises(ValueError, match="prefix is 'int8'"):
        TrainConfig(prefix="int8")
