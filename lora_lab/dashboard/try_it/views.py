"""Answers, words and hard sentences as HTML. Every text from outside is escaped here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from lora_lab.dashboard.language import t
from lora_lab.dashboard.try_it.answers import Column
from lora_lab.inside.attribution import Attribution
from lora_lab.plots import colours

FOR, AGAINST = "0, 114, 178", "213, 94, 0"  # Okabe and Ito's blue and vermillion
FULL = 0.5  # a change of probability with the strongest colour

CSS = """
<style>
.side-by-side {overflow-x: auto}
.side-by-side table {border-collapse: collapse; width: 100%; min-width: 40rem;
  table-layout: fixed}
.side-by-side th, .side-by-side td {text-align: left; vertical-align: top;
  padding: .45rem .6rem; border: 0; border-bottom: 1px solid rgba(128, 128, 128, .35)}
.side-by-side th {font-weight: 600}
.side-by-side th:first-child {width: var(--first)}
.side-by-side td:first-child {overflow-wrap: anywhere}
.side-by-side .number {font-variant-numeric: tabular-nums; white-space: nowrap}
.side-by-side .parts {display: flex; height: .45rem; margin-top: .25rem; border-radius: 2px;
  overflow: hidden; min-width: 5rem}
@media (max-width: 640px) {
  .side-by-side table {min-width: 0; display: block}
  .side-by-side thead {display: none}
  .side-by-side tbody {display: block}
  .side-by-side tr {display: grid; grid-template-columns: 1fr 1fr; padding: .5rem 0;
    border-bottom: 1px solid rgba(128, 128, 128, .35)}
  .side-by-side td {border: 0; padding: .25rem .4rem}
  .side-by-side td:first-child {grid-column: 1 / -1}
  .side-by-side td:not(:first-child)::before {content: attr(data-column); display: block;
    font-size: .86rem; opacity: .75}
}
.words {line-height: 2.5; margin: .2rem 0 .6rem; overflow-wrap: anywhere}
.words span {padding: .15rem .25rem; border-radius: 3px; margin-right: .15rem}
.words small {opacity: .8; margin-left: .15rem; font-variant-numeric: tabular-nums}
.words .for {border-bottom: 3px solid rgb(0, 114, 178)}
.words .against {border-bottom: 3px dashed rgb(213, 94, 0)}
</style>
"""


def side_by_side(texts: Sequence[str], columns: Sequence[Column], titles: Mapping[str, str]) -> str:
    """Sentences down, ways of answering across."""
    head = [t("try_it.sentence"), *(titles[column.way] for column in columns)]
    rows = [
        [escape(text), *(_cell(column, row) for column in columns)]
        for row, text in enumerate(texts)
    ]
    return _table(head, rows)


def words(found: Attribution, title: str, names: Sequence[str]) -> str:
    """A sentence with the words that speak for the answer, and those that speak against it."""
    answer = t(
        "try_it.words.answer",
        title=title,
        answer=names[found.answer],
        probability=_percent(found.probability),
    )
    spans = " ".join(_word(word.text, word.effect) for word in found.words)
    return f'<div>{escape(answer)}</div><div class="words">{spans}</div>'


def legend() -> str:
    """What the colours and lines under the words mean."""
    both = (("for", FOR), ("against", AGAINST))
    spans = (
        f'<span class="{kind}" style="background: rgba({colour}, .45)">'
        f"{escape(t(f'try_it.words.{kind}'))}</span>"
        for kind, colour in both
    )
    return f'<div class="words">{" ".join(spans)}</div>'


def hard_sentences(rows: Sequence[Mapping], probabilities: np.ndarray, names: Sequence[str]) -> str:
    """Test sentences with what people said and what the model answered.

    Args:
        rows: of the data set, with text and label, perhaps rating and spread.
        probabilities: (rows, C).
    """
    head = (t("try_it.sentence"), t("try_it.hard.people"), t("try_it.hard.model"))
    cells = []
    for row, p in zip(rows, probabilities, strict=True):
        people = escape(names[row["label"]])
        if "rating" in row:
            graded = t("try_it.hard.graded", mean=f"{row['rating']:+.1f}", spread=row["spread"])
            people += f'<div class="number"><small>{escape(graded)}</small></div>'
        cells.append([escape(row["text"]), people, _answer(p, names)])
    return _table(head, cells, first="56%")


def _cell(column: Column, row: int) -> str:
    if column.probabilities is not None:
        return _answer(column.probabilities[row], column.names)
    answer = column.answer(row) or t("try_it.undecided")
    score = t("try_it.score", score=f"{column.scores[row]:+.2f}")
    return f'<b>{escape(answer)}</b> <span class="number">{escape(score)}</span>'


def _answer(probabilities: np.ndarray, names: Sequence[str]) -> str:
    """The likeliest class with its probability, and all classes as parts of a bar."""
    best = int(probabilities.argmax())
    everything = ", ".join(
        f"{name} {_percent(p)}" for name, p in zip(names, probabilities, strict=True)
    )
    parts = "".join(
        f'<i style="width: {100 * p:.1f}%; background: {colour}"></i>'
        for p, colour in zip(probabilities, colours(names), strict=True)
    )
    return (
        f'<b>{escape(names[best])}</b> <span class="number">{_percent(probabilities[best])}</span>'
        f'<div class="parts" role="img" title="{escape(everything)}" '
        f'aria-label="{escape(everything)}">{parts}</div>'
    )


def _word(text: str, effect: float) -> str:
    points = round(100 * effect)
    if points == 0:
        return f"<span>{escape(text)}</span>"
    kind, colour = ("for", FOR) if effect > 0 else ("against", AGAINST)
    strength = 0.08 + 0.52 * min(1.0, abs(effect) / FULL)
    return (
        f'<span class="{kind}" style="background: rgba({colour}, {strength:.2f})">'
        f"{escape(text)}<small>{points:+d}</small></span>"
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], first: str = "30%") -> str:
    """Cells of HTML under plain headings; ``first`` is the width of the first column."""
    names = [escape(name) for name in head]
    top = "".join(f'<th scope="col">{name}</th>' for name in names)
    body = ""
    for row in rows:
        cells = zip(names, row, strict=True)
        body += "".join(["<tr>", *(f'<td data-column="{n}">{c}</td>' for n, c in cells), "</tr>"])
    return (
        f'<div class="side-by-side" style="--first: {first}"><table><thead><tr>{top}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _percent(share: float) -> str:
    """Without claiming certainty that no model has."""
    return f"{100 * min(max(float(share), 0.001), 0.999):.1f}%"
