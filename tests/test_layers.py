"""Adapted layers: the derived backward pass, the start, merging, and what is refused."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.autograd import gradcheck, gradgradcheck
from torch.nn.functional import cross_entropy, linear
from transformers.pytorch_utils import Conv1D

from lora_lab import layers
from lora_lab.closed_form import mean_cross_entropy
from lora_lab.derivations import lora, losses, two_sided
from lora_lab.layers import AdaptedLinear, LoRALinear, TwoSidedLinear, scale

OUT, IN, RANK = 5, 7, 3
FORMS = ("low-rank", "diagonal", "dense")


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def linear_base(*, bias: bool = True, dtype: torch.dtype = torch.float32) -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(IN, OUT, bias=bias, dtype=dtype)


def conv_base(dtype: torch.dtype = torch.float32) -> Conv1D:
    torch.manual_seed(0)
    base = Conv1D(OUT, IN).to(dtype)
    nn.init.normal_(base.bias)
    return base


BASES = {
    "linear": linear_base,
    "linear without bias": lambda dtype=torch.float32: linear_base(bias=False, dtype=dtype),
    "Conv1D": conv_base,
}


def randomise(layer: AdaptedLinear, seed: int = 1) -> AdaptedLinear:
    """Move every adapter parameter away from its start, where some gradients are zero."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in layer.parameters(recurse=False):
            parameter.add_(0.3 * torch.randn_like(parameter))
    return layer


def lora_layer(base: nn.Module | None = None, **settings) -> LoRALinear:
    return randomise(LoRALinear(base or linear_base(), RANK, 2.0, **settings))


def two_sided_layer(form: str, base: nn.Module | None = None, **settings) -> TwoSidedLinear:
    return randomise(TwoSidedLinear(base or linear_base(), form, RANK, **settings))


LAYERS = {"lora": lora_layer} | {
    form: lambda base=None, form=form, **settings: two_sided_layer(form, base, **settings)
    for form in FORMS
}


def inputs(*leading: int, dtype: torch.dtype = torch.float32, seed: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*leading, IN, generator=generator, dtype=dtype)


def run(layer: AdaptedLinear, x: torch.Tensor) -> dict[str, torch.Tensor]:
    """Output and all gradients, of a loss that weighs every output differently."""
    x = x.clone().requires_grad_(True)
    torch.manual_seed(3)  # the dropout mask
    out = layer(x)
    weights = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out)
    (out * weights).sum().backward()
    gradients = {name: p.grad for name, p in layer.named_parameters(recurse=False)}
    return {"out": out.detach(), "x": x.grad, **gradients}


# The derivation you read is the code that trains.


@pytest.mark.parametrize("leading", [(), (4,), (2, 3), (2, 1, 3)], ids=str)
@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("kind", LAYERS)
def test_derived_backward_equals_autograd(kind, base, leading):
    x = inputs(*leading)
    derived, autograd = (
        run(LAYERS[kind](BASES[base](), backward=b), x) for b in ("derived", "autograd")
    )
    assert derived.keys() == autograd.keys()
    for name in derived:
        torch.testing.assert_close(derived[name], autograd[name], rtol=1e-6, atol=1e-6, msg=name)


@pytest.mark.parametrize("base", BASES)
def test_derived_backward_equals_autograd_with_the_same_dropout_mask(base):
    x = inputs(6, 4)
    derived, autograd = (
        run(lora_layer(BASES[base](), dropout=0.5, backward=b), x) for b in ("derived", "autograd")
    )
    without = run(lora_layer(BASES[base]()), x)
    for name in derived:
        torch.testing.assert_close(derived[name], autograd[name], rtol=1e-6, atol=1e-6, msg=name)
        assert not torch.allclose(derived[name], without[name])


def test_dropout_reaches_the_low_rank_branch_only_and_only_in_training():
    layer, x = lora_layer(dropout=0.9), inputs(4)
    torch.manual_seed(0)
    trained = layer(x)
    assert not torch.equal(trained, layer(x)), "a new mask each time"
    torch.testing.assert_close(layer.eval()(x), lora_layer()(x))
    with torch.no_grad():
        layer.B.zero_()
    torch.testing.assert_close(layer.train()(x), layer.base(x))


def test_dropout_keeps_the_expected_output():
    layer, x = lora_layer(dropout=0.5), inputs(1)
    torch.manual_seed(0)
    mean = layer(x.expand(40_000, IN)).mean(0, keepdim=True)
    torch.testing.assert_close(mean, layer.eval()(x), rtol=0, atol=0.02)


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("kind", LAYERS)
def test_first_and_second_derivatives_by_finite_differences(kind, base):
    layer = LAYERS[kind](BASES[base](dtype=torch.float64))
    parameters = dict(layer.named_parameters(recurse=False))

    def function(x, *values):
        return torch.func.functional_call(layer, dict(zip(parameters, values, strict=True)), (x,))

    x = inputs(2, 2, dtype=torch.float64).requires_grad_(True)
    arguments = (x, *(p.detach().requires_grad_(True) for p in parameters.values()))
    assert gradcheck(function, arguments)
    assert gradgradcheck(function, arguments)


def test_gradcheck_with_dropout():
    layer = lora_layer(linear_base(dtype=torch.float64), dropout=0.4)

    def function(x, A, B):
        torch.manual_seed(0)  # one mask for all evaluations
        return torch.func.functional_call(layer, {"A": A, "B": B}, (x,))

    x = inputs(3, dtype=torch.float64).requires_grad_(True)
    arguments = (x, *(p.detach().requires_grad_(True) for p in (layer.A, layer.B)))
    assert gradcheck(function, arguments)
    assert gradgradcheck(function, arguments)


def test_an_input_without_gradient_is_not_given_one_and_changes_no_other():
    with_gradient, x = run(lora_layer(), inputs(4)), inputs(4)
    layer = lora_layer()
    out = layer(x)
    (out * torch.linspace(-1, 1, out.numel()).view_as(out)).sum().backward()
    assert x.grad is None
    assert torch.equal(layer.A.grad, with_gradient["A"])
    assert torch.equal(layer.B.grad, with_gradient["B"])


@pytest.mark.parametrize(
    ("kind", "module", "function"),
    [
        ("lora", lora, "backward"),
        ("low-rank", two_sided, "low_rank_backward"),
        ("diagonal", two_sided, "diagonal_backward"),
        ("dense", two_sided, "dense_backward"),
    ],
)
def test_a_wrong_derivation_gives_wrong_gradients(kind, module, function, monkeypatch):
    """The backward pass calls the derivation, and the autograd backward pass does not."""
    right = run(LAYERS[kind](), inputs(4))
    correct = getattr(module, function)

    def doubled(*args, **kwargs):
        return type(g := correct(*args, **kwargs))(*(None if t is None else 2 * t for t in g))

    monkeypatch.setattr(module, function, doubled)
    wrong = run(LAYERS[kind](), inputs(4))
    for name in right.keys() - {"out"}:
        torch.testing.assert_close(wrong[name], 2 * right[name], msg=name)
    untouched = run(LAYERS[kind](backward="autograd"), inputs(4))
    for name in right:
        torch.testing.assert_close(untouched[name], right[name], msg=name)


def test_a_wrong_forward_derivation_gives_wrong_outputs(monkeypatch):
    right = lora_layer()(inputs(4))
    monkeypatch.setattr(lora, "forward", lambda x, W, A, B, **_: linear(x, W))
    assert not torch.allclose(lora_layer()(inputs(4)), right)


# The loss.


@pytest.mark.parametrize("classes", [2, 5])
def test_mean_cross_entropy_is_torchs(classes):
    logits = (10 * torch.randn(6, classes)).requires_grad_(True)
    labels = torch.randint(0, classes, (6,))
    theirs = cross_entropy(logits, labels)
    (expected,) = torch.autograd.grad(3 * theirs, logits)
    ours = mean_cross_entropy(logits, labels)
    (gradient,) = torch.autograd.grad(3 * ours, logits)
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(gradient, expected)


def test_mean_cross_entropy_by_finite_differences():
    logits = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([0, 3, 1])
    assert gradcheck(lambda z: mean_cross_entropy(z, labels), (logits,))
    assert gradgradcheck(lambda z: mean_cross_entropy(z, labels), (logits,))


def test_mean_cross_entropy_calls_the_derivation(monkeypatch):
    monkeypatch.setattr(
        losses, "mean_softmax_cross_entropy_grad", lambda z, y: torch.full_like(z, 7)
    )
    logits = torch.randn(3, 4, requires_grad=True)
    mean_cross_entropy(logits, torch.tensor([0, 1, 2])).backward()
    assert (logits.grad == 7).all()


# Step zero.


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("init", ["kaiming", "gaussian"])
def test_lora_starts_exactly_at_its_base(base, init):
    layer, x = LoRALinear(BASES[base](), RANK, 16.0, init=init), inputs(4, 2)
    assert torch.equal(layer(x), linear(x, layer.weight, layer.base.bias))
    assert layer.A.abs().sum() > 0


@pytest.mark.parametrize("form", FORMS)
def test_two_sided_starts_at_its_base(form):
    layer, x = TwoSidedLinear(linear_base(), form, RANK), inputs(4, 2)
    torch.testing.assert_close(layer(x), layer.base(x))


def test_random_dense_factors_lose_the_pretrained_function():
    torch.manual_seed(0)
    base = nn.Linear(64, 64)
    layer, x = TwoSidedLinear(base, "dense", init="random"), torch.randn(200, 64)
    before, after = base(x).flatten(), layer(x).flatten()
    assert abs(torch.corrcoef(torch.stack([before, after]))[0, 1]) < 0.1
    assert sum(p.numel() for p in layer.parameters(recurse=False)) == 2 * base.weight.numel()


def test_only_b_learns_in_the_first_step_and_both_in_the_second():
    layer, x = LoRALinear(linear_base(), RANK, 6.0), inputs(4)
    layer(x).square().sum().backward()
    assert (layer.A.grad == 0).all()
    assert (layer.B.grad != 0).any()
    with torch.no_grad():
        layer.B -= 0.1 * layer.B.grad
    layer(x).square().sum().backward()
    assert (layer.A.grad != 0).any()


def test_initial_spread():
    torch.manual_seed(0)
    base = nn.Linear(400, 400)
    kaiming = LoRALinear(base, 200, 1.0).A
    assert 0.99 / math.sqrt(400) < kaiming.abs().max() <= 1 / math.sqrt(400)
    gaussian = LoRALinear(base, 200, 1.0, init="gaussian").A
    assert gaussian.std().item() == pytest.approx(1 / 200, rel=0.02)


# Scaling.


@given(
    st.integers(1, 64), st.floats(0.01, 1e4), st.integers(2, 9), st.sampled_from(["alpha/r", "rs"])
)
def test_scale_invariants(rank, alpha, factor, rule):
    if rule == "alpha/r":
        assert scale(alpha, rank, rule) * rank == pytest.approx(alpha)
        assert scale(factor * alpha, factor * rank, rule) == pytest.approx(scale(alpha, rank, rule))
    else:
        assert scale(alpha, rank, "alpha/sqrt(r)") ** 2 * rank == pytest.approx(alpha**2)
        assert scale(alpha, rank, "alpha/sqrt(r)") == pytest.approx(
            scale(alpha, rank, "alpha/r") * math.sqrt(rank)
        )


@settings(max_examples=20)
@given(st.integers(1, 5), st.floats(0.1, 32))
def test_only_alpha_over_rank_matters(rank, s):
    """Zero rows added to A and B, alpha raised in step with the rank: the same function."""
    small, large = (LoRALinear(linear_base(), r, s * r) for r in (rank, 5))
    with torch.no_grad():
        randomise(small)
        large.A.zero_()
        large.B.zero_()
        large.A[:rank], large.B[:, :rank] = small.A, small.B
    torch.testing.assert_close(small(inputs(3)), large(inputs(3)))


def test_the_update_is_linear_in_alpha():
    x = inputs(4)
    one, two = (randomise(LoRALinear(linear_base(), RANK, alpha)) for alpha in (2.0, 4.0))
    base = linear_base()(x)
    torch.testing.assert_close(2 * (one(x) - base), two(x) - base)
    torch.testing.assert_close(two.update(), (4 / RANK) * two.B @ two.A)


def test_rank_stabilised_scaling():
    x, base = inputs(4), linear_base()
    usual, stabilised = lora_layer(), lora_layer(scaling="alpha/sqrt(r)")
    torch.testing.assert_close(stabilised(x) - base(x), math.sqrt(RANK) * (usual(x) - base(x)))


# Merging.


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("kind", LAYERS)
def test_merged_layer_computes_the_same_with_one_matrix(kind, base):
    layer, x = LAYERS[kind](BASES[base]()).eval(), inputs(4, 2)
    before = layer(x)
    frozen = layer.weight.clone()
    stored = layer.base.weight.clone()
    layer.merge()
    assert layer.merged
    torch.testing.assert_close(layer(x), before)
    torch.testing.assert_close(layer.base(x), before)
    assert torch.equal(layer.weight, frozen), "W stays readable while merged"
    layer.unmerge()
    assert not layer.merged
    assert torch.equal(layer.base.weight, stored)
    assert torch.equal(layer(x), before)


@pytest.mark.parametrize("kind", LAYERS)
def test_merging_twice_must_not_merge_twice(kind):
    layer = LAYERS[kind]()
    stored = layer.base.weight.clone()
    layer.merge()
    once = layer.base.weight.clone()
    layer.merge()
    assert torch.equal(layer.base.weight, once)
    layer.unmerge()
    layer.unmerge()
    assert torch.equal(layer.base.weight, stored)


def test_eval_does_not_merge():
    layer = lora_layer()
    stored = layer.base.weight.clone()
    layer.eval()
    assert not layer.merged
    assert torch.equal(layer.base.weight, stored)
    layer.merge()
    layer.train()
    assert layer.merged, "nor does train() unmerge"


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_diverged_adapter_is_not_merged(bad):
    layer = lora_layer()
    stored = layer.base.weight.clone()
    with torch.no_grad():
        layer.A[0, 0] = bad
    with pytest.raises(ValueError, match="NaN or infinite.*smaller learning rate"):
        layer.merge()
    assert not layer.merged
    assert torch.equal(layer.base.weight, stored)


def test_an_update_that_overflows_the_base_precision_is_not_merged():
    layer = LoRALinear(linear_base(dtype=torch.float16), 1, 1.0)
    stored = layer.base.weight.clone()
    with torch.no_grad():
        layer.A.fill_(300.0)
        layer.B.fill_(300.0)  # 90,000, beyond float16's 65,504
    with pytest.raises(ValueError, match="infinite"):
        layer.merge()
    assert not layer.merged
    assert torch.equal(layer.base.weight, stored)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("kind", LAYERS)
def test_low_precision_is_merged_in_float32_and_rounded_once(kind, dtype):
    layer = LAYERS[kind](linear_base(dtype=dtype))
    exact = LAYERS[kind](linear_base(dtype=dtype).double())
    with torch.no_grad():
        pairs = zip(layer.parameters(), exact.parameters(), strict=True)
        for low, high in pairs:
            high.copy_(low)
    expected = exact.adapted_weight().to(dtype)
    stored = layer.base.weight.clone()
    layer.merge()
    assert layer.base.weight.dtype == dtype
    # float32 and float64 may fall on two sides of a rounding boundary, in very few entries.
    assert (layer.base.weight != expected).float().mean() < 0.05
    layer.unmerge()
    assert torch.equal(layer.base.weight, stored)


def test_adding_in_low_precision_would_differ():
    """The test above can fail: the product B A taken in bfloat16 rounds to other weights."""
    layer = lora_layer(linear_base(dtype=torch.bfloat16))
    low = layer.weight + layer.scaling * (layer.B @ layer.A)
    assert (low != layer.adapted_weight().to(torch.bfloat16)).float().mean() > 0.05


def test_training_while_merged_is_refused():
    layer, x = lora_layer(), inputs(4)
    layer.merge()
    with pytest.raises(RuntimeError, match="unmerge"):
        layer(x)
    with torch.no_grad():
        layer(x)
    layer.eval()(x)
    layer.train().unmerge()
    layer(x)


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("merged", [False, True])
def test_disabled_layer_is_its_base(base, merged):
    layer, x = lora_layer(BASES[base]()), inputs(4)
    if merged:
        layer.merge()
    layer.enabled = False
    assert torch.equal(layer(x), BASES[base]()(x))


# What is refused.


@pytest.mark.parametrize("base", ["linear", "Conv1D"])
@pytest.mark.parametrize("part", ["weight", "bias"])
def test_an_unfrozen_base_is_refused(base, part):
    layer = lora_layer(BASES[base]())
    getattr(layer.base, part).requires_grad_(True)
    with pytest.raises(RuntimeError, match="base weight or bias.*Freeze the base"):
        layer(inputs(4))


def test_wrapping_freezes_weight_and_bias_of_the_base():
    layer = lora_layer()
    assert [n for n, p in layer.named_parameters() if p.requires_grad] == ["A", "B"]


@pytest.mark.parametrize("module", [nn.Conv1d(3, 3, 1), nn.Embedding(3, 3), nn.ReLU()])
def test_only_linear_layers_can_be_adapted(module):
    with pytest.raises(TypeError, match=f"got {type(module).__name__}"):
        LoRALinear(module, 1, 1.0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(rank=0), "rank is 0.*from 1 to 5"),
        (dict(rank=6), "rank is 6; for a 5 x 7 layer.*from 1 to 5"),
        (dict(rank=True), "rank is True"),
        (dict(rank=2.0), "rank is 2.0"),
        (dict(alpha=0), "alpha is 0"),
        (dict(alpha=-1.0), "alpha is -1.0"),
        (dict(alpha=math.nan), "alpha is nan"),
        (dict(alpha=math.inf), "alpha is inf"),
        (dict(dropout=1.0), "dropout is 1.0"),
        (dict(dropout=-0.1), "dropout is -0.1"),
        (dict(dropout=math.nan), "dropout is nan"),
        (dict(scaling="alpha"), "scaling is 'alpha'; it must be one of alpha/r, "),
        (dict(init="zeros"), "init is 'zeros'; it must be one of kaiming, gaussian"),
        (dict(backward="numerical"), "backward is 'numerical'; it must be one of derived, "),
    ],
)
def test_lora_refuses(settings, message):
    with pytest.raises(ValueError, match=message):
        LoRALinear(linear_base(), **(dict(rank=2, alpha=4.0) | settings))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(form="tall"), "form is 'tall'; it must be one of low-rank, diagonal, dense"),
        (dict(form="low-rank", rank=6), "rank is 6"),
        (dict(form="low-rank", init="random"), "init is 'random' for the low-rank form"),
        (dict(form="dense", init="zero"), "init is 'zero' for the dense form"),
        (dict(backward="none"), "backward is 'none'"),
    ],
)
def test_two_sided_refuses(settings, message):
    with pytest.raises(ValueError, match=message):
        TwoSidedLinear(linear_base(), **settings)


def test_scale_refuses_an_unknown_rule():
    with pytest.raises(ValueError, match="scaling is 'r/alpha'"):
        scale(1.0, 1, "r/alpha")


def test_an_adapter_that_computes_nothing_says_so():
    layer = AdaptedLinear(linear_base())
    with pytest.raises(TypeError, match="AdaptedLinear does not say"):
        layer(inputs(1))
    with pytest.raises(TypeError, match="AdaptedLinear does not say"):
        layer.merge()


def test_largest_rank_is_allowed():
    assert LoRALinear(linear_base(), 5, 1.0).A.shape == (5, IN)


# Shapes and descriptions.


@pytest.mark.parametrize("base", BASES)
def test_shapes_are_the_papers(base):
    layer = lora_layer(BASES[base]())
    assert layer.weight.shape == (OUT, IN)
    assert layer.A.shape == (RANK, IN)
    assert layer.B.shape == (OUT, RANK)
    assert layer.update().shape == (OUT, IN)
    assert torch.linalg.matrix_rank(layer.update()) == RANK


@pytest.mark.parametrize(
    ("form", "parameters"),
    [("low-rank", 2 * RANK * (OUT + IN)), ("diagonal", OUT + IN), ("dense", OUT**2 + IN**2)],
)
def test_parameters_of_the_two_sided_forms(form, parameters):
    assert sum(p.numel() for p in two_sided_layer(form).parameters(recurse=False)) == parameters


def test_adapter_takes_type_and_device_of_its_base():
    layer = LoRALinear(nn.Linear(IN, OUT, device="meta", dtype=torch.bfloat16), RANK, 1.0)
    assert {(p.device.type, p.dtype) for p in layer.parameters()} == {("meta", torch.bfloat16)}


def test_repr_names_the_settings():
    assert "rank=3, alpha=2, scaling=0.666667, dropout=0" in repr(lora_layer())
    assert "form=dense" in repr(two_sided_layer("dense"))


def test_module_imports_no_second_implementation():
    assert layers.lora is lora
    assert layers.two_sided is two_sided
