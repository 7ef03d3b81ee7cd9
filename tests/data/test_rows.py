"""What is written comes back row by row, whatever stands in it, in chunks of any size."""

from __future__ import annotations

import datetime
import json

import pandas as pd
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_lab.data import DataError
from lora_lab.data.rows import read_rows
from lora_lab.data.writing import schema_of, widened, write_rows

#: Any text without NUL, which no text file may hold, and without half a surrogate pair.
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
ODD = [
    '"',
    '""',
    "a,b\tc",
    "two\nlines",
    "a\rb",
    "a\r\nb",
    " blank ",
    "'",
    "\\",
    "NA",
    "\u2028",
    "好",
]
ROWS = st.lists(
    st.fixed_dictionaries({"text": TEXTS | st.sampled_from(ODD), "more, or less": TEXTS}),
    min_size=1,
)
KINDS = ("csv", "tsv", "jsonl", "parquet")


def read(path, chunk_rows=3, **options):
    return [row for rows in read_rows(path, chunk_rows, **options) for row in rows]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("rows")


@pytest.mark.parametrize("kind", KINDS)
@given(rows=ROWS, size=st.integers(1, 5))
def test_odd_texts_come_back_as_they_were(folder, kind, rows, size):
    path = folder / f"odd.{kind}"
    schema = pyarrow.schema([(name, pyarrow.string()) for name in rows[0]])
    write_rows(path, (rows[i : i + size] for i in range(0, len(rows), size)), schema)
    assert read(path, size) == rows
    assert all(len(chunk) <= size for chunk in read_rows(path, size))
    assert schema_of(path).names == list(rows[0])


@given(rows=ROWS)
def test_other_programs_read_the_csv_alike(folder, rows):
    path = folder / "pandas.csv"
    write_rows(path, [rows], pyarrow.schema([(name, pyarrow.string()) for name in rows[0]]))
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    assert table.to_dict("records") == rows


@given(lines=st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0\n\r"))))
def test_plain_text_has_a_row_for_each_line(folder, lines):
    path = folder / "lines.txt"
    path.write_bytes("".join(line + "\r\n" for line in [*lines, "last"]).encode())
    assert [row["text"] for row in read(path)] == [
        line.removeprefix("\ufeff") if i == 0 else line for i, line in enumerate([*lines, "last"])
    ]


def test_types_survive_from_parquet_to_parquet(tmp_path):
    table = pyarrow.table(
        {
            "text": ["one", None, "three"],
            "day": [datetime.date(2024, 2, 29)] * 3,
            "when": pyarrow.array([1, 2, 3], pyarrow.timestamp("ms", "UTC")),
            "tags": [["a"], [], None],
            "count": pyarrow.array([1, None, 3], pyarrow.int16()),
        }
    )
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    write_rows(
        tmp_path / "b.parquet",
        read_rows(tmp_path / "a.parquet", 2),
        schema_of(tmp_path / "a.parquet"),
    )
    assert pyarrow.parquet.read_table(tmp_path / "b.parquet").equals(table)


def test_json_rows_may_differ_in_their_columns(tmp_path):
    rows = [{"text": "a"}, {"text": "b", "n": 1}, {"n": 2.5, "tags": [{"y": 1}]}]
    path = tmp_path / "a.jsonl"
    path.write_text("\n\n".join(map(json.dumps, rows)))
    assert read(path, 1) == rows
    whole = [{"text": None, "n": None, "tags": None} | row for row in rows]
    for kind in ("jsonl", "parquet", "csv"):
        target = tmp_path / f"b.{kind}"
        write_rows(target, read_rows(path, 1), schema_of(path, typed=kind == "parquet"))
    assert read(tmp_path / "b.jsonl") == whole
    assert [row["n"] for row in read(tmp_path / "b.parquet")] == [None, 1.0, 2.5]
    assert json.loads(read(tmp_path / "b.csv")[2]["tags"]) == [{"y": 1}]


def test_a_column_of_several_kinds_does_not_fit_into_parquet():
    schema = widened(pyarrow.schema([]), [{"n": 1}])
    with pytest.raises(DataError, match="several kinds.*write .jsonl or .csv"):
        widened(schema, [{"n": "one"}])


@pytest.mark.parametrize(
    "name, content, says",
    [
        ("none.csv", None, "no such file"),
        ("a.docx", b"x", "expected one of .csv, .tsv, .jsonl, .parquet, .txt"),
        ("a.csv", b"", "is empty"),
        ("a.csv", b"text\n", "has no rows"),
        ("a.csv", b"text,n\none,1\ntwo,2,3\n", "line 3"),
        ("a.csv", b"text,n\none,1,2\ntwo,2,3\n", "more fields in line 2"),
        ("a.csv", b'text\n"one\ntwo\n', "a quote is never closed"),
        ("a.csv", "text\ncafé\n".encode("cp1252"), "is not utf-8.*cp1252"),
        ("a.txt", b"fine\nfine\nfine\ncaf\xe9\n", "after row 0.*UTF-8"),
        ("a.jsonl", b'{"text": "a"}\n{"text"\n', "line 2"),
        ("a.jsonl", b"[1]\n", "line 1 holds a list"),
        ("a.parquet", b"PAR1 and nothing else", "not a readable Parquet"),
    ],
)
def test_what_cannot_be_read_is_explained(tmp_path, name, content, says):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=says):
        read(path)


def test_other_encodings(tmp_path):
    for name in ("a.csv", "a.txt"):
        (tmp_path / name).write_bytes("text\r\ncafé\r\n".encode("utf-16"))
    assert read(tmp_path / "a.csv", encoding="utf-16") == [{"text": "café"}]
    assert read(tmp_path / "a.txt", encoding="utf-16") == [{"text": "text"}, {"text": "café"}]
    with pytest.raises(DataError, match="unknown encoding 'utf-nine'"):
        read(tmp_path / "a.csv", encoding="utf-nine")


def test_a_file_that_cannot_be_finished_leaves_the_old_one(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("before")
    schema = pyarrow.schema([("text", pyarrow.string())])

    def breaking():
        yield [{"text": "one"}]
        raise OSError(28, "No space left on device")

    for kind in KINDS:
        with pytest.raises(OSError, match="No space"):
            write_rows(path.with_suffix(f".{kind}"), breaking(), schema)
    assert path.read_text() == "before" and list(tmp_path.iterdir()) == [path]
