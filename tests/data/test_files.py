"""One's own files: what goes in comes out, and what cannot be read is explained."""

import pandas as pd
import pytest

from lora_lab.data import DataError, load_data, read_data

from .invented import make_frame, sentence

TRICKY = [
    'She said "never, ever", twice',
    "two\nlines, one text",
    "tab\there; semicolon; comma,",
    "Über café naïve façade",
    "很好，非常喜欢",
    "NA is a word here",
    "a 🚣 on the fjord",
]


def save(frame: pd.DataFrame, path):
    if path.suffix == ".jsonl":
        frame.to_json(path, orient="records", lines=True, force_ascii=False)
    elif path.suffix == ".parquet":
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",")
    return path


def content(data):
    return {
        (text, data[split].features["label"].names[label])
        for split in data
        for text, label in zip(data[split]["text"], data[split]["label"], strict=True)
    }


def frame_with_tricky_texts() -> pd.DataFrame:
    tricky = pd.DataFrame({"text": TRICKY, "label": "good"})
    return pd.concat([make_frame(120), tricky], ignore_index=True)


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_round_trip(tmp_path, suffix):
    frame = frame_with_tricky_texts()
    data, report = read_data(save(frame, tmp_path / f"mine{suffix}"))
    assert content(data) == set(frame.itertuples(index=False, name=None))
    assert report.rows_read == sum(report.sizes.values()) == len(frame)
    assert not report.dropped and not report.changed
    assert report.source.endswith(f"mine{suffix}")


def test_every_format_gives_the_same_splits_in_any_row_order(tmp_path):
    frame = frame_with_tricky_texts()
    suffixes = (".csv", ".tsv", ".jsonl", ".parquet")
    read = []
    for i, suffix in enumerate(suffixes):
        shuffled = frame.sample(frac=1, random_state=i)
        read.append(load_data(str(save(shuffled, tmp_path / f"mine{suffix}"))))
    for split in ("train", "validation", "test"):
        assert len({frozenset(data[split]["text"]) for data in read}) == 1


def test_columns_of_other_names(tmp_path):
    frame = make_frame().rename(columns={"text": "review", "label": "verdict"})
    path = save(frame, tmp_path / "mine.csv")
    data = load_data(path, text_column="review", label_column="verdict")
    assert data["train"].column_names == ["text", "label"]
    with pytest.raises(DataError, match="no column 'text'; there are: review, verdict"):
        load_data(path)
    with pytest.raises(DataError, match="label_column="):
        load_data(path, text_column="review", label_column="class")
    with pytest.raises(DataError, match="name two columns"):
        load_data(path, text_column="review", label_column="review")


def test_other_encodings(write):
    table = make_frame().assign(text=lambda f: f["text"] + " café").to_csv(index=False)
    path = write("mine.csv", table.encode("latin-1"))
    with pytest.raises(DataError) as caught:
        load_data(path)
    position = table.encode("latin-1").index(b"\xe9")
    for words in (f"byte {position}", "0xe9", "line 2", "encoding="):
        assert words in str(caught.value)
    assert all("café" in text for text in load_data(path, encoding="latin-1")["train"]["text"])
    with pytest.raises(DataError, match="unknown encoding"):
        load_data(path, encoding="utf-nine")


def test_utf_16_is_recognised_and_read(write):
    path = write("mine.csv", make_frame().to_csv(index=False).encode("utf-16"))
    with pytest.raises(DataError, match="encoding='utf-16'"):
        load_data(path)
    assert len(load_data(path, encoding="utf-16")["train"]) > 100


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_a_byte_order_mark_is_no_part_of_the_data(tmp_path, suffix):
    path = save(make_frame(), tmp_path / f"mine{suffix}")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert content(load_data(path)) == set(make_frame().itertuples(index=False, name=None))


def test_words_that_pandas_takes_for_missing_are_words(tmp_path):
    frame = make_frame(classes=("NA", "null"))
    frame.loc[0, "text"] = "None"
    data, report = read_data(save(frame, tmp_path / "mine.csv"))
    assert content(data) == set(frame.itertuples(index=False, name=None))
    assert not report.dropped


HEADER = "text,label\n"


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.csv", "", "is empty"),
        ("a.csv", " \n\n", "is empty"),
        ("a.csv", HEADER, "has no rows"),
        ("a.csv", HEADER + "one,good\ntwo,good,extra\n", "line 3"),
        ("a.csv", HEADER + "one,good,extra\ntwo,bad,extra\n", "more fields in line 2"),
        ("a.csv", HEADER + 'one,good\n"never closed,bad\n', "never closed, opened in row 2"),
        ("a.csv", HEADER + "one,good\ntw\0o,bad\n", "NUL character in line 3"),
        ("a.csv", "text;label\none;good\n", "looks like several columns"),
        ("a.jsonl", "\n", "is empty"),
        ("a.jsonl", '{"text": "one", "label": 1}\n{"text": "two", "lab\n', "line 2"),
        ("a.jsonl", '\n\n["one", 1]\n', "line 3 holds a list"),
        ("a.jsonl", '[{"text": "one", "label": 1}]', "line 1 holds a list"),
        ("a.jsonl", '{"text": "\\ud800", "label": 1}\n', "surrogate"),
        ("a.jsonl", '{"text": ["one"], "label": 1}\n', "row 1.*holds a list"),
        ("a.jsonl", '{"text": "one", "label": ["x"]}\n', "row 1.*holds a list"),
        ("a.parquet", "", "is empty"),
        ("a.parquet", "PAR1 this is not one PAR1", "not a readable Parquet"),
        ("a.xlsx", "PK", "expected one of .csv"),
    ],
)
def test_files_that_cannot_be_read(write, name, text, words):
    with pytest.raises(DataError, match=f"(?s){words}"):
        load_data(write(name, text))


def test_a_file_that_is_not_there(write):
    near = write("reviews.csv", HEADER)
    with pytest.raises(DataError, match="did you mean reviews.csv"):
        load_data(near.with_name("review.csv"))
    with pytest.raises(DataError, match="folder does not exist"):
        load_data(str(near.parent / "no" / "where.csv"))


# Folders with a file for each split ------------------------------------------------------------


def folder_with(tmp_path, **splits):
    for split, frame in splits.items():
        save(frame, tmp_path / f"{split}.csv")
    return tmp_path


def test_given_splits_are_respected(tmp_path):
    frame = make_frame(100)
    parts = {"train": frame[:60], "dev": frame[60:80], "test": frame[80:]}
    data, report = read_data(folder_with(tmp_path, **parts))
    for split, part in zip(("train", "validation", "test"), parts.values(), strict=True):
        assert data[split]["text"][:] == part["text"].tolist()
    assert report.split_method == "as given"


def test_validation_is_carved_out_of_train(tmp_path):
    frame = make_frame(600)
    data, report = read_data(folder_with(tmp_path, train=frame[:500], test=frame[500:]))
    assert data["test"]["text"][:] == frame["text"][500:].tolist()
    assert len(data["train"]) + len(data["validation"]) == 500
    assert len(data["validation"]) == pytest.approx(50, abs=25)
    assert "validation carved out" in report.split_method


def test_train_alone_is_split_like_a_file(tmp_path):
    frame = make_frame(300)
    (tmp_path / "folder").mkdir()
    folder = load_data(folder_with(tmp_path / "folder", train=frame))
    file = load_data(save(frame, tmp_path / "mine.csv"))
    assert {s: folder[s]["text"][:] for s in folder} == {s: file[s]["text"][:] for s in file}


def test_train_rows_that_repeat_test_rows_are_dropped_and_counted(tmp_path):
    frame = make_frame(100)
    shouted = frame[80:90].assign(text=lambda f: f["text"].str.upper() + "!!")
    train = pd.concat([frame[:60], shouted, frame[62:64]])
    validation = pd.concat([frame[60:80], frame[90:93]])
    parts = {"train": train, "validation": validation, "test": frame[80:]}
    data, report = read_data(folder_with(tmp_path, **parts))
    assert sum(report.dropped.values()) == 10 + 2 + 3
    assert data["train"]["text"][:] == frame["text"][:60].tolist()
    assert data["validation"]["text"][:] == frame["text"][60:80].tolist()
    assert data["test"]["text"][:] == frame["text"][80:].tolist()


def test_messages_name_the_split_of_a_row(tmp_path):
    frame = make_frame(40)
    test = make_frame(20, classes=("bad", "god")).assign(text=[sentence(i + 90) for i in range(20)])
    with pytest.raises(DataError, match="'god', first rows test 2, test 4"):
        load_data(folder_with(tmp_path, train=frame, test=test), labels=["bad", "good"])


def test_a_given_split_that_lacks_a_class(tmp_path):
    frame = make_frame(100)
    test = frame[80:].query("label == 'good'")
    with pytest.raises(DataError, match="no 'bad' in test"):
        load_data(folder_with(tmp_path, train=frame[:80], test=test))


def test_folders_that_are_no_data(tmp_path):
    save(make_frame(), tmp_path / "reviews.csv")
    with pytest.raises(DataError, match="no train file; there is: reviews.csv"):
        load_data(tmp_path)
    folder_with(tmp_path, train=make_frame(), valid=make_frame(), dev=make_frame())
    with pytest.raises(DataError, match="two files for the validation split"):
        load_data(tmp_path)


def test_splits_with_different_columns(tmp_path):
    frame = make_frame(100)
    folder_with(tmp_path, train=frame[:80], test=frame[80:].rename(columns={"label": "y"}))
    with pytest.raises(DataError, match="the test split has no column 'label', only text, y"):
        load_data(tmp_path)
