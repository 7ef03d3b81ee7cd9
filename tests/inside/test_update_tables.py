"""Tables of updates, computed anew from adapters with numpy and SciPy; and damage is noticed."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.linalg import subspace_angles
from scipy.stats import entropy

from lora_lab.adapt import LoraConfig, adapted_layers
from lora_lab.adapter_files import AdapterError
from lora_lab.inside.stored_updates import FILES, read_stored_updates, write_updates
from lora_lab.inside.update_tables import COUNTS, SPACES, counts, update_tables
from lora_lab.prediction import predict_probabilities
from lora_lab.results.stored_grid import GridError
from lora_lab.runs import DataConfig, RunConfig, execute, load_trained
from lora_lab.runs.answers import read_answers
from lora_lab.training import TrainConfig

SETTINGS = {"small": (2, 0), "large": (5, 0), "other": (5, 1)}


@pytest.fixture(scope="module")
def runs(tiny_folder, reviews_file, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    base = RunConfig(model=str(tiny_folder), data=DataConfig(str(reviews_file)))
    configs = {
        name: RunConfig(
            model=base.model,
            data=base.data,
            lora=LoraConfig(rank=rank, alpha=2.0 * rank, target_modules=("q", "v")),
            train=TrainConfig(epochs=1, learning_rate=0.02, seed=seed),
        )
        for name, (rank, seed) in SETTINGS.items()
    }
    return [execute(config, folder / name) for name, config in configs.items()]


@pytest.fixture(scope="module")
def tables(runs):
    return update_tables(runs)


@pytest.fixture
def stored(runs, tables, tmp_path, monkeypatch):
    monkeypatch.setattr("lora_lab.inside.stored_updates.update_tables", lambda _: tables)
    write_updates(runs, tmp_path / "stored")
    return tmp_path / "stored"


def layers_of(run):
    return adapted_layers(load_trained(run.folder).model)


def test_sizes_are_those_of_the_whole_matrices(runs, tables):
    rows = tables.matrices.set_index(["run", "matrix"])
    assert len(rows) == sum(len(layers_of(run)) for run in runs)
    for run in runs:
        for name, layer in layers_of(run).items():
            row, W = rows.loc[run.id, name], layer.weight.detach().numpy()
            U, S, Vh = np.linalg.svd(layer.update().detach().numpy())
            r = layer.rank
            np.testing.assert_allclose(tables.spectrum(run.id, name), S[:r], rtol=1e-3, atol=1e-5)
            assert row["norm"] == pytest.approx(np.linalg.norm(S), rel=1e-4)
            assert row["effective_rank"] == pytest.approx(np.exp(entropy(S[:r])), rel=1e-3)
            assert row["base_norm"] == pytest.approx(np.linalg.norm(W), rel=1e-5)
            along = np.linalg.norm(U[:, :r].T @ W @ Vh[:r].T)
            assert row["base_along"] == pytest.approx(along, rel=1e-2)
            own_left, own, own_right = np.linalg.svd(W)
            assert row["base_effective_rank"] == pytest.approx(np.exp(entropy(own)), rel=1e-3)
            in_own = np.linalg.norm(own_left[:, :r].T @ W @ own_right[:r].T)
            assert row["base_top"] == pytest.approx(in_own, rel=1e-4)


def test_phi_is_that_of_the_principal_angles(runs, tables):
    for first, second in itertools.combinations(runs, 2):
        one, other = layers_of(first), layers_of(second)
        for name, space in itertools.product(one, SPACES):
            left, right = (
                np.linalg.svd(
                    (layer.A.T if space == "A" else layer.update()).detach().numpy(),
                    full_matrices=False,
                )[0]
                for layer in (one[name], other[name])
            )
            grid = tables.phi(first.id, second.id, name, space)
            assert list(grid.index) == counts(one[name].rank)
            assert list(grid.columns) == counts(other[name].rank)
            for i, j in itertools.product(grid.index, grid.columns):
                cosines = np.cos(subspace_angles(left[:, :i], right[:, :j]))
                expected = (cosines**2).sum() / min(i, j)
                assert grid.loc[i, j] == pytest.approx(expected, abs=2e-3)


def test_a_cut_run_answers_as_the_model_with_its_updates_cut(runs, tables):
    run = runs[1]
    test = run.config.data.load()["test"]
    for k in (0, 2, 5):
        model, tokenizer = load_trained(run.folder)
        for layer in adapted_layers(model).values():
            U, S, Vh = torch.linalg.svd(layer.update().detach())
            with torch.no_grad():
                layer.base.weight += (U[:, :k] * S[:k]) @ Vh[:k]
                layer.B.zero_()
        p = predict_probabilities(model, tokenizer, test["text"][:])
        right = p.argmax(axis=1) == np.asarray(test["label"])
        assert (tables.right(run.id, k) == right).mean() > 0.99
        row = tables.truncated.query("run == @run.id and rank == @k").iloc[0]
        loss = -np.log(p[np.arange(len(p)), test["label"]]).mean()
        assert row["loss"] == pytest.approx(loss, rel=1e-3)
        assert row["accuracy"] == pytest.approx(tables.right(run.id, k).mean())


def test_a_run_that_is_not_cut_answers_as_it_did(runs, tables):
    for run in runs:
        rank = run.config.lora.rank
        assert (tables.right(run.id, rank) == read_answers(run.folder).right).all()


@pytest.mark.parametrize("rank", [1, 2, 5, 8, 64, 300])
def test_phi_is_kept_from_one_direction_to_all(rank):
    kept = counts(rank)
    assert kept == sorted(set(kept)) and kept[0] == 1 and kept[-1] == rank
    assert set(kept[:-1]) <= set(COUNTS)


def test_what_was_not_compared_is_told(runs, tables):
    name = tables.matrices["matrix"].iloc[0]
    with pytest.raises(KeyError):
        tables.phi("small", "nobody", name)
    with pytest.raises(KeyError):
        tables.right("small", 7)


def test_a_run_without_lora_is_refused(runs, tiny_folder, reviews_file, tmp_path):
    head = RunConfig(
        method="head",
        model=str(tiny_folder),
        data=DataConfig(str(reviews_file)),
        train=TrainConfig(epochs=1),
    )
    with pytest.raises(AdapterError, match="only LoRA"):
        update_tables([execute(head, tmp_path / "head")])


def test_what_was_written_comes_back_to_five_digits(tables, stored):
    again = read_stored_updates(stored)
    for name in ("matrices", "similarity", "truncated"):
        pd.testing.assert_frame_equal(getattr(again, name), getattr(tables, name), rtol=1e-4)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(stored, name):
    (stored / name).unlink()
    with pytest.raises(GridError, match=name):
        read_stored_updates(stored)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("content", [b"", b"nonsense\n1\n", b"\xff\xfe", b"[]"])
def test_a_damaged_file_is_told(stored, name, content):
    (stored / name).write_bytes(content)
    with pytest.raises(GridError, match="cannot be read"):
        read_stored_updates(stored)


@pytest.mark.parametrize(
    ("name", "column", "wrong", "says"),
    [
        ("matrices", "singular_values", "1 2 3", "singular values"),
        ("matrices", "norm", 123.4, "singular values"),
        ("similarity", "phi", "0.5 0.5", "phi"),
        ("similarity", "first", "nobody", "nobody"),
        ("truncated", "accuracy", 0.123, "answers"),
        ("truncated", "right", "AAAA", "answers"),
    ],
)
def test_values_that_do_not_fit_together_are_told(stored, name, column, wrong, says):
    file = stored / f"{name}.csv"
    frame = pd.read_csv(file).astype({column: object})
    frame.loc[0, column] = wrong
    frame.to_csv(file, index=False)
    with pytest.raises(GridError, match=says):
        read_stored_updates(stored)


def test_a_spectrum_in_the_wrong_order_is_told(stored):
    file = stored / "matrices.csv"
    frame = pd.read_csv(file)
    values = frame.loc[0, "singular_values"].split()
    frame.loc[0, "singular_values"] = " ".join(reversed(values))  # of the same norm
    frame.to_csv(file, index=False)
    with pytest.raises(GridError, match="singular values"):
        read_stored_updates(stored)


def test_an_empty_table_is_told(stored):
    file = stored / "truncated.csv"
    file.write_text(file.read_text().splitlines()[0] + "\n")
    with pytest.raises(GridError, match="no rows"):
        read_stored_updates(stored)
