"""Conventions that every notebook keeps. Running them is nbmake's job, not this file's."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import nbformat
import pytest

from lora_lab.data import EMBEDDED, load_data

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
CHECK_CALL = re.compile(r"^check_\w+\(", re.MULTILINE)
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
#: A share typed with three or more digits is a measurement; 0.5 or 1.96 is not.
TYPED_SCORE = re.compile(r"(?<![\w.])0\.\d{3,}|(?<![\w.])\d{2}\.\d+ ?%")

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
#: The first notebook is a map: it ends with a warm-up and no check.
each_lesson = pytest.mark.parametrize("path", NOTEBOOKS[1:], ids=lambda path: path.stem)


def read(path):
    return nbformat.read(path, as_version=4)


def markdown(path):
    return [cell.source for cell in read(path).cells if cell.cell_type == "markdown"]


def code(path):
    return [cell.source for cell in read(path).cells if cell.cell_type == "code"]


def exercises(path):
    """The notebook from each '### Exercise' heading to the next, as text with the code fenced."""
    whole = "\n".join(
        cell.source if cell.cell_type == "markdown" else f"<code>\n{cell.source}\n</code>"
        for cell in read(path).cells
    )
    return re.split(r"^### Exercise ", whole, flags=re.MULTILINE)[1:]


@each_notebook
def test_is_valid(path):
    nbformat.validate(read(path))


@each_notebook
def test_name_gives_the_reading_order(path):
    assert re.fullmatch(r"\d\d_[a-z0-9_]+", path.stem)


@each_notebook
def test_outputs_are_stripped(path):
    for cell in read(path).cells:
        if cell.cell_type == "code":
            assert cell.outputs == [] and cell.execution_count is None


@each_notebook
def test_any_python_can_open_it(path):
    metadata = read(path).metadata
    assert metadata.kernelspec.name == "python3"
    assert "widgets" not in metadata


@each_notebook
def test_first_cell_says_what_for_and_how_long(path):
    first = read(path).cells[0]
    assert first.cell_type == "markdown"
    assert re.match(r"# \d+ · \S", first.source), "a title such as '# 6 · Fine-tune ...'"
    for heading in ("you can", "**Time**", "**Links**"):
        assert heading in first.source


@each_notebook
def test_leads_to_its_neighbours(path):
    place, (first, *_, last) = NOTEBOOKS.index(path), markdown(path)
    for before in NOTEBOOKS[:place][-1:]:
        assert f"]({before.name})" in first
    for after in NOTEBOOKS[place + 1 :][:1]:
        assert f"]({after.name})" in first and f"]({after.name})" in last


@each_lesson
def test_last_cells_are_exercises_summary_next(path):
    text = "\n".join(markdown(path))
    places = [
        text.rfind(part) for part in ("\n### Exercise ", "Summary", "**Next**", "**Sources**")
    ]
    assert -1 not in places
    assert places == sorted(places)


@each_notebook
def test_summary_is_short(path):
    summary = markdown(path)[-1].split("**Next**")[0]
    assert len([line for line in summary.splitlines() if line.startswith("- ")]) <= 10


@each_lesson
def test_has_three_exercises_of_rising_difficulty(path):
    found = [re.search(r"\*Difficulty (\d) of \d · (\d+) minutes", e) for e in exercises(path)]
    assert len(found) >= 3 and all(found), "each says '*Difficulty N of M · K minutes.*'"
    difficulty = [int(match[1]) for match in found]
    assert difficulty == sorted(difficulty) and difficulty[0] < difficulty[-1]


@each_notebook
def test_each_exercise_has_stub_check_hint_and_solution(path):
    for exercise in exercises(path):
        title = exercise.splitlines()[0]
        stub = re.search(r"<code>\n(.*?)\n</code>", exercise, re.DOTALL)
        assert stub and "..." in stub[1], f"{title}: no cell to fill in"
        assert CHECK_CALL.search(exercise), f"{title}: no check call"
        for part in ("Hint", "Solution"):
            folded = f"<details><summary>{part}</summary>\n\n"
            assert folded in exercise, f"{title}: no folded {part.lower()}"
        assert exercise.count("<details>") == exercise.count("</details>")
        assert stub.start() < exercise.index("<summary>Hint") < exercise.index("<summary>Solution")


@each_notebook
def test_asks_before_it_shows(path):
    assert sum("Predict, then run" in text for text in markdown(path)) >= 3


@each_notebook
def test_links_inside_the_repository_lead_somewhere(path):
    for text in markdown(path):
        for target in LINK.findall(text):
            if not target.startswith(("http://", "https://", "#")):
                assert (path.parent / target.split("#")[0]).exists(), target


@each_notebook
def test_measured_numbers_are_not_typed(path):
    for text in markdown(path):
        prose = re.sub(r"```.*?```|`[^`]*`|\$\$.*?\$\$|\$[^$]*\$", "", text, flags=re.DOTALL)
        prose = LINK.sub("", re.sub(r"https?://\S+|arXiv:? ?\S+", "", prose))
        assert not TYPED_SCORE.findall(prose), "print it in a cell instead"


@each_notebook
def test_displayed_equations_have_a_check_under_them(path):
    cells = read(path).cells
    for number, cell in enumerate(cells):
        if cell.cell_type == "markdown" and "$$" in cell.source:
            following = next((c for c in cells[number + 1 :] if c.cell_type == "code"), None)
            assert following is not None
            assert "assert" in following.source or CHECK_CALL.search(following.source)


@each_notebook
def test_widgets_are_also_called_plainly(path):
    """nbmake does not see an exception inside ``interact``: the function runs before it too."""
    plain = "\n".join(code(path))
    for cell in code(path):
        for call in re.findall(r"widgets\.interact(?:ive)?\((.*)", cell, re.DOTALL):
            names = set(re.findall(r"\w+", call.split("widgets.")[0])) & _functions(path)
            assert names, "the widget calls a function defined in the notebook"
            for name in names:
                calls = re.findall(rf"(?<!def )\b{name}\(", plain)
                in_widgets = re.findall(rf"lambda [^:]*: display\({name}\(", plain)
                assert len(calls) > len(in_widgets), f"{name} is never called outside its widget"


def _functions(path):
    trees = [ast.parse(re.sub(r"^[%!].*$", "", cell, flags=re.MULTILINE)) for cell in code(path)]
    return {n.name for tree in trees for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)}


@each_notebook
def test_no_sentence_of_the_data_is_typed(path):
    """They are shown from the data at run time; the tree holds none of them."""
    text = path.read_text(encoding="utf-8").lower()
    for domain in EMBEDDED:
        for rows in load_data(domain).values():
            typed = [s for s in rows["text"] if len(s) > 25 and s.lower().rstrip(".") in text]
            assert not typed
