"""Updates read from files, against the layers they came from and dense linear algebra."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch

from lora_lab.adapt import (
    LoraConfig,
    TwoSidedConfig,
    adapted_layers,
    apply_lora,
    apply_two_sided,
)
from lora_lab.adapter_files import CONFIG_FILE, AdapterError, save_adapter
from lora_lab.derivations.low_rank import subspace_similarity, truncated_svd
from lora_lab.inside.spectra import base_weights, read_updates, relation, share_kept

from ..tiny_models import tiny_model

RANK = 3


def trained(model, **settings):
    """As after training: no update is zero."""
    torch.manual_seed(0)
    apply_lora(model, LoraConfig(rank=RANK, alpha=6.0, **settings))
    for layer in adapted_layers(model).values():
        torch.nn.init.normal_(layer.B)
    return model


@pytest.fixture(params=["alpha/r", "alpha/sqrt(r)"])
def model(request):
    return trained(tiny_model("bert"), scaling=request.param)


def test_the_updates_in_the_files_are_those_of_the_model(model, tmp_path):
    layers = adapted_layers(model)
    updates = read_updates(save_adapter(model, tmp_path))
    assert updates.keys() == layers.keys()
    for name, update in updates.items():
        dense = layers[name].update().detach()
        assert update.svd.S.shape == (RANK,)
        torch.testing.assert_close(update.svd.matrix(), dense)
        torch.testing.assert_close(update.svd.S, torch.linalg.svdvals(dense)[:RANK])
        assert update.norm == pytest.approx(torch.linalg.norm(dense).item())


def test_layers_come_in_their_order_also_beyond_ten(tmp_path):
    model = trained(tiny_model("bert", layers=12), target_modules="q")
    assert list(read_updates(save_adapter(model, tmp_path))) == list(adapted_layers(model))


def test_directions_span_what_they_are_called_after(model, tmp_path):
    for name, update in read_updates(save_adapter(model, tmp_path)).items():
        layer = adapted_layers(model)[name]
        rows = torch.linalg.qr(layer.A.detach().T).Q
        columns = torch.linalg.qr(layer.B.detach()).Q
        for space, span in (("A", rows), ("input", rows), ("output", columns)):
            found = update.directions(space)
            assert subspace_similarity(found, span).item() == pytest.approx(1, abs=1e-5)
        # The strongest first: a unit step along it changes the output most.
        gains = torch.linalg.norm(update.svd.matrix() @ update.directions("input"), dim=0)
        torch.testing.assert_close(gains, update.svd.S)
        gains = torch.linalg.norm(layer.A.detach() @ update.directions("A"), dim=0)
        torch.testing.assert_close(gains, torch.linalg.svdvals(layer.A.detach()))


def test_an_untrained_update_is_zero(tmp_path):
    model = tiny_model("bert")
    apply_lora(model, LoraConfig(rank=RANK))
    for update in read_updates(save_adapter(model, tmp_path)).values():
        assert (update.norm, update.effective_rank) == (0, 0)


def test_effective_rank_counts_equal_directions(tmp_path):
    model = trained(tiny_model("bert"), target_modules="q", layers=(0,))
    [layer] = adapted_layers(model).values()
    with torch.no_grad():
        layer.A.copy_(torch.linalg.qr(torch.randn(layer.in_features, RANK)).Q.T)
        layer.B.copy_(torch.linalg.qr(torch.randn(layer.out_features, RANK)).Q)
        layer.B[:, -1] = 0
    [update] = read_updates(save_adapter(model, tmp_path)).values()
    assert update.effective_rank == pytest.approx(RANK - 1, abs=1e-3)


@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_base_weights_are_those_the_adapted_layers_hold(family):
    """Also for GPT-2, which stores them the other way round."""
    weights = base_weights(tiny_model(family))
    for name, layer in adapted_layers(trained(tiny_model(family))).items():
        assert torch.equal(weights[name], layer.weight)
    assert not any("classifier" in name or "score" in name for name in weights)


def test_the_relation_to_the_base_by_hand(model, tmp_path):
    for name, update in read_updates(save_adapter(model, tmp_path)).items():
        W = adapted_layers(model)[name].weight
        found = relation(update, W)
        U, S, Vh = np.linalg.svd(update.svd.matrix().numpy())
        along = np.linalg.norm(U[:, :RANK].T @ W.numpy() @ Vh[:RANK].T)
        assert found.base_norm == pytest.approx(np.linalg.norm(W.numpy()), rel=1e-5)
        assert found.base_along == pytest.approx(along, rel=1e-3)
        assert found.relative == pytest.approx(np.linalg.norm(S) / found.base_norm, rel=1e-4)
        assert found.amplification == pytest.approx(np.linalg.norm(S) / along, rel=1e-3)


def test_random_directions_hold_as_much_of_the_base_as_chance_says(model, tmp_path):
    update = next(iter(read_updates(save_adapter(model, tmp_path)).values()))
    generator = torch.Generator().manual_seed(0)
    W = torch.randn(*update.svd.matrix().shape, generator=generator)

    def drawn(d: int) -> torch.Tensor:
        return torch.linalg.qr(torch.randn(d, RANK, generator=generator)).Q

    squares = [
        torch.linalg.norm(drawn(W.shape[0]).T @ W @ drawn(W.shape[1])).item() ** 2
        for _ in range(2000)
    ]
    error = 4 * np.std(squares) / math.sqrt(len(squares))
    assert relation(update, W).by_chance ** 2 == pytest.approx(np.mean(squares), abs=error)


def test_a_weight_of_another_shape_is_refused(model, tmp_path):
    update = next(iter(read_updates(save_adapter(model, tmp_path)).values()))
    with pytest.raises(ValueError, match="another base model"):
        relation(update, torch.zeros(5, 5))


@pytest.mark.parametrize("rank", range(RANK + 1))
def test_what_a_cut_leaves(model, tmp_path, rank):
    updates = read_updates(save_adapter(model, tmp_path)).values()
    dense = [update.svd.matrix() for update in updates]
    lost = sum(torch.linalg.norm(d - truncated_svd(d, rank).matrix()).item() ** 2 for d in dense)
    whole = sum(torch.linalg.norm(d).item() ** 2 for d in dense)
    assert share_kept(updates, rank) == pytest.approx(1 - lost / whole, abs=1e-5)


def test_only_lora_has_an_update(tmp_path):
    model = tiny_model("bert")
    apply_two_sided(model, TwoSidedConfig(rank=2))
    with pytest.raises(AdapterError, match="only LoRA"):
        read_updates(save_adapter(model, tmp_path))


def test_files_that_disagree_about_the_rank_are_refused(model, tmp_path):
    folder = save_adapter(model, tmp_path)
    file = folder / CONFIG_FILE
    file.write_text(json.dumps(json.loads(file.read_text()) | {"r": RANK + 1}))
    with pytest.raises(AdapterError):
        read_updates(folder)
