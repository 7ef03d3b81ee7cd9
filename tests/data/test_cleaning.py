"""The policies for missing, odd and impossible rows, seen through `read_data`."""

import warnings

import numpy as np
import pandas as pd
import pytest

from lora_lab.data import DataError, load_data, read_data

from .invented import make_frame, sentence


@pytest.fixture
def read(tmp_path):
    """Read a frame as a Parquet file, which keeps the types of its columns."""

    def _read(frame: pd.DataFrame, **options):
        frame.to_parquet(tmp_path / "mine.parquet")
        return read_data(tmp_path / "mine.parquet", **options)

    return _read


def names(data):
    return data["train"].features["label"].names


def test_missing_texts_and_labels_are_dropped_and_counted(read, frame):
    frame.loc[[0, 1, 2], "text"] = [None, "", " \n\t"]
    frame.loc[[3, 4], "label"] = [None, "  "]
    frame.loc[5] = [None, None]
    data, report = read(frame)
    assert report.dropped == {"no label": 3, "no text": 3}
    assert sum(report.sizes.values()) == len(frame) - 6


@pytest.mark.parametrize("column", ["text", "label"])
def test_missing_values_are_refused_if_asked(read, frame, column):
    frame.loc[[6, 8], column] = None
    with pytest.raises(DataError, match=f"2 rows have no {column}.*rows 7, 9"):
        read(frame, on_missing="error")


def test_fill_replaces_texts_and_never_labels(read, frame):
    frame.loc[[0, 2], "text"] = None
    frame.loc[3, "label"] = None
    data, report = read(frame, on_missing="fill")
    assert report.dropped == {"no label": 1}
    assert list(report.changed.values()) == [2]
    assert sum(text == "(no text)" for split in data.values() for text in split["text"]) == 2


def test_unknown_policy(read, frame):
    with pytest.raises(DataError, match="on_missing is one of"):
        read(frame, on_missing="ignore")


def test_nothing_but_missing_values(read, frame):
    with pytest.raises(DataError, match="no row has both a text"):
        read(frame.assign(text=""))


def test_long_texts_are_cut_and_counted(read, frame):
    frame.loc[7, "text"] = "fjord " * 5000
    data, report = read(frame)
    assert report.truncated == 1
    assert max(len(text) for split in data.values() for text in split["text"]) == 10_000
    assert read(frame, max_characters=10)[1].truncated == len(frame)


def test_numbers_in_the_text_column_become_text(read, frame):
    data, report = read(frame.assign(text=range(1000, 1000 + len(frame))))
    assert report.changed == {"number turned into text": len(frame)}
    assert data["train"]["text"][0].isdigit()


def test_nul_characters_become_spaces(read, frame):
    frame.loc[0, "text"] = "am\0ber"
    data, report = read(frame)
    assert list(report.changed.values()) == [1]
    assert "am ber" in [text for split in data.values() for text in split["text"]]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["good", "bad"], ["bad", "good"]),
        (["  good", "bad "], ["bad", "good"]),
        ([1, 0], ["0", "1"]),
        ([10, 9, 2], ["2", "9", "10"]),
        ([1.0, 0.0], ["0", "1"]),
        (["1.0", "0.0"], ["0", "1"]),
        (["-1", "1"], ["-1", "1"]),
        ([True, False], ["false", "true"]),
        (["True", "False"], ["false", "true"]),
        (np.array([1, 0], dtype=np.int8), ["0", "1"]),
    ],
)
def test_labels_of_every_kind_become_sorted_names(read, frame, values, expected):
    repeated = [values[i % len(values)] for i in range(len(frame))]
    data, _ = read(frame.assign(label=pd.Series(repeated)))
    assert names(data) == expected
    wanted = {text: str(value).strip() for text, value in zip(frame["text"], repeated, strict=True)}
    for row in data["train"]:
        assert names(data)[row["label"]] == wanted[row["text"]].removesuffix(".0").lower()


def test_whole_numbers_beside_a_missing_one_stay_whole(read, frame):
    labels = [float(i % 2) for i in range(len(frame))]
    labels[3] = np.nan
    data, report = read(frame.assign(label=labels))
    assert names(data) == ["0", "1"] and report.dropped == {"no label": 1}


def test_labels_given_in_order(read, frame):
    data, _ = read(frame, labels=["good", "bad"])
    assert names(data) == ["good", "bad"]
    with pytest.raises(DataError, match=r"100 rows have a label outside.*'good'.*rows 2, 4"):
        read(frame, labels=["bad", "fair"])
    with pytest.raises(DataError, match="'fair' has 0"):
        read(frame, labels=["bad", "fair", "good"])


def test_ratings_are_no_classes(read, frame):
    with pytest.raises(DataError, match="looks like a rating"):
        read(frame.assign(label=np.linspace(-4, 4, len(frame))))
    with pytest.raises(DataError, match="looks like a rating"):
        read(frame.assign(label=[str(i / 8) for i in range(len(frame))]))


def test_too_many_classes_unless_listed(read):
    frame = make_frame(600, classes=tuple(f"class {i}" for i in range(60)))
    with pytest.raises(DataError, match="60 distinct values.*labels="):
        read(frame)
    assert len(names(read(frame, labels=sorted(set(frame["label"])))[0])) == 60


def test_one_class_only(read, frame):
    with pytest.raises(DataError, match="only one class, 'good'"):
        read(frame.assign(label="good"))


def test_a_class_with_too_few_examples(read, frame):
    frame.loc[[0, 1], "label"] = "rare"
    with pytest.raises(DataError, match="'rare' has 2.*at least 3"):
        read(frame)


def test_number_of_classes_can_be_checked(read, frame):
    read(frame, classes=2)
    with pytest.raises(DataError, match="classes=3 but .* has 2: bad, good"):
        read(frame, classes=3)


@pytest.mark.parametrize("rows", [6, 9, 20, 30, 45])
def test_small_files_have_every_class_in_every_split(read, rows):
    _, report = read(make_frame(rows))
    assert all(count > 0 for counts in report.splits.values() for count in counts.values())
    assert sum(report.sizes.values()) == rows


def test_a_rare_class_is_in_every_split(read):
    frame = make_frame(300)
    frame["label"] = ["rare" if i % 60 == 0 else "common" for i in range(300)]
    assert min(counts["rare"] for counts in read(frame)[1].splits.values()) >= 1


def test_copies_of_one_text_cannot_be_split(read):
    frame = make_frame(20)
    frame["text"] = [sentence(i % 2) for i in range(20)]
    with pytest.raises(DataError, match="at least 3 clearly different texts"):
        read(frame)


def test_near_duplicates_share_a_split(read):
    frame = make_frame(300)
    loud = frame.assign(text=frame["text"].str.upper() + " !!1 https://a.example/")
    data, _ = read(pd.concat([frame, loud], ignore_index=True))
    for split in data.values():
        texts = {text.lower().split("!")[0] for text in split["text"]}
        assert len(texts) * 2 == len(split)


def test_classes_that_differ_in_case_are_pointed_out(read, frame):
    frame.loc[:9, "label"] = "Good"
    assert "'Good', 'good'" in read(frame)[1].notes[0]


def test_load_data_warns_about_rows_dropped_or_changed_and_only_then(tmp_path, frame):
    frame.to_csv(tmp_path / "whole.csv", index=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_data(tmp_path / "whole.csv")
    frame.loc[0, "label"] = None
    frame.to_csv(tmp_path / "holes.csv", index=False)
    with pytest.warns(UserWarning, match="dropped 1: no label") as caught:
        load_data(tmp_path / "holes.csv")
    assert caught[0].filename == __file__
