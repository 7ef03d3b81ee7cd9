"""The real sentences, through the cache; and their parser, on invented ones."""

import pytest

from lora_lab.data import EMBEDDED, DataError, fingerprint, load_data, read_data
from lora_lab.data.duplicates import group_near_duplicates, normalise
from lora_lab.data.embedded import parse

PUBLISHED_SIZES = {"movie-reviews": 10605, "product-reviews": 3708, "tweets": 4200, "news": 5190}

pytestmark = pytest.mark.usefixtures("fetched")


@pytest.fixture(scope="module", params=EMBEDDED)
def domain(request):
    return request.param


@pytest.fixture(scope="module")
def binary(domain, fetched):
    return read_data(domain)


@pytest.fixture(scope="module")
def three(domain, fetched):
    return read_data(domain, classes=3)


def every(data, column):
    return [value for split in data for value in data[split][column]]


def test_every_published_sentence_is_used_or_accounted_for(domain, binary, three):
    for data, report in (binary, three):
        assert report.rows_read == PUBLISHED_SIZES[domain]
        assert sum(report.sizes.values()) + sum(report.dropped.values()) == report.rows_read
        assert report.sizes == {split: len(data[split]) for split in data}
    assert not three[1].dropped
    assert 0.0 not in every(binary[0], "rating")


def test_labels_follow_the_ratings(binary, three):
    for split in binary[0].values():
        names = split.features["label"].names
        assert names == ["negative", "positive"]
        assert all(names[y] == ("positive" if r > 0 else "negative") for y, r in pairs(split))
    for split in three[0].values():
        names = split.features["label"].names
        assert names == ["negative", "neutral", "positive"]
        assert all((names[y] == "neutral") == (abs(r) <= 0.5) for y, r in pairs(split))
        assert all((names[y] == "positive") == (r > 0.5) for y, r in pairs(split))


def pairs(split):
    return zip(split["label"], split["rating"], strict=True)


def test_ratings_lie_on_the_scale(three):
    data, _ = three
    assert all(-4 <= rating <= 4 for rating in every(data, "rating"))
    assert all(0 <= spread <= 4 for spread in every(data, "spread"))
    assert all(15 <= raters <= 99 for raters in every(data, "raters"))


def test_no_sentence_and_no_near_duplicate_is_in_two_splits(three):
    data, _ = three
    texts = every(data, "text")
    splits = [split for split in data for _ in range(len(data[split]))]
    for names in (list(map(normalise, texts)), group_near_duplicates(texts)):
        home = {}
        for name, split in zip(names, splits, strict=True):
            assert home.setdefault(name, split) == split, name


def test_a_sentence_has_the_same_split_in_two_classes_and_in_three(binary, three):
    for split in ("train", "validation", "test"):
        assert set(binary[0][split]["text"]) <= set(three[0][split]["text"])


def test_splits_have_about_the_announced_shares_and_class_balance(binary):
    _, report = binary
    total = sum(report.sizes.values())
    for split, share in {"train": 0.7, "validation": 0.1, "test": 0.2}.items():
        assert report.sizes[split] / total == pytest.approx(share, abs=0.03)
    positive = [counts["positive"] / sum(counts.values()) for counts in report.splits.values()]
    assert max(positive) - min(positive) < 0.08


def test_texts_are_decoded_right(three):
    """Two signs of UTF-8 read as Latin-1, one of the byte order mark, one of lost bytes."""
    texts = "\n".join(every(three[0], "text"))
    assert not any(sign in texts for sign in ("Ã©", "â€", "\ufeff", "\ufffd"))


def test_accents_survive(fetched):
    assert any("é" in text for text in every(load_data("movie-reviews"), "text"))


def test_reading_again_gives_the_same_and_train_size_leaves_the_rest_alone(domain, binary):
    data, _ = binary
    assert fingerprint(load_data(domain)) == fingerprint(data)
    small, report = read_data(domain, train_size=100, seed=3)
    smaller = load_data(domain, train_size=50, seed=3)
    assert report.sizes["train"] == len(small["train"]) == 100
    assert set(smaller["train"]["text"]) <= set(small["train"]["text"])
    assert small["test"]["text"][:] == data["test"]["text"][:]
    assert len({fingerprint(each) for each in (data, small, smaller)}) == 3


def test_embedded_data_gives_no_warning(recwarn):
    load_data("movie-reviews")
    assert not recwarn.list


def test_neutral_band_is_a_choice():
    wide = read_data("tweets", classes=3, neutral_band=1.0)[1]
    narrow = read_data("tweets", classes=3, neutral_band=0.1)[1]
    assert wide.splits["train"]["neutral"] > narrow.splits["train"]["neutral"] > 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"classes": 5}, "classes=5"),
        ({"classes": 3, "neutral_band": -1}, "neutral_band"),
        ({"classes": 3, "neutral_band": 4}, "neutral_band"),
        ({"label_column": "rating"}, "fixed form"),
        ({"train_size": 1}, "cannot take 1 rows"),
        ({"train_size": 10**6}, "cannot take 1000000 rows"),
        ({"max_characters": 0}, "max_characters"),
    ],
)
def test_impossible_choices(options, words):
    with pytest.raises(DataError, match=words):
        read_data("tweets", **options)


def test_parser_takes_all_numbers_from_the_individual_ratings():
    truth = "7\t9.9\tUn café très agréable\r\n8\t0\tRain, again\r\n".encode()
    ratings = b"\xef\xbb\xbf7\t9.9\t9.9\t[1, 3]\r\n8\t0\t9.9\t[-1, -1, -4, -2]\r\n"
    assert parse(truth, ratings) == {
        "text": ["Un café très agréable", "Rain, again"],
        "rating": [2.0, -2.0],
        "spread": [1.0, pytest.approx(1.5**0.5)],
        "raters": [2, 4],
    }


def test_parser_refuses_damaged_files():
    with pytest.raises(DataError, match="only one of the two files"):
        parse(b"1\t0\tone\n", b"2\t0\t0\t[1]\n")
    with pytest.raises(DataError, match="line 1 has 2"):
        parse(b"1\tone\n", b"1\t0\t0\t[1]\n")
