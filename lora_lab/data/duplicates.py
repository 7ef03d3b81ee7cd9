"""Texts that say the same thing: normalised spelling and groups of near-duplicates."""

import math
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence
from functools import cache

SIMILARITY = 0.8

_LINKS_AND_MENTIONS = re.compile(r"(?:https?://|www\.)\S+|@\w+")
_DIACRITICS = re.compile("[\u0300-\u036f]")


@cache
def _letter_or_space(character: str) -> str:
    """Marks (category M) stay: in many scripts they are the vowels."""
    return character if unicodedata.category(character)[0] in "LM" else " "


def normalise(text: str) -> str:
    """The letters of a text alone: no case, accents, links, @mentions, digits or punctuation.

    A text without any letter ("10/10", an emoticon) stands for itself.
    """
    letters = unicodedata.normalize("NFKD", text).casefold()
    letters = _DIACRITICS.sub("", _LINKS_AND_MENTIONS.sub(" ", letters))
    letters = "".join(map(_letter_or_space, letters))
    return " ".join(letters.split()) or text.strip()


def group_near_duplicates(texts: Sequence[str], similarity: float = SIMILARITY) -> list[str]:
    """For each text the name of its group, so that near-duplicates share one name.

    Two texts are near-duplicates if their normalised word sets A and B have a Jaccard similarity
    |A and B| / |A or B| of at least `similarity`; groups are the connected components. The name
    is the alphabetically first normalised text of the group, so row order does not matter.

    Exact, without comparing all pairs (prefix filtering; Bayardo, Ma and Srikant, "Scaling Up All
    Pairs Similarity Search", WWW 2007): two sets as alike as that must share a word among the
    rarest few of each. A script without spaces between words has one "word" per clause, so there
    only texts equal after normalisation are grouped.
    """
    keys = [normalise(text) for text in texts]
    unique = sorted(set(keys))
    word_sets = [frozenset(key.split()) for key in unique]
    frequency = Counter(word for words in word_sets for word in words)
    parent = list(range(len(unique)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = i = parent[parent[i]]
        return i

    seen_with: dict[str, list[int]] = defaultdict(list)
    for i, words in enumerate(word_sets):
        rarest_first = sorted(words, key=lambda word: (frequency[word], word))
        must_share = math.ceil(similarity * len(words) - 1e-9)
        prefix = rarest_first[: len(words) - must_share + 1]
        for j in {j for word in prefix for j in seen_with[word]}:
            shared = len(words & word_sets[j])
            if shared >= similarity * (len(words) + len(word_sets[j]) - shared) - 1e-9:
                first, second = sorted((root(i), root(j)))
                parent[second] = first  # the smaller index is the alphabetically first text
        for word in prefix:
            seen_with[word].append(i)

    name = {key: unique[root(i)] for i, key in enumerate(unique)}
    return [name[key] for key in keys]
