"""Adapted models: what learns, what stays, merging as a whole, and parity with PEFT."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

import peft
import pytest
import torch
from torch import Tensor, nn

from lora_lab import adapt
from lora_lab.adapt import (
    LoraConfig,
    TwoSidedConfig,
    adapted_layers,
    apply_lora,
    apply_two_sided,
    disabled,
    freeze,
    merge,
    remove_adapters,
    replace_module,
    trainable_parameters,
    unmerge,
)
from lora_lab.targets import TargetError, choose_layers, head_modules

from .tiny_models import FAMILIES, TARGETS, tiny_batch, tiny_model

QV = LoraConfig(rank=2, alpha=4.0, target_modules="query,value")


@pytest.fixture(autouse=True)
def seed() -> None:
    """apply_lora draws A from torch's global generator."""
    torch.manual_seed(0)


def snapshot(model: nn.Module) -> dict[str, Tensor]:
    """Copies of all parameters; base weights under their names in the unadapted model."""
    return {n.replace(".base.", "."): p.detach().clone() for n, p in model.named_parameters()}


def randomise_b(model: nn.Module, seed: int = 5) -> nn.Module:
    """Give the adapters an effect; at step zero they have none."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for layer in adapted_layers(model).values():
            for parameter in layer.parameters(recurse=False):
                parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    return model


def adapted(family: str = "bert", config: LoraConfig = QV, **settings) -> nn.Module:
    model = tiny_model(family, **settings)
    apply_lora(model, config)
    return randomise_b(model)


def train(model: nn.Module, steps: int = 4) -> list[float]:
    """Real AdamW steps, with weight decay, over every parameter that asks for a gradient."""
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    losses = []
    for step in range(steps):
        loss = model(**tiny_batch(seed=step)).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def logits(model: nn.Module) -> Tensor:
    with torch.no_grad():
        return model.eval()(**tiny_batch()).logits


def trainable(model: nn.Module) -> set[str]:
    return {name for name, p in model.named_parameters() if p.requires_grad}


# What learns.


@pytest.mark.parametrize("train_head", [True, False])
@pytest.mark.parametrize("family", FAMILIES)
def test_adapters_learn_and_the_head_if_asked_for(family, train_head):
    model = tiny_model(family)
    names = apply_lora(model, LoraConfig(rank=2, train_head=train_head))
    heads = {f"{h}.{n}" for h, m in head_modules(model).items() for n, _ in m.named_parameters()}
    assert heads
    expected = {f"{name}.{matrix}" for name in names for matrix in "AB"}
    assert trainable(model) == expected | (heads if train_head else set())
    assert names == list(adapted_layers(model))
    assert trainable_parameters(model) == sum(
        p.numel() for n, p in model.named_parameters() if n in trainable(model)
    )


@pytest.mark.parametrize("train_head", [True, False])
@pytest.mark.parametrize("family", FAMILIES)
def test_training_leaves_the_base_as_it_was_to_the_last_bit(family, train_head):
    model = tiny_model(family)
    before = snapshot(model)
    apply_lora(model, LoraConfig(rank=2, alpha=8.0, dropout=0.1, train_head=train_head))
    learning = trainable(model)
    train(model)
    after = snapshot(model)
    assert after.keys() == before.keys() | learning
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == learning & before.keys(), "only the head, if it learns"
    assert all(layer.B.abs().sum() > 0 for layer in adapted_layers(model).values())


@pytest.mark.parametrize("training", [True, False])
def test_adapters_take_over_the_mode_of_the_model(training):
    model = tiny_model().train(training)
    apply_lora(model, LoraConfig(rank=2, alpha=4.0, dropout=0.5))
    assert {layer.training for layer in adapted_layers(model).values()} == {training}


@pytest.mark.parametrize("family", FAMILIES)
def test_training_lowers_the_loss(family):
    model = tiny_model(family)
    apply_lora(model, LoraConfig(rank=4, alpha=16.0))
    batch = tiny_batch()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    losses = []
    for _ in range(40):
        loss = model(**batch).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_fresh_adapter_changes_no_output(family):
    model = tiny_model(family)
    before = logits(model)
    apply_lora(model, LoraConfig(rank=2))
    assert torch.equal(logits(model), before)


@pytest.mark.parametrize("family", FAMILIES)
def test_derived_and_autograd_backward_train_alike(family):
    curves = []
    for backward in ("derived", "autograd"):
        torch.manual_seed(0)
        model = tiny_model(family)
        apply_lora(model, LoraConfig(rank=3, dropout=0.2, backward=backward))
        curves.append(train(model))
    assert curves[0] == pytest.approx(curves[1], abs=1e-5)


def test_layers_and_targets_are_passed_on():
    names = apply_lora(tiny_model(), LoraConfig(rank=2, target_modules=("k",), layers="top:2"))
    assert names == [f"bert.encoder.layer.{n}.attention.self.key" for n in (1, 2)]


def test_settings_are_passed_on():
    model = adapted(config=LoraConfig(4, 6.0, "q", (0,), "alpha/sqrt(r)", 0.3, "gaussian"))
    (layer,) = adapted_layers(model).values()
    assert (layer.rank, layer.alpha, layer.scaling, layer.dropout) == (4, 6.0, 3.0, 0.3)
    assert layer.backward_pass == "derived"


def test_freeze_can_be_called_again():
    model = adapted()
    model.requires_grad_(True)
    freeze(model, train_head=False)
    assert {name.rpartition(".")[2] for name in trainable(model)} == {"A", "B"}


# What is refused.


@pytest.mark.parametrize("apply", [apply_lora, apply_two_sided])
def test_a_second_adapter_is_refused(apply):
    model = adapted()
    config = QV if apply is apply_lora else TwoSidedConfig()
    with pytest.raises(ValueError, match="adapters already.*remove_adapters"):
        apply(model, config)


@pytest.mark.parametrize(
    ("config", "error"),
    [
        (LoraConfig(rank=33, target_modules="q"), ValueError),
        # 17 fits the 64 x 32 matrices, which come first, and not the 16 x 32 one.
        (LoraConfig(rank=17, target_modules="intermediate.dense,small"), ValueError),
        (LoraConfig(target_modules="typo"), TargetError),
        (LoraConfig(target_modules="q", layers="7"), TargetError),
        (LoraConfig(rank=2, backward="none"), ValueError),
        (TwoSidedConfig(form="tall"), ValueError),
        (TwoSidedConfig(init="random"), ValueError),
        (TwoSidedConfig(rank=40), ValueError),
    ],
)
def test_a_failed_apply_changes_nothing(config, error):
    model = tiny_model()
    model.bert.encoder.layer[2].small = nn.Linear(32, 16)
    model.bert.encoder.layer[0].intermediate.dense.bias.requires_grad_(False)
    modules, weights, learning = list(model.modules()), snapshot(model), trainable(model)
    with pytest.raises(error):
        (apply_lora if isinstance(config, LoraConfig) else apply_two_sided)(model, config)
    assert all(a is b for a, b in zip(model.modules(), modules, strict=True))
    assert trainable(model) == learning
    after = snapshot(model)
    assert all(torch.equal(after[name], weights[name]) for name in weights)


def test_running_out_of_memory_half_way_changes_nothing(monkeypatch):
    model, made = tiny_model(), []

    class TooBig(adapt.LoRALinear):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            made.append(self)
            if len(made) == 3:
                raise torch.OutOfMemoryError

    learning = trainable(model)
    monkeypatch.setattr(adapt, "LoRALinear", TooBig)
    with pytest.raises(torch.OutOfMemoryError):
        apply_lora(model, QV)
    assert not adapted_layers(model)
    assert trainable(model) == learning


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(rank=0), "rank is 0"),
        (dict(rank=1.5), "rank is 1.5"),
        (dict(rank=True), "rank is True"),
        (dict(alpha=0.0), "alpha is 0.0"),
        (dict(dropout=1.0), "dropout is 1.0"),
        (dict(scaling="r"), "scaling is 'r'"),
        (dict(init="ones"), "init is 'ones'"),
    ],
)
def test_config_refuses(settings, message):
    with pytest.raises(ValueError, match=message):
        LoraConfig(**settings)


def test_config_knows_its_scale():
    assert LoraConfig(rank=4, alpha=8.0).scale == 2.0
    assert LoraConfig(rank=4, alpha=8.0, scaling="alpha/sqrt(r)").scale == 4.0


# Merging the whole model.


@pytest.mark.parametrize("family", FAMILIES)
def test_merged_model_gives_the_same_logits_and_unmerging_restores_every_bit(family):
    model = adapted(family, LoraConfig(rank=3))
    before, weights = logits(model), snapshot(model)
    merge(model)
    merge(model)
    assert all(layer.merged for layer in adapted_layers(model).values())
    torch.testing.assert_close(logits(model), before)
    unmerge(model)
    unmerge(model)
    after = snapshot(model)
    assert all(torch.equal(after[name], weights[name]) for name in weights)
    assert torch.equal(logits(model), before)


@pytest.mark.parametrize("position", [0, 3, -1])
def test_merge_is_all_or_none(position):
    model = adapted()
    weights = snapshot(model)
    name, broken = list(adapted_layers(model).items())[position]
    with torch.no_grad():
        broken.B[0, 0] = math.nan
    with pytest.raises(ValueError, match=f"{name}: The adapter holds NaN"):
        merge(model)
    assert not any(layer.merged for layer in adapted_layers(model).values())
    after = snapshot(model)
    assert all(torch.equal(after[n], weights[n]) for n in weights if not n.endswith(".B"))


def test_a_failed_merge_keeps_what_was_merged_before_it():
    model = adapted()
    first, *_, last = adapted_layers(model).values()
    first.merge()
    with torch.no_grad():
        last.A.fill_(math.inf)
    with pytest.raises(ValueError):
        merge(model)
    assert [layer.merged for layer in adapted_layers(model).values()] == [True] + 5 * [False]


def test_training_a_merged_model_is_refused():
    model = adapted()
    merge(model)
    with pytest.raises(RuntimeError, match="unmerge"):
        model.train()(**tiny_batch())


# Switching off, and taking off.


@pytest.mark.parametrize("merged", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_disabled_is_the_base_model_and_comes_back(family, merged):
    plain, model = logits(tiny_model(family)), adapted(family, LoraConfig(rank=2))
    if merged:
        merge(model)
    with_adapters = logits(model)
    assert not torch.allclose(with_adapters, plain)
    with disabled(model) as same:
        assert same is model
        assert torch.equal(logits(model), plain)
        with disabled(model):
            assert torch.equal(logits(model), plain)
        assert torch.equal(logits(model), plain), "the inner block must not switch them on"
    assert torch.equal(logits(model), with_adapters)


def test_disabled_comes_back_after_an_exception():
    model = adapted()
    first = next(iter(adapted_layers(model).values()))
    first.enabled = False  # was off before: stays off
    with pytest.raises(KeyError), disabled(model):
        raise KeyError
    assert [layer.enabled for layer in adapted_layers(model).values()] == [False] + 5 * [True]


@pytest.mark.parametrize("family", FAMILIES)
def test_removing_adapters_gives_the_base_model_back(family):
    plain, model = tiny_model(family), adapted(family, LoraConfig(rank=2))
    remove_adapters(model)
    assert [n for n, _ in model.named_modules()] == [n for n, _ in plain.named_modules()]
    assert torch.equal(logits(model), logits(plain))
    apply_lora(model, LoraConfig(rank=3))


def test_removing_merged_adapters_keeps_their_effect():
    model = adapted()
    before = logits(model)
    merge(model)
    remove_adapters(model)
    assert not adapted_layers(model)
    torch.testing.assert_close(logits(model), before)


def test_replace_module():
    model = nn.Sequential(nn.Sequential(nn.ReLU()), nn.ReLU())
    replace_module(model, "0.0", nn.Tanh())
    replace_module(model, "1", nn.Identity())
    assert isinstance(model[0][0], nn.Tanh)
    assert isinstance(model[1], nn.Identity)


# Two-sided.


@pytest.mark.parametrize("form", ["low-rank", "diagonal", "dense"])
@pytest.mark.parametrize("family", FAMILIES)
def test_two_sided_models_start_at_the_base_learn_and_merge(family, form):
    model = tiny_model(family)
    plain = logits(model)
    before = snapshot(model)
    apply_two_sided(model, TwoSidedConfig(form=form, rank=2, train_head=False))
    torch.testing.assert_close(logits(model), plain)
    train(model.train())
    after = snapshot(model)
    assert all(torch.equal(after[name], before[name]) for name in before)
    trained = logits(model)
    assert not torch.allclose(trained, plain)
    merge(model)
    torch.testing.assert_close(logits(model), trained, rtol=1e-4, atol=1e-4)


# Parity with PEFT: same weights in, same numbers out.


def peft_twin(model: nn.Module, family: str, config: LoraConfig, targets: Iterable[str]):
    """PEFT's model on the same base, with its own choice of layers, and our A, B and head."""
    layers = None
    if config.layers != "all":
        layers = list(choose_layers(config.layers, 3))
    twin = peft.get_peft_model(
        tiny_model(family),
        peft.LoraConfig(
            task_type="SEQ_CLS",
            r=config.rank,
            lora_alpha=config.alpha,
            lora_dropout=config.dropout,
            use_rslora=config.scaling == "alpha/sqrt(r)",
            target_modules=list(targets),
            layers_to_transform=layers,
            modules_to_save=list(head_modules(model)),
            fan_in_fan_out=family == "gpt2",
        ),
    )
    theirs = dict(twin.named_parameters())
    pairs = {}
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not parameter.requires_grad:
                continue
            path, _, last = name.rpartition(".")
            if last in ("A", "B"):
                match = f"base_model.model.{path}.lora_{last}.default.weight"
            else:
                head, _, rest = name.partition(".")
                match = f"base_model.model.{head}.modules_to_save.default.{rest}"
            theirs[match].copy_(parameter)
            pairs[name] = match
    assert {n for n, p in theirs.items() if p.requires_grad} == set(pairs.values())
    return twin, {
        name: (dict(model.named_parameters())[name], theirs[t]) for name, t in pairs.items()
    }


CONFIGURATIONS = [
    LoraConfig(rank=1, alpha=1.0),
    LoraConfig(rank=2, alpha=16.0, layers="top:1"),
    LoraConfig(rank=4, alpha=8.0, layers="0,2"),
    LoraConfig(rank=8, alpha=3.0, layers="bottom:2", scaling="alpha/sqrt(r)"),
    LoraConfig(rank=4, alpha=8.0, dropout=0.3),
]


@pytest.mark.parametrize("config", CONFIGURATIONS, ids=lambda c: f"r{c.rank}-{c.layers}")
@pytest.mark.parametrize("which", range(3), ids=["one", "two", "mlp"])
@pytest.mark.parametrize("family", FAMILIES)
def test_logits_loss_and_gradients_equal_pefts(family, which, config):
    targets = TARGETS[family][which]
    model = tiny_model(family)
    apply_lora(model, replace(config, target_modules=targets))
    randomise_b(model)
    twin, pairs = peft_twin(model, family, config, targets)
    outputs = []
    for each in (model, twin):
        torch.manual_seed(7)  # one dropout mask for both
        output = each.train()(**tiny_batch())
        output.loss.backward()
        outputs.append(output)
    ours, theirs = outputs
    close = dict(rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(ours.logits, theirs.logits, **close)
    torch.testing.assert_close(ours.loss, theirs.loss, **close)
    for name, (mine, other) in pairs.items():
        assert mine.grad.abs().sum() > 0, name
        torch.testing.assert_close(mine.grad, other.grad, **close, msg=name)
    torch.testing.assert_close(logits(model), logits(twin), **close)


@pytest.mark.parametrize("family", FAMILIES)
def test_training_and_merging_go_as_in_peft(family):
    targets = TARGETS[family][1]
    config = LoraConfig(rank=2, alpha=8.0, target_modules=targets)
    model = tiny_model(family)
    apply_lora(model, config)
    twin, pairs = peft_twin(model, family, config, targets)
    assert train(model) == pytest.approx(train(twin), abs=1e-5)
    for name, (mine, other) in pairs.items():
        torch.testing.assert_close(mine, other, rtol=1e-3, atol=1e-4, msg=name)
    merge(model)
    twin.merge_adapter()
    torch.testing.assert_close(logits(model), logits(twin), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_trainable_parameters_equal_pefts(family):
    model = tiny_model(family)
    config = LoraConfig(rank=2, target_modules=TARGETS[family][1])
    apply_lora(model, config)
    twin, _ = peft_twin(model, family, config, TARGETS[family][1])
    assert trainable_parameters(model) == twin.get_nb_trainable_parameters()[0]
