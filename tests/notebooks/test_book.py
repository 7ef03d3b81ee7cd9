"""The book: it is built without a warning, a broken link is found, and widgets become notes."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import nbformat
import pytest
from nbformat import v4

BOOK = Path(__file__).parents[2] / "book"
NOTEBOOKS = sorted((BOOK.parent / "notebooks").glob("*.ipynb"))


@pytest.fixture(scope="module")
def book():
    spec = importlib.util.spec_from_file_location("book_build", BOOK / "build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def site(book, tmp_path_factory):
    return book.build(tmp_path_factory.mktemp("book"), execute=False).parent


def test_every_notebook_and_the_code_it_links_to_is_a_page(site):
    for path in NOTEBOOKS:
        assert (site / "notebooks" / f"{path.stem}.html").exists()
    assert "def backward" in plain(site / "lora_lab" / "derivations" / "lora.html")


def test_it_can_be_searched_and_navigated(site):
    first = (site / "index.html").read_text()
    assert 'href="notebooks/01_loss_and_gradient.html"' in first and 'action="search.html"' in first
    assert "cross" in (site / "searchindex.js").read_text()


def test_formulas_need_no_script_and_no_network(site):
    for path in site.rglob("*.html"):
        html = path.read_text(encoding="utf-8")
        assert not re.search(r"<script[^>]*\bsrc=.(https?:)?//", html)
    assert "<math" in (site / "notebooks" / "01_loss_and_gradient.html").read_text()


def test_a_broken_link_is_found(book, site):
    page = site / "index.html"
    whole = page.read_text(encoding="utf-8")
    assert not list(book.broken_links(site))
    try:
        page.write_text(whole + '<a href="nowhere.html">x</a><a href="#no-such-place">y</a>')
        assert sorted(book.broken_links(site)) == [
            "index.html: #no-such-place",
            "index.html: nowhere.html",
        ]
    finally:
        page.write_text(whole, encoding="utf-8")


def test_a_warning_stops_the_build(book, tmp_path, monkeypatch):
    folder = tmp_path / "notebooks"
    folder.mkdir()
    cell = v4.new_markdown_cell("# Title\n\n[gone](no_such_notebook.ipynb)")
    nbformat.write(v4.new_notebook(cells=[cell]), folder / "01_x.ipynb")
    monkeypatch.setattr(book, "ROOT", tmp_path)
    with pytest.raises(RuntimeError, match="warned"):
        book.build(tmp_path / "site", execute=False)


def test_a_printed_link_leads_to_the_page(book, tmp_path, monkeypatch):
    printed = v4.new_output("display_data", {"text/markdown": "[next](02_y.ipynb)"})
    first = v4.new_notebook(
        cells=[v4.new_markdown_cell("# One"), v4.new_code_cell("say()", outputs=[printed])],
        metadata={"language_info": {"name": "python"}},
    )
    second = v4.new_notebook(cells=[v4.new_markdown_cell("# Two")])
    (tmp_path / "notebooks").mkdir()
    nbformat.write(first, tmp_path / "notebooks" / "01_x.ipynb")
    nbformat.write(second, tmp_path / "notebooks" / "02_y.ipynb")
    monkeypatch.setattr(book, "ROOT", tmp_path)
    site = book.build(tmp_path / "site", execute=False).parent
    page = (site / "notebooks" / "01_x.html").read_text()
    assert re.search(r'href="02_y.html">(<span[^>]*>)?next', page)


def test_a_printed_formula_is_drawn(book, tmp_path, monkeypatch):
    printed = v4.new_output("display_data", {"text/markdown": "the loss is $|z|$, **here**"})
    cell = v4.new_code_cell("say()", outputs=[printed])
    language = {"language_info": {"name": "python"}}
    notebook = v4.new_notebook(cells=[v4.new_markdown_cell("# One"), cell], metadata=language)
    (tmp_path / "notebooks").mkdir()
    nbformat.write(notebook, tmp_path / "notebooks" / "01_x.ipynb")
    monkeypatch.setattr(book, "ROOT", tmp_path)
    page = book.build(tmp_path / "site", execute=False).parent / "notebooks" / "01_x.html"
    assert "<math" in page.read_text() and "$" not in page.read_text().split("the loss is")[1][:80]


def test_a_widget_becomes_a_note_and_other_outputs_stay(book):
    view = v4.new_output("display_data", {book.WIDGET: {"model_id": "x"}, "text/plain": "slider"})
    text = v4.new_output("display_data", {"text/plain": "42"})
    code = v4.new_code_cell("show()", outputs=[view, text])
    words = v4.new_markdown_cell("See [it](../lora_lab/derivations/lora.py).")
    notebook = v4.new_notebook(cells=[words, code], metadata={"widgets": {}})
    assert book.for_reading(notebook) == {"lora_lab/derivations/lora"}
    assert words.source == "See [it](../lora_lab/derivations/lora.md)."
    assert [list(output.data) for output in code.outputs] == [["text/markdown"], ["text/plain"]]
    assert "widgets" not in notebook.metadata


def plain(path: Path) -> str:
    """The words of a page, without its marks."""
    return re.sub(r"<[^>]+>", "", path.read_text(encoding="utf-8"))
