"""Files from visitors: only labelled sentences of a modest size are kept, each in its place."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_lab.dashboard import uploads
from lora_lab.dashboard.language import LANGUAGES, catalogue
from lora_lab.data import read_data

from ..data.invented import make_frame


def as_csv(frame: pd.DataFrame) -> bytes:
    return frame.to_csv(index=False).encode()


def kept_files(runs: Path) -> set[Path]:
    return {path.relative_to(runs) for path in runs.rglob("*") if path.is_file()}


def test_what_is_kept_is_what_was_brought(runs):
    frame = make_frame(60)
    table = uploads.read(as_csv(frame))
    identity = uploads.keep(table, "text", "label", "mine.csv")
    data, _ = read_data(uploads.path(identity))
    texts = [text for split in data.values() for text in split["text"]]
    assert sorted(texts) == sorted(frame["text"])
    facts = uploads.facts(identity)
    assert facts["name"] == "mine.csv" and facts["classes"] == ["bad", "good"]
    assert facts["examples"] == {split: len(rows) for split, rows in data.items()}


def test_other_column_names_can_be_chosen(runs):
    frame = make_frame(60).rename(columns={"text": "comment", "label": "stars"})
    frame["unused"] = "x"
    identity = uploads.keep(uploads.read(as_csv(frame)), "comment", "stars", "a.csv")
    assert list(pd.read_csv(uploads.path(identity)).columns) == ["text", "label"]


def test_equal_files_are_kept_once_and_others_apart(runs):
    first = uploads.keep(make_frame(60), "text", "label", "a.csv")
    files = kept_files(runs)
    assert uploads.keep(make_frame(60), "text", "label", "another name.csv") == first
    assert kept_files(runs) == files
    assert uploads.keep(make_frame(63), "text", "label", "a.csv") != first


@pytest.mark.parametrize(
    "name", ["../../evil.csv", "/etc/cron.d/evil", "a\0b.csv", "con.csv", "x" * 5000, "", "…/…"]
)
def test_a_file_name_never_becomes_a_path(runs, name):
    identity = uploads.keep(make_frame(60), "text", "label", name)
    allowed = {Path("uploads") / f"{identity}{suffix}" for suffix in (".csv", ".json")}
    assert kept_files(runs) == allowed
    shown = json.loads((runs / "uploads" / f"{identity}.json").read_text())["name"]
    assert len(shown) <= uploads.LONGEST_NAME and shown.isprintable()


@given(st.text())
def test_no_text_names_a_file_outside(text):
    assert not uploads.known(text)
    assert not uploads.known(f"own-{text}")
    assert uploads.identity_of(text) == ""


def test_only_the_file_in_its_place_is_an_upload(runs, tmp_path):
    identity = uploads.keep(make_frame(60), "text", "label", "a.csv")
    assert uploads.identity_of(str(uploads.path(identity))) == identity
    assert uploads.identity_of(str(tmp_path / f"{identity}.csv")) == ""


@pytest.mark.parametrize(
    "content",
    [
        b"", b"\0\0\0", b"\xff\xfe\x00", b"text,label\n", b"only one column\na\nb\n",
        b'text,label\n"never closed,1\n', b"PK\x03\x04" + bytes(100), b"a,b\n1,2,3\n4,5,6,7\n",
    ],
)  # fmt: skip
def test_what_is_no_table_is_refused_in_plain_words(runs, content):
    with pytest.raises(uploads.UploadError) as refused:
        uploads.read(content)
    assert "tmp" not in str(refused.value)  # where the server keeps its files is nobody's business
    assert kept_files(runs) == set()


NUMBERS = [f"{i}.5" for i in range(60)]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty"),
        (b"text,label\n", "no_rows"),
        (b"text,label\na\0b,1\n", "damaged"),
        (b'text,label\n"never closed,1\n', "no_table"),
        (b"a,b\n1,2,3\n4,5,6\n", "more_fields"),
        (b"text,label\n,1\n2,\n", "nothing_left"),
        (as_csv(make_frame(60).assign(label="same")), "one_class"),
        (as_csv(make_frame(60).assign(label=["a", "b"] + ["c"] * 58)), "small_class"),
        (as_csv(make_frame(60).assign(label=[f"label {i}" for i in range(60)])), "no_classes"),
        (as_csv(make_frame(60).assign(label=NUMBERS)), "fractions"),
        (as_csv(make_frame(60).assign(text="always the same")), "too_few"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_refusal_speaks_the_visitors_language(runs, monkeypatch, content, says, language):
    monkeypatch.setattr(uploads, "t", lambda key, **v: catalogue()[key][language].format(**v))
    with pytest.raises(uploads.UploadError) as refused:
        uploads.keep(uploads.read(content), "text", "label", "a.csv")
    lead, because = (catalogue()[f"train.upload.{key}"][language] for key in
                     ("refused", f"because.{says}"))  # fmt: skip
    begins = lead.split("{")[0] + because.split("{")[0]
    assert str(refused.value).startswith(begins)


@pytest.mark.parametrize("encoding", ["gb18030", "utf-16"])
def test_another_encoding_than_utf8_is_named(runs, encoding):
    with pytest.raises(uploads.UploadError, match="not in UTF-8. Save it again"):
        uploads.read("文本,类别\n很好,正\n".encode(encoding))
    assert len(uploads.read("文本,类别\n很好,正\n".encode("utf-8-sig"))) == 1


def test_too_large_and_too_long_files_are_refused(runs, monkeypatch):
    monkeypatch.setattr(uploads, "MOST_ROWS", 50)
    with pytest.raises(uploads.UploadError, match="60 rows"):
        uploads.read(as_csv(make_frame(60)))
    monkeypatch.setattr(uploads, "MOST_BYTES", 1_000_000)
    with pytest.raises(uploads.UploadError, match="1 MB"):
        uploads.read(b"x" * 1_000_001)


def test_sentences_without_classes_are_refused(runs):
    frame = make_frame(60)
    for text, label in (("text", "text"), ("label", "text")):
        with pytest.raises(uploads.UploadError):
            uploads.keep(frame, text, label, "a.csv")
    assert kept_files(runs) == set()


def test_there_is_an_end_to_the_room(runs, monkeypatch):
    uploads.keep(make_frame(60), "text", "label", "a.csv")
    monkeypatch.setattr(uploads, "MOST_FILES", 1)
    with pytest.raises(uploads.UploadError, match="already"):
        uploads.keep(make_frame(63), "text", "label", "a.csv")
