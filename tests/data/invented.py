"""Invented sentences; nothing here comes from a data set."""

import pandas as pd

WORDS = (
    "amber basil cedar delta ember fjord grove hazel inlet jetty kayak lilac maple north olive "
    "pearl quilt river stone tulip umbra vivid wheat xenon yacht zebra"
).split()


def sentence(number: int) -> str:
    """A text of its own for each number: any two of them share few words."""
    first, second, third = number % 26, number // 26 % 26, number // 676 % 26
    parts = (WORDS[first], WORDS[second] + "s", WORDS[third] + "ed", f"{WORDS[first][::-1]}")
    return f"The {' '.join(parts)} by {WORDS[second][::-1]}!"


def make_frame(rows: int = 200, classes: tuple = ("bad", "good")) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "text": [sentence(i) for i in range(rows)],
            "label": [classes[i % len(classes)] for i in range(rows)],
        }
    )
