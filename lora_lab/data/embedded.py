"""Sentences with graded human ratings, from four domains: Hutto and Gilbert (ICWSM 2014).

C.J. Hutto and Eric Gilbert, "VADER: A Parsimonious Rule-based Model for Sentiment Analysis of
Social Media Text", ICWSM 2014; the data is under the MIT licence. Every sentence was rated by
people from -4 (extremely negative) to +4 (extremely positive); 0 is neutral.

    domain            sentences   raters of one sentence
    movie-reviews        10,605   15 to 29
    product-reviews       3,708   20
    tweets                4,200   20 to 99
    news                  5,190   20

Three things to know before drawing conclusions:

- Sentences of product-reviews and news come from longer texts, several from each. Two sentences
  of one review or article may be in different splits.
- Some tweets were varied by the authors on purpose (punctuation, capitals, intensifiers), which
  makes families of near-duplicates. Each family stays in one split.
- In a binary task the sign of the mean is the class, however close to zero the mean is. Column
  `spread` says how much the raters disagree.
"""

import json
import statistics

import pandas as pd

from .report import DataError

# Name of the domain, and how its two files begin in the published archive.
EMBEDDED = {
    "movie-reviews": "movieReviewSnippets",
    "product-reviews": "amazonReviewSnippets",
    "tweets": "tweets",
    "news": "nytEditorialSnippets",
}
NEUTRAL_BAND = 0.5
CLASS_NAMES = {2: ("negative", "positive"), 3: ("negative", "neutral", "positive")}


def parse(ground_truth: bytes, individual_ratings: bytes) -> dict[str, list]:
    """Columns text, rating (mean), spread (population standard deviation) and raters (count).

    All three numbers come from the list of individual ratings, so that they agree with each
    other. The published means do not always: for 196 tweets they differ from the mean of the
    published individual ratings, by up to 1.13.

    Args:
        ground_truth: lines of id, published mean, text; tab-separated, UTF-8.
        individual_ratings: lines of id, published mean, published spread, ratings as a list.

    Raises:
        DataError: a line has another form, or the ids of the two files differ.
    """
    texts = {row[0]: row[2] for row in _fields(ground_truth, 3)}
    ratings = {row[0]: json.loads(row[3]) for row in _fields(individual_ratings, 4)}
    if texts.keys() != ratings.keys():
        apart = sorted(texts.keys() ^ ratings.keys())
        raise DataError(
            f"{len(apart)} ids are in only one of the two files, for instance {apart[:3]}; the "
            "archive is damaged, fetch it again"
        )
    columns: dict[str, list] = {"text": [], "rating": [], "spread": [], "raters": []}
    for key, text in texts.items():
        columns["text"].append(text)
        columns["rating"].append(statistics.fmean(ratings[key]))
        columns["spread"].append(statistics.pstdev(ratings[key]))
        columns["raters"].append(len(ratings[key]))
    return columns


def _fields(content: bytes, count: int) -> list[list[str]]:
    """Lines split at tabs. One of the published files begins with a byte order mark."""
    lines = content.decode("utf-8-sig").split("\n")
    rows = [line.rstrip("\r").split("\t") for line in lines if line.strip()]
    for number, row in enumerate(rows, start=1):
        if len(row) != count:
            raise DataError(f"line {number} has {len(row)} tab-separated fields, expected {count}")
    return rows


def label_by_rating(frame: pd.DataFrame, classes: int, neutral_band: float) -> pd.Series:
    """The class name of each row from its mean rating; None where binary has no answer (0).

    Two classes: the sign. Three: neutral where |rating| <= neutral_band, else the sign.
    """
    band = neutral_band if classes == 3 else 0.0
    middle = "neutral" if classes == 3 else None

    def name(rating: float) -> str | None:
        if abs(rating) <= band:
            return middle
        return "positive" if rating > 0 else "negative"

    return pd.Series([name(rating) for rating in frame["rating"]], frame.index, dtype=object)


def check_choice(classes: int, neutral_band: float) -> None:
    """Raises DataError unless there are two or three classes and the band is sensible."""
    if classes not in CLASS_NAMES:
        raise DataError(
            f"the embedded sentences come in 2 classes {CLASS_NAMES[2]} or 3 {CLASS_NAMES[3]}, "
            f"got classes={classes!r}; for regression use their column 'rating'"
        )
    if not 0 <= neutral_band < 4:
        raise DataError(
            f"neutral_band is a distance from 0 on the scale of -4 to +4, at least 0 and less "
            f"than 4, got {neutral_band!r}"
        )
