"""Names, the hub, the report and the fingerprint."""

import os
import subprocess
import sys
from dataclasses import FrozenInstanceError

import datasets
import pytest

from lora_lab.data import DataError, fingerprint, hub, load_data, read_data

from .invented import make_frame, sentence


@pytest.mark.parametrize("name", ["movie-review", "movie_reviews", "Tweets", "new s"])
def test_a_slip_of_the_pen_gets_a_suggestion(name):
    with pytest.raises(DataError, match="Did you mean"):
        load_data(name)


@pytest.mark.parametrize("name", ["", "two words", "a/b/c", "what?", None, 7, ["tweets"]])
def test_what_is_no_name_at_all_lists_the_options(name):
    with pytest.raises(DataError) as caught:
        load_data(name)
    for words in ("movie-reviews", "news", ".parquet", "hub name"):
        assert words in str(caught.value)


def test_offline_hub_names_say_what_else_there_is():
    code = (
        "from lora_lab.data import load_data, DataError\n"
        "try: load_data('nobody/nothing-here')\n"
        "except DataError as error: print(error)\n"
    )
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    said = subprocess.check_output([sys.executable, "-c", code], env=environment, text=True)
    for words in ("cannot load 'nobody/nothing-here'", "offline", "movie-reviews", ".csv"):
        assert words in said


@pytest.fixture
def on_hub(monkeypatch):
    """Put splits of (text, label id) on an invented hub, with declared classes."""

    def _on_hub(classes=("no", "yes"), **splits):
        features = datasets.Features(
            text=datasets.Value("string"), label=datasets.ClassLabel(names=list(classes))
        )
        held = {
            split: datasets.Dataset.from_dict(
                {"text": [text for text, _ in rows], "label": [label for _, label in rows]},
                features=features,
            )
            for split, rows in splits.items()
        }
        loaded = datasets.DatasetDict(held)
        monkeypatch.setattr(hub.datasets, "load_dataset", lambda name, config: loaded)
        return "owner/invented"

    return _on_hub


def rows(start, stop, label=lambda i: i % 2):
    return [(sentence(i), label(i)) for i in range(start, stop)]


def test_hub_splits_and_class_names_are_kept(on_hub):
    name = on_hub(("yes", "no"), train=rows(0, 60), validation=rows(60, 80), test=rows(80, 100))
    data, report = read_data(name)
    assert data["train"].features["label"].names == ["yes", "no"]
    assert report.sizes == {"train": 60, "validation": 20, "test": 20}
    assert data["test"]["label"][:] == [i % 2 for i in range(80, 100)]


def test_a_test_split_without_labels_is_replaced_by_validation(on_hub):
    name = on_hub(train=rows(0, 200), validation=rows(200, 240), test=rows(240, 300, lambda i: -1))
    data, report = read_data(name)
    assert data["test"]["text"][:] == [sentence(i) for i in range(200, 240)]
    assert len(data["train"]) + len(data["validation"]) == 200
    assert "no labels" in report.notes[0]


def test_other_splits_are_left_alone_and_noted(on_hub):
    name = on_hub(train=rows(0, 200), test=rows(200, 240), unsupervised=rows(240, 300))
    assert "unsupervised" in read_data(name)[1].notes[0]


def test_a_hub_data_set_without_train(on_hub):
    with pytest.raises(DataError, match="no train split, only: test"):
        read_data(on_hub(test=rows(0, 60)))


def test_the_hub_loader_itself_on_a_local_data_set(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "data").mkdir()
    frame = make_frame(100)
    frame[:80].to_parquet(tmp_path / "data" / "train-00000-of-00001.parquet")
    frame[80:].to_parquet(tmp_path / "data" / "test-00000-of-00001.parquet")
    splits, classes, notes = hub.read_hub(str(tmp_path), None, "label")
    assert {split: len(table) for split, table in splits.items()} == {"train": 80, "test": 20}
    assert splits["train"]["text"].tolist() == frame["text"][:80].tolist()
    assert classes is None and notes == ()


# Report and fingerprint -------------------------------------------------------------------------


@pytest.fixture
def saved(tmp_path, frame):
    frame.loc[0, "label"] = None
    frame.to_csv(tmp_path / "mine.csv", index=False)
    return tmp_path / "mine.csv"


def test_the_summary_tells_the_whole_story(saved):
    _, report = read_data(saved)
    summary = report.summary()
    for words in ("mine.csv: 200 rows read, 199 used", "dropped 1: no label", "train", "bad"):
        assert words in summary
    with pytest.raises(FrozenInstanceError):
        report.rows_read = 0


def test_fingerprint_changes_with_texts_labels_splits_and_only_with_them(tmp_path):
    frame = make_frame(200)

    def of(table, **options):
        table.to_csv(tmp_path / "mine.csv", index=False)
        return fingerprint(load_data(tmp_path / "mine.csv", **options))

    reference = of(frame)
    assert len(reference) == 16 and int(reference, 16) >= 0
    assert of(frame) == of(frame.assign(other=1)) == reference
    swapped = frame["label"].replace({"bad": "good", "good": "bad"})
    different = {
        of(frame.assign(label=swapped)),
        of(frame.assign(text=frame["text"] + "!")),
        of(frame[:-1]),
        of(frame, train_size=50),
        reference,
    }
    assert len(different) == 5
    data = load_data(tmp_path / "mine.csv")
    test, train = data["test"], data["train"]
    first = train.select([0])
    rest = train.select(range(1, len(train)))
    moved = data | {"test": datasets.concatenate_datasets([test, first]), "train": rest}
    assert fingerprint(moved) != fingerprint(data)  # same rows in the same order
    # The numbering of the classes is no content, their names are.
    assert of(frame, labels=["good", "bad"]) == of(frame)
