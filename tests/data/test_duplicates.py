import itertools
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from lora_lab.data.duplicates import group_near_duplicates, normalise


def test_normalise_keeps_the_letters_alone():
    assert normalise("  A CAFÉ, @you see https://a.example/b?c  No. 7!! ") == "a cafe see no"


def test_full_width_and_composed_letters_are_the_same():
    assert normalise("Ｓｏ ﬁｎｅ") == normalise("so fine")
    assert normalise("nai\u0308ve") == normalise("na\u00efve")


def test_vowel_signs_of_other_scripts_are_kept():
    assert normalise("की") != normalise("का")


def test_texts_without_letters_stand_for_themselves():
    assert normalise("10/10") == "10/10" != normalise("0/10")
    assert normalise(" :) ") == ":)"


@given(st.text())
def test_normalising_twice_changes_nothing(text):
    # Holds for what has letters; a text without any stands for itself already.
    once = normalise(text)
    assert normalise(once) == once


def jaccard(a: str, b: str) -> float:
    first, second = set(normalise(a).split()), set(normalise(b).split())
    return len(first & second) / len(first | second)


@settings(max_examples=50)
@given(st.integers(0, 10**6), st.sampled_from([0.5, 0.6, 0.8, 0.9, 1.0]))
def test_groups_are_those_of_comparing_all_pairs(seed, similarity):
    rng = random.Random(seed)
    texts = [" ".join(rng.choices("abcdefgh", k=rng.randint(1, 7))) for _ in range(40)]
    names = group_near_duplicates(texts, similarity)
    expected = {i: {i} for i in range(len(texts))}
    for i, j in itertools.combinations(range(len(texts)), 2):
        if jaccard(texts[i], texts[j]) >= similarity and expected[i] is not expected[j]:
            expected[i] |= expected[j]
            for k in expected[j]:
                expected[k] = expected[i]
    for i, j in itertools.combinations(range(len(texts)), 2):
        assert (names[i] == names[j]) == (expected[i] is expected[j]), (texts[i], texts[j])


def test_group_names_do_not_depend_on_order():
    texts = ["a b c d e", "a b c d e f", "b c d e f", "x y z", "z y x!", "A, b, c, d; e"]
    names = dict(zip(texts, group_near_duplicates(texts), strict=True))
    backwards = dict(zip(texts[::-1], group_near_duplicates(texts[::-1]), strict=True))
    assert names == backwards
    assert len(set(names.values())) == 2
