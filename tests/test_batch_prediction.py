"""Files answered in chunks: the model's own answers, every row, and nothing lost on the way."""

from __future__ import annotations

import csv
import json
import os

import numpy as np
import pandas as pd
import pytest
import torch

from lora_lab import answer_store
from lora_lab.adapt import LoraConfig, adapted_layers, apply_lora
from lora_lab.batch_prediction import merged, predict_file
from lora_lab.batches import tokenise
from lora_lab.checkpoints import StorageError
from lora_lab.data import DataError
from lora_lab.models import LoadedModel, load_model
from lora_lab.prediction import predict_probabilities

LABELS = ["negative", "neutral", "positive"]
TEXTS = [
    "the plot was superb",
    "dull",
    "",
    "the pace was dull and the ending was clumsy",
    'a "clever" script,\nin two lines\tand a tab',
    "  ",
    "the cast was quite moving again",
    "很好",
]
P = [f"probability_{name}" for name in LABELS]


@pytest.fixture
def loaded(tiny_folder) -> LoadedModel:
    """Adapted, with an adapter that matters."""
    loaded = load_model(tiny_folder, labels=LABELS)
    torch.manual_seed(0)
    apply_lora(loaded.model, LoraConfig(rank=2))
    for layer in adapted_layers(loaded.model).values():
        torch.nn.init.normal_(layer.B)
    return loaded


@pytest.fixture
def table() -> pd.DataFrame:
    return pd.DataFrame({"id": [f"00{i}" for i in range(len(TEXTS))], "text": TEXTS})


def save(table: pd.DataFrame, path):
    if path.suffix == ".jsonl":
        table.to_json(path, orient="records", lines=True, force_ascii=False)
    elif path.suffix == ".parquet":
        table.to_parquet(path)
    else:
        table.to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",")
    return path


def load(path) -> pd.DataFrame:
    if path.suffix == ".jsonl":
        return pd.DataFrame([json.loads(line) for line in path.read_text("utf-8").splitlines()])
    if path.suffix == ".parquet":
        return pd.read_parquet(path)
    strings = pd.read_csv(
        path, dtype=str, keep_default_na=False, sep="\t" if path.suffix == ".tsv" else ","
    )
    return strings.assign(**{p: pd.to_numeric(strings[p]) for p in P})


@pytest.mark.parametrize("chunk_rows", [1, 3, 4096])
@pytest.mark.parametrize("kind", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_each_row_gets_the_models_own_answer(loaded, table, tmp_path, kind, chunk_rows):
    found = predict_file(loaded, save(table, tmp_path / f"in{kind}"), chunk_rows=chunk_rows)
    assert found.output == tmp_path / f"in.predicted{kind}"
    read = load(found.output)
    assert list(read) == ["id", "text", "predicted_label", *P]
    assert list(read["id"]) == list(table["id"]) and list(read["text"]) == TEXTS
    there = [bool(text.strip()) for text in TEXTS]
    expected = predict_probabilities(*loaded, [text for text in TEXTS if text.strip()])
    answers = read[P].to_numpy(dtype=float)
    np.testing.assert_allclose(answers[there], expected, atol=2e-6)
    assert np.isnan(answers[~np.array(there)]).all()
    labels = [LABELS[i] for i in expected.argmax(axis=1)]
    assert list(read["predicted_label"][there]) == labels
    assert set(read["predicted_label"].fillna("")[~np.array(there)]) == {""}, "not a guess"
    assert (found.rows, found.empty) == (len(TEXTS), 2)
    assert found.counts == {name: labels.count(name) for name in LABELS}


def test_one_kind_becomes_another_and_types_stay(loaded, tmp_path):
    frame = pd.DataFrame(
        {"text": ["dull", None], "n": [1, 2], "day": pd.to_datetime(["2024-02-29"] * 2)}
    )
    frame.to_parquet(tmp_path / "a.parquet")
    (tmp_path / "b.jsonl").write_text('{"text": "dull", "n": 1}\n{"n": 2, "more": true}\n')
    (tmp_path / "c.txt").write_text("dull\n\nthe plot\n")
    for name in ("a.parquet", "b.jsonl", "c.txt"):
        for kind in ("csv", "jsonl", "parquet"):
            found = predict_file(loaded, tmp_path / name, tmp_path / f"{name}.{kind}")
            assert found.empty == 1 and load(found.output)["predicted_label"][0] in LABELS
    back = pd.read_parquet(tmp_path / "a.parquet.parquet")
    assert back["n"].dtype == frame["n"].dtype and list(back["day"]) == list(frame["day"])
    assert list(load(tmp_path / "b.jsonl.jsonl"))[:3] == ["text", "n", "more"]
    assert len(load(tmp_path / "c.txt.csv")) == 3, "the blank line too"


def test_only_the_chunk_under_way_is_in_memory(loaded, table, tmp_path, monkeypatch):
    sizes, done = [], []

    def counting(tokenizer, texts, max_length):
        sizes.append(len(texts))
        return tokenise(tokenizer, texts, max_length)

    monkeypatch.setattr("lora_lab.batch_prediction.tokenise", counting)
    whole = save(pd.concat([table] * 5), tmp_path / "in.csv")
    predict_file(loaded, whole, chunk_rows=7, finished=done.append)
    assert max(sizes) <= 7 and done == [7, 14, 21, 28, 35, 40]


def test_the_model_is_left_as_it_was(loaded, table, tmp_path):
    model = loaded.model.train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    predict_file(loaded, save(table, tmp_path / "in.csv"))
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert model.training and not any(layer.merged for layer in adapted_layers(model).values())
    with pytest.raises(ZeroDivisionError), merged(model):
        assert all(layer.merged for layer in adapted_layers(model).values())
        1 / 0  # noqa: B018
    assert not any(layer.merged for layer in adapted_layers(model).values())


def test_longer_texts_are_cut_and_counted(loaded, table, tmp_path):
    found = predict_file(loaded, save(table, tmp_path / "in.csv"), max_length=5)
    tokens = loaded.tokenizer([text for text in TEXTS if text.strip()])["input_ids"]
    assert found.truncated == sum(len(ids) > 5 for ids in tokens) > 0


@pytest.mark.parametrize(
    "content, options, says",
    [
        ("id,comment\n1,dull\n", {}, "no column 'text'; there are: id, comment; .*--text-column"),
        ("text,predicted_label\ndull,x\n", {}, "'predicted_label' already"),
        ("text\ndull\n", {"output": "in.csv"}, "would replace the input"),
        ("text\ndull\n", {"output": "in.csv", "force": True}, "would replace the input"),
        ("text\ndull\n", {"output": "there.csv"}, "exists already.*--force"),
        ("text\ndull\n", {"output": "out.xlsx"}, "expected one of .csv"),
        ("text\ndull\n", {"encoding": "utf-nine"}, "unknown encoding"),
        ("text\n", {}, "no rows"),
    ],
)
def test_a_mistake_is_told_before_anything_is_written(
    loaded, tmp_path, monkeypatch, content, options, says
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.csv").write_text(content)
    (tmp_path / "there.csv").write_text("mine")
    with pytest.raises(DataError, match=f"(?s){says}"):
        predict_file(loaded, "in.csv", **options)
    assert sorted(os.listdir()) == ["in.csv", "there.csv"]
    assert (tmp_path / "there.csv").read_text() == "mine"


def test_force_replaces(loaded, table, tmp_path):
    (tmp_path / "out.csv").write_text("old")
    predict_file(loaded, save(table, tmp_path / "in.csv"), tmp_path / "out.csv", force=True)
    assert len(load(tmp_path / "out.csv")) == len(TEXTS)


def test_a_row_that_is_no_text_is_named(loaded, tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_text('{"text": "dull"}\n{"text": 7}\n{"text": ["dull"]}\n')
    with pytest.raises(DataError, match="row 3: column 'text' holds a list"):
        predict_file(loaded, path, chunk_rows=2)


class TornFile:
    """A file of which half of what is written arrives, and then an error."""

    def __init__(self, file) -> None:
        self.file = file

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()

    def write(self, content):
        self.file.write(content[: len(content) // 2])
        raise OSError(28, "No space left on device")


def test_a_full_disk_loses_no_finished_row(loaded, table, tmp_path, monkeypatch):
    source, out = save(table, tmp_path / "in.csv"), tmp_path / "out.csv"
    whole = predict_file(loaded, source, tmp_path / "whole.csv").output
    appends = iter(range(100))

    def full_after_two(path, mode="r"):
        file = open(path, mode)
        return TornFile(file) if "a" in mode and next(appends) >= 2 else file

    monkeypatch.setattr(answer_store, "open", full_after_two, raising=False)
    with pytest.raises(StorageError, match="No space left.*first 6 rows are kept in .*--resume"):
        predict_file(loaded, source, out, chunk_rows=3)
    monkeypatch.undo()
    assert not out.exists()
    with pytest.raises(DataError, match="interrupted job to 7 rows.*--resume.*--force"):
        predict_file(loaded, source, out)

    scored = []
    found = predict_file(loaded, source, out, resume=True, chunk_rows=5, finished=scored.append)
    assert scored == [8] and found.rows == 8, "the rows kept are not answered again"
    pd.testing.assert_frame_equal(load(out), load(whole), atol=2e-6)
    assert not list(tmp_path.glob("*.answers"))


def test_a_full_disk_at_the_end_keeps_the_answers(loaded, table, tmp_path, monkeypatch):
    source, out = save(table, tmp_path / "in.csv"), tmp_path / "out.jsonl"

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("lora_lab.batch_prediction.write_rows", full)
    with pytest.raises(StorageError, match="out.jsonl: No space.*first 8 rows"):
        predict_file(loaded, source, out)
    monkeypatch.undo()
    scored = []
    predict_file(loaded, source, out, resume=True, finished=scored.append)
    assert scored == [] and len(load(out)) == 8, "nothing is answered twice"


def test_answers_of_another_job_are_not_taken_for_its_own(loaded, table, tmp_path, monkeypatch):
    source, out = save(table, tmp_path / "in.csv"), tmp_path / "out.csv"
    monkeypatch.setattr("lora_lab.batch_prediction.write_rows", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        predict_file(loaded, source, out)
    monkeypatch.undo()
    with pytest.raises(DataError, match="another job"):
        predict_file(loaded, source, out, resume=True, max_length=9)
    with torch.no_grad():
        loaded.model.classifier.bias.add_(1)
    with pytest.raises(DataError, match="another job"):
        predict_file(loaded, source, out, resume=True)
    assert predict_file(loaded, source, out, force=True).rows == 8


def test_answers_of_a_diverged_model_are_not_written(loaded, table, tmp_path):
    with torch.no_grad():
        loaded.model.classifier.bias.fill_(float("nan"))
    with pytest.raises(ValueError, match="NaN.*diverged"):
        predict_file(loaded, save(table, tmp_path / "in.csv"))


def test_the_csv_opens_in_pythons_reader_too(loaded, table, tmp_path):
    found = predict_file(loaded, save(table, tmp_path / "in.csv"))
    with open(found.output, newline="", encoding="utf-8") as file:
        assert [row["text"] for row in csv.DictReader(file)] == TEXTS
