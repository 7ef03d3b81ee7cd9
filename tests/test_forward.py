"""The way from rows to logits: whichever way is taken, the answers are transformers' own."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from lora_lab import prefix_cache
from lora_lab.adapt import LoraConfig, adapted_layers, apply_lora, freeze
from lora_lab.batches import TokenisedText
from lora_lab.forward import logits_function
from lora_lab.models import load_model
from lora_lab.prediction import probabilities
from lora_lab.prefix_cache import PrefixCache
from lora_lab.training import TrainConfig, train

from .tiny_models import tiny_model

FAMILIES = ("bert", "roberta", "distilbert")
LENGTHS = (7, 3, 9, 5, 3, 8)
TEXT = TokenisedText([[2, *range(10 * n, 10 * n + n - 1)] for n in LENGTHS], 0, pad_id=1)
ROWS = ([4, 2, 0], [1, 4], [3], [5, 0, 1, 2, 3, 4])
CONFIG = TrainConfig(epochs=2, batch_size=16, learning_rate=5e-3, checkpoint_every=2)


class Untouchable(PrefixCache):
    def get(self, *_, **__):
        raise AssertionError("the cache was used")


def adapted(family: str, layers="top:1", **settings) -> nn.Module:
    """In eval mode; adapters away from zero. ``layers`` may be "head" for the head alone."""
    model = tiny_model(family, **settings).eval()
    torch.manual_seed(1)
    if layers == "head":
        freeze(model)
    else:
        apply_lora(model, LoraConfig(rank=2, alpha=4, layers=layers))
    with torch.no_grad():
        for layer in adapted_layers(model).values():
            layer.B.normal_(std=0.2)
    return model


def transformers_way(model: nn.Module):
    return lambda rows: model(**TEXT.batch(rows)).logits


def gradients(model: nn.Module, logits: Tensor) -> dict[str, Tensor]:
    model.zero_grad()
    (logits * torch.linspace(-1, 1, logits.numel()).view_as(logits)).sum().backward()
    return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


def calls_of(module: nn.Module) -> list[int]:
    """Filled with one number for each forward pass of the module from now on."""
    calls = []
    module.register_forward_hook(lambda *_: calls.append(1))
    return calls


def trained_tensors(model: nn.Module) -> dict[str, Tensor]:
    return {n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}


@pytest.fixture
def computed(monkeypatch) -> list[int]:
    """How often activations were computed for the cache."""
    calls, real = [], prefix_cache._chunks

    def counted(*args):
        calls.append(1)
        yield from real(*args)

    monkeypatch.setattr(prefix_cache, "_chunks", counted)
    return calls


# One answer.


@pytest.mark.parametrize("prefix", ["float32", "off"])
@pytest.mark.parametrize("layers", ["all", (1,), "top:1", "head"])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_way_gives_transformers_logits_and_gradients(family, layers, prefix):
    model = adapted(family, layers)
    forward = logits_function(model, TEXT, cache=PrefixCache(), prefix=prefix)
    for rows in ROWS:
        theirs, ours = transformers_way(model)(rows), forward(rows)
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)
        expected, found = gradients(model, theirs), gradients(model, ours)
        assert expected.keys() == found.keys() == trained_tensors(model).keys()
        for name in expected:
            torch.testing.assert_close(found[name], expected[name], rtol=1e-4, atol=1e-5, msg=name)


@pytest.mark.parametrize("family", FAMILIES)
def test_float16_activations_give_almost_the_same_logits_for_half_the_room(family):
    model, cache, larger = adapted(family), PrefixCache(), PrefixCache()
    forward = logits_function(model, TEXT, cache=cache, prefix="float16")
    logits_function(model, TEXT, cache=larger, prefix="float32")
    assert 2 * cache.memory_used() == larger.memory_used() > 0
    for rows in ROWS:
        torch.testing.assert_close(
            forward(rows), transformers_way(model)(rows), rtol=1e-2, atol=2e-3
        )


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("prefix", ["float32", "off"])
def test_a_model_of_another_precision_keeps_it(prefix, dtype):
    model = adapted("bert").to(dtype)
    forward = logits_function(model, TEXT, cache=PrefixCache(), prefix=prefix)
    tolerance = 1e-5 if dtype == torch.float64 else 2e-2
    for rows in ROWS:
        torch.testing.assert_close(
            forward(rows), transformers_way(model)(rows), rtol=0, atol=tolerance
        )


def test_frozen_blocks_run_once_and_changing_ones_each_time(computed):
    model = adapted("bert")
    below, above = (calls_of(model.bert.encoder.layer[n].output.dense) for n in (1, 2))
    forward = logits_function(model, TEXT, cache=PrefixCache())
    assert len(below) == 1, "to fill the cache"
    for _ in range(3):
        forward([0, 1])
    assert (len(below), len(above), computed) == (1, 3, [1])


def test_cached_logits_follow_the_adapters_and_the_head():
    model = adapted("bert")
    forward = logits_function(model, TEXT, cache=PrefixCache())
    for parameter in trained_tensors(model):
        before = forward([0, 1])
        with torch.no_grad():
            model.get_parameter(parameter).add_(0.1)
        torch.testing.assert_close(forward([0, 1]), transformers_way(model)([0, 1]))
        if "classifier" in parameter:
            assert not torch.allclose(forward([0, 1]), before)


# Which way is taken.


def test_gpt2_runs_as_transformers_runs_it():
    model = adapted("gpt2")
    calls = calls_of(model)
    forward = logits_function(model, TEXT, cache=Untouchable())
    assert torch.equal(forward([0, 1]), transformers_way(model)([0, 1]))
    assert len(calls) == 2


@pytest.mark.parametrize("family", FAMILIES)
def test_dropout_in_the_base_is_left_to_transformers(family):
    setting = "dropout" if family == "distilbert" else "hidden_dropout_prob"
    model = adapted(family, **{setting: 0.5})
    calls = calls_of(model)
    forward = logits_function(model.train(), TEXT, cache=Untouchable())
    torch.manual_seed(0)
    ours = forward([0, 1])
    assert len(calls) == 1
    torch.manual_seed(0)
    assert torch.equal(ours, transformers_way(model)([0, 1]))
    assert not torch.allclose(ours, forward([0, 1])), "another mask"
    calls.clear()
    logits_function(model.eval(), TEXT, cache=PrefixCache())([0, 1])
    assert not calls


@pytest.mark.parametrize(
    ("layers", "prefix", "text"),
    [
        ("top:1", "off", TEXT),
        ("all", "float32", TEXT),
        ("top:1", "float32", TokenisedText([], 0, 1)),
    ],
    ids=["off", "nothing frozen", "no texts"],
)
def test_the_cache_is_not_touched_without_use_for_it(layers, prefix, text):
    model = adapted("bert", layers)
    assert callable(logits_function(model, text, cache=Untouchable(), prefix=prefix))
    assert probabilities(model, text, cache=Untouchable(), prefix=prefix).shape == (len(text), 3)


@pytest.mark.filterwarnings("ignore:Activations could not be kept")
@pytest.mark.parametrize("limit", ["no room", "no folder"])
def test_a_cache_that_keeps_nothing_changes_no_answer(limit, tmp_path):
    (tmp_path / "file").write_text("in the way")
    cache = PrefixCache(None if limit == "no room" else tmp_path / "file", memory_limit=0)
    model = adapted("bert")
    ours = logits_function(model, TEXT, cache=cache)([2, 0])
    torch.testing.assert_close(ours, transformers_way(model)([2, 0]), rtol=0, atol=1e-5)


# Training.


@pytest.fixture
def build(tiny_folder, reviews):
    """The two-layer BERT with dropout, adapted in its upper layer or in its head alone."""

    def build(layers: str = "top:1"):
        loaded = load_model(tiny_folder, labels=reviews)
        torch.manual_seed(0)
        if layers == "head":
            freeze(loaded.model)
        elif layers != "full":
            apply_lora(loaded.model, LoraConfig(rank=2, alpha=4, dropout=0.1, layers=layers))
        return loaded

    return build


@pytest.mark.parametrize("layers", ["top:1", "head"])
def test_training_is_the_same_with_and_without_cached_activations(layers, build, reviews):
    ends = {}
    for prefix in ("float32", "off"):
        model, tokenizer = build(layers)
        run = train(model, tokenizer, reviews, replace(CONFIG, prefix=prefix))
        ends[prefix] = trained_tensors(model), run.validation.accuracy
    (cached, accuracy), (plain, same) = ends["float32"], ends["off"]
    assert accuracy == same
    for name in plain:
        torch.testing.assert_close(cached[name], plain[name], rtol=1e-3, atol=1e-4, msg=name)


def test_training_learns_from_float16_activations_as_from_float32(build, reviews):
    losses = {}
    for prefix in ("float32", "float16"):
        model, tokenizer = build()
        run = train(model, tokenizer, reviews, replace(CONFIG, epochs=6, prefix=prefix))
        losses[prefix] = [epoch["training_loss"] for epoch in run.history]
    assert losses["float16"][-1] < 0.8 * losses["float16"][0]
    assert losses["float16"] != losses["float32"], "float16 was at work"
    assert losses["float16"] == pytest.approx(losses["float32"], rel=0.02)


def test_runs_that_share_a_cache_compute_each_split_once(build, reviews, computed):
    cache = PrefixCache()
    for seed in (0, 1):
        model, tokenizer = build()
        train(model, tokenizer, reviews, replace(CONFIG, seed=seed), cache=cache)
    assert len(computed) == len(reviews), "one each for training, validation and test"


@pytest.mark.parametrize("prefix", ["float32", "float16"])
def test_an_interrupted_run_ends_with_the_same_bits(prefix, build, reviews, tmp_path):
    """Also where the first half had its activations from memory and the second from a file."""
    config = replace(CONFIG, epochs=3, prefix=prefix)
    model, tokenizer = build()
    train(model, tokenizer, reviews, config)
    uninterrupted = trained_tensors(model)

    def interrupt(event):
        if event["event"] == "step" and event["epoch"] == 2:
            raise KeyboardInterrupt

    model, tokenizer = build()
    with pytest.raises(KeyboardInterrupt):
        train(
            model,
            tokenizer,
            reviews,
            config,
            folder=tmp_path,
            listeners=[interrupt],
            cache=PrefixCache(tmp_path / "cache"),
        )
    model, tokenizer = build()
    resumed, starts = PrefixCache(tmp_path / "cache", memory_limit=0), []
    listeners = [lambda e: starts.append(e["step"]) if e["event"] == "start" else None]
    train(
        model,
        tokenizer,
        reviews,
        config,
        folder=tmp_path,
        resume=True,
        listeners=listeners,
        cache=resumed,
    )
    assert starts[0] > 0
    found = trained_tensors(model)
    assert not [name for name in uninterrupted if not torch.equal(found[name], uninterrupted[name])]


@pytest.mark.parametrize(
    ("layers", "changes"),
    [("full", {}), ("top:1", dict(prefix="off")), ("all", {})],
    ids=["full fine-tuning", "off", "all layers adapted"],
)
def test_training_without_a_frozen_bottom_never_uses_the_cache(layers, changes, build, reviews):
    model, tokenizer = build(layers)
    config = replace(CONFIG, epochs=1, learning_rate=1e-3, **changes)
    train(model, tokenizer, reviews, config, cache=Untouchable())


def test_with_base_dropout_only_scores_use_the_cache(build, reviews, computed):
    """While it trains, the blocks below give another output each time."""
    model, tokenizer = build()
    calls = calls_of(model)
    train(model, tokenizer, reviews, replace(CONFIG, epochs=1, base_dropout=True))
    assert len(calls) == -(-len(reviews["train"]) // CONFIG.batch_size)
    assert len(computed) == 2, "validation and test"
