"""Is the difference between two items measurable? One plain sentence, and what it rests on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from lora_lab.dashboard import wording
from lora_lab.dashboard.language import t
from lora_lab.evaluation import Interval
from lora_lab.results.comparing import Difference, paired_difference
from lora_lab.results.table import right_answers

ALIKE = 0.05  # within so much, two accuracies may be called alike where no difference is measured
_BASES = ("seeds", "sentences", "mcnemar", "intervals")


@dataclass(frozen=True)
class Verdict:
    """A sentence as Markdown; ``basis`` is one of ``Difference.basis``, or "intervals"."""

    text: str
    basis: str
    measurable: bool
    overlap: bool


def verdicts(first: Any, others: Sequence[Any], runs: pd.DataFrame) -> list[Verdict]:
    """The first row against each of the others, see ``verdict``."""
    return [verdict(first, other, runs, len(others)) for other in others]


def verdict(first: Any, second: Any, runs: pd.DataFrame, comparisons: int = 1) -> Verdict:
    """Compare two rows of ``measured.items`` that were scored on the same sentences, as one of
    so many ``comparisons``."""
    if first.sentences != second.sentences:
        raise ValueError("Rows scored on different test sentences cannot be compared.")
    a, b = (Interval(row.low, row.high) for row in (first, second))
    names = dict(first=wording.plain(first.title), second=wording.plain(second.title))
    right = [right_answers(runs[runs["id"].isin(row.members)]) for row in (first, second)]
    if any(answers is None for answers in right):
        return _by_intervals(first.test - second.test, a.overlaps(b), names)
    found = paired_difference(*right, comparisons=comparisons)
    if found.measurable:
        key = "better" if found.value > 0 else "worse"
    else:
        reach = max(-found.interval.low, found.interval.high)
        key = "none" if reach <= ALIKE else "unclear"
    text = t(f"compare.verdict.{key}", numbers=_numbers(found), **names)
    return Verdict(text, found.basis, found.measurable, a.overlaps(b))


def basis_texts(verdicts: Sequence[Verdict]) -> list[str]:
    """What the sentences rest on, each explanation once."""
    used = {one.basis for one in verdicts}
    texts = [t(f"compare.verdict.basis.{basis}") for basis in _BASES if basis in used]
    if any(one.measurable and one.overlap for one in verdicts):
        texts.append(t("compare.verdict.paired"))
    if len(verdicts) > 1 and used != {"intervals"}:
        texts.append(t("compare.verdict.many", count=len(verdicts)))
    return texts


def _by_intervals(gap: float, overlap: bool, names: dict[str, str]) -> Verdict:
    key = "same" if overlap else "above" if gap > 0 else "below"
    points = {} if overlap else {"points": f"{abs(100 * gap):.1f}"}
    text = t(f"common.compared.{key}", **names, **points)
    return Verdict(text, "intervals", not overlap, overlap)


def _numbers(found: Difference) -> str:
    return t(
        "compare.verdict.numbers",
        value=points(found.value),
        low=points(found.interval.low),
        high=points(found.interval.high),
        p="p < 0.001" if found.p_value < 0.001 else f"p = {found.p_value:.2g}",
    )


def points(share: float) -> str:
    """Percentage points with their sign; a true minus, which Markdown takes for no list."""
    return f"{100 * share:+.1f}".replace("-", "−").replace("+0.0", "0.0").replace("−0.0", "0.0")
